"""ATen operators that only move numbers: shapes, slices, joins, reflected padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import torch

from sensverify.formats.modules.emitting import (
    RULES,
    Emitter,
    Variable,
    contains_variable,
    resampled,
    rule,
)
from sensverify.formats.modules.expressions import Expression, Origin, origin
from sensverify.network.operators import Concat, Pad, Permute, Scale

MOVES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        (
            "_reshape_alias",
            "_unsafe_view",
            "_upsample_nearest_exact1d",
            "_upsample_nearest_exact2d",
            "_upsample_nearest_exact3d",
            "channel_shuffle",
            "chunk",
            "diag_embed",
            "diagonal",
            "diagonal_copy",
            "expand",
            "expand_as",
            "flatten",
            "flip",
            "gather",
            "im2col",
            "index",
            "index_select",
            "masked_select",
            "narrow",
            "narrow_copy",
            "native_channel_shuffle",
            "permute_copy",
            "pixel_shuffle",
            "pixel_unshuffle",
            "ravel",
            "reflection_pad1d",
            "reflection_pad2d",
            "reflection_pad3d",
            "repeat",
            "repeat_interleave",
            "replication_pad1d",
            "replication_pad2d",
            "replication_pad3d",
            "reshape",
            "roll",
            "select",
            "select_copy",
            "slice",
            "slice_copy",
            "split",
            "split_with_sizes",
            "squeeze",
            "take_along_dim",
            "tensor_split",
            "tile",
            "tril",
            "triu",
            "unbind",
            "unflatten",
            "unfold",
            "unsafe_chunk",
            "unsafe_split",
            "unsafe_split_with_sizes",
            "unsqueeze",
            "upsample_nearest1d",
            "upsample_nearest2d",
            "upsample_nearest3d",
            "view",
            "view_as",
        ),
        (),
    ),
    "copy": ("self", "src"),
    "diagonal_scatter": ("self", "src"),
    "fill": ("self", "value"),
    "index_copy": ("self", "source"),
    "index_fill": ("self", "value"),
    "index_put": ("self", "values"),
    "masked_fill": ("self", "value"),
    "masked_scatter": ("self", "source"),
    "scatter": ("self", "src", "value"),
    "select_scatter": ("self", "src"),
    "slice_scatter": ("self", "src"),
    "where": ("self", "other"),
}
"""Operators whose every output entry is an entry of an argument, or 0; and which arguments these
are, where it is not the first alone."""

OF_A_SHAPE = ("expand_as", "view_as")
"""Those of them whose second argument counts for its shape alone."""

IDENTITIES = (
    "_to_copy",
    "alias",
    "alpha_dropout",
    "clone",
    "contiguous",
    "detach",
    "detach_",
    "dropout",
    "feature_alpha_dropout",
    "feature_dropout",
    "lift_fresh",
    "lift_fresh_copy",
    "to",
    "type_as",
)
"""Operators that do nothing here; the dropouts only where they are not training. Nothing detaches
from parameters: bounds have the gradients of the function itself."""


def rearranged(emit: Emitter, **arguments: Any) -> Any:
    """Let the operator itself move the positions of entries, and select by the outcome.

    Every entry of every source has a number of its own, in two samples, so that an operator which
    mixes the samples of a batch is found out; 0 stands for the number 0.
    """
    if arguments.get("accumulate") or arguments.get("reduce") is not None:
        emit.refuse("adds up what it writes, which is not supported", "write every entry once")
    names = MOVES.get(emit.operator) or (next(iter(arguments)),)
    sources = _Sources(emit, {n: arguments[n] for n in names if arguments.get(n) is not None})
    settings = {name: value for name, value in arguments.items() if name not in sources.positions}
    if emit.operator in OF_A_SHAPE and isinstance(shape := settings.get("other"), Variable):
        settings["other"] = torch.zeros(1).expand(emit.batch, *shape.shape)
    if contains_variable(list(settings.values())):
        emit.refuse("chooses entries by values computed from the input, which is not supported")
    try:
        outputs = emit.call.target(**sources.positions, **resampled(emit.call, settings, 2))
    except (RuntimeError, IndexError, ValueError, TypeError) as error:
        emit.refuse(f"cannot be followed sample by sample: {str(error).splitlines()[0]}")
    if isinstance(outputs, torch.Tensor):
        return sources.chosen(outputs)
    return [sources.chosen(output) for output in outputs]


class _Sources:
    """The variables and constants whose entries an operator moves, one behind the other."""

    def __init__(self, emit: Emitter, values: dict[str, Any]) -> None:
        self._emit = emit
        parts = {
            name: value if isinstance(value, Variable) else emit.sample(emit.array(value))
            for name, value in values.items()
        }
        self._variables = [part for part in parts.values() if isinstance(part, Variable)]
        self._constants = [part for part in parts.values() if not isinstance(part, Variable)]
        # The number 0, constants, variables.
        self._unset: list[int] = []
        first = self._first = 1 + sum(prod(part.shape) for part in self._constants)
        self._size = first + sum(prod(variable.shape) for variable in self._variables)
        self.positions: dict[str, Any] = {}
        constant = 1
        for name, part in parts.items():
            start = first if isinstance(part, Variable) else constant
            self.positions[name] = self._numbered(values[name], part.shape, start)
            if isinstance(part, Variable):
                self._unset += [first + place for place in part.unset]
                first += prod(part.shape)
            else:
                if origin(part) is Origin.FIXED:
                    missing = part.detach().flatten().isnan().nonzero().flatten()
                    self._unset += [constant + place for place in missing.tolist()]
                constant += prod(part.shape)

    def _numbered(self, value: Any, shape: Sequence[int], start: int) -> Any:
        """The positions of a source's entries, in the form that the operator takes it in."""
        # Padding and resampling exist for floats only; these hold every position exactly.
        one = torch.arange(start, start + prod(shape), dtype=torch.float64).reshape(tuple(shape))
        if isinstance(value, Variable):
            return torch.stack([one, one + self._size])
        if not isinstance(value, torch.Tensor | Expression):
            return float(one)
        return one.expand(2, *shape) if value.ndim > len(shape) else one

    def chosen(self, outputs: torch.Tensor) -> Any:
        """The variable, or the constant, whose entries have those positions in two samples."""
        emit = self._emit
        both = outputs.numpy().astype(np.int64)
        if len(both) != 2:
            emit.refuse_mixing()
        positions = np.asarray(both[0])
        moving = np.asarray(positions >= self._first)
        if np.any(positions >= self._size) or np.any(both[1] - positions != self._size * moving):
            emit.refuse_mixing()
        if not moving.any():
            if positions.size == 0:
                emit.refuse("leaves no entries at all")
            written = self._written(positions)
            return Expression.of(lambda v: v.expand(emit.batch, *positions.shape), written)
        unset = np.isin(positions, self._unset)
        positions, moving = np.where(unset, 0, positions), moving & ~unset
        variable = replace(self._variables[0], unset=())
        if len(self._variables) > 1:
            flat = [emit.reshape(each, (prod(each.shape),)) for each in self._variables]
            variable = emit.add(Concat(0), *flat)
        variable = emit.select(variable, np.where(moving, positions - self._first, 0))
        if not moving.all():
            constant = np.where(moving, 0, positions)
            shift = self._written(constant) if constant.any() else None
            variable = emit.add(Scale(torch.from_numpy(moving.astype(np.float64)), shift), variable)
        return replace(variable, unset=tuple(np.flatnonzero(unset).tolist()))

    def _written(self, positions: np.ndarray) -> Expression:
        """Constants at positions, and 0 at position 0."""
        places = torch.from_numpy(positions)

        def gather(*arrays: torch.Tensor) -> torch.Tensor:
            device = next((a.device for a in arrays if a.device.type != "cpu"), torch.device("cpu"))
            flat = [array.to(device).reshape(-1) for array in arrays]
            zero = torch.zeros(1, dtype=flat[0].dtype if flat else torch.float64, device=device)
            return torch.cat([zero, *flat])[places.to(device)]

        written = Expression.of(gather, *self._constants)
        if bool(written.detach().isinf().any()):
            self._emit.refuse("writes infinite numbers, and bounds are finite")
        return written


