"""Parts of a table, as readers find them in files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sensverify.scores.table import Network, Shift, Source


@dataclass(frozen=True)
class CellRow:
    """Samples that a network has right under a shift.

    ``wrong`` are the positions of the others, None where they are not known.
    """

    network: Network
    shift: Shift
    right: int
    total: int
    wrong: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Reading:
    """One measure of a network."""

    network: Network
    measure: str
    value: float


@dataclass(frozen=True, kw_only=True)
class Part:
    """The rows of one file.

    Parameters
    ----------
    source : Source
    cells : sequence of CellRow
    readings : sequence of Reading
    samples : str or None
        Digest of the samples of all cells, or the name of published ones.
    conditions : mapping from str to str
        What else decides what a shift is: the unit of radii, the range that inputs are kept in, the
        seed.
    """

    source: Source
    cells: Sequence[CellRow] = ()
    readings: Sequence[Reading] = ()
    samples: str | None = None
    conditions: Mapping[str, str] = field(default_factory=dict)

    @property
    def networks(self) -> tuple[Network, ...]:
        """Networks with a row, in the order of the rows."""
        found = [each.network for each in self.cells]
        return tuple(dict.fromkeys([*found, *(each.network for each in self.readings)]))
