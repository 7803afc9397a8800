"""The table: networks down, shifts of the data across, and measures beside them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from sensverify.errors import BadData

Kind: TypeAlias = Literal["clean", "train", "attack", "certified", "corruption", "shift"]
KINDS: tuple[str, ...] = get_args(Kind)
"""What a shift is: none, on test or on training samples; the others, and ``shift`` for any."""

_SEED = re.compile(r"-seed\d+$")


@dataclass(frozen=True)
class Network:
    """One network.

    Parameters
    ----------
    name : str
    sha256 : str or None
        Digest of its file; None where nobody has it, and the name stands for the network.
    aliases : tuple of str
        Further names of a network with a digest.
    """

    name: str
    sha256: str | None = None
    aliases: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The digest, or the name where there is none."""
        return self.sha256 or self.name

    @property
    def group(self) -> str:
        """The name without an ending ``-seedN``: networks of a group differ in the seed alone."""
        return _SEED.sub("", self.name)

    @property
    def run(self) -> str:
        """The group up to its first ``_``: what a study with a grid trains at every point."""
        return self.group.partition("_")[0]

    @property
    def called(self) -> frozenset[str]:
        """All its names, with and without an ending ``-seedN`` and the point of a grid."""
        others = [Network(name) for name in (self.name, *self.aliases)]
        return frozenset(name for each in others for name in (each.name, each.group, each.run))


@dataclass(frozen=True)
class Shift:
    """A shift of the data: an attack, a corruption, other data, or none.

    Parameters
    ----------
    name : str
    severity : float or None
        Severity of a corruption, radius of an attack; None where there is no such thing.
    kind : str
        One of `KINDS`.
    """

    name: str
    severity: float | None = None
    kind: Kind = "shift"

    @property
    def label(self) -> str:
        """The name with the severity: ``fog/3``, ``pgd(steps=40)/0.1``."""
        return self.name if self.severity is None else f"{self.name}/{self.severity:g}"


CLEAN = Shift("clean", None, "clean")
"""The test samples as they are."""


