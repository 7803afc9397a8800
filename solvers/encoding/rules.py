"""Rules by which operators enter a program, and those of the linear operators."""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch
from math import prod

import numpy as np

from sensverify.errors import MissingRule
from sensverify.network import Network, Node
from sensverify.network.operators import (
    Add,
    Affine,
    Concat,
    Conv,
    ConvTranspose,
    Operator,
    Pad,
    Permute,
    Reshape,
    Scale,
    Select,
)
from sensverify.solvers.encoding.builder import Builder, product
from sensverify.solvers.encoding.expression import (
    Expression,
    constants,
    joined,
    scattered,
    summed,
)
from sensverify.solvers.encoding.maps import LinearMap, double, linear_map


@dataclass(frozen=True, eq=False)
class Place:
    """The node that a rule is at work on.

    Parameters
    ----------
    network : Network
    position : int
        Of the node.
    builder : Builder
        The program so far, to which the rule adds.
    maps : dict from position to linear map
        Matrices that are known from an earlier box.
    lower, upper : numpy array, shape ``[entries]``, or None
        For a nonlinear node: bounds on its input.
    """

    network: Network
    position: int
    builder: Builder
    maps: dict[int, LinearMap]
    lower: np.ndarray | None = None
    upper: np.ndarray | None = None

    @property
    def node(self) -> Node:
        """The node itself."""
        return self.network.nodes[self.position]

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the node's inputs."""
        return [self.network.nodes[source].shape for source in self.node.inputs]

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Bounds on the input of a nonlinear node, each ``[entries]``."""
        if self.lower is None or self.upper is None:
            raise MissingRule(f"no bounds are known on what enters node '{self.node.name}'")
        return self.lower, self.upper


@singledispatch
def encode_operator(operator: Operator, place: Place, *inputs: Expression) -> Expression:
    """The operator's output over the program's columns, with new columns and rows as needed.

    Parameters
    ----------
    operator : Operator
    place : Place
    *inputs : Expression
        One for each input, over the columns so far.

    Returns
    -------
    Expression
        With the columns and rows added to ``place.builder`` it takes, in the exact form, the
        values of the operator and no others, but for curves and products; in the relaxed form all
        of these and maybe more.

    Raises
    ------
    MissingRule
        The operator has no rule, or none in this form.
    """
    raise MissingRule(
        f"no encoding rule for operator {type(operator).__name__} of node '{place.node.name}'",
        "register one with sensverify.solvers.encoding.encode_operator.register or use "
        "`method=crown`",
    )


@encode_operator.register(Affine)
@encode_operator.register(Conv)
@encode_operator.register(ConvTranspose)
def _(operator: Operator, place: Place, x: Expression) -> Expression:
    if place.position not in place.maps:
        place.maps[place.position] = linear_map(operator, place.node, place.shapes[0])
    matrix, shift = place.maps[place.position]
    result = product(place.builder, matrix, x)
    return Expression(result.matrix, result.offset + shift)


@encode_operator.register
def _(operator: Scale, place: Place, x: Expression) -> Expression:
    shape = place.node.shape
    scale = np.ones(shape) if operator.scale is None else double(operator.scale)
    shift = np.zeros(shape) if operator.shift is None else double(operator.shift)
    return x.scaled(*(np.broadcast_to(part, shape).reshape(-1) for part in (scale, shift)))


@encode_operator.register
def _(operator: Pad, place: Place, x: Expression) -> Expression:
    shape = place.shapes[0]
    pairs = list(zip(operator.before, operator.after, strict=True))
    index = np.pad(np.arange(len(x)).reshape(shape), pairs, constant_values=-1).reshape(-1)
    outside = np.flatnonzero(index < 0)
    inside = np.flatnonzero(index >= 0)
    filling = constants(np.full(len(outside), operator.value))
    return scattered(len(index), (inside, x[index[inside]]), (outside, filling))


@encode_operator.register
def _(operator: Select, place: Place, x: Expression) -> Expression:
    indices = double(operator.indices).astype(np.int64).reshape(-1)
    if len(np.unique(indices)) < len(indices):
        # What is read several times costs its terms each time.
        counts = np.bincount(indices, minlength=len(x))
        heavy = np.flatnonzero((counts > 1) & (x.sizes > 2))
        if len(heavy):
            rest = np.setdiff1d(np.arange(len(x)), heavy)
            x = scattered(len(x), (rest, x[rest]), (heavy, place.builder.define(x[heavy])))
    return x[indices]


@encode_operator.register
def _(operator: Permute, place: Place, x: Expression) -> Expression:
    index = np.arange(len(x)).reshape(place.shapes[0])
    return x[index.transpose(operator.axes).reshape(-1)]


@encode_operator.register
def _(operator: Reshape, place: Place, x: Expression) -> Expression:
    return x


@encode_operator.register
def _(operator: Add, place: Place, *inputs: Expression) -> Expression:
    return summed(*inputs)


@encode_operator.register
def _(operator: Concat, place: Place, *inputs: Expression) -> Expression:
    starts = np.cumsum([0, *(prod(shape) for shape in place.shapes)])
    index = np.concatenate(
        [
            (start + np.arange(prod(shape))).reshape(shape)
            for start, shape in zip(starts[:-1], place.shapes, strict=True)
        ],
        axis=operator.axis,
    )
    return joined(*inputs)[index.reshape(-1)]
