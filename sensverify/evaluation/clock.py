"""How far an evaluation is, and how long the rest may take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sensverify.evaluation.cell import Cell
from sensverify.evaluation.folder import Finished


@dataclass(frozen=True)
class Progress:
    """How far an evaluation is.

    Parameters
    ----------
    done, total : int
        Cells, of all networks.
    model, cell : str
        What is in hand; empty at the end.
    seconds_left : float or None
        An estimate; None where nothing is known yet.
    """

    done: int
    total: int
    model: str
    cell: str
    seconds_left: float | None


class Clock:
    """Estimates the time left from how long cells of each name, or else of each kind, take.

    Parameters
    ----------
    cells : sequence of Cell
        Of every network.
    networks : int
    """

    def __init__(self, cells: Sequence[Cell], networks: int) -> None:
        self._left = {cell: networks for cell in cells}
        self._total = len(cells) * networks
        self._seconds: dict[tuple[str, ...], list[float]] = {}

    def skip(self, cell: Cell) -> None:
        """A cell was done before."""
        self._left[cell] -= 1

    def note(self, cell: Cell, finished: Finished) -> None:
        """A cell is done."""
        self._left[cell] -= 1
        seconds = getattr(finished.row, "seconds", 0.0)
        for name in ((cell.kind, cell.name), (cell.kind,)):
            self._seconds.setdefault(name, []).append(seconds)

    def state(self, model: str, cell: Cell | None) -> Progress:
        """How far it is now, with this cell in hand."""
        done = self._total - sum(self._left.values())
        left = [self._usual(each) * count for each, count in self._left.items() if count]
        known = sum(left) if self._seconds else None
        return Progress(done, self._total, model, "" if cell is None else cell.key, known)

    def _usual(self, cell: Cell) -> float:
        for name in ((cell.kind, cell.name), (cell.kind,)):
            times = self._seconds.get(name)
            if times:
                return sum(times) / len(times)
        everything = [t for key, times in self._seconds.items() if len(key) == 1 for t in times]
        return sum(everything) / len(everything) if everything else 0.0
