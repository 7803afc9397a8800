"""Affine functions of a program's columns, one for every entry of an array."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix, vstack


@dataclass(frozen=True, eq=False)
class Expression:
    """``matrix @ x + offset``, one row for every entry of a node's output in row-major order.

    The matrix may have fewer columns than the program has by now: those that came later do not
    occur.

    Parameters
    ----------
    matrix : CSR matrix, shape ``[entries, columns]``
    offset : numpy array, shape ``[entries]``
    """

    matrix: csr_matrix
    offset: np.ndarray

    def __len__(self) -> int:
        return len(self.offset)

    def __getitem__(self, entries: np.ndarray) -> Expression:
        return Expression(self.matrix[entries], self.offset[entries])

    @property
    def sizes(self) -> np.ndarray:
        """The number of columns that occur in each entry, ``[entries]``."""
        return np.diff(self.matrix.indptr)

    def values(self, points: np.ndarray) -> np.ndarray:
        """Values ``[entries, points]`` at columns ``[columns or more, points]``."""
        return self.matrix @ points[: self.matrix.shape[1]] + self.offset[:, None]

    def scaled(self, factor: np.ndarray, shift: np.ndarray) -> Expression:
        """``factor * self + shift``, both ``[entries]``; a factor of zero leaves no columns."""
        matrix = self.matrix.copy()
        matrix.data *= np.repeat(factor, self.sizes)
        matrix.eliminate_zeros()
        return Expression(matrix, np.where(factor == 0, 0.0, factor * self.offset) + shift)


def columns_of(positions: np.ndarray) -> Expression:
    """The columns at these positions themselves."""
    count = len(positions)
    width = int(positions.max()) + 1 if count else 0
    data = (np.ones(count), (np.arange(count), positions))
    return Expression(csr_matrix(data, shape=(count, width)), np.zeros(count))


def constants(values: np.ndarray) -> Expression:
    """Numbers in which no column occurs."""
    return Expression(csr_matrix((len(values), 0)), np.asarray(values, dtype=np.float64))


def widened(matrix: csr_matrix, columns: int) -> csr_matrix:
    """The same matrix with more columns, all of them empty; shares its memory."""
    # Sorted first: an operation on the result would sort the shared arrays, and only one of the
    # two matrices would know.
    matrix.sum_duplicates()
    parts = (matrix.data, matrix.indices, matrix.indptr)
    result = csr_matrix(parts, shape=(matrix.shape[0], columns))
    result.has_canonical_format = True
    return result


def stacked(parts: list[csr_matrix], columns: int) -> csr_matrix:
    """Matrices of at most that many columns below one another."""
    if not parts:
        return csr_matrix((0, columns))
    return vstack([widened(part, columns) for part in parts], format="csr")


def summed(*terms: Expression) -> Expression:
    """The sum of expressions of one length."""
    columns = max(term.matrix.shape[1] for term in terms)
    matrix, offset = widened(terms[0].matrix, columns), terms[0].offset
    for term in terms[1:]:
        matrix = matrix + widened(term.matrix, columns)
        offset = offset + term.offset
    matrix.eliminate_zeros()
    return Expression(matrix, offset)


def joined(*parts: Expression) -> Expression:
    """Expressions after one another."""
    columns = max(part.matrix.shape[1] for part in parts)
    matrix = stacked([part.matrix for part in parts], columns)
    return Expression(matrix, np.concatenate([part.offset for part in parts]))


def scattered(length: int, *pieces: tuple[np.ndarray, Expression]) -> Expression:
    """An expression put together from pieces, each with the entries that it takes.

    Together the entries are all of ``range(length)``, each once.
    """
    whole = joined(*(piece for _, piece in pieces))
    places = np.concatenate([entries for entries, _ in pieces])
    order = np.empty(length, dtype=np.int64)
    order[places] = np.arange(length)
    return whole[order]
