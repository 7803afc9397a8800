"""Optimisers by name, and learning rates that depend on nothing but how far the training is."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from math import cos, floor, pi
from typing import Any

from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

from sensverify.errors import BadSetting, UnknownName
from sensverify.registry.calls import Call
from sensverify.training.ranges import LARGEST, Range

Parameters = Iterable[Tensor]
Schedule = Callable[[float], float]
"""The share of the learning rate that is in force after a share of the training."""

_START, _END = 1 / 25, 1e-4 / 25
_RATES, _NUMBERS = Range(0, 1e6, above=True), Range(-LARGEST)


def _adam(kind: type[Adam] | type[AdamW], decay: float) -> Callable[..., Optimizer]:
    def make(
        parameters: Parameters,
        *,
        lr: float = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = decay,
    ) -> Optimizer:
        return kind(parameters, lr, (beta1, beta2), eps, weight_decay)

    return make


def _sgd(
    parameters: Parameters,
    *,
    lr: float = 0.1,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> Optimizer:
    return SGD(parameters, lr, momentum, weight_decay=weight_decay, nesterov=nesterov)


def _constant() -> Schedule:
    return lambda progress: 1.0


def _cosine() -> Schedule:
    return lambda progress: _between(1.0, 0.0, progress)


def _one_cycle(*, warmup: float = 0.25) -> Schedule:
    _check_share("one-cycle: warmup", warmup)

    def factor(progress: float) -> float:
        if progress < warmup:
            return _between(_START, 1.0, progress / warmup)
        return _between(1.0, _END, (progress - warmup) / (1 - warmup) if warmup < 1 else 1.0)

    return factor


def _step(*, every: float = 0.3, factor: float = 0.1) -> Schedule:
    _check_share("step: every", every)
    if not 0 < factor <= 1:
        raise BadSetting(f"step: factor needs a number above 0 and up to 1, got {factor}")
    # A hair more, so that 3 x 0.1 counts as 0.3.
    return lambda progress: float(factor ** floor(progress / every + 1e-9))


OPTIMISERS: dict[str, Callable[..., Optimizer]] = {
    "adam": _adam(Adam, 0.0),
    "adamw": _adam(AdamW, 0.01),
    "sgd": _sgd,
}
"""Optimisers by name; their options are keyword-only, with defaults."""

SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "constant": _constant,
    "cosine": _cosine,
    "one-cycle": _one_cycle,
    "step": _step,
}
"""Schedules by name.

``constant``; ``cosine``, from the whole rate down to nothing; ``one-cycle(warmup=0.25)``, by half
cosines from 1/25 of the rate up to all of it and down to 1/250,000, the optimiser's momentum
staying as it is; ``step(every=0.3, factor=0.1)``, times the factor after every such share.
"""


def make_optimiser(call: Call, parameters: Parameters) -> Optimizer:
    """The optimiser that a setting such as ``sgd(lr=0.1, momentum=0.9)`` names.

    Parameters
    ----------
    call : Call
        ``adam`` and ``adamw`` take ``lr, beta1, beta2, eps, weight_decay``; ``sgd`` takes ``lr,
        momentum, nesterov, weight_decay``. ``weight_decay`` of ``adam`` and ``sgd`` is a gradient,
        of ``adamw`` a shrinkage.
    parameters : iterable of Tensor

    Raises
    ------
    UnknownName
        There is no optimiser of that name.
    BadSetting
        It has no such option, or the option cannot have that value.
    """
    function = _named(call, OPTIMISERS, "optimiser")
    _check_options(call, function)
    rate = call.options.get("lr")
    if rate is not None and rate not in _RATES:
        raise BadSetting(f"'{call}': lr needs a number {_RATES}, got {rate}")
    try:
        return function(parameters, **call.options)
    except ValueError as error:
        raise BadSetting(f"'{call}': {error}") from None


def make_schedule(call: Call) -> Schedule:
    """The schedule that a setting such as ``one-cycle(warmup=0.25)`` names; see `SCHEDULES`.

    Raises
    ------
    UnknownName
        There is no schedule of that name.
    BadSetting
        It has no such option, or the option cannot have that value.
    """
    function = _named(call, SCHEDULES, "schedule")
    _check_options(call, function)
    return function(**call.options)


def _named(call: Call, known: dict[str, Callable[..., Any]], what: str) -> Callable[..., Any]:
    if call.name not in known:
        raise UnknownName(f"there is no {what} '{call.name}'; there are {', '.join(known)}")
    return known[call.name]


def _check_options(call: Call, function: Callable[..., Any]) -> None:
    parameters = inspect.signature(function).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    for name, value in call.options.items():
        if name not in defaults:
            raise BadSetting(
                f"'{call}': {call.name} has no option {name}; "
                f"it has {', '.join(defaults) or 'none'}"
            )
        switch = isinstance(defaults[name], bool)
        if switch != isinstance(value, bool) or not isinstance(value, int | float):
            kind = "true or false" if switch else "a number"
            raise BadSetting(f"'{call}': {name} takes {kind}, got '{value}'")
        if not switch and value not in _NUMBERS:
            raise BadSetting(f"'{call}': {name} takes a number {_NUMBERS}")


def _check_share(what: str, value: float) -> None:
    if not 0 < value <= 1:
        raise BadSetting(f"{what} needs a share above 0 and up to 1, got {value}")


def _between(start: float, end: float, share: float) -> float:
    """From start to end along half a cosine."""
    return end + (start - end) * (1 + cos(pi * share)) / 2
