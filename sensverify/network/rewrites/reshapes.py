"""Shape operators that do nothing, or that one operator does as well as two."""

from __future__ import annotations

from typing import Any

import numpy as np

from sensverify.network.graph import Network, Node
from sensverify.network.operators import Concat, Operator, Pad, Permute, Reshape, Scale, Select
from sensverify.network.rewrites.editing import Edit, rewrite


def drop_idle_shapes(network: Network) -> Network:
    """Fuse chains of `Reshape`, `Permute` and `Select`, and drop operators without effect.

    Without effect are a reshape to the shape at hand, a permutation that keeps the order, a
    selection of everything in order, a pad by nothing, a scale by nothing and a concatenation of
    one.
    """
    return rewrite(network, _rule)


def _rule(edit: Edit, node: Node) -> bool:
    operator = _plain(node, edit.source(node).shape)
    if isinstance(operator, Reshape):
        _put_reshape(edit, node)
    elif _idle(operator, len(node.inputs)):
        edit.forward(node)
    elif isinstance(operator, Permute):
        _put_permute(edit, node, operator)
    elif isinstance(operator, Select):
        _put_select(edit, node, operator)
    else:
        return False
    return True


def _plain(node: Node, source_shape: tuple[int, ...]) -> Operator:
    """The operator, or the reshape that it amounts to."""
    operator = node.operator
    if isinstance(operator, Permute):
        moved = [axis for axis in operator.axes if source_shape[axis] != 1]
        if moved == sorted(moved):
            return Reshape(node.shape)
    if isinstance(operator, Select) and _selects_everything(operator.indices, source_shape):
        return Reshape(node.shape)
    return operator


def _idle(operator: Operator, inputs: int) -> bool:
    if isinstance(operator, Pad):
        return not any((*operator.before, *operator.after))
    if isinstance(operator, Scale):
        return operator.scale is None and operator.shift is None
    return isinstance(operator, Concat) and inputs == 1


def _put_reshape(edit: Edit, node: Node) -> None:
    """A reshape of reshapes reads the first one's source; one of a selection shapes its indices."""
    place = edit.place(node)
    while isinstance(edit.nodes[place].operator, Reshape):
        place = edit.nodes[place].inputs[0]
    source = edit.nodes[place]
    if node.shape == edit.source(node).shape:
        edit.forward(node)
    elif isinstance(source.operator, Select) and edit.exclusive(node) and place == edit.place(node):
        indices = source.operator.indices.reshape(node.shape)
        edit.put(node, Select(indices), source.inputs, node.shape)
    elif node.shape == source.shape:
        # The node stands for an earlier one that others may read, hence no exclusive reader.
        edit.answer(node, place)
    elif isinstance(node.operator, Reshape) and place == edit.place(node):
        edit.keep(node)
    else:
        edit.put(node, Reshape(node.shape), (place,), node.shape)


def _put_permute(edit: Edit, node: Node, operator: Permute) -> None:
    source = edit.source(node)
    if isinstance(source.operator, Permute):
        axes = tuple(source.operator.axes[axis] for axis in operator.axes)
        if axes == tuple(range(len(axes))):
            edit.answer(node, source.inputs[0])
        else:
            edit.put(node, Permute(axes), source.inputs, node.shape)
    else:
        edit.keep(node)


def _put_select(edit: Edit, node: Node, operator: Select) -> None:
    source = edit.source(node)
    if isinstance(source.operator, Reshape):
        edit.put(node, operator, source.inputs, node.shape)
    elif isinstance(source.operator, Select) and edit.exclusive(node):
        indices = source.operator.indices.reshape(-1)[operator.indices]
        edit.put(node, Select(indices), source.inputs, node.shape)
    else:
        edit.keep(node)


def _selects_everything(indices: Any, source_shape: tuple[int, ...]) -> bool:
    # Tensors are not looked into: on a GPU that would wait for all work under way.
    return (
        isinstance(indices, np.ndarray)
        and indices.size == np.prod(source_shape, dtype=np.int64)
        and bool((indices.reshape(-1) == np.arange(indices.size)).all())
    )
