"""Figures of a study, drawn with matplotlib: colours and dashes that everybody can tell apart."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from sensverify.errors import BackendMissing
from sensverify.measures import SHARES
from sensverify.report.study.contents import VOLUMES, Course, StudyReport, Trail
from sensverify.report.study.tables import unit

# Okabe and Ito's colours, which people with any kind of colour vision tell apart; dashes and
# markers tell the lines apart in print.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#AA4499", "#E69F00", "#56B4E9", "#222222")
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (1.2, 1.4)), (0, (6, 1.5, 1.2, 1.5)))
_MARKERS = "osD^vP*"
_FEW_EPOCHS = 12
"""Up to so many points of a line carry a marker."""

_LOG_FROM = 30.0
"""Largest over smallest value from which an axis is logarithmic."""

_STYLE: Any = {
    "font.size": 9,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": "#8a9099",
    "axes.labelcolor": "#3b424c",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e2",
    "grid.linewidth": 0.7,
    "xtick.color": "#3b424c",
    "ytick.color": "#3b424c",
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "svg.hashsalt": "sensverify",
    "figure.facecolor": "white",
}
_DrawTrails = Callable[[Any, Trail, str, Mapping[str, Any]], Any]
_PARTS = {"test": "test samples", "train": "training samples", "held-out": "held-out samples"}


def figure_files(report: StudyReport) -> dict[str, bytes]:
    """Every figure of a report as SVG and as PNG, by file name.

    Raises
    ------
    BackendMissing
        matplotlib is not installed.
    """
    found: dict[str, bytes] = {}
    with _matplotlib():
        for name, draw in _figures(report):
            figure = draw()
            found[f"{name}.svg"] = _saved(figure, "svg")
            # Everything has its place now.
            figure.set_layout_engine("none")
            found[f"{name}.png"] = _saved(figure, "png")
    return found


def panel_pictures(report: StudyReport) -> dict[tuple[str, str], bytes]:
    """Every panel alone as SVG.

    By part and metric, or by ``sensitivity_seeds`` or ``sensitivity_energy`` and the samples.

    Raises
    ------
    BackendMissing
        matplotlib is not installed.
    """
    found: dict[tuple[str, str], bytes] = {}
    with _matplotlib():
        for course in report.courses:
            # Placed by hand, which is much faster than a layout for each of so many.
            figure = _new_figure((4.6, 3.0), layout=None)
            axes = figure.add_axes((0.12, 0.145, 0.86, 0.765))
            _draw_course(axes, course, _looks(report))
            axes.set_xlabel("epoch")
            axes.legend(fontsize=7.5, ncols=2, handlelength=2.6, loc="best", labelspacing=0.3)
            found[course.part, course.metric] = _saved(figure, "svg")
        for name, draw in _trail_kinds(report):
            for group in report.trails[0].sense:
                found[name, group] = _saved(_trail_figure(report.trails, draw, [group]), "svg")
    return found


def _figures(report: StudyReport) -> Iterator[tuple[str, Callable[[], Any]]]:
    for part in _PARTS:
        courses = [course for course in report.courses if course.part == part]
        if courses:
            yield f"course_{part}", partial(_course_figure, report, courses, part)
    for name, draw in _trail_kinds(report):
        yield name, partial(_trail_figure, report.trails, draw, list(report.trails[0].sense))


def _course_figure(report: StudyReport, courses: Sequence[Course], part: str) -> Any:
    columns = min(3 if len(courses) <= 9 else 4, len(courses))
    rows = math.ceil(len(courses) / columns)
    figure = _new_figure((3.2 * columns, 2.4 * rows + 0.8))
    looks = _looks(report)
    for number, course in enumerate(courses, start=1):
        _draw_course(figure.add_subplot(rows, columns, number), course, looks)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(6, len(labels)))
    seeds = max(course.seeds for course in courses)
    band = f"mean and range of {seeds} seeds" if seeds > 1 else "one seed"
    words = f"{report.title}: {_PARTS[part]} over the epochs, {band}"
    figure.suptitle(words, fontsize=10.5, x=0.01, ha="left")
    return figure


def _draw_course(axes: Any, course: Course, looks: Mapping[str, Mapping[str, Any]]) -> None:
    scale = 100.0 if course.metric in SHARES else 1.0
    for line in course.lines:
        look = looks[line.name]
        few = len(line.epochs) <= _FEW_EPOCHS
        mean, low, high = ([scale * v for v in each] for each in (line.mean, line.low, line.high))
        axes.fill_between(line.epochs, low, high, color=look["color"], alpha=0.16, linewidth=0)
        axes.plot(
            line.epochs,
            mean,
            label=line.name,
            linewidth=1.6,
            markersize=3.2,
            **{**look, "marker": look["marker"] if few else ""},
        )
        for mark in line.marks:
            axes.axvline(mark, color=look["color"], linewidth=0.7, alpha=0.45)
    if _is_log(course):
        axes.set_yscale("log")
        _read_log(axes.yaxis)
    _whole_epochs(axes)
    axes.set_title(course.metric + unit(course.metric))


def _is_log(course: Course) -> bool:
    lows = [value for line in course.lines for value in line.low]
    highs = [value for line in course.lines for value in line.high]
    if not lows or min(lows) <= 0:
        return False
    return course.metric in VOLUMES or max(highs) > _LOG_FROM * min(lows)


def _read_log(axis: Any) -> None:
    """Numbers that can be read on a logarithmic axis, also over less than a decade."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    low, high = axis.get_view_interval()
    if high < 150 * low:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def _whole_epochs(axes: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.margins(x=0.02)


def _trail_kinds(report: StudyReport) -> Iterator[tuple[str, _DrawTrails]]:
    if report.trails and report.draws_seeds:
        yield "sensitivity_seeds", _over_epochs
    if report.trails and report.draws_energy:
        yield "sensitivity_energy", _against_energy


def _trail_figure(trails: Sequence[Trail], draw: _DrawTrails, groups: Sequence[str]) -> Any:
    """One panel for each group of samples; a colour a seed or, of several losses, a loss."""
    names = list(dict.fromkeys(trail.name for trail in trails))
    figure = _new_figure((4.6 * len(groups), 3.5))
    lines: dict[str, Any] = {}
    for place, group in enumerate(groups, start=1):
        axes = figure.add_subplot(1, len(groups), place)
        for number, trail in enumerate(trails):
            alone = len(names) == 1
            look = _look(number if alone else names.index(trail.name), "")
            line = draw(axes, trail, group, look)
            lines.setdefault(f"seed {trail.seed}" if alone else trail.name, line)
        if all(min(trail.sense[group]) > 0 for trail in trails):
            axes.set_yscale("log")
            _read_log(axes.yaxis)
        axes.set_title(f"SENSE, mean over {group}")
        if draw is _over_epochs:
            _whole_epochs(axes)
            axes.set_xlabel("epoch")
            continue
        if all(min(trail.energy) > 0 for trail in trails):
            axes.set_xscale("log")
            _read_log(axes.xaxis)
        # Training goes from left to right.
        axes.invert_xaxis()
        axes.set_xlabel("energy")
    ncols = min(4 * len(groups), len(lines))
    figure.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=ncols)
    return figure


