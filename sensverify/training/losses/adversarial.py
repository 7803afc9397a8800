"""Losses at inputs that an attack found on the network as it is now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor
from torch.nn import functional

from sensverify.attacks import fgsm, pgd
from sensverify.attacks.ascent import (
    AttackLoss,
    divergence,
    least_likely,
    rescaled_log_odds,
)
from sensverify.bounds.tensors import flattened
from sensverify.core.box import Box
from sensverify.errors import BadSetting
from sensverify.registry.ranges import Range
from sensverify.training.losses.amounts import Amount, drawn, extent, scaled
from sensverify.training.losses.labels import cross_entropies, one_hot, smoothed, towards
from sensverify.training.losses.mixing import Mix
from sensverify.training.losses.step import Step

Steps = Annotated[int, Range(1, 10_000)]
Attack = Literal["pgd", "fgsm", "fast"]
Target = Literal["least-likely", "random"]
Labels = Literal["truth", "smoothed", "target"]
Order = Literal["mix-first", "attack-first"]
ATTACKS = ("fgsm", "fast", "pgd")


def adversarial(
    step: Step,
    *,
    attack: Attack = "pgd",
    steps: Steps = 7,
    target: Target | None = None,
    amount: Amount = "full",
    labels: Labels = "truth",
    smoothing: Annotated[float, Range(0, 1)] | None = None,
    normalised: bool = True,
    mixup: Annotated[float, Range(0, 1e6, above=True)] | None = None,
    order: Order = "mix-first",
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
    target : str or None
        None goes away from the label; ``least-likely`` towards the class that the network gives
        the smallest output at the sample; ``random`` towards a class that is drawn for every
        sample, its own among them.
    amount : str or (low, high)
        How much of the radius in force an attack uses: ``full``; or a share that every sample
        draws, ``uniform`` from 0 to 1, ``normal`` (the absolute value of a normal distribution of
        deviation 1/2, cut at 1), or evenly from a range of shares.
    labels : str
        ``truth``; ``smoothed``, of which a share is spread over all classes; ``target``, of which
        that share goes to the class that the attack aims at.
    smoothing : float or None
        That share at the full radius; less of the radius takes less of it in proportion. None for
        the radius itself, as a share of the range of the features (``clip``; without it they are
        taken to lie between 0 and 1).
    normalised : bool
        Whether smoothed labels sum to 1; see `sensverify.training.losses.labels.smoothed`.
    mixup : float or None
        Alpha of a mixup, with a share of each pair; None for none.
    order : str
        ``mix-first`` attacks mixed samples, ``attack-first`` mixes attacked ones.

    Raises
    ------
    BadSetting
        There is no such attack; or labels have a target and the attack has none.

    Notes
    -----
    Source: Goodfellow et al. 2015 (``fgsm``); Wong et al. 2020, *Fast is better than free*
    (``fast``); Madry et al. 2018 (``pgd``); Kurakin et al. 2017, *Adversarial machine learning at
    scale* (targets, amounts); Laugros, Section 3.3 (labels; mixup first, with labels of the target,
    is M-TLAT); Lamb et al. 2019, *Interpolated adversarial training* (mixup last).
    """
    if attack not in ATTACKS:
        raise BadSetting(f"adversarial has no attack {attack}; it has {', '.join(ATTACKS)}")
    mix = None if mixup is None else Mix.drawn(step.x, mixup, "sample", step.generator)
    first, last = (mix, None) if order == "mix-first" else (None, mix)
    aim, amounts = _aim(step, first, target), drawn(amount, step)
    found = _attacked(step, aim, scaled(step, aim.x, amounts), attack, steps)
    found = found if last is None else last.of(found)
    outputs = flattened(step.module(found))
    if mix is None and labels == "truth":
        return functional.cross_entropy(outputs, step.y)
    wanted = one_hot(step.y, outputs)
    wanted = wanted if first is None else first.of(wanted)
    if labels != "truth":
        share = amounts * (extent(step) if smoothing is None else smoothing)
        if labels == "target":
            wanted = towards(wanted, aim.needed, share)
        else:
            wanted = smoothed(wanted, share, normalised=normalised)
    return cross_entropies(outputs, wanted if last is None else last.of(wanted)).mean()


