"""A Softmax that ends a network: it keeps the order of what enters it, and has no bounds here."""

from __future__ import annotations

from math import prod

import onnx

from sensverify.formats.onnx.call import Call, Value, handles
from sensverify.formats.onnx.shapes import axis_of

SOFTMAX = ("LogSoftmax", "Softmax")

NUMBER_KEEPING = ("Cast", "Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze")
"""Operators that keep all numbers of their first input, in row-major order."""


def final_softmax(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The softmax that ends a graph, with the nodes behind it that keep its numbers; else none."""
    made = {name: node for node in graph.node for name in node.output}
    name, nodes = graph.output[0].name, []
    while (node := made.get(name)) is not None and node.op_type in (*SOFTMAX, *NUMBER_KEEPING):
        nodes.append(node)
        if node.op_type in SOFTMAX:
            return nodes[::-1]
        name = node.input[0]
    return []


@handles(*SOFTMAX)
def softmax(call: Call) -> Value:
    """Its input, where it ends the network and only the order of the outputs matters."""
    if call.softmax is None:
        raise call.refusal(
            "its outputs have no bounds here. Where it ends the network, labels are verified "
            "through it, and properties that only compare outputs",
            "for anything else export the model without it",
        )
    variable = call.variable(0)
    rank = len(variable.shape)
    axis = axis_of(call, int(call.attribute("axis", 1 if call.opset < 13 else -1)), rank)
    over = variable.shape[axis:] if call.opset < 13 else variable.shape[axis : axis + 1]
    if prod(over) != variable.size:
        raise call.invalid(
            f"it is taken over {prod(over)} of {variable.size} outputs, so the order of "
            "all of them is not that of what enters it"
        )
    return variable
