"""The steps of a network with the neurons of its hidden layers in another order: an equal network.

Nobody who says an order is believed. Each has to be one-to-one, of a function whose numbers no
input and no output is; rows of the weights before it and columns of those after it then move
together, or the order is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sensverify.certificates.check.functions import ENCLOSURES
from sensverify.certificates.check.program import (
    Block,
    Blocks,
    Gather,
    Linear,
    Map,
    Nonlinear,
    Program,
    Step,
)
from sensverify.errors import BadSetting
from sensverify.network.operators import LeakyRelu

Index = np.ndarray
"""Of a value in another order: the place that each of its numbers had."""


@dataclass(frozen=True)
class Order:
    """The order in which one nonlinear function's neurons are to stand.

    Parameters
    ----------
    function : int
        Its number among the nonlinear functions of the network, from 0.
    neurons : tuple of int
        The neuron as the file stores it, for each place. The numbers that enter the function are
        as many runs of one length, such as the channels of a convolution.
    """

    function: int
    neurons: tuple[int, ...]


def reordered(program: Program, orders: Sequence[Order]) -> Program:
    """The steps of an equal network, whose neurons stand in these orders.

    Parameters
    ----------
    program : Program
    orders : sequence of Order

    Raises
    ------
    BadSetting
        An order is none, or the network would be another one.
    """
    if not orders:
        return program
    moved = _spread(program, _asked(program, orders))
    steps = (_step(step, place, moved, program.sizes) for place, step in enumerate(program.steps))
    return Program(tuple(steps), program.sizes, program.entries)


def _asked(program: Program, orders: Sequence[Order]) -> dict[int, Index]:
    """The values that enter and leave the functions, each in its new order."""
    functions, moved = program.nonlinear, dict[int, Index]()
    for order in orders:
        if not 0 <= order.function < len(functions):
            raise _no_order(order, f"the network has {len(functions)} nonlinear functions")
        place, step = functions[order.function]
        count = len(order.neurons)
        # Of Python's numbers: none is too large for a comparison.
        if not count or sorted(order.neurons) != list(range(count)):
            raise _no_order(order, "it does not name every neuron once")
        if step.window > 1 or step.size % count:
            raise _no_order(
                order, f"the function makes {step.size} numbers of {step.size * step.window}"
            )
        if step.source == 0 or place == len(program.steps) - 1:
            raise _no_order(order, "inputs and outputs keep their places")
        runs = np.arange(step.size).reshape(count, -1)
        index = runs[np.array(order.neurons)].reshape(-1)
        for value in (step.source, place):
            if not np.array_equal(moved.setdefault(value, index), index):
                raise _no_order(order, "another one is about the same numbers")
    return moved


def _no_order(order: Order, reason: str) -> BadSetting:
    return BadSetting(
        f"the order of neurons at nonlinear function {order.function} is none: {reason}",
        "give `pair=False` for a certificate of both networks beside each other",
    )


def _spread(program: Program, moved: dict[int, Index]) -> dict[int, Index]:
    """Orders of the values from which, and to which, numbers go one by one.

    They cost or gain width alone; that both sides of every function move alike is what has to be.
    """
    last = len(program.steps) - 1
    places = list(_one_by_one(program))
    for place, source in places:
        if source in moved and place != last:
            moved.setdefault(place, moved[source])
    for place, source in reversed(places):
        if place in moved and isinstance(program.steps[source], Linear):
            moved.setdefault(source, moved[place])
    for number, (place, step) in enumerate(program.nonlinear):
        before, after = moved.get(step.source), moved.get(place)
        alike = before is not None and after is not None and np.array_equal(before, after)
        if not alike and (before is not None or after is not None):
            raise _no_order(
                Order(number, ()), "what enters it and what leaves it are in different ones"
            )
    return moved


def _one_by_one(program: Program) -> Iterator[tuple[int, int]]:
    """Values each of whose numbers is one of the same place, and from which value."""
    for place, step in enumerate(program.steps):
        if isinstance(step, Linear) and len(step.terms) == 1:
            ((source, part),) = step.terms
            size = program.sizes[source]
            if isinstance(part, Gather) and np.array_equal(part.index, np.arange(size)):
                yield place, source


def _step(step: Step, place: int, moved: dict[int, Index], sizes: tuple[int, ...]) -> Step:
    index = moved.get(place)
    if isinstance(step, Nonlinear):
        return step if index is None else replace(step, function=_function(step, index))
    if not isinstance(step, Linear):
        return step
    terms = tuple(
        (source, _map(part, index, moved.get(source), sizes[source])) for source, part in step.terms
    )
    constant = step.constant if step.constant is None or index is None else step.constant[index]
    return Linear(terms, constant, step.size)


def _function(step: Nonlinear, index: Index) -> Any:
    operator = step.function.operator
    if isinstance(operator, LeakyRelu):
        known: Any = step.function
        return ENCLOSURES[LeakyRelu](LeakyRelu(known.slope[index]), index.shape)
    # Others are the same for every number.
    if any(hasattr(value, "dtype") for value in vars(operator).values()):
        raise BadSetting(
            f"neurons of {type(operator).__name__} cannot be put into another order",
            "give `pair=False` for a certificate of both networks beside each other",
        )
    return step.function


def _map(part: Map, rows: Index | None, columns: Index | None, width: int) -> Map:
    """A map to a value in another order, from one in another order."""
    new = None if columns is None else _inverse(columns)
    if isinstance(part, Gather):
        index = part.index
        if new is not None:
            index = np.where(index < 0, index, new[index])
        if rows is None:
            return replace(part, index=index)
        factor, divisor = (None if v is None else v[rows] for v in (part.factor, part.divisor))
        root = None if part.under_root is None else tuple(v[rows] for v in part.under_root)
        return Gather(index[rows], factor, divisor, root)
    ends = None if rows is None else _inverse(rows)
    return Blocks(part.size, tuple(_block(block, ends, new) for block in part.blocks))


def _inverse(index: Index) -> Index:
    result = np.empty_like(index)
    result[index] = np.arange(len(index))
    return result


def _block(block: Block, rows: Index | None, columns: Index | None) -> Block:
    """A block with other numbers of rows and columns, both ascending as before."""
    for name, axis, new in (("rows", 0, rows), ("columns", 1, columns)):
        if new is not None:
            ends = new[getattr(block, name)]
            order = np.argsort(ends)
            weight = block.weight.take(order, axis)
            block = replace(block, weight=weight, **{name: ends[order]})
    return block
