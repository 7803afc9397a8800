"""The disconnectivity graph: which minima reach each other below every energy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensverify.errors import BadData, BadSetting

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

FUNNEL_SHARE = 0.1
"""Depth of a funnel, at least, as a share of the energies from the lowest minimum to the highest
saddle."""

_ROUNDING = 1e-9
"""Share of an energy by which a saddle may lie below one of its minima: both are minimised."""


@dataclass(frozen=True, eq=False)
class Disconnectivity:
    """Minima, and the saddles at which their basins become one.

    Every basin is named after its lowest minimum, of equally low ones the first. Where two basins
    meet, the name of the lower one stays; the other minimum keeps the energy of the saddle and the
    minimum whose basin it joined. From these follow the superbasins below any energy.

    Parameters
    ----------
    energies : array of floats, shape ``[minima]``
    joins : array of floats, shape ``[minima]``
        Energy of the saddle at which the basin of a minimum joins a lower one; infinite for the
        lowest minimum of each part that nothing connects with the others.
    into : array of whole numbers, shape ``[minima]``
        The minimum that the basin is named after from there on, as it is named at that energy; its
        own place where it joins none.
    through : array of whole numbers, shape ``[minima]``
        Place of that saddle; -1 where there is none.
    loops : int
        Saddles that link a minimum with itself, and tell nothing here.
    funnel : array of whole numbers, shape ``[minima]``
        The lowest minimum of the funnel that each is in.
    depth : float
        Of a funnel, at least: the climb from its lowest minimum into a lower funnel.
    """

    energies: Floats
    joins: Floats
    into: Places
    through: Places
    loops: int
    funnel: Places
    depth: float

    @property
    def barriers(self) -> Floats:
        """The climb from each minimum into a lower basin, ``[minima]``; infinite where none is."""
        return np.asarray(self.joins - self.energies)

    @property
    def parts(self) -> Places:
        """The lowest minima of the parts that nothing connects with each other."""
        return np.flatnonzero(np.isinf(self.joins))

    @property
    def funnels(self) -> Places:
        """The lowest minima of the funnels, from the lowest."""
        found = np.unique(self.funnel)
        return np.asarray(found[np.lexsort((found, self.energies[found]))])

    def superbasins(self, level: float) -> Places:
        """The lowest minimum of each one's superbasin below an energy, ``[minima]``.

        Two minima are in one superbasin where a path of saddles at or below the energy connects
        them. A minimum above the energy is in none: -1.
        """
        found = np.arange(len(self.energies))
        for place in _descending(self.energies)[::-1]:
            if self.joins[place] <= level:
                # What it joined is lower, and known already.
                found[place] = found[self.into[place]]
        found[self.energies > level] = -1
        return found

    def order(self) -> Places:
        """The minima side by side so that the branches of the drawn tree do not cross.

        Each stands amid what joins it, the later the further outside.
        """
        blocks: dict[int, list[int]] = {}
        children: dict[int, list[int]] = {}
        roots = []
        for place in map(int, _descending(self.energies)):
            nearest = sorted(children.get(place, ()), key=lambda child: (self.joins[child], child))
            sides: tuple[list[list[int]], list[list[int]]] = ([], [])
            sizes = [0, 0]
            for child in nearest:
                # The side with less on it, so that a trunk stands in the middle.
                side = int(sizes[1] < sizes[0])
                sides[side].append(blocks.pop(child))
                sizes[side] += len(sides[side][-1])
            left = [each for block in reversed(sides[0]) for each in block]
            right = [each for block in sides[1] for each in block]
            blocks[place] = [*left, place, *right]
            if self.into[place] == place:
                roots.append(place)
            else:
                children.setdefault(int(self.into[place]), []).append(place)
        parts = sorted(roots, key=lambda root: (-len(blocks[root]), root))
        return np.array([each for root in parts for each in blocks[root]], dtype=np.int64)

    def levels(self, count: int) -> Floats:
        """So many energies for a drawing, evenly up to the highest saddle, ascending."""
        low, high = float(self.energies.min()), self.top
        return np.linspace(low, high, count + 1)[1:]

    @property
    def top(self) -> float:
        """The energy above which no two basins meet any more."""
        met = self.joins[np.isfinite(self.joins)]
        highest = float(self.energies.max())
        top = max(highest, float(met.max())) if len(met) else highest
        low = float(self.energies.min())
        # One minimum, or several equal ones, have a height to be drawn in all the same.
        return top if top > low else low + max(abs(low), 1.0) * 1e-3


def disconnectivity(
    energies: Any, saddles: Any, links: Any, *, share: float = FUNNEL_SHARE
) -> Disconnectivity:
    """The tree of superbasins of minima that saddles link.

    Parameters
    ----------
    energies : array of floats, shape ``[minima]``
    saddles : array of floats, shape ``[saddles]``
        Energies of saddles.
    links : array of whole numbers, shape ``[saddles, 2]``
        Places of the two minima that a saddle leads down to.
    share : float
        Depth of a funnel, as a share of the energies from the lowest minimum to the highest saddle
        that counts.

    Returns
    -------
    Disconnectivity

    Raises
    ------
    BadData
        There is no minimum, an energy is no finite number, a link leads to no minimum, or a saddle
        lies below a minimum that it leads down to.
    BadSetting
        The share is not between 0 and 1.

    Notes
    -----
    Saddles are taken from the lowest, of equal ones in their order. Sources: Becker and Karplus
    1997, *The topology of multidimensional potential energy surfaces*; Wales, *Energy Landscapes*,
    5.1. A funnel is what remains apart when basins that are less deep than ``depth`` are taken as
    part of the one that they join.

    Examples
    --------
    >>> tree = disconnectivity([0.05, 0.08, 0.06], [0.09, 0.30], [(0, 1), (0, 2)])
    >>> tree.superbasins(0.1).tolist()  # the lowest minimum of each one's basin
    [0, 0, 2]
    >>> tree.barriers.round(2).tolist()
    [inf, 0.01, 0.24]
    """
    energies, saddles, links = _checked(energies, saddles, links)
    if not 0 < share < 1:
        raise BadSetting(f"`share` needs a number between 0 and 1, got {share}")
    joins, into, through, merges = _joined(energies, saddles, links)
    met = joins[np.isfinite(joins)]
    depth = share * (float(met.max()) - float(energies.min())) if len(met) else 0.0
    return Disconnectivity(
        energies,
        joins,
        into,
        through,
        int((links[:, 0] == links[:, 1]).sum()),
        _funnels(energies, saddles, merges, depth),
        depth,
    )


def _checked(energies: Any, saddles: Any, links: Any) -> tuple[Floats, Floats, Places]:
    energies = np.array(energies, dtype=np.float64).reshape(-1)
    saddles = np.array(saddles, dtype=np.float64).reshape(-1)
    links = np.array(links)
    if links.size == 0:
        links = np.empty((0, 2), dtype=np.int64)
    if not len(energies):
        raise BadData("there is no minimum", "search for some first")
    for what, values in (("minimum", energies), ("saddle", saddles)):
        if not np.isfinite(values).all():
            place = int(np.flatnonzero(~np.isfinite(values))[0])
            raise BadData(f"the energy of {what} {place} is {values[place]}, no finite number")
    if links.shape != (len(saddles), 2) or not np.issubdtype(links.dtype, np.integer):
        raise BadData(
            f"{len(saddles)} saddles need two places of minima each, got an array of shape "
            f"{links.shape} of {links.dtype}"
        )
    links = links.astype(np.int64)
    beyond = ((links < 0) | (links >= len(energies))).any(axis=1)
    if beyond.any():
        place = int(np.flatnonzero(beyond)[0])
        raise BadData(
            f"saddle {place} leads to the minima {links[place].tolist()}, and there are "
            f"{len(energies)}, counted from 0"
        )
    if not len(saddles):
        return energies, saddles, links
    above = energies[links].max(axis=1)
    low = saddles < above - _ROUNDING * np.maximum(1.0, np.abs(above))
    if low.any():
        place = int(np.flatnonzero(low)[0])
        raise BadData(
            f"saddle {place} has the energy {saddles[place]:.9g}, below that of a minimum which it "
            f"leads down to, {above[place]:.9g}",
            "follow both ways down from it again",
        )
    return energies, np.maximum(saddles, above), links


def _descending(energies: Floats) -> Places:
    """Places from the highest to the lowest energy; of equal ones, the first comes last."""
    return np.asarray(np.lexsort((np.arange(len(energies)), energies))[::-1])


@dataclass(frozen=True)
class _Merge:
    """A saddle at which two basins become one: the ends of the saddle, in the lower and in the
    higher basin, and the lowest minimum of the latter."""

    saddle: int
    kept_end: int
    lost_end: int
    lost: int


def _joined(
    energies: Floats, saddles: Floats, links: Places
) -> tuple[Floats, Places, Places, list[_Merge]]:
    """Basins that become one, saddle by saddle."""
    count = len(energies)
    joins, into = np.full(count, np.inf), np.arange(count)
    through = np.full(count, -1)
    merges = []
    # With halved paths, apart from `into`, which keeps what was joined.
    above = list(range(count))

    def lowest(place: int) -> int:
        while above[place] != place:
            above[place] = above[above[place]]
            place = above[place]
        return place

    for saddle in np.argsort(saddles, kind="stable").tolist():
        ends = [int(end) for end in links[saddle]]
        kept, lost = (lowest(end) for end in ends)
        if kept == lost:
            continue
        if (energies[lost], lost) < (energies[kept], kept):
            kept, lost = lost, kept
            ends.reverse()
        above[lost] = kept
        joins[lost], into[lost], through[lost] = saddles[saddle], kept, saddle
        merges.append(_Merge(saddle, ends[0], ends[1], lost))
    return joins, into, through, merges


def _funnels(energies: Floats, saddles: Floats, merges: list[_Merge], depth: float) -> Places:
    """The lowest minimum of each one's funnel.

    Of two basins that meet the higher one is a funnel, or several, where its lowest minimum is as
    deep; else all of it belongs to the funnel that its saddle leads to.
    """
    funnel = np.arange(len(energies))
    members = {place: [place] for place in range(len(energies))}
    for each in merges:
        if saddles[each.saddle] - energies[each.lost] >= depth > 0:
            continue
        kept, lost = int(funnel[each.kept_end]), int(funnel[each.lost_end])
        moved = members.pop(lost)
        funnel[moved] = kept
        members[kept] += moved
    lowest = {
        name: min(places, key=lambda place: (energies[place], place))
        for name, places in members.items()
    }
    return np.array([lowest[int(name)] for name in funnel], dtype=np.int64)
