"""Linear operators as sparse matrices over flattened arrays."""

from __future__ import annotations

from functools import singledispatch
from math import prod

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.sparse import csr_matrix, identity, kron

from sensverify.core.box import Array, to_numpy
from sensverify.errors import MissingRule
from sensverify.network import Node
from sensverify.network.operators import Affine, Conv, ConvTranspose, Operator

Shape = tuple[int, ...]
LinearMap = tuple[csr_matrix, np.ndarray]
"""A matrix ``[outputs, inputs]`` and a shift ``[outputs]``."""


def double(values: Array) -> np.ndarray:
    """An operator's parameter as a float64 numpy array."""
    return to_numpy(values).astype(np.float64)


@singledispatch
def linear_map(operator: Operator, node: Node, shape: Shape) -> LinearMap:
    """The matrix and the shift of an operator that sums entries of its one input.

    Parameters
    ----------
    operator : Operator
    node : Node
        Whose operator it is.
    shape : tuple of int
        Shape of the input.
    """
    raise MissingRule(f"no matrix is known for operator {type(operator).__name__}")


@linear_map.register
def _(operator: Affine, node: Node, shape: Shape) -> LinearMap:
    weight = csr_matrix(double(operator.weight))
    copies = prod(shape[:-1])
    matrix = weight if copies == 1 else kron(identity(copies), weight, format="csr")
    bias = np.zeros(weight.shape[0]) if operator.bias is None else double(operator.bias)
    return csr_matrix(matrix), np.tile(bias, copies)


@linear_map.register
def _(operator: Conv, node: Node, shape: Shape) -> LinearMap:
    weight = double(operator.weight)
    index = _windows(shape, weight.shape[2:], operator, node.shape[1:])
    return _convolution(weight, index, operator.groups, prod(shape)), _channels(operator, node)


@linear_map.register
def _(operator: ConvTranspose, node: Node, shape: Shape) -> LinearMap:
    # The transpose of the convolution that leads from its output back to its input.
    weight = double(operator.weight)
    index = _windows(node.shape, weight.shape[2:], operator, shape[1:])
    matrix = _convolution(weight, index, operator.groups, prod(node.shape))
    return matrix.T.tocsr(), _channels(operator, node)


def _channels(operator: Conv | ConvTranspose, node: Node) -> np.ndarray:
    if operator.bias is None:
        return np.zeros(prod(node.shape))
    return np.repeat(double(operator.bias), prod(node.shape[1:]))


def _windows(
    shape: Shape, kernel: Shape, operator: Conv | ConvTranspose, counts: Shape
) -> np.ndarray:
    """Flat positions that a kernel reads, ``[channels, *counts, *kernel]``; -1 in the padding."""
    index = np.pad(
        np.arange(prod(shape)).reshape(shape),
        [(0, 0), *((p, p) for p in operator.padding)],
        constant_values=-1,
    )
    reach = tuple(d * (k - 1) + 1 for d, k in zip(operator.dilation, kernel, strict=True))
    axes = tuple(range(1, len(shape)))
    view = sliding_window_view(index, reach, axis=axes)
    steps = [slice(0, s * n, s) for s, n in zip(operator.stride, counts, strict=True)]
    inside = [slice(None, None, d) for d in operator.dilation]
    return view[(slice(None), *steps, *inside)]


def _convolution(weight: np.ndarray, index: np.ndarray, groups: int, inputs: int) -> csr_matrix:
    """The matrix of a convolution with ``weight [out, in / groups, *kernel]``."""
    out, per_group = weight.shape[:2]
    dimensions = weight.ndim - 2
    counts = index.shape[1 : 1 + dimensions]
    positions = prod(counts)
    taps = prod(weight.shape[2:])
    # [channels, positions, taps] -> [groups, positions, per_group * taps]
    index = index.reshape(groups, per_group, positions, taps).swapaxes(1, 2)
    index = index.reshape(groups, 1, positions, per_group * taps)
    values = weight.reshape(groups, out // groups, 1, per_group * taps)
    shape = (groups, out // groups, positions, per_group * taps)
    columns = np.broadcast_to(index, shape).reshape(-1)
    data = np.broadcast_to(values, shape).reshape(-1)
    rows = np.repeat(np.arange(out * positions), per_group * taps)
    kept = (columns >= 0) & (data != 0)
    entries = (data[kept], (rows[kept], columns[kept]))
    return csr_matrix(entries, shape=(out * positions, inputs))
