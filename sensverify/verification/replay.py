"""Inputs replayed through the original ONNX file by onnxruntime, which shares no code with us."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from sensverify.box import Box
from sensverify.formats.onnx.reader import read_model

_LOG = logging.getLogger(__name__)
_QUIET = 4
"""Of onnxruntime's messages, only what ends the process."""
_KINDS = {"tensor(float16)": np.float16, "tensor(float)": np.float32, "tensor(double)": np.float64}


class Replay:
    """An ONNX file in onnxruntime, opened when there is a first input to replay.

    What onnxruntime cannot run confirms nothing; one message in the log says so.

    Parameters
    ----------
    path : Path
        ``.onnx`` or ``.onnx.gz``.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._session: Any = None
        self._failed = False

    def confirmed(self, points: np.ndarray, box: Box, labels: np.ndarray) -> np.ndarray:
        """Points, in the type of the file's input, where some output is above the label's.

        Parameters
        ----------
        points : numpy array, shape ``[batch, *input_shape]``
            Moved into the box, and rounded to the type of the file's input towards its inside. A
            box without a number of that type (a fixed feature of 0.1, in float32) confirms nothing.
        box : Box of numpy arrays, shape ``[batch, *input_shape]``
        labels : numpy array, shape ``[batch]``, integer

        Returns
        -------
        Boolean numpy array, shape ``[batch]``
        """
        found = np.zeros(len(points), dtype=bool)
        # One at a time: a file may hold one sample's batch axis, also inside of its graph.
        for i, (point, label) in enumerate(zip(points, labels, strict=True)):
            if self._failed:
                break
            try:
                found[i] = self._changes(point, box.lower[i], box.upper[i], int(label))
            except Exception as error:  # Its exceptions have no class in common.
                self._failed = True
                _LOG.warning(
                    "onnxruntime cannot run the model (%s): inputs that change a label are not "
                    "confirmed, and their samples stay undecided",
                    type(error).__name__,
                )
        return found

    def _changes(self, point: np.ndarray, lower: np.ndarray, upper: np.ndarray, label: int) -> bool:
        if self._session is None:
            self._session = _open(self._path)
        (declared,) = self._session.get_inputs()
        rounded = _rounded_inside(point, lower, upper, _KINDS[declared.type])
        if rounded is None:
            return False
        shape = [n if isinstance(n, int) else 1 for n in declared.shape]
        (output,) = self._session.run(None, {declared.name: rounded.reshape(shape)}, _run_options())
        values = np.asarray(output).ravel()
        return bool(np.isfinite(values).all() and (values > values[label]).any())


def _open(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _QUIET
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # The file as it is, without onnxruntime's rewrites.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    contents = read_model(path).SerializeToString()
    return onnxruntime.InferenceSession(contents, options, providers=["CPUExecutionProvider"])


def _run_options() -> Any:
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.log_severity_level = _QUIET
    return options


def _rounded_inside(
    point: np.ndarray, lower: np.ndarray, upper: np.ndarray, kind: Any
) -> np.ndarray | None:
    """The point in another floating type, inside the box; None where the type has none nearby."""
    with np.errstate(over="ignore"):
        rounded = np.clip(point.astype(np.float64), lower, upper).astype(kind)
        rounded = np.where(rounded > upper, np.nextafter(rounded, kind(-np.inf)), rounded)
        rounded = np.where(rounded < lower, np.nextafter(rounded, kind(np.inf)), rounded)
    inside = (rounded >= lower) & (rounded <= upper)
    return rounded if bool(inside.all()) else None
