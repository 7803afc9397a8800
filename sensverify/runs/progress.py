"""Progress of a run of many parts, and an estimate of the time left."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from sensverify.runs.watch import Clock as Timer


@dataclass(frozen=True)
class Progress:
    """Progress of a run.

    Parameters
    ----------
    done, total : int
        Parts of the run.
    running : mapping
        The parts in hand, with the share of each that is done.
    seconds_left : float or None
        An estimate; None where nothing is known yet.
    row : Any
        What the part gave that has just ended; None where none has.
    """

    done: int
    total: int
    running: Mapping[Any, float] = field(default_factory=dict)
    seconds_left: float | None = None
    row: Any = None


Listener = Callable[[Progress], None]
"""Called as parts begin, go on and end."""


class Pace:
    """The parts of a run, and an estimate of the time left from how long parts of a kind take.

    Parameters
    ----------
    parts : mapping
        From each part to its kinds, the most telling one first: of the first that is known, parts
        take the mean; where none is, the mean of all.
    at_once : int
        Parts that are worked on at the same time.
    timer : callable
        Tells the time in seconds.
    """

    def __init__(
        self,
        parts: Mapping[Hashable, tuple[Hashable, ...]],
        *,
        at_once: int = 1,
        timer: Timer = perf_counter,
    ) -> None:
        self._left, self._total = dict(parts), len(parts)
        self._at_once, self._timer = at_once, timer
        self._shares: dict[Hashable, float] = {}
        self._begun: dict[Hashable, tuple[float, float]] = {}
        self._seconds: dict[Hashable, list[float]] = {}
        self._all: list[float] = []

    def go_on(self, part: Hashable, share: float = 0.0) -> Progress:
        """A part is begun, or has come so far."""
        self._shares[part] = share
        self._begun.setdefault(part, (self._timer(), share))
        return self.state()

    def end(self, part: Hashable, seconds: float | None, row: Any = None) -> Progress:
        """A part is done.

        Parameters
        ----------
        part
        seconds : float or None
            That it took; None where that tells nothing of the others.
        row : Any
            What it gave.
        """
        kinds = self._left.pop(part)
        self.leave(part)
        if seconds is not None:
            self._all.append(seconds)
            for kind in kinds:
                self._seconds.setdefault(kind, []).append(seconds)
        return self.state(row)

    def leave(self, part: Hashable) -> None:
        """A part is no longer in hand; it may not be done."""
        self._shares.pop(part, None)
        self._begun.pop(part, None)

    def state(self, row: Any = None) -> Progress:
        """The progress by now."""
        done = self._total - len(self._left)
        return Progress(done, self._total, dict(self._shares), self._estimate(), row)

    def _estimate(self) -> float | None:
        known = {kind: sum(times) / len(times) for kind, times in self._seconds.items()}
        everything, now = list(self._all), self._timer()
        for part, share in self._shares.items():
            # What was done before a stop tells nothing of the pace now.
            began, first = self._begun[part]
            kinds = self._left[part]
            if share > first and not any(kind in known for kind in kinds):
                pace = (now - began) / (share - first)
                everything.append(pace)
                known |= dict.fromkeys(kinds, pace)
        if not everything:
            return None
        usual = sum(everything) / len(everything)
        left = [
            next((known[kind] for kind in kinds if kind in known), usual)
            * (1 - self._shares.get(part, 0.0))
            for part, kinds in self._left.items()
        ]
        # No sooner than the longest of them.
        return max(sum(left) / self._at_once, max(left, default=0.0))


def duration(seconds: float) -> str:
    """A time span for people: ``0.4 s``, ``12 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
