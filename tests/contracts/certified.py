"""What a method claims, and what is certified of that: shared by the tests of certificates."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sensverify.bounds import Method, compute_bounds
from sensverify.certificates import Certified, StoredModel, certify_bounds
from sensverify.certificates.check.program import program_of
from sensverify.core.box import Box
from sensverify.core.proof import Proof
from sensverify.core.results import Bounds
from sensverify.network import Network


def stored(network: Network) -> StoredModel:
    """The network as if it had been read from a file."""
    return StoredModel(network, program_of(network), "0" * 64, {})


def flat(values: Any) -> np.ndarray:
    return values.detach().double().numpy().reshape(len(values), -1)


def certified(network: Network, box: Box, method: Method) -> tuple[Bounds, np.ndarray, Certified]:
    """Bounds, what they claim of ``[C; -C]``, and what is certified of that."""
    bounds = compute_bounds(network, box, method, proof=True)
    return bounds, *certified_of(stored(network), box, bounds)


def certified_of(model: StoredModel, box: Box, bounds: Bounds) -> tuple[np.ndarray, Certified]:
    """What bounds claim of ``[C; -C]``, and what is certified of that."""
    outputs = bounds.outer.lower.shape[1]
    rows = np.concatenate([np.eye(outputs), -np.eye(outputs)])[None]
    wanted = np.concatenate([flat(bounds.outer.lower), -flat(bounds.outer.upper)], axis=1)
    assert isinstance(bounds.certificate, Proof)
    ends = flat(box.lower), flat(box.upper)
    return wanted, certify_bounds(model, *ends, rows, bounds.certificate, wanted=wanted)


def assert_contains(found: Certified, values: Tensor, size: Tensor) -> None:
    """What is certified holds of values as `attained` gives them, with their magnitudes."""
    lower, upper = (torch.from_numpy(part) for part in np.split(found.lower, 2, axis=1))
    slack = 1e-13 * size  # of evaluating the network at the points in float64
    assert bool((values >= lower - slack).all()), (values - lower).min()
    assert bool((values <= -upper + slack).all()), (-upper - values).min()