RULES.update(dict.fromkeys(MOVES, rearranged))


@rule(*IDENTITIES)
def _identity(emit: Emitter, self: Any = None, input: Any = None, **settings: Any) -> Variable:
    _refuse_dropout(emit, settings.get("train"), settings.get("p", 1.0))
    dtype = emit.call.traced.dtype
    if not dtype.is_floating_point:
        emit.refuse(f"turns values into {dtype}, which has no bounds")
    return emit.variable(input if self is None else self)


@rule("native_dropout")
def _native_dropout(emit: Emitter, input: Variable, p: float, train: bool | None) -> list[Any]:
    _refuse_dropout(emit, train, p)
    return [input, None]


def _refuse_dropout(emit: Emitter, train: bool | None, p: float) -> None:
    if train and p > 0:
        emit.refuse("drops out at random in evaluation too", "pass training=self.training to it")


@rule("permute")
def _permute(emit: Emitter, self: Variable, dims: Sequence[int]) -> Variable:
    rank = len(self.shape) + 1
    if dims[0] % rank != 0:
        emit.refuse_mixing()
    return emit.add(Permute(tuple(emit.axis(dim, rank) for dim in dims[1:])), self)


@rule("transpose", "swapaxes", "swapdims")
def _transpose(emit: Emitter, self: Variable, **dims: int) -> Variable:
    first, second = (emit.axis(dim, len(self.shape) + 1) for dim in dims.values())
    axes = list(range(len(self.shape)))
    axes[first], axes[second] = second, first
    return emit.add(Permute(tuple(axes)), self)


