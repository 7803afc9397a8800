"""Effective robustness: a matrix, the lines of the baselines, and a picture of each shift."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sensverify.report import document as doc
from sensverify.report.formatting import DASH, percent, points, signed
from sensverify.report.scores.common import data, matrix, told
from sensverify.report.scores.scatter import Dot, scatter
from sensverify.scores.effective import Effective, Effectives, Fit

_LEAST = 0.01
"""Effective robustness with the strongest colour where none is larger."""


def effective_section(found: Effectives) -> doc.Section:
    """Accuracy beyond the lines, and the lines."""
    return doc.Section(
        "effective-robustness",
        "Effective robustness",
        tuple(_blocks(found)),
        data=(
            data("effective", lambda: map(_values, found.cells)),
            data("lines", lambda: map(_line, found.fits)),
        ),
    )


def _blocks(found: Effectives) -> Iterator[doc.Block]:
    yield doc.Text(
        "Accuracy under a shift minus what the line of the baselines says at the same clean "
        f"accuracy, in points. Baselines: {', '.join(found.baselines)}; theirs is in brackets. "
        "(+) and (-) stand where the 95 % interval of a further network on the line says so, which "
        "takes three baselines."
    )
    wide = len(found.shifts)
    rows = [
        doc.row(name, *map(_cell, found.cells[place * wide : (place + 1) * wide]))
        for place, name in enumerate(found.networks)
    ]
    yield from matrix(found.shifts, rows, "effective robustness, points", strength=_strength(found))
    lines = [
        doc.row(
            fit.shift,
            _number(fit.slope),
            _number(fit.intercept),
            _number(fit.explained),
            doc.Cell(f"{fit.baselines}", value=fit.baselines),
        )
        for fit in found.fits
    ]
    columns = ("slope", "intercept", "explained variance", "baselines")
    yield from matrix(columns, lines, "lines of the baselines")
    why = [f"Not measured under {fit.shift}: {fit.reason}." for fit in found.fits if fit.reason]
    if why:
        yield from told(why)
    figures = [figure for fit in found.fits if (figure := _figure(found, fit)) is not None]
    if figures:
        yield doc.Group(figures, "pair", on=doc.PAGE)


def _strength(found: Effectives) -> Callable[[float], float]:
    known = [abs(each.effective) for each in found.cells if each.effective is not None]
    most = max([_LEAST, *known])
    return lambda value: value / most


def _figure(found: Effectives, fit: Fit) -> doc.Figure | None:
    groups: dict[str, list[Dot]] = {"baselines": [], "others": []}
    for each in found.cells:
        if each.shift == fit.shift and each.clean is not None and each.accuracy is not None:
            words = f"{each.network}: clean {percent(each.clean)}, {percent(each.accuracy)}"
            if each.effective is not None:
                words += f"; {points(each.effective)} points beyond the line"
            name = "baselines" if each.baseline else "others"
            groups[name].append((each.clean, each.accuracy, words))
    groups = {name: dots for name, dots in groups.items() if dots}
    if not groups:
        return None
    lines = {"nothing lost": (1.0, 0.0)}
    if fit.slope is not None and fit.intercept is not None:
        lines["their line"] = (fit.slope, fit.intercept)
    drawing = scatter(groups, ("clean accuracy", fit.shift), lines=lines, shares=True)
    return doc.Figure([drawing], f"Clean and {fit.shift}", look="card")


def _cell(each: Effective) -> doc.Cell:
    if each.effective is None:
        return doc.Cell(DASH, title="not measured")
    text = points(each.effective)
    if each.sign:
        text = f"{text} ({each.sign})"
    if each.baseline:
        text = f"[{text}]"
    note = ""
    if each.lower is not None and each.upper is not None:
        note = f"{points(each.lower)} to {points(each.upper)}"
    return doc.Cell(text, note=note, value=each.effective)


def _number(value: float | None) -> doc.Cell:
    return doc.Cell(DASH if value is None else signed(value, 3), value=value)


def _values(each: Effective) -> tuple[doc.Value, ...]:
    return (
        *(each.network, each.shift, each.baseline, each.clean, each.accuracy),
        *(each.effective, each.lower, each.upper, each.sign or None, each.as_printed),
    )


def _line(fit: Fit) -> tuple[doc.Value, ...]:
    return (
        *(fit.shift, fit.baselines, fit.slope, fit.intercept, fit.explained),
        fit.reason or None,
    )
