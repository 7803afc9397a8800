"""The operators a network is made of.

Importers lower every model to these, and every method has one rule for each. Shapes never include
the batch axis. Parameters are numpy arrays (a network read from a file) or torch tensors (a live
``torch.nn.Module``); nothing here looks inside of them.

Affine maps: `Affine`, `Conv`, `ConvTranspose`, `Scale`, `Divide`, `BatchNorm`, `Pad`, `Select`,
`Permute`, `Reshape`, `Add`, `Concat`. Nonlinear functions of one number, linear between kinks:
`Relu`, `LeakyRelu`, `Clip`, `Abs`; smooth: `Sigmoid`, `Tanh`. Nonlinear functions of several
numbers: `Max`, `Product`.

A nonlinear function of one number declares facts (`PiecewiseLinear`, `Smooth`), and intervals,
relaxations, rounding, counts of unstable neurons and mixed-integer programs follow from these. So
an operator of one's own is a class with its facts; a rule registered for it goes first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from sensverify.core.box import Array
from sensverify.errors import MissingRule

Values = TypeVar("Values", bound=Array)


@dataclass(frozen=True, eq=False)
class Operator:
    """Base class of everything a node can do."""


class Linear(Operator):
    """An affine map of its inputs."""


class Nonlinear(Operator):
    """A function that linear bounds need a relaxation of."""


class Elementwise(Nonlinear):
    """A nonlinear function applied to every number on its own.

    One that is neither `PiecewiseLinear` nor `Smooth` declares no more than its value: methods have
    to be given their rules for it.
    """

    def value(self, x: Values, xp: Any) -> Values:
        """The function, entry by entry.

        Parameters
        ----------
        x : Tensor or numpy array
        xp : module of functions
            ``torch`` for a tensor, `sensverify.network.functions.NUMPY` for an array: the same
            names for both, such as ``xp.exp``, ``xp.log1p``, ``xp.relu``, ``xp.where``.
        """
        raise self._undeclared("value")

    def _undeclared(self, fact: str) -> MissingRule:
        name = type(self).__name__
        return MissingRule(
            f"operator {name} does not declare its {fact}",
            f"define {name}.{fact}, or register rules for it with the method",
        )


class PiecewiseLinear(Elementwise):
    """A continuous function of one number that is linear between kinks.

    Attributes
    ----------
    kinks : tuple of float
        Where the slope changes, ascending; an infinite one is none.
    slopes : tuple of float or array
        One more than kinks: of the pieces from left to right. Arrays broadcast to x.
    """

    @property
    def kinks(self) -> tuple[float, ...]:
        raise self._undeclared("kinks")

    @property
    def slopes(self) -> tuple[Any, ...]:
        raise self._undeclared("slopes")

    @property
    def rising(self) -> bool | None:
        """True where the function never falls, False: it never rises; None: neither is sure."""
        if not all(isinstance(slope, float | int) for slope in self.slopes):
            return None
        if min(self.slopes) >= 0:
            return True
        return False if max(self.slopes) <= 0 else None


class Smooth(Elementwise):
    """A differentiable function of one number, curved to one side between inflections.

    Attributes
    ----------
    inflections : tuple of float
        Where the function changes between convex and concave, ascending.
    convex : bool
        Whether it is convex to the left of the first inflection; without one, everywhere.
    rising : bool or None
        True: it never falls. False: it never rises. None: found out from the derivative.
    odd : bool
        Whether ``value(x) - value(0)`` is odd.
    """

    inflections: tuple[float, ...] = ()
    rising: bool | None = None
    odd: bool = False

    @property
    def convex(self) -> bool:
        raise self._undeclared("convex")

    def derivative(self, x: Values, xp: Any) -> Values:
        """The derivative, entry by entry; arguments as for `value`."""
        raise self._undeclared("derivative")


@dataclass(frozen=True, eq=False)
class Input(Operator):
    """The network's one input."""

    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Affine(Linear):
    """``y = x @ weight.T + bias`` along the last axis.

    ``weight``: ``[out, in]``; ``bias``: ``[out]`` or None; x: ``[..., in]``.
    """

    weight: Array
    bias: Array | None = None


@dataclass(frozen=True, eq=False)
class Conv(Linear):
    """Cross-correlation over one to three spatial axes, as in torch and ONNX.

    ``weight``: ``[out, in / groups, *kernel]``; ``bias``: ``[out]`` or None; x: ``[in, *spatial]``.
    ``padding`` is symmetric zero padding; an asymmetric one is a `Pad` before the convolution.
    """

    weight: Array
    bias: Array | None
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1


