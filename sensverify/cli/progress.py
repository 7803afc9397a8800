"""Progress of long commands: a bar on a terminal, in a log a line now and then, or nothing."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import click

from sensverify.cli.printing import quiet
from sensverify.runs.watch import Clock, Watch

if TYPE_CHECKING:
    from sensverify.runs.progress import Listener, Progress

EVERY = 30.0
"""Seconds of work between two lines where there is no terminal."""


def watching(listener: Callable[[str], None] | None = None) -> AbstractContextManager[Watch]:
    """A watch over what is done within, which Ctrl-C and SIGTERM stop; one line says so."""
    return Watch(listener=listener).stopping_on_signals(lambda text: click.echo(text, err=True))


class Display:
    """Progress of a command that nobody sees; the others show what it keeps.

    Parameters
    ----------
    what : str
        The work, in a word.
    clock : callable
        Gives the seconds.
    """

    def __init__(self, what: str, clock: Clock = time.monotonic) -> None:
        self.what, self.clock = what, clock
        self.text, self.done, self.total = "", 0.0, 0.0
        self.began = clock()
        self._first: tuple[float, float] | None = None
        self._told: float | None = None

    def update(
        self,
        text: str | None = None,
        *,
        done: float | None = None,
        total: float | None = None,
        seconds_left: float | None = None,
    ) -> None:
        """The work has come so far.

        Parameters
        ----------
        text : str, optional
            About the part in hand.
        done, total : float, optional
            Parts.
        seconds_left : float, optional
            An estimate; where there is none, it is made from the pace since the first call.
        """
        self.text = self.text if text is None else text
        self.total = self.total if total is None else total
        if done is not None:
            self.done, self._told = done, seconds_left
            self._first = self._first or (self.clock(), done)

    def tell(self, line: str) -> None:
        """A line of its own, which stays."""

    def left(self) -> str:
        """The time left, in words; empty where nothing is known of it."""
        from sensverify.runs.progress import duration

        seconds = self._told
        if seconds is None and self._first is not None and self.done > self._first[1]:
            since, before = self._first
            pace = (self.clock() - since) / (self.done - before)
            seconds = pace * (self.total - self.done)
        if seconds is None or self.done >= self.total:
            return ""
        return f"about {duration(max(1, seconds))} left"


class Lines(Display):
    """Progress for a log: where nothing was said for half a minute, a line.

    Parameters
    ----------
    what : str
        The work, in a word.
    say : callable
        Takes a line.
    clock : callable
        Gives the seconds.
    """

    def __init__(
        self, what: str, say: Callable[[str], None], clock: Clock = time.monotonic
    ) -> None:
        super().__init__(what, clock)
        self._say, self._due = say, self.began + EVERY

    def tell(self, line: str) -> None:
        self._due = self.clock() + EVERY
        self._say(line)

    def beat(self) -> float:
        """Say a line if it is due; the seconds until one is."""
        if self.clock() >= self._due:
            self.tell(self.line())
        return max(0.0, self._due - self.clock())

    def line(self) -> str:
        """The work, how far it is, for how long by now, and how long still."""
        from sensverify.runs.progress import duration

        count = f"{int(self.done):,} of {int(self.total):,}" if self.total else ""
        spent = f"{duration(self.clock() - self.began)} so far"
        words = ", ".join(part for part in (count, spent, self.left()) if part)
        return f"{self.what}: {words}" + (f"; {self.text}" if self.text else "")

    @contextlib.contextmanager
    def beating(self) -> Iterator[None]:
        """Within, lines come when they are due, however long a step takes."""
        ended = threading.Event()

        def beat() -> None:
            # A log that cannot be written to any more is no reason to stop the work.
            with contextlib.suppress(OSError):
                while not ended.wait(self.beat()):
                    pass

        thread = threading.Thread(target=beat, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


class _Bar(Display):
    """A bar, or without parts to count a spinner."""

    def __init__(self, what: str, shown: Any) -> None:
        super().__init__(what)
        self._shown = shown
        self._task = shown.add_task("", total=None, left="")

    def update(self, text: str | None = None, **changes: float | None) -> None:
        from rich.markup import escape

        super().update(text, **changes)
        self._shown.update(
            self._task,
            description=escape(self.text),
            completed=self.done,
            total=self.total or None,
            left=self.left(),
        )

    def tell(self, line: str) -> None:
        self._shown.console.print(line, markup=False)


@contextlib.contextmanager
def showing(what: str, *, counted: bool = True) -> Iterator[Display]:
    """Progress of what is done within, on standard error; nothing with ``--quiet``.

    Parameters
    ----------
    what : str
        The work, in a word.
    counted : bool
        Whether it says how many parts of it are done.
    """
    from sensverify.report.terminal import PlainConsole

    console = PlainConsole(stderr=True)
    if quiet():
        yield Display(what)
    elif not console.is_terminal:
        lines = Lines(what, lambda text: click.echo(text, err=True))
        with lines.beating():
            yield lines
    else:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn

        columns = (BarColumn(), MofNCompleteColumn()) if counted else (SpinnerColumn(),)
        ends = ("{task.fields[left]}", "{task.description}")
        with Progress(what, *columns, *ends, console=console, transient=True) as shown:
            yield _Bar(what, shown)


@contextlib.contextmanager
def showing_run(
    what: str, describe: Callable[[Progress], str]
) -> Iterator[tuple[Display, Listener, Callable[[str], None]]]:
    """Progress of a run of many parts.

    Parameters
    ----------
    what : str
        The work, in a word.
    describe : callable
        Gives the text about the parts in hand; an empty one leaves the one before.

    Yields
    ------
    display : Display
    show, listen : callable
        For progress, and for a line of text on the part in hand.
    """
    with showing(what) as display:
        text = ""

        def show(now: Progress) -> None:
            nonlocal text
            text = describe(now) or text
            done = now.done + sum(now.running.values())
            display.update(text, done=done, total=now.total, seconds_left=now.seconds_left)

        yield display, show, lambda more: display.update(f"{text} {more}".strip())
