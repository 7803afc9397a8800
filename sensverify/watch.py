"""When long work stops, and whom it tells how far it is.

A `Watch` goes down through a computation: whoever starts it sets a time limit and listens; the
computation asks `over` between steps and returns what it has proven by then.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from time import perf_counter
from types import FrameType

from sensverify.errors import BadSetting

Listener = Callable[[str], None]
"""Called with one line that says how far the work is."""


class Watch:
    """A time limit, a stop signal and a listener, shared by the parts of one computation.

    Parameters
    ----------
    seconds : float or None
        Wall time from now after which the work should stop; None is no limit.
    listener : callable, optional
        Called with one line of text as work goes on.

    Raises
    ------
    BadSetting
        ``seconds`` is negative or NaN.
    """

    def __init__(self, seconds: float | None = None, *, listener: Listener | None = None) -> None:
        if seconds is not None and not seconds >= 0:
            raise BadSetting(f"a time limit is a number of seconds of at least 0, got {seconds!r}")
        self._deadline = inf if seconds is None else perf_counter() + seconds
        self._stopped = threading.Event()
        self._listener = listener

    def within(self, seconds: float | None) -> Watch:
        """A part of the work: it stops when this watch does, or after ``seconds`` if sooner."""
        part = Watch(seconds, listener=self._listener)
        part._deadline = min(part._deadline, self._deadline)
        part._stopped = self._stopped
        return part

    @property
    def left(self) -> float:
        """Seconds until the work should stop: 0 when it should have, infinity without a limit."""
        return 0.0 if self._stopped.is_set() else max(0.0, self._deadline - perf_counter())

    @property
    def over(self) -> bool:
        """Whether the work should stop now."""
        return self._stopped.is_set() or perf_counter() >= self._deadline

    @property
    def stopped(self) -> bool:
        """Whether somebody asked to stop, rather than the time being up."""
        return self._stopped.is_set()

    def stop(self) -> None:
        """Ask the work to stop and to return what it has."""
        self._stopped.set()

    def say(self, text: str) -> None:
        """Tell the listener how far the work is."""
        if self._listener is not None:
            self._listener(text)

    @contextmanager
    def stopping_on_interrupt(self) -> Iterator[Watch]:
        """The first Ctrl-C within stops the work, which then returns what it has.

        A second one raises `KeyboardInterrupt` as usual. Outside of the main thread, where Python
        delivers no signals, nothing changes.
        """
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = signal.getsignal(signal.SIGINT)

        def stop(number: int, frame: FrameType | None) -> None:
            signal.signal(signal.SIGINT, before)
            self.stop()

        signal.signal(signal.SIGINT, stop)
        try:
            yield self
        finally:
            signal.signal(signal.SIGINT, before)
