"""Inputs of several sizes at which two readings of a network are compared."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

from sensverify.network import Node
from sensverify.network.operators import Affine, Conv, ConvTranspose
from sensverify.network.running import Precision
from sensverify.network.shapes import Shape

WORK = 1 << 29
"""Products that all points together may take before fewer are looked at; `LEAST` always are."""
LEAST, MOST = 2, 12
"""Inputs at least and at most, however large the network is."""


def sample_points(
    count: int, shape: Shape, precision: Precision, dtype: Any
) -> Iterator[np.ndarray]:
    """Inputs of several sizes, within and on corners of cubes, the most telling ones first."""
    rng = np.random.default_rng(0)
    kinds = (
        rng.random(shape),
        rng.normal(size=shape),
        rng.choice([-1.0, 1.0], shape),
        rng.uniform(-10, 10, shape),
        255 * rng.random(shape),
        rng.choice([0.0, 1.0], shape),
        np.zeros(shape),
        np.ones(shape),
        -np.ones(shape),
        1e3 * rng.normal(size=shape),
        1e-2 * rng.normal(size=shape),
        rng.choice([-100.0, 100.0], shape),
    )
    most = precision.largest / 4
    for values in kinds[:count]:
        # An array also where there are no axes: onnxruntime takes no numpy scalar.
        yield np.asarray(np.clip(values, -most, most), dtype=dtype)


def multiplications(node: Node) -> int:
    """Products of one evaluation of a node, about: its entries where it multiplies no matrix."""
    operator = node.operator
    if isinstance(operator, Affine):
        return int(operator.weight.shape[1]) * prod(node.shape)
    if isinstance(operator, Conv):
        return prod(operator.weight.shape[1:]) * prod(node.shape)
    if isinstance(operator, ConvTranspose):
        return int(operator.weight.shape[0]) // operator.groups * prod(node.shape)
    return prod(node.shape)
