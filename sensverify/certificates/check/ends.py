"""The last sum of a pass over an input set, with what rounding may have taken from it."""

from __future__ import annotations

import numpy as np

from sensverify.certificates.check.arithmetic import Arithmetic, Numbers


class End:
    """A sum while it grows, with what rounding may have taken from it."""

    def __init__(
        self, arithmetic: Arithmetic, coefficient: Numbers, low: Numbers, high: Numbers
    ) -> None:
        self.arithmetic, self.coefficient = arithmetic, coefficient
        self.low, self.high = low, high
        self.total: Numbers = 0
        self.lost: Numbers = 0

    @property
    def floats(self) -> np.ndarray:
        """The coefficients as float64, rounded anyhow."""
        return self.arithmetic.floats(self.coefficient, -1)

    def add(self, amount: Numbers, operations: int) -> None:
        """One more amount, in which so many operations have rounded."""
        self.total = self.total + amount
        unit = self.arithmetic.unit
        if unit:
            self.lost = self.lost + 2 * unit * (abs(self.total) + operations * abs(amount))

    def dot(self, first: Numbers, second: Numbers) -> None:
        """A sum of products along the last axis."""
        terms = first * second
        self.add(terms.sum(axis=-1), 0)
        gamma = self.arithmetic.gamma(terms.shape[-1] + 2)
        self.lost = self.lost + gamma * abs(terms).sum(axis=-1) + self.underflow(abs(second[:, 0]))

    def along(self, terms: Numbers, least: Numbers, most: Numbers, magnitudes: Numbers) -> None:
        """The least of a number between two ends ``[cells, 1]``, times the sum of some terms.

        Parameters
        ----------
        terms : Numbers ``[cells, rows, features]``
            Products of two or three numbers.
        magnitudes : Numbers ``[cells, features]``
            Of what the terms are products with.
        """
        weight = terms.sum(axis=-1)
        lost = self.arithmetic.gamma(terms.shape[-1] + 2) * abs(terms).sum(axis=-1)
        lost = lost + self.underflow(magnitudes)
        self.add(np.maximum(weight, 0) * least + np.minimum(weight, 0) * most, 4)
        self.lost = self.lost + lost * np.maximum(abs(least), abs(most))

    def corner(self, cost: Numbers, unsure: Numbers | None = None) -> None:
        """The least value of a cost over the box; each number of it is rounded once, or unsure."""
        terms = np.maximum(cost, 0) * self.low + np.minimum(cost, 0) * self.high
        self.add(terms.sum(axis=-1), 0)
        if not self.arithmetic.unit:
            return
        size = np.maximum(abs(self.low), abs(self.high))
        if unsure is None:
            unsure = 2 * self.arithmetic.unit * abs(cost)
        self.lost = self.lost + (unsure * size).sum(axis=-1)
        self.lost = self.lost + self.arithmetic.gamma(terms.shape[-1] + 2) * abs(terms).sum(axis=-1)
        self.lost = self.lost + self.underflow(size[:, 0])

    def underflow(self, magnitudes: Numbers) -> Numbers:
        """More than underflow can take, ``[cells, 1]``; twice, for what made the factors."""
        found = self.arithmetic.floor(magnitudes)
        return 2 * found[:, None] if isinstance(found, np.ndarray) else found
