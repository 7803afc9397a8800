"""Gains under shifts as matrices."""

from __future__ import annotations

from collections.abc import Iterator

from sensverify.report import document as doc
from sensverify.report.formatting import DASH, percent, points, signed
from sensverify.report.scores.common import data, matrix
from sensverify.scores.transfer import Transfer, Transfers

_LEAST = 0.01
"""Gain with the strongest colour where none is larger."""


def transfer_section(found: Transfers) -> doc.Section:
    """Gains with their intervals, APP with its mean, and what holds without the shift itself."""
    return doc.Section(
        "transfer",
        "Transfer of robustness",
        tuple(_blocks(found)),
        data=(data("transfer", lambda: map(_values, found.cells)),),
    )


def _blocks(found: Transfers) -> Iterator[doc.Block]:
    text = (
        "Gains in accuracy on the standard network, in points, with Newcombe's 95 % interval. "
        "(+) and (-) stand only where it says so; a gain in brackets is on the shift that the "
        "network was trained with."
    )
    if any(each.gain is not None and not each.gain.paired for each in found.cells):
        text += (
            " Where nobody says which samples each network has right, the interval is that of "
            "independent samples."
        )
    yield doc.Text(text)
    for name, others in found.aliases.items():
        yield doc.Text(f"{name} is {', '.join(others)} as well: the same network.")
    wide = len(found.shifts)
    cells = {
        name: found.cells[place * wide : (place + 1) * wide]
        for place, name in enumerate(found.networks)
    }
    gains = [
        doc.row(name, *map(_gain, row))
        for name, row in cells.items()
        if any(each.gain is not None for each in row)
    ]
    known = [abs(each.gain.difference) for each in found.cells if each.gain is not None]
    most = max([_LEAST, *known])
    title = "gain in accuracy, points"
    yield from matrix(found.shifts, gains, title, strength=lambda gain: gain / most)
    kept = [
        doc.row(
            name,
            percent(found.clean[name]),
            *(_number(each.app) for each in row),
            _number(found.mean_app(name)),
        )
        for name, row in cells.items()
    ]
    columns = ("clean", *found.shifts, "mean")
    yield from matrix(columns, kept, "APP: accuracy over clean accuracy")
    if found.held_out:
        rows = [doc.row(each.network, each.shift, _gain(each)) for each in found.held_out]
        title = "trained with all shifts but one, under that one"
        yield from matrix(("held out", "gain"), rows, title)


def _gain(each: Transfer) -> doc.Cell:
    if each.gain is None:
        return doc.Cell(DASH, title="not measured")
    found = each.gain
    text = points(found.difference)
    if found.sign:
        text = f"{text} ({found.sign})"
    if each.role == "own":
        text = f"[{text}]"
    note = f"{points(found.lower)} to {points(found.upper)}"
    return doc.Cell(text, note=note, value=found.difference)


def _number(value: float | None) -> doc.Cell:
    return doc.Cell(DASH if value is None else signed(value, 2), value=value)


def _values(each: Transfer) -> tuple[doc.Value, ...]:
    found = each.gain
    head = (each.network, each.shift, each.role)
    if found is None:
        return (*head, None, None, None, None, None, None, None, each.app)
    return (
        *(*head, found.accuracy, found.standard, found.difference, found.lower, found.upper),
        *(found.sign or None, found.paired, each.app),
    )
