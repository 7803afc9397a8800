"""Progress of a run: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import click

from sensverify.runs.watch import Watch

if TYPE_CHECKING:
    from sensverify.runs.progress import Listener, Progress

FIRST_LINE, NEXT_LINE = 10.0, 30.0
"""Seconds until the first line on progress, and between two, where there is no terminal."""


def watching(listener: Callable[[str], None] | None = None) -> AbstractContextManager[Watch]:
    """A watch over what is done within, which Ctrl-C and SIGTERM stop; one line says so."""
    return Watch(listener=listener).stopping_on_signals(lambda text: click.echo(text, err=True))


class ProgressLines:
    """Progress for a log file: nothing of a short run, then a line every half a minute.

    Parameters
    ----------
    say : callable
        Takes a line.
    clock : callable
        Gives the seconds.
    """

    def __init__(
        self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._say, self._clock = say, clock
        self._due = clock() + FIRST_LINE
        self._now: Progress | None = None

    def show(self, now: Progress) -> None:
        """A part begins."""
        self._now = now if now.running else None
        self.listen("")

    def listen(self, text: str) -> None:
        """A part says how far it is."""
        if self._now is None or self._clock() < self._due:
            return
        self._due = self._clock() + NEXT_LINE
        now, left = self._now, time_left(self._now)
        words = f"{now.done} of {now.total} parts done{left and f', {left}'}; now "
        self._say(f"{words}{', '.join(now.running)}{text and f', {text}'}")


def time_left(now: Progress) -> str:
    """The estimate of the time left; empty where there is none."""
    from sensverify.runs.progress import duration

    if now.seconds_left is None or now.done == now.total:
        return ""
    return f"about {duration(max(1, now.seconds_left))} left"


@contextlib.contextmanager
def bar(console: Any, parts: str, *, timed: bool = True) -> Iterator[Callable[..., None]]:
    """A bar on a terminal, after a word for its parts.

    Gives what takes the text at its end, and the parts ``completed`` and in ``total``. Unless the
    bar is ``timed`` by their pace, it takes the time ``left`` as well.
    """
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    left = TimeRemainingColumn() if timed else "{task.fields[left]}"
    columns = (parts, BarColumn(), MofNCompleteColumn(), left, "{task.description}")
    with Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task("", total=None, left="")

        def update(text: str | None = None, **changes: Any) -> None:
            shown.update(task, description=None if text is None else escape(text), **changes)

        yield update


@contextlib.contextmanager
def run_bar(
    console: Any, parts: str, describe: Callable[[Progress], str]
) -> Iterator[tuple[Listener, Callable[[str], None]] | tuple[None, None]]:
    """A bar of a run with an estimate of the time left; nothing where there is no terminal.

    Parameters
    ----------
    console : rich.console.Console
    parts : str
        Its first word.
    describe : callable
        Gives the text at its end; an empty one leaves the one before.

    Yields
    ------
    show, listen : callable
        For progress, and for a line of text on the part in hand.
    """
    if not console.is_terminal:
        yield None, None
        return
    with bar(console, parts, timed=False) as update:
        text = ""

        def show(now: Progress) -> None:
            nonlocal text
            text = describe(now) or text
            done = now.done + sum(now.running.values())
            update(text, completed=done, total=now.total, left=time_left(now))

        yield show, lambda more: update(f"{text} {more}")
