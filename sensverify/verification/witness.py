"""An input that meets a property when the original file is run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sensverify.verification.replay import Replayed


@dataclass(frozen=True, eq=False)
class Witness:
    """An input that meets the property when onnxruntime runs the original file.

    Parameters
    ----------
    inputs : numpy array, shape ``[inputs]``, float64
        Numbers that the type of the model's input holds exactly, inside the property's exact box.
        Where that holds no number of the type (an input fixed to 0.1, in float32), the nearest.
    outputs : numpy array, shape ``[outputs]``, float64
        What onnxruntime gave; they meet the property's constraints exactly.
    case : int
        Which of the property's input boxes it lies in.
    outside : int
        Inputs that are the nearest number of their type, as no other is in the box.
    """

    inputs: np.ndarray
    outputs: np.ndarray
    case: int
    outside: int

    @classmethod
    def of(cls, found: Replayed, case: int) -> Witness:
        """The replayed input as a witness, in float64."""
        inputs = found.point.astype(np.float64).ravel()
        return cls(inputs, found.outputs.astype(np.float64), case, found.outside)
