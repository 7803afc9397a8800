"""A training as it goes and what came of it, for people and as JSON."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sensverify.data import Split
from sensverify.measures import METRICS, SHARES, Metrics
from sensverify.report.words import number
from sensverify.training.export import MODEL
from sensverify.training.fit import TrainResult
from sensverify.training.progress import Progress
from sensverify.training.request import TrainRequest
from sensverify.training.run_directory import RESULT, RESULT_SCHEMA, RunDirectory

_IN_LINES = ("ERR", "SENSE", "ADV_ERR", "PGD_ERR")
"""What a line about an epoch tells of the samples that were not trained on."""


def metric_text(name: str, value: float | None) -> str:
    """A metric for people: shares in %, SENSE as ``5.53e3``; a dash for None."""
    if value is None:
        return "-"
    if name in SHARES:
        return f"{100 * value:.2f} %"
    if name == "SENSE" and math.isfinite(value):
        digits, _, power = f"{value:.2e}".partition("e")
        return f"{digits}e{int(power)}"
    return number(value)


def step_text(now: Progress) -> str:
    """Where a training is, for the side of a bar: ``epoch 3/10  loss 0.123``."""
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
        parts: dict[str, list[str]] = {}
        for column, value in ({} if now.metrics is None else now.metrics).items():
            part, _, name = column.partition(" ")
            if part != "train" and name in _IN_LINES:
                parts.setdefault(part, []).append(f"{name} {metric_text(name, value)}")
        return "".join(f"  {part}: {', '.join(shown)}" for part, shown in parts.items())


def print_training(request: TrainRequest, split: Split, result: Any, console: Console) -> None:
    """Print the final metrics of both parts, what was trained, and how to verify it."""
    console.print(_table(result.metrics_train, result.metrics_test))
    console.print()
    lines = Table.grid(padding=(0, 2))
    for name, text in _lines(request, split, result):
        lines.add_row(Text(name, style="bold"), Text(text))
    console.print(lines)


def training_to_json(request: TrainRequest, directory: Path, result: TrainResult) -> str:
    """What a training was asked for, how far it came, and its result where it is finished.

    Rates are shares from 0 to 1; infinities are the texts ``inf`` and ``-inf``, NaN is null.
    """
    found = RunDirectory(directory).result or {}
    values = {
        "schema": RESULT_SCHEMA,
        "request": request.as_dict(),
        "interrupted": result.interrupted,
        "epochs": result.epochs,
        **found,
    }
    return json.dumps(values, indent=2, allow_nan=False) + "\n"


def _table(train: Metrics, test: Metrics) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("metric", no_wrap=True)
    table.add_column("train", justify="right", no_wrap=True)
    table.add_column("test", justify="right", no_wrap=True)
    table.add_column("what it is", style="dim")
    table.add_row("samples", f"{train.samples:,}", f"{test.samples:,}", "")
    rows = train.row(), test.row()
    for name, description in METRICS.items():
        values = [row[name] for row in rows]
        if values != [None, None]:
            table.add_row(name, *(metric_text(name, value) for value in values), description)
    return table


def _lines(request: TrainRequest, split: Split, result: Any) -> list[tuple[str, str]]:
    settings = request.settings
    parts = f"{len(split.train):,} training and {len(split.test):,} test samples"
    moved = "none, so metrics of a perturbation are left out"
    if settings.sigma is not None:
        moved = f"sigma {settings.sigma:g} of each feature's range"
    elif settings.radius is not None:
        moved = f"radius {settings.radius:g}"
    if settings.clip is not None:
        moved += f", clipped to [{settings.clip[0]:g}, {settings.clip[1]:g}]"
    model = f"{request.model}{', standardised inputs' if request.standardise else ''}"
    lines = [
        ("data", f"{request.data}: {parts}; {split.rule}"),
        ("model", f"{model}, {sum(p.numel() for p in result.module.parameters()):,} weights"),
        ("loss", request.loss),
        ("perturbation", moved),
        ("training", f"{result.epochs:,} epochs in {result.seconds:.1f} s, seed {settings.seed}"),
    ]
    if result.directory is not None:
        lines.append(("verify it with", _verify_command(result.directory)))
    return lines


def _verify_command(directory: Path) -> str:
    if not (directory / MODEL).is_file():
        return f"nothing: the model could not be written as ONNX; {RESULT} says why"
    # A name alone might be that of a model that ships.
    named = str(directory) if len(directory.parts) > 1 else f"./{directory}"
    return shlex.join(["sensverify", "verify", named])
