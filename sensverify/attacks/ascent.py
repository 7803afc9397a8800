"""Parts that attacks following gradients share: losses, starting points, projection to the box."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from sensverify.attacks.sample_generator import SampleGenerator
from sensverify.attacks.worst_points import per_sample
from sensverify.bounds.tensors import flattened
from sensverify.core.box import Box
from sensverify.core.sets import InputSet
from sensverify.errors import BadBox, BadSetting, BadShape

Function = Callable[[Tensor], Tensor]
"""A function from inputs ``[batch, *features]`` to outputs ``[batch, *outputs]``."""

AttackLoss = Callable[[Tensor, Tensor], Tensor]
"""A loss to raise, ``[batch]``, from outputs ``[batch, outputs]`` and labels ``[batch]``."""

RandomSource = torch.Generator | SampleGenerator | None
"""Source of random numbers; None is torch's own generator."""


_NEARLY_EQUAL, _SPREAD = 0.1, 20.0
"""Largest minus smallest output at a sample: below the one, they are stretched to the other."""


def log_odds(outputs: Tensor, labels: Tensor) -> Tensor:
    """Logarithm of the odds against the label over those of an even guess, ``[batch]``.

    ``log(mean_{j != y} exp(z_j)) - z_y``. The cross-entropy in nats is ``log(1 + (K - 1) e^v)`` of
    this value v for K classes: both rise together, and their gradients point the same way. But the
    cross-entropy of large outputs is 0 in floating point, and so is its gradient; this one is not.
    """
    chosen = labels.reshape(-1, 1)
    others = outputs.scatter(1, chosen, -math.inf)
    top = others.detach().amax(dim=1, keepdim=True)
    # Of small differences, too, nothing is lost: exp(d) - 1 in place of exp(d).
    excess = (outputs - top).scatter(1, chosen, 0.0).expm1().sum(dim=1)
    label = outputs.gather(1, chosen)
    return (top - label).squeeze(1) + torch.log1p(excess / (outputs.shape[1] - 1))


def rescaled_log_odds(clean: Tensor) -> AttackLoss:
    """`log_odds` of outputs whose spread at the samples is stretched where it is below 0.1, to 20.

    Where outputs are nearly equal, the cross-entropy weighs all other classes alike, and its
    gradient points to none of them: a network would seem the more robust, the smaller its outputs.
    The outputs of trained networks commonly have a spread of 10 to 40, and are taken as they are.

    Parameters
    ----------
    clean : Tensor, shape ``[batch, classes]``
        The outputs at the samples.
    """
    spread = (clean.amax(dim=1) - clean.amin(dim=1)).detach()
    factor = torch.where((spread > 0) & (spread < _NEARLY_EQUAL), _SPREAD / spread, 1.0)
    return lambda outputs, labels: log_odds(outputs * factor.reshape(-1, 1), labels)


def margin_loss(outputs: Tensor, labels: Tensor) -> Tensor:
    """Largest other output minus the label's, ``[batch]``: above 0 where the label loses."""
    chosen = labels.reshape(-1, 1)
    others = outputs.scatter(1, chosen, -math.inf).amax(dim=1)
    return others - outputs.gather(1, chosen).squeeze(1)


def divergence(clean: Tensor, outputs: Tensor) -> Tensor:
    """``KL(softmax(clean) || softmax(outputs))`` of every sample in nats, ``[batch]``."""
    found, wanted = functional.log_softmax(outputs, dim=1), functional.log_softmax(clean, dim=1)
    return functional.kl_div(found, wanted, reduction="none", log_target=True).sum(dim=1)


def least_likely(clean: Tensor) -> AttackLoss:
    """`log_odds` for the class with the smallest output in ``clean``: they rise with its share."""
    least = clean.argmin(dim=1)
    loss = rescaled_log_odds(clean)
    return lambda outputs, _: -loss(outputs, least)


LossName = Literal["cross-entropy", "margin"]
LOSSES: dict[str, AttackLoss] = {"cross-entropy": log_odds, "margin": margin_loss}
"""Losses that an attack raises, by name; `pgd` knows ``kl`` besides. The cross-entropy is computed
as `log_odds`, which rises where it does: attacks use only the order and the direction of a loss."""


def find_loss(loss: str | AttackLoss) -> AttackLoss:
    """The loss of that name, or a callable as it is.

    Raises
    ------
    BadSetting
        There is none of that name.
    """
    if callable(loss):
        return loss
    if loss not in LOSSES:
        raise BadSetting(f"there is no loss '{loss}' to attack; there are {', '.join(LOSSES)}, kl")
    return LOSSES[loss]


