"""Nonlinear functions of several numbers."""

from __future__ import annotations

from dataclasses import dataclass

from sensverify.network.operators.base import Elementwise, Nonlinear


class Windowed(Nonlinear):
    """A function of the numbers along the last axis, which disappears."""


@dataclass(frozen=True, eq=False)
class Max(Windowed):
    """The largest number along the last axis, which disappears.

    A pooling layer is a `Select` that lists every window, then this.
    """


@dataclass(frozen=True, eq=False)
class Product(Windowed):
    """The product of the two numbers along the last axis, which disappears.

    A product of matrices is a `Select` that lists every pair, then this, then sums.
    """


@dataclass(frozen=True, eq=False)
class Share(Windowed):
    """``1 / (1 + sum(exp(x)))`` of the numbers along the last axis, which disappears.

    The share that a softmax gives an entry, x being the other entries less it: what all entries
    have in common is gone before any bound is taken.
    """


@dataclass(frozen=True, eq=False)
class Increment(Windowed):
    """``f(x + d) - f(x)`` of the two numbers x and d along the last axis, which disappears.

    What a function makes of a difference: two networks in one carry the differences of their
    neurons through this.

    ``function``: `PiecewiseLinear` or `Smooth`; its parameters broadcast to x.
    """

    function: Elementwise
