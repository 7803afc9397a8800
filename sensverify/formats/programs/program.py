"""A network over one box as a linear or mixed-integer program with names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from sensverify.core.results import Guarantee
from sensverify.errors import BadShape, Unbounded


@dataclass(frozen=True)
class Column:
    """An unknown of a program, and the number in the network that it stands for.

    Parameters
    ----------
    name : str
        Letters, digits and underscores, which every reader of programs takes.
    role : {"input", "output", ...}
        ``input`` and ``output`` are those of the network. Of a function with kinks: ``below``,
        how far its argument is below the first kink, ``above`` (``above1``, ... in turn), the
        length of it on each later piece, ``on``, ``on1``, ..., the binary of each kink. Of a
        maximum: ``largest``, itself, ``gap``, how far an entry is from it, ``chosen``, the binary
        of the entry that is it. ``passed``, ``passed1``, ...: the binary of a jump. ``value``: a
        smooth function's. ``sum``: of other columns.
    node : str
        The name of the node in the network.
    index : tuple of int
        The entry of that node's argument (of inputs and outputs: of the node itself) without the
        batch axis; empty where the column is no single entry's.
    """

    name: str
    role: str
    node: str
    index: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Neurons:
    """Proven bounds on what enters a nonlinear node.

    Parameters
    ----------
    node, operator : str
        Name of the node, and of its operator.
    prefix : str
        Of the columns that belong to it.
    lower, upper : numpy array, float64, in the shape of the node's argument
    """

    node: str
    operator: str
    prefix: str
    lower: np.ndarray
    upper: np.ndarray


@dataclass(frozen=True)
class Relation:
    """One constraint: a sum of products, a sense, and a number.

    ``sense`` is ``<=``, ``>=`` or ``=``; ``columns`` and ``factors`` are of one length.
    """

    name: str
    columns: np.ndarray
    factors: np.ndarray
    sense: str
    right: float


@dataclass(frozen=True, eq=False)
class Program:
    """``row_lower <= matrix @ x <= row_upper, lower <= x <= upper``, with ``cost @ x`` to optimise.

    Parameters
    ----------
    columns : tuple of Column
        Names are unique.
    lower, upper : numpy array, float64, shape ``[columns]``
        Finite.
    integer : boolean numpy array, shape ``[columns]``
    matrix : CSR matrix, shape ``[rows, columns]``
    row_names : tuple of str
        Unique.
    row_lower, row_upper : numpy array, float64, shape ``[rows]``
        Infinite where there is no such side.
    neurons : tuple of Neurons
    guarantee : Guarantee
        Of the bounds on columns, and so of the program: whether it holds every input of the box
        with the network's output there, in real arithmetic.
    cost : numpy array, float64, shape ``[columns]``
    maximise : bool

    Raises
    ------
    BadShape
        The parts do not fit together, or two have one name.
    Unbounded
        A number is NaN, or infinite where it must not be.
    """

    columns: tuple[Column, ...]
    lower: np.ndarray
    upper: np.ndarray
    integer: np.ndarray
    matrix: csr_matrix
    row_names: tuple[str, ...]
    row_lower: np.ndarray
    row_upper: np.ndarray
    neurons: tuple[Neurons, ...]
    guarantee: Guarantee
    cost: np.ndarray
    maximise: bool = False

    def __post_init__(self) -> None:
        rows, columns = self.matrix.shape
        sides = (self.columns, self.lower, self.upper, self.integer, self.cost)
        others = (self.row_names, self.row_lower, self.row_upper)
        if [len(s) for s in (*sides, *others)] != [columns] * 5 + [rows] * 3:
            raise BadShape(f"the sides of a program do not fit its matrix of {rows} x {columns}")
        if len({c.name for c in self.columns}) < columns or len(set(self.row_names)) < rows:
            raise BadShape("two columns or two rows of a program have one name")
        finite = (self.lower, self.upper, self.cost, self.matrix.data)
        sides_ok = (self.row_lower < np.inf).all() and (self.row_upper > -np.inf).all()
        # Written so that a NaN fails it.
        if not (all(np.isfinite(part).all() for part in finite) and sides_ok):
            raise Unbounded("the program holds a number that is not finite", "use a smaller box")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(column.name for column in self.columns)

    def of_role(self, role: str) -> np.ndarray:
        """Positions of the columns with a role, in order: ``input`` in row-major order."""
        return np.array([i for i, c in enumerate(self.columns) if c.role == role], dtype=np.int64)

    def relations(self) -> Iterator[Relation]:
        """Its rows, each with one side: a row with two different ones is two relations."""
        matrix = self.matrix.tocsr()
        for row, name in enumerate(self.row_names):
            span = slice(matrix.indptr[row], matrix.indptr[row + 1])
            terms = matrix.indices[span], matrix.data[span]
            low, high = float(self.row_lower[row]), float(self.row_upper[row])
            if low == high:
                yield Relation(name, *terms, "=", low)
                continue
            both = np.isfinite(low) and np.isfinite(high)
            if np.isfinite(low):
                yield Relation(f"{name}_low" if both else name, *terms, ">=", low)
            if np.isfinite(high):
                yield Relation(f"{name}_high" if both else name, *terms, "<=", high)