@dataclass(frozen=True, eq=False)
class ConvTranspose(Linear):
    """The transpose of `Conv`, plus a bias.

    ``weight``: ``[in, out / groups, *kernel]``; ``bias``: ``[out]`` or None; x: ``[in, *spatial]``.
    """

    weight: Array
    bias: Array | None
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    output_padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1


@dataclass(frozen=True, eq=False)
class Scale(Linear):
    """``y = scale * x + shift``; both broadcast to the shape of x, either may be None."""

    scale: Array | None = None
    shift: Array | None = None


@dataclass(frozen=True, eq=False)
class Divide(Linear):
    """``y = x / divisor``; ``divisor`` broadcasts to the shape of x and is nowhere 0.

    Kept apart from `Scale` so that a network holds the numbers of its file, where a reciprocal
    would be rounded; rewritten to `Scale` before any bound is computed.
    """

    divisor: Array


@dataclass(frozen=True, eq=False)
class BatchNorm(Linear):
    """Batch normalisation with its evaluation statistics, over the channels (axis 0).

    ``y = (x - mean) / sqrt(variance + epsilon) * weight + bias``. Kept apart from `Scale` so that
    bounds of a live module follow its parameters, and a network holds the numbers of its file;
    rewritten to `Scale` before any bound is computed.
    """

    weight: Array | None
    bias: Array | None
    mean: Array
    variance: Array
    epsilon: float


@dataclass(frozen=True, eq=False)
class Pad(Linear):
    """Surround x with a constant: ``before`` and ``after`` hold one count for every axis."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    value: float = 0.0


@dataclass(frozen=True, eq=False)
class Select(Linear):
    """Pick entries: ``y = x.flatten()[indices]``.

    ``indices`` is an integer numpy array of the output's shape. Slices, splits, gathers, expands,
    windows of a pooling layer and reflected padding are all of this form.
    """

    indices: Array


@dataclass(frozen=True, eq=False)
class Permute(Linear):
    """``y = x.transpose(axes)``."""

    axes: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Reshape(Linear):
    """The same numbers in row-major order under another shape."""

    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Add(Linear):
    """The sum of two or more inputs of one shape."""


@dataclass(frozen=True, eq=False)
class Concat(Linear):
    """Inputs joined along one axis."""

    axis: int


@dataclass(frozen=True, eq=False)
class Relu(PiecewiseLinear):
    """``max(x, 0)``."""

    kinks = (0.0,)
    slopes = (0.0, 1.0)

    def value(self, x: Values, xp: Any) -> Values:
        return xp.relu(x)


@dataclass(frozen=True, eq=False)
class LeakyRelu(PiecewiseLinear):
    """``x`` above zero and ``slope * x`` below; ``slope`` broadcasts to x and may be any number.

    Covers PReLU.
    """

    slope: Array

    kinks = (0.0,)

    @property
    def slopes(self) -> tuple[Any, ...]:
        return (self.slope, 1.0)

    def value(self, x: Values, xp: Any) -> Values:
        return xp.where(x >= 0, x, self.slope * x)


@dataclass(frozen=True, eq=False)
class Clip(PiecewiseLinear):
    """``min(max(x, low), high)``; an end may be infinite. Covers HardTanh and ReLU6."""

    low: float
    high: float

    slopes = (0.0, 1.0, 0.0)

    @property
    def kinks(self) -> tuple[float, ...]:
        return (self.low, self.high)

    def value(self, x: Values, xp: Any) -> Values:
        return xp.clip(x, self.low, self.high)


@dataclass(frozen=True, eq=False)
class Abs(PiecewiseLinear):
    """``|x|``."""

    kinks = (0.0,)
    slopes = (-1.0, 1.0)

    def value(self, x: Values, xp: Any) -> Values:
        return xp.abs(x)


@dataclass(frozen=True, eq=False)
class Sigmoid(Smooth):
    """``1 / (1 + exp(-x))``."""

    convex = True
    inflections = (0.0,)
    rising = True
    odd = True

    def value(self, x: Values, xp: Any) -> Values:
        return xp.sigmoid(x)

    def derivative(self, x: Values, xp: Any) -> Values:
        value = xp.sigmoid(x)
        return value * (1 - value)


@dataclass(frozen=True, eq=False)
class Tanh(Smooth):
    """``tanh(x)``."""

    convex = True
    inflections = (0.0,)
    rising = True
    odd = True

    def value(self, x: Values, xp: Any) -> Values:
        return xp.tanh(x)

    def derivative(self, x: Values, xp: Any) -> Values:
        return 1 - xp.tanh(x) ** 2


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
