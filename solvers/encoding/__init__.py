"""Networks as linear and mixed-integer programs: plain sparse arrays, no solver."""

# The rules register themselves on import.
from sensverify.solvers.encoding import (
    increments,
    maximum,
    piecewise,
    product,
    share,
    smooth,
    steps,
)
from sensverify.solvers.encoding.builder import Form, InputsInRows, Owners
from sensverify.solvers.encoding.encode import SEGMENTS, Encoder, Encoding, Interval, Refine
from sensverify.solvers.encoding.piecewise import pieces
from sensverify.solvers.encoding.problem import Problem
from sensverify.solvers.encoding.rules import encode_operator

__all__ = [
    "SEGMENTS",
    "Encoder",
    "Encoding",
    "Form",
    "InputsInRows",
    "Interval",
    "Owners",
    "Problem",
    "Refine",
    "encode_operator",
    "pieces",
]

del (
    increments,
    maximum,
    piecewise,
    product,
    share,
    smooth,
    steps,
)
