"""Accuracy against radius: attacks from above, certificates from below, and their numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from statistics import median

from sensverify.evaluation.curves import CurvePoint, middle_radius, success_rate
from sensverify.evaluation.lines import Line, accuracy_lines, all_radii, best_certified
from sensverify.evaluation.results import AttackRow, Evaluation, ModelEvaluation
from sensverify.evaluation.scores import Summary
from sensverify.report import document as doc
from sensverify.report.chart import Axis, Drawing, Frame, Point, Stroke, line_chart
from sensverify.report.evaluation.common import (
    RATE,
    interval,
    model_data,
    network_columns,
    number,
    rate_cell,
    rate_values,
)
from sensverify.report.formatting import (
    DASH,
    clipped,
    percent,
    points,
    printed,
    radius_text,
    without_settings,
)
from sensverify.report.theme import HUES
from sensverify.runs.progress import duration

RADII = 7
"""Radii that a terminal has columns for; of more, the ends and some evenly between them."""

WIDE = Frame(920, 430, left=48, right=176, letters=24)
NARROW = Frame(380, 300, right=112, letters=12)
"""For phones and small multiples."""

_WIDE_RADII = 40.0
"""Largest over smallest radius from which the axis is logarithmic."""


def accuracy_section(evaluation: Evaluation, summaries: Sequence[Summary]) -> doc.Section:
    """Curves, and the tables that they are drawn from."""
    radius = middle_radius(evaluation)
    at = "" if radius is None else f" at {radius_text(radius)}"
    lines = partial(_line_rows, evaluation)
    attacks = partial(_attack_rows, of_all=evaluation.success_of_all)
    return doc.Section(
        "accuracy",
        "Accuracy against radius",
        tuple(_blocks(evaluation)),
        data=(
            model_data("accuracy", ("kind", "name", "radius", *RATE), evaluation, lines),
            model_data("attacks", _ATTACKS, evaluation, attacks),
            model_data("samples", _SAMPLES, evaluation, _sample_rows),
        ),
        numbers=(
            number("Clean accuracy", [s.clean for s in summaries], rate_cell, 1),
            number(f"Worst of attacks{at}", [s.worst for s in summaries], _point_cell, 1),
            number(f"Certified{at}", [s.certified for s in summaries], _point_cell, 1),
        ),
    )


def _point_cell(point: CurvePoint) -> tuple[float, doc.Cell]:
    return rate_cell(point.rate)


def _blocks(evaluation: Evaluation) -> Iterator[doc.Block]:
    drawn = [model for model in evaluation.models if accuracy_lines(evaluation, model)]
    if not drawn:
        return
    yield doc.Text(_reading(evaluation), "note", on=doc.PAGE)
    alone = len(evaluation.models) == 1
    charts = [
        accuracy_chart(evaluation, drawn[0], frame) if alone else overlay_chart(evaluation, frame)
        for frame in (WIDE, NARROW)
    ]
    yield doc.Figure(charts, look="chart", on=doc.PAGE)
    if not alone:
        cards = [
            doc.Figure([accuracy_chart(evaluation, model, NARROW)], model.model.name, look="card")
            for model in drawn
        ]
        yield doc.Group(cards, "cards", on=doc.PAGE)
    for model in drawn:
        whose = f" of {model.model.name}" if len(evaluation.models) > 1 else ""
        lines, radii = accuracy_lines(evaluation, model), all_radii(evaluation)
        # Radii down, lines across; with every setting in their names.
        names = {line.name: line.name for line in lines}
        columns = doc.columns("", "0, clean", *map(radius_text, radii))
        table = doc.Table(columns, _rows(lines, names, radii, noted=True), "plain numbers")
        table = table.turned(doc.Column("radius"))
        yield doc.Group([table], "details", f"Numbers{whose}: accuracy (%)", on=doc.PAGE)
        if model.attacks:
            title = f"Attacks{whose}: success, distances and time"
            table_of = _attack_table(model, evaluation.success_of_all)
            yield doc.Group([*table_of], "details", title, on=doc.PAGE)
        if len(radii) > RADII:
            radii = tuple(radii[round(k * (len(radii) - 1) / (RADII - 1))] for k in range(RADII))
        name = f"{model.model.name}: a" if whose else "A"
        columns = network_columns(["clean", *map(radius_text, radii)])
        rows = _rows(lines, without_settings(list(names)), radii)
        yield doc.Table(columns, rows, title=f"{name}ccuracy (%) against radius", on=doc.TERMINAL)


def _reading(evaluation: Evaluation) -> str:
    attacked = any(model.attacks for model in evaluation.models)
    certified = any(model.certified for model in evaluation.models)
    text = []
    if len(evaluation.models) > 1:
        lines = ["solid under the worst of all attacks"] if attacked else []
        lines += ["dashed certified"] if certified else []
        text.append(f"First all networks on one scale: {', '.join(lines)}. Then each on its own.")
    if attacked:
        text.append(
            "The bold orange line counts, sample by sample, the worst of all attacks up to each "
            "radius."
        )
    if certified:
        text.append("The blue line is what is proven; thin dashes are further methods.")
    if attacked and certified:
        text.append("Between them, shaded, are samples that no attack breaks and no method proves.")
    text.append("Bands are 95 % intervals for all samples that could have been drawn.")
    return " ".join(text)


def _rows(
    lines: Sequence[Line], names: Mapping[str, str], radii: Sequence[float], *, noted: bool = False
) -> list[doc.Row]:
    """Lines down, radii across; with intervals below the shares where they are ``noted``."""
    looks = {"attack": "", "worst": "strong", "certified": "certified"}
    rows = []
    for line in lines:
        name = f"certified, {names[line.name]}" if line.kind == "certified" else names[line.name]
        found = (line.at(radius) for radius in (0.0, *radii))
        cells = [doc.Cell(DASH) if point is None else _cell(point, noted) for point in found]
        rows.append(doc.Row(clipped(name, 36) if noted else name, cells, look=looks[line.kind]))
    return rows


def _cell(point: CurvePoint, noted: bool) -> doc.Cell:
    return doc.Cell(points(point.rate.share), note=interval(point.rate) if noted else "")


def _attack_table(model: ModelEvaluation, of_all: bool) -> Iterator[doc.Block]:
    heads = doc.columns("attack", "radius", "success", "median L2", "median L∞", "time")
    rows = []
    for each in model.attacks:
        success = success_rate(model, each, of_all=of_all)
        rate = DASH if success is None else rate_cell(success)[1]
        radius = "nearest" if each.radius is None else radius_text(each.radius)
        cells = [
            doc.Cell(radius, value=each.radius),
            rate,
            *(doc.Cell(printed(value), value=value) for value in distances(model, each)),
            doc.Cell(duration(each.seconds), value=each.seconds),
        ]
        rows.append(doc.row(each.attack, *cells))
    yield doc.Table(heads, rows, "plain numbers", sortable=True, search="attacks")
    share, those = "of samples that were right and are broken", "them"
    if of_all:
        share = "of all samples that are wrong with the attack or without"
        those = "those that were right and are broken"
    text = (
        f"Success is the share {share}; distances are medians over {those}, in the units of the "
        "features."
    )
    yield doc.Text(text, "note")


def distances(model: ModelEvaluation, row: AttackRow) -> tuple[float | None, float | None]:
    """Medians of the L2 and the Linf distance of what an attack found for samples that were right.

    None where it found nothing.
    """
    wrong = set(model.clean[0].wrong)
    found = [place for place in row.broken if place not in wrong]
    l2, linf = (
        [value for value in (values[place] for place in found) if value is not None]
        for values in (row.l2, row.linf)
    )
    return (median(l2) if l2 else None), (median(linf) if linf else None)


# ---- drawings ------------------------------------------------------------------------------------


def accuracy_chart(evaluation: Evaluation, model: ModelEvaluation, frame: Frame) -> Drawing:
    """Every line of one network, and what is undecided between attacks and certificates."""
    lines = accuracy_lines(evaluation, model)
    best = best_certified(evaluation, lines)
    short = without_settings([line.name for line in lines])
    attacks = [line for line in lines if line.kind == "attack"]
    # Of one attack alone the worst is itself.
    strokes = [
        _stroke(line, short[line.name], _hue(k))
        for k, line in enumerate(attacks if len(attacks) > 1 else [])
    ]
    for line in lines:
        if line.kind == "certified":
            look = "certified bold" if line is best else "also-certified"
            strokes.append(_stroke(line, short[line.name], look, band=line is best))
    for line in lines:
        if line.kind == "worst":
            label = "worst of all" if len(attacks) > 1 else short[attacks[0].name]
            strokes.append(_stroke(line, label, "worst bold", band=True))
    # The bands are around the two lines between which samples are undecided.
    bounds = [stroke for stroke in reversed(strokes) if stroke.band]
    between = (bounds[0], bounds[1]) if len(bounds) == 2 else None
    words = f"Accuracy of {model.model.name} against radius. {_spoken(lines)}"
    axes = _axes(evaluation, frame)
    return line_chart(strokes, frame, *axes, words=words, between=between)


def overlay_chart(evaluation: Evaluation, frame: Frame) -> Drawing:
    """Of every network the worst of all attacks and the best certificate, a colour each."""
    strokes, told = [], []
    for k, model in enumerate(evaluation.models):
        name = model.model.name
        lines = accuracy_lines(evaluation, model)
        best = best_certified(evaluation, lines)
        for line in lines:
            if line.kind == "worst":
                strokes.append(_stroke(line, name, f"{_hue(k)} bold"))
            elif line is best:
                # The name alone where there is no room for both.
                room = frame.letters - len(", certified")
                label = f"{clipped(name, room)}, certified" if room > 6 else name
                strokes.append(_stroke(line, label, f"{_hue(k)} bold dashed"))
            else:
                continue
            told.append(Line(line.kind, name, line.points))
    words = f"Accuracy of all networks against radius. {_spoken(told)}"
    return line_chart(strokes, frame, *_axes(evaluation, frame), words=words)


def _stroke(line: Line, label: str, look: str, *, band: bool = False) -> Stroke:
    return Stroke(label, look, tuple(_drawn(point, label) for point in line.points), band)


def _drawn(point: CurvePoint, label: str) -> Point:
    words = f"{label}, radius {radius_text(point.radius)}: {percent(point.rate.share)}"
    return Point(point.radius, point.rate.share, *point.rate.interval, words)


def _hue(place: int) -> str:
    return f"hue{place % HUES} dash{place // HUES % 3}"


def _axes(evaluation: Evaluation, frame: Frame) -> tuple[Axis, Axis]:
    radii = all_radii(evaluation)
    logarithmic = radii[-1] > _WIDE_RADII * radii[0]

    def warp(radius: float) -> float:
        return math.log1p(radius / radii[0]) if logarithmic else radius

    marks = [(0.0, "clean"), *((radius, radius_text(radius)) for radius in radii)]
    title = "radius, logarithmic" if logarithmic else "radius"
    unit = " %" if frame.width > 500 else ""
    shares = [(k / 4, f"{25 * k}{unit if k == 4 else ''}") for k in range(5)]
    return Axis(0.0, radii[-1], warp, marks, title), Axis(0.0, 1.0, ticks=shares)


def _spoken(lines: Sequence[Line]) -> str:
    texts = []
    for line in lines:
        first, last = line.points[0], line.points[-1]
        texts.append(
            f"{line.kind} {line.name}: from {percent(first.rate.share)} to "
            f"{percent(last.rate.share)} at radius {radius_text(last.radius)}"
        )
    return "; ".join(texts)


# ---- data ----------------------------------------------------------------------------------------

_ATTACKS = (
    *("attack", "radius", "broken", "samples", "success", "median_l2"),
    *("median_linf", "mean_confidence", "seconds", "blind"),
)
_SAMPLES = (
    *("sample", "right", "broken_by", "broken_from", "nearest_l2"),
    *("nearest_linf", "certified_by", "certified_to"),
)


def _line_rows(evaluation: Evaluation, model: ModelEvaluation) -> Iterator[Sequence[doc.Value]]:
    """Clean (radius 0), under every attack, the worst of them, and certified."""
    for row in model.clean:
        yield ("clean", row.part, 0.0, *rate_values(row.classified.accuracy))
    for line in accuracy_lines(evaluation, model):
        for point in line.points[1:]:
            yield (line.kind, line.name, point.radius, *rate_values(point.rate))


def _attack_rows(model: ModelEvaluation, of_all: bool) -> Iterator[Sequence[doc.Value]]:
    """Every attack at every radius; distances are medians over broken samples that were right."""
    for row in model.attacks:
        success = success_rate(model, row, of_all=of_all)
        yield (
            *(row.attack, row.radius, len(row.broken), row.classified.samples),
            None if success is None else success.share,
            *distances(model, row),
            *(row.classified.confidence, row.seconds, len(row.blind)),
        )


def _sample_rows(model: ModelEvaluation) -> Iterator[Sequence[doc.Value]]:
    """Of each sample the smallest radius that breaks it and the largest that is certified."""
    wrong = set(model.clean[0].wrong)
    certified: dict[int, tuple[float, str]] = {}
    # The last one counts: the largest radius, and of several methods the first.
    for proven in sorted(reversed(model.certified), key=lambda row: row.radius):
        certified |= dict.fromkeys(proven.certified, (proven.radius, proven.method))
    for place in range(model.clean[0].classified.samples):
        reach, attack = _nearest(model, place)
        radius, method = certified.get(place, (None, None))
        yield (
            *(place, place not in wrong, attack, reach),
            _least(place, [row.l2 for row in model.attacks]),
            _least(place, [row.linf for row in model.attacks]),
            *(method, radius),
        )


def _nearest(model: ModelEvaluation, place: int) -> tuple[float | None, str | None]:
    """The smallest radius that any attack knows for a sample, and the first attack with it."""
    known = [(r, row.attack) for row in model.attacks if (r := row.reach[place]) is not None]
    return min(known, key=lambda pair: pair[0], default=(None, None))


def _least(place: int, columns: Sequence[Sequence[float | None]]) -> float | None:
    return min((v for v in (values[place] for values in columns) if v is not None), default=None)