def check(x: Tensor, y: Tensor, box: Box) -> None:
    """Refuse samples, labels and boxes that do not fit together.

    Raises
    ------
    BadShape
        Shapes or dtypes differ.
    BadBox
        A sample lies outside of its box.
    """
    lower = box.lower
    if not isinstance(lower, Tensor) or x.shape != lower.shape or x.dtype != lower.dtype:
        raise BadShape(
            "an attack needs a box of tensors with the shape and dtype of the samples, "
            f"{tuple(x.shape)} {x.dtype}; got {tuple(lower.shape)} {lower.dtype}"
        )
    if tuple(y.shape) != (len(x),):
        raise BadShape(f"an attack on {len(x)} samples needs as many labels, got {tuple(y.shape)}")
    if not bool(box.contains(x).all()):
        raise BadBox("an attack starts at the samples, and some lie outside of their boxes")


def random_point(box: Box, generator: RandomSource) -> Tensor:
    """A uniformly drawn point of every box, ``[batch, *features]``.

    Drawn where the generator lives (default: the CPU), so that every device gets the same.
    """
    lower, upper = box.lower, box.upper
    if isinstance(generator, SampleGenerator):
        share = generator.uniform(tuple(lower.shape[1:]), lower.dtype)
    else:
        source = "cpu" if generator is None else generator.device
        share = torch.rand(lower.shape, generator=generator, dtype=lower.dtype, device=source)
    return project(torch.lerp(lower, upper, share.to(lower.device)), box)


def largest_step(x: Tensor, box: Box) -> Tensor:
    """Largest move of every feature in the box: its radius, unless the box is cut on both sides."""
    return torch.maximum(box.upper - x, x - box.lower)


def project(points: Tensor, box: Box) -> Tensor:
    """Projection to the nearest points of the box; a NaN becomes the box's lower end.

    Of an input set, to near points of it; see `InputSet.projected`.
    """
    inside = torch.minimum(torch.maximum(points.nan_to_num(-math.inf), box.lower), box.upper)
    if not isinstance(box, InputSet):
        return inside
    found = torch.from_numpy(box.projected(inside.detach().cpu().numpy()))
    found = found.to(points.device, points.dtype)
    return torch.minimum(torch.maximum(found, box.lower), box.upper)


def named_loss(function: Function, x: Tensor, loss: str) -> AttackLoss:
    """The loss of that name; the cross-entropy with its outputs `rescaled_log_odds`."""
    if loss != "cross-entropy":
        return find_loss(loss)
    with torch.no_grad():
        return rescaled_log_odds(flattened(function(x)))


def value_and_gradient(
    function: Function,
    points: Tensor,
    y: Tensor,
    loss: AttackLoss,
    *,
    fallback: AttackLoss | None = None,
    needed: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """The outputs, the loss of every sample, and its gradient in the points; all detached.

    A gradient that is NaN counts as zero: the point stays where it is. Parameters get no gradients.

    Parameters
    ----------
    function : callable
    points : Tensor, shape ``[batch, *features]``
    y : int64 Tensor, shape ``[batch]``
    loss : callable
    fallback : callable, optional
        Another loss, whose gradient is taken for samples where that of the loss is zero.
    needed : bool
        Whether to refuse outputs without a gradient; else their gradient is zero.

    Raises
    ------
    BadSetting
        The outputs do not come out of the inputs by operations that torch can differentiate.
    """
    with torch.enable_grad():
        points = points.detach().requires_grad_()
        outputs = flattened(function(points))
        values = loss(outputs, y)
        if not values.requires_grad and not needed:
            return outputs.detach(), values.detach(), torch.zeros_like(points)
        if not values.requires_grad:
            raise BadSetting(
                "this attack follows gradients, and the function it attacks has none",
                "give a surrogate that has, or use an attack that needs none (square)",
            )
        (gradient,) = torch.autograd.grad(values.sum(), points, retain_graph=fallback is not None)
        gradient = gradient.nan_to_num(0.0)
        if fallback is not None:
            flat = has_zero_gradient(gradient)
            if bool(flat.any()):
                (other,) = torch.autograd.grad(fallback(outputs, y).sum(), points)
                gradient = torch.where(per_sample(flat, other), other.nan_to_num(0.0), gradient)
    return outputs.detach(), values.detach(), gradient


def sign_step(
    function: Function,
    points: Tensor,
    y: Tensor,
    box: Box,
    stride: Tensor | float,
    loss: AttackLoss,
    *,
    fallback: AttackLoss | None = None,
    needed: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """One step of projected sign-gradient ascent: outputs and losses at points, and the next ones.

    Parameters
    ----------
    function, points, y, loss, fallback, needed
        See `value_and_gradient`.
    box : Box of tensors, shape ``[batch, *features]``
        The next points lie in it.
    stride : Tensor broadcastable to points, or float
        Length of the step in every feature.
    """
    outputs, values, gradient = value_and_gradient(
        function, points, y, loss, fallback=fallback, needed=needed
    )
    return outputs, values, project(points + stride * gradient.sign(), box)


def has_zero_gradient(gradient: Tensor) -> Tensor:
    """Mask of the samples whose gradient is zero in all features, ``[batch]``."""
    return flattened(gradient == 0).all(dim=1)
