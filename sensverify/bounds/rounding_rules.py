"""Rounding rules: the error that every operator adds, and how it passes on those before it."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import singledispatch
from math import isfinite, prod, sqrt
from typing import Any

import torch
from torch import Tensor

from sensverify.bounds.extremes import jump_margin
from sensverify.bounds.forward import apply
from sensverify.bounds.ibp import interval
from sensverify.bounds.increments import secant_slopes
from sensverify.bounds.slopes import steepest_of_steps
from sensverify.errors import MissingRule
from sensverify.network.operators import (
    Abs,
    Add,
    Affine,
    Clip,
    Concat,
    Conv,
    ConvTranspose,
    Elementwise,
    Increment,
    LeakyRelu,
    Linear,
    Max,
    Nonlinear,
    Operator,
    Pad,
    Periodic,
    Permute,
    PiecewiseLinear,
    Product,
    Relu,
    Reshape,
    Scale,
    Select,
    Share,
    Smooth,
    Steps,
)

FACTOR = 2.0
"""Of all errors: bounds on hidden layers are rounded, too, and enter those on the outputs."""

_SPREAD = 4.0
"""Standard deviations that the roundings of one long sum are given."""

_LIBRARY = 8.0
"""Units by which a library's exp or tanh may be off: generous for those in use."""


@singledispatch
def rounded(operator: Operator, *inputs: tuple[Tensor, Tensor]) -> Tensor:
    """Error of an operator's output, from the magnitude and the error of every input.

    Raises
    ------
    MissingRule
        The operator has no rule; add one with ``rounded.register``.
    """
    raise MissingRule(
        f"no rounding rule for operator {type(operator).__name__}",
        "register one with sensverify.bounds.rounding_rules.rounded.register",
    )


@rounded.register(Affine)
@rounded.register(Conv)
@rounded.register(ConvTranspose)
@rounded.register(Scale)
@rounded.register(Add)
@rounded.register(Pad)
@rounded.register(Select)
@rounded.register(Permute)
@rounded.register(Reshape)
@rounded.register(Concat)
def _(operator: Linear, *inputs: tuple[Tensor, Tensor]) -> Tensor:
    absolute, sums = _absolute(operator), _sums(operator)
    if not sums:
        return apply(_without_constants(absolute), *(error for _, error in inputs))
    unit = unit_roundoff(inputs[0][0])
    # The weights' own rounding, and one for a constant.
    share = (sums + 2) * unit
    total = apply(_without_constants(absolute), *(error + share * size for size, error in inputs))
    for name in ("bias", "shift"):
        constant = getattr(absolute, name, None)
        if constant is not None:
            if not isinstance(operator, Affine | Scale):
                constant = constant.reshape(-1, *(1,) * (total.ndim - 2))
            total = total + share * constant
    # What underflows is lost altogether, in a product or in a weight.
    largest = max(float(size.amax()) for size, _ in inputs)
    return total + torch.finfo(total.dtype).tiny * sums * (1 + largest)


@rounded.register
def _(operator: PiecewiseLinear, x: tuple[Tensor, Tensor]) -> Tensor:
    (size, error), unit = x, unit_roundoff(x[0])
    slopes = [torch.as_tensor(slope, dtype=size.dtype).to(size) for slope in operator.slopes]
    steep = torch.stack(torch.broadcast_tensors(*slopes)).abs().amax(dim=0).clamp(min=1.0)
    kinks = sum(abs(kink) for kink in operator.kinks if isfinite(kink))
    return steep * (error + _LIBRARY * unit * (size + kinks))


@rounded.register(Relu)
@rounded.register(Abs)
@rounded.register(Clip)
def _(operator: Elementwise, x: tuple[Tensor, Tensor]) -> Tensor:
    return x[1]


@rounded.register
def _(operator: LeakyRelu, x: tuple[Tensor, Tensor]) -> Tensor:
    size, error = x
    return operator.slope.abs().clamp(min=1.0) * (error + 2 * unit_roundoff(size) * size)


@rounded.register
def _by_slope(operator: Smooth, x: tuple[Tensor, Tensor]) -> Tensor:
    size, error = x
    return _smooth_error(operator, error, -(size + error), size + error)


@rounded.register
def _(operator: Steps, x: tuple[Tensor, Tensor]) -> Tensor:
    size, error = x
    return _steps_error(operator, error, -(size + error), size + error)


def on_interval(
    operator: Nonlinear,
    before: Tensor,
    ends: tuple[Tensor, Tensor],
    values: tuple[Tensor, Tensor],
) -> tuple[Tensor, Tensor]:
    """Magnitude and error of a function's values, from bounds on what enters it.

    Parameters
    ----------
    operator : Nonlinear
    before : Tensor
        The error of what enters it.
    ends : pair of Tensor
        Bounds on that, by more than its error apart.
    values : pair of Tensor
        Magnitude and error as `rounded` has them.
    """
    (low, high), (size, error) = ends, values
    if isinstance(operator, Steps):
        error = _steps_error(operator, before, low, high)
    elif rounded.dispatch(type(operator)) is _by_slope:
        assert isinstance(operator, Smooth)
        error = _smooth_error(operator, before, low, high)
    return _held(operator, low, high, size, error)


def _held(
    operator: Operator, low: Tensor, high: Tensor, size: Tensor, error: Tensor
) -> tuple[Tensor, Tensor]:
    """Magnitude and error of a function's values, where it is proven not to move at all."""
    if isinstance(operator, Relu):
        off = high < 0
        return torch.minimum(size, high.clamp(min=0)), error.masked_fill(off, 0.0)
    if isinstance(operator, Clip):
        end = max((abs(e) for e in (operator.low, operator.high) if isfinite(e)), default=0.0)
        off = (high < operator.low) | (low > operator.high)
        # The end itself is rounded when it is read.
        return size, error.masked_fill(off, 0.0) + unit_roundoff(error) * end
    return size, error


