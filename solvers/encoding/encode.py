"""From a network, a box and bounds on its layers to a program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import csr_matrix

from sensverify.core.sets import InputSet
from sensverify.errors import BadShape, Unbounded
from sensverify.network import Network
from sensverify.network.operators import Nonlinear
from sensverify.runs.watch import Watch
from sensverify.solvers.encoding.builder import Builder, Fill, Form, InputsInRows, Owners
from sensverify.solvers.encoding.expression import Expression, widened
from sensverify.solvers.encoding.input_sets import restrict
from sensverify.solvers.encoding.maps import LinearMap
from sensverify.solvers.encoding.problem import Problem
from sensverify.solvers.encoding.rules import Place, encode_operator

Interval = tuple[np.ndarray, np.ndarray]
"""Lower and upper ends, flattened."""


Refine = Callable[[int, Expression, Interval, Builder], Interval]
"""Called before a nonlinear node is encoded, with its position, the expression that enters it, the
bounds known on that and the program so far; returns bounds that are at least as tight."""


SEGMENTS = 4
"""Segments of a curve, unless told otherwise."""


@dataclass(frozen=True, eq=False)
class Encoding:
    """A network over one box as a program; every objective is a cost over its columns.

    Parameters
    ----------
    problem : Problem
    output_matrix : CSR matrix, shape ``[outputs, columns]``
    output_offset : numpy array, shape ``[outputs]``
        The network's output is ``output_matrix @ x + output_offset``.
    inputs : integer numpy array, shape ``[inputs]``
        The columns that are the network's input, in row-major order.
    binaries : integer numpy array, shape ``[binaries]``
    owners : integer numpy array, shape ``[binaries, 2]``
        Of each binary the node and the entry of it (for `Max`: of its input) that it decides.
    pre_activations : dict from node to ``(lower, upper)``, each ``[entries]``
        The bounds on the inputs of nonlinear nodes that went into it.
    inputs_in_rows : InputsInRows
        Of the entries that the relaxed form does not take for linear.
    columns : Owners
    rows : integer numpy array, shape ``[rows]``
        The nodes whose rules have added the rows.
    """

    problem: Problem
    output_matrix: csr_matrix
    output_offset: np.ndarray
    inputs: np.ndarray
    binaries: np.ndarray
    owners: np.ndarray
    pre_activations: dict[int, Interval]
    inputs_in_rows: InputsInRows
    columns: Owners
    rows: np.ndarray
    fills: tuple[Fill, ...] = field(repr=False, default=())

    def cost(self, objective: np.ndarray) -> tuple[np.ndarray, float]:
        """The cost ``[columns]`` and the constant that an objective ``[outputs]`` comes to."""
        return self.output_matrix.T @ objective, float(self.output_offset @ objective)

    def complete(self, points: np.ndarray) -> np.ndarray:
        """The columns ``[points, columns]`` that belong to inputs ``[points, inputs]``."""
        values = np.zeros((self.problem.columns, len(points)))
        values[self.inputs] = points.T
        for fill in self.fills:
            fill(values)
        return values.T


@dataclass(frozen=True, eq=False)
class Encoder:
    """Encodes one network, box after box.

    Parameters
    ----------
    network : Network
        Simplified.
    segments : int
        Into how many the interval of what enters a curve, and of one factor of a product, is cut in
        the exact form; 1 leaves the lines of the relaxed form.
    """

    network: Network
    segments: int = SEGMENTS
    _maps: dict[int, LinearMap] = field(default_factory=dict, repr=False)

    def encode(
        self,
        lower: np.ndarray,
        upper: np.ndarray,
        pre_activations: Mapping[int, Interval],
        form: Form,
        *,
        refine: Refine | None = None,
        inside: InputSet | None = None,
        inset: float = 0.0,
        watch: Watch | None = None,
    ) -> Encoding:
        """Encode the network over a box.

        Parameters
        ----------
        lower, upper : numpy array, ``[*input_shape]`` or flat, float64
        pre_activations : dict from node to ``(lower, upper)``
            Sound bounds on the input of every nonlinear node, of any shape of that many entries.
        form : Form
        refine : callable, optional
            Tightens bounds on the way; see `Refine`.
        inside : InputSet of numpy arrays, optional
            One set in the box, that the input is kept in.
        inset : float
            Distance that numbers keep from jumps; see `Builder`.
        watch : Watch, optional
            Asked before every node.

        Returns
        -------
        Encoding
            Holds every input of the box with its output; in the exact form nothing else, up to
            rounding, unless there are curves or products. SOUND if the bounds are.

        Raises
        ------
        MissingRule
            An operator has no rule, or none in this form.
        Unbounded
            A number overflowed.
        TimeUp
            The watch is over.
        """
        watch = watch or Watch()
        builder = Builder(form, inset, self.segments)
        low, high = (np.asarray(end, dtype=np.float64).reshape(-1) for end in (lower, upper))
        inputs = builder.add_columns(low, high, "value", np.arange(len(low)))
        if inside is not None:
            restrict(inside, builder, inputs)
        values: dict[int, Expression] = {0: _inputs(low, high, inputs)}
        used: dict[int, Interval] = {}
        for position, node in enumerate(self.network.nodes):
            if position == 0:
                continue
            watch.check()
            sources = [values[source] for source in node.inputs]
            builder.position = position
            ends: Interval | tuple[None, None] = (None, None)
            if isinstance(node.operator, Nonlinear):
                ends = self._bounds(position, pre_activations, len(sources[0]))
                if refine is not None:
                    ends = refine(position, sources[0], ends, builder)
                used[position] = ends
            place = Place(self.network, position, builder, self._maps, *ends)
            values[position] = encode_operator(node.operator, place, *sources)
            for source in dict.fromkeys(node.inputs):
                if self.network.consumers[source][-1] == position:
                    del values[source]
        return _finished(builder, values[len(self.network.nodes) - 1], inputs, used)

    def _bounds(
        self, position: int, pre_activations: Mapping[int, Interval], entries: int
    ) -> Interval:
        name = self.network.nodes[position].name
        if position not in pre_activations:
            raise BadShape(f"the bounds on what enters node '{name}' are missing")
        low, high = (np.asarray(end).reshape(-1) for end in pre_activations[position])
        if len(low) != entries or len(high) != entries:
            raise BadShape(f"node '{name}' takes {entries} numbers, bounds are {len(low)}")
        # Written so that a NaN fails it.
        if not (np.isfinite(low) & np.isfinite(high)).all():
            raise Unbounded(f"the bounds on what enters node '{name}' are not finite")
        # Rounding can cross the ends of a very thin interval.
        return np.minimum(low, high), np.maximum(low, high)


def _inputs(lower: np.ndarray, upper: np.ndarray, columns: np.ndarray) -> Expression:
    """The input over its columns; one that cannot move is a number, its column stands alone."""
    moving = np.flatnonzero(lower < upper)
    data = (np.ones(len(moving)), (moving, columns[moving]))
    matrix = csr_matrix(data, shape=(len(lower), len(lower)))
    return Expression(matrix, np.where(lower < upper, 0.0, lower))


def _finished(
    builder: Builder, output: Expression, inputs: np.ndarray, used: dict[int, Interval]
) -> Encoding:
    return Encoding(
        problem=builder.problem(),
        output_matrix=widened(output.matrix, builder.columns),
        output_offset=output.offset,
        inputs=inputs,
        binaries=np.concatenate([np.zeros(0, dtype=np.int64), *builder.binaries]),
        owners=np.concatenate([np.zeros((0, 2), dtype=np.int64), *builder.owners]),
        pre_activations=used,
        inputs_in_rows=InputsInRows.joined(builder.inputs_in_rows),
        columns=builder.owners_of_columns(),
        rows=builder.nodes_of_rows(),
        fills=tuple(builder.fills),
    )
