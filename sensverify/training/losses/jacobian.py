"""The penalty on the derivative of the outputs in the inputs."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

import torch
from torch import Tensor

from sensverify.errors import BadSetting
from sensverify.measures.sensitivity.jacobian import jacobian_norms, projected_norms
from sensverify.registry.ranges import Range
from sensverify.training.losses.step import Step

Estimator = Literal["exact", "projections"]
Outputs = Literal["logits", "probabilities"]


def jacobian(
    step: Step,
    *,
    estimator: Estimator = "exact",
    projections: Annotated[int, Range(1, 10_000)] = 1,
    of: Outputs = "logits",
) -> Tensor:
    """Size of the input-output Jacobian, as a mean over the batch.

    Parameters
    ----------
    step : Step
    estimator : str
        ``exact`` is the mean Frobenius norm of Jakubovitz & Giryes, a backward pass for each
        output. ``projections`` is half the mean squared Frobenius norm of Hoffman et al., estimated
        without bias from random projections, a backward pass for each: another figure, whose
        weight is another one too.
    projections : int
        Of each sample in each step.
    of : str
        ``logits``, or ``probabilities`` for the outputs after a softmax.

    Returns
    -------
    Tensor
        A scalar with gradients, of the network in evaluation mode: batch statistics and dropout
        play no part. Its unit is outputs per unit of x, squared for ``projections``.

    Raises
    ------
    BadSetting
        There is no such estimator or output, or no projection.

    Notes
    -----
    Sources: Jakubovitz & Giryes 2018, *Improving DNN robustness to adversarial attacks using
    Jacobian regularization*; Hoffman, Roberts & Yaida 2019, *Robust learning with Jacobian
    regularization*, whose loss has ``lambda / 2`` times the mean squared norm.
    """
    for what, value, known in (
        ("estimator", estimator, get_args(Estimator)),
        ("of", of, get_args(Outputs)),
    ):
        if value not in known:
            raise BadSetting(f"jacobian: {what} is one of {', '.join(known)}; got {value!r}")

    def function(x: Tensor) -> Tensor:
        outputs = step.evaluated(x)
        return outputs.softmax(dim=1) if of == "probabilities" else outputs

    x = step.x.detach()
    x = x if x.dtype == torch.float64 else x.float()
    with torch.autocast(x.device.type, enabled=False):
        if estimator == "exact":
            return jacobian_norms(function, x, create_graph=True).mean()
        squares = projected_norms(
            function, x, projections=projections, generator=step.generator, create_graph=True
        )
    return squares.mean() / 2
