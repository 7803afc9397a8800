"""Figures of a landscape: sensitivity against energy, over-estimates, the course of trainings."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from sensverify.landscape.answers import MeasuredMinimum, main_column
from sensverify.landscape.findings import Findings
from sensverify.landscape.sensitivity import EXACT, PARTS, Column, columns_of, main_sigma
from sensverify.report.chart import (
    Axis,
    Drawing,
    Frame,
    Point,
    Stroke,
    line_chart,
    panels,
    svg,
    value_axis,
)
from sensverify.report.formatting import number, pretty_number
from sensverify.report.landscape.sentences import part_words
from sensverify.report.landscape.tree import NARROW, WIDE, tree_drawing
from sensverify.report.raster import png
from sensverify.report.scores.scatter import Dot, scatter
from sensverify.report.theme import HUES, standalone_style

_FRAME = Frame(380, 300, left=56, right=96, letters=12)
_RATIO = 30.0
"""Largest over smallest value from which an axis is logarithmic."""

_POINTS = 200
"""Points of a line of the training."""


def tree_figures(found: Findings) -> tuple[Drawing, Drawing]:
    """The disconnectivity graph, and that for phones."""
    column = main_column(found.settings, "log-volume")
    known = {each.key: each.values.get(column.name) for each in found.minima}
    # Who ends at the ReLU network of another minimum has what was measured of that.
    values = [known.get(found.repeats.get(key, key)) for key in found.keys]
    wide, narrow = (
        tree_drawing(found.tree, found.keys, values, frame, what="log-volume")
        for frame in (WIDE, NARROW)
    )
    return wide, narrow


def energy_figure(found: Findings, sigma: float) -> Drawing | None:
    """Sensitivity against energy at a radius, as Fig. 5; None where nothing is known."""
    main = main_column(found.settings)
    groups: dict[str, Sequence[Dot]] = {}
    for part in PARTS:
        name = Column("sensitivity", main.method, sigma, part).name
        groups[part_words(part, found)] = list(_dots(found.stationary, name))
    marked = [each for each in found.minima if not each.stationary]
    name = Column("sensitivity", main.method, sigma, "all").name
    groups["not stationary"] = list(_dots(marked, name))
    groups = {label: dots for label, dots in groups.items() if dots}
    if not groups:
        return None
    return scatter(groups, ("energy", f"{main.method} sensitivity"), log=_wide(groups))


def _dots(minima: Sequence[MeasuredMinimum], name: str) -> Iterator[Dot]:
    for each in minima:
        value = each.values.get(name)
        if value is not None and math.isfinite(each.energy):
            words = f"{each.key}: energy {pretty_number(each.energy)}, {pretty_number(value)}"
            yield each.energy, value, words


def _wide(groups: Mapping[str, Sequence[Dot]]) -> bool:
    heights = [up for dots in groups.values() for _, up, _ in dots]
    return min(heights) > 0 and max(heights) > _RATIO * min(heights)


def over_figure(found: Findings, sigma: float) -> Drawing | None:
    """Relative over-estimates over the minima by energy, as Fig. 4; None where none is known."""
    groups: dict[str, Sequence[Dot]] = {}
    for each in found.over:
        if each.sigma != sigma or each.method == EXACT:
            continue
        dots = [
            (float(at), value, f"{minimum.key}, {each.method}: {pretty_number(value)}")
            for at, (minimum, value) in enumerate(
                zip(found.minima, each.values, strict=True), start=1
            )
            if value is not None
        ]
        if dots:
            groups[each.method] = dots
    if not groups:
        return None
    return scatter(groups, ("minima by energy", "relative over-estimate"), log=_wide(groups))


def course_figure(found: Findings, sigma: float) -> Drawing | None:
    """Sensitivity along trainings, as Fig. 6; None where none was measured.

    Of one training by every method, of several by the main one.
    """
    lines = _courses(found, sigma)
    if not lines:
        return None
    values = [value for line in lines.values() for _, value in line]
    steps = [step for line in lines.values() for step, _ in line]
    log = min(values) > 0 and max(values) > _RATIO * min(values)
    strokes = [
        Stroke(
            name,
            f"hue{place % HUES} bold{f' dash{place % 3}' if place % 3 else ''}",
            tuple(
                Point(step, value, words=f"{name}, step {step}: {number(value)}")
                for step, value in line[:: math.ceil(len(line) / _POINTS)]
            ),
        )
        for place, (name, line) in enumerate(lines.items())
    ]
    first, last = min(steps), max(steps)
    marks = sorted({first, (first + last) // 2, last})
    end = float(last if last > first else first + 1)
    x = Axis(first, end, ticks=[(mark, f"{mark}") for mark in marks], title="step of the training")
    words = f"Sensitivity along training at sigma {sigma:.6g}"
    return line_chart(strokes, _FRAME, x, value_axis(values, log=log), words=words)


def _courses(found: Findings, sigma: float) -> dict[str, list[tuple[int, float]]]:
    """Steps and sensitivities by the name of a line; none is empty."""
    seeds = list(dict.fromkeys(shot.seed for shot, _ in found.course))
    main = main_column(found.settings).method
    lines: dict[str, list[tuple[int, float]]] = {}
    for column in columns_of(found.settings):
        if (column.figure, column.sigma, column.part) != ("sensitivity", sigma, "all"):
            continue
        if len(seeds) > 1 and column.method != main:
            continue
        for shot, row in found.course:
            value = row.values.get(column.name)
            if value is not None:
                name = f"seed {shot.seed}" if len(seeds) > 1 else column.method
                lines.setdefault(name, []).append((shot.step, value))
    return lines


def figure_files(found: Findings) -> dict[str, bytes]:
    """Every figure as SVG and as PNG, by file name.

    Raises
    ------
    BackendMissing
        matplotlib, which paints the PNG, is not installed.
    """
    sigma = main_sigma(found.settings)
    named: dict[str, Drawing | None] = {
        "disconnectivity": tree_figures(found)[0],
        "over_estimates": over_figure(found, sigma),
        "training": course_figure(found, sigma),
    }
    drawn = [each for each in (energy_figure(found, s) for s in found.settings.sigmas) if each]
    if drawn:
        heading = f"Sensitivity against energy at sigma {', '.join(_sigmas(found))}"
        named["sensitivity_energy"] = panels(drawn, columns=len(drawn), heading=heading)
    files: dict[str, bytes] = {}
    for name, figure in named.items():
        if figure is not None:
            files[f"{name}.svg"] = svg(figure, style=standalone_style()).encode()
            files[f"{name}.png"] = png(figure)
    return files


def _sigmas(found: Findings) -> list[str]:
    return [f"{each:.6g}" for each in found.settings.sigmas]
