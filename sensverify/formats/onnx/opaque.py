"""Networks whose operators are not known here, run by onnxruntime."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from sensverify.errors import BackendFailure, BackendMissing, BadModelFile, SensverifyError
from sensverify.formats.onnx.call import without_batch_axis
from sensverify.formats.onnx.declaring import declared
from sensverify.formats.onnx.ends import Ends, exposing, inputs_of
from sensverify.formats.onnx.importer import OnnxModel
from sensverify.formats.onnx.part import Part
from sensverify.formats.onnx.reader import opset, read_file
from sensverify.formats.onnx.runtime import open_session, run_session
from sensverify.formats.onnx.tensors import FLOATS
from sensverify.network import NetworkBuilder
from sensverify.network.opaque import Opaque
from sensverify.network.signature import Signature

_TYPES: dict[int, Any] = {TensorProto.FLOAT16: np.float16, TensorProto.DOUBLE: np.float64}
_LEAST, _NEAR = 1e-30, 1e-3
"""Of probabilities: the smallest one that is told from 0, and how far their sum may be from 1."""

_TOGETHER = 3
"""Samples that are run together and one by one, to see whether a file takes several."""


def read_opaque(path: str | os.PathLike[str], *, ends: Ends, reason: str) -> OnnxModel:
    """Read an ONNX file as a network of one operator, which onnxruntime computes.

    Parameters
    ----------
    path : path
    ends : Ends
        The part of the file that is run; heads are cut off as those of other files.
    reason : str
        Why its operators are not those of a network.

    Raises
    ------
    BadModelFile, UnsupportedOperator
        The file cannot be used; see `load_onnx`.
    BackendFailure
        onnxruntime does not run it.
    """
    name = Path(path).name
    try:
        file = read_file(path)
        part = Part.of(file.model, ends)
        run = _Run.of(part)
        if part.head is not None and part.head.elementwise and not run.single:
            part = Part.of(file.model, replace(ends, head="label"))
            run = _Run.of(part)
        if part.peeled is not None:
            part.peeled.check_axis(run.found, opset(part.model))
        head = part.head
        if head is not None:
            head = replace(head, logits=prod(run.shape), single=run.single)
            if run.single:
                head = replace(head, function="softmax")
    except SensverifyError as error:
        raise error.about(name) from None
    operator = Opaque(
        run,
        run.shape,
        reason,
        gradients=False,
        parameters=_parameters(part.model),
        entries=_entries(part.model),
    )
    builder = NetworkBuilder(without_batch_axis(run.taken))
    network = builder.build(builder.add(operator, builder.input, name=name))
    return OnnxModel(
        network,
        file.sha256,
        file.external,
        head,
        part.integers,
        part.batch,
        part.output,
        _signature(part, single=run.single),
    )


def _signature(part: Part, *, single: bool) -> Signature | None:
    """The names of several inputs and outputs, whose shapes are those of outputs at zeros."""
    if not part.ports:
        return None
    names = [port.name for port in part.ended]
    size = sum(port.size for port in part.ports)
    try:
        found = run_session(
            open_session(exposing(part.file, names)), names, part.feeds(np.zeros(size))
        )
    except Exception as error:  # Its exceptions have no class in common.
        raise _failed(error) from None
    shapes = {name: np.shape(value) for name, value in zip(names, found, strict=True)}
    return part.signature(shapes.__getitem__, single=single)


@dataclass(frozen=True, eq=False)
class _Run:
    """A model in onnxruntime, as a function of batches of samples.

    Parameters
    ----------
    session, input
        The session, and the name of its input.
    taken, found : tuple of int
        Shapes of the input and of the output with a batch axis of 1, where there is one.
    number : numpy dtype
        Of the input.
    together : bool
        Several samples may be run at once.
    single : bool
        One logit is made two, each half of it.
    logarithm : bool
        The model gives probabilities, and these are the logarithms.
    """

    session: Any
    input: str
    taken: tuple[int, ...]
    found: tuple[int, ...]
    number: Any
    together: bool
    single: bool
    logarithm: bool = False

    @classmethod
    def of(cls, part: Part) -> _Run:
        (item,) = inputs_of(part.model.graph)
        taken, element = declared(item)
        try:
            session = open_session(part.model)
        except BackendMissing:
            raise
        except Exception as error:  # Its exceptions have no class in common.
            raise _failed(error) from None
        number = _TYPES.get(element, FLOATS[element])
        run = cls(session, item.name, taken, (), number, together=False, single=False)
        values = run.raw(np.zeros(taken))
        if values.dtype.kind != "f":
            raise BadModelFile(
                f"the output '{part.model.graph.output[0].name}' is a label, not a score of every "
                "class",
                "choose the scores with `output`",
            )
        single = part.peeled is not None and values.size == 1
        run = replace(run, found=values.shape, single=single)
        axes = item.type.tensor_type.shape.dim
        is_open = len(taken) > 1 and not (axes[0].HasField("dim_value") and axes[0].dim_value)
        plain = part.head is None or part.head.function is None
        return replace(
            run,
            together=is_open and run._takes_several(),
            logarithm=plain and run._gives_probabilities(),
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the outputs of one sample."""
        return (2,) if self.single else without_batch_axis(self.found)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        if self.together and len(x):
            values = self.raw(x)
        else:
            each = [self.raw(sample.reshape(self.taken)) for sample in x]
            values = np.stack([value.reshape(self.found) for value in each]) if each else x[:0]
        if self.logarithm:
            values = np.log(np.maximum(values, _LEAST))
        if self.single:
            values = values.reshape(len(x), 1) * np.array([-0.5, 0.5], values.dtype)
        return values.reshape(len(x), *self.shape)

    def raw(self, x: np.ndarray) -> np.ndarray:
        """The outputs that the session computes of an input."""
        try:
            (values,) = run_session(self.session, None, {self.input: np.asarray(x, self.number)})
        except Exception as error:  # Its exceptions have no class in common.
            raise _failed(error) from None
        if not isinstance(values, np.ndarray):
            raise BadModelFile(
                "the output is no array of numbers", "choose the scores with `output`"
            )
        return values

    def _takes_several(self) -> bool:
        """Whether the outputs of a sample do not depend on how many are run with it."""
        if self.found[:1] != (1,) or self.taken[0] != 1:
            return False
        x = np.random.default_rng(0).random((_TOGETHER, *self.taken[1:]))
        try:
            whole = self.raw(x)
        except SensverifyError:
            return False
        each = np.concatenate([self.raw(x[i : i + 1]) for i in range(_TOGETHER)])
        # Written so that a NaN says no.
        return whole.shape == each.shape and bool(
            (abs(whole - each) <= 1e-3 * (1 + abs(each).max())).all()
        )

    def _gives_probabilities(self) -> bool:
        """Whether the outputs of every sample looked at are at least 0 and sum up to 1."""
        rng = np.random.default_rng(1)
        points = [scale * rng.normal(size=self.taken) for scale in (0.0, 0.1, 1.0, 10.0, 255.0)]
        values = np.stack([self.raw(point).reshape(-1) for point in points]).astype(np.float64)
        # Written so that a NaN says no.
        whole = (values >= 0).all() and (abs(values.sum(axis=1) - 1) <= _NEAR).all()
        return values.shape[1] > 1 and bool(whole)


def _failed(error: Exception) -> BackendFailure:
    first = str(error).strip().split("\n")[0]
    return BackendFailure(f"onnxruntime does not run the model: {first}")


def _parameters(model: onnx.ModelProto) -> int:
    """Numbers in the floating-point constants of a model."""
    return sum(prod(t.dims) for t in model.graph.initializer if t.data_type in FLOATS)


def _entries(model: onnx.ModelProto) -> int:
    """Numbers that the values of a model hold for one sample, as far as their shapes are known."""
    try:
        items = onnx.shape_inference.infer_shapes(model).graph.value_info
    except Exception:  # It only says how many samples are run at once.
        return 0
    return sum(map(_size, items))


def _size(item: onnx.ValueInfoProto) -> int:
    axes: Iterable[Any] = item.type.tensor_type.shape.dim
    return prod(max(1, int(axis.dim_value)) for axis in axes)
