"""Losses at inputs that an attack found on the network as it is now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from torch import Tensor
from torch.nn import functional

from sensverify.attacks import fgsm, pgd
from sensverify.attacks.ascent import divergence
from sensverify.bounds import forward_pass
from sensverify.bounds.tensors import flattened
from sensverify.errors import BadSetting
from sensverify.registry.ranges import Range
from sensverify.training.losses.step import Step

Steps = Annotated[int, Range(1, 10_000)]
ATTACKS = ("fgsm", "fast", "pgd")


def adversarial(
    step: Step, *, attack: Literal["pgd", "fgsm", "fast"] = "pgd", steps: Steps = 7
) -> Tensor:
    """Mean cross-entropy at attacked inputs.

    The inputs are found on the network in evaluation mode and the loss is taken in training mode.
    Training against ``fgsm`` or ``fast`` can fail without a sign of it in the loss: the network
    learns to mislead one step, and several break it. Watch the PGD error.

    Parameters
    ----------
    step : Step
    attack : str
        ``fgsm``, ``fast`` (fgsm with a random start) or ``pgd``.
    steps : int
        Of pgd.

    Raises
    ------
    BadSetting
        There is no such attack.

    Notes
    -----
    Source: Goodfellow et al. 2015 (``fgsm``); Wong et al. 2020, *Fast is better than free*
    (``fast``); Madry et al. 2018 (``pgd``).
    """
    if attack not in ATTACKS:
        raise BadSetting(f"adversarial has no attack {attack}; it has {', '.join(ATTACKS)}")
    function, x, box = _evaluation(step), _samples(step), step.box
    with torch.autocast(step.x.device.type, enabled=False):
        if attack == "pgd":
            found = pgd(function, x, step.y, box, steps=steps, generator=step.generator)
        else:
            fast, draws = attack == "fast", step.generator
            found = fgsm(function, x, step.y, box, random_start=fast, generator=draws)
    outputs = flattened(step.module(found.to(step.x.dtype)))
    return functional.cross_entropy(outputs, step.y)


def trades(step: Step, *, steps: Steps = 10) -> Tensor:
    """Mean divergence between the class probabilities at samples and at attacked inputs.

    ``KL(softmax f(x) || softmax f(x'))`` in nats, with x' found by pgd on this same divergence. The
    weight in the loss is the beta of the source, 1 to 6 there, beside the cross-entropy.

    Parameters
    ----------
    step : Step
    steps : int
        Of the attack.

    Notes
    -----
    Source: Zhang et al. 2019, *Theoretically principled trade-off between robustness and
    accuracy*, Eq. 5.
    """
    function, x, box = _evaluation(step), _samples(step), step.box
    with torch.autocast(step.x.device.type, enabled=False):
        found = pgd(function, x, step.y, box, steps=steps, generator=step.generator, loss="kl")
    outputs = flattened(step.module(found.to(step.x.dtype)))
    return divergence(step.outputs, outputs).mean()


def _samples(step: Step) -> Tensor:
    return step.x.detach().to(step.box.lower.dtype)


def _evaluation(step: Step) -> Callable[[Tensor], Tensor]:
    return lambda points: forward_pass(step.network, points)
