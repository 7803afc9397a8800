"""Products of two values that are computed from the input."""

from __future__ import annotations

from math import prod

import numpy as np

from sensverify.formats import products
from sensverify.formats.modules.emitting import Emitter, Variable
from sensverify.formats.products import Entries


def product_of(emit: Emitter, first: Variable, second: Variable) -> Variable:
    """``x * y`` of variables of one shape."""
    return emit.node(products.product(emit, first.position, second.position))


def matrices_multiplied(emit: Emitter, first: Variable, second: Variable) -> Variable:
    """``X @ Y`` of every sample, with as many axes on either side, two or more."""
    if len(first.shape) != len(second.shape) or len(first.shape) < 2:
        emit.refuse(
            f"multiplies samples of shapes {first.shape} and {second.shape}; supported are "
            "matrices with as many axes in front of them"
        )
    node = products.matrix_product(emit, _entries(first), _entries(second))
    return emit.reshape(emit.node(node), emit.shape(node)[:-1])


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
    kept = shape[: len(output)]
    sides: list[Entries] = []
    for term, variable in zip(terms, (first, second), strict=True):
        position, places = _entries(variable)
        # A letter that is there twice reads the diagonal; one of length 1 is repeated.
        axes = np.indices(shape, sparse=True)
        picks = tuple(
            axes[letters.index(letter)] if n > 1 else np.zeros((), np.int64)
            for letter, n in zip(term, variable.shape, strict=True)
        )
        sides.append((position, np.broadcast_to(places[picks], shape).reshape(*kept, -1)))
    return emit.reshape(emit.node(products.contracted(emit, *sides)), kept)


def _entries(variable: Variable) -> Entries:
    return variable.position, np.arange(prod(variable.shape)).reshape(variable.shape)
