"""The original file, run by onnxruntime on one sample at a time."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from sensverify.formats.onnx.ends import WHOLE, Ends, begin_at, end_at, exposing, needed_alone
from sensverify.formats.onnx.functions import inlined
from sensverify.formats.onnx.heads import Head
from sensverify.formats.onnx.part import feeds
from sensverify.formats.onnx.reader import read_model
from sensverify.formats.onnx.runtime import open_session, run_session
from sensverify.network.signature import Signature

_TYPES = {
    "tensor(float16)": np.float16,
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    **{f"tensor({u}int{n})": np.dtype(f"{u}int{n}") for u in ("", "u") for n in (8, 16, 32, 64)},
}


class OriginalFile:
    """A file as it is, opened for a network that was read from it.

    Parameters
    ----------
    path : Path
        ``.onnx`` or ``.onnx.gz``.
    ends : Ends
        The part of the file that the network is.
    head : Head or None
        What was cut off behind the network.
    signature : Signature or None
        The names of several inputs and outputs.

    Raises
    ------
    Exception
        onnxruntime does not take the file. Its exceptions have no class in common.
    """

    def __init__(
        self,
        path: Path,
        ends: Ends = WHOLE,
        head: Head | None = None,
        signature: Signature | None = None,
    ) -> None:
        model = read_model(path)
        if ends.output is not None:
            model = exposing(model, [ends.output])
        if ends.beside:
            model = exposing(inlined(model), ends.beside)
        if ends.input is not None:
            # The network begins inside: what is run is the part behind that.
            model = inlined(model)
            if ends.output is not None:
                model = end_at(model, ends.output)
            model = needed_alone(begin_at(model, ends.input, ends.shape))
        self._session = open_session(model)
        self._signature = signature
        self._input = self._session.get_inputs()[0]
        self._names = None if ends.output is None else [ends.output, *ends.beside]
        self._shape, self._head = ends.shape, head
        if ends.shapes:
            # Of several inputs the signature has them.
            self._shape = ends.shapes[0][1]

    @property
    def dtype(self) -> Any:
        """Type of the file's input in numpy; of several inputs, one that holds all their numbers.

        `kinds` then has the type of each.
        """
        return np.float64 if self._signature is not None else _TYPES[self._input.type]

    @property
    def kinds(self) -> tuple[tuple[slice, Any], ...]:
        """The type of every input, with the places of its numbers; none where there is one input.

        An integer that chooses rows of a table is taken for one input of its own.
        """
        ports = () if self._signature is None else self._signature.inputs
        return tuple((port.part, np.dtype(port.dtype).type) for port in ports)

    def outputs(self, sample: np.ndarray) -> np.ndarray:
        """Outputs of one sample, flattened; scores of classes where a head was cut off.

        Parameters
        ----------
        sample : numpy array in the type of the file's input

        Returns
        -------
        numpy array, shape ``[outputs]`` or ``[classes]``
            The largest score is that of the class the file decides on: a probability, or 1 and 0
            where the file has a label alone.
        """
        if self._signature is not None:
            return self._of_all(sample, self._signature)
        declared = list(self._input.shape)
        if self._shape is not None:
            declared = [*declared[: len(declared) - len(self._shape)], *self._shape]
        shape = [n if isinstance(n, int) else 1 for n in declared]
        # A file that takes several samples at once gets the one that often.
        copies = max(1, prod(shape) // max(sample.size, 1))
        together = np.concatenate([sample.reshape(-1)] * copies).reshape(shape)
        found = run_session(self._session, self._names, {self._input.name: together})
        if self._head is None:
            return np.asarray(found[0]).reshape(copies, -1)[0]
        return self._scores(found, copies)

    def _of_all(self, sample: np.ndarray, signature: Signature) -> np.ndarray:
        found = run_session(self._session, self._names, feeds(signature.inputs, sample.reshape(-1)))
        if self._head is not None:
            return self._scores(found, 1)
        return np.concatenate([np.asarray(value).reshape(-1) for value in found])

    def _scores(self, found: Sequence[Any], copies: int) -> np.ndarray:
        assert self._head is not None
        label = ""
        for value in found:
            if isinstance(value, list):
                # onnxruntime sorts a map by its keys.
                named = {str(key): entry for key, entry in value[0].items()}
                return np.array([named[each] for each in self._head.classes])
            values = np.asarray(value).reshape(copies, -1)[0]
            if values.dtype.kind == "f":
                return np.stack([1 - values[0], values[0]]) if values.size == 1 else values
            label = str(values[0])
        classes = self._head.classes or tuple(str(i) for i in range(self._head.logits))
        return np.array([float(name == label) for name in classes])
