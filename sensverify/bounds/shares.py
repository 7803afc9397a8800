"""Planes below and above the share that a softmax gives an entry, ``p = 1 / (1 + sum(exp(x)))``.

Below, ``1 / s`` lies above its tangents ``2 k - k^2 s``, and every exponential of the sum s below
its chord. Above, ``p = exp(-v)`` lies below its chord in ``v = log s``, which is convex, and above
its own tangent planes. Source: Wei et al. 2023, *Convex bounds on the softmax function with
applications to robustness verification*, for the bounds in v (LSE), which are tighter than those
in s above (ER); on differences of inputs both are one below.

Whatever the slopes are, and the tangents taken, the intercepts here hold. Everything is relative to
the largest exponent, so that none overflows.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_FAR = 2.0
"""How far v moves, at most, from its least value to where its tangent plane is taken, about."""

Plane = tuple[Tensor, Tensor]
"""Slopes ``[..., numbers]`` and intercept ``[...]``."""


class _Ends(NamedTuple):
    """Exponentials of both ends over ``exp(top)``, and the slopes of the chords between them."""

    low: Tensor
    high: Tensor
    chord: Tensor
    one: Tensor
    """``exp(-top)``, ``[...]``."""

    @property
    def largest(self) -> Tensor:
        """The sum at the upper ends."""
        return self.one + self.high.sum(dim=-1)


def share(x: Tensor) -> Tensor:
    """``1 / (1 + sum(exp(x)))`` along the last axis, which no exponential overflows."""
    return torch.exp(-log_sum(x))


def log_sum(x: Tensor) -> Tensor:
    """``v = log(1 + sum(exp(x)))`` along the last axis."""
    top = _top(x)
    return top + torch.log(torch.exp(-top) + torch.exp(x - top.unsqueeze(-1)).sum(dim=-1))


def planes_at(lower: Tensor, upper: Tensor, below: Tensor, above: Tensor) -> tuple[Plane, Plane]:
    """The planes below and above of which tangents are taken at some place of the box.

    Parameters
    ----------
    lower, upper : Tensor, shape ``[..., numbers]``
    below : Tensor, shape ``[...]``, in [0, 1]
        Where between its least and its largest value the sum s is that ``1 / s`` has its tangent.
    above : Tensor, shape ``[..., numbers]``, in [0, 1]
        Where between both ends the numbers are at which v has its tangent plane.
    """
    ends = _ends(lower, upper)
    place = 1 / torch.lerp(ends.one + ends.low.sum(dim=-1), ends.largest, below)
    weight = (place.square() * ends.one).unsqueeze(-1)
    low = -weight * ends.chord
    # On every chord, which both ends lie on.
    rest = ends.one * (2 * place - place.square() * ends.one)
    under = rest - (weight * ends.low + low * lower).sum(dim=-1)
    point = torch.lerp(lower, upper, above)
    start, steep = _chord_above(lower, upper)
    value, slope = _tangent(point)
    high = -steep.unsqueeze(-1) * slope
    over = torch.exp(-start) + steep * (start - value) - (high * point).sum(dim=-1)
    return (low, under), (high, over)


def middle_shares(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """For `planes_at`, with which planes are best in the middle of the box, or nearly.

    Chords halve there. Where v moves far, a plane above that touches there is far above the largest
    share at the lower ends: it touches nearer to these.
    """
    with torch.no_grad():
        moved = log_sum(upper) - log_sum(lower)
        above = (_FAR / moved.clamp(min=2 * _FAR)).unsqueeze(-1).expand_as(lower)
        return torch.full_like(moved, 0.5), above.clone()


def least_above(slope: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """At most ``p(x) - slope · x`` on the box, ``[...]``.

    Of two tangents ``2 k - k^2 s`` the better one: what is left is concave in every number. One
    fits the slopes, one touches where s is largest.
    """
    ends = _ends(lower, upper)
    with torch.no_grad():
        steep = (-slope).clamp(min=0).sum(dim=-1)
        fitting = (steep / (ends.one * ends.chord.sum(dim=-1))).sqrt()
        lowest = 1 / ends.largest
        fitting = torch.where(torch.isfinite(fitting), fitting, lowest).clamp(max=2.0)
    found = [_least(slope, lower, upper, ends, place) for place in (fitting, lowest)]
    return torch.maximum(*found)


def most_above(slope: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """At least ``p(x) - slope · x`` on the box, ``[...]``."""
    with torch.no_grad():
        steep = _chord_above(lower, upper)[1].unsqueeze(-1)
        tiny = torch.finfo(slope.dtype).tiny ** 0.5
        shares = (-slope / steep.clamp(min=tiny)).clamp(min=tiny)
        rest = (1 - shares.sum(dim=-1, keepdim=True)).clamp(min=tiny)
        # Where the tangent plane of v has these slopes, or near that.
        point = torch.minimum(torch.maximum(shares.log() - rest.log(), lower), upper)
    start, steep = _chord_above(lower, upper)
    value, tangent = _tangent(point)
    left = steep.unsqueeze(-1) * tangent + slope
    worst = torch.maximum(left * (point - lower), left * (point - upper)).sum(dim=-1)
    over = torch.exp(-start) + steep * (start - value)
    return over - (slope * point).sum(dim=-1) + worst


def slopes_between(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """The least and the largest derivative in every number, or beyond: ``-p p_j``.

    The share p_j that x_j itself has is least where it is small and the others are large.
    """
    least, most = share(upper), share(lower)
    low, high = [], []
    for k in range(lower.shape[-1]):
        itself = torch.tensor([k], device=lower.device)
        rest = [x.index_fill(-1, itself, -torch.inf) for x in (lower, upper)]
        low.append(torch.sigmoid(lower[..., k] - log_sum(rest[1])))
        high.append(torch.sigmoid(upper[..., k] - log_sum(rest[0])))
    own_least, own_most = torch.stack(low, dim=-1), torch.stack(high, dim=-1)
    return -most.unsqueeze(-1) * own_most, -least.unsqueeze(-1) * own_least


def _least(slope: Tensor, lower: Tensor, upper: Tensor, ends: _Ends, place: Tensor) -> Tensor:
    """``2 k - k^2 s - slope · x`` at its least, k being ``exp(-top) place``."""
    weight = (place.square() * ends.one).unsqueeze(-1)
    terms = torch.minimum(-weight * ends.low - slope * lower, -weight * ends.high - slope * upper)
    return ends.one * (2 * place - place.square() * ends.one) + terms.sum(dim=-1)


def _chord_above(lower: Tensor, upper: Tensor) -> Plane:
    """The least v, and how steep the chord of ``exp(-v)`` falls from there to the largest."""
    start = log_sum(lower)
    return start, torch.exp(-start) * _chord((log_sum(upper) - start).clamp(min=0))


def _chord(width: Tensor) -> Tensor:
    """``(1 - exp(-width)) / width``."""
    # Elsewhere the divisor is one: a division by zero there would make the gradient NaN.
    wide = torch.where(width > 0, width, 1.0)
    return torch.where(width > 0, -torch.expm1(-wide) / wide, 1.0)


def _tangent(x: Tensor) -> Plane:
    """v, and its derivatives: the shares of the numbers themselves."""
    top = _top(x)
    powers = torch.exp(x - top.unsqueeze(-1))
    total = torch.exp(-top) + powers.sum(dim=-1)
    return top + torch.log(total), powers / total.unsqueeze(-1)


def _top(x: Tensor) -> Tensor:
    """The largest exponent, that of the one among them."""
    return x.amax(dim=-1).clamp(min=0).detach()


def _ends(lower: Tensor, upper: Tensor) -> _Ends:
    top = _top(upper)
    high = torch.exp(upper - top.unsqueeze(-1))
    low = torch.exp(lower - top.unsqueeze(-1))
    return _Ends(low, high, high * _chord(upper - lower), torch.exp(-top))