@dataclass(frozen=True)
class Source:
    """A file or folder that rows came from.

    Parameters
    ----------
    path : str
    form : str
        What it is: ``evaluation``, ``csv``, ``published``, ``study``.
    sha256 : str
        Digest of the file.
    """

    path: str
    form: str
    sha256: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Scores:
    """Networks x shifts: samples classified right, and measures of the networks.

    Arrays are kept as copies that cannot be written. A cell that nobody has measured has the total
    0, so that its accuracy is NaN; an unknown measure is NaN.

    Parameters
    ----------
    networks : tuple of Network
        With different keys and names.
    shifts : tuple of Shift
        All different.
    right, total : array of whole numbers, shape ``[networks, shifts]``
        Samples whose label is kept, of how many.
    wrong : mapping from (network, shift) to array of whole numbers
        By places: positions of the samples that are not right, ascending, where they are known.
    measures : tuple of str
        Names.
    values : array of floats, shape ``[networks, measures]``
    samples : str or None
        Digest of the samples, or the name of published ones; None where nobody says.
    sources : tuple of Source
    origin : array of whole numbers, shape ``[networks, shifts]``
        Place in ``sources`` that a cell came from; -1 where it is not measured.
    """

    networks: tuple[Network, ...]
    shifts: tuple[Shift, ...]
    right: NDArray[np.int64]
    total: NDArray[np.int64]
    wrong: Mapping[tuple[int, int], NDArray[np.int64]] = field(default_factory=dict)
    measures: tuple[str, ...] = ()
    values: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 0)))
    samples: str | None = None
    sources: tuple[Source, ...] = ()
    origin: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 0), dtype=np.int64))

    def __post_init__(self) -> None:
        cells = (len(self.networks), len(self.shifts))
        values = (
            self.values if self.measures else np.empty((len(self.networks), 0), dtype=np.float64)
        )
        origin = self.origin if np.size(self.origin) else np.full(cells, -1)
        kept = {place: _frozen(each, np.int64) for place, each in sorted(self.wrong.items())}
        for name, array in (
            ("right", _frozen(self.right, np.int64)),
            ("total", _frozen(self.total, np.int64)),
            ("values", _frozen(values, np.float64)),
            ("origin", _frozen(origin, np.int64)),
            ("wrong", MappingProxyType(kept)),
        ):
            object.__setattr__(self, name, array)
        self._check(cells)

    def _check(self, cells: tuple[int, int]) -> None:
        kinds: dict[str, Kind] = {}
        for each in self.shifts:
            if kinds.setdefault(each.name, each.kind) != each.kind:
                raise BadData(
                    f"the shift '{each.name}' is of the kinds '{kinds[each.name]}' and "
                    f"'{each.kind}'",
                    "name its kind in the column kind of a CSV file, or call one otherwise",
                )
        for what, things in (
            ("networks with the name", [each.name for each in self.networks]),
            ("networks with the digest", [each.key for each in self.networks]),
            ("shifts", [each.label for each in self.shifts]),
            ("measures", [*self.measures]),
        ):
            twice = next((each for each, count in Counter(things).items() if count > 1), None)
            if twice is not None:
                raise BadData(
                    f"a table of scores has several {what} '{twice}'", "call them differently"
                )
        wanted = (len(self.networks), len(self.measures))
        shapes = [self.right.shape, self.total.shape, self.origin.shape, self.values.shape]
        if shapes != [cells, cells, cells, wanted]:
            raise BadData(f"scores of {cells} cells and {wanted} measures have arrays of {shapes}")
        if np.isinf(self.values).any():
            raise BadData("a measure is infinite", "leave its row out, which makes it a hole")
        bad = np.argwhere((self.right < 0) | (self.right > self.total))
        if len(bad):
            one, other = bad[0]
            raise BadData(
                f"{self._cell(one, other)}: {self.right[one, other]} of {self.total[one, other]} "
                "samples are right",
                "counts are at least 0 and at most the total",
            )
        for (one, other), places in self.wrong.items():
            total = self.total[one, other]
            distinct = len(np.unique(places)) == len(places)
            inside = not len(places) or (places.min() >= 0 and places.max() < total)
            if not (distinct and inside and len(places) == total - self.right[one, other]):
                raise BadData(
                    f"{self._cell(one, other)}: the positions of the samples that are wrong do "
                    f"not fit {self.right[one, other]} right of {total}"
                )

    def _cell(self, network: int, shift: int) -> str:
        return f"network '{self.networks[network].name}' under '{self.shifts[shift].label}'"

    def __repr__(self) -> str:
        holes = int((~self.measured).sum())
        return (
            f"Scores({len(self.networks)} networks, {len(self.shifts)} shifts, "
            f"{len(self.measures)} measures, {holes} holes)"
        )

    @cached_property
    def measured(self) -> NDArray[np.bool_]:
        """Whether a cell is known; its mask is the holes."""
        return _unwritable(self.total > 0)

    @cached_property
    def accuracy(self) -> NDArray[np.float64]:
        """Share of samples that are right; NaN in holes."""
        with np.errstate(invalid="ignore"):
            return _unwritable(self.right / self.total)

    @cached_property
    def clean(self) -> NDArray[np.float64]:
        """Accuracy on the test samples as they are, one a network; NaN where it is not known."""
        if CLEAN not in self.shifts:
            return _unwritable(np.full(len(self.networks), np.nan))
        return _unwritable(self.accuracy[:, self.shifts.index(CLEAN)])

    @cached_property
    def places(self) -> Mapping[str, int]:
        """Where every network stands, by its name."""
        return MappingProxyType({each.name: k for k, each in enumerate(self.networks)})

    def place(self, network: str) -> int:
        """Where the network of a name stands.

        Raises
        ------
        BadData
            There is none.
        """
        if network not in self.places:
            raise BadData(
                f"there is no network '{network}'", f"there are {_listed([*self.places])}"
            )
        return self.places[network]


def _frozen(values: Any, dtype: Any) -> Any:
    return _unwritable(np.array(values, dtype=dtype))


def _unwritable(array: Any) -> Any:
    array.setflags(write=False)
    return array


def _listed(names: list[str], most: int = 20) -> str:
    more = f", and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "none") + more
