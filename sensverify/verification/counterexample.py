"""Counterexamples: inputs in a sample's box at which its class has lost its place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from sensverify.verification.replay import Replayed


@dataclass(frozen=True, eq=False)
class Counterexample:
    """One input in a sample's box, and what the original model makes of it.

    Parameters
    ----------
    input : numpy array, shape ``[*input_shape]``
        As the file took it, in the type of the file's input; the sample itself, where that is
        predicted otherwise already.
    outputs : numpy array, shape ``[outputs]``
        As onnxruntime gave them, or an object without a file, flattened. Of a file whose softmax,
        sigmoid or label was cut off, these are the scores of the classes that it makes of the
        logits: probabilities, or 1 and 0 where it has a label alone. With a threshold there are
        two: minus and plus half of the distance of the file's one output (its probability, where
        it ends in a sigmoid) from the threshold.
    prediction : int
        The class it has there: the largest output.
    outside : int
        Features that are just outside of the box, since it holds no number of the file's type
        there.
    sample : numpy array or None, shape ``[*input_shape]``
        The sample itself, as the data has it: the middle of the box where only a box was given.
    """

    input: np.ndarray
    outputs: np.ndarray
    prediction: int
    outside: int = 0
    sample: np.ndarray | None = None

    @classmethod
    def of(cls, replayed: Replayed) -> Counterexample:
        """Of an input that was run by the original model."""
        prediction = int(replayed.outputs.argmax())
        return cls(replayed.point, replayed.outputs, prediction, replayed.outside)

    def __repr__(self) -> str:
        return f"Counterexample(input {self.input.shape}, prediction {self.prediction})"


def example_arrays(found: Iterable[tuple[int, int, int, np.ndarray]]) -> dict[str, np.ndarray]:
    """Arrays about inputs that change a class, one row for each.

    Parameters
    ----------
    found : iterable of (index, class, class it becomes, input)
        The number of the sample, the class it should keep, the one it has at the input.

    Returns
    -------
    dict
        ``x``, the inputs, ``[examples, *input_shape]``; ``y``, the classes to be kept; ``becomes``
        and ``index``, all int64. Arrays of no examples have the shape ``[0]``.
    """
    rows = list(found)
    return {
        "x": np.array([x for *_, x in rows]),
        "y": np.array([kept for _, kept, *_ in rows], dtype=np.int64),
        "becomes": np.array([becomes for *_, becomes, _ in rows], dtype=np.int64),
        "index": np.array([index for index, *_ in rows], dtype=np.int64),
    }
