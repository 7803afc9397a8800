"""Agreement of onnxruntime with the importer on a file, node by node.

A certificate is about the network that was read, and a runtime runs the file: where the two read
it differently, what is proven of one is untrue of the other. So every node is evaluated on the
very numbers that onnxruntime hands to it, at inputs of several sizes, and its output compared:
rounding explains little of one node, and no later node hides a difference.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, replace
from math import prod, sqrt
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from sensverify.errors import RuntimeDisagrees, SensverifyError
from sensverify.formats.onnx.call import Value, Variable
from sensverify.formats.onnx.part import Part, check_whole
from sensverify.formats.onnx.runtime import open_session, run_session
from sensverify.formats.onnx.samples import LEAST, MOST, WORK, multiplications, sample_points
from sensverify.network import Node
from sensverify.network.running import (
    BFLOAT16,
    FLOAT16,
    FLOAT32,
    FLOAT64,
    Precision,
    Running,
    apply,
    known,
)
from sensverify.network.shapes import Shape

WITH_GRAPHS = ("If", "SequenceMap")
"""Operators with graphs, not all of which is run."""
_STANDARD = ("", "ai.onnx")
_LOG = logging.getLogger(__name__)

_PRECISIONS: dict[int, tuple[Precision, Any]] = {
    TensorProto.FLOAT: (FLOAT32, np.float32),
    TensorProto.DOUBLE: (FLOAT64, np.float64),
    TensorProto.FLOAT16: (FLOAT16, np.float16),
    TensorProto.BFLOAT16: (BFLOAT16, np.float32),
}
_READABLE = frozenset(
    f"tensor({name})"
    for name in (
        "float",
        "double",
        "float16",
        "bool",
        *(f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64)),
    )
)
"""Types that onnxruntime hands to numpy: not bfloat16."""
_NUMBERS = 1 << 25
"""Most numbers that the values of all nodes at all points may have; `LEAST` points always are."""
_LONG = 1 << 33
"""Products of one point from which a line says that reading takes its time."""
_TRUST = "or take this reading for the right one with `runtime_check=False`"


@dataclass(frozen=True, eq=False)
class LoweredNode:
    """An ONNX node and what was made of it.

    Parameters
    ----------
    node : onnx.NodeProto
    places : range
        Positions of the network's nodes that were emitted for it.
    inputs : tuple of Value or None
    outputs : tuple of (str, Value)
        By their names in the file.
    """

    node: onnx.NodeProto
    places: range
    inputs: tuple[Value | None, ...]
    outputs: tuple[tuple[str, Value], ...]

    def __str__(self) -> str:
        name = self.node.name or next((name for name in self.node.output if name), "")
        return f"operator {self.node.op_type} (node '{name}')"


@dataclass(frozen=True, eq=False)
class ImportRecord:
    """Record of the import of a file.

    Parameters
    ----------
    part : Part
        The part of a file that was read.
    input : str
    shape : tuple of int
        Shape of the input, with a batch axis of 1.
    element : int
        ONNX element type of the input.
    nodes : tuple of Node
        Everything that was emitted, in order.
    steps : tuple of LoweredNode
        The ONNX nodes that the output needs, in order.
    """

    part: Part
    input: str
    shape: Shape
    element: int
    nodes: tuple[Node, ...]
    steps: tuple[LoweredNode, ...]

    @property
    def work(self) -> int:
        """Products of one evaluation, about."""
        return sum(multiplications(node) for node in self.nodes)


def check_agreement(record: ImportRecord) -> None:
    """Compare every node with onnxruntime's.

    Raises
    ------
    RuntimeDisagrees
        A node's output differs by more than rounding explains, or has another shape: the first
        such node is named. Or onnxruntime does not take the file, or fails to run it.
    BackendMissing
    """
    size = sum(prod(node.shape) for node in record.nodes)
    count = max(LEAST, min(MOST, WORK // (record.work + 1), _NUMBERS // size))
    if record.work > _LONG:
        _LOG.warning(
            "comparing the model with onnxruntime at %d inputs, of some %.0f billion products "
            "each, takes its time; `runtime_check=False` leaves it out",
            count,
            record.work / 1e9,
        )
    precision, dtype = _PRECISIONS[record.element]
    points = list(sample_points(count, record.shape, precision, dtype))
    try:
        session = _session(record)
        names = [o.name for o in session.get_outputs() if o.type in _READABLE]
        inputs = [{record.input: x.reshape(record.shape)} for x in points]
        found = [run_session(session, names, x) for x in inputs]
    except SensverifyError:
        raise
    except Exception as error:  # Its exceptions have no class in common.
        raise RuntimeDisagrees(
            f"onnxruntime does not run the model: {_complaint(error)}",
            f"export it as a model that onnxruntime runs, {_TRUST}",
        ) from None
    theirs = {name: [values[i] for values in found] for i, name in enumerate(names)}
    check_whole(record.part, record.shape, precision, dtype)
    _Comparison(record, theirs, precision).run(np.stack(points))


class _Comparison:
    """Values of our nodes while onnxruntime's take their place, one ONNX node after the other."""

    def __init__(
        self, record: ImportRecord, theirs: dict[str, list[Any]], precision: Precision
    ) -> None:
        self._record, self._theirs, self._precision = record, theirs, precision
        self._values: dict[int, Running] = {}

    def run(self, points: np.ndarray) -> None:
        nodes = self._record.nodes
        self._values[0] = known(points.reshape(len(points), *nodes[0].shape))
        last = _last_uses(self._record)
        for number, step in enumerate(self._record.steps):
            for place in step.places:
                inputs = [self._values[i] for i in nodes[place].inputs]
                self._values[place] = apply(nodes[place].operator, inputs, self._precision)
            for name, ours in step.outputs:
                if name not in self._theirs:
                    continue
                if isinstance(ours, Variable):
                    self._compare(step, name, ours)
                else:
                    self._compare_constant(step, name, ours)
            for place in [p for p in self._values if last.get(p, 0) <= number and p != 0]:
                del self._values[place]

    def _compare(self, step: LoweredNode, name: str, ours: Variable) -> None:
        """Compare an output, then let onnxruntime's numbers take the place of ours."""
        theirs, (value, error) = self._both(step, name, ours)
        unit, least = self._precision.unit, self._precision.least
        with np.errstate(all="ignore"):
            margin = error + 2 * unit * abs(value) + least + self._interpolation_margin(step)
            # Not finite: overflow in its type, on both sides or beyond what is known of ours.
            wrong = np.isfinite(value) & np.isfinite(margin) & ~(abs(theirs - value) <= margin)
        if wrong.any():
            point, entry = (int(i) for i in np.argwhere(wrong)[0])
            at = tuple(int(i) for i in np.unravel_index(entry, ours.shape))
            there = f"{theirs[point, entry]:g} at entry {at}"
            here = f"{value[point, entry]:g} ± {margin[point, entry]:.1g}"
            raise _differs(step, name, there, here)
        self._values[ours.node] = known(theirs.reshape(len(theirs), *self._shape(ours.node)))

    def _both(
        self, step: LoweredNode, name: str, ours: Variable
    ) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
        """An output by onnxruntime; ours, with its rounding error; each ``[points, entries]``."""
        theirs = self._theirs.pop(name)
        _check_shape(step, name, theirs[0], ours)
        value, error = (side.reshape(len(theirs), -1) for side in self._values[ours.node])
        return np.stack(theirs).astype(np.float64).reshape(value.shape), (value, error)

    def _interpolation_margin(self, step: LoweredNode) -> Any:
        """Largest error of interpolation by rounding of coordinates in a runtime, by point."""
        value = step.inputs[0] if step.inputs else None
        modes = [item.s for item in step.node.attribute if item.name == "mode"]
        if step.node.op_type not in ("Resize", "Upsample") or modes in ([], [b"nearest"]):
            return 0.0
        if not isinstance(value, Variable):
            return 0.0
        lengths = [n for _, ours in step.outputs for n in (*ours.shape, *value.shape)]
        largest = abs(self._values[value.node].value).reshape(len(self._values[0].value), -1)
        # A coordinate of a few roundings, on up to three axes; the slopes of weights are below 2.
        return 96 * self._precision.unit * max(lengths) * largest.max(axis=1, keepdims=True)

    def _shape(self, place: int) -> Shape:
        return self._record.nodes[place].shape

    def _compare_constant(self, step: LoweredNode, name: str, ours: np.ndarray) -> None:
        theirs = np.asarray(self._theirs.pop(name)[0])
        _check_shape(step, name, theirs, ours)
        if np.array_equal(theirs, ours, equal_nan=ours.dtype.kind == "f"):
            return
        worst = int(np.argmax((theirs != ours).reshape(-1)))
        if ours.dtype.kind == "f" and theirs.dtype.kind not in "biu":
            with np.errstate(all="ignore"):
                off = abs(theirs.astype(np.float64) - ours.astype(np.float64))
            largest = float(off.max())
            if largest <= _constant_margin(step, ours, self._precision.unit):
                # What follows is computed with other weights there.
                relative = largest / max(float(abs(ours).max()), self._precision.least)
                weights = max(self._precision.weights, relative)
                self._precision = replace(self._precision, weights=weights)
                return
            worst = int(np.argmax(np.where(np.isnan(off), np.inf, off).reshape(-1)))
        both = (values.reshape(-1)[worst] for values in (theirs, ours))
        raise _differs(step, name, *(str(value) for value in both))


