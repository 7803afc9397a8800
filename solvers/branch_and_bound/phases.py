"""Time by phases of a search."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable


class Phases:
    """Seconds that each phase took; the first is ``looking`` for a witness.

    Parameters
    ----------
    clock : callable
        Tells the time in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._name, self._since = clock, "looking", clock()
        self._spent: dict[str, float] = defaultdict(float)

    def begin(self, name: str) -> None:
        """End the phase that goes on, and begin one, for the first time or again."""
        now = self._clock()
        self._spent[self._name] += now - self._since
        self._name, self._since = name, now

    def seconds(self) -> dict[str, float]:
        """Seconds by phase up to now."""
        self.begin(self._name)
        return dict(self._spent)
