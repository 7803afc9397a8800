"""Heads of classifiers: the nodes that end a file and make probabilities or a label of logits.

A softmax, a sigmoid, an argmax, the label and the map of names that exporters of scikit-learn
append: all of them are functions of the logits that say which class is decided on. They are cut
off, and what is said of a class is said of the logits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from sensverify.errors import BadModelFile
from sensverify.formats.onnx.tensors import FLOATS
from sensverify.network.shapes import Shape

KEEPING = ("Cast", "Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze")
"""Operators that keep all numbers of their first input, in row-major order."""

_RESHAPING = ("Flatten", "Reshape", "Squeeze", "Unsqueeze")
"""Those of them that move axes."""

SOFTMAX = ("LogSoftmax", "Softmax")


@dataclass(frozen=True)
class Head:
    """The nodes that were cut off at the end of a classifier.

    Parameters
    ----------
    operators : tuple of str
        Their ONNX types, from the logits to the file's output.
    function : str or None
        What makes probabilities of the logits: ``softmax``; ``sigmoid``, of every logit on its own;
        ``shares``, those sigmoids divided by their sum. None where the file has a label alone.
    logarithm : bool
        The file's output is the logarithm of the probabilities.
    classes : tuple of str
        The file's names of the classes, in the order of the logits; empty where it has none.
    logits : int
        Of the network, one a class; 0 until the nodes before the head are read.
    single : bool
        The file has one logit, for the second of two classes. The network has minus and plus half
        of it: their difference is that logit, and their softmax the file's probabilities.
    """

    operators: tuple[str, ...]
    function: str | None
    logarithm: bool = False
    classes: tuple[str, ...] = ()
    logits: int = 0
    single: bool = False

    def __str__(self) -> str:
        shown = dict.fromkeys(name for name in self.operators if name not in KEEPING)
        return " and ".join(filter(None, (", ".join(list(shown)[:-1]), list(shown)[-1])))

    @property
    def elementwise(self) -> bool:
        """Whether a sigmoid of every logit follows, as a node of its own.

        Of several, that need not mean classes, and large ones are equal in floating point: which
        is the largest is decided on the sigmoids.
        """
        return self.function == "sigmoid" and "LinearClassifier" not in self.operators

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Probabilities of the classes in float64, ``[batch, classes]``, of the network's outputs.

        A file with a label alone gets the probabilities of a softmax.
        """
        values = np.asarray(logits, np.float64)
        if self.function not in ("sigmoid", "shares"):
            return _softmax(values)
        with np.errstate(over="ignore"):
            each = 1 / (1 + np.exp(-values))
        return each / each.sum(axis=1, keepdims=True) if self.function == "shares" else each