def _constant_margin(step: LoweredNode, ours: np.ndarray, unit: float) -> float:
    """Largest error of a constant by other rounding, relative to all that enters it."""
    inputs = [v for v in step.inputs if isinstance(v, np.ndarray) and v.dtype.kind == "f"]
    sizes = [float(abs(v).max(initial=0.0)) for v in inputs]
    count = max([1, *(v.size for v in inputs)])
    scale = max([float(abs(ours).max(initial=0.0)), *sizes])
    if step.node.op_type in ("Gemm", "MatMul"):
        scale = max(scale, inputs[0].shape[-1] * prod(sizes[:2]))
    elif ours.size < count:
        scale *= count / max(ours.size, 1)
    return min((64 + 4 * sqrt(count)) * unit, 0.05) * scale


def _last_uses(record: ImportRecord) -> dict[int, int]:
    """Last step that reads or compares a node, by the node's position."""
    last: dict[int, int] = {}
    for number, step in enumerate(record.steps):
        for place in step.places:
            last |= dict.fromkeys(record.nodes[place].inputs, number)
        last |= {ours.node: number for _, ours in step.outputs if isinstance(ours, Variable)}
    return last


def _session(record: ImportRecord) -> Any:
    """The file in onnxruntime, with the values of every node as outputs beside its own."""
    _check_crashes(record)
    model = onnx.ModelProto()
    model.CopyFrom(record.part.model)
    outputs = {item.name for item in model.graph.output}
    model.graph.output.extend(
        onnx.ValueInfoProto(name=name)
        for step in record.steps
        for name, _ in step.outputs
        if name not in outputs
    )
    needed = [step.node for step in record.steps]
    if len(needed) < len(model.graph.node) or any(node.op_type in WITH_GRAPHS for node in needed):
        open_session(record.part.model)
        # A node or branch that the output does not need must be one that onnxruntime takes. It is
        # not run: nothing bounds what it computes.
        del model.graph.node[:]
        model.graph.node.extend(needed)
    return open_session(model)


