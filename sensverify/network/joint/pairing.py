"""Operators of two networks that do the same with other numbers."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from sensverify.network.graph import Network
from sensverify.network.operators import Clip, LeakyRelu, Operator


def paired(old: Network, new: Network) -> bool | None:
    """True where two simplified networks are the same graph, but for their numbers; else None."""
    if len(old.nodes) != len(new.nodes):
        return None
    for before, after in zip(old.nodes, new.nodes, strict=True):
        same = before.inputs == after.inputs and before.shape == after.shape
        if not same or not _same_kind(before.operator, after.operator):
            return None
    return True


def alike(old: Operator, new: Operator) -> bool:
    """Whether two operators are the same, numbers included."""
    return type(old) is type(new) and all(
        _equal(getattr(old, item.name), getattr(new, item.name)) for item in fields(old)
    )


def _same_kind(old: Operator, new: Operator) -> bool:
    """The same operator, but for weights: what has no array is the same altogether."""
    if type(old) is not type(new):
        return False
    if isinstance(old, Clip | LeakyRelu):
        return True
    for item in fields(old):
        values, others = getattr(old, item.name), getattr(new, item.name)
        if _is_weight(values) or _is_weight(others):
            # A bias may be left out.
            shapes = {getattr(v, "shape", None) for v in (values, others) if v is not None}
            if len(shapes) > 1 and type(old).__name__ != "Scale":
                return False
        elif not _equal(values, others):
            return False
    return True


def _is_weight(values: Any) -> bool:
    return hasattr(values, "dtype") and np.asarray(values).dtype.kind == "f"


def _equal(values: Any, others: Any) -> bool:
    if isinstance(values, Operator):
        return isinstance(others, Operator) and alike(values, others)
    if hasattr(values, "dtype") or hasattr(others, "dtype"):
        if values is None or others is None:
            return False
        return np.array_equal(np.asarray(values), np.asarray(others))
    return bool(values == others)
