"""One network of two: the outputs of the old one, and by how much those of the new one differ.

Where the two have the same structure, every value z of the old network has beside it the
difference d of the new network's to it, as a quantity of its own. With old weights W, and W + E
for the new ones,

- an affine map carries it on as ``(W + E) d + E z + e``, e being the difference of the biases;
- a nonlinear function f as ``f(z + d) - f(z)``, an `Increment`;
- a product as ``(x' - x) y + x' (y' - y)``, and a reciprocal as ``-(x' - x) / (x x')``;
- the maximum of several numbers by one of two numbers after the other, ``b + relu(a - b)``.

So the difference is bounded by what E does, not by the two networks apart; and where weights are
the same, it is nothing at all. Where two operators do not pair, both sides are computed and
subtracted, and differences go on from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf, prod
from typing import Any

import numpy as np

from sensverify.errors import BadShape
from sensverify.network.graph import Network, NetworkBuilder, Node
from sensverify.network.joint.matching import matched
from sensverify.network.joint.pairing import alike, paired
from sensverify.network.operators import (
    Add,
    Affine,
    Concat,
    Conv,
    ConvTranspose,
    Elementwise,
    Exp,
    Increment,
    LeakyRelu,
    Max,
    Operator,
    Pad,
    Permute,
    PiecewiseLinear,
    Product,
    Reciprocal,
    Relu,
    Reshape,
    Scale,
    Select,
    Share,
    Smooth,
)
from sensverify.network.rewrites.editing import wide
from sensverify.network.simplify import simplify

_MOVES = (Select, Permute, Reshape)
"""Operators that hand numbers on as they are."""


@dataclass(frozen=True, eq=False)
class Joint:
    """One network of two.

    Parameters
    ----------
    network : Network
        Its outputs, flat: those of the old network, then the new one's less these.
    outputs : int
        Of each of the two.
    paired : bool
        Whether every operator of one has its counterpart in the other.
    apart : tuple of str
        Names of the new network's nodes whose two sides were computed and subtracted, or of the
        first ones that have no counterpart.
    permuted : tuple of str
        Names of layers whose neurons the new network has in another order.
    same : bool
        Whether the two are the same function, whatever the input: all weights are the same.
    orders : mapping from int to numpy array
        Of the new network's nonlinear nodes that these neurons pass, by their number: the neuron
        that each place of the old one's is paired with.
    """

    network: Network
    outputs: int
    paired: bool
    apart: tuple[str, ...] = ()
    permuted: tuple[str, ...] = ()
    same: bool = False
    orders: Mapping[int, np.ndarray] = field(default_factory=dict)


def join(old: Network, new: Network, *, pair: bool = True) -> Joint:
    """The network of two networks' outputs and their differences.

    Parameters
    ----------
    old, new : Network
        Inputs of one shape, and as many outputs; live parameters are taken as they are now.
    pair : bool
        False: bounded apart, as networks that do not pair are.

    Raises
    ------
    BadShape
        Their inputs or outputs have different shapes.
    MissingRule
        Of one of them, only values are known.

    Examples
    --------
    >>> import numpy as np
    >>> import sensverify as sv
    >>> net = sv.load("iris")
    >>> joint = join(net, net)
    >>> joint.paired, joint.network.output_shape
    (True, (6,))
    """
    for network in (old, new):
        network.require_operators()
    old, new = (simplify(network.map_arrays(_fixed)) for network in (old, new))
    for what, shapes in (
        ("inputs", (old.input_shape, new.input_shape)),
        ("outputs", (old.output_shape, new.output_shape)),
    ):
        # How the numbers are arranged does not matter at the end.
        same = shapes[0] == shapes[1] if what == "inputs" else prod(shapes[0]) == prod(shapes[1])
        if not same:
            raise BadShape(
                f"the two networks have {what} of different shapes, {shapes[0]} and {shapes[1]}",
                f"give two networks for the same {what}",
            )
    partners = paired(old, new) if pair else None
    builder = NetworkBuilder(old.input_shape, name=old.nodes[0].name)
    if partners is None:
        apart = () if not pair else (new.nodes[-1].name,)
        return _apart(builder, old, new, apart)
    found = matched(old, new)
    steps = _Steps(builder, old, found.network)
    steps.run()
    value, change = steps.values[-1], steps.changes[-1]
    same = change is None
    if change is None:
        change = builder.add(Scale(np.zeros(())), value)
    joint = _joined(builder, old, (value, change), (True, tuple(steps.apart), found.permuted))
    return replace(joint, same=same, orders=found.orders)


def _fixed(values: Any) -> np.ndarray:
    """Parameters as numpy arrays, those of a live module as they are now."""
    values = values.detach().cpu() if hasattr(values, "detach") else values
    return np.asarray(values)


def _apart(builder: NetworkBuilder, old: Network, new: Network, apart: tuple[str, ...]) -> Joint:
    """The two beside each other, their outputs subtracted."""
    ends = [_copied(builder, network) for network in (old, new)]
    flat = [builder.add(Reshape((prod(builder.shape(end)),)), end) for end in ends]
    less = builder.add(Scale(np.full((), -1.0)), flat[0])
    return _joined(builder, old, (ends[0], builder.add(Add(), flat[1], less)), (False, apart, ()))


def _copied(builder: NetworkBuilder, network: Network) -> int:
    places = [0]
    for node in network.nodes[1:]:
        places.append(builder.add(node.operator, *(places[i] for i in node.inputs), name=node.name))
    return places[-1]


def _joined(
    builder: NetworkBuilder, old: Network, ends: tuple[int, int], facts: tuple[bool, Any, Any]
) -> Joint:
    outputs = prod(old.output_shape)
    flat = [builder.add(Reshape((outputs,)), end) for end in ends]
    network = builder.build(builder.add(Concat(0), *flat))
    return Joint(network, outputs, *facts)


class _Steps:
    """Values of the old network, and the new one's differences to them; None is zero."""

    def __init__(self, builder: NetworkBuilder, old: Network, new: Network) -> None:
        self.builder, self.old, self.new = builder, old, new
        self.values: list[int] = [0]
        self.changes: list[int | None] = [None]
        self.apart: list[str] = []

    def run(self) -> None:
        for before, after in zip(self.old.nodes[1:], self.new.nodes[1:], strict=True):
            sources = [self.values[i] for i in before.inputs]
            changes = [self.changes[i] for i in before.inputs]
            value = self.builder.add(before.operator, *sources, name=before.name)
            self.values.append(value)
            self.changes.append(self._change(before, after, sources, changes))

    def _change(
        self, before: Node, after: Node, sources: list[int], changes: list[int | None]
    ) -> int | None:
        old, new = before.operator, after.operator
        if isinstance(old, Affine | Conv | ConvTranspose | Scale):
            assert isinstance(new, Affine | Conv | ConvTranspose | Scale)
            return self._affine(old, new, sources[0], changes[0])
        if alike(old, new) and all(change is None for change in changes):
            return None
        if isinstance(old, Add):
            return self._sum([change for change in changes if change is not None])
        if isinstance(old, Concat):
            return self.builder.add(old, *self._filled(sources, changes))
        if isinstance(old, _MOVES) and alike(old, new):
            return self.builder.add(old, *self._filled(sources, changes))
        if isinstance(old, Pad) and alike(old, new):
            return self.builder.add(replace(old, value=0.0), *self._filled(sources, changes))
        if isinstance(old, Max):
            return self._maximum(sources[0], *self._filled(sources, changes))
        if isinstance(old, Product):
            return self._product(sources[0], *self._filled(sources, changes))
        if isinstance(old, Reciprocal):
            return self._reciprocal(sources[0], *self._filled(sources, changes))
        if isinstance(old, Share):
            return self._share(sources[0], *self._filled(sources, changes))
        if isinstance(old, LeakyRelu) and isinstance(new, LeakyRelu):
            return self._leaky(old, new, sources[0], changes[0])
        if _grows_everywhere(old) and alike(old, new):
            assert isinstance(old, Elementwise)
            return self._increment(old, sources[0], self._filled(sources, changes)[0])
        return self._subtracted(before, after, sources, changes)

    def _filled(self, sources: list[int], changes: list[int | None]) -> list[int]:
        """Differences, with zeros as nodes of their own."""
        return [
            self.builder.add(Scale(np.zeros(())), source) if change is None else change
            for source, change in zip(sources, changes, strict=True)
        ]

    def _sum(self, terms: list[int]) -> int | None:
        if not terms:
            return None
        return terms[0] if len(terms) == 1 else self.builder.add(Add(), *terms)

    def _affine(self, old: Any, new: Any, source: int, change: int | None) -> int | None:
        """The new map of the difference, and the difference of the two maps."""
        matrix, constant = ("scale", "shift") if isinstance(old, Scale) else ("weight", "bias")
        shape = self.builder.shape(source) if isinstance(old, Scale) else None
        terms = []
        if change is not None:
            terms.append(self.builder.add(replace(new, **{constant: None}), change))
        weights = _difference(_parameter(old, matrix, 1.0), _parameter(new, matrix, 1.0), shape)
        offsets = _difference(_parameter(old, constant, 0.0), _parameter(new, constant, 0.0), shape)
        for number in (0, 1):
            # Of the second, what the difference of two numbers lost to rounding.
            weight, offset = weights[number], offsets[number]
            if not weight.any() and not offset.any():
                continue
            shift = np.array(offset) if offset.any() else None
            if not isinstance(old, Scale):
                weight = np.broadcast_to(weight, wide(old.weight).shape).copy()
            terms.append(
                self.builder.add(replace(new, **{matrix: weight, constant: shift}), source)
            )
        return self._sum(terms)

    def _increment(self, function: Elementwise, source: int, change: int) -> int:
        return self.builder.add(Increment(function), self._beside(source, change))

    def _beside(self, *nodes: int) -> int:
        """Values along a new last axis."""
        shape = self.builder.shape(nodes[0])
        columns = [self.builder.add(Reshape((*shape, 1)), node) for node in nodes]
        return self.builder.add(Concat(len(shape)), *columns)

    def _leaky(self, old: LeakyRelu, new: LeakyRelu, source: int, change: int | None) -> int | None:
        """An increment of the new function, and the new function less the old one."""
        terms = [] if change is None else [self._increment(new, source, change)]
        shape = self.builder.shape(source)
        for part in _difference(wide(old.slope), wide(new.slope), shape):
            if part.any():
                turned = self.builder.add(Scale(np.full((), -1.0)), source)
                below = self.builder.add(Relu(), turned)
                terms.append(self.builder.add(Scale(-part), below))
        return self._sum(terms)

    def _product(self, source: int, change: int) -> int:
        """``x' y' - x y = (x' - x) y + x' (y' - y)``."""
        shape = self.builder.shape(source)
        index = np.arange(prod(shape)).reshape(shape)
        (x, y), (grown, other) = (
            [self.builder.add(Select(index[..., k]), node) for k in (0, 1)]
            for node in (source, change)
        )
        moved = self.builder.add(Add(), x, grown)
        terms = (grown, y), (moved, other)
        return self.builder.add(
            Add(), *(self.builder.add(Product(), self._beside(*pair)) for pair in terms)
        )

    def _reciprocal(self, source: int, change: int) -> int:
        """``1 / x' - 1 / x = -(x' - x) / (x x')``."""
        moved = self.builder.add(Add(), source, change)
        parts = [self.builder.add(Reciprocal(), node) for node in (source, moved)]
        both = self.builder.add(Product(), self._beside(*parts))
        less = self.builder.add(Scale(np.full((), -1.0)), change)
        return self.builder.add(Product(), self._beside(less, both))

    def _share(self, source: int, change: int) -> int:
        """``1 / s' - 1 / s = -(s' - s) / (s s')``, s being a sum of exponentials."""
        shape = self.builder.shape(source)
        index = np.arange(prod(shape)).reshape(shape)
        grown = self._increment(Exp(), source, change)
        terms = [self.builder.add(Select(index[..., k]), grown) for k in range(shape[-1])]
        total = terms[0] if len(terms) == 1 else self.builder.add(Add(), *terms)
        moved = self.builder.add(Add(), source, change)
        parts = [self.builder.add(Share(), node) for node in (source, moved)]
        both = self.builder.add(Product(), self._beside(*parts))
        less = self.builder.add(Scale(np.full((), -1.0)), total)
        return self.builder.add(Product(), self._beside(less, both))

    def _maximum(self, source: int, change: int) -> int:
        """One number of the window after the other, in pairs: ``max(a, b) = b + relu(a - b)``."""
        shape = self.builder.shape(source)
        size = shape[-1]
        index = np.arange(prod(shape)).reshape(shape)
        pairs = [
            (
                self.builder.add(Select(index[..., k]), source),
                self.builder.add(Select(index[..., k]), change),
            )
            for k in range(size)
        ]
        while len(pairs) > 1:
            rest = pairs[len(pairs) // 2 * 2 :]
            pairs = [
                self._larger(*two) for two in zip(pairs[0::2], pairs[1::2], strict=False)
            ] + rest
        return pairs[0][1]

    def _larger(self, first: tuple[int, int], second: tuple[int, int]) -> tuple[int, int]:
        less = [self.builder.add(Scale(np.full((), -1.0)), node) for node in second]
        apart = [
            self.builder.add(Add(), node, other) for node, other in zip(first, less, strict=True)
        ]
        value = self.builder.add(Add(), second[0], self.builder.add(Relu(), apart[0]))
        grown = self._increment(Relu(), *apart)
        return value, self.builder.add(Add(), second[1], grown)

    def _subtracted(
        self, before: Node, after: Node, sources: list[int], changes: list[int | None]
    ) -> int:
        """Both sides of an operator, subtracted: where no rule knows more."""
        self.apart.append(after.name)
        moved = [
            source if change is None else self.builder.add(Add(), source, change)
            for source, change in zip(sources, changes, strict=True)
        ]
        ends = [
            self.builder.add(after.operator, *moved),
            self.builder.add(before.operator, *sources),
        ]
        less = self.builder.add(Scale(np.full((), -1.0)), ends[1])
        return self.builder.add(Add(), ends[0], less)


def _grows_everywhere(operator: Operator) -> bool:
    """Whether the increments of a function are known: not where it is not defined on both ends."""
    if isinstance(operator, Smooth):
        return operator.branches == ((-inf, inf),)
    return isinstance(operator, PiecewiseLinear)


def _parameter(operator: Operator, name: str, absent: float) -> np.ndarray:
    values = getattr(operator, name)
    return np.full((), absent) if values is None else wide(values).astype(np.float64)


def _difference(
    old: np.ndarray, new: np.ndarray, shape: tuple[int, ...] | None
) -> tuple[np.ndarray, np.ndarray]:
    """``new - old`` as the sum of two arrays, exactly: the difference, and what rounding took."""
    old, new = np.broadcast_arrays(np.asarray(old, np.float64), np.asarray(new, np.float64))
    if shape is not None:
        old, new = np.broadcast_to(old, shape), np.broadcast_to(new, shape)
    total = new - old
    # Knuth's two-sum: exact in any order of magnitude, short of overflow.
    back = total - new
    lost = (new - (total - back)) - (old + back)
    return total, lost
