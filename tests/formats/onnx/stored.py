"""Laws of a network that was read without simplifying: its numbers are those of its file."""

import numpy as np
import torch
from onnx import AttributeProto, numpy_helper

from sensverify.bounds.forward import apply
from sensverify.formats.onnx.reader import read_model
from sensverify.network.operators import Elementwise, Max

DEFAULTS = [float(np.float32(value)) for value in (0.01, 0.2, 0.5, 1e-5, 1.6732632, 1.050701)]
"""Of ONNX attributes; all others are integers."""


def numbers(model):
    """Every number that a model stores, and those that are implied where it stores none, sorted."""
    stored = [np.array(DEFAULTS)]
    tensors = []
    graphs = [model.graph]
    for graph in graphs:
        tensors += graph.initializer
        for item in (item for node in graph.node for item in node.attribute):
            if item.type == AttributeProto.GRAPH:
                graphs.append(item.g)
            if item.type == AttributeProto.TENSOR:
                tensors.append(item.t)
            elif item.type in (AttributeProto.FLOAT, AttributeProto.FLOATS):
                stored.append(np.array([item.f, *item.floats]))
    stored += [numpy_helper.to_array(tensor).reshape(-1).astype(np.float64) for tensor in tensors]
    stored = np.concatenate(stored)
    return np.unique(np.concatenate([stored, -stored]))


def parameters(network):
    """Every number of a network's operators but indices and shapes."""
    for node in network.nodes:
        for name, value in vars(node.operator).items():
            if isinstance(value, float) or getattr(value, "dtype", np.dtype(int)).kind == "f":
                yield f"{node.name}.{name}", np.asarray(value, np.float64).reshape(-1)


def is_nonlinear(node):
    return isinstance(node.operator, Elementwise | Max)


def run(network, x):
    """The output, and all that enters each nonlinear node, with no rewrite on the way."""
    network = network.map_arrays(lambda a: torch.as_tensor(np.array(a)))
    network = network.map_arrays(lambda a: a.double() if a.dtype.is_floating_point else a)
    values, entries = [x], []
    for node in network.nodes[1:]:
        inputs = [values[i] for i in node.inputs]
        if is_nonlinear(node):
            entries.append(inputs[0].reshape(len(x), -1))
        values.append(apply(node.operator, *inputs))
    return [*entries, values[-1]]


def assert_close(found, expected):
    tolerance = 1e-12 * max(float(expected.abs().max()), 1e-30)
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)


def assert_as_stored(path, plain, simple, x, *, stored=True):
    """The laws of a network that was read with ``simplified=False``, beside the simplified one.

    At float64 inputs x. With ``stored``, also that every parameter is a number of the file at the
    path, or a whole one.
    """
    assert plain.input_shape == simple.input_shape
    assert plain.output_shape == simple.output_shape

    kept, before = (
        [
            (type(node.operator), node.name, int(np.prod(node.shape)))
            for node in network.nodes
            if is_nonlinear(node)
        ]
        for network in (simple, plain)
    )
    assert kept == before
    for found, expected in zip(run(plain, x), run(simple, x), strict=True):
        assert_close(found, expected)

    if not stored:
        return
    known_numbers = numbers(read_model(path))
    for name, values in parameters(plain):
        places = np.searchsorted(known_numbers, values).clip(max=len(known_numbers) - 1)
        known = (known_numbers[places] == values) | (values == np.round(values))
        assert known.all(), f"{name} is not in the file: {values[~known][:3]}"
