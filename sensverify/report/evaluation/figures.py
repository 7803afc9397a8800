"""The few numbers that sum up a network, the same on the page and in a terminal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sensverify.classification.rates import Rate
from sensverify.evaluation.results import Evaluation
from sensverify.evaluation.scores import CurvePoint, Summary, middle_radius, summarise
from sensverify.report.evaluation.words import (
    DASH,
    count_of,
    interval,
    percent,
    points,
    radius_text,
    signed,
)

CLEAN = "Clean accuracy"

_Words = Callable[[float], str]
_Value = Callable[[Summary], float | None]


@dataclass(frozen=True)
class Cell:
    """One figure of one network: its number, and as texts the number and what stands below it."""

    number: float | None
    text: str = DASH
    detail: str = ""


@dataclass(frozen=True)
class Figure:
    """One figure of all networks.

    Parameters
    ----------
    name : str
    cells : tuple of Cell, one a network
    better : int
        1 where larger is better, -1 where smaller is.
    note : str
        What is common to all of them: a unit, or what it is a mean over.
    """

    name: str
    cells: tuple[Cell, ...]
    better: int
    note: str = ""

    @property
    def best(self) -> frozenset[int]:
        """Places of the best networks; empty where there is nothing to choose from.

        What reads the same is equally good.
        """
        known = {place: c.number for place, c in enumerate(self.cells) if c.number is not None}
        if not known:
            return frozenset()
        first = max(known, key=lambda place: self.better * known[place])
        found = frozenset(
            place
            for place, number in known.items()
            if number == known[first] or self.cells[place].text == self.cells[first].text
        )
        return found if len(found) < len(known) else frozenset()


def figures(evaluation: Evaluation) -> tuple[Figure, ...]:
    """What sums up the networks; figures that none of them has are left out."""
    found = summarise(evaluation)
    radius = middle_radius(evaluation)
    at = "" if radius is None else f" at {radius_text(radius)}"
    sequences = count_of(max(len(m.sequences) for m in evaluation.models), "sequence")
    kinds = len({row.corruption for model in evaluation.models for row in model.corruptions})
    over = f"mean over {count_of(kinds, 'corruption')}"
    lost = f"points lost, {over}"
    ratio = f"{evaluation.reference} is 100"

    def one(name: str, better: int, note: str, words: _Words, value: _Value) -> Figure:
        numbers = [value(summary) for summary in found]
        cells = (Cell(None) if n is None else Cell(n, words(n)) for n in numbers)
        return Figure(name, tuple(cells), better, note)

    rows = (
        Figure(CLEAN, tuple(_rate(s.clean) for s in found), 1),
        Figure(f"Worst of attacks{at}", tuple(_point(s.worst) for s in found), 1),
        Figure(f"Certified{at}", tuple(_point(s.certified) for s in found), 1),
        one("Under corruption", 1, over, percent, lambda s: s.corrupted),
        one("Residual robustness", -1, lost, points, lambda s: s.residual),
        one("mCE", -1, ratio, _ratio, lambda s: s.mce),
        one("Relative mCE", -1, f"of errors gained; {ratio}", _ratio, lambda s: s.relative_mce),
        one("Effective robustness", 1, "points above the others", points, lambda s: s.effective),
        one("Flip rate", -1, f"mean over {sequences}", percent, lambda s: s.flip_rate),
        one("RMS calibration error", -1, "clean samples", percent, lambda s: s.rms_calibration),
        Figure("Generalisation gap", tuple(map(_gap, found)), -1, "points"),
    )
    return tuple(row for row in rows if any(cell.number is not None for cell in row.cells))


def _rate(rate: Rate) -> Cell:
    return Cell(rate.share, percent(rate.share), interval(rate))


def _point(point: CurvePoint | None) -> Cell:
    return Cell(None) if point is None else _rate(point.rate)


def _gap(summary: Summary) -> Cell:
    if summary.gap is None or summary.train is None:
        return Cell(None)
    # A gap to either side is one; without the training accuracy it says little.
    trained = f"training {percent(summary.train.share)}"
    return Cell(abs(summary.gap), points(summary.gap), trained)


def _ratio(value: float) -> str:
    return signed(value, 1)
