"""Small trainings that tests run, stop, kill and compare."""

from __future__ import annotations

import csv
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sensverify.data import load_split
from sensverify.data.dataset import Dataset
from sensverify.data.split import Split
from sensverify.training import TrainResult, TrainSettings, fit
from sensverify.training.loop.progress import Listener

TIMES = ("seconds",)


def iris() -> Split:
    return load_split("iris")


def blobs(samples: int = 60, classes: int = 3, features: int = 4, seed: int = 0) -> Split:
    """Samples around a centre for each class, which are easy to tell apart."""
    draw = np.random.default_rng(seed)
    centers = draw.normal(size=(classes, features)) * 3
    y = np.arange(samples) % classes
    x = (centers[y] + draw.normal(size=(samples, features))).astype(np.float32)
    cut = samples * 4 // 5
    return Split(Dataset("blobs", x[:cut], y[:cut]), Dataset("blobs", x[cut:], y[cut:]), classes)


def pictures(samples: int = 60, classes: int = 3, seed: int = 0) -> Split:
    """Grey images of 8 x 8 pixels with a bright bar for each class, somewhere a little off."""
    draw = np.random.default_rng(seed)
    y = np.arange(samples) % classes
    x = 0.4 * draw.random((samples, 1, 8, 8), dtype=np.float32)
    for image, label in zip(x, y, strict=True):
        row = 2 * label + draw.integers(0, 2)
        image[0, row : row + 2, 1:7] += 0.5
    cut = samples * 4 // 5
    clip = (0.0, 1.0)
    return Split(
        Dataset("pictures", x[:cut], y[:cut], clip=clip),
        Dataset("pictures", x[cut:], y[cut:], clip=clip),
        classes,
    )


def picture_model(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3)
        )


def plain_model(features: int = 4, classes: int = 3, seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Linear(features, 12), nn.ReLU(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, classes)
        )


def rich_model(features: int = 4, classes: int = 3, seed: int = 0) -> nn.Sequential:
    """With running statistics and dropout of its own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Linear(features, 12),
            nn.BatchNorm1d(12),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(12, classes),
        )


def quick(**changes: Any) -> TrainSettings:
    values: dict[str, Any] = {
        "epochs": 4,
        "batch_size": 12,
        "optimiser": "adam(lr=0.01)",
        "sigma": 0.05,
        "pgd_steps": 2,
        "metric_samples": 24,
        "threads": 1,
        "checkpoint_seconds": 0.0,
    }
    return TrainSettings(**(values | changes))


@dataclass(frozen=True)
class Case:
    """A training that exercises some of what is kept from step to step."""

    model: Callable[[], nn.Module]
    loss: str
    settings: TrainSettings
    data: Callable[[], Split] = iris

    def run(
        self, out: Path | None, *, resume: bool, progress: Listener | None = None
    ) -> TrainResult:
        return fit(
            self.model(),
            self.data(),
            self.loss,
            self.settings,
            out=out,
            resume=resume,
            progress=progress,
        )


CASES: dict[str, Case] = {
    "adam-batch-norm-dropout": Case(
        rich_model, "cross-entropy + 1e-3*sensitivity(form=softplus)", quick(schedule="one-cycle")
    ),
    "momentum-stages": Case(
        plain_model,
        "jacob-m",
        quick(optimiser="sgd(lr=0.02, momentum=0.9, nesterov=true)", schedule="step"),
    ),
    "spectral-state-ramp": Case(
        plain_model,
        "mixup + 0.01*spectral + 1e-2*sensitivity(form=softplus, bounds=crown)",
        quick(ramp=0.6, optimiser="adamw(lr=0.01)", schedule="cosine", metric_every_steps=5),
    ),
    "augmented": Case(
        picture_model,
        "cross-entropy + 1e-2*sensitivity(form=softplus, bounds=ibp)",
        quick(augment="horizontal-flip + rotation + 2*gaussian-noise", metric_bounds="ibp"),
        # As many steps as the others have.
        partial(pictures, 150),
    ),
    "sam-adversarial": Case(
        rich_model,
        "adversarial(attack=pgd, steps=2)",
        quick(sharpness="sam(rho=0.05)", gradient_clip=1.0, optimiser="sgd(lr=0.1)"),
    ),
}


def weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: values.clone() for name, values in module.state_dict().items()}


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    """Whether two modules hold the same bits."""
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def rows(path: Path, *, times: bool = False) -> list[dict[str, str]]:
    """A CSV file's rows; times are not the same in two runs."""
    with path.open(newline="") as stream:
        found = list(csv.DictReader(stream))
    if times:
        return found
    return [{k: v for k, v in row.items() if k not in TIMES} for row in found]


def killed_run(case: str, out: str, moment: dict[str, int], words: Any) -> None:
    """Train in a process that kills itself, or is killed by the one that listens to ``words``.

    ``moment`` names a function of ``os`` (``replace``, ``fsync``) and at which of its calls the
    process is killed, before it is made; without a name the process only tells its steps.
    """
    for name, count in moment.items():
        _kill_at(name, count)
    CASES[case].run(Path(out), resume=True, progress=lambda now: words.send(now.step))


def _kill_at(name: str, count: int) -> None:
    function, calls = getattr(os, name), [0]

    def killing(*arguments: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)

    setattr(os, name, killing)
