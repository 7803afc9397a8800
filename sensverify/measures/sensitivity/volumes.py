"""The sensitivity of a network on its test samples, by several methods to bound its outputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, log
from statistics import median

import torch
from torch import Tensor

from sensverify.bounds import Crown, Ibp, LpDual, Method, compute_bounds
from sensverify.core.box import Box
from sensverify.core.sensitivity import log_volume, relative_log_volume
from sensverify.errors import MissingRule, NotMeasured, Unbounded
from sensverify.measures.caching import once_per_network
from sensverify.measures.measure import RADIUS, Measure, MeasuredClassifier, Reading

METHODS: dict[str, Method] = {"ibp": Ibp(), "lp-dual": LpDual(), "crown": Crown()}
"""Methods that sensitivity is measured with, by the end of the measures' names."""


@dataclass(frozen=True, eq=False)
class Volumes:
    """Natural logarithms of volumes around the outputs of perturbed samples.

    Parameters
    ----------
    absolute : Tensor, shape ``[samples]``, float64
        Minus infinity where an output cannot move.
    relative : Tensor, shape ``[samples right]``, float64
        Of the volume over the margin to the power of the number of outputs, for samples that are
        classified right.
    """

    absolute: Tensor
    relative: Tensor


def output_volumes(measured: MeasuredClassifier, method: Method) -> Volumes:
    """The volumes of the boxes that a method puts around all outputs of every test sample.

    Raises
    ------
    NotMeasured
        The method does not know an operator, a bound overflows, or time is up.
    """
    function = measured.classifier
    radius = measured.require_radius()
    absolute, relative = [], []
    with torch.no_grad():
        for chunk in measured.parts(len(measured.x), method=method):
            x, y = measured.x[chunk], measured.y[chunk]
            box = Box.around(x, radius, clip=measured.clip)
            try:
                outer = compute_bounds(
                    measured.network, box, method, memory_budget=measured.memory_budget
                ).outer
            except (MissingRule, Unbounded) as error:
                raise NotMeasured(str(error)) from error
            around = Box(outer.lower.double(), outer.upper.double())
            outputs = function(x).double()
            absolute.append(log_volume(around).cpu())
            relative.append(relative_log_volume(around, outputs, y).cpu())
    beside = torch.cat(relative)
    # NaN where a sample is classified wrong, infinite where it is a tie.
    return Volumes(torch.cat(absolute), beside[beside < inf])


def _of_mean(volumes: Volumes) -> Reading:
    logs = volumes.absolute
    value = float(torch.logsumexp(logs, dim=0)) - log(len(logs))
    return _reading(value, logs, "the mean volume is 0")


def _mean(volumes: Volumes) -> Reading:
    return _reading(float(volumes.absolute.mean()), volumes.absolute, "a volume is 0")


def _relative(volumes: Volumes) -> Reading:
    if not len(volumes.relative):
        raise NotMeasured("no sample is classified right")
    # Of minus infinities the median is one too, where an interpolation is NaN.
    value = median(volumes.relative.tolist())
    return _reading(value, volumes.relative, "most volumes are 0")


def _reading(value: float, logs: Tensor, why: str) -> Reading:
    if value == -inf:
        still = int((logs == -inf).sum())
        raise NotMeasured(f"{why}: an output cannot move at {still} of {len(logs)} samples")
    return Reading(value, samples=len(logs))


_ROWS: tuple[tuple[str, Callable[[Volumes], Reading], str], ...] = (
    (
        "sensitivity",
        _of_mean,
        "natural logarithm of the mean over test samples of the volume of the box around all "
        "outputs that the perturbed input can give, bounded by {method}",
    ),
    (
        "log-volume",
        _mean,
        "mean over test samples of the natural logarithm of the volume of the box around all "
        "outputs that the perturbed input can give, bounded by {method}",
    ),
    (
        "relative-log-volume",
        _relative,
        "median, over test samples classified right, of the natural logarithm of the volume around "
        "the outputs, bounded by {method}, over the margin to the power of the number of outputs; "
        "scaling the outputs does not change it",
    ),
)


def _measures() -> dict[str, Measure]:
    found = {}
    for ending, method in METHODS.items():
        volumes = _cached_volumes(method)
        for name, figure, definition in _ROWS:
            found[f"{name}-{ending}"] = Measure(
                definition.format(method=ending),
                "Wang et al., Towards robust deep neural networks",
                "sensitivity",
                _of(figure, volumes),
                (RADIUS,),
            )
    return found


def _cached_volumes(method: Method) -> Callable[[MeasuredClassifier], Volumes]:
    """One pass of a method for all that is read off it."""

    @once_per_network("x", "y", "radius", "clip")
    def volumes(measured: MeasuredClassifier) -> Volumes:
        return output_volumes(measured, method)

    return volumes


def _of(
    figure: Callable[[Volumes], Reading], volumes: Callable[[MeasuredClassifier], Volumes]
) -> Callable[[MeasuredClassifier], Reading]:
    return lambda measured: figure(volumes(measured))


MEASURES: dict[str, Measure] = _measures()
"""By name: three for each of `METHODS`."""
