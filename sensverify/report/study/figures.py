"""Figures of a study: metrics in the course of the training, sensitivity against energy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from sensverify.measures import SHARES
from sensverify.report.chart import (
    Axis,
    Drawing,
    Frame,
    Point,
    Stroke,
    line_chart,
    panels,
    svg,
    titled,
    value_axis,
)
from sensverify.report.formatting import count_of, number
from sensverify.report.raster import png
from sensverify.report.study.contents import VOLUMES, Course, StudyReport, Trail
from sensverify.report.study.values import unit
from sensverify.report.theme import HUES, standalone_style

PARTS = {"test": "test samples", "train": "training samples", "held-out": "held-out samples"}
_LOG_FROM = 30.0
"""Largest over smallest value from which an axis is logarithmic."""

_LETTERS = 14, 30
"""Of the names beside the lines, room for as many letters at least and at most."""


def figure_files(report: StudyReport) -> dict[str, bytes]:
    """Every figure of a report as SVG and as PNG, by file name.

    Raises
    ------
    BackendMissing
        matplotlib, which paints the PNG, is not installed.
    """
    found: dict[str, bytes] = {}
    for name, figure in _figures(report):
        found[f"{name}.svg"] = svg(figure, style=standalone_style()).encode()
        found[f"{name}.png"] = png(figure)
    return found


def _figures(report: StudyReport) -> Iterator[tuple[str, Drawing]]:
    for part, words in PARTS.items():
        drawn = course_panels(report, part)
        if drawn:
            seeds = max(course.seeds for course in report.courses if course.part == part)
            band = f"mean and range of {seeds} seeds" if seeds > 1 else "one seed"
            columns = 3 if len(drawn) <= 9 else 4
            heading = f"{report.title}: {words} over the epochs, {band}"
            yield f"course_{part}", panels(drawn, columns=columns, heading=heading)
    for name, drawn in trail_panels(report).items():
        yield name, panels(drawn, columns=len(drawn), heading=report.title)


def course_panels(report: StudyReport, part: str) -> list[Drawing]:
    """A panel for every metric on a part, every loss with the same look in all of them."""
    looks = {name: _look(k) for k, name in enumerate(report.losses)}
    courses = [course for course in report.courses if course.part == part]
    return [drawing for course in courses if (drawing := _course(course, looks)) is not None]


def trail_panels(report: StudyReport) -> dict[str, list[Drawing]]:
    """By kind of figure, a panel for every group of samples."""
    found: dict[str, list[Drawing]] = {}
    for name, asked, against in (
        ("sensitivity_seeds", report.draws_seeds, "epochs"),
        ("sensitivity_energy", report.draws_energy, "energy"),
    ):
        if asked and report.trails:
            groups = report.trails[0].sense
            drawn = [_trails(report.trails, group, against) for group in groups]
            found[name] = [drawing for drawing in drawn if drawing is not None]
    return {name: drawn for name, drawn in found.items() if drawn}


def _look(place: int) -> str:
    # Dashes tell lines apart in print; where colours come again, they do so with other dashes.
    return f"hue{place % HUES} dash{(place + place // HUES) % 3}"


def _drawable(value: float) -> bool:
    """True where a value has a place; NaN, infinities and numbers next to them have none."""
    return abs(value) < 1e300


def _course(course: Course, looks: Mapping[str, str]) -> Drawing | None:
    scale = 100.0 if course.metric in SHARES else 1.0
    strokes, stages = [], []
    for line in course.lines:
        rows = zip(line.epochs, line.mean, line.low, line.high, strict=True)
        every = ((epoch, *(scale * value for value in values)) for epoch, *values in rows)
        points = [
            Point(x, y, low, high, f"{line.name}, epoch {x:g}: {number(y)}")
            for x, y, low, high in every
            if all(map(_drawable, (y, low, high)))
        ]
        if points:
            strokes.append(Stroke(line.name, looks[line.name], tuple(points), band=True))
            stages += [(mark, looks[line.name]) for mark in line.marks]
    if not strokes:
        return None
    values = [v for s in strokes for p in s.points for v in (p.low, p.high) if v is not None]
    log = min(values) > 0 and (course.metric in VOLUMES or max(values) > _LOG_FROM * min(values))
    y = value_axis(values, log=log)
    for mark, look in stages:
        ends = (Point(mark, y.low), Point(mark, y.high))
        strokes.append(Stroke("", f"stage {look}", ends))
    title = course.metric + unit(course.metric)
    words = f"{title} on {PARTS[course.part]} by epoch. {_ends(strokes)}"
    x = _epochs([p.x for s in strokes for p in s.points])
    return titled(title, line_chart(strokes, _frame(strokes), x, y, words=words))


def _frame(strokes: Sequence[Stroke]) -> Frame:
    """Axes of one size, with room for the names of the lines beside them."""
    fewest, most = _LETTERS
    letters = min(max(fewest, *(len(stroke.label) for stroke in strokes)), most)
    names = 20 + 6.6 * letters
    return Frame(288 + names, 290, left=48, right=names, letters=letters)


def _ends(strokes: Sequence[Stroke]) -> str:
    return "; ".join(
        f"{each.label} from {number(each.points[0].y)} to {number(each.points[-1].y)}"
        for each in strokes
        if each.label
    )


def _epochs(epochs: Sequence[float]) -> Axis:
    """An axis of whole epochs."""
    low, high = min(epochs), max(epochs)
    ticks = value_axis([low, high]).ticks
    marks = [tick for tick in ticks if tick[0] == round(tick[0]) and low <= tick[0] <= high]
    ends = (low, high) if low < high else (low - 0.5, high + 0.5)
    return Axis(*ends, ticks=marks or [(low, f"{low:g}")], title="epoch")


def _trails(trails: Sequence[Trail], group: str, against: str) -> Drawing | None:
    """The sensitivity over the ``epochs`` (Figure 6 of Wang et al.) or against the ``energy``.

    A colour a seed or, of several losses, a loss.
    """
    names = list(dict.fromkeys(trail.name for trail in trails))
    strokes: list[Stroke] = []
    for place, trail in enumerate(trails):
        alone = len(names) == 1
        label = f"seed {trail.seed}" if alone else trail.name
        look = _look(place if alone else names.index(trail.name))
        if any(stroke.label == label for stroke in strokes):
            # Of several seeds of a loss, the first carries its name.
            label = ""
        pairs = zip(getattr(trail, against), trail.sense[group], strict=True)
        points = tuple(Point(x, y) for x, y in pairs if _drawable(x) and _drawable(y))
        if points:
            strokes.append(Stroke(label, look, points, ends=against == "energy"))
    if not strokes:
        return None
    across, up = ([getattr(p, name) for s in strokes for p in s.points] for name in "xy")
    y = value_axis(up, log=min(up) > 0)
    x = _epochs(across)
    if against == "energy":
        x = value_axis(across, "energy", log=min(across) > 0)
        # Training goes from left to right.
        x = replace(x, low=x.high, high=x.low)
    title, trainings = f"SENSE, mean over {group}", count_of(len(strokes), "training")
    words = f"{title}, against the {x.title}, {trainings}. {_ends(strokes)}"
    return titled(title, line_chart(strokes, _frame(strokes), x, y, words=words))
