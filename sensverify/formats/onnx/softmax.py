"""Softmax inside of a network, which has no bounds here."""

from __future__ import annotations

from sensverify.formats.onnx.call import Call, Value, handles
from sensverify.formats.onnx.heads import SOFTMAX


@handles(*SOFTMAX)
def softmax(call: Call) -> Value:
    """Refused: only at the end of a network it is cut off; see `sensverify.formats.onnx.heads`."""
    raise call.refusal(
        "its outputs have no bounds here. Where it ends the network, labels are verified "
        "through it, and properties that only compare outputs",
        "for anything else export the model without it",
    )