def _softmax(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@dataclass(frozen=True, eq=False)
class Peeled:
    """A head beside the model without it.

    Parameters
    ----------
    model : onnx.ModelProto
        Its one output are the logits.
    head : Head
    over : tuple of onnx.NodeProto
        A softmax and an argmax, whose axes `check_axis` checks.
    """

    model: onnx.ModelProto
    head: Head
    over: tuple[onnx.NodeProto, ...] = ()

    def check_axis(self, shape: Shape, opset: int) -> None:
        """Refuse what is taken over a part of the logits, whose shape has its batch axis.

        Raises
        ------
        BadModelFile
        """
        for node in self.over:
            _check_axis(node, shape, opset)


def _check_axis(node: onnx.NodeProto, shape: Shape, opset: int) -> None:
    largest = node.op_type == "ArgMax"
    axes = [item.i for item in node.attribute if item.name == "axis"]
    axis = axes[0] if axes else 0 if largest else 1 if opset < 13 else -1
    if not -len(shape) <= axis < max(len(shape), 1):
        raise BadModelFile(f"{_named(node)}: there is no axis {axis} of {shape}")
    axis %= max(len(shape), 1)
    over = prod(shape[axis:] if opset < 13 and not largest else shape[axis : axis + 1])
    if over != prod(shape):
        raise BadModelFile(
            f"{_named(node)}: it is taken over {over} of {prod(shape)} outputs, so the order "
            "of all of them is not that of what enters it"
        )


@dataclass(frozen=True, eq=False)
class _Trace:
    """The way back from an output of a file, as far as it has been followed.

    ``decides``: a node was met that says which class is the largest. ``rounded``: a cast to
    integers was met, and nothing before it yet that makes integers.
    """

    value: str
    head: Head
    decides: bool = False
    rounded: bool = False
    softmax: onnx.NodeProto | None = None
    argmax: onnx.NodeProto | None = None
    linear: onnx.NodeProto | None = None

    def before(self, node: onnx.NodeProto, place: int = 0, **changes: Any) -> _Trace:
        """The trace one node further back, at one of its inputs."""
        own = {
            name: changes.pop(name)
            for name in ("function", "logarithm", "classes")
            if name in changes
        }
        operators = (node.op_type, *self.head.operators)
        head = replace(self.head, operators=operators, **own)
        return replace(self, value=node.input[place], head=head, **changes)


class _Back:
    """Follows the nodes of a graph from its outputs back to logits."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.made = {name: node for node in graph.node for name in node.output if name}
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        self.inputs = {item.name for item in graph.input} - self.constants.keys()

    def trace(self, output: str, through: str) -> _Trace | None:
        """The head that ends in an output; None where there is none, or it holds constants."""
        trace: _Trace | None = _Trace(output, Head((), None))
        while trace is not None and trace.head.function is None and trace.linear is None:
            node = self.made.get(trace.value)
            step = None if node is None else STEPS.get((node.domain, node.op_type))
            if node is None or step is None or (through == "label" and node.op_type == "Sigmoid"):
                break
            trace = step(self, node, trace)
        if trace is None or not (trace.decides or trace.head.function or trace.linear):
            return None
        if trace.rounded:
            return None  # of probabilities, which are 0 then
        if "Normalizer" in trace.head.operators and trace.head.function is None:
            return None  # of numbers of either sign, whose largest may be negative
        return trace if self._varies(trace) else None

    def _varies(self, trace: _Trace) -> bool:
        """Whether the logits depend on the file's input."""
        seen: set[str] = set()
        names = [trace.linear.input[0] if trace.linear is not None else trace.value]
        while names:
            name = names.pop()
            if name in self.inputs:
                return True
            if name not in seen and name in self.made:
                seen.add(name)
                names.extend(self.made[name].input)
        return False

    def array(self, name: str) -> np.ndarray | None:
        """A constant of the file."""
        tensor = self.constants.get(name)
        node = self.made.get(name)
        if tensor is None and node is not None and node.op_type == "Constant":
            tensor = next((item.t for item in node.attribute if item.name == "value"), None)
        return None if tensor is None else numpy_helper.to_array(tensor)


_Step = Callable[[_Back, onnx.NodeProto, _Trace], _Trace | None]
STEPS: dict[tuple[str, str], _Step] = {}
"""How a node of a head is passed, by its domain and type; None ends the search without one."""


def _passes(*types: str, domain: str = "") -> Callable[[_Step], _Step]:
    def register(step: _Step) -> _Step:
        STEPS.update({(domain, name): step for name in types})
        return step

    return register


@_passes(*KEEPING)
@_passes("Normalizer", domain="ai.onnx.ml")
def _keep(_: _Back, node: onnx.NodeProto, trace: _Trace) -> _Trace | None:
    """Numbers stay, or are divided by one that is positive where they are probabilities."""
    to = next((item.i for item in node.attribute if item.name == "to"), None)
    rounded = trace.rounded or (node.op_type == "Cast" and to not in FLOATS)
    # Behind a node that moves axes, an axis is none of the logits'.
    argmax = None if node.op_type in _RESHAPING else trace.argmax
    return trace.before(node, rounded=rounded, argmax=argmax)


@_passes(*SOFTMAX)
def _at_softmax(_: _Back, node: onnx.NodeProto, trace: _Trace) -> _Trace | None:
    logarithm = node.op_type == "LogSoftmax"
    return trace.before(node, function="softmax", logarithm=logarithm, softmax=node)


@_passes("Sigmoid")
def _at_sigmoid(_: _Back, node: onnx.NodeProto, trace: _Trace) -> _Trace | None:
    function = "shares" if "Normalizer" in trace.head.operators else "sigmoid"
    return trace.before(node, function=function)


@_passes("ArgMax")
def _at_argmax(_: _Back, node: onnx.NodeProto, trace: _Trace) -> _Trace | None:
    return trace.before(node, decides=True, rounded=False, argmax=node)


@_passes("ZipMap", domain="ai.onnx.ml")
def _at_zip_map(_: _Back, node: onnx.NodeProto, trace: _Trace) -> _Trace | None:
    return trace.before(node, classes=_list(node, "classlabels_"), decides=True)


@_passes("ArrayFeatureExtractor", domain="ai.onnx.ml")
def _at_label(back: _Back, node: onnx.NodeProto, trace: _Trace) -> _Trace | None:
    """The label at a position that an argmax gives."""
    labels = back.array(node.input[0])
    if labels is None:
        return None
    classes = tuple(_text(value) for value in labels.reshape(-1))
    return trace.before(node, 1, classes=classes, rounded=False)


@_passes("LabelEncoder", domain="ai.onnx.ml")
def _at_encoder(_: _Back, node: onnx.NodeProto, trace: _Trace) -> _Trace | None:
    """Names of the positions 0, 1, ... of the classes."""
    keys, values = _list(node, "keys_"), _list(node, "values_")
    if keys != tuple(str(i) for i in range(len(values))):
        return None
    return trace.before(node, classes=values)


@_passes("Concat")
def _at_two(back: _Back, node: onnx.NodeProto, trace: _Trace) -> _Trace | None:
    """The probabilities ``1 - p`` and ``p`` of two classes, of one sigmoid."""
    if len(node.input) != 2:
        return None
    other, sigmoid = (back.made.get(name) for name in node.input)
    if other is None or sigmoid is None or sigmoid.op_type != "Sigmoid" or other.op_type != "Sub":
        return None
    one = back.array(other.input[0])
    if one is None or not (one == 1).all() or other.input[1] != node.input[1]:
        return None
    trace = trace.before(node)
    return trace.before(sigmoid, function="sigmoid")


@_passes("LinearClassifier", domain="ai.onnx.ml")
def _at_linear(_: _Back, node: onnx.NodeProto, trace: _Trace) -> _Trace | None:
    ends = {b"SOFTMAX": "softmax", b"LOGISTIC": "sigmoid", b"NONE": None}
    attributes = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    transform = attributes.get("post_transform", b"NONE")
    if transform not in ends:
        return None
    # Its first output is the label alone.
    function = None if trace.value == node.output[0] else ends[transform]
    if function == "sigmoid" and "Normalizer" in trace.head.operators:
        function = "shares"
    classes = trace.head.classes or _list(node, "classlabels_")
    rounded = trace.rounded and trace.value != node.output[0]
    found = trace.before(node, function=function, classes=classes, rounded=rounded)
    return replace(found, decides=True, linear=node)


def _list(node: onnx.NodeProto, start: str) -> tuple[str, ...]:
    """The entries of the one list among a node's attributes whose name starts so."""
    for item in node.attribute:
        if item.name.startswith(start):
            values = helper.get_attribute_value(item)
            return tuple(_text(value) for value in values)
    return ()


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def peel(model: onnx.ModelProto, outputs: Iterable[str], through: str = "peel") -> Peeled | None:
    """Cut off the head that all of some outputs of a model end in.

    Parameters
    ----------
    model : onnx.ModelProto
        Without functions of its own; stays as it is.
    outputs : iterable of str
    through : str
        ``order``, ``label`` or ``peel``, as of `Ends`.

    Returns
    -------
    Peeled or None
        None where an output ends in no head, or they end in several.
    """
    back = _Back(model.graph)
    traces = [back.trace(name, through) for name in outputs]
    found = [trace for trace in traces if trace is not None]
    if not found or len(found) < len(traces) or len({trace.value for trace in found}) > 1:
        return None
    keeping_order = {*SOFTMAX, *KEEPING}
    if through == "order" and not all(set(t.head.operators) <= keeping_order for t in found):
        return None
    # The one with probabilities says most; names may stand beside the label alone.
    first = next((t for t in found if t.head.function is not None), found[0])
    classes = next((t.head.classes for t in found if t.head.classes), ())
    head = replace(first.head, classes=classes)
    cut = onnx.ModelProto()
    cut.CopyFrom(model)
    del cut.graph.output[:]
    name = first.value if first.linear is None else _append_linear(cut.graph, first.linear)
    cut.graph.output.append(onnx.ValueInfoProto(name=name))
    taken = [node for trace in found for node in (trace.softmax, trace.argmax) if node is not None]
    # A linear classifier's scores have an axis that it names itself.
    return Peeled(cut, head, () if first.linear is not None else tuple(taken))


def _append_linear(graph: onnx.GraphProto, node: onnx.NodeProto) -> str:
    """Append the scores of a linear classifier to a graph; returns their name."""
    attributes = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    intercepts = np.asarray(attributes["intercepts"], np.float32)
    weight = np.asarray(attributes["coefficients"], np.float32).reshape(len(intercepts), -1)
    names = [f"{node.output[1]}/{part}" for part in ("weight", "offset", "product", "scores")]
    for name, values in zip(names[:2], (weight.T, intercepts), strict=True):
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
    graph.node.append(helper.make_node("MatMul", [node.input[0], names[0]], [names[2]], names[2]))
    graph.node.append(helper.make_node("Add", [names[2], names[1]], [names[3]], names[3]))
    return names[3]


def _named(node: onnx.NodeProto) -> str:
    name = node.name or next((name for name in node.output if name), node.op_type)
    return f"operator {node.op_type} (node '{name}')"
