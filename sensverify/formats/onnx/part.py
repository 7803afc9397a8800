"""The part of a file that is read as a network, and its agreement with the whole file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx

from sensverify.errors import BadModelFile, RuntimeDisagrees, SensverifyError
from sensverify.formats.onnx.ends import (
    Ends,
    batch_of,
    begin_at,
    end_at,
    exposing,
    inputs_of,
    needed_alone,
    unknown,
    with_batch_of_one,
    with_shape,
    without_casts,
)
from sensverify.formats.onnx.functions import inlined
from sensverify.formats.onnx.heads import Head, Peeled, peel
from sensverify.formats.onnx.joining import NUMPY, joined
from sensverify.formats.onnx.runtime import open_session, run_session
from sensverify.formats.onnx.samples import LEAST, sample_points
from sensverify.formats.onnx.tensors import FLOATS, OTHERS, type_name
from sensverify.network.running import Precision
from sensverify.network.shapes import Shape
from sensverify.network.signature import Port, Signature

_UNITS = 64
"""Roundings that may lie between a runtime's softmax and ours."""


@dataclass(frozen=True, eq=False)
class Part:
    """The part of a file that is a network.

    Parameters
    ----------
    file : onnx.ModelProto
    model : onnx.ModelProto
        The nodes that are read: with functions put in place, without what was cut off.
    outputs : tuple of str
        Outputs of the file that the model's one output, and the head behind it, give.
    peeled : Peeled or None
        The head that was cut off.
    integers : str or None
        Type of the file's input, where that is an integer type and the model's is real.
    batch : int
        Samples that the file takes at once; the model takes one.
    inner : bool
        The model begins inside of the file.
    ports : tuple of Port
        The inputs that the model's one input is made of, where there are several or it chooses rows
        of a table; else none.
    ended : tuple of Port
        The outputs that the model's one output is made of, without their shapes.
    """

    file: onnx.ModelProto
    model: onnx.ModelProto
    outputs: tuple[str, ...]
    peeled: Peeled | None
    integers: str | None
    batch: int
    inner: bool
    ports: tuple[Port, ...] = ()
    ended: tuple[Port, ...] = ()

    @property
    def head(self) -> Head | None:
        """The head that was cut off."""
        return None if self.peeled is None else self.peeled.head

    @property
    def output(self) -> str:
        """Name of the value that the model ends in."""
        return str(self.model.graph.output[0].name)

    @classmethod
    def of(cls, file: onnx.ModelProto, ends: Ends) -> Part:
        """The part of a file between its ends.

        Raises
        ------
        BadModelFile
            There is not one input and one output, and it is not said which is meant; or no such
            value.
        UnsupportedOperator
            A function of the file cannot be put in place.
        """
        model = inlined(file)
        own = [item.name for item in inputs_of(model.graph)]
        if ends.input is not None:
            model = begin_at(model, ends.input, ends.shape)
        if ends.output is not None:
            model = end_at(model, ends.output)
        if ends.input is not None:
            model = needed_alone(model)
        if ends.beside:
            model = _with_outputs(model, ends.beside)
        names = tuple(item.name for item in model.graph.output)
        if len(inputs_of(model.graph)) == 1 and ends.shape is not None:
            model = with_shape(model, ends.shape)
        for name, shape in ends.shapes:
            model = with_shape(model, shape, name)
        model, integers = without_casts(model)
        # Whoever names the whole shape says that its first axis is no batch.
        whole = ends.shape is not None or bool(ends.shapes)
        batch = batch_of(model) if ends.head in ("label", "peel") and not whole else 1
        if batch > 1:
            model = with_batch_of_one(model, batch)
        found = None
        if ends.head != "keep":
            found = peel(model, names, ends.head)
            model = model if found is None else found.model
        inputs = inputs_of(model.graph)
        if not inputs or not model.graph.output:
            raise BadModelFile("the model has no input, or no output", "export it with both")
        begun = [item.name for item in inputs]
        inner = not set(begun) <= set(own) or len(begun) < len(own)
        ended = tuple(Port(each.name, (), _type(each)) for each in model.graph.output)
        ports: tuple[Port, ...] = ()
        several = len(inputs) > 1 or len(ended) > 1
        if several and batch > 1:
            raise BadModelFile(
                f"the model takes {batch} samples at once, and has {_counted(ended, 'output')}",
                "choose one with `output`, or export it with a batch axis that is left open",
            )
        if len(ended) > 1:
            _check_real(model.graph.output)
        if several or inputs[0].type.tensor_type.elem_type in OTHERS:
            model, ports = joined(model)
            if integers is not None:
                ports = (replace(ports[0], dtype=integers),)
        return cls(file, model, names, found, integers, batch, inner, ports, ended)

    def signature(self, shape_of: Callable[[str], Shape], *, single: bool) -> Signature | None:
        """The names of inputs and outputs, where there are several or integers choose rows.

        Parameters
        ----------
        shape_of : callable
            Gives the shape of a value by its name.
        single : bool
            Whether two logits were made of one.
        """
        if not self.ports:
            return None
        outputs = [replace(port, shape=shape_of(port.name)) for port in self.ended]
        if single:
            outputs = [replace(outputs[0], shape=(1, 2))]
        return Signature.of(self.ports, outputs)

    def feeds(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """The file's own inputs by their names, of one sample of the model's."""
        return feeds(self.ports, values.reshape(-1))


def feeds(ports: Sequence[Port], values: np.ndarray) -> dict[str, np.ndarray]:
    """The numbers of several inputs as what a runtime takes, by name."""
    placed = Signature.of(ports, ()).inputs
    return {p.name: values[p.part].reshape(p.shape).astype(p.dtype) for p in placed}


def _with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    made = {value for node in model.graph.node for value in node.output if value}
    for name in names:
        if name not in made:
            raise unknown("value", name, made)
    return exposing(model, names)


def _check_real(outputs: Sequence[onnx.ValueInfoProto]) -> None:
    """Refuse labels and maps of names beside other outputs."""
    for item in outputs:
        kind = item.type.tensor_type.elem_type
        known = item.HasField("type")
        if known and not (item.type.HasField("tensor_type") and kind in FLOATS):
            what = type_name(kind) if item.type.HasField("tensor_type") else "a sequence or a map"
            raise BadModelFile(
                f"the model has {_counted(outputs, 'output')}, of which '{item.name}' holds "
                f"{what}; expected real numbers",
                "choose one with `output`",
            )


def _type(item: onnx.ValueInfoProto) -> str:
    return NUMPY.get(item.type.tensor_type.elem_type, "float32")


def _counted(items: Any, what: str) -> str:
    if len(items) == 1:
        return f"1 {what}"
    return f"{len(items)} {what}s ({', '.join(item.name for item in items)})"


def check_whole(part: Part, shape: Shape, precision: Precision, dtype: Any) -> None:
    """Compare a file, as it is, with what its head makes of the part that was read.

    Parameters
    ----------
    part : Part
    shape : tuple of int
        Of the part's input, with a batch axis of 1.
    precision : Precision
        Of the part.
    dtype : numpy dtype
        In which onnxruntime takes the part's input.

    Raises
    ------
    RuntimeDisagrees
        An output is another one by more than rounding explains, or another class is decided on; or
        onnxruntime does not run the file.
    """
    if part.model is part.file or part.inner:
        return
    own = {item.name for item in part.file.graph.output}
    if part.file.functions and not own.issuperset(part.outputs):
        return  # inside of a function: no value of the file itself
    points = list(sample_points(2 * LEAST, shape, precision, dtype))
    if part.ports:
        points = [_taken(part.ports, x.reshape(-1)).astype(dtype) for x in points]
    elif part.integers is not None:
        (item,) = inputs_of(part.file.graph)
        limits = np.iinfo(OTHERS[item.type.tensor_type.elem_type])
        points = [np.clip(np.rint(x), limits.min, limits.max).astype(dtype) for x in points]
    if part.batch > 1:
        points = (points * part.batch)[: part.batch]
    try:
        values, found = _both(part, points, shape)
    except SensverifyError:
        raise
    except Exception as error:  # Its exceptions have no class in common.
        hint = f"was exported for {part.batch} samples at once, and " if part.batch > 1 else ""
        raise RuntimeDisagrees(
            f"the model {hint}does not run in onnxruntime as it was read: {error}",
            "export it with a batch axis that is left open",
        ) from None
    for value, theirs in zip(values, found, strict=True):
        logits = np.asarray(value, np.float64).reshape(1, -1)
        head = part.head
        if head is not None and logits.size == 1:
            head = replace(head, function="softmax")
            logits = np.concatenate([-logits, logits], axis=1) / 2
        # What overflows is compared node by node.
        if np.isfinite(logits).all():
            names = part.outputs if len(theirs) > 1 else (", ".join(part.outputs),)
            for output, each in zip(names, theirs, strict=True):
                _compare(head, output, each, logits, precision.unit)


def _both(
    part: Part, points: Sequence[np.ndarray], shape: Shape
) -> tuple[list[Any], list[list[Any]]]:
    """Values that onnxruntime computes of the part that was read, and of the whole file."""
    whole = open_session(exposing(part.file, part.outputs))
    read = open_session(part.model)
    name, wanted = inputs_of(part.model.graph)[0].name, list(part.outputs)
    values = [run_session(read, None, {name: x.reshape(shape)})[0] for x in points]
    if part.ports:
        found = [run_session(whole, wanted, part.feeds(x)) for x in points]
        if part.head is None and len(wanted) > 1:
            # Joined, as they are read.
            rows = [[np.asarray(v, np.float64).reshape(-1) for v in row] for row in found]
            found = [[np.concatenate(row)] for row in rows]
        return values, found
    (item,) = inputs_of(part.file.graph)
    kind = item.type.tensor_type.elem_type
    taken = points if part.integers is None else [x.astype(OTHERS[kind]) for x in points]
    if part.batch == 1:
        return values, [run_session(whole, wanted, {item.name: x.reshape(shape)}) for x in taken]
    together = np.concatenate([x.reshape(shape) for x in taken])
    outputs = run_session(whole, wanted, {item.name: together})
    return values, [[_row(value, i) for value in outputs] for i in range(part.batch)]


def _taken(ports: Sequence[Port], values: np.ndarray) -> np.ndarray:
    """Numbers of all inputs with those of integers made integers that the inputs may be."""
    values = values.copy()
    for port in Signature.of(ports, ()).inputs:
        if not port.integer:
            continue
        own, limits = np.rint(values[port.part]), np.iinfo(port.dtype)
        if port.values is not None:
            low, high = port.values
            own = low + np.mod(own, high - low + 1)
        values[port.part] = np.clip(own, limits.min, limits.max)
    return values


def _row(value: Any, place: int) -> Any:
    return value[place : place + 1]


def _compare(head: Head | None, name: str, value: Any, logits: np.ndarray, unit: float) -> None:
    """Compare one output of one sample: a label, numbers, or a map from classes to them."""
    if isinstance(value, list):
        (entries,) = value
        classes = () if head is None else head.classes
        # onnxruntime sorts a map by its keys.
        named = {str(key): entry for key, entry in entries.items()}
        if sorted(named) != sorted(classes):
            raise _differs(name, f"for the classes {', '.join(named)}", ", ".join(classes))
        value = np.array([named[each] for each in classes])
    values = np.asarray(value).reshape(-1)
    if head is not None and values.dtype.kind != "f":
        _compare_label(head, name, values, logits, unit)
        return
    # Sums in another order, as functions in the place of their calls bring them.
    margin = 1e-5 + 1e-4 * abs(logits).max(initial=0.0)
    expected = logits
    if head is not None and head.function is not None:
        expected = head.probabilities(logits)
        if head.logarithm:
            shifted = logits - logits.max()
            expected = shifted - np.log(np.exp(shifted).sum())
        margin = _UNITS * unit * (1 + (abs(logits).max() if head.logarithm else 0))
    expected = expected[0, -values.size :]
    # Written so that a NaN differs.
    if expected.size != values.size or not (abs(values - expected) <= margin).all():
        raise _differs(name, values[:4], expected[:4])


def _compare_label(
    head: Head, name: str, values: np.ndarray, logits: np.ndarray, unit: float
) -> None:
    each = logits[0]
    second, first = np.sort(each)[-2:]
    expected = head.classes[int(each.argmax())] if head.classes else str(int(each.argmax()))
    near = first - second <= _UNITS * unit * (1 + abs(each).max())
    if values.size != 1 or (not near and str(values[0]) != expected):
        raise _differs(name, ", ".join(str(v) for v in values), expected)


def _differs(name: str, theirs: Any, ours: Any) -> RuntimeDisagrees:
    return RuntimeDisagrees(
        f"the model as a whole means something else to onnxruntime than its nodes as they were "
        f"read: its output '{name}' is {theirs} there and {ours} here",
        "export it without functions, and so that it ends in the logits",
    )
