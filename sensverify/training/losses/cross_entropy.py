"""Cross-entropy on samples, on mixed samples, and the penalty on weights beside it."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional

from sensverify.bounds.tensors import flattened
from sensverify.errors import BadSetting
from sensverify.registry.ranges import Range
from sensverify.training.losses.step import Step


def cross_entropy(step: Step, *, smoothing: Annotated[float, Range(0, 1)] = 0.0) -> Tensor:
    """Mean cross-entropy of the outputs with the labels, in nats.

    Parameters
    ----------
    step : Step
    smoothing : float
        Label smoothing: this share of each label is spread over all classes evenly.

    Raises
    ------
    BadSetting
        ``smoothing`` is not from 0 to 1.
    """
    if not 0 <= smoothing <= 1:
        raise BadSetting(f"cross-entropy: smoothing is a share from 0 to 1, got {smoothing}")
    return functional.cross_entropy(step.outputs, step.y, label_smoothing=smoothing)


def l2(step: Step) -> Tensor:
    """Sum of the squares of all weights; biases and other vectors are left alone.

    Source: the L2 regularisation of Wang et al., Section 6.
    """
    weights = [p for p in step.module.parameters() if p.requires_grad and p.ndim > 1]
    if not weights:
        raise BadSetting("l2: the model has no weights of two or more axes")
    return torch.stack([w.square().sum() for w in weights]).sum()


def mixup(step: Step, *, alpha: Annotated[float, Range(0, 1e6, above=True)] = 1.0) -> Tensor:
    """Mean cross-entropy on convex combinations of pairs of samples and of their labels.

    One share for the batch is drawn from Beta(alpha, alpha), partners by a permutation.

    Parameters
    ----------
    step : Step
    alpha : float
        Above 0; small values keep the samples nearly apart.

    Notes
    -----
    Source: Zhang et al. 2018, *mixup: beyond empirical risk minimization*, Section 2.
    """
    if not alpha > 0:
        raise BadSetting(f"mixup: alpha needs a number above 0, got {alpha}")
    order = torch.randperm(len(step.x), generator=step.generator).to(step.x.device)
    share = _beta(alpha, step.generator)
    outputs = flattened(step.module(torch.lerp(step.x[order], step.x, share)))
    own = functional.cross_entropy(outputs, step.y)
    return share * own + (1 - share) * functional.cross_entropy(outputs, step.y[order])


def _beta(alpha: float, generator: torch.Generator) -> float:
    """A draw from Beta(alpha, alpha), as the share of one of two draws from Gamma(alpha)."""
    # torch.distributions takes no generator.
    small = alpha < 1
    parameters = torch.full((2,), alpha + 1 if small else alpha, dtype=torch.float64)
    gammas = torch._standard_gamma(parameters, generator=generator)
    if not small:
        return float(gammas[0] / gammas.sum())
    # Small ones underflow, and their logarithms do not: Gamma(a) is Gamma(a + 1) U^(1 / a).
    uniform = 1 - torch.rand(2, dtype=torch.float64, generator=generator)
    # Not divided by alpha before the difference is taken: both might be infinite.
    first, second = (alpha * gammas.log() + uniform.log()).tolist()
    return float(torch.sigmoid(torch.tensor((first - second) / alpha, dtype=torch.float64)))
