"""Amounts of the radius that attacks use while a network trains against them."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor

from sensverify.core.box import Box
from sensverify.errors import BadSetting
from sensverify.registry.ranges import Range
from sensverify.training.losses.step import Step

Share = Annotated[float, Range(0, 1)]
Amount = Literal["full", "uniform", "normal"] | tuple[Share, Share]
"""All of the radius; a share of it that every sample draws: evenly from 0 to 1, from the absolute
value of a normal distribution of deviation 1/2 that ends at 1, or evenly from a range."""


def drawn(amount: Amount, step: Step) -> Tensor:
    """The share of the radius in force for every sample, ``[batch]``, in the dtype of the box.

    Source: Laugros, Sections 3.2.2 and 3.3.2.3 (``uniform`` and ranges); Kurakin et al. 2017,
    *Adversarial machine learning at scale*, Section 4 (``normal``).

    Raises
    ------
    BadSetting
        The range ends below where it begins.
    """
    count, like = len(step.x), step.box.lower
    if amount == "full":
        return torch.ones(count, dtype=like.dtype, device=like.device)
    unit = torch.rand(count, generator=step.generator, dtype=torch.float64)
    if amount == "normal":
        # By the inverse of the distribution function, so that one number makes one draw.
        whole = torch.special.ndtr(torch.tensor(2.0, dtype=torch.float64)) - 0.5
        found = torch.special.ndtri(0.5 + whole * unit) / 2
    else:
        low, high = (0.0, 1.0) if amount == "uniform" else amount
        if not low <= high:
            raise BadSetting(f"amount: the range ({low:g}, {high:g}) ends below where it begins")
        found = low + (high - low) * unit
    return found.clamp(0, 1).to(like)


def scaled(step: Step, center: Tensor, amounts: Tensor) -> Box:
    """Boxes around some centres, with every sample's share of the radius in force.

    Parameters
    ----------
    step : Step
    center : Tensor, shape ``[batch, *features]``
        In the dtype of the step's box; within the step's clip range.
    amounts : Tensor, shape ``[batch]``
        From 0 to 1.
    """
    assert step.radius is not None
    radius = step.ramp * step.radius.to(center)
    return Box.around(
        center, amounts.reshape(-1, *[1] * (center.ndim - 1)) * radius, clip=step.clip
    )


def extent(step: Step) -> float:
    """The largest radius in force, as a share of the range that inputs keep to.

    Without such a range features are taken to lie between 0 and 1, and more than 1 is refused.
    """
    assert step.radius is not None
    low, high = step.clip or (0.0, 1.0)
    found = step.ramp * float(step.radius.max()) / (high - low)
    if not found <= 1:
        raise BadSetting(
            f"the radius is {found:.3g} times the range of the features, so it is no share of a "
            "label",
            "give the range by `clip`, or the share by `smoothing`",
        )
    return found
