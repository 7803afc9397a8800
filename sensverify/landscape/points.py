"""Stationary points of an energy, and the links that saddles make between minima."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from sensverify.errors import InputError

Kind = Literal["minimum", "saddle"]


@dataclass(frozen=True, eq=False)
class ReluEnd:
    """The end of a descent on an energy with kinks: of a minimum as its activation becomes ReLU, or
    of a search with ReLU itself.

    Parameters
    ----------
    weights : numpy array, shape ``[size]``
    energy : float
        With ReLU.
    gradient_norm : float
        Length of the one gradient that automatic differentiation gives at the weights; 0 is taken
        as the derivative at a kink.
    stationarity : float
        Length of the shortest convex combination of gradients within ``radius`` of the weights: 0
        at a stationary point of a function with kinks.
    radius : float
        How far away the gradients were taken.
    gradients : int
        How many were taken.
    passed : bool
        Whether the stationarity is within its tolerance.
    """

    weights: np.ndarray
    energy: float
    gradient_norm: float
    stationarity: float
    radius: float
    gradients: int
    passed: bool


@dataclass(frozen=True, eq=False)
class StationaryPoint:
    """A minimum or a saddle.

    Parameters
    ----------
    key : str
        ``m1``, ``m2``, ... for minima and ``s1``, ... for saddles, as they were found; empty before
        the point is in a database.
    weights : numpy array, shape ``[size]``, float64
    energy, gradient_norm : float
    spectrum : numpy array, shape ``[size]``
        Eigenvalues of the Hessian, ascending; NaN at kinks, where there is none.
    negative, zero : int
        Numbers of eigenvalues below ``-zero_tolerance`` and within it.
    zero_tolerance : float
        In the units of the eigenvalues.
    stationary : bool
        Whether the gradient was within its tolerance; of an end at kinks, whether that passed.
    origin : str
        What found it first: ``start``, ``hop``, ``climb``, ``path``.
    relu : ReluEnd, optional
    """

    weights: np.ndarray
    energy: float
    gradient_norm: float
    spectrum: np.ndarray
    negative: int
    zero: int
    zero_tolerance: float
    stationary: bool = True
    origin: str = "start"
    relu: ReluEnd | None = None
    key: str = ""

    @property
    def kind(self) -> Kind:
        """By the number of negative eigenvalues.

        Raises
        ------
        InputError
            There are more than one.
        """
        if self.negative > 1:
            raise InputError(f"a point of index {self.negative} is neither a minimum nor a saddle")
        return "saddle" if self.negative else "minimum"

    @property
    def log_volume(self) -> float:
        """``-sum(log(eigenvalue)) / 2`` over the positive eigenvalues: of the basin, as a Gaussian
        has it, but for a constant; NaN where there are zero modes, and at kinks.
        """
        if self.zero or not np.isfinite(self.spectrum).all():
            return float("nan")
        positive = self.spectrum[self.spectrum > self.zero_tolerance]
        return float(-0.5 * np.log(positive).sum())

    @property
    def final_weights(self) -> np.ndarray:
        """The weights with ReLU, where the point was continued to it."""
        return self.weights if self.relu is None else self.relu.weights

    @property
    def final_energy(self) -> float:
        """The energy with ReLU, where the point was continued to it."""
        return self.energy if self.relu is None else self.relu.energy


@dataclass(frozen=True, eq=False)
class DescentPath:
    """A steepest-descent path, as some of its points have it.

    Parameters
    ----------
    lengths : numpy array, shape ``[steps]``
        Of the path up to each point.
    energies : numpy array, shape ``[steps]``
        Never rising, but for rounding.
    """

    lengths: np.ndarray
    energies: np.ndarray


@dataclass(frozen=True, eq=False)
class Link:
    """A saddle between two minima, or twice the same.

    Parameters
    ----------
    saddle : str
        Its key.
    minima : (str, str)
        Keys of the ends of the two descent paths; equivalent ends have one key.
    paths : (DescentPath, DescentPath)
    """

    saddle: str
    minima: tuple[str, str]
    paths: tuple[DescentPath, DescentPath] = field(repr=False)

    @property
    def connects(self) -> bool:
        """True where the minima are two."""
        return self.minima[0] != self.minima[1]
