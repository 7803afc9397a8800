"""Measures that others have proposed as predictors of robustness, trained and at initialisation."""

from __future__ import annotations

from dataclasses import replace

import torch

from sensverify.measures.given import INITIAL, initial_network
from sensverify.measures.jacobian import jacobian_norms
from sensverify.measures.passes import chunks
from sensverify.measures.spectral import Spectral, spectral_norms
from sensverify.measures.subject import Measure, Reading, Subject


def mean_jacobian(subject: Subject) -> Reading:
    """Mean Frobenius norm of the outputs' derivative in the inputs, over test samples.

    Raises
    ------
    NotMeasured
        Time is up.
    """
    function = subject.classifier
    parts = [jacobian_norms(function, subject.x[c]) for c in chunks(subject, len(subject.x))]
    values = torch.cat(parts).double()
    return Reading(float(values.mean()), samples=len(values))


def _initial_jacobian(subject: Subject) -> Reading:
    return mean_jacobian(replace(subject, network=initial_network(subject)))


def _spectral(subject: Subject) -> Reading:
    with torch.no_grad():
        return Reading(float(Spectral().of(spectral_norms(subject.network))))


_JUNG = "Jung, Lukasik & Keuper 2023, Neural architecture design and robustness: a dataset"
_JACOBIAN = "mean over test samples of the Frobenius norm of the outputs' derivative in the inputs"

MEASURES: dict[str, Measure] = {
    "jacobian": Measure(_JACOBIAN, _JUNG, "gradient", mean_jacobian, unit="1 / unit of x"),
    "jacobian-init": Measure(
        f"{_JACOBIAN}, with the weights before training",
        _JUNG,
        "gradient",
        _initial_jacobian,
        (INITIAL,),
        "1 / unit of x",
    ),
    "spectral": Measure(
        "half the sum of the squared spectral norms of all layers, of a convolution as it is on "
        "its input; batch normalisation is not folded in",
        "Yoshida & Miyato 2017, Spectral norm regularization for improving the generalizability of "
        "deep learning, Eq. 3",
        "complexity",
        _spectral,
    ),
}
"""By name."""
