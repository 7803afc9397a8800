"""How far an evaluation is: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sensverify.evaluation.clock import Progress

FIRST_LINE, NEXT_LINE = 10.0, 30.0
"""Seconds until the first line on progress, and between two, where there is no terminal."""


class ProgressLines:
    """Progress for a log file: nothing of a short evaluation, then a line every half a minute.

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
        """A cell begins."""
        self._now = now if now.cell else None
        self.listen("")

    def listen(self, text: str) -> None:
        """A cell says how far it is."""
        if self._now is None or self._clock() < self._due:
            return
        self._due = self._clock() + NEXT_LINE
        now, left = self._now, _left(self._now)
        words = f"{now.done} of {now.total} parts done{left and f', about {left}'}; now "
        self._say(f"{words}{now.model}: {now.cell}{text and f', {text}'}")


def _left(now: Progress) -> str:
    from sensverify.report.words import duration

    return "" if now.seconds_left is None else f"{duration(max(1, now.seconds_left))} left"


@contextlib.contextmanager
def showing_progress(
    console: Any,
) -> Iterator[tuple[Callable[[Progress], None], Callable[[str], None]]]:
    """A bar with an estimate of the time left; a line now and then where there is no terminal.

    Gives what is called before every cell, and what is called with a line of text.
    """
    if not console.is_terminal:
        lines = ProgressLines(lambda text: click.echo(text, err=True))
        yield lines.show, lines.listen
        return
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn
    from rich.progress import Progress as Bar

    columns = ("evaluating", BarColumn(), MofNCompleteColumn(), "{task.fields[left]}")
    with Bar(*columns, "{task.description}", console=console, transient=True) as bar:
        task = bar.add_task("", total=None, left="")
        name = ""

        def show(now: Progress) -> None:
            nonlocal name
            name = f"{now.model}: {now.cell}" if now.cell else ""
            left = _left(now)
            bar.update(
                task, completed=now.done, total=now.total, left=left, description=escape(name)
            )

        yield show, lambda text: bar.update(task, description=escape(f"{name} {text}"))
