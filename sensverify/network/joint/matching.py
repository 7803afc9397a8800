"""Neurons in another order: found from the weights, and put back.

The neurons of a hidden layer may stand in any order, if those who read them know it. Layer by
layer from the input on, each neuron of the new network is matched with the one of the old network
whose incoming weights are the most like its own. Whatever order is found, the reordered network is
equal to the one that was given: a bad one costs width alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np

from sensverify.network.graph import Network, Node
from sensverify.network.operators import (
    Affine,
    Conv,
    Elementwise,
    LeakyRelu,
    Nonlinear,
    Operator,
    Reshape,
    Scale,
)

_LARGEST = 4096
"""Neurons of a layer beyond which no order is searched for: the time grows with their cube."""


@dataclass(frozen=True)
class _Chain:
    """Two layers, and between them nothing but functions of single numbers: positions."""

    first: int
    between: tuple[int, ...]
    last: int


@dataclass(frozen=True, eq=False)
class Matched:
    """A network whose neurons were put into the order of another one's.

    Parameters
    ----------
    network : Network
        Equal to the one that was given.
    permuted : tuple of str
        Names of the layers whose order changed.
    orders : dict from int to numpy array
        Of each nonlinear node that these neurons pass, by its number among the nonlinear nodes: the
        neuron that was given, for each place.
    """

    network: Network
    permuted: tuple[str, ...] = ()
    orders: dict[int, np.ndarray] = field(default_factory=dict)


def matched(old: Network, new: Network) -> Matched:
    """The new network with its neurons in the order of the old one's.

    Parameters
    ----------
    old, new : Network
        The same graph, but for their numbers; simplified.
    """
    nodes, permuted = list(new.nodes), []
    orders: dict[int, np.ndarray] = {}
    functions = [p for p, node in enumerate(nodes) if isinstance(node.operator, Nonlinear)]
    for chain in _chains(new):
        order = _order(old.nodes[chain.first].operator, nodes[chain.first].operator)
        if order is None:
            continue
        moved = _reordered(nodes, chain, order)
        if moved is not None:
            nodes = moved
            permuted.append(new.nodes[chain.first].name)
            passed = set(chain.between)
            orders |= {number: order for number, p in enumerate(functions) if p in passed}
    network = Network(tuple(nodes)) if permuted else new
    return Matched(network, tuple(permuted), orders)


def _chains(network: Network) -> list[_Chain]:
    """Layers that hand their neurons, one by one, to one other layer alone."""
    found = []
    for position, node in enumerate(network.nodes):
        if not isinstance(node.operator, Affine | Conv) or _grouped(node.operator):
            continue
        if isinstance(node.operator, Affine) and len(node.shape) != 1:
            continue
        between: list[int] = []
        at = position
        while len(network.consumers[at]) == 1:
            (at,) = network.consumers[at]
            operator = network.nodes[at].operator
            if isinstance(operator, Affine | Conv):
                one_axis = isinstance(operator, Conv) or len(network.nodes[at].shape) == 1
                if one_axis and not _grouped(operator):
                    found.append(_Chain(position, tuple(between), at))
                break
            if not isinstance(operator, Elementwise | Reshape | Scale):
                break
            between.append(at)
    return found


def _grouped(operator: Operator) -> bool:
    return isinstance(operator, Conv) and operator.groups != 1


def _order(old: Any, new: Any) -> np.ndarray | None:
    """The place in the new layer of each neuron of the old one; None where they stand alike."""
    rows = [_rows(operator) for operator in (old, new)]
    count = len(rows[0])
    if count > _LARGEST or not all(np.isfinite(values).all() for values in rows):
        return None
    own = ((rows[0] - rows[1]) ** 2).sum(axis=1)
    if not own.any():
        return None
    from scipy.optimize import linear_sum_assignment

    sizes = [(values**2).sum(axis=1) for values in rows]
    distances = sizes[0][:, None] + sizes[1][None] - 2 * rows[0] @ rows[1].T
    _, columns = linear_sum_assignment(distances)
    there = ((rows[0] - rows[1][columns]) ** 2).sum()
    # Not for what rounding gains.
    return columns if there < 0.999 * own.sum() else None


def _rows(operator: Any) -> np.ndarray:
    weight = np.asarray(operator.weight, np.float64)
    rows = weight.reshape(len(weight), -1)
    bias = np.zeros(len(rows)) if operator.bias is None else np.asarray(operator.bias, np.float64)
    return np.concatenate([rows, bias[:, None]], axis=1)


def _reordered(nodes: list[Node], chain: _Chain, order: np.ndarray) -> list[Node] | None:
    """The nodes with the neurons of one layer in another order; None where that cannot be said."""
    first, last = nodes[chain.first], nodes[chain.last]
    result = list(nodes)
    layer: Any = first.operator
    bias = None if layer.bias is None else layer.bias[order]
    result[chain.first] = replace(
        first, operator=replace(layer, weight=layer.weight[order], bias=bias)
    )
    # Where each number of the chain comes from, in row-major order.
    per = prod(first.shape) // len(order)
    index = np.arange(prod(first.shape)).reshape(len(order), per)[order].reshape(-1)
    for position in chain.between:
        node = nodes[position]
        operator = _moved(node.operator, node.shape, index)
        if operator is None:
            return None
        result[position] = replace(node, operator=operator)
    reader: Any = last.operator
    if isinstance(reader, Affine):
        if len(index) != reader.weight.shape[1]:
            return None
        weight = reader.weight[:, index]
    else:
        channels = reader.weight.shape[1]
        if len(order) != channels:
            return None
        weight = reader.weight[:, order]
    result[chain.last] = replace(last, operator=replace(reader, weight=weight))
    return result


def _moved(operator: Operator, shape: tuple[int, ...], index: np.ndarray) -> Operator | None:
    """An operator on single numbers, for these numbers in another order."""

    def moved(values: Any) -> Any:
        if values is None or np.asarray(values).size == 1:
            return values
        return np.broadcast_to(values, shape).reshape(-1)[index].reshape(shape)

    if isinstance(operator, Reshape):
        return operator
    if isinstance(operator, Scale):
        return Scale(moved(operator.scale), moved(operator.shift))
    if isinstance(operator, LeakyRelu):
        return LeakyRelu(moved(operator.slope))
    # Others are the same for every number.
    has_arrays = any(hasattr(getattr(operator, name), "dtype") for name in vars(operator))
    return None if has_arrays else operator
