"""The course of a training: a line an epoch, and a bar on a terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from sensverify.cli.progress import showing

if TYPE_CHECKING:
    from sensverify.training.loop.progress import Listener, Progress

_IN_LINES = ("ERR", "SENSE", "ADV_ERR", "PGD_ERR")
"""Metrics in a line about an epoch, of the samples that were not trained on."""


def step_text(now: Progress) -> str:
    """Progress of a training, for the side of a bar: ``epoch 3/10  loss 0.123``."""
    loss = now.losses.get("loss")
    return f"epoch {now.epoch}/{now.epochs}" + ("" if loss is None else f"  loss {loss:.4g}")


class EpochLines:
    """Gives one line of text for every epoch, to be called after every step.

    Parameters
    ----------
    say : callable
        Takes the line.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._due: Progress | None = None
        self._seen: list[Mapping[str, float]] = []

    def __call__(self, now: Progress) -> None:
        if self._due is not None and now.step == self._due.step:
            # Called again after the same step: the epoch's metrics are there.
            self._say(f"{self._losses(now)}{self._measured(now)}")
            self._due = None
            self._seen.clear()
            return
        self.finish()
        self._seen.append(now.losses)
        if now.step > 0 and now.step * now.epochs % now.steps == 0:
            self._due = now

    def finish(self) -> None:
        """The line that is still due, if one is."""
        if self._due is not None:
            # Means over the epoch's steps, as where metrics were taken.
            found = {
                name: [step[name] for step in self._seen if name in step] for name in self._seen[-1]
            }
            means = {name: sum(values) / len(values) for name, values in found.items()}
            self._say(self._losses(replace(self._due, losses=means)))
            self._due = None
            self._seen.clear()

    @staticmethod
    def _losses(now: Progress) -> str:
        losses = {name: f"{value:.4g}" for name, value in now.losses.items()}
        text = f"loss {losses.pop('loss', '-')}"
        if losses:
            text += f" ({', '.join(f'{name} {value}' for name, value in losses.items())})"
        return f"epoch {now.epoch}/{now.epochs}  {text}  learning rate {now.learning_rate:.3g}"

    @staticmethod
    def _measured(now: Progress) -> str:
        from sensverify.report.training.document import metric_text

        parts: dict[str, list[str]] = {}
        for column, value in ({} if now.metrics is None else now.metrics).items():
            part, _, name = column.partition(" ")
            if part != "train" and name in _IN_LINES:
                parts.setdefault(part, []).append(f"{name} {metric_text(name, value)}")
        return "".join(f"  {part}: {', '.join(shown)}" for part, shown in parts.items())


@contextlib.contextmanager
def showing_progress() -> Iterator[tuple[Listener, Callable[[str], None]]]:
    """Progress, with a line for every epoch.

    Gives what is called after every step, and what is called with a line of text.
    """
    with showing("training") as display:
        lines = EpochLines(display.tell)

        def show(now: Progress) -> None:
            display.update(step_text(now), done=now.step, total=now.steps)
            lines(now)

        yield show, display.update
        lines.finish()
