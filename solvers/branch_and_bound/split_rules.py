"""Splits of the numbers that enter an operator: which there are, where, and what they are worth.

The lines around an operator leave room between them and its values. A coefficient on its output
says how much of that room a bound loses: below a positive one lies the line below, below a negative
one the line above. A split is worth trying where that loss is large, at the point that leaves the
least of it on both sides. Source: Shi et al. 2025, *Neural network verification with
branch-and-bound for general nonlinearities* (GenBaB), for the idea that points are chosen by the
lines of both parts; for ReLUs, Bunel et al. 2020, *Branch and bound for piecewise linear neural
network verification*, Section 4.2 (BaBSR), without its bias term.

Entries are those that enter: of a `Windowed` operator, the numbers of its windows.
"""

from __future__ import annotations

from dataclasses import fields, replace
from functools import singledispatch
from typing import Any, TypeVar

import torch
from torch import Tensor

from sensverify.bounds.extremes import jump_margin, widened
from sensverify.bounds.forward import apply
from sensverify.bounds.relaxation import Relaxation, Slope, relax
from sensverify.network.operators import (
    Elementwise,
    Max,
    Operator,
    PiecewiseLinear,
    Product,
    Relu,
    Share,
    Smooth,
    Steps,
)

_NARROW = 1e-5
"""Share of its magnitude below which an interval of a curved function is split no more."""

_SHARES = (0.25, 0.5, 0.75)
"""Of an interval: where lines are compared with the function, and where it may be split."""

_BESIDE = 2.0**-18
"""Share of its magnitude by which a split keeps away from a jump. On the jump itself the values on
both its sides are attained, so that a part that ends there is no better."""

Kind = TypeVar("Kind", bound=Operator)


def can_split(operator: Operator) -> bool:
    """True where there is a rule for what enters an operator."""
    return isinstance(operator, PiecewiseLinear | Smooth | Steps | Product | Max | Share)


def of_entries(operator: Kind, shape: tuple[int, ...], places: Tensor) -> Kind:
    """The operator for some of its outputs, ``[places]``, in place of all of them, ``shape``."""
    changes: dict[str, Any] = {
        item.name: value.expand(shape).flatten()[places]
        for item in fields(operator)
        if isinstance(value := getattr(operator, item.name), Tensor) and value.ndim
    }
    return replace(operator, **changes) if changes else operator


@singledispatch
def splittable(operator: Operator, lower: Tensor, upper: Tensor) -> Tensor:
    """Mask of the entries that a split can help, ``[items, *shape]``.

    Parameters
    ----------
    operator : Operator
    lower, upper : Tensor, shape ``[items, *shape]``
        Bounds on what enters.
    """
    return torch.zeros_like(lower, dtype=torch.bool)


@singledispatch
def losses(
    operator: Operator, weight: Tensor, lines: Relaxation, lower: Tensor, upper: Tensor
) -> Tensor:
    """The loss of a bound at the lines around an operator, for each entry, ``[items, *shape]``.

    Parameters
    ----------
    operator : Operator
    weight : Tensor, shape ``[items, *output shape]``
        Coefficients on its output.
    lines : Relaxation, slopes ``[items, 1, *...]``
    lower, upper : Tensor, shape ``[items, *shape]``
    """
    return torch.zeros_like(lower)


@singledispatch
def split_points(
    operator: Operator, weight: Tensor, lower: Tensor, upper: Tensor, number: Tensor
) -> Tensor:
    """The points at which to split some entries, ``[entries]``: inside of splittable ones.

    Parameters
    ----------
    operator : Operator
        Of these entries: `of_entries`.
    weight : Tensor, shape ``[1, entries]``
    lower, upper : Tensor, shape ``[1, entries]``, of windows ``[1, entries, numbers]``
    number : Tensor, shape ``[entries]``
        Of a window, which of its numbers.
    """
    return (lower / 2 + upper / 2)[0]


@splittable.register
def _(operator: PiecewiseLinear, lower: Tensor, upper: Tensor) -> Tensor:
    inside = torch.zeros_like(lower, dtype=torch.bool)
    for kink in _kinks(operator):
        inside |= (lower < kink) & (upper > kink)
    return inside


@splittable.register
def _(operator: Smooth, lower: Tensor, upper: Tensor) -> Tensor:
    return _wide(lower, upper)


@splittable.register
def _(operator: Steps, lower: Tensor, upper: Tensor) -> Tensor:
    return torch.isfinite(_at_a_jump(operator, lower, upper))


