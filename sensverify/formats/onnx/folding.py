"""Nodes that read constants alone, computed by onnxruntime: what a file means by them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from sensverify.errors import BackendMissing
from sensverify.formats.onnx.call import Call, Value
from sensverify.formats.onnx.runtime import open_session, run_session
from sensverify.formats.onnx.tensors import STORED

UNDEFINED = (
    "Bernoulli",
    "Multinomial",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
)
"""Operators that draw random numbers: a file with one defines no function."""

UNBOUNDED = ("Loop", "Scan")
"""Operators that may compute for ever."""

EXACT = (
    "Abs",
    "ArgMax",
    "ArgMin",
    "CenterCropPad",
    "Clip",
    "Compress",
    "DequantizeLinear",
    "EyeLike",
    "GatherND",
    "GlobalMaxPool",
    "Hardmax",
    "IsInf",
    "IsNaN",
    "MaxPool",
    "NonZero",
    "OneHot",
    "Pad",
    "ReduceMax",
    "ReduceMin",
    "Relu",
    "ReverseSequence",
    "Round",
    "Scatter",
    "ScatterElements",
    "ScatterND",
    "TopK",
    "Trilu",
    "Unique",
)
"""Operators that compare and move real numbers, or compute with one rounding for each."""

ANY_LENGTH = ("Compress", "NonZero", "Unique")
"""Operators whose result is as long as its values make it, and no longer than ``rank * size``."""

SMALL = 1024
"""Inputs with at most so many numbers are shown to shape inference: they may be lengths."""


def computed(call: Call) -> list[Value]:
    """The outputs of a node whose inputs are all constants, by onnxruntime in the node's types.

    The sizes of the outputs are counted before anything is computed.

    Raises
    ------
    UnsupportedOperator
        The node draws random numbers, may compute for ever, is unknown to onnxruntime or makes
        none of the types a network is computed in; or parameters are wanted exactly as the file
        has them, and it computes with real numbers what runtimes do not agree on.
    BadModelFile
        Its inputs do not fit, or its outputs are too large.
    """
    _check_kind(call)
    model = _model(call)
    inferred = _inferred(call, model)
    results: list[Value] = []
    for name, values in zip(inferred, _run(call, model, list(inferred)), strict=True):
        kind = inferred[name].elem_type
        if kind not in STORED or not isinstance(values, np.ndarray):
            raise call.refusal("what it computes is no array of numbers")
        if call.operator_type not in EXACT and not any(v.dtype.kind == "f" for v in call.arrays):
            call.refuse_inexact(values)
        results.append(values.astype(STORED[kind], copy=False))
    return results


def _check_kind(call: Call) -> None:
    if call.operator_type in UNDEFINED:
        raise call.refusal("it draws random numbers, so the file defines no function")
    if call.operator_type in UNBOUNDED:
        raise call.refusal("loops are not supported", "unroll it before exporting")
    adds = call.attributes.get("reduction", b"none") != b"none"
    if call.operator_type not in EXACT or adds:
        call.refuse_inexact(*call.arrays)


def _model(call: Call) -> onnx.ModelProto:
    """The node alone. Small inputs are initializers too, for shape inference."""
    node = onnx.NodeProto()
    node.CopyFrom(call.node)
    del node.input[:]
    inputs, stored = [], []
    for i, value in enumerate(call.inputs):
        node.input.append("" if value is None else f"input{i}")
        if isinstance(value, np.ndarray):
            kind = helper.np_dtype_to_tensor_dtype(value.dtype)
            inputs.append(helper.make_tensor_value_info(f"input{i}", kind, value.shape))
            if value.size <= SMALL:
                stored.append(numpy_helper.from_array(value, f"input{i}"))
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
    graph = helper.make_graph([node], "node", inputs, outputs, stored)
    versions = [helper.make_opsetid("", call.opset)]
    return helper.make_model(graph, opset_imports=versions, ir_version=8)


def _inferred(call: Call, model: onnx.ModelProto) -> dict[str, TensorProto]:
    """The type of every output by its name, counted and written into the model."""
    try:
        done = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except (shape_inference.InferenceError, ValueError, TypeError) as error:
        raise call.invalid(f"{error}") from None
    kinds: dict[str, Any] = {}
    for item in done.graph.output:
        kind = item.type.tensor_type
        lengths = [d.dim_value if d.HasField("dim_value") else -1 for d in kind.shape.dim]
        if kind.HasField("shape") and min(lengths, default=0) >= 0:
            call.reserve(lengths)
        elif call.operator_type in ANY_LENGTH:
            call.reserve([sum(max(1, v.ndim) * v.size for v in call.arrays)])
        else:
            raise call.refusal("how large its result is cannot be told before it is computed")
        kinds[item.name] = kind
    model.graph.CopyFrom(done.graph)
    return kinds


def _run(call: Call, model: onnx.ModelProto, names: list[str]) -> list[Any]:
    del model.graph.initializer[:]
    feeds = {f"input{i}": v for i, v in enumerate(call.inputs) if isinstance(v, np.ndarray)}
    try:
        return run_session(open_session(model), names, feeds)
    except BackendMissing:
        raise
    except Exception as error:  # Its exceptions have no class in common.
        raise call.refusal(f"onnxruntime cannot compute it from constants: {error}") from None
