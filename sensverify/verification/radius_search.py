"""The search for critical radii: the proven and the attacked end of each, bisected separately."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

import numpy as np

from sensverify.errors import UnsoundResult
from sensverify.runs.watch import Watch

_SHRINK = 4.0
"""By how much a radius shrinks while nothing is known from below."""

_LEAST = 1e-6
"""Share of the first radius that counts as 0."""

_NEAR = 2.0
"""Ratio of two ends from which on their mean is the arithmetic one."""


@dataclass(frozen=True, eq=False)
class Findings:
    """Findings of a look at some samples, each within a radius of its own.

    Parameters
    ----------
    proven : boolean numpy array, shape ``[samples]``
        Whether the label is certified within the radius.
    reach : numpy array, shape ``[samples]``
        The smallest radius whose box holds the counterexample that was found; infinite where none
        was.
    """

    proven: np.ndarray
    reach: np.ndarray


Look = Callable[[np.ndarray, np.ndarray, bool], Findings]
"""Called with the places of samples, a radius for each, and whether a proof is tried, too."""


@dataclass(frozen=True)
class SearchLimits:
    """Where a search begins and ends.

    Parameters
    ----------
    first : float
        The radius looked at first, above 0.
    largest : float
        The largest radius looked at.
    accuracy : float
        Relative width at which a bracket is narrow enough.
    steps : int
        Most radii of a sample that are looked at for each of the two ends, beside radius 0.
    """

    first: float
    largest: float
    accuracy: float
    steps: int


class RadiusSearch:
    """Both ends of the critical radius of some samples.

    What is proven at a radius holds for every smaller one, and what is found at a radius for every
    larger one. A method may fail at a radius and succeed at a larger one, and an attack too: so the
    largest proven and the smallest attacked radius are kept, and each is bisected against the
    nearest radius beyond it where the same was tried and failed.

    Parameters
    ----------
    numbers : integer numpy array, shape ``[samples]``
        Of the samples in their data set.
    limits : SearchLimits

    Attributes
    ----------
    proven, attacked : numpy arrays, shape ``[samples]``
        The ends: the largest radius at which the label is certified, 0 where that is not known of
        any; and the smallest whose box is known to hold a counterexample, infinite where none is.
    steps : integer numpy array, shape ``[samples]``
        Radii looked at, beside radius 0.
    """

    def __init__(self, numbers: np.ndarray, limits: SearchLimits) -> None:
        self.numbers, self.limits, count = numbers, limits, len(numbers)
        self.proven, self.attacked = np.zeros(count), np.full(count, inf)
        # The nearest failures: of the method above what is proven, of the attack below what is
        # attacked.
        self._unproven, self._missed = np.full(count, inf), np.zeros(count)
        # Whether the label is certified at the sample itself: else no box around it is.
        self._certain = np.zeros(count, dtype=bool)
        self._seen = False
        self._proofs, self._attacks = (np.zeros(count, dtype=int) for _ in range(2))

    @property
    def steps(self) -> np.ndarray:
        return self._proofs + self._attacks

    @property
    def open(self) -> np.ndarray:
        """Mask of the samples that there is more to be done for, ``[samples]``."""
        return self._provable | self._attackable

    @property
    def _provable(self) -> np.ndarray:
        if not self._seen:
            return np.ones(len(self.proven), dtype=bool)
        tried = self._proofs >= self.limits.steps
        return self._certain & ~tried & ~self._narrow(self.proven, self._above)

    @property
    def _attackable(self) -> np.ndarray:
        tried = self._attacks >= self.limits.steps
        return ~tried & (self.attacked > 0) & ~self._narrow(self._below, self.attacked)

    @property
    def _above(self) -> np.ndarray:
        """The other end of the bracket of a proof."""
        return np.minimum(self._unproven, self.attacked)

    @property
    def _below(self) -> np.ndarray:
        """The other end of the bracket of an attack."""
        return np.maximum(self._missed, self.proven)

    def run(self, look: Look, watch: Watch, tell: Callable[[], None]) -> None:
        """Search until every bracket is narrow, all steps are taken, or the watch is over.

        Parameters
        ----------
        look : callable
        watch : Watch
        tell : callable
            Called after every round.

        Raises
        ------
        UnsoundResult
            A counterexample lies where the label was certified.
        """
        everyone = np.arange(len(self.proven))
        found = look(everyone, np.zeros(len(everyone)), True)
        # What was stopped has failed at nothing.
        self._seen = not watch.over
        self._certain |= found.proven
        self._take(everyone, found)
        while not watch.over and bool(self.open.any()):
            proving = self._provable
            attacking = self._attackable & ~proving
            self._round(np.flatnonzero(proving), look, watch, prove=True)
            self._round(np.flatnonzero(attacking), look, watch, prove=False)
            tell()

    def _round(self, places: np.ndarray, look: Look, watch: Watch, *, prove: bool) -> None:
        if len(places) == 0 or watch.over:
            return
        low, high = (self.proven, self._above) if prove else (self._below, self.attacked)
        radii = self._next(low, high)[places]
        found = look(places, radii, prove)
        self.proven[places] = np.where(found.proven, radii, self.proven[places])
        tried, hit = self._proofs if prove else self._attacks, np.isfinite(found.reach)
        tried[places] += 1
        if not watch.over:
            failed = places[~found.proven]
            if prove:
                self._unproven[failed] = radii[~found.proven]
            missed = ~found.proven & ~hit
            self._missed[places[missed]] = np.maximum(self._missed[places[missed]], radii[missed])
        self._take(places, found)

    def _take(self, places: np.ndarray, found: Findings) -> None:
        self.attacked[places] = np.minimum(self.attacked[places], found.reach)
        # A miss beyond what another attack has found says nothing.
        self._missed = np.where(self._missed >= self.attacked, 0.0, self._missed)
        broken = np.flatnonzero(self._certain & (self.attacked <= self.proven))
        if len(broken):
            first = int(broken[0])
            raise UnsoundResult(
                f"sample {self.numbers[first]}: the label is certified within radius "
                f"{self.proven[first]:g}, and an input within {self.attacked[first]:g} has another "
                "one"
            )

    def _next(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """The radii to look at between two ends, or beyond the lower one where that is all."""
        limits = self.limits
        grown = np.minimum(np.maximum(_NEAR * low, limits.first), limits.largest)
        with np.errstate(invalid="ignore"):
            near = high <= _NEAR * low
            mean = np.where(near, low / 2 + high / 2, np.sqrt(low) * np.sqrt(high))
        within = np.where(low == 0, high / _SHRINK, mean)
        return np.where(np.isinf(high), grown, within)

    def _narrow(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Mask of the brackets that nothing is left to do about."""
        between = self._next(low, high)
        inside = (low < between) & (between < high)
        with np.errstate(invalid="ignore"):
            wide = np.isinf(high) | (high - low > self.limits.accuracy * high)
        return ~(inside & wide) | (high <= _LEAST * self.limits.first)