@splittable.register
def _(operator: Product, lower: Tensor, upper: Tensor) -> Tensor:
    return _wide(lower, upper) & (lower < upper).all(dim=-1, keepdim=True)


@splittable.register
def _(operator: Max, lower: Tensor, upper: Tensor) -> Tensor:
    # A number that may be the largest, where another one may be, too.
    may = upper > lower.amax(dim=-1, keepdim=True)
    several = may.sum(dim=-1, keepdim=True) > 1
    return may & several & _wide(lower, upper)


@splittable.register
def _(operator: Share, lower: Tensor, upper: Tensor) -> Tensor:
    return _wide(lower, upper)


@losses.register
def _(operator: Relu, weight: Tensor, lines: Relaxation, lower: Tensor, upper: Tensor) -> Tensor:
    """At the line above, its intercept; at the one below, the smaller of its two ends."""
    height = -lower * upper / (upper - lower).clamp(min=1e-300)
    above = (-weight).clamp(min=0) * height
    below = weight.clamp(min=0) * torch.minimum(-lower, upper) / 2
    return above + 1e-3 * below


@losses.register
def _(
    operator: Elementwise, weight: Tensor, lines: Relaxation, lower: Tensor, upper: Tensor
) -> Tensor:
    """The largest distance of the line that counts, at a few points."""
    below, above = torch.zeros_like(lower), torch.zeros_like(lower)
    for share in _SHARES:
        x = lower + share * (upper - lower)
        value = apply(operator, x)
        under, over = _at(lines, x)
        below, above = below.maximum(value - under), above.maximum(over - value)
    return weight.clamp(min=0) * below + (-weight).clamp(min=0) * above


@losses.register
def _(operator: Product, weight: Tensor, lines: Relaxation, lower: Tensor, upper: Tensor) -> Tensor:
    """McCormick's planes are farthest from the product in the middle; a split halves that."""
    width = upper - lower
    return (weight.abs() * width.prod(dim=-1) / 4).unsqueeze(-1).expand_as(lower)


@losses.register
def _(operator: Max, weight: Tensor, lines: Relaxation, lower: Tensor, upper: Tensor) -> Tensor:
    """The room of a number above what the largest is at least, or below itself."""
    least = lower.amax(dim=-1, keepdim=True)
    room = torch.minimum(upper - least, upper - lower).clamp(min=0)
    return weight.abs().unsqueeze(-1) * room


@losses.register
def _(operator: Share, weight: Tensor, lines: Relaxation, lower: Tensor, upper: Tensor) -> Tensor:
    """The distance of the planes in the middle, shared as the numbers bend over their widths."""
    middle = lower / 2 + upper / 2
    value = apply(operator, middle)
    under, over = _at(lines, middle, windowed=True)
    below, above = (value - under).clamp(min=0), (over - value).clamp(min=0)
    loss = weight.clamp(min=0) * below + (-weight).clamp(min=0) * above
    bend = (upper - lower).square() * torch.exp(middle - middle.amax(dim=-1, keepdim=True))
    total = bend.sum(dim=-1, keepdim=True)
    return loss.unsqueeze(-1) * bend / torch.where(total > 0, total, 1.0)


@split_points.register
def _(
    operator: PiecewiseLinear, weight: Tensor, lower: Tensor, upper: Tensor, number: Tensor
) -> Tensor:
    """The kink that is nearest to the middle."""
    middle, best = lower / 2 + upper / 2, torch.full_like(lower, torch.nan)
    for kink in _kinks(operator):
        # Written so that a middle without a number, or infinitely far, takes the first kink.
        nearer = ~((middle - kink).abs() >= (middle - best).abs())
        best = torch.where((lower < kink) & (upper > kink) & nearer, kink, best)
    return torch.where(torch.isfinite(best), best, middle)[0]


@split_points.register
def _(operator: Smooth, weight: Tensor, lower: Tensor, upper: Tensor, number: Tensor) -> Tensor:
    """The point that leaves the least loss on both sides together."""
    middle, width = lower / 2 + upper / 2, upper - lower
    points = [lower + share * width for share in _SHARES]
    for place in {*operator.inflections, *operator.kinks}:
        inside = (lower + _NARROW * width < place) & (place < upper - _NARROW * width)
        points.append(torch.where(inside, place, middle))
    at = torch.cat(points).float().to(lower)
    left = _fresh_loss(operator, weight, lower.expand_as(at), at)
    both = left + _fresh_loss(operator, weight, at, upper.expand_as(at))
    return at.gather(0, both.argmin(dim=0, keepdim=True))[0]


