"""Passes over samples in chunks that fit the memory, for as long as there is time."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import torch
from torch import Tensor

from sensverify.bounds.memory import samples_within
from sensverify.classification.classifier import MOST_AT_ONCE
from sensverify.classification.samples import check_finite
from sensverify.errors import NotMeasured
from sensverify.measures.subject import Subject


def chunks(
    subject: Subject, samples: int, *, method: Any = None, points: int = 1
) -> Iterator[slice]:
    """Slices of so many samples, one after the other.

    Parameters
    ----------
    subject : Subject
        Its network, memory budget and watch.
    samples : int
    method : Method, optional
        Of the bounds that are computed, one for every output; None is a pass forward or back.
    points : int
        Inputs that are looked at together for each sample.

    Raises
    ------
    NotMeasured
        Time is up before the last one.
    """
    outputs = prod(subject.network.output_shape)
    size = samples_within(subject.memory_budget, subject.network, method, outputs, 4)
    size = max(1, min(size, MOST_AT_ONCE) // points)
    for first in range(0, samples, size):
        if subject.watch.over:
            raise NotMeasured(f"time was up after {first} of {samples} samples")
        yield slice(first, min(first + size, samples))


def outputs_at(subject: Subject, x: Tensor) -> Tensor:
    """The network's outputs at samples, ``[samples, outputs]``.

    Raises
    ------
    Unbounded
        One is not finite.
    NotMeasured
        Time is up.
    """
    function = subject.classifier
    parts = []
    with torch.no_grad():
        for chunk in chunks(subject, len(x)):
            parts.append(function(x[chunk]))
            check_finite(parts[-1], chunk.start)
    return torch.cat(parts)
