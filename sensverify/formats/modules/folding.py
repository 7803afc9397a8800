"""Constant folding: operators of a trace on constants, and those that only take a shape."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import nan
from typing import Any

import torch
from torch import Tensor

from sensverify.formats.modules.emitting import Call, Emitter, Variable, rule
from sensverify.formats.modules.expressions import Expression, Origin, current, origin

ITEMS = ("item", "_local_scalar_dense")
"""Operators that turn an array of one number into the number."""

UNSET = ("empty", "empty_strided", "empty_permuted", "empty_like", "new_empty", "new_empty_strided")
"""Operators whose numbers mean nothing before they are written to: NaN here, which no network
takes."""

SHAPED = ("new_zeros", "new_ones", "new_full", "new_empty", "new_empty_strided")
"""Operators that take no more than the dtype from the value they are called on."""

FILLS = {"zeros_like": 0, "ones_like": 1, "new_zeros": 0, "new_ones": 1}


def folded(call: Call, values: list[Any], settings: dict[str, Any]) -> Any:
    """Outcome of an operator on constants: an expression where live arrays take part."""
    if torch.Tag.nondeterministic_seeded in getattr(call.target, "tags", ()):
        call.refuse("draws random numbers in evaluation too; bounds hold for one fixed function")
    if call.operator in ITEMS and values[0].dtype.is_floating_point:
        # The number stays live as an array without axes.
        return values[0]

    def compute() -> Any:
        present = {name: current(value) for name, value in settings.items()}
        return call.target(*current(values), **present)

    everything = [*values, *settings.values()]
    try:
        with torch.no_grad():
            now = compute()
    except Exception as error:
        call.refuse(f"fails on the module's constants: {type(error).__name__}: {error}")
    source = origin(everything)
    if call.operator in UNSET and now.is_floating_point():
        now, source = now.fill_(nan), Origin.FIXED
    if call.operator == "lift_fresh_copy":
        # The copy of what a module's source writes down, such as torch.tensor([1., 2.]).
        source = Origin.FIXED
    if isinstance(now, Tensor):
        if source is Origin.FIXED:
            return Expression.fixed(now)
        return Expression(compute, now.shape, now.dtype, source)
    if isinstance(now, list | tuple):
        return [
            Expression(partial(_item_of, compute, i), part.shape, part.dtype, source)
            for i, part in enumerate(now)
        ]
    if source is Origin.PARAMETER and now is not None:
        call.refuse("takes a number out of parameters, which training changes")
    return now


def _item_of(compute: Callable[[], Any], index: int) -> Tensor:
    return compute()[index]


@rule("sym_size", "sym_numel", "size")
def _size(emit: Emitter, self: Variable, dim: int | None = None) -> Any:
    shape = (emit.batch, *self.shape)
    return shape if dim is None else shape[dim]


@rule("zeros_like", "ones_like", "full_like", "empty_like")
def _like(emit: Emitter, self: Variable, dtype: Any = None, **settings: Any) -> Any:
    """A constant with the shape of a variable: one sample's, repeated."""
    one = torch.zeros((1, *self.shape), dtype=emit.call.traced.dtype)
    value = settings.get("fill_value", FILLS.get(emit.operator, nan))
    return Expression.fixed(one.fill_(value).expand(emit.batch, *self.shape))


@rule(*SHAPED)
def _new(emit: Emitter, self: Variable, size: Any, **settings: Any) -> Any:
    value = settings.get("fill_value", FILLS.get(emit.operator, nan))
    return Expression.fixed(torch.full(tuple(size), value, dtype=emit.call.traced.dtype))
