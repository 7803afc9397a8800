"""The disconnectivity graph as a drawing: branches down to the minima, coloured by a value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from sensverify.landscape.disconnectivity import Disconnectivity
from sensverify.report.chart import Axis, Drawing, Frame, Mark, Plot, value_axis
from sensverify.report.formatting import count_of, pretty_number
from sensverify.report.theme import TINTS

WIDE = Frame(920, 520, left=56, right=14, top=44, bottom=14)
NARROW = Frame(380, 440, left=50, right=10, top=44, bottom=12)
"""For phones."""

_LEVELS = 60
"""Energies at which branches may part."""

_BRANCHES = 1500
"""Minima that are drawn."""

_ROOM = 0.03
"""Share of the height that is left above the highest saddle."""


def tree_drawing(
    tree: Disconnectivity,
    names: Sequence[str],
    values: Sequence[float | None],
    frame: Frame,
    *,
    what: str,
) -> Drawing:
    """Energies upward, minima side by side; two are below one branch where they are connected.

    Parameters
    ----------
    tree : Disconnectivity
    names : sequence of str
        Of the minima.
    values : sequence of float or None
        Their colours: five of them, with as many minima each. None is grey, behind the others.
    frame : Frame
    what : str
        What the values are.

    Notes
    -----
    Of very many minima those with the highest barriers are drawn, and the picture says how many.
    """
    drawn = _drawn(tree)
    order = [place for place in tree.order().tolist() if place in drawn]
    across = {place: float(at) for at, place in enumerate(order)}
    low, top = float(tree.energies.min()), tree.top
    high = top + _ROOM * (top - low)
    found = value_axis([low, high])
    y = Axis(low - _ROOM * (top - low), high, ticks=[t for t in found.ticks if low <= t[0] <= high])
    plot = Plot(frame, Axis(-0.5, len(order) - 0.5, ticks=[(-0.5, "")]), y)
    _draw_energies(plot)
    tints = _tints(values)
    painted = sorted(order, key=lambda at: (values[at] is not None, -float(tree.energies[at])))
    for place, corners in _branches(tree, painted, across, high):
        look = f"line fine {tints[place]}"
        told = _told(tree, place, names[place], values[place], what)
        plot.marks.append(Mark("line", tuple(plot.at(*each) for each in corners), look, told))
    _draw_key(plot, values, what)
    minima = count_of(len(tree.energies), "minimum", "minima")
    words = (
        f"Disconnectivity graph of {minima} with energies from {pretty_number(low)}, in "
        f"{count_of(len(tree.parts), 'part')} that no saddle connects"
    )
    if len(order) < len(tree.energies):
        count = f"{len(order):,} of {len(tree.energies):,} minima, of the highest barriers"
        plot.text(plot.right, plot.top - 30, count, "axis", "end")
        words += f"; drawn are {count}"
    return plot.drawing(words, "curves")


def _drawn(tree: Disconnectivity) -> set[int]:
    """All minima, or those of the highest barriers; what they join has higher ones."""
    if len(tree.energies) <= _BRANCHES:
        return set(range(len(tree.energies)))
    by_height = np.lexsort((tree.energies, -tree.barriers))
    return set(by_height[:_BRANCHES].tolist())


def _draw_energies(plot: Plot) -> None:
    for value, text in plot.y.ticks:
        y = plot.at(plot.x.low, value)[1]
        plot.marks.append(Mark("line", ((plot.left, y), (plot.right, y)), "grid"))
        plot.text(plot.left - 6, y + 4, text, anchor="end")
    plot.text(plot.left - 46, plot.top - 8, "energy", "axis", "start")


def _branches(
    tree: Disconnectivity, order: Sequence[int], across: dict[int, float], high: float
) -> Iterator[tuple[int, list[tuple[float, float]]]]:
    """Corners of each minimum's branch, from its energy to where it joins another's."""
    levels = tree.levels(_LEVELS)
    # Rounding must not lift what joins at the highest saddle above the last level.
    places = np.minimum(np.searchsorted(levels, tree.joins, side="left"), len(levels) - 1)
    basins = {place: tree.superbasins(levels[place]) for place in set(places.tolist())}
    for place in order:
        x, energy = across[place], float(tree.energies[place])
        if np.isinf(tree.joins[place]):
            yield place, [(x, energy), (x, high)]
            continue
        at = int(places[place])
        parent = int(basins[at][place])
        corners = [(x, energy)]
        if at and levels[at - 1] > energy:
            corners.append((x, float(levels[at - 1])))
        yield place, [*corners, (across[parent], max(float(levels[at]), energy))]


def _tints(values: Sequence[float | None]) -> list[str]:
    """A tint for each value, by its rank: as many of each."""
    known = np.array([value for value in values if value is not None])
    if not len(known):
        return ["unknown"] * len(values)
    edges = np.quantile(known, np.arange(1, TINTS) / TINTS)
    return [
        "unknown" if value is None else f"tint{int(np.searchsorted(edges, value, side='left'))}"
        for value in values
    ]


def _told(tree: Disconnectivity, place: int, name: str, value: float | None, what: str) -> str:
    text = f"{name}: energy {pretty_number(float(tree.energies[place]))}"
    if value is not None:
        text += f", {what} {pretty_number(value)}"
    barrier = float(tree.barriers[place])
    return text if np.isinf(barrier) else f"{text}, barrier {pretty_number(barrier)}"


def _draw_key(plot: Plot, values: Sequence[float | None], what: str) -> None:
    known = [value for value in values if value is not None]
    if not known:
        return
    y, size = plot.top - 38, 12.0
    low, high = pretty_number(min(known)), pretty_number(max(known))
    x = plot.left - 46
    plot.text(x, y + 10, f"{what}: {low}", anchor="start")
    x += 6.2 * (len(what) + len(low) + 2) + 6
    for place in range(TINTS):
        corners = (x + size * place, y), (x + size * (place + 1), y + size)
        plot.marks.append(Mark("box", corners, f"patch tint{place}"))
    plot.text(x + size * TINTS + 6, y + 10, high, anchor="start")
