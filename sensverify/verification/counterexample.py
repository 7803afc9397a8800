"""Counterexamples: inputs in a sample's box at which its class has lost its place."""

from __future__ import annotations

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
    """

    input: np.ndarray
    outputs: np.ndarray
    prediction: int
    outside: int = 0

    @classmethod
    def of(cls, replayed: Replayed) -> Counterexample:
        """Of an input that was run by the original model."""
        prediction = int(replayed.outputs.argmax())
        return cls(replayed.point, replayed.outputs, prediction, replayed.outside)

    def __repr__(self) -> str:
        return f"Counterexample(input {self.input.shape}, prediction {self.prediction})"
