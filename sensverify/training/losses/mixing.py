"""Convex combinations of pairs of samples, as mixup makes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from sensverify.errors import BadSetting

Per = Literal["batch", "sample"]
"""What draws a share of its own."""


@dataclass(frozen=True, eq=False)
class Mix:
    """Pairs of samples, and the share of the first of each.

    Attributes
    ----------
    order : integer Tensor, shape ``[batch]``
        The partner of every sample.
    share : Tensor, shape ``[batch]`` or ``[1]``, float64
        Of the sample itself.
    """

    order: Tensor
    share: Tensor

    def of(self, values: Tensor) -> Tensor:
        """``share * values + (1 - share) * values[order]``: of samples, or of their labels."""
        share = self.share.to(values).reshape(-1, *[1] * (values.ndim - 1))
        return torch.lerp(values[self.order], values, share)

    @classmethod
    def drawn(cls, x: Tensor, alpha: float, per: Per, generator: torch.Generator) -> Mix:
        """Partners by a permutation, and shares from Beta(alpha, alpha).

        Raises
        ------
        BadSetting
            ``alpha`` is not above 0.
        """
        if not alpha > 0:
            raise BadSetting(f"mixup: alpha needs a number above 0, got {alpha}")
        order = torch.randperm(len(x), generator=generator).to(x.device)
        share = betas(alpha, len(x) if per == "sample" else 1, generator)
        return cls(order, share.to(x.device))


def betas(alpha: float, count: int, generator: torch.Generator) -> Tensor:
    """Draws from Beta(alpha, alpha), float64 ``[count]``: the share of one of two Gamma(alpha)."""
    # torch.distributions takes no generator.
    small = alpha < 1
    parameters = torch.full((count, 2), alpha + 1 if small else alpha, dtype=torch.float64)
    gammas = torch._standard_gamma(parameters, generator=generator)
    if not small:
        return gammas[:, 0] / gammas.sum(dim=1)
    # Small ones underflow, and their logarithms do not: Gamma(a) is Gamma(a + 1) U^(1 / a).
    uniform = 1 - torch.rand(count, 2, dtype=torch.float64, generator=generator)
    # Not divided by alpha before the difference is taken: both might be infinite.
    logs = alpha * gammas.log() + uniform.log()
    return torch.sigmoid((logs[:, 0] - logs[:, 1]) / alpha)
