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

Clock = Callable[[], float]
"""Gives seconds from some moment on, never fewer than before."""

STOPPING = {
    signal.SIGINT: "stopping; Ctrl-C again ends now",
    signal.SIGTERM: "stopping; a second SIGTERM ends now",
}
"""Signals that stop work cleanly, and what is said when the first of them comes."""


class TimeUp(Exception):
    """The watch is over in the middle of a step; whoever runs the step keeps what was proven."""


class Watch:
    """A time limit, a stop signal and a listener, shared by the parts of one computation.

    Parameters
    ----------
    seconds : float or None
        Wall time from now after which the work should stop; None is no limit.
    listener : callable, optional
        Called with one line of text as work goes on.
    clock : callable
        What tells the time, here and wherever the work paces itself by it.

    Raises
    ------
    BadSetting
        ``seconds`` is negative or NaN.
    """

    def __init__(
        self,
        seconds: float | None = None,
        *,
        listener: Listener | None = None,
        clock: Clock = perf_counter,
    ) -> None:
        if seconds is not None and not seconds >= 0:
            raise BadSetting(f"a time limit is a number of seconds of at least 0, got {seconds!r}")
        self.now = clock
        self._deadline = inf if seconds is None else clock() + seconds
        self._stopped = threading.Event()
        self._listener = listener

    def within(self, seconds: float | None) -> Watch:
        """A part of the work: it stops when this watch does, or after ``seconds`` if sooner."""
        part = Watch(seconds, listener=self._listener, clock=self.now)
        part._deadline = min(part._deadline, self._deadline)
        part._stopped = self._stopped
        return part

    @property
    def left(self) -> float:
        """Seconds until the work should stop: 0 when it should have, infinity without a limit."""
        return 0.0 if self._stopped.is_set() else max(0.0, self._deadline - self.now())

    @property
    def over(self) -> bool:
        """True when the work should stop now."""
        return self._stopped.is_set() or self.now() >= self._deadline

    @property
    def stopped(self) -> bool:
        """True when somebody asked to stop, rather than the time being up."""
        return self._stopped.is_set()

    def stop(self) -> None:
        """Ask the work to stop and to return what it has."""
        self._stopped.set()

    def say(self, text: str) -> None:
        """Tell the listener how far the work is."""
        if self._listener is not None:
            self._listener(text)

    def check(self) -> None:
        """Raise `TimeUp` if the work should stop now."""
        if self.over:
            raise TimeUp

    @contextmanager
    def stopping_on_signals(self, tell: Listener | None = None) -> Iterator[Watch]:
        """The first Ctrl-C or SIGTERM within stops the work, which then returns what it has.

        A second one does what it did before: Ctrl-C raises `KeyboardInterrupt`, SIGTERM ends the
        process. Outside of the main thread, where Python delivers no signals, nothing changes.

        Parameters
        ----------
        tell : callable, optional
            Called with one line when the first one comes; it runs inside of the signal's handler.
        """
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.getsignal(number) for number in STOPPING}

        def stop(number: int, frame: FrameType | None) -> None:
            restore()
            self.stop()
            if tell is not None:
                tell(STOPPING[signal.Signals(number)])

        def restore() -> None:
            for number, handler in before.items():
                signal.signal(number, handler)

        for number in STOPPING:
            signal.signal(number, stop)
        try:
            yield self
        finally:
            restore()
