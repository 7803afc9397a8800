"""Cross-entropy on samples, on mixed samples, and the penalty on weights beside it."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional

from sensverify.bounds.tensors import flattened
from sensverify.errors import BadSetting
from sensverify.registry.ranges import Range
from sensverify.training.losses.labels import cross_entropies, one_hot, smoothed
from sensverify.training.losses.mixing import Mix, Per
from sensverify.training.losses.step import Step


def cross_entropy(
    step: Step, *, smoothing: Annotated[float, Range(0, 1)] = 0.0, normalised: bool = True
) -> Tensor:
    """Mean cross-entropy of the outputs with the labels, in nats.

    Parameters
    ----------
    step : Step
    smoothing : float
        Label smoothing: this share of each label is spread over all classes evenly.
    normalised : bool
        Whether smoothed labels sum to 1. False is the form that Laugros prints, see
        `sensverify.training.losses.labels.smoothed`.

    Raises
    ------
    BadSetting
        ``smoothing`` is not from 0 to 1.
    """
    if not 0 <= smoothing <= 1:
        raise BadSetting(f"cross-entropy: smoothing is a share from 0 to 1, got {smoothing}")
    if normalised:
        return functional.cross_entropy(step.outputs, step.y, label_smoothing=smoothing)
    labels = smoothed(one_hot(step.y, step.outputs), smoothing, normalised=False)
    return cross_entropies(step.outputs, labels).mean()


def l2(step: Step) -> Tensor:
    """Sum of the squares of all weights; biases and other vectors are left alone.

    Source: the L2 regularisation of Wang et al., Section 6.
    """
    weights = [each for each in step.trained if each.ndim > 1]
    if not weights:
        raise BadSetting("l2: the model has no weights of two or more axes")
    return torch.stack([w.square().sum() for w in weights]).sum()


def mixup(
    step: Step,
    *,
    alpha: Annotated[float, Range(0, 1e6, above=True)] = 1.0,
    per: Per = "batch",
) -> Tensor:
    """Mean cross-entropy on convex combinations of pairs of samples and of their labels.

    Shares are drawn from Beta(alpha, alpha), partners by a permutation.

    Parameters
    ----------
    step : Step
    alpha : float
        Above 0; small values keep the samples nearly apart.
    per : str
        ``batch`` for one share that all pairs have, ``sample`` for a share of each pair.

    Notes
    -----
    Source: Zhang et al. 2018, *mixup: beyond empirical risk minimization*, Section 2, whose program
    draws one share for a mini-batch.
    """
    mix = Mix.drawn(step.x, alpha, per, step.generator)
    outputs = flattened(step.module(mix.of(step.x)))
    if per == "batch":
        share, partners = float(mix.share), step.y[mix.order]
        own = functional.cross_entropy(outputs, step.y)
        return share * own + (1 - share) * functional.cross_entropy(outputs, partners)
    return cross_entropies(outputs, mix.of(one_hot(step.y, outputs))).mean()
