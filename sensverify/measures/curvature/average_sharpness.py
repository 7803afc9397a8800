"""Average sharpness: how much the training loss rises when noise is added to the weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import isfinite, sqrt
from statistics import fmean, stdev

import torch
from torch import Tensor

from sensverify.errors import BadSetting, NotMeasured
from sensverify.measures.complexity.weights import Weights, cross_entropies, slices
from sensverify.measures.measure import Measure, MeasuredClassifier, Reading

L2_RADII = (0.05, 0.1, 0.2, 0.4)
"""Standard deviations of normal noise that there are measures for."""

LINF_RADII = (0.1, 0.2, 0.4, 0.8)
"""Reaches of uniform noise that there are measures for."""

PAIRS = 50
"""Of opposite draws, where nobody says otherwise."""

_FEWEST_PAIRS = 5


def average_sharpness(
    measured: MeasuredClassifier,
    radius: float,
    *,
    noise: str = "normal",
    adaptive: bool = False,
    pairs: int = PAIRS,
) -> Reading:
    """``E[L(w + d) - L(w)]``, L being the mean cross-entropy and d random noise on all weights.

    Noise comes in pairs d and -d: what is odd about the loss around w cancels, and half the sum of
    the two differences has the same expectation with less variance. Draws are the same for every
    radius, network of the same shapes and device.

    Parameters
    ----------
    measured : MeasuredClassifier
        Its training samples and its seed are used.
    radius : float
        The rho of the noise, above 0.
    noise : str
        ``normal``: every weight's is normal with standard deviation rho, as the L2 case of the
        source has it. ``uniform``: uniform from -rho to rho, its L-infinity case. ``sphere``:
        uniform among vectors of length rho, all weights together.
    adaptive : bool
        Multiply every weight's noise with the weight's magnitude, which makes the sharpness of a
        network with ReLUs blind to factors between its layers that cancel.
    pairs : int
        At least 2.

    Returns
    -------
    Reading
        In nats, with its standard error. It may be below zero.

    Raises
    ------
    BadSetting
        The radius is no number above 0, there is no such noise, or there are too few pairs.
    NotMeasured
        There are no training samples, a loss is not finite, or the time is up before 5 pairs.

    Notes
    -----
    Source: Andriushchenko et al. 2023, *A modern look at the relationship between sharpness and
    generalization*, whose program draws the noise of the L-infinity case uniformly.
    """
    if not 0 < radius < float("inf"):
        raise BadSetting(f"noise on the weights needs a radius above 0, got {radius}")
    if noise not in _DRAWS:
        raise BadSetting(f"noise on the weights is one of {', '.join(_DRAWS)}; got {noise!r}")
    if pairs < 2:
        raise BadSetting(f"a standard error needs at least 2 pairs of draws, got {pairs}")
    weights = Weights.of(measured.network, torch.float32)
    before = _loss(measured, weights, weights.tensors)
    generator = torch.Generator().manual_seed(measured.seed)
    rises: list[float] = []
    while len(rises) < pairs:
        if measured.watch.over:
            if len(rises) >= min(_FEWEST_PAIRS, pairs):
                break
            raise NotMeasured(f"the time was up after {len(rises)} of {pairs} pairs of draws")
        vector = radius * _DRAWS[noise](weights.count, generator)
        steps = [step.to(t) for step, t in zip(weights.split(vector), weights.tensors, strict=True)]
        if adaptive:
            steps = [s * t.abs() for s, t in zip(steps, weights.tensors, strict=True)]
        after = [
            _loss(
                measured,
                weights,
                [t + sign * s for t, s in zip(weights.tensors, steps, strict=True)],
            )
            for sign in (1, -1)
        ]
        rises.append(fmean(after) - before)
        if not isfinite(rises[-1]):
            raise NotMeasured(
                f"with noise of radius {radius:g} on the weights the loss is {fmean(after)}, "
                f"without {before:.6g}: the outputs overflow float32"
            )
    samples = len(measured.require_labelled()[0])
    cut = len(rises) < pairs
    note = f"{len(rises)} pairs of opposite draws" + (", until the time was up" if cut else "")
    return Reading(fmean(rises), stdev(rises) / sqrt(len(rises)), samples, note, cut)


def _loss(
    measured: MeasuredClassifier, weights: Weights, tensors: tuple[Tensor, ...] | list[Tensor]
) -> float:
    """Mean cross-entropy of the training samples, in float32 up to the outputs."""
    x, y = measured.require_labelled()
    network, total = weights.at(tensors), 0.0
    with torch.no_grad():
        for part in slices(measured, len(x)):
            total += float(cross_entropies(network, x[part], y[part]).sum())
    return total / len(x)


def _normal(count: int, generator: torch.Generator) -> Tensor:
    return torch.randn(count, generator=generator, dtype=torch.float64)


def _uniform(count: int, generator: torch.Generator) -> Tensor:
    return 2 * torch.rand(count, generator=generator, dtype=torch.float64) - 1


def _sphere(count: int, generator: torch.Generator) -> Tensor:
    normal = _normal(count, generator)
    return normal / normal.norm()


_DRAWS: dict[str, Callable[[int, torch.Generator], Tensor]] = {
    "normal": _normal,
    "uniform": _uniform,
    "sphere": _sphere,
}


def _measure(radius: float, noise: str, drawn: str) -> Measure:
    return Measure(
        f"mean rise of the cross-entropy on training samples when {drawn} is added to every weight "
        "and bias",
        "Andriushchenko et al. 2023, A modern look at the relationship between sharpness and "
        "generalization",
        "sharpness",
        partial(average_sharpness, radius=radius, noise=noise),
        ("training samples",),
        "nats",
    )


MEASURES: dict[str, Measure] = {
    f"sharpness-l2-{radius}": _measure(
        radius, "normal", f"normal noise of standard deviation {radius}"
    )
    for radius in L2_RADII
} | {
    f"sharpness-linf-{radius}": _measure(
        radius, "uniform", f"uniform noise from -{radius} to {radius}"
    )
    for radius in LINF_RADII
}
"""By the name that reports give them."""
