"""Products of two values that are computed from the input."""

from __future__ import annotations

from math import prod

import numpy as np
import torch

from sensverify.formats.modules.emitting import Emitter, Variable
from sensverify.network.operators import Affine, Concat, Product, Square


def product_of(emit: Emitter, first: Variable, second: Variable) -> Variable:
    """``x * y`` of variables of one shape."""
    if first == second:
        return emit.add(Square(), first)
    shape = first.shape
    places = (np.arange(prod(shape)).reshape(shape) for _ in range(2))
    return _products(emit, first, second, *places)


def matrices_multiplied(emit: Emitter, first: Variable, second: Variable) -> Variable:
    """``X @ Y`` of every sample, with as many axes on either side, two or more."""
    if len(first.shape) != len(second.shape) or len(first.shape) < 2:
        emit.refuse(
            f"multiplies samples of shapes {first.shape} and {second.shape}; supported are "
            "matrices with as many axes in front of them"
        )
    left, right = (np.arange(prod(v.shape)).reshape(v.shape) for v in (first, second))
    left, right = left[..., :, None, :], np.swapaxes(right, -1, -2)[..., None, :, :]
    shape = np.broadcast_shapes(left.shape, right.shape)
    pairs = (np.broadcast_to(each, shape) for each in (left, right))
    return _summed(emit, _products(emit, first, second, *pairs), 1)


def contracted(
    emit: Emitter, terms: tuple[str, str], output: str, first: Variable, second: Variable
) -> Variable:
    """An einsum of two variables: letters name the axes of one sample; what is left is summed."""
    lengths: dict[str, int] = {}
    for term, variable in zip(terms, (first, second), strict=True):
        for letter, n in zip(term, variable.shape, strict=True):
            lengths[letter] = max(n, lengths.get(letter, 1))
    inner = "".join(letter for letter in lengths if letter not in output)
    letters = output + inner
    shape = tuple(lengths[letter] for letter in letters)
    pairs = []
    for term, variable in zip(terms, (first, second), strict=True):
        places = np.arange(prod(variable.shape)).reshape(variable.shape)
        # A letter that is there twice reads the diagonal; one of length 1 is repeated.
        axes = np.indices(shape, sparse=True)
        picks = tuple(
            axes[letters.index(letter)] if n > 1 else np.zeros((), np.int64)
            for letter, n in zip(term, variable.shape, strict=True)
        )
        pairs.append(np.broadcast_to(places[picks], shape))
    return _summed(emit, _products(emit, first, second, *pairs), len(inner))


def _products(
    emit: Emitter, first: Variable, second: Variable, left: np.ndarray, right: np.ndarray
) -> Variable:
    """Products of an entry of the first variable and one of the second."""
    if first == second:
        both, offset = first, 0
    else:
        flat = [emit.reshape(each, (prod(each.shape),)) for each in (first, second)]
        both, offset = emit.add(Concat(0), *flat), prod(first.shape)
    return emit.add(Product(), emit.select(both, np.stack([left, right + offset], axis=-1)))


def _summed(emit: Emitter, variable: Variable, axes: int) -> Variable:
    """The sum over the last axes."""
    kept = variable.shape[: len(variable.shape) - axes]
    size = prod(variable.shape[len(kept) :])
    if size == 1:
        return emit.reshape(variable, kept)
    flat = emit.reshape(variable, (*kept, size))
    return emit.reshape(emit.add(Affine(torch.ones(1, size, dtype=torch.float64)), flat), kept)
