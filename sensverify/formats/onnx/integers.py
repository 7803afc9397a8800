"""Inputs of integers as real numbers: those that are only cast, and those that choose rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from sensverify.formats.onnx.tensors import FLOATS, OTHERS, to_array

MOVING = (
    "Concat",
    "Expand",
    "Flatten",
    "Gather",
    "Identity",
    "Reshape",
    "Slice",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
)
"""Operators that move numbers of any type and change none."""

_ROWS = 1024
"""Most rows of a table that an integer may choose from: each takes two neurons for each integer."""

_NEWEST = 11
"""First operator set in which `Clip` takes its ends as inputs and axes may be negative."""


@dataclass(frozen=True)
class Integers:
    """An input of integers that a model takes as real numbers.

    Parameters
    ----------
    name : str
        Of its type.
    values : (int, int) or None
        The least and the largest that it may be, where it chooses rows of tables.
    """

    name: str
    values: tuple[int, int] | None


def with_real_input(model: onnx.ModelProto, name: str) -> tuple[onnx.ModelProto, Integers] | None:
    """The model with a real input in the place of one of integers; None where there is none.

    The integers may be cast to real numbers, moved, and choose rows of constant tables. A chosen
    row is the table's interpolation between rows, which is exact at every integer, negative ones
    included: ``row(x) = sum_k hot_k(x) * row_k`` with ``hot_k(x) = max(0, 1 - abs(x - k))``, as
    differences of clipped ``x - k``.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    (item,) = (each for each in copy.graph.input if each.name == name)
    kind = item.type.tensor_type.elem_type
    versions = [each.version for each in copy.opset_import if each.domain in ("", "ai.onnx")]
    lowering = _Lowering(copy.graph, name, max(versions, default=1))
    if not lowering.run():
        return None
    item.type.tensor_type.elem_type = lowering.to or TensorProto.FLOAT
    del copy.graph.value_info[:]
    sizes = lowering.rows
    values = (-min(sizes), min(sizes) - 1) if sizes else None
    return copy, Integers(np.dtype(OTHERS[kind]).name, values)


class _Lowering:
    """The nodes that read some integers, replaced one after the other."""

    def __init__(self, graph: onnx.GraphProto, name: str, opset: int) -> None:
        self._graph, self._opset = graph, opset
        self._moved = {name}
        self.to: int | None = None
        self.rows: list[int] = []
        self._tables = {tensor.name: tensor for tensor in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self._tables[node.output[0]] = node.attribute[0].t

    def run(self) -> bool:
        """Whether every node that reads the integers has a counterpart that reads real numbers."""
        made: list[onnx.NodeProto] = []
        for node in list(self._graph.node):
            if not self._moved.intersection(node.input):
                made.append(node)
                continue
            found = self._replaced(node)
            if found is None:
                return False
            made.extend(found)
        del self._graph.node[:]
        self._graph.node.extend(made)
        return self.to is not None or bool(self.rows)

    def _replaced(self, node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        if node.op_type == "Shape":
            return [node]
        if node.op_type == "Cast":
            return self._cast(node)
        if node.op_type == "Gather" and node.input[0] in self._tables:
            return self._chosen(node)
        if node.op_type in MOVING and node.input[0] in self._moved:
            self._moved.update(node.output)
            return [node]
        return None

    def _cast(self, node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        (target,) = (a.i for a in node.attribute if a.name == "to")
        if target in (TensorProto.INT32, TensorProto.INT64):
            self._moved.update(node.output)
        elif target not in FLOATS or self.to not in (None, target) or self.rows:
            return None
        else:
            self.to = target
        return [helper.make_node("Identity", node.input, node.output, name=node.name)]

    def _chosen(self, node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        tensor = self._tables[node.input[0]]
        axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
        shape = tuple(tensor.dims)
        small = len(shape) == 2 and 1 <= shape[0] <= _ROWS
        usable = small and axis == 0 and tensor.data_type == TensorProto.FLOAT
        if not usable or self._opset < _NEWEST or self.to not in (None, TensorProto.FLOAT):
            return None
        self.rows.append(shape[0])
        return self._interpolated(node, to_array(tensor, tensor.name))

    def _interpolated(self, node: onnx.NodeProto, table: np.ndarray) -> list[onnx.NodeProto]:
        """Nodes that compute the row of a table at a real number; row -1 is the last."""
        count, base = len(table), node.output[0]
        rows = np.concatenate([table, table]).astype(np.float32)
        steps = np.arange(1, 2 * count)
        above = np.eye(2 * count, dtype=np.float32)
        hot = above[1:] - above[:-1]
        constants = {
            "axis": np.array([-1]),
            "places": (steps - 1 - count).astype(np.float32),
            "zero": np.float32(0),
            "one": np.float32(1),
            "hot": hot,
            "first": above[0],
            "rows": rows,
        }
        names = {key: f"{base}/{key}" for key in constants}
        self._graph.initializer.extend(
            numpy_helper.from_array(np.asarray(values), names[key])
            for key, values in constants.items()
        )
        at = [f"{base}/{key}" for key in ("apart", "from", "steps", "differences", "chosen")]
        apart = helper.make_node("Unsqueeze", [node.input[1], names["axis"]], at[:1], at[0])
        if self._opset < 13:
            apart = helper.make_node("Unsqueeze", [node.input[1]], at[:1], at[0], axes=[-1])
        make = helper.make_node
        return [
            apart,
            make("Sub", [at[0], names["places"]], [at[1]], at[1]),
            make("Clip", [at[1], names["zero"], names["one"]], [at[2]], at[2]),
            make("MatMul", [at[2], names["hot"]], [at[3]], at[3]),
            make("Add", [at[3], names["first"]], [at[4]], at[4]),
            make("MatMul", [at[4], names["rows"]], list(node.output), node.name or base),
        ]
