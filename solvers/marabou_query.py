"""A network over one box as Marabou gets it: equations, bounds and the ReLUs that are open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix, diags

from sensverify.bounds.crown import Crown, layer_bounds
from sensverify.core.box import Box
from sensverify.errors import MissingRule, Unbounded
from sensverify.network import Network
from sensverify.network.operators import Linear, PiecewiseLinear
from sensverify.runs.watch import Watch
from sensverify.solvers.encoding import Form, Problem, pieces
from sensverify.solvers.encoding.builder import Builder
from sensverify.solvers.encoding.expression import (
    Expression,
    columns_of,
    scattered,
    summed,
    widened,
)
from sensverify.solvers.encoding.maps import LinearMap
from sensverify.solvers.encoding.piecewise import ROUNDING, Pieces
from sensverify.solvers.encoding.rules import Place, encode_operator

SCALE = 1024.0
"""Largest magnitude of a variable as Marabou gets it. Its thresholds are absolute: with 1 in place
of 1024, it called 13 of 96 queries unsat that an input met by 1e-6 of the limit; with it none."""

SMALLEST = 1e-9
"""Factors up to this, relative to the largest of their equation, are left out. Marabou takes
them for zeros in one place and not in another."""

_THIN = 1e-6
"""A ReLU's interval is widened to at least this, relative to what its equation can reach: in units
of a thinner one, the other terms would be out of proportion."""

Interval = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class ReluProgram:
    """A network over a box: a program's rows, and ``after = max(before, 0)`` for pairs of columns.

    Parameters
    ----------
    problem : Problem
        Its rows are equations.
    before, after : integer numpy array, shape ``[ReLUs]``
    inputs : integer numpy array, shape ``[inputs]``
    output : Expression
        One row for each output of the network.
    hidden : tuple of pairs of numpy arrays
        Bounds on what enters each nonlinear node, in their order, flattened.
    """

    problem: Problem
    before: np.ndarray
    after: np.ndarray
    inputs: np.ndarray
    output: Expression
    hidden: tuple[Interval, ...]

    def units(self) -> Interval:
        """Middle and size of every column: Marabou's variable is ``(x - middle) / size * SCALE``.

        The two columns of a ReLU share a size and have no middle, which keeps them a ReLU.
        """
        lower, upper = self.problem.lower, self.problem.upper
        middle = np.zeros(self.problem.columns)
        size = np.maximum(np.abs(lower), np.abs(upper))
        middle[self.inputs] = (lower + (upper - lower) / 2)[self.inputs]
        size[self.inputs] = ((upper - lower) / 2)[self.inputs]
        size[self.after] = size[self.before]
        size[size == 0] = 1.0
        return middle, size

    def query(self, rows: np.ndarray, limits: np.ndarray, margin: float) -> dict[str, Any] | bool:
        """The question to the worker: is there an input with ``rows @ f(x) <= limits``?

        Parameters
        ----------
        rows : numpy array, shape ``[constraints, outputs]``
        limits : numpy array, shape ``[constraints]``
        margin : float
            Added to every limit, relative to the sum of its terms' sizes.

        Returns
        -------
        dict or bool
            A bool where the answer takes no search: no constraint depends on the input.
        """
        middle, size = self.units()
        matrix = widened(self.output.matrix, self.problem.columns)
        left = csr_matrix(csr_matrix(rows) @ matrix)
        right = limits - rows @ self.output.offset - left @ middle
        parts = []
        for i in range(len(rows)):
            terms, most, lost = _terms(left, i, size)
            # What is left out is at most that much, so a proof holds for all that there is.
            reach = lost + margin * sum(abs(factor) for factor, _ in terms) * most
            if terms:
                parts.append(("LE", terms, (right[i] + reach) / most * SCALE))
            elif not right[i] + lost >= 0:
                return False
        return self._asked(parts, middle, size) if parts else True

    def _asked(
        self, parts: list[tuple[str, list[tuple[float, int]], float]], *units: np.ndarray
    ) -> dict[str, Any]:
        middle, size = units
        problem = self.problem
        right = problem.row_lower - problem.matrix @ middle
        equations = []
        for i in range(problem.rows):
            terms, most, _ = _terms(problem.matrix, i, size)
            equations.append(("EQ", terms, right[i] / most * SCALE))
        low = ((problem.lower - middle) / size * SCALE).tolist()
        high = ((problem.upper - middle) / size * SCALE).tolist()
        return {
            "variables": problem.columns,
            "inputs": self.inputs.tolist(),
            "bounds": list(zip(range(problem.columns), low, high, strict=True)),
            "equations": equations + parts,
            "relu": list(zip(self.before.tolist(), self.after.tolist(), strict=True)),
            "middles": middle[self.inputs].tolist(),
            "factors": (size[self.inputs] / SCALE).tolist(),
        }


def _terms(
    matrix: csr_matrix, row: int, size: np.ndarray
) -> tuple[list[tuple[float, int]], float, float]:
    """Terms of a row in Marabou's units, divided by the largest; that, and the size left out."""
    entries = slice(matrix.indptr[row], matrix.indptr[row + 1])
    columns, factors = matrix.indices[entries], matrix.data[entries] * size[matrix.indices[entries]]
    most = float(np.abs(factors).max(initial=0.0))
    if most == 0.0:
        return [], 1.0, 0.0
    kept = np.abs(factors) > SMALLEST * most
    terms = zip((factors[kept] / most).tolist(), columns[kept].tolist(), strict=True)
    return list(terms), most, float(np.abs(factors[~kept]).sum())


