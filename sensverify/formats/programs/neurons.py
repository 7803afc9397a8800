"""The neurons that columns of a program stand for, and their bounds, as JSON and as npz."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from sensverify.formats.arrays import npz_bytes
from sensverify.formats.programs.program import Program


def neurons_to_json(program: Program, about: Mapping[str, Any]) -> str:
    """Columns by name, and bounds by node.

    Parameters
    ----------
    program : Program
    about : mapping
        What stands before them, as JSON values.
    """
    columns = {
        each.name: {"role": each.role, "node": each.node, "index": list(each.index)}
        for each in program.columns
    }
    neurons = {
        each.prefix: {
            "node": each.node,
            "operator": each.operator,
            "lower": each.lower.tolist(),
            "upper": each.upper.tolist(),
        }
        for each in program.neurons
    }
    parts = [*about.items(), ("columns", columns), ("neurons", neurons)]
    return "{" + ",\n".join(_line(*part) for part in parts) + "}\n"


def _line(name: str, value: Any) -> str:
    """One entry of an object; an object of objects has a line for each."""
    head = f"{json.dumps(name)}: "
    if isinstance(value, dict) and all(isinstance(each, dict) for each in value.values()):
        return head + "{" + ",\n ".join(_line(*each) for each in value.items()) + "}"
    return head + json.dumps(value, allow_nan=False)


def neurons_to_npz(program: Program) -> bytes:
    """Bounds as ``PREFIX_lower`` and ``PREFIX_upper``, and those of ``input`` and ``output``."""
    arrays: dict[str, np.ndarray] = {}
    for role in ("input", "output"):
        place = program.of_role(role)
        arrays |= {f"{role}_lower": program.lower[place], f"{role}_upper": program.upper[place]}
    for each in program.neurons:
        arrays |= {f"{each.prefix}_lower": each.lower, f"{each.prefix}_upper": each.upper}
    return npz_bytes(arrays)