def _check_crashes(record: ImportRecord) -> None:
    """Refuse what ends a process that hands it to onnxruntime."""
    versions = {item.domain: item.version for item in record.part.model.opset_import}
    (standard,) = {versions[domain] for domain in _STANDARD if domain in versions}
    for step in record.steps:
        domain = step.node.domain
        version = standard if domain in _STANDARD else versions[domain]
        outputs = onnx.defs.get_schema(step.node.op_type, version, domain).outputs
        for place, name in enumerate(step.node.output):
            option = outputs[min(place, len(outputs) - 1)].option
            if not name and option != onnx.defs.OpSchema.FormalParameterOption.Optional:
                raise RuntimeDisagrees(
                    f"{step}: its output {place} has no name, which ends onnxruntime",
                    f"give it one, {_TRUST}",
                )


def _check_shape(step: LoweredNode, name: str, theirs: np.ndarray, ours: Value) -> None:
    if theirs.shape != ours.shape:
        raise _differs(step, name, f"of shape {theirs.shape}", f"of {ours.shape}")


def _differs(step: LoweredNode, name: str, theirs: str, ours: str) -> RuntimeDisagrees:
    attributes = ", ".join(
        f"{item.name}={_short(onnx.helper.get_attribute_value(item))}"
        for item in step.node.attribute
        if item.type not in (onnx.AttributeProto.TENSOR, onnx.AttributeProto.GRAPH)
    )
    return RuntimeDisagrees(
        f"{step} means something else to onnxruntime: its output '{name}' is {theirs} there and "
        f"{ours} here; what is proven of one would be untrue of the other",
        f"export the model without this node{f' ({attributes})' if attributes else ''}, {_TRUST}",
    )


def _short(value: Any) -> str:
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _complaint(error: Exception) -> str:
    """onnxruntime's complaint without its own code for it."""
    text = " ".join(str(error).split()) or type(error).__name__
    # Some begin with a place in its source and a C++ function with its parameters.
    text = re.sub(r"/\S+:\d+ .*?\)(?: const)?(?: \[with .*?\])? (?=\S)", "", text)
    return text.rpartition("[ONNXRuntimeError] : ")[2].split(" : ", 2)[-1][:300].rstrip(". ")
