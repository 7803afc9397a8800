"""Several attacks on every sample: a sample is as safe as the strongest of them leaves it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sensverify.attacks.apgd import ApgdCe, ApgdDlr
from sensverify.attacks.ascent import Function, margin_loss, project
from sensverify.attacks.protocol import Attack
from sensverify.attacks.sample_generator import SampleGenerator
from sensverify.attacks.square import Square
from sensverify.attacks.worst_points import misclassified, per_sample
from sensverify.bounds.forward import check_finite
from sensverify.bounds.tensors import flattened
from sensverify.core.box import Box
from sensverify.errors import BadSetting, Unbounded, UnsoundResult


@dataclass(frozen=True, kw_only=True)
class Worst:
    """Several attacks, one after the other, each on the samples that still have their label.

    A sample is broken if any of the attacks breaks it; where none does, it is left at the worst
    point of all.

    Parameters
    ----------
    attacks : tuple of Attack
        Each looks for the worst point of a box. They draw the same numbers as each would alone, so
        that this is never weaker than any of them.
    """

    name: ClassVar[str] = "worst"
    nearest: ClassVar[bool] = False
    gradients: ClassVar[bool] = True
    source: ClassVar[str] = (
        "Croce & Hein 2020, Reliable evaluation of adversarial robustness with an ensemble of "
        "diverse parameter-free attacks"
    )

    attacks: tuple[Attack, ...] = (ApgdCe(), ApgdDlr(), Square())

    def __post_init__(self) -> None:
        if not self.attacks:
            raise BadSetting("worst: attacks names at least one attack, got none")
        for attack in self.attacks:
            if not isinstance(attack, Attack):
                raise BadSetting(f"worst: attacks holds attacks, got {attack!r}")
            if attack.nearest or isinstance(attack, Worst):
                raise BadSetting(
                    f"worst: attacks holds single attacks that stay in a box; {attack.name} is none"
                )

    def points(
        self, function: Function, x: Tensor, y: Tensor, box: Box, *, generator: SampleGenerator
    ) -> Tensor:
        """One point for every sample; see `Attack.points`."""
        return strongest(self.attacks, function, x, y, box, generator=generator)[0]


def strongest(
    attacks: tuple[Attack, ...],
    function: Function,
    x: Tensor,
    y: Tensor,
    box: Box,
    *,
    generator: SampleGenerator,
    surrogate: Function | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Points that the strongest of several attacks finds for every sample.

    Parameters
    ----------
    attacks : tuple of Attack
        Each is run on the samples that none before it has broken.
    function : callable
        The function under attack; it alone decides whether a point is worse.
    surrogate : callable, optional
        Function whose gradients are followed instead.

    Returns
    -------
    points, outputs, found : Tensors, ``[batch, *features]``, ``[batch, classes]`` and ``[batch]``
        The first point with another label, else the one where the largest other output is the most
        above the label's (the sample, for attacks that look for the nearest), all inside of the
        box; the function's outputs there; and whether the sample has lost its label by that.

    Raises
    ------
    Unbounded
        The function's outputs at a sample or at an attack's point are not finite.
    UnsoundResult
        An attack returns something else than points.
    """
    with torch.no_grad():
        outputs = flattened(function(x))
    check_finite(outputs, generator.positions)
    points, wrong = x, misclassified(outputs, y)
    for attack in attacks:
        left = (~misclassified(outputs, y)).nonzero().squeeze(1)
        if len(left) == 0:
            break
        part, inside, draws = x[left], box[left], generator[left]
        followed = surrogate if surrogate is not None and attack.gradients else function
        moved = attack.points(followed, part, y[left], inside, generator=draws)
        moved = _inside(attack, moved, part, inside, draws.positions)
        with torch.no_grad():
            reached = flattened(function(moved))
        check_finite(reached, draws.positions, f" at a point that {attack.name} has found")
        worse = misclassified(reached, y[left])
        if not attack.nearest:
            worse |= margin_loss(reached, y[left]) > margin_loss(outputs[left], y[left])
        chosen = torch.where(per_sample(worse, moved), moved, points[left])
        points = points.index_copy(0, left, chosen)
        chosen = torch.where(per_sample(worse, reached), reached, outputs[left])
        outputs = outputs.index_copy(0, left, chosen)
    return points, outputs, misclassified(outputs, y) & ~wrong


def _inside(attack: Attack, points: Tensor, x: Tensor, box: Box, positions: Tensor) -> Tensor:
    """The points of an attack, brought back into the box."""
    if points.shape != x.shape or points.dtype != x.dtype:
        raise UnsoundResult(
            f"{attack.name} was asked for points of shape {tuple(x.shape)} {x.dtype} and gave "
            f"{tuple(points.shape)} {points.dtype}"
        )
    finite = torch.isfinite(flattened(points)).all(dim=1)
    if not bool(finite.all()):
        sample = int(positions[(~finite).nonzero()[0]])
        raise Unbounded(f"{attack.name} gave a point for sample {sample} that is not finite")
    points = project(points.detach(), box)
    # Written so that a NaN fails it.
    if not bool(box.contains(points).all()):
        raise UnsoundResult(f"{attack.name} gave a point that cannot be brought into its box")
    return points
