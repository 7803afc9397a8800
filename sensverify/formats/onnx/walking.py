"""The nodes of an ONNX graph in order, each lowered by the function for its operator type."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import MutableMapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto

from sensverify.errors import BadModelFile, UnsupportedOperator
from sensverify.formats.onnx.agreement import LoweredNode
from sensverify.formats.onnx.call import FOLDING, HANDLERS, Call, Context, Result, ValueSequence
from sensverify.formats.onnx.ends import read_by
from sensverify.formats.onnx.folding import computed
from sensverify.formats.onnx.tensors import to_array

Scope = MutableMapping[str, Result | UnsupportedOperator | None]
"""Values by their names. An error stands for a value that has no counterpart here: it is raised
where the value is read, which a branch that is not taken never does."""


def walk(
    graph: onnx.GraphProto, scope: Scope, context: Context
) -> tuple[list[Result], list[LoweredNode]]:
    """Lower every node that a graph's outputs need.

    Parameters
    ----------
    graph : onnx.GraphProto
    scope : mapping
        Values that the graph may read; its own are added.
    context : Context

    Returns
    -------
    outputs : list of Result
    steps : list of LoweredNode
        The nodes that have a counterpart, in order.

    Raises
    ------
    BadModelFile, UnsupportedOperator
    """
    if graph.sparse_initializer:
        raise UnsupportedOperator("sparse initializers are not supported", "store them dense")
    nodes, needed = _needed(graph)
    for tensor in graph.initializer:
        if tensor.name in needed:
            scope[tensor.name] = to_array(tensor, tensor.name)
    steps = []
    for node in nodes:
        first = len(context.builder)
        try:
            call = _call(node, scope, context)
            found = _lowered(call, needed)
        except UnsupportedOperator as error:
            scope.update({name: error for name in node.output if name})
            continue
        scope.update(found)
        steps.append(_step(call, range(first, len(context.builder)), found))
    return [_output(item.name, scope) for item in graph.output], steps


def _output(name: str, scope: Scope) -> Result:
    result = scope.get(name)
    if isinstance(result, UnsupportedOperator):
        raise result
    if result is None:
        raise BadModelFile(f"no node computes the output '{name}'")
    return result


def _step(call: Call, places: range, found: dict[str, Result | UnsupportedOperator]) -> LoweredNode:
    inputs = (None if isinstance(value, ValueSequence) else value for value in call.inputs)
    outputs = (
        (name, value)
        for name, value in found.items()
        if not isinstance(value, ValueSequence | UnsupportedOperator)
    )
    return LoweredNode(call.reduced or call.node, places, tuple(inputs), tuple(outputs))


def _call(node: onnx.NodeProto, scope: Scope, context: Context) -> Call:
    inputs: list[Result | None] = []
    for name in node.input:
        if name not in scope:
            raise BadModelFile(f"node '{node.name}' reads '{name}', which nothing computes")
        value = scope[name]
        if isinstance(value, UnsupportedOperator):
            raise value
        inputs.append(value)

    def branch(
        graph: onnx.GraphProto, arguments: Sequence[Result] = ()
    ) -> tuple[list[Result], onnx.GraphProto]:
        names = (item.name for item in graph.input)
        bound: Scope = dict(zip(names, arguments, strict=True))
        outputs, steps = walk(graph, ChainMap(bound, scope), context)
        reduced = onnx.GraphProto()
        reduced.CopyFrom(graph)
        del reduced.node[:]
        reduced.node.extend(step.node for step in steps)
        return outputs, reduced

    attributes = {item.name: _attribute(item) for item in node.attribute}
    return Call(**vars(context), node=node, inputs=inputs, attributes=attributes, walk=branch)


def _lowered(call: Call, needed: set[str]) -> dict[str, Result | UnsupportedOperator]:
    """The values that a node computes, by their names."""
    node = call.node
    standard = node.domain in ("", "ai.onnx")
    handler = HANDLERS.get(node.op_type if standard else f"{node.domain}.{node.op_type}")
    if standard and call.constant_alone and node.op_type not in FOLDING:
        handler = computed
    if handler is None:
        origin = f" of domain '{node.domain}'" if node.domain else ""
        raise call.refusal(f"this operator{origin} has no counterpart")
    try:
        result = handler(call)
        if handler is not computed:
            call.check_attributes()
    except (BadModelFile, UnsupportedOperator):
        raise
    except (ArithmeticError, LookupError, MemoryError, TypeError, ValueError) as error:
        # So complain numpy, Python and our builder (BadShape) of what does not fit together.
        raise call.invalid(f"{error}") from None
    values: Sequence[Result] = result if isinstance(result, Sequence) else [result]
    for value in values:
        if isinstance(value, np.ndarray) and value.base is None:
            call.reserve(value.shape)
    found: dict[str, Result | UnsupportedOperator] = {}
    for i, name in enumerate(node.output):
        if not name:
            # An output left out. The name stands for inputs left out, which stay None.
            continue
        if i < len(values):
            found[name] = values[i]
        elif name in needed:
            found[name] = call.refusal(f"output {i} is used, and not supported")
    return found


def _needed(graph: onnx.GraphProto) -> tuple[list[onnx.NodeProto], set[str]]:
    """The nodes that the outputs depend on, in order, and the names of all values they read."""
    needed = {item.name for item in graph.output}
    nodes = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            nodes.append(node)
            needed.update(read_by(node))
    return nodes[::-1], needed


def _attribute(item: AttributeProto) -> Any:
    try:
        return onnx.helper.get_attribute_value(item)
    except ValueError as error:
        raise BadModelFile(f"attribute '{item.name}' cannot be read: {error}") from None