def relu_program(network: Network, box: Box, watch: Watch | None = None) -> ReluProgram:
    """The network over a box; neurons that CROWN proves to be on one side of a kink are no ReLUs.

    Parameters
    ----------
    network : Network
        With float64 tensors on the CPU.
    box : Box of numpy arrays, shape ``[1, *input_shape]``, float64

    Raises
    ------
    MissingRule
        An operator is neither affine nor linear between kinks.
    Unbounded
        A number overflowed.
    """
    _check(network)
    known = _hidden_bounds(network, box, watch)
    builder = Builder(Form.EXACT)
    inputs = builder.add_columns(box.lower.ravel(), box.upper.ravel())
    values, maps, pairs = [_inputs(box, inputs)], dict[int, LinearMap](), list[np.ndarray]()
    for position, node in enumerate(network.nodes[1:], start=1):
        sources = [values[i] for i in node.inputs]
        if isinstance(node.operator, PiecewiseLinear):
            table = pieces(node.operator, node.shape)
            values.append(_piecewise(builder, table, sources[0], known[position], pairs))
        else:
            place = Place(network, position, builder, maps)
            values.append(encode_operator(node.operator, place, *sources))
    both = np.concatenate([np.zeros((2, 0), dtype=np.int64), *pairs], axis=1)
    hidden = tuple(known.values())
    return ReluProgram(builder.problem(), both[0], both[1], inputs, values[-1], hidden)


def _check(network: Network) -> None:
    for node in network.nodes[1:]:
        if not isinstance(node.operator, Linear | PiecewiseLinear):
            raise MissingRule(
                f"Marabou is not asked about operator {type(node.operator).__name__} (node "
                f"'{node.name}'), but about affine maps and functions that are linear between "
                "kinks",
                "use `method=branch-and-bound`",
            )


def _hidden_bounds(network: Network, box: Box, watch: Watch | None) -> dict[int, Interval]:
    ends = Box(*(torch.from_numpy(np.array(end)) for end in (box.lower, box.upper)))
    with torch.no_grad():
        found = layer_bounds(network, ends, Crown(), watch).pre_activations
    known = {}
    for position, (lower, upper) in found.items():
        low, high = lower[0].numpy().ravel(), upper[0].numpy().ravel()
        # Written so that a NaN fails it.
        if not (np.isfinite(low) & np.isfinite(high)).all():
            name = network.nodes[position].name
            raise Unbounded(f"the bounds on what enters node '{name}' are not finite")
        # Rounding can cross the ends of a very thin interval.
        known[position] = np.minimum(low, high), np.maximum(low, high)
    return known


def _inputs(box: Box, columns: np.ndarray) -> Expression:
    """The input over its columns; one that cannot move is a number."""
    low, moving = box.lower.ravel(), (box.lower < box.upper).ravel()
    whole = columns_of(columns)
    return whole.scaled(moving.astype(np.float64), np.where(moving, 0.0, low))


def _piecewise(
    builder: Builder, table: Pieces, x: Expression, ends: Interval, pairs: list[np.ndarray]
) -> Expression:
    """``f(k) + s (x - k)``, and every change of slope times ``max(x - kink, 0)``.

    k is the first kink inside of the interval, s the slope before it; entries without one are
    affine.
    """
    inside = (table.kinks > ends[0]) & (table.kinks < ends[1])
    first = (table.kinks <= ends[0]).sum(axis=0)
    margin = ROUNDING * max(1e-3, float(np.abs(ends).max(initial=0.0)))
    entries = np.arange(len(x))
    slope, shift = table.slopes[first, entries], table.intercepts[first, entries]
    count = inside.sum(axis=0)
    straight = np.flatnonzero(count == 0)
    parts = [(straight, x[straight].scaled(slope[straight], shift[straight]))]
    for kinks in range(1, len(table.kinks) + 1):
        bent = np.flatnonzero(count == kinks)
        if len(bent):
            steps = [first[bent] + i for i in range(kinks + 1)]
            slopes = np.stack([table.slopes[step, bent] for step in steps])
            at = np.stack([table.kinks[step, bent] for step in steps[:-1]])
            value = slopes[0] * at[0] + table.intercepts[steps[0], bent]
            wide = ends[0][bent] - margin, ends[1][bent] + margin
            parts.append((bent, _bent(builder, x[bent], wide, Pieces(at, slopes, value), pairs)))
    return scattered(len(x), *parts)


def _bent(
    builder: Builder, x: Expression, ends: Interval, table: Pieces, pairs: list[np.ndarray]
) -> Expression:
    """Entries that all have the same number of kinks inside; ``intercepts`` is f at the first."""
    low, high = builder.range_of(x)
    least = _THIN * (high - low)
    ones = diags(np.ones(len(x)))
    terms, first = [], np.zeros(0, dtype=np.int64)
    for i, kink in enumerate(table.kinks):
        upper = np.maximum(ends[1] - kink, least)
        before = builder.add_columns(np.minimum(ends[0] - kink, -least), upper)
        after = builder.add_columns(np.zeros(len(x)), upper)
        pairs.append(np.stack([before, after]))
        if i == 0:
            first = before
            right = x.offset - kink
            builder.add_rows((ones, before), (-x.matrix, None), lower=right, upper=right)
            terms.append(columns_of(before).scaled(table.slopes[0], np.zeros(len(x))))
        else:
            # x is written out once.
            right = table.kinks[0] - kink
            builder.add_rows((ones, before), (-ones, first), lower=right, upper=right)
        change = table.slopes[i + 1] - table.slopes[i]
        terms.append(columns_of(after).scaled(change, np.zeros(len(x))))
    total = summed(*terms)
    return Expression(total.matrix, total.offset + table.intercepts)
