"""Where a network begins and ends in a file: chosen values, sizes, casts in front, batches of n."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from sensverify.errors import BadModelFile
from sensverify.formats.onnx.integers import MOVING
from sensverify.formats.onnx.tensors import FLOATS, OTHERS
from sensverify.registry.names import did_you_mean

_SHOWN = 8
"""Names in a message."""


InputShape = tuple[int, ...] | Mapping[str, tuple[int, ...]]
"""Shape of one sample; of several inputs, of each by its name."""


@dataclass(frozen=True)
class Ends:
    """The part of a file that is the network.

    Parameters
    ----------
    input, output : str or None
        Names of values of the file, inner ones included; None: all its inputs, all its outputs.
    shape : tuple of int or None
        Shape of one sample, without a batch axis, where the file leaves lengths open.
    head : str
        ``keep`` the file's own outputs; cut off a softmax, which keeps the ``order`` of all
        outputs; or ``peel`` whatever makes probabilities or labels of logits, and take a batch of
        n samples for the one that each of them is. ``label`` does so, but keeps sigmoids.
    beside : tuple of str
        Further values of the file that are outputs behind its own.
    shapes : tuple of (str, tuple of int)
        As ``shape``, of several inputs by their names.
    """

    input: str | None = None
    output: str | None = None
    shape: tuple[int, ...] | None = None
    head: Literal["keep", "order", "label", "peel"] = "keep"
    beside: tuple[str, ...] = ()
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = ()

    @classmethod
    def asked(
        cls,
        input: str | None,
        output: str | None,
        input_shape: InputShape | None,
        head: Literal["keep", "order", "label", "peel"] = "keep",
    ) -> Ends:
        """The part between some values, with the shape of its input, or of each by its name."""
        if isinstance(input_shape, Mapping):
            shapes = tuple((name, tuple(shape)) for name, shape in input_shape.items())
            return cls(input, output, head=head, shapes=shapes)
        return cls(input, output, input_shape, head)


WHOLE = Ends()
"""A file from its input to its output."""


def inputs_of(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """The inputs of a graph that are no stored numbers."""
    stored = {tensor.name for tensor in graph.initializer}
    return [item for item in graph.input if item.name not in stored]


def begin_at(model: onnx.ModelProto, name: str, shape: tuple[int, ...] | None) -> onnx.ModelProto:
    """The model that begins at one of its values.

    Raises
    ------
    BadModelFile
        There is no such value, or its shape is not known.
    """
    own = {item.name: item for item in inputs_of(model.graph)}
    if name in own and len(own) == 1:
        return model
    item = own.get(name)
    if item is None:
        made = {value for node in model.graph.node for value in node.output if value}
        if name not in made:
            raise unknown("input", name, (*own, *made))
        item = next((v for v in _inferred(model).value_info if v.name == name), None)
        if item is None or (not item.type.tensor_type.HasField("shape") and shape is None):
            raise BadModelFile(
                f"the shape of the value '{name}' is not known", "give it with `input_shape`"
            )
    copy = _copy(model)
    for i in reversed(range(len(copy.graph.input))):
        if copy.graph.input[i].name in own:
            del copy.graph.input[i]
    copy.graph.input.append(item)
    for node in copy.graph.node:
        for place, value in enumerate(node.output):
            if value == name:
                node.output[place] = f"{name}/of the file"
    return copy


def end_at(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """The model whose one output is one of its values.

    Raises
    ------
    BadModelFile
        There is no such value.
    """
    outputs = {item.name: item for item in model.graph.output}
    if list(outputs) == [name]:
        return model
    made = [value for node in model.graph.node for value in node.output if value]
    if name not in made and name not in outputs:
        raise unknown("output", name, (*outputs, *made))
    copy = _copy(model)
    del copy.graph.output[:]
    copy.graph.output.append(outputs.get(name, onnx.ValueInfoProto(name=name)))
    return copy


def needed_alone(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without the nodes that none of its outputs needs."""
    copy = _copy(model)
    needed = {item.name for item in copy.graph.output}
    for place in reversed(range(len(copy.graph.node))):
        node = copy.graph.node[place]
        if needed.intersection(node.output):
            needed.update(read_by(node))
        else:
            del copy.graph.node[place]
    return copy


def read_by(node: onnx.NodeProto) -> Iterator[str]:
    """The names of values that a node reads, also from within its branches."""
    yield from (name for name in node.input if name)
    for item in node.attribute:
        if item.type == onnx.AttributeProto.GRAPH:
            yield from (output.name for output in item.g.output)
            for inner in item.g.node:
                yield from read_by(inner)


def exposing(model: onnx.ModelProto, names: Iterable[str]) -> onnx.ModelProto:
    """The model with some of its values as outputs beside its own."""
    own = {item.name for item in model.graph.output}
    more = [name for name in names if name not in own]
    if not more:
        return model
    copy = _copy(model)
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in more)
    return copy


