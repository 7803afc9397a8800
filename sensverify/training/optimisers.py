"""Optimisers by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated

from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

from sensverify.registry.catalog import Catalog
from sensverify.registry.ranges import Range
from sensverify.training.losses.step import LARGEST

Parameters = Iterable[Tensor]
Rate = Annotated[float, Range(0, 1e6, above=True)]
Number = Annotated[float, Range(-LARGEST, LARGEST)]


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


OPTIMISERS: Catalog[Callable[..., Optimizer]] = Catalog(
    "optimiser",
    {"adam": _adam, "adamw": _adamw, "sgd": _sgd},
    group="sensverify.optimisers",
    arguments=1,
    example="adam(lr=0.001)",
)
"""Optimisers by name: functions or classes that take the parameters, and settings."""
