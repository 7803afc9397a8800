"""Several networks side by side as one, and what is computed of their outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from sensverify.network.graph import Network, NetworkBuilder
from sensverify.network.operators import Concat, Product, Reshape, Select, Square


@dataclass(frozen=True, eq=False)
class Placed:
    """A network whose inputs are some of those of a joint one.

    Parameters
    ----------
    name : str
        What the names of its nodes begin with.
    network : Network
    places : numpy array, shape ``[inputs]``, integer
        For each of its inputs, in row-major order, its place among the joint inputs.
    """

    name: str
    network: Network
    places: np.ndarray


Factor = tuple[bool, int]
"""Whether it is a joint input, and its place among these, or among the networks' outputs."""


def side_by_side(
    inputs: int,
    parts: Sequence[Placed],
    compared: Sequence[int] = (),
    products: Sequence[Sequence[Factor]] = (),
) -> Network:
    """The network whose outputs are those of several networks, one after the other.

    Parameters
    ----------
    inputs : int
        Number of joint inputs.
    parts : sequence of Placed
    compared : sequence of int
        Places of joint inputs that are outputs behind those of the networks.
    products : sequence of sequences of Factor
        Products of two factors or more, which are outputs before these.

    Returns
    -------
    Network
        From ``(inputs,)`` to one axis.
    """
    builder = NetworkBuilder((inputs,), name="inputs")
    rows = [_row(builder, _added(builder, part)) for part in parts]
    if products:
        rows.append(_products(builder, rows, products))
    if len(compared):
        rows.append(builder.add(Select(np.array(compared, np.int64)), 0, name="compared inputs"))
    return builder.build(_joined(builder, rows, "outputs"))


def _joined(builder: NetworkBuilder, rows: Sequence[int], name: str) -> int:
    return rows[0] if len(rows) == 1 else builder.add(Concat(0), *rows, name=name)


def _products(
    builder: NetworkBuilder, rows: Sequence[int], products: Sequence[Sequence[Factor]]
) -> int:
    """The place of all products: those of two factors first, then times a third, and so on."""
    given = sum(prod(builder.shape(row)) for row in rows)
    base = _joined(builder, [*rows, 0], "factors")
    size = prod(builder.shape(base))
    # Of every product, its place among the factors and whatever is computed of them.
    places = [given * own + place for (own, place), *_ in products]
    whole, ends = base, size
    for level in range(1, max(map(len, products))):
        pairs = {
            number: (places[number], given * each[level][0] + each[level][1])
            for number, each in enumerate(products)
            if len(each) > level
        }
        for squares in (True, False):
            chosen = [n for n, (one, other) in pairs.items() if (one == other) is squares]
            if not chosen:
                continue
            row = _multiplied(builder, whole, [pairs[n] for n in chosen], squares=squares)
            whole = builder.add(Concat(0), whole, row, name=f"products of {level + 1}")
            for number in chosen:
                places[number] = ends
                ends += 1
    return builder.add(Select(np.array(places, np.int64)), whole, name="products")


def _multiplied(
    builder: NetworkBuilder, whole: int, pairs: Sequence[tuple[int, int]], *, squares: bool
) -> int:
    if squares:
        row = builder.add(Select(np.array([one for one, _ in pairs], np.int64)), whole)
        return builder.add(Square(), row)
    return builder.add(Product(), builder.add(Select(np.array(pairs, np.int64)), whole))


def _added(builder: NetworkBuilder, part: Placed) -> int:
    """The place of a network's output once its nodes are added."""
    shape = part.network.input_shape
    indices = np.asarray(part.places, np.int64).reshape(shape)
    places = {0: builder.add(Select(indices), 0, name=f"{part.name}/inputs")}
    for position, node in enumerate(part.network.nodes[1:], start=1):
        sources = (places[source] for source in node.inputs)
        name = f"{part.name}/{node.name}"
        places[position] = builder.add(node.operator, *sources, name=name)
    return places[len(part.network.nodes) - 1]


def _row(builder: NetworkBuilder, position: int) -> int:
    shape = builder.shape(position)
    if len(shape) == 1:
        return position
    return builder.add(Reshape((prod(shape),)), position, name=f"output {position} as a row")