def _over_epochs(axes: Any, trail: Trail, group: str, look: Mapping[str, Any]) -> Any:
    """The sensitivity over the epochs: Figure 6 of Wang et al."""
    return axes.plot(trail.epochs, trail.sense[group], linewidth=1.3, **look)[0]


def _against_energy(axes: Any, trail: Trail, group: str, look: Mapping[str, Any]) -> Any:
    """The sensitivity against the energy; a dot is where the training ended."""
    sense = trail.sense[group]
    axes.plot(trail.energy[-1], sense[-1], "o", color=look["color"], markersize=5)
    return axes.plot(trail.energy, sense, linewidth=1.1, **look)[0]


def _looks(report: StudyReport) -> dict[str, dict[str, Any]]:
    """A colour, dash and marker for every loss, the same in all figures."""
    return {
        fact.name: _look(k, _MARKERS[k % len(_MARKERS)]) for k, fact in enumerate(report.losses)
    }


def _look(number: int, marker: str) -> dict[str, Any]:
    return {
        "color": _COLOURS[number % len(_COLOURS)],
        # Where colours come again, they do so with other dashes.
        "linestyle": _DASHES[(number + number // len(_COLOURS)) % len(_DASHES)],
        "marker": marker,
    }


@contextmanager
def _matplotlib() -> Iterator[None]:
    try:
        import matplotlib
    except ImportError:
        raise BackendMissing(
            "the figures of a study need matplotlib, which is not installed; in a copy of "
            "sensverify's repository: pip install '.[examples]'"
        ) from None
    with matplotlib.rc_context(_STYLE):
        yield


def _new_figure(size: tuple[float, float], layout: Any = "constrained") -> Any:
    # Not through pyplot, which keeps every figure and wants to know about windows.
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout=layout)


def _saved(figure: Any, kind: str) -> bytes:
    stream = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else None
    figure.savefig(stream, format=kind, dpi=160, metadata=metadata)
    return stream.getvalue()