@rule("mT")
def _matrix_transpose(emit: Emitter, self: Variable) -> Variable:
    return _transpose(emit, self, dim0=-2, dim1=-1)


@rule("movedim", "moveaxis")
def _movedim(emit: Emitter, self: Variable, source: Any, destination: Any) -> Variable:
    rank = len(self.shape) + 1
    sources = [source] if isinstance(source, int) else source
    destinations = [destination] if isinstance(destination, int) else destination
    moves = sorted(
        (emit.axis(to, rank), emit.axis(axis, rank))
        for axis, to in zip(sources, destinations, strict=True)
    )
    axes = [axis for axis in range(rank - 1) if axis not in {s for _, s in moves}]
    for place, axis in moves:
        axes.insert(place, axis)
    return emit.add(Permute(tuple(axes)), self)


@rule("cat", "concat", "concatenate")
def _cat(emit: Emitter, tensors: Sequence[Any], dim: int = 0) -> Variable:
    axis = emit.axis(dim, max(value.ndim for value in tensors))
    # torch lets one array without entries stand beside any others.
    parts = [value for value in tensors if 0 not in value.shape]
    variables = [emit.as_variable(value, _behind(emit, value)) for value in parts]
    return variables[0] if len(variables) == 1 else emit.add(Concat(axis), *variables)


def _behind(emit: Emitter, value: Any) -> tuple[int, ...]:
    """The shape of one sample."""
    if isinstance(value, Variable):
        return value.shape
    if value.shape[0] != emit.batch:
        emit.refuse_mixing()
    return tuple(value.shape[1:])


@rule("stack")
def _stack(emit: Emitter, tensors: Sequence[Any], dim: int = 0) -> Variable:
    shape = _behind(emit, tensors[0])
    variables = [emit.as_variable(value, shape) for value in tensors]
    axis = emit.axis(dim, len(shape) + 2)
    apart = (*shape[:axis], 1, *shape[axis:])
    variables = [emit.reshape(variable, apart) for variable in variables]
    return variables[0] if len(variables) == 1 else emit.add(Concat(axis), *variables)


@rule("pad")
def _pad(
    emit: Emitter, self: Variable, pad: Sequence[int], mode: str = "constant", value: Any = None
) -> Variable:
    if mode != "constant":
        return rearranged(emit, **emit.call.arguments)
    return _constant_pad(emit, self, pad, 0.0 if value is None else value)


@rule("constant_pad_nd")
def _constant_pad(emit: Emitter, self: Variable, pad: Sequence[int], value: Any = 0) -> Variable:
    rank = len(self.shape)
    if len(pad) > 2 * rank and any(pad[2 * rank :]):
        emit.refuse_mixing()
    counts = [*pad, *(0 for _ in range(2 * rank - len(pad)))][: 2 * rank]
    before, after = tuple(counts[-2::-2]), tuple(counts[-1::-2])
    # A negative count crops.
    window = tuple(
        slice(max(-b, 0), n - max(-a, 0)) for b, a, n in zip(before, after, self.shape, strict=True)
    )
    self = emit.select(self, np.arange(prod(self.shape)).reshape(self.shape)[window])
    before, after = (tuple(max(n, 0) for n in side) for side in (before, after))
    return emit.add(Pad(before, after, float(value)), self) if any(before + after) else self
