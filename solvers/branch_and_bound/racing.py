"""Two searches side by side, where nobody knows before which of them ends.

The first one has some time for itself, as most questions are answered by then. From there on both
take turns, and the second one gets a share of the time: what the first one would have ended takes a
half longer at most, and what it would never end is ended by the other.
"""

from __future__ import annotations

from typing import Protocol

from sensverify.runs.watch import Watch

ALONE = 4.0
"""Seconds of the first search for itself."""

SHARE = 1 / 3
"""Of the time that both have spent by the end of a turn, that of the second search."""

_LONGER = 1.5
"""What was spent by the end of each turn of the first search, against the one before."""


class Racer(Protocol):
    """A search that can be interrupted."""

    watch: Watch

    def resume(self) -> None:
        """Go on until the watch is over, the goal is reached, or nothing is left to split."""
        ...

    @property
    def finished(self) -> bool:
        """True where everything is closed."""
        ...

    @property
    def exhausted(self) -> bool:
        """True where nothing is left to split, whether or not all is closed."""
        ...


def race(first: Racer, second: Racer, watch: Watch) -> Racer:
    """Run two searches about one question by turns, until it is answered or time is up.

    Parameters
    ----------
    first, second : Racer
    watch : Watch

    Returns
    -------
    Racer
        The search that is finished or has reached the goal; the first one where there is none.
    """
    spent, seconds = [0.0, 0.0], ALONE
    while not (watch.over or (first.exhausted and second.exhausted)):
        for place, (racer, other) in enumerate(((first, second), (second, first))):
            if racer.exhausted or watch.over:
                continue
            began = watch.now()
            racer.watch = watch.within(None if other.exhausted else seconds)
            racer.resume()
            spent[place] += watch.now() - began
            stopped = not racer.watch.over and not racer.exhausted
            if racer.finished or stopped:
                return racer
            seconds = max(0.0, SHARE / (1 - SHARE) * spent[0] - spent[1])
        seconds = (_LONGER - 1) * spent[0]
    return first
