"""ONNX models in onnxruntime, which shares no code with us."""

from __future__ import annotations

import os
from typing import Any

import onnx

from sensverify.errors import BackendMissing

_QUIET = 4
"""Level of onnxruntime's messages that lets only fatal ones through."""


def load_onnxruntime() -> Any:
    """The module onnxruntime, which reports nothing about models to anybody.

    Since 1.31 it writes an identifier of the device to the user's cache and sends events to its
    makers, unless this variable is set before its first import.

    Raises
    ------
    BackendMissing
        onnxruntime is not installed.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendMissing(
            f"models are compared with onnxruntime, which cannot be imported ({error})",
            "install it with pip install onnxruntime",
        ) from None
    return onnxruntime


def open_session(model: onnx.ModelProto) -> Any:
    """A model as it is, without onnxruntime's rewrites, on one thread.

    Raises
    ------
    BackendMissing
        onnxruntime is not installed.
    Exception
        onnxruntime does not take the model. Its exceptions have no class in common.
    """
    onnxruntime = load_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _QUIET
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    contents = model.SerializeToString()
    return onnxruntime.InferenceSession(contents, options, providers=["CPUExecutionProvider"])


def run_session(session: Any, names: list[str] | None, inputs: dict[str, Any]) -> list[Any]:
    """The outputs of some names, or all, at one input; errors as onnxruntime raises them."""
    options = load_onnxruntime().RunOptions()
    options.log_severity_level = _QUIET
    return list(session.run(names, inputs, options))
