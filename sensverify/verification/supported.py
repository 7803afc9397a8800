"""Which queries in VNN-LIB 2 are answered, in the words of its standard."""

from __future__ import annotations

import onnx

from sensverify.formats.onnx import importer
from sensverify.formats.onnx.call import HANDLERS

OLDEST = 7
"""First operator set that is read."""


def supported(capability: str) -> list[str]:
    """The lines that a solver prints of a capability.

    Parameters
    ----------
    capability : str
        ``onnx-operators``, ``vnnlib-versions``, ... as the standard names them.
    """
    assert importer, "it registers the operators"
    lines = {
        "onnx-opset-versions": [str(OLDEST), str(onnx.defs.onnx_opset_version())],
        "onnx-element-types": ["float32", "real"],
        "onnx-operators": sorted(name for name in HANDLERS if "." not in name),
        "vnnlib-versions": ["2.0", "2.1"],
        "hidden-node-theories": ["H"],
        "multiple-input-output-theories": ["MIO"],
        "multiple-network-theories": ["MNET"],
        "multiple-node-comparison-theories": ["MNC"],
        "arithmetic-complexity-theories": ["POLY"],
        "optimised-disjunctive-reasoning": ["false"],
        "serialise-assignments": ["true"],
    }
    return lines[capability]
