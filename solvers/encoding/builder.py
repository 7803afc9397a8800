"""A program while it grows, operator by operator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from enum import Enum

import numpy as np
from scipy.sparse import csr_matrix, diags

from sensverify.solvers.encoding.expression import Expression, columns_of, stacked, widened
from sensverify.solvers.encoding.problem import UNIT, Problem

Fill = Callable[[np.ndarray], None]
"""Sets the columns that a rule has added, given ``[columns, points]`` with all earlier ones."""


class Form(Enum):
    """The forms of a program: kinks relaxed, or exact."""

    RELAXED = "relaxed"
    """The convex hull of the graph of each function: the triangle of Eq. 6 of the paper."""
    EXACT = "exact"
    """A binary for each kink inside of an interval; curves and products lie in envelopes, with a
    binary for each place where their interval is cut."""


@dataclass(frozen=True, eq=False)
class InputsInRows:
    """The places of nonlinear nodes' inputs in the rows that hold these nodes.

    Parameters
    ----------
    node, entry : integer numpy array, shape ``[occurrences]``
        The node, and the entry of its input.
    row : integer numpy array, shape ``[occurrences]``
    factor : numpy array, shape ``[occurrences]``
        The row has the entry with minus this factor.
    """

    node: np.ndarray
    entry: np.ndarray
    row: np.ndarray
    factor: np.ndarray

    @classmethod
    def joined(cls, parts: list[InputsInRows]) -> InputsInRows:
        """Records one after the other."""
        none = np.zeros(0, dtype=np.int64)
        parts = [cls(none, none, none, np.zeros(0)), *parts]
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))


@dataclass(frozen=True, eq=False)
class Owners:
    """The neurons that columns belong to, one entry for each column.

    Parameters
    ----------
    node : integer numpy array, shape ``[columns]``
        Whose rule has added the column; 0 is the input.
    entry : integer numpy array, shape ``[columns]``
        Of that node's input; -1 where the column is no single entry's.
    role : tuple of str
        What the column is to its neuron; columns of one neuron have different roles.
    """

    node: np.ndarray
    entry: np.ndarray
    role: tuple[str, ...]


@dataclass(eq=False)
class Builder:
    """Columns and rows as they are added; `problem` is what there is so far.

    Parameters
    ----------
    form : Form
    position : int
        Of the node whose rule is at work.
    inset : float
        Distance that numbers keep from jumps of a function, so that the program holds no input
        whose output rounding may change; 0: values on both sides of a jump count as attained.
    segments : int
        Of the exact form: into how many an interval is cut where a function is curved.
    """

    form: Form
    inset: float = 0.0
    segments: int = 1
    position: int = 0
    fills: list[Fill] = field(default_factory=list)
    binaries: list[np.ndarray] = field(default_factory=list)
    owners: list[np.ndarray] = field(default_factory=list)
    inputs_in_rows: list[InputsInRows] = field(default_factory=list)
    columns: int = 0
    rows: int = 0
    _lower: list[np.ndarray] = field(default_factory=list)
    _upper: list[np.ndarray] = field(default_factory=list)
    _integer: list[np.ndarray] = field(default_factory=list)
    _matrices: list[csr_matrix] = field(default_factory=list)
    _row_lower: list[np.ndarray] = field(default_factory=list)
    _row_upper: list[np.ndarray] = field(default_factory=list)
    _row_nodes: list[np.ndarray] = field(default_factory=list)
    _nodes: list[np.ndarray] = field(default_factory=list)
    _entries: list[np.ndarray] = field(default_factory=list)
    _roles: list[str] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        """True where kinks get binaries."""
        return self.form is Form.EXACT

    def add_columns(
        self,
        lower: np.ndarray,
        upper: np.ndarray,
        role: str = "part",
        entries: np.ndarray | None = None,
    ) -> np.ndarray:
        """Continuous columns between finite ends; returns their positions.

        ``role`` and ``entries``: see `Owners`.
        """
        return self._add_columns(lower, upper, role, entries, integer=False)

    def add_choices(self, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
        """Columns that are whole numbers in the exact form; of no neuron."""
        return self._add_columns(lower, upper, "choice", None, integer=self.exact)

    def add_binaries(self, node: int, entries: np.ndarray, role: str = "on") -> np.ndarray:
        """A binary for each of these entries of a nonlinear node; returns their positions."""
        count = len(entries)
        ends = np.zeros(count), np.ones(count)
        positions = self._add_columns(*ends, role, entries, integer=True)
        self.binaries.append(positions)
        self.owners.append(np.stack([np.full(count, node), entries], axis=1))
        return positions

    def _add_columns(
        self,
        lower: np.ndarray,
        upper: np.ndarray,
        role: str,
        entries: np.ndarray | None,
        *,
        integer: bool,
    ) -> np.ndarray:
        first = self.columns
        self._nodes.append(np.full(len(lower), self.position))
        self._entries.append(np.full(len(lower), -1) if entries is None else entries)
        self._roles += [role] * len(lower)
        self.columns += len(lower)
        self._lower.append(np.asarray(lower, dtype=np.float64))
        self._upper.append(np.asarray(upper, dtype=np.float64))
        self._integer.append(np.full(len(lower), integer))
        return np.arange(first, self.columns)

    def add_rows(
        self,
        *terms: tuple[csr_matrix, np.ndarray | None],
        lower: np.ndarray | float = -np.inf,
        upper: np.ndarray | float = np.inf,
    ) -> np.ndarray:
        """Constraints ``lower <= sum of terms <= upper``; returns their positions.

        Parameters
        ----------
        *terms : pairs
            A matrix of coefficients and None, or a matrix ``[rows, k]`` and the positions of the k
            columns that it multiplies.
        lower, upper : array ``[rows]`` or float
        """
        total: csr_matrix | None = None
        for matrix, positions in terms:
            if positions is not None:
                places = (np.ones(len(positions)), (np.arange(len(positions)), positions))
                matrix = matrix @ csr_matrix(places, shape=(len(positions), self.columns))
            matrix = widened(csr_matrix(matrix), self.columns)
            total = matrix if total is None else total + matrix
        assert total is not None
        total.eliminate_zeros()
        rows = total.shape[0]
        self._matrices.append(total)
        self._row_lower.append(np.broadcast_to(np.asarray(lower, dtype=np.float64), rows))
        self._row_upper.append(np.broadcast_to(np.asarray(upper, dtype=np.float64), rows))
        self._row_nodes.append(np.full(rows, self.position))
        first, self.rows = self.rows, self.rows + rows
        return np.arange(first, self.rows)

    def remember(
        self, node: int, entries: np.ndarray, rows: np.ndarray, factor: np.ndarray | float = 1.0
    ) -> None:
        """Note that these rows have these entries of a node's input, with minus a factor."""
        count = len(entries)
        factors = np.broadcast_to(np.asarray(factor, dtype=np.float64), count)
        self.inputs_in_rows.append(InputsInRows(np.full(count, node), entries, rows, factors))

    def add_scaled_rows(
        self,
        *terms: tuple[np.ndarray | float, np.ndarray],
        lower: np.ndarray | float = -np.inf,
        upper: np.ndarray | float = np.inf,
    ) -> None:
        """Constraints on single columns: terms are ``(factor [rows] or float, positions)``."""
        count = len(terms[0][1])
        matrices = [
            (diags(np.broadcast_to(np.asarray(factor, dtype=np.float64), count)), positions)
            for factor, positions in terms
        ]
        self.add_rows(*matrices, lower=lower, upper=upper)

    def range_of(self, expression: Expression) -> tuple[np.ndarray, np.ndarray]:
        """Bounds on an expression from those of its columns, rounded outward."""
        width = expression.matrix.shape[1]
        lower, upper = self._ends(width)
        positive, negative = expression.matrix.maximum(0), expression.matrix.minimum(0)
        low = positive @ lower + negative @ upper + expression.offset
        high = positive @ upper + negative @ lower + expression.offset
        sizes = abs(expression.matrix) @ np.maximum(np.abs(lower), np.abs(upper))
        lost = 2 * UNIT * (expression.sizes + 2) * (sizes + np.abs(expression.offset))
        return low - lost, high + lost

    def define(self, expression: Expression) -> Expression:
        """Columns that equal an expression, in its place: for what is heavy and used often."""
        positions = self.add_columns(*self.range_of(expression), "sum")
        identity = diags(np.ones(len(positions)))
        self.add_rows(
            (identity, positions),
            (-expression.matrix, None),
            lower=expression.offset,
            upper=expression.offset,
        )

        def fill(values: np.ndarray) -> None:
            values[positions] = expression.values(values)

        self.fills.append(fill)
        return columns_of(positions)

    def define_heavy(self, expression: Expression, most: int = 2) -> Expression:
        """The expression with columns for its entries of more than ``most`` terms."""
        heavy = np.flatnonzero(expression.sizes > most)
        if not len(heavy):
            return expression
        columns = self.define(expression[heavy])
        light = np.ones(len(expression), dtype=bool)
        light[heavy] = False
        rest = expression[np.flatnonzero(light)]
        order = np.argsort(np.concatenate([np.flatnonzero(light), heavy]))
        matrix = stacked([rest.matrix, columns.matrix], self.columns)[order]
        return Expression(matrix, np.concatenate([rest.offset, columns.offset])[order])

    def _ends(self, width: int) -> tuple[np.ndarray, np.ndarray]:
        for ends in (self._lower, self._upper):
            # Joined for good: rules ask again and again.
            if len(ends) != 1:
                ends[:] = [np.concatenate([np.zeros(0), *ends])]
        return self._lower[0][:width], self._upper[0][:width]

    def owners_of_columns(self) -> Owners:
        """The neurons of the columns so far."""
        none = np.zeros(0, dtype=np.int64)
        nodes, entries = (np.concatenate([none, *part]) for part in (self._nodes, self._entries))
        return Owners(nodes, entries, tuple(self._roles))

    def nodes_of_rows(self) -> np.ndarray:
        """The nodes whose rules have added the rows so far, ``[rows]``."""
        return np.concatenate([np.zeros(0, dtype=np.int64), *self._row_nodes])

    def problem(self) -> Problem:
        """The program as it is now."""
        lower, upper = self._ends(self.columns)
        return Problem(
            lower,
            upper,
            np.concatenate([np.zeros(0, dtype=bool), *self._integer]),
            stacked(self._matrices, self.columns),
            np.concatenate([np.zeros(0), *self._row_lower]),
            np.concatenate([np.zeros(0), *self._row_upper]),
        )


def product(builder: Builder, matrix: csr_matrix, expression: Expression) -> Expression:
    """``matrix @ expression``, with columns for heavy entries where that takes fewer terms."""
    composed = (matrix @ expression.matrix).tocsr()
    composed.sum_duplicates()
    composed.eliminate_zeros()
    heavy = expression.sizes > 2
    defined = matrix.nnz + int(expression.sizes[heavy].sum()) + 2 * int(heavy.sum())
    if composed.nnz > defined and heavy.any():
        light = builder.define_heavy(expression)
        composed = (matrix @ light.matrix).tocsr()
        composed.sum_duplicates()
        expression = light
    return Expression(composed, matrix @ expression.offset)
