"""ONNX sums of products: over named axes, along one axis, and over blocks that overlap."""

from __future__ import annotations

from math import prod

import numpy as np

from sensverify.formats.onnx.call import Call, Value, Variable, handles
from sensverify.formats.onnx.geometry import placement
from sensverify.formats.onnx.lowering import (
    along_axis,
    rearranged,
    reshaped,
    transposed,
)
from sensverify.formats.onnx.matrices import product
from sensverify.formats.onnx.shapes import axis_of
from sensverify.network.operators import ConvTranspose


@handles("CumSum")
def cumulative_sum(call: Call) -> Value:
    """The sum of all entries up to each, along one axis."""
    variable = call.variable(0)
    places = call.constant(1, "the axis")
    if places.size != 1:
        raise call.invalid(f"expected one axis, got {places.size}")
    axis = axis_of(call, int(places.reshape(())), len(variable.shape))
    length = variable.shape[axis]
    call.reserve((length, length))
    weight = np.tril(np.ones((length, length)), -1 if call.attribute("exclusive", 0) else 0)
    return along_axis(call, variable, axis, weight.T if call.attribute("reverse", 0) else weight)


@handles("Col2Im")
def columns_to_image(call: Call) -> Value:
    """The sum of blocks at the places they were taken from: a transposed convolution with ones."""
    variable = call.variable(0)
    image, block = call.integers(1, "the image's shape"), call.integers(2, "the block's shape")
    count, size = len(image), prod(block)
    if len(variable.shape) != 3 or len(block) != count or not 1 <= count <= 3:
        raise call.invalid(f"blocks of {block} do not fit {variable.shape} and {image}")
    batch, rows, columns = variable.shape
    stride, dilation, pads = placement(call, count)
    padded = [n + pads[i] + pads[count + i] for i, n in enumerate(image)]
    free = [n - d * (k - 1) - 1 for n, k, d in zip(padded, block, dilation, strict=True)]
    places = [n // s + 1 for n, s in zip(free, stride, strict=True)]
    if min(free) < 0 or size < 1 or rows % size or prod(places) != columns:
        raise call.invalid(f"blocks of {block} do not fit {variable.shape} and {image}")
    extra = tuple(n % s for n, s in zip(free, stride, strict=True))
    channels = batch * rows // size
    call.reserve((channels * size, size))
    weight = np.tile(np.eye(size).reshape(size, 1, *block), (channels, *(1,) * (count + 1)))
    operator = ConvTranspose(weight, None, stride, (0,) * count, extra, dilation, channels)
    node = call.emit(operator, call.node_of(variable, (channels * size, *places)))
    crop = tuple(slice(pads[i], pads[i] + n) for i, n in enumerate(image))
    result = Variable(node, (batch, rows // size, *padded))
    return rearranged(call, result, lambda values: values[(slice(None), slice(None), *crop)])


@handles("Einsum")
def einsum(call: Call) -> Value:
    """A sum of products over named axes."""
    values = [call.input(i) for i in range(len(call.inputs))]
    terms, output = _terms(call, [tuple(value.shape) for value in values])
    named = [_diagonal(call, value, term) for value, term in zip(values, terms, strict=True)]
    variables = [(v, term) for v, term in named if isinstance(v, Variable)]
    array, other = _constant_product(
        call, [(v, t) for v, t in named if not isinstance(v, Variable)]
    )
    while len(variables) > 1:
        # Two at a time, with the axes that anything else still reads.
        (first, own), (second, its), *rest = variables
        wanted = set(output) | set(other) | {letter for _, term in rest for letter in term}
        kept = "".join(letter for letter in dict.fromkeys(own + its) if letter in wanted)
        if not rest and not other:
            kept = output
        result = _contracted(call, (first, own), (second, its), kept)
        variables = [(call.as_variable(result), kept), *rest]
    if not other and array.ndim == 0 and variables[0][1] == output:
        return variables[0][0]
    return _contracted(call, variables[0], (array, other), output)


def _terms(call: Call, shapes: list[tuple[int, ...]]) -> tuple[list[str], str]:
    """One letter for each axis of every input and of the output; ``...`` is written out."""
    equation = call.attribute("equation").decode().replace(" ", "")
    left, arrow, output = equation.partition("->")
    terms = left.split(",")
    letters = set(equation) - set(".,->")
    if len(terms) != len(shapes) or not all(letter.isalpha() for letter in letters):
        raise call.invalid(f"the equation '{equation}' does not fit {len(shapes)} inputs")
    counts = [
        len(shape) - len(term.replace("...", "")) for term, shape in zip(terms, shapes, strict=True)
    ]
    if any(n < 0 or (n > 0 and "..." not in t) for n, t in zip(counts, terms, strict=True)):
        raise call.invalid(f"the equation '{equation}' does not fit {shapes}")
    longest = max((n for n, t in zip(counts, terms, strict=True) if "..." in t), default=0)
    # Private letters, which no equation may use.
    free = "".join(chr(0x2460 + i) for i in range(longest))
    if not arrow:
        single = (letter for letter in sorted(letters) if left.count(letter) == 1)
        output = ("..." if "..." in left else "") + "".join(single)
    terms = [
        term.replace("...", free[longest - n :] if n else "")
        for term, n in zip(terms, counts, strict=True)
    ]
    output = output.replace("...", free)
    if len(set(output)) < len(output) or not set(output) <= set("".join(terms)):
        raise call.invalid(f"the equation '{equation}' has no such output")
    return terms, output


def _diagonal(call: Call, value: Value, term: str) -> tuple[Value, str]:
    """A value without axes that its term names twice, which are read along the diagonal."""
    for letter in dict.fromkeys(term):
        while term.count(letter) > 1:
            first = term.index(letter)
            second = term.index(letter, first + 1)
            if value.shape[first] != value.shape[second]:
                raise call.invalid(f"the axes '{letter}' differ: {value.shape}")
            value = rearranged(
                call,
                value,
                lambda v, a=first, b=second: np.diagonal(v, axis1=a, axis2=b),  # type: ignore[misc]
            )
            term = term[:first] + term[first + 1 : second] + term[second + 1 :] + letter
    return value, term


def _constant_product(call: Call, constants: list[tuple[Value, str]]) -> tuple[np.ndarray, str]:
    """The product of all constants, with every axis that one of them has."""
    array, term = np.ones((), np.float64), ""
    for value, own in constants:
        letters = term + "".join(letter for letter in own if letter not in term)
        first = array.reshape(*array.shape, *(1,) * (len(letters) - len(term)))
        order = [own.index(letter) for letter in letters if letter in own]
        lengths = iter(value.shape[i] for i in order)
        second = np.transpose(value, order).reshape(  # type: ignore[arg-type]
            [next(lengths) if letter in own else 1 for letter in letters]
        )
        if term:
            call.refuse_inexact(first, second)
        call.reserve(np.broadcast_shapes(first.shape, second.shape))
        array, term = (first * second if term else second), letters
    return array, term


def _contracted(
    call: Call, variable: tuple[Value, str], constant: tuple[Value, str], output: str
) -> Value:
    """A matrix product, for every item of the axes that both have and the output keeps."""
    (value, own), (array, other) = variable, constant
    batch = [letter for letter in output if letter in own and letter in other]
    rows = [letter for letter in output if letter in own and letter not in other]
    columns = [letter for letter in output if letter in other and letter not in own]
    inner = [letter for letter in dict.fromkeys(own + other) if letter not in output]
    lengths: dict[str, int] = {}
    for term, shape in ((own, value.shape), (other, array.shape)):
        for letter, n in zip(term, shape, strict=True):
            if lengths.setdefault(letter, n) != n:
                lengths[letter] = max(n, lengths[letter])
    call.reserve([lengths[letter] for letter in (*batch, *rows, *inner)])
    call.reserve([lengths[letter] for letter in (*batch, *inner, *columns)])

    def arranged(value: Value, term: str, groups: list[list[str]]) -> Value:
        """The value with the axes given, repeated along those it has not, joined by groups."""
        letters = [letter for group in groups for letter in group]
        present = [term.index(letter) for letter in letters if letter in term]
        moved = transposed(call, value, tuple(present))
        own_lengths = iter(moved.shape)
        shape = tuple(next(own_lengths) if letter in term else 1 for letter in letters)
        full = tuple(lengths[letter] for letter in letters)
        spread = rearranged(
            call, reshaped(call, moved, shape), lambda values: np.broadcast_to(values, full)
        )
        sizes = [prod(lengths[letter] for letter in group) for group in groups]
        items = [lengths[letter] for letter in groups[0]]
        return reshaped(call, spread, (*items, *sizes[1:]))

    left = arranged(value, own, [batch, rows, inner])
    right = arranged(array, other, [batch, inner, columns])
    result = product(call, left, right)
    letters = [*batch, *rows, *columns]
    result = reshaped(call, result, tuple(lengths[letter] for letter in letters))
    return transposed(call, result, tuple(letters.index(letter) for letter in output))
