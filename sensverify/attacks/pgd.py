"""Projected gradient ascent on the loss."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from sensverify.attacks.ascent import (
    AttackLoss,
    Function,
    LossName,
    RandomSource,
    check,
    divergence,
    find_loss,
    largest_step,
    least_likely,
    named_loss,
    random_point,
    rescaled_log_odds,
    sign_step,
)
from sensverify.attacks.worst_points import WorstPoints
from sensverify.bounds.tensors import flattened
from sensverify.core.box import Box
from sensverify.errors import BadSetting
from sensverify.registry.ranges import Above0, Count
from sensverify.registry.settings import Checked

_REACH = 2.5
"""Half-widths of the box that all steps together can cover (Madry et al. 2018)."""


def pgd(
    function: Function,
    x: Tensor,
    y: Tensor,
    box: Box,
    *,
    steps: int = 40,
    step_size: float | Tensor | None = None,
    random_start: bool = True,
    restarts: int = 1,
    generator: RandomSource = None,
    loss: str | AttackLoss = "cross-entropy",
) -> Tensor:
    """Steps along the sign of the gradient, back into the box after each; the worst point met.

    Parameters
    ----------
    function : callable
        From inputs ``[batch, *features]`` to outputs ``[batch, *outputs]``, each sample by itself.
    x : Tensor, shape ``[batch, *features]``
    y : integer Tensor, shape ``[batch]``
    box : Box of tensors like x
        Region of the points; every feature has its own radius, and may be clipped.
    steps : int
    step_size : float or Tensor broadcastable to x, optional
        In the units of the features. Default: 2.5 half-widths of the box over the number of
        steps, for every feature its own.
    random_start : bool
        Begin at uniformly drawn points of the box instead of x.
    restarts : int
        Number of starts. Of several, the first is x: where the box is small against the function's
        bends, that alone is often stronger than a random start.
    generator : torch.Generator or SampleGenerator, optional
        For the starts.
    loss : str or callable
        ``cross-entropy``, ``margin``, ``kl`` (divergence from the outputs at x; it has no gradient
        at x, so it needs a random start), or a function of outputs and labels that gives
        ``[batch]``.

    Returns
    -------
    Tensor like x, detached, inside of the box. For every sample, of all points that were met, x
    among them: one where the label is not the largest output if there is any (``kl`` looks at no
    label), and among these the one with the largest loss.

    Raises
    ------
    BadShape, BadBox, BadSetting
        The arguments do not fit together.

    Notes
    -----
    Source: Madry et al. 2018, *Towards deep learning models resistant to adversarial attacks*.
    ``kl``: Zhang et al. 2019, *Theoretically principled trade-off between robustness and accuracy*.
    """
    check(x, y, box)
    if steps < 1 or restarts < 1:
        raise BadSetting(f"pgd needs steps and restarts of at least 1, got {steps} and {restarts}")
    if loss == "kl" and not random_start:
        raise BadSetting("pgd: the loss kl has no gradient at x", "give `random_start=True`")
    stride = _REACH / steps * box.radius if step_size is None else step_size
    with torch.no_grad():
        clean = flattened(function(x))
    loss_of = partial(_from, clean) if loss == "kl" else find_loss(loss)
    # The divergence of large outputs is 0 near x in floating point, and so is its gradient.
    fallback = _leaving(clean) if loss == "kl" else None
    worst = WorstPoints(x.detach(), y, labelled=loss != "kl")
    worst.update(worst.points, clean, loss_of(clean, y))
    for start in range(restarts if random_start else 1):
        plain = not random_start or (start == 0 and restarts > 1 and loss != "kl")
        point = x.detach() if plain else random_point(box, generator)
        for _ in range(steps):
            outputs, values, following = sign_step(
                function, point, y, box, stride, loss_of, fallback=fallback
            )
            worst.update(point, outputs, values)
            point = following
        with torch.no_grad():
            outputs = flattened(function(point))
            worst.update(point, outputs, loss_of(outputs, y))
    return worst.points


def _from(clean: Tensor, outputs: Tensor, labels: Tensor) -> Tensor:
    return divergence(clean, outputs)


def _leaving(clean: Tensor) -> AttackLoss:
    """Loss that rises as the classes of some outputs get less likely."""
    loss, classes = rescaled_log_odds(clean), clean.argmax(dim=1)
    return lambda outputs, _: loss(outputs, classes)


@dataclass(frozen=True, kw_only=True)
class _Steps(Checked):
    """Settings that attacks with many steps of one length share; see `Pgd`."""

    name: ClassVar[str]
    nearest: ClassVar[bool] = False
    gradients: ClassVar[bool] = True
    source: ClassVar[str]

    steps: Count = 40
    step_size: Above0 | None = None
    random_start: bool = True
    restarts: Count = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.restarts > 1 and not self.random_start:
            raise BadSetting(f"{self.name}: restarts without random_start are all the same")

    def _climb(
        self,
        function: Function,
        x: Tensor,
        y: Tensor,
        box: Box,
        *,
        generator: RandomSource,
        loss: str | AttackLoss,
    ) -> Tensor:
        share = _REACH / self.steps if self.step_size is None else self.step_size
        return pgd(
            function,
            x,
            y,
            box,
            steps=self.steps,
            step_size=share * largest_step(x, box),
            random_start=self.random_start,
            restarts=self.restarts,
            generator=generator,
            loss=loss,
        )


@dataclass(frozen=True, kw_only=True)
class Pgd(_Steps):
    """Projected gradient ascent: many small steps that raise the loss. The worst point met.

    Parameters
    ----------
    steps : int
    step_size : float or None
        As a share of how far a feature can move, its radius unless the box is clipped on both
        sides; None is ``2.5 / steps``, which reaches every corner from anywhere.
    random_start : bool
        Begin at uniformly drawn points of the box instead of the sample.
    restarts : int
        Number of starts; of several, the first is the sample.
    loss : str
        ``cross-entropy``, or ``margin``: the largest other output minus the label's.
    """

    name: ClassVar[str] = "pgd"
    source: ClassVar[str] = (
        "Madry et al. 2018, Towards deep learning models resistant to adversarial attacks"
    )

    loss: LossName = "cross-entropy"

    def points(
        self, function: Function, x: Tensor, y: Tensor, box: Box, *, generator: RandomSource
    ) -> Tensor:
        """One point for every sample; see `Attack.points`."""
        loss = named_loss(function, x, self.loss)
        return self._climb(function, x, y, box, generator=generator, loss=loss)


@dataclass(frozen=True, kw_only=True)
class LlPgd(_Steps):
    """Many small steps towards the class that is least likely at the sample. The worst point met.

    Parameters
    ----------
    steps, step_size, random_start, restarts
        See `Pgd`.
    """

    name: ClassVar[str] = "ll-pgd"
    source: ClassVar[str] = "Kurakin et al. 2017, Adversarial examples in the physical world"

    def points(
        self, function: Function, x: Tensor, y: Tensor, box: Box, *, generator: RandomSource
    ) -> Tensor:
        """One point for every sample; see `Attack.points`."""
        with torch.no_grad():
            loss = least_likely(flattened(function(x)))
        return self._climb(function, x, y, box, generator=generator, loss=loss)