def trades(step: Step, *, steps: Steps = 10, amount: Amount = "full") -> Tensor:
    """Mean divergence between the class probabilities at samples and at attacked inputs.

    ``KL(softmax f(x) || softmax f(x'))`` in nats, with x' found by pgd on this same divergence. The
    weight in the loss is the beta of the source, 1 to 6 there, beside the cross-entropy.

    Parameters
    ----------
    step : Step
    steps : int
        Of the attack.
    amount : str or (low, high)
        As of `adversarial`.

    Notes
    -----
    Source: Zhang et al. 2019, *Theoretically principled trade-off between robustness and
    accuracy*, Eq. 5.
    """
    function, x = step.evaluated, _wide(step, step.x)
    box = scaled(step, x, drawn(amount, step))
    with torch.autocast(step.x.device.type, enabled=False):
        found = pgd(function, x, step.y, box, steps=steps, generator=step.generator, loss="kl")
    outputs = flattened(step.module(found.to(step.x.dtype)))
    return divergence(step.outputs, outputs).mean()


@dataclass(frozen=True, eq=False)
class _Aim:
    """Where an attack begins and what it raises; the class that it aims at, if any."""

    function: Callable[[Tensor], Tensor]
    x: Tensor
    loss: str | AttackLoss = "cross-entropy"
    classes: Tensor | None = None

    @property
    def needed(self) -> Tensor:
        """The classes, where labels have them.

        Raises
        ------
        BadSetting
            The attack aims at none.
        """
        if self.classes is None:
            raise BadSetting(
                "adversarial: labels=target gives a share of the label to the attack's target, and "
                "there is none",
                "give target=random or target=least-likely",
            )
        return self.classes


def _attacked(step: Step, aim: _Aim, box: Box, attack: Attack, steps: int) -> Tensor:
    """Inputs in the box that the attack found, in the dtype of the samples."""
    draws = step.generator
    with torch.autocast(step.x.device.type, enabled=False):
        if attack == "pgd":
            found = pgd(
                aim.function, aim.x, step.y, box, steps=steps, generator=draws, loss=aim.loss
            )
        else:
            fast = attack == "fast"
            found = fgsm(
                aim.function, aim.x, step.y, box, random_start=fast, generator=draws, loss=aim.loss
            )
    return found.to(step.x.dtype)


def _aim(step: Step, mix: Mix | None, target: Target | None) -> _Aim:
    function = step.evaluated
    x = _wide(step, step.x if mix is None else mix.of(step.x))
    if target is None:
        return _Aim(function, x) if mix is None else _Aim(function, x, _mixed_loss(step, mix))
    with torch.no_grad(), torch.autocast(step.x.device.type, enabled=False):
        outputs = function(x)
    if target == "least-likely":
        return _Aim(function, x, least_likely(outputs), outputs.argmin(dim=1))
    count = outputs.shape[1]
    classes = torch.randint(0, count, (len(x),), generator=step.generator).to(x.device)
    loss = rescaled_log_odds(outputs)
    return _Aim(function, x, lambda reached, _: -loss(reached, classes), classes)


def _mixed_loss(step: Step, mix: Mix) -> AttackLoss:
    """The cross-entropy with mixed labels, ``[batch]``."""

    def loss(outputs: Tensor, labels: Tensor) -> Tensor:
        return cross_entropies(outputs, mix.of(one_hot(step.y, outputs)))

    return loss


def _wide(step: Step, x: Tensor) -> Tensor:
    """Samples in the precision that attacks and bounds are computed in."""
    return x.detach().to(step.box.lower.dtype)
