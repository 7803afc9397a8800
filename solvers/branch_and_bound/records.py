"""Many items with the same fields, one array a field."""

from __future__ import annotations

from dataclasses import fields
from math import prod
from typing import Any, Self

import torch
from torch import Tensor


class Records:
    """Base of dataclasses whose fields are tensors, or dicts of tensors, ``[items, ...]``."""

    def __len__(self) -> int:
        return next(len(values) for values in self._columns() if isinstance(values, Tensor))

    def __getitem__(self, chosen: Tensor | slice) -> Self:
        return type(self)(*(_taken(values, chosen) for values in self._columns()))

    def __add__(self, other: Self) -> Self:
        pairs = zip(self._columns(), other._columns(), strict=True)
        return type(self)(*(_joined(*pair) for pair in pairs))

    @property
    def bytes_each(self) -> int:
        """Memory that one item takes."""
        return sum(_size(values) for values in self._columns())

    def _columns(self) -> list[Any]:
        return [getattr(self, item.name) for item in fields(self)]  # type: ignore[arg-type]


def _taken(values: Any, chosen: Tensor | slice) -> Any:
    """Some items of an array, or of each in a dict."""
    if isinstance(values, dict):
        return {key: _taken(array, chosen) for key, array in values.items()}
    return values[chosen]


def _joined(mine: Any, theirs: Any) -> Any:
    """Two arrays, or two dicts of them, one after the other."""
    if isinstance(mine, dict):
        return {key: _joined(array, theirs[key]) for key, array in mine.items()}
    return torch.cat([mine, theirs])


def _size(values: Any) -> int:
    if isinstance(values, dict):
        return sum(_size(array) for array in values.values())
    return prod(values.shape[1:]) * int(values.element_size())