@split_points.register
def _(operator: Steps, weight: Tensor, lower: Tensor, upper: Tensor, number: Tensor) -> Tensor:
    at = _at_a_jump(operator, lower, upper)
    return torch.where(torch.isfinite(at), at, lower / 2 + upper / 2)[0]


@split_points.register(Product)
@split_points.register(Share)
def _(operator: Operator, weight: Tensor, lower: Tensor, upper: Tensor, number: Tensor) -> Tensor:
    return _of_window(lower / 2 + upper / 2, number)


@split_points.register
def _(operator: Max, weight: Tensor, lower: Tensor, upper: Tensor, number: Tensor) -> Tensor:
    """The least that the largest number can be: below it the number does not count any more.

    Of that number itself, what the others are at most: above it the number is the largest.
    """
    low, high = _of_window(lower, number), _of_window(upper, number)
    itself = torch.nn.functional.one_hot(number, lower.shape[-1]).bool()
    # Splits are float32: rounded so that nothing is left between the point and what it stands for.
    least = _rounded(lower[0].amax(dim=-1), -torch.inf)
    others = _rounded(upper[0].masked_fill(itself, -torch.inf).amax(dim=-1), torch.inf)
    at = torch.where((low < others) & (others < high), others, low / 2 + high / 2)
    return torch.where((low < least) & (least < high), least, at)


def _kinks(operator: PiecewiseLinear) -> list[float]:
    """Kinks as float32, as splits are."""
    largest = torch.finfo(torch.float32).max
    return [float(torch.tensor(k).float()) for k in operator.kinks if abs(k) <= largest]


def _wide(lower: Tensor, upper: Tensor) -> Tensor:
    size = torch.maximum(lower.abs(), upper.abs())
    return upper - lower > _NARROW * size


def _at(lines: Relaxation, x: Tensor, *, windowed: bool = False) -> tuple[Tensor, Tensor]:
    """Values of both lines, or planes."""
    ends = []
    for slope, intercept in (
        (lines.lower_slope, lines.lower_intercept),
        (lines.upper_slope, lines.upper_intercept),
    ):
        value = slope.squeeze(1) * x
        value = value.sum(dim=-1) if windowed else value
        ends.append(value if intercept is None else value + intercept.squeeze(1))
    return ends[0], ends[1]


def _fresh_loss(operator: Smooth, weight: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    lines = relax(operator, lower, upper, Slope.ADAPTIVE)
    return losses(operator, weight, lines, lower, upper)


def _at_a_jump(operator: Steps, lower: Tensor, upper: Tensor) -> Tensor:
    """The jump that is nearest to the middle, or a place beside it; infinite where none is inside.

    Each part takes the value of its own side at the jump, of which the function has one. Where it
    has another value there, parts end beside it.
    """
    if not operator.sided:
        return _beside_a_jump(operator, lower, upper)
    middle, (low, high) = lower / 2 + upper / 2, widened(lower, upper)
    best = torch.full_like(lower, torch.inf)
    apart = 8 * jump_margin(lower, upper) < operator.spacing
    for jump in (operator.jump_from(middle, torch), operator.jump_to(middle, torch)):
        # Splits are float32.
        inside = apart & (low <= jump) & (jump <= high) & (jump.float().to(jump) == jump)
        nearer = inside & ~((jump - middle).abs() >= (best - middle).abs())
        best = torch.where(nearer, jump, best)
    return best


def _beside_a_jump(operator: Steps, lower: Tensor, upper: Tensor) -> Tensor:
    """The place beside a jump that is nearest to the middle; infinite where none is inside."""
    middle = lower / 2 + upper / 2
    best, away = torch.full_like(lower, torch.inf), 8 * jump_margin(lower, upper)
    for jump in (operator.jump_from(middle, torch), operator.jump_to(middle, torch)):
        beside = torch.maximum(_BESIDE * jump.abs().clamp(min=1.0), away)
        for at in ((jump - beside).float().to(lower), (jump + beside).float().to(lower)):
            inside = (lower < at) & (at < upper) & (4 * beside < operator.spacing)
            nearer = inside & ~((at - middle).abs() >= (best - middle).abs())
            best = torch.where(nearer, at, best)
    return best


def _of_window(values: Tensor, number: Tensor) -> Tensor:
    """One number of each window, ``[entries]``, from ``[1, entries, numbers]``."""
    return values[0].gather(1, number.unsqueeze(1)).squeeze(1)


def _rounded(values: Tensor, towards: float) -> Tensor:
    """A float32 number beside each, no nearer to what it is rounded towards than one step."""
    single = values.float()
    return single.nextafter(torch.full_like(single, towards)).to(values)
