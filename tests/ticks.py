"""A clock for work whose steps are to be the same in every run."""

from __future__ import annotations


class Ticks:
    """A clock that moves on by a millisecond whenever somebody looks at it.

    Work that paces itself by it goes the same way in every run, on any machine: a run with more
    time does all that one with less time does, and then more.
    """

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1e-3
        return self.now
