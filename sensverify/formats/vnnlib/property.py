"""A property of the inputs and outputs of a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod

import numpy as np

from sensverify.core.queries import Query
from sensverify.formats.vnnlib.formula import Constraint
from sensverify.network.order import same_order


@dataclass(frozen=True, eq=False)
class Case:
    """One input box of a property, with all constraints over it.

    A decimal bound is seldom a float64 number. The box of the query is rounded outward, and so are
    the limits of its constraints, so that "no" to the query is "no" to the file. A witness is held
    against the file's own numbers instead: ``lower``, ``upper`` and `met_by`.

    Parameters
    ----------
    query : Query
        Over flattened inputs: a box of shape ``[1, inputs]``.
    lower, upper : numpy array, shape ``[inputs]``, float64
        The smallest and the largest float64 number that the file allows for each input. A number
        that float64 holds (and so every float32 one) is in the file's exact box if and only if it
        lies between them. Where float64 holds no number between the file's two ends (an input
        fixed to 0.1), they are the float64 numbers nearest to the ends, as everybody reads such a
        file; with a strict bound they are left crossed, and there is no witness.
    constraints : tuple of Constraint
        The rows of the query in exact numbers.
    """

    query: Query
    lower: np.ndarray
    upper: np.ndarray
    constraints: tuple[Constraint, ...]

    def met_by(self, outputs: np.ndarray) -> bool:
        """True where outputs, of shape ``[outputs]``, meet the file's own constraints exactly.

        Parameters
        ----------
        outputs : numpy array, any floating dtype
            NaN and infinity meet nothing.
        """
        if not np.isfinite(outputs).all():
            return False
        exact = [Fraction(value) for value in outputs.astype(np.float64).tolist()]
        held = [_holds(constraint, exact) for constraint in self.constraints]
        return any(all(held[i] for i in part) for part in self.query.alternatives)


@dataclass(frozen=True, eq=False)
class Property:
    """Is there an input that meets one of several queries? "sat" if there is, "unsat" if not.

    Parameters
    ----------
    input_shape, output_shape : tuple of int
        Shapes that the file declares: X_0 to X_4 are of shape ``(5,)``, ``X_0_0`` to ``X_1_2`` of
        shape ``(2, 3)``, in row-major order, as the network's input and output are.
    cases : tuple of Case
        One for each input box; none where the file contradicts itself, which makes it unsat.
    version : int
        Of VNN-LIB. A text of version 2 says in which arithmetic it is meant.
    """

    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    cases: tuple[Case, ...]
    version: int = 1

    @property
    def inputs(self) -> int:
        """Number of inputs X that the file declares."""
        return prod(self.input_shape)

    @property
    def outputs(self) -> int:
        """Number of outputs Y that the file declares."""
        return prod(self.output_shape)

    @property
    def queries(self) -> tuple[Query, ...]:
        """The query of every case."""
        return tuple(case.query for case in self.cases)

    def shape_mismatch(
        self, input_shape: tuple[int, ...], output_shape: tuple[int, ...], who: str
    ) -> str | None:
        """Reason why the property does not fit a network of these shapes; None where it does."""
        for declared, shape, what in (
            (self.input_shape, input_shape, "inputs X_i"),
            (self.output_shape, output_shape, "outputs Y_j"),
        ):
            count = prod(declared)
            if count != prod(shape):
                return f"declares {count} {what}, but {who} has {prod(shape)} (shape {shape})"
            if not same_order(declared, shape):
                return (
                    f"declares {what} of shape {declared}, but {who} has them in the shape "
                    f"{shape}: as many numbers in another order"
                )
        return None


def _holds(constraint: Constraint, outputs: Sequence[Fraction]) -> bool:
    value = sum((factor * outputs[i] for i, factor in constraint.factors), Fraction(0))
    return value < constraint.limit if constraint.strict else value <= constraint.limit
