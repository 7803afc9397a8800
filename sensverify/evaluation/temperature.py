"""Temperature scaling: one number that logits are divided by, so that confidence fits accuracy."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sensverify.bounds.forward import check_finite
from sensverify.classification.predictions import BINS, Classified, classify
from sensverify.core.record import RunRecord
from sensverify.core.shown import Shown
from sensverify.data.split import even_order
from sensverify.errors import BadData, BadSetting
from sensverify.evaluation.models import load_models, prepare_model
from sensverify.evaluation.radii import find_radii
from sensverify.evaluation.request import EvaluateRequest
from sensverify.evaluation.samples import load_samples, module_shape
from sensverify.models.loading import ModelFacts

_LEAST, _MOST = 1e-3, 1e3
"""Range of temperatures that are looked for."""


@dataclass(frozen=True, kw_only=True)
class Calibration(Shown):
    """Predictions before and after temperature scaling.

    Parameters
    ----------
    model : ModelFacts
    data : str
    samples_sha256 : str
        Digest of all samples and their labels.
    temperature : float
        Logits are to be divided by it.
    fit_share : float
        Share of the samples that it was to be fitted on.
    fitted : int
        Number of these.
    before, after : Classified
        Other samples, which it has not seen.
    loss_before, loss_after : float
        Mean cross-entropy of these.
    record : RunRecord
    """

    model: ModelFacts
    data: str
    samples_sha256: str
    temperature: float
    fit_share: float
    fitted: int
    before: Classified
    after: Classified
    loss_before: float
    loss_after: float
    record: RunRecord = field(default_factory=RunRecord.now)

    def __repr__(self) -> str:
        return (
            f"Calibration({self.model.name} on {self.data}: temperature {self.temperature:.4g}, "
            f"fitted on {self.fitted} and judged on {self.before.samples} samples)"
        )


def fit_temperature(outputs: Tensor, y: Tensor) -> float:
    """The temperature of the least cross-entropy, ``argmin_T mean -log softmax(z / T)_y``.

    The loss is convex in 1 / T; its derivative ``mean(E_p[z] - z_y)`` is brought to 0 by bisection
    in double precision.

    Parameters
    ----------
    outputs : Tensor, shape ``[samples, classes]``
        Logits.
    y : Tensor, shape ``[samples]``, int64

    Returns
    -------
    float
        From 0.001 to 1000.

    Raises
    ------
    BadData
        There is none in this range: of samples that are all right the best one is 0, and of
        predictions that are no better than chance it is infinite.
    Unbounded
        An output is not finite.

    Notes
    -----
    Source: Guo et al. 2017, *On calibration of modern neural networks*.
    """
    # Which also refuses no samples, and labels that are no classes.
    classify(outputs, y)
    # What is common to all logits of a sample changes nothing, and could swallow the rest.
    logits = outputs.detach().double().cpu()
    logits = logits - logits.amax(dim=1, keepdim=True)
    truth = logits.gather(1, y.cpu().long()[:, None]).squeeze(1)

    def slope(inverse: float) -> float:
        shares = torch.softmax(inverse * logits, dim=1)
        return float(((shares * logits).sum(dim=1) - truth).mean())

    # Written so that a NaN is refused, too.
    if not slope(1 / _MOST) < 0:
        raise BadData(
            "no temperature fits: these predictions are no better than chance",
            "fit on samples of the classes that the network was trained for",
        )
    if not slope(1 / _LEAST) > 0:
        raise BadData(
            "no temperature fits: all samples are right, and the more confident the better",
            "fit on more samples, which the network has not been trained on",
        )
    least, most = np.log(1 / _MOST), np.log(1 / _LEAST)
    for _ in range(100):
        middle = (least + most) / 2
        least, most = (middle, most) if slope(float(np.exp(middle))) < 0 else (least, middle)
    return float(np.exp(-(least + most) / 2))


def calibrate_temperature(
    model: Any,
    data: Any = None,
    *,
    fit_share: float = 0.5,
    bins: int = BINS,
    data_dir: Path | None = None,
    runtime_check: bool = True,
) -> Calibration:
    """Fit a temperature on a part of the test samples, and judge it on the others.

    The model is not changed.

    Parameters
    ----------
    model : str, torch.nn.Module or Network
    data : str, Path or object, optional
        As an evaluation takes it: of data in parts the test part, which the network has not been
        trained on. Default: the samples that ship with the model.
    fit_share : float
        Share of the samples that the temperature is fitted on, evenly spread.
    bins : int
        Of confidence.
    data_dir : Path, optional
    runtime_check : bool

    Raises
    ------
    BadSetting
        The share leaves no sample for one of the parts.
    BadData
        No temperature fits, see `fit_temperature`.
    SensverifyError
        The model or the data cannot be used.
    """
    if not 0 < fit_share < 1:
        raise BadSetting(f"`fit_share` is a share above 0 and below 1, got {fit_share}")
    plain: dict[str, Any] = {"attacks": (), "certify": (), "corruptions": (), "measures": ()}
    request = EvaluateRequest(
        models=(model,),
        data=data,
        samples=(0, None),
        train_samples=0,
        sequences=(),
        bins=bins,
        data_dir=data_dir,
        runtime_check=runtime_check,
        **plain,
    )
    loaded = load_models(
        request.models,
        runtime_check=runtime_check,
        ends=request.ends,
        shape=module_shape(request),
    )
    samples = load_samples(request, loaded)
    prepared = prepare_model(loaded[0], request, samples, find_radii(request, loaded, samples))
    outputs, y = prepared.clean_outputs.cpu(), prepared.y.cpu()
    check_finite(outputs, 0)
    count = round(fit_share * len(samples))
    if not 0 < count < len(samples):
        raise BadSetting(
            f"`fit_share={fit_share:g}` of {len(samples)} samples leaves none for one of the parts"
        )
    order = torch.from_numpy(np.array(even_order(len(samples))))
    fit, judge = order[:count], order[count:]
    temperature = fit_temperature(outputs[fit], y[fit])
    logits = outputs[judge].double()
    return Calibration(
        model=prepared.facts,
        data=samples.name,
        samples_sha256=samples.digest,
        temperature=temperature,
        fit_share=fit_share,
        fitted=count,
        before=classify(logits, y[judge], bins=bins),
        after=classify(logits / temperature, y[judge], bins=bins),
        loss_before=_loss(logits, y[judge]),
        loss_after=_loss(logits / temperature, y[judge]),
    )


def _loss(logits: Tensor, y: Tensor) -> float:
    found = float(torch.nn.functional.cross_entropy(logits, y))
    assert found < inf, "outputs are finite, and so are their differences in double precision"
    return found