def with_shape(
    model: onnx.ModelProto, shape: tuple[int, ...], name: str | None = None
) -> onnx.ModelProto:
    """The model with the lengths of an input's axes set: of its only one, or that of the name.

    Raises
    ------
    BadModelFile
        The file declares other lengths, or another number of axes; or there is no such input.
    """
    named = {each.name: each for each in inputs_of(model.graph)}
    if name is not None and name not in named:
        raise unknown("input", name, named)
    item = next(iter(named.values())) if name is None else named[name]
    axes = item.type.tensor_type.shape.dim if item.type.tensor_type.HasField("shape") else []
    declared = [int(d.dim_value) if d.HasField("dim_value") else None for d in axes]
    # Without a batch axis, or with one of 1.
    wanted = shape if len(shape) == len(declared) else (1, *shape)
    fits = len(wanted) == len(declared) and all(
        known is None or known == n for known, n in zip(declared[1:], wanted[1:], strict=True)
    )
    if axes and not fits:
        shown = ", ".join("?" if n is None else str(n) for n in declared)
        raise BadModelFile(
            f"input '{item.name}' has the shape ({shown}), which {shape} does not fit",
            "give `input_shape` without the batch axis",
        )
    copy = _copy(model)
    kind = next(each for each in copy.graph.input if each.name == item.name).type.tensor_type
    kind.ClearField("shape")
    for n in wanted:
        kind.shape.dim.add().dim_value = n
    del copy.graph.value_info[:]
    return copy


def without_casts(model: onnx.ModelProto) -> tuple[onnx.ModelProto, str | None]:
    """The model with a real input, where the file's is of integers and only cast; else as it is.

    Returns
    -------
    model : onnx.ModelProto
    integers : str or None
        Name of the type of the file's own input.
    """
    found = inputs_of(model.graph)
    if len(found) != 1 or found[0].type.tensor_type.elem_type not in OTHERS:
        return model, None
    copy = _copy(model)
    (item,) = inputs_of(copy.graph)
    kind = item.type.tensor_type.elem_type
    moved, to = {item.name}, None
    for node in copy.graph.node:
        if not moved.intersection(node.input):
            continue
        if node.op_type == "Cast":
            (target,) = (a.i for a in node.attribute if a.name == "to")
            if target not in FLOATS:
                return model, None
            to = target
            node.op_type = "Identity"
            del node.attribute[:]
        elif node.op_type in MOVING and node.input[0] in moved:
            moved.update(node.output)
        else:
            return model, None
    if to is None:
        return model, None
    item.type.tensor_type.elem_type = to
    del copy.graph.value_info[:]
    return copy, TensorProto.DataType.Name(kind).lower()


def batch_of(model: onnx.ModelProto) -> int:
    """The batch size above 1 that a file was exported with: its input and outputs begin with it."""
    found = inputs_of(model.graph)
    if len(found) != 1:
        return 1
    first = {_first(item) for item in (found[0], *model.graph.output)}
    size = first.pop()
    axes = len(found[0].type.tensor_type.shape.dim)
    return size if not first and size is not None and axes >= 2 else 1


def with_batch_of_one(model: onnx.ModelProto, size: int) -> onnx.ModelProto:
    """The model for one sample: the batch axis, and reshapes that name it, set to 1.

    Whether it computes the same is for the caller to see.
    """
    copy = _copy(model)
    graph = copy.graph
    (item,) = inputs_of(graph)
    item.type.tensor_type.shape.dim[0].dim_value = 1
    for output in graph.output:
        output.type.tensor_type.ClearField("shape")
    del graph.value_info[:]
    stored = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            stored[node.output[0]] = node.attribute[0].t
    for node in graph.node:
        if node.op_type not in ("Reshape", "Expand") or len(node.input) < 2:
            continue
        tensor = stored.get(node.input[1])
        shape = None if tensor is None else numpy_helper.to_array(tensor)
        if shape is None or shape.size == 0 or shape[0] != size:
            continue
        name = f"{node.input[1]}/of one"
        if name not in stored:
            one = np.concatenate([np.ones(1, shape.dtype), shape[1:]])
            graph.initializer.append(numpy_helper.from_array(one, name))
            stored[name] = graph.initializer[-1]
        node.input[1] = name
    return copy


def unknown(what: str, name: str, known: Iterable[str]) -> BadModelFile:
    """The error for a value that the model does not have, at its input or output."""
    names = list(known)
    return BadModelFile(
        f"the model has no value '{name}' for its {what}{did_you_mean(name, names)}",
        f"its values are {', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''}",
    )


def _first(item: onnx.ValueInfoProto) -> int | None:
    axes = item.type.tensor_type.shape.dim
    return int(axes[0].dim_value) if len(axes) and axes[0].HasField("dim_value") else None


def _inferred(model: onnx.ModelProto) -> onnx.GraphProto:
    return onnx.shape_inference.infer_shapes(model, data_prop=True).graph


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy
