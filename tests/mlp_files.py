"""Small fully-connected networks as ONNX files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def save_mlp_file(
    path: Path, *layers: tuple[np.ndarray, np.ndarray], last: str | None = None
) -> Path:
    """Write affine layers (weight ``[out, in]``, bias ``[out]``) with ReLU between them."""
    nodes, constants, source = [], [], "x"
    for k, (weight, bias) in enumerate(layers):
        for name, values in ((f"w{k}", weight), (f"b{k}", bias)):
            constants.append(numpy_helper.from_array(np.asarray(values, dtype=np.float32), name))
        nodes.append(
            helper.make_node("Gemm", [source, f"w{k}", f"b{k}"], [f"y{k}"], transB=1, name=f"fc{k}")
        )
        source = f"y{k}"
        if k < len(layers) - 1:
            nodes.append(helper.make_node("Relu", [source], [f"r{k}"], name=f"act{k}"))
            source = f"r{k}"
    if last is not None:
        nodes.append(helper.make_node(last, [source], ["last"], name="odd one"))
        source = "last"
    inputs, outputs = layers[0][0].shape[1], layers[-1][0].shape[0]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", inputs])],
        [helper.make_tensor_value_info(source, TensorProto.FLOAT, ["batch", outputs])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path