def _steps_error(operator: Steps, error: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Error of what bounds say of steps on an interval.

    Bounds hold on both sides of a jump, also of one that is a little outside: then rounding only
    moves along lines. What is further off may be beyond a jump that bounds know nothing of.
    """
    reach = torch.stack(interval(operator, (low, high))).abs().amax(dim=0)
    near = FACTOR * error <= jump_margin(low, high)
    beyond = (torch.floor(2 * FACTOR * error / operator.spacing) + 1) * operator.height
    moved = torch.where(near, 2 * steepest_of_steps(operator) * error, beyond)
    still = operator.jump_from(low, torch) > high
    return torch.where(still, 0.0, moved) + _LIBRARY * unit_roundoff(low) * reach.clamp(min=1.0)


def _smooth_error(operator: Smooth, error: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Error of a function's values on an interval; NaN where it is not defined on all of it."""
    # The derivative is the steepest at an end, at an inflection or beside a kink.
    inner = [torch.full_like(low, point) for point in operator.inflections]
    kinks = [torch.full_like(low, point) for point in operator.kinks]
    inner += [torch.nextafter(kink, far) for kink in kinks for far in (kink - 1, kink + 1)]
    points = [low, high, *(torch.maximum(torch.minimum(point, high), low) for point in inner)]
    steep = torch.stack([operator.derivative(at, torch).abs() for at in points]).amax(dim=0)
    if isinstance(operator, Periodic):
        steep = torch.full_like(steep, operator.steepest)
    reach = torch.stack(interval(operator, (low, high))).abs().amax(dim=0)
    # Where nothing is off, a derivative without end makes it no more.
    moved = torch.where(error == 0, 0.0, steep * error)
    return moved + _LIBRARY * unit_roundoff(low) * reach.clamp(min=1.0)


@rounded.register
def _(operator: Max, x: tuple[Tensor, Tensor]) -> Tensor:
    return x[1].amax(dim=-1)


@rounded.register
def _(operator: Share, x: tuple[Tensor, Tensor]) -> Tensor:
    """The slopes' magnitudes sum to ``p (1 - p)``; intercepts are sums of products with them."""
    size, error = x
    terms = _LIBRARY + 4 * sum_units(size.shape[-1])
    own = terms * unit_roundoff(size) * (1 + size.sum(dim=-1))
    return error.amax(dim=-1) / 4 + own + torch.finfo(size.dtype).tiny


@rounded.register
def _(operator: Product, x: tuple[Tensor, Tensor]) -> Tensor:
    (size, other_size), (error, other_error) = (part.unbind(dim=-1) for part in x)
    passed = size * other_error + other_size * error + error * other_error
    # The products at four corners, and planes through them, whose terms are larger than they are.
    return (
        passed
        + _LIBRARY * unit_roundoff(size) * size * other_size
        + torch.finfo(size.dtype).tiny * (1 + size + other_size)
    )


@rounded.register
def _(operator: Increment, x: tuple[Tensor, Tensor]) -> Tensor:
    (size, change), (error, off) = (part.unbind(dim=-1) for part in x)
    reach = size + change + error + off
    steep = torch.stack(secant_slopes(operator.function, -reach, reach)).abs().amax(dim=0)
    # An error of x moves both ends alike, and so the increment by twice itself at most.
    passed = steep * (off + 2 * torch.minimum(error, change + off))
    own = rounded(operator.function, (reach, torch.zeros_like(reach)))
    unit = _LIBRARY * unit_roundoff(size) * steep.clamp(min=1.0) * reach
    return passed + 2 * own + unit + torch.finfo(size.dtype).tiny


def _absolute(operator: Linear) -> Linear:
    """The map of magnitudes: the same with the magnitudes of its numbers."""
    changes: dict[str, Any] = {
        name: getattr(operator, name).abs()
        for name in ("weight", "bias", "scale", "shift")
        if getattr(operator, name, None) is not None
    }
    return replace(operator, **changes) if changes else operator


def _without_constants(operator: Linear) -> Linear:
    names = {item.name for item in fields(operator)}
    changes: dict[str, Any] = {name: None for name in ("bias", "shift") if name in names}
    if isinstance(operator, Pad):
        changes["value"] = 0.0
    return replace(operator, **changes) if changes else operator


def _sums(operator: Linear) -> float:
    """Units of error for one number that comes out, of a sum forward and of one backward."""
    if isinstance(operator, Affine):
        outputs, inputs = operator.weight.shape
        return float(sum_units(inputs) + sum_units(outputs))
    if isinstance(operator, Conv | ConvTranspose):
        first, second, *kernel = operator.weight.shape
        window = prod(kernel)
        first //= operator.groups
        return float(sum_units(first * window) + sum_units(second * window))
    if isinstance(operator, Scale | Add):
        return 2.0
    return 0.0


def unit_roundoff(like: Tensor) -> float:
    """The largest relative error of one rounding, in the type of a tensor."""
    return torch.finfo(like.dtype).eps / 2


def sum_units(count: Any) -> Any:
    """Units that a sum of products is off by, relative to their magnitudes."""
    if isinstance(count, Tensor):
        return torch.minimum(count, _SPREAD * count.sqrt())
    return min(count, _SPREAD * sqrt(count))
