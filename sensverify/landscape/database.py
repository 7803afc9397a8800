"""The minima and saddles of an energy, each once, and how they are linked."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import torch

from sensverify.errors import BadSetting
from sensverify.landscape.points import Link, StationaryPoint
from sensverify.landscape.rows import Found
from sensverify.landscape.symmetry import NONE, Symmetry


@dataclass(frozen=True)
class Alike:
    """Tolerances within which two stationary points are one.

    Parameters
    ----------
    energy : float
        Difference of their energies, at most, in shares of the larger of 1 and the energy.
    form : float
        Distance of their canonical forms, at most, in shares of the larger of 1 and the length.
    spectrum : float
        Difference of their eigenvalues, at most, in shares of the largest; looked at where the
        canonical forms differ and neurons can change places: neurons that agree along the direction
        they are ordered by, and exchanges of inputs that the data do not notice.
    """

    energy: float = 1e-9
    form: float = 1e-4
    spectrum: float = 1e-6

    def __post_init__(self) -> None:
        for name in ("energy", "form", "spectrum"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise BadSetting(
                    f"`{name}` needs a number of at least 0, got {getattr(self, name)}"
                )


class Database:
    """Stationary points and links, identified as they come.

    The same tasks in the same order give the same database, with the same keys.

    Parameters
    ----------
    symmetry : Symmetry
        Of the energy.
    alike : Alike
    """

    def __init__(self, symmetry: Symmetry = NONE, alike: Alike = Alike()) -> None:
        self._symmetry, self._alike = symmetry, alike
        self._points: dict[str, StationaryPoint] = {}
        self._forms: dict[str, np.ndarray] = {}
        self._ordered: dict[str, list[tuple[float, str]]] = {"minimum": [], "saddle": []}
        self._links: dict[str, Link] = {}
        self.seen: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()

    @property
    def points(self) -> Mapping[str, StationaryPoint]:
        """By key, as they were found."""
        return MappingProxyType(self._points)

    @property
    def minima(self) -> tuple[StationaryPoint, ...]:
        """From the lowest energy on."""
        return tuple(self._points[key] for _, key in self._ordered["minimum"])

    @property
    def saddles(self) -> tuple[StationaryPoint, ...]:
        """From the lowest energy on."""
        return tuple(self._points[key] for _, key in self._ordered["saddle"])

    @property
    def links(self) -> tuple[Link, ...]:
        """One for each saddle whose two paths were followed, as they were found."""
        return tuple(self._links.values())

    def neighbours(self) -> dict[str, set[str]]:
        """Of each minimum, the other minima that a saddle links it to."""
        found: dict[str, set[str]] = {point.key: set() for point in self.minima}
        for link in self._links.values():
            if link.connects:
                first, second = link.minima
                found[first].add(second)
                found[second].add(first)
        return found

    def least_connected(self, count: int, tried: Mapping[str, int]) -> tuple[str, ...]:
        """Keys of minima with the fewest neighbours.

        Parameters
        ----------
        count : int
            How many, at most.
        tried : mapping
            How often each was begun at: among minima with as many neighbours, who was tried less
            comes first, then who is lower.
        """
        neighbours = self.neighbours()
        ranked = sorted(
            (tried.get(p.key, 0) + len(neighbours[p.key]), place, p.key)
            for place, p in enumerate(self.minima)
        )
        return tuple(key for _, _, key in ranked[:count])

    def nearest(self, key: str) -> tuple[str, ...]:
        """Keys of the other minima, from the one whose canonical form is nearest to that of one."""
        form = self._forms[key]
        others = [each.key for each in self.minima if each.key != key]
        apart = [float(np.linalg.norm(self._forms[each] - form)) for each in others]
        return tuple(others[place] for place in np.argsort(apart, kind="stable"))

    def add(self, found: Found) -> tuple[str, ...]:
        """Take in what a task has found; the keys of its points."""
        keys = tuple(self.identify(point) for point in found.points)
        for link in found.links:
            key = keys[link.saddle]
            first, second = keys[link.minima[0]], keys[link.minima[1]]
            self._links.setdefault(key, Link(key, (first, second), link.paths))
        for key, end in found.ends.items():
            self._points[key] = replace(self._points[key], relu=end)
        self.lost.update(found.lost)
        return keys

    def identify(self, point: StationaryPoint) -> str:
        """The key of a point, which is taken in where it is new.

        Raises
        ------
        InputError
            It is neither a minimum nor a saddle of index 1.
        """
        kind = point.kind
        form = self._symmetry.canonical(torch.tensor(point.weights)).numpy()
        near = self._alike.energy * max(1.0, abs(point.energy))
        ordered = self._ordered[kind]
        begin = bisect_left(ordered, (point.energy - near, ""))
        for energy, key in ordered[begin:]:
            if energy > point.energy + near:
                break
            if self._same(key, point, form):
                self.seen[key] += 1
                return key
        key = f"{kind[0]}{len(ordered) + 1}"
        self._points[key] = replace(point, key=key)
        self._forms[key] = form
        ordered.insert(bisect_left(ordered, (point.energy, key)), (point.energy, key))
        self.seen[key] += 1
        return key

    def _same(self, key: str, point: StationaryPoint, form: np.ndarray) -> bool:
        there = self._points[key]
        near = self._alike.form * max(1.0, float(np.linalg.norm(form)))
        if float(np.linalg.norm(self._forms[key] - form)) <= near:
            return True
        if not self._symmetry:
            return False
        largest = max(float(np.abs(there.spectrum).max()), 1e-300)
        apart = float(np.abs(there.spectrum - point.spectrum).max())
        return apart <= self._alike.spectrum * largest


def of_rows(rows: Iterable[Found], symmetry: Symmetry, alike: Alike = Alike()) -> Database:
    """The database of tasks, in the order given."""
    database = Database(symmetry, alike)
    for row in rows:
        database.add(row)
    return database
