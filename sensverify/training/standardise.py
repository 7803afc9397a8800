"""Standardised inputs as the first layer of a model, so that radii keep the units of the data."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sensverify.errors import BadSetting


class Standardise(nn.Module):
    """``(x - mean) / deviation`` for every feature.

    As the first layer of a model it leaves perturbations, clip ranges and reports in the units of
    the data. It has buffers and no parameters.

    Parameters
    ----------
    mean, deviation : array, shape ``[*features]`` or one that broadcasts to it
        In the units of x; deviations are above 0.

    Raises
    ------
    BadSetting
        A number is not finite, or a deviation not above 0.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, mean: Any, deviation: Any) -> None:
        super().__init__()
        mean, deviation = (
            torch.as_tensor(values, dtype=torch.float32).clone() for values in (mean, deviation)
        )
        if not bool(torch.isfinite(mean).all()):
            raise BadSetting("Standardise: every mean needs a finite number")
        if not bool((torch.isfinite(deviation) & (deviation > 0)).all()):
            raise BadSetting(
                "Standardise: every deviation needs a number above 0", "use 1 for constant features"
            )
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)

    @classmethod
    def of(cls, x: Any) -> Standardise:
        """By the mean and the deviation of samples ``[samples, *features]``.

        The deviation of a constant feature is taken as 1.
        """
        x = torch.as_tensor(x, dtype=torch.float64)
        # Not by the deviation: that of equal numbers is not always 0 in floating point.
        varies = x.amax(dim=0) > x.amin(dim=0)
        deviation = x.std(dim=0, correction=0)
        return cls(x.mean(dim=0), torch.where(varies, deviation, 1.0))

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, *features]`` to the same shape."""
        return (x - self.mean) / self.deviation
