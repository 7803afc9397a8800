"""The end of a classifier's file that certificates of its logits leave out."""

from __future__ import annotations

from dataclasses import dataclass

from sensverify.formats.onnx import OnnxModel
from sensverify.formats.onnx.heads import KEEPING, SOFTMAX


@dataclass(frozen=True)
class Ending:
    """The nodes behind the logits: they make probabilities or a label of them.

    Parameters
    ----------
    value : str
        Name of the file's value that the network ends in.
    operators : tuple of str
        ONNX types of the nodes behind it, up to the file's output.
    halves : bool
        That value is one logit, of the second of two classes; the network's outputs are minus and
        plus half of it.
    """

    value: str
    operators: tuple[str, ...]
    halves: bool = False

    @classmethod
    def of(cls, model: OnnxModel) -> Ending | None:
        """The end that was cut off when a file was read; None where nothing was."""
        if model.head is None:
            return None
        return cls(model.output, model.head.operators, model.head.single)

    @property
    def keeps_order(self) -> bool:
        """Whether the file's outputs are in the order of the network's, each of each."""
        return set(self.operators) <= {*SOFTMAX, *KEEPING}

    def __str__(self) -> str:
        logit = "minus and plus half of the value" if self.halves else "the value"
        return f"{logit} '{self.value}' before {', '.join(self.operators)}"
