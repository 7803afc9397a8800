"""Optimisers by name, and learning rates that depend on nothing but how far the training is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import cos, floor, pi
from typing import Annotated

from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

from sensverify.registry.catalog import Catalog
from sensverify.registry.ranges import Range
from sensverify.training.losses.step import LARGEST

Parameters = Iterable[Tensor]
Schedule = Callable[[float], float]
"""The share of the learning rate that is in force after a share of the training."""

_START, _END = 1 / 25, 1e-4 / 25

Rate = Annotated[float, Range(0, 1e6, above=True)]
Number = Annotated[float, Range(-LARGEST, LARGEST)]
Share = Annotated[float, Range(0, 1, above=True)]


def _adam(
    parameters: Parameters,
    *,
    lr: Rate = 0.001,
    beta1: Number = 0.9,
    beta2: Number = 0.999,
    eps: Number = 1e-8,
    weight_decay: Number = 0.0,
) -> Optimizer:
    """Steps by averages of the gradient and of its square; `weight_decay` is a gradient."""
    return Adam(parameters, lr, (beta1, beta2), eps, weight_decay)


def _adamw(
    parameters: Parameters,
    *,
    lr: Rate = 0.001,
    beta1: Number = 0.9,
    beta2: Number = 0.999,
    eps: Number = 1e-8,
    weight_decay: Number = 0.01,
) -> Optimizer:
    """Steps as those of adam; `weight_decay` shrinks the weights."""
    return AdamW(parameters, lr, (beta1, beta2), eps, weight_decay)


def _sgd(
    parameters: Parameters,
    *,
    lr: Rate = 0.1,
    momentum: Number = 0.0,
    nesterov: bool = False,
    weight_decay: Number = 0.0,
) -> Optimizer:
    """Steps along the gradient, with momentum; `weight_decay` is a gradient."""
    return SGD(parameters, lr, momentum, weight_decay=weight_decay, nesterov=nesterov)


def _constant() -> Schedule:
    """The whole rate from beginning to end."""
    return lambda progress: 1.0


def _cosine() -> Schedule:
    """From the whole rate down to nothing, along half a cosine."""
    return lambda progress: _between(1.0, 0.0, progress)


def _one_cycle(*, warmup: Share = 0.25) -> Schedule:
    """Half cosines from 1/25 of the rate up to all of it, and down to 1/250,000.

    The optimiser's momentum stays as it is.
    """

    def factor(progress: float) -> float:
        if progress < warmup:
            return _between(_START, 1.0, progress / warmup)
        return _between(1.0, _END, (progress - warmup) / (1 - warmup) if warmup < 1 else 1.0)

    return factor


def _step(*, every: Share = 0.3, factor: Share = 0.1) -> Schedule:
    """The rate times a factor after every such share of the training."""
    # A hair more, so that 3 x 0.1 counts as 0.3.
    return lambda progress: float(factor ** floor(progress / every + 1e-9))


OPTIMISERS: Catalog[Callable[..., Optimizer]] = Catalog(
    "optimiser",
    {"adam": _adam, "adamw": _adamw, "sgd": _sgd},
    group="sensverify.optimisers",
    arguments=1,
    example="adam(lr=0.001)",
)
"""Optimisers by name: functions or classes that take the parameters, and settings."""

SCHEDULES: Catalog[Callable[..., Schedule]] = Catalog(
    "schedule",
    {"constant": _constant, "cosine": _cosine, "one-cycle": _one_cycle, "step": _step},
    group="sensverify.schedules",
    example="one-cycle(warmup=0.25)",
)
"""Schedules of the learning rate by name."""


def _between(start: float, end: float, share: float) -> float:
    """From start to end along half a cosine."""
    return end + (start - end) * (1 + cos(pi * share)) / 2
