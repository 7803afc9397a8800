"""Several inputs and outputs of a file as one of each, which holds the numbers of all."""

from __future__ import annotations

from math import prod

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from sensverify.errors import BadModelFile
from sensverify.formats.onnx.declaring import declared
from sensverify.formats.onnx.ends import inputs_of
from sensverify.formats.onnx.integers import with_real_input
from sensverify.formats.onnx.tensors import FLOATS, OTHERS, type_name
from sensverify.network.signature import Port

NUMPY = {
    TensorProto.FLOAT16: "float16",
    TensorProto.FLOAT: "float32",
    TensorProto.DOUBLE: "float64",
    **{kind: np.dtype(dtype).name for kind, dtype in OTHERS.items()},
}
"""Names of ONNX element types in numpy; bfloat16 has none."""

_ORDER = (TensorProto.FLOAT16, TensorProto.FLOAT, TensorProto.DOUBLE)


def joined(model: onnx.ModelProto) -> tuple[onnx.ModelProto, tuple[Port, ...]]:
    """The model with one input and one output, and the inputs that the one is made of.

    The one input holds the numbers of all inputs one after the other, ``[1, numbers]``, each in
    row-major order. Several outputs are joined in the same way.

    Raises
    ------
    BadModelFile
        An input has no fixed shape, or numbers that are no real ones and no integers that are only
        cast, moved, or choose rows of constant tables.
    """
    items = inputs_of(model.graph)
    ports = [_port(item) for item in items]
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for place, (item, port) in enumerate(zip(items, ports, strict=True)):
        if not port.integer:
            continue
        found = with_real_input(copy, item.name)
        if found is None:
            raise _refused(item)
        copy, integers = found
        ports[place] = Port(port.name, port.shape, integers.name, values=integers.values)
    _join_outputs(copy.graph)
    if len(ports) > 1:
        _join_inputs(copy.graph, ports)
    del copy.graph.value_info[:]
    return copy, tuple(ports)


def _port(item: onnx.ValueInfoProto) -> Port:
    shape, kind = declared(item, {**FLOATS, **OTHERS})
    if kind not in NUMPY or kind == TensorProto.BOOL:
        raise BadModelFile(f"input '{item.name}' holds {type_name(kind)}; expected real numbers")
    return Port(item.name, shape, NUMPY[kind])


def _refused(item: onnx.ValueInfoProto) -> BadModelFile:
    kind = type_name(item.type.tensor_type.elem_type)
    return BadModelFile(
        f"input '{item.name}' holds {kind}, and the file does more with it than casting it to real "
        "numbers, moving it, and choosing rows of constant tables by it"
    )


def _join_inputs(graph: onnx.GraphProto, ports: list[Port]) -> None:
    """Put one input in the place of all, and the nodes that give each back."""
    names = {port.name for port in ports}
    items = [item for item in graph.input if item.name in names]
    kinds = [item.type.tensor_type.elem_type for item in items]
    element = max(kinds, key=_ORDER.index)
    for item in items:
        graph.input.remove(item)
    whole = _free(graph, "inputs")
    sizes = [prod(port.shape) for port in ports]
    graph.input.append(helper.make_tensor_value_info(whole, element, [1, sum(sizes)]))
    made, start = [], 0
    for port, kind, size in zip(ports, kinds, sizes, strict=True):
        part, places = f"{port.name}/of the inputs", f"{port.name}/places"
        shape = f"{port.name}/shape"
        graph.initializer.extend(
            [
                numpy_helper.from_array(np.arange(start, start + size), places),
                numpy_helper.from_array(np.array(port.shape, np.int64), shape),
            ]
        )
        last = port.name if kind == element else f"{port.name}/not yet cast"
        made.append(helper.make_node("Gather", [whole, places], [part], part, axis=1))
        made.append(helper.make_node("Reshape", [part, shape], [last], last))
        if kind != element:
            made.append(helper.make_node("Cast", [last], [port.name], port.name, to=kind))
        start += size
    nodes = [*made, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _join_outputs(graph: onnx.GraphProto) -> None:
    """Put one output in the place of several."""
    names = [item.name for item in graph.output]
    if len(names) < 2:
        return
    whole, shape = _free(graph, "outputs"), _free(graph, "outputs/shape")
    graph.initializer.append(numpy_helper.from_array(np.array([1, -1]), shape))
    rows = [f"{name}/as a row" for name in names]
    graph.node.extend(
        helper.make_node("Reshape", [name, shape], [row], row)
        for name, row in zip(names, rows, strict=True)
    )
    graph.node.append(helper.make_node("Concat", rows, [whole], whole, axis=1))
    del graph.output[:]
    graph.output.append(onnx.ValueInfoProto(name=whole))


def _free(graph: onnx.GraphProto, name: str) -> str:
    taken = {value for node in graph.node for value in (*node.input, *node.output)}
    taken |= {item.name for item in (*graph.input, *graph.output, *graph.initializer)}
    while name in taken:
        name += " of all"
    return name
