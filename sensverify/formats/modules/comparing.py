"""Comparison of two imports of one module."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sensverify.formats.modules.expressions import Expression, current
from sensverify.network import Network
from sensverify.network.operators import Operator


def same_function(first: Network, second: Network) -> bool:
    """True where two networks are built alike, with equal values at present in every array."""
    return len(first.nodes) == len(second.nodes) and all(
        one.inputs == two.inputs
        and one.shape == two.shape
        and _same_operator(one.operator, two.operator)
        for one, two in zip(first.nodes, second.nodes, strict=True)
    )


def _same_operator(first: Operator, second: Operator) -> bool:
    return type(first) is type(second) and all(
        _same(getattr(first, item.name), getattr(second, item.name)) for item in fields(first)
    )


def _same(first: Any, second: Any) -> bool:
    if first is second:
        return True
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        return np.array_equal(first, second)
    if isinstance(first, Tensor | Expression) and isinstance(second, Tensor | Expression):
        with torch.no_grad():
            one, two = current(first), current(second)
            if one.shape != two.shape:
                return False
            # NaN is left to where weights are checked.
            return bool(((one == two) | ((one != one) & (two != two))).all())
    return bool(first == second)
