"""Several networks side by side as one, and what is computed of their outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from sensverify.errors import UnsupportedOperator
from sensverify.network.graph import Network, NetworkBuilder
from sensverify.network.operators import Concat, Reshape, Select


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


def side_by_side(
    inputs: int,
    parts: Sequence[Placed],
    compared: Sequence[int] = (),
    products: Sequence[Sequence[tuple[bool, int]]] = (),
) -> Network:
    """The network whose outputs are those of several networks, one after the other.

    Parameters
    ----------
    inputs : int
        Number of joint inputs.
    parts : sequence of Placed
    compared : sequence of int
        Places of joint inputs that are outputs behind those of the networks.
    products : sequence of sequences of (bool, int)
        Products that are outputs before these: each factor is an input or not, and its place among
        the joint inputs, or among the outputs of the networks.

    Returns
    -------
    Network
        From ``(inputs,)`` to one axis.

    Raises
    ------
    UnsupportedOperator
        There are products, which have no operator here.
    """
    if products:
        raise UnsupportedOperator(
            "products of variables have no operator here", "write the query with linear terms"
        )
    builder = NetworkBuilder((inputs,), name="inputs")
    rows = [_row(builder, _added(builder, part)) for part in parts]
    if len(compared):
        rows.append(builder.add(Select(np.array(compared, np.int64)), 0, name="compared inputs"))
    whole = rows[0] if len(rows) == 1 else builder.add(Concat(0), *rows, name="outputs")
    return builder.build(whole)


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
