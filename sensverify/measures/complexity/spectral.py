"""Largest singular values of a network's linear layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import pi, prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sensverify.bounds.adjoint import adjoint
from sensverify.bounds.forward import apply
from sensverify.errors import BadSetting
from sensverify.measures.measure import Measure, MeasuredClassifier, Reading
from sensverify.network import Network
from sensverify.network.operators import Affine, Conv, ConvTranspose

Layer = Affine | Conv | ConvTranspose

OPERATORS = ("convolution", "kernel", "circular")
READINGS = ("half-squares", "sum", "largest", "product")

ACCURACY = 1e-5
"""Relative error at which iteration without a given number of steps stops."""

_ENTRIES_AT_ONCE = 1 << 24
_MOST_STEPS = 200
_FIRST_STEPS = 10


@dataclass(frozen=True)
class Spectral:
    """The meaning of SPECTRAL: which matrix a convolution is, and which figure of the norms.

    Parameters
    ----------
    operator : str
        ``convolution``, the map that a convolution is on its own input size, with its stride and
        padding; ``kernel``, its kernel as a matrix ``[out, in / groups * kernel]``, as in the
        source, or of a transposed convolution ``[out / groups, in * kernel]``; ``circular``, the
        convolution as if its input went on periodically, by Fourier transform: another number
        than that of the layer with its zero padding, and only for layers of stride 1. Fully
        connected layers are the same every way.
    reading : str
        Of the layers' norms: ``half-squares``, half the sum of their squares, the penalty of the
        source; ``sum``; ``largest``; or ``product``, a Lipschitz constant of a chain of these
        layers and ReLUs (with ``convolution``).

    Raises
    ------
    BadSetting
        There is no such operator or reading.

    Notes
    -----
    Source: Yoshida & Miyato 2017, *Spectral norm regularization for improving the generalizability
    of deep learning*, Eq. 3. The seed reports "the Spectral loss from" there and does not say how
    it takes a convolution. ``circular``: Sedghi, Gupta & Long 2019, *The singular values of
    convolutional layers*.
    """

    operator: str = "convolution"
    reading: str = "half-squares"

    def __post_init__(self) -> None:
        _check("operator", self.operator, OPERATORS)
        _check("reading", self.reading, READINGS)

    def of(self, norms: list[Tensor]) -> Tensor:
        """The figure of a network with these norms of its layers, a differentiable scalar.

        Zero for a network without layers.
        """
        if not norms:
            return torch.zeros(())
        values = torch.stack(norms)
        if self.reading == "half-squares":
            return values.square().sum() / 2
        if self.reading == "sum":
            return values.sum()
        return values.amax() if self.reading == "largest" else values.prod()


def spectral_norms(
    network: Network,
    *,
    operator: str = "convolution",
    iterations: int | None = None,
    vectors: dict[str, Tensor] | None = None,
) -> list[Tensor]:
    """Largest singular value of every fully connected and convolutional layer, in order.

    Average pooling is left out: nothing about it is learnt.

    Parameters
    ----------
    network : Network
        Read from a file or live.
    operator : str
        See `Spectral`.
    iterations : int or None
        So many steps of power iteration; None goes on, with Lanczos steps, until the error is
        proven to be below 1e-5 of the value (of some singular value, which with a random start is
        the largest one), or 200 steps are done.
    vectors : dict, optional
        Right singular vectors by keys that begin with ``spectral/``. What is there is where power
        iteration begins, and what it ends with is stored: then few iterations are enough while
        weights change slowly. A layer that has none yet is given ten steps more.

    Returns
    -------
    list of Tensor, scalars
        Of the weights' dtype, and differentiable in live ones: ``u A v`` with fixed singular
        vectors u and v, whose derivative in A is ``u v^T``. Never above the true value but for
        rounding.

    Raises
    ------
    MissingRule
        Operators of the network are not known.
    BadSetting
        There is no such operator, ``iterations`` is not at least 1, or a convolution has another
        stride than 1 where ``circular`` was asked for.

    Notes
    -----
    Source: Yoshida & Miyato 2017, Algorithm 1, and Golub & Kahan 1965 for the Lanczos steps.
    """
    network.require_operators()
    _check("operator", operator, OPERATORS)
    if iterations is not None and iterations < 1:
        raise BadSetting(f"power iteration needs at least 1 step, got {iterations}")
    norms = []
    for place, node in enumerate(network.nodes):
        if not isinstance(node.operator, Layer):
            continue
        shape = network.nodes[node.inputs[0]].shape
        if averages(node.operator, shape):
            continue
        if operator == "circular" and not isinstance(node.operator, Affine):
            norms.append(_circular(node.operator, shape))
            continue
        layer = _linear_map(node.operator, shape, operator)
        key = f"spectral/{operator}/{place}"
        norms.append(_largest(layer, iterations, vectors, key))
    return norms


def spectral_norm(layer: Layer, shape: tuple[int, ...], *, operator: str = "convolution") -> Tensor:
    """Largest singular value of one layer, a scalar: see `spectral_norms`.

    Parameters
    ----------
    layer : Affine, Conv or ConvTranspose
    shape : tuple of int
        Of one sample that goes into it.
    operator : str
        See `Spectral`.

    Raises
    ------
    BadSetting
        There is no such operator, or it is not defined for this layer.
    """
    _check("operator", operator, OPERATORS)
    if operator == "circular" and not isinstance(layer, Affine):
        return _circular(layer, shape)
    return _largest(_linear_map(layer, shape, operator), None, None, "")


@dataclass(frozen=True, eq=False)
class _LinearMap:
    """A matrix given by what it does to vectors; both functions take and return flat ones."""

    forward: Callable[[Tensor], Tensor]
    transpose: Callable[[Tensor], Tensor]
    rows: int
    columns: int
    like: Tensor


def _linear_map(layer: Layer, shape: tuple[int, ...], operator: str) -> _LinearMap:
    weight = _tensor(layer.weight)
    if operator == "kernel" or isinstance(layer, Affine):
        # A transposed convolution lists its inputs first.
        rows_first = weight.transpose(0, 1) if isinstance(layer, ConvTranspose) else weight
        matrix = rows_first.flatten(1)
        rows, columns = matrix.shape
        return _LinearMap(lambda v: matrix @ v, lambda u: u @ matrix, rows, columns, weight)
    layer = replace(layer, weight=weight, bias=None)
    with torch.no_grad():
        out = apply(layer, weight.new_zeros(1, *shape)).shape[1:]
    return _LinearMap(
        lambda v: apply(layer, v.reshape(1, *shape)).flatten(),
        lambda u: adjoint(layer, u.reshape(1, 1, *out), (shape,))[0].flatten(),
        prod(out),
        prod(shape),
        weight,
    )


def _largest(
    layer: _LinearMap, iterations: int | None, vectors: dict[str, Tensor] | None, key: str
) -> Tensor:
    with torch.no_grad():
        right = (vectors or {}).get(key)
        if right is None or right.shape != (layer.columns,):
            right, extra = _start(layer), _FIRST_STEPS
        else:
            right, extra = right.to(layer.like), 0
        if iterations is None:
            left, right = _lanczos(layer, right)
        else:
            left, right = _power(layer, right, iterations + extra)
        # A matrix of zeros says nothing about where to go on.
        if vectors is not None and bool(left.any()):
            vectors[key] = right.clone()
    return left @ layer.forward(right)


def _power(layer: _LinearMap, right: Tensor, iterations: int) -> tuple[Tensor, Tensor]:
    """Left and right vectors of length 1; the left one is zero where the product is."""
    for _ in range(iterations):
        back = layer.transpose(_normalised(layer.forward(right)))
        right = _normalised(back) if bool(back.any()) else right
    return _normalised(layer.forward(right)), right


def _lanczos(layer: _LinearMap, right: Tensor) -> tuple[Tensor, Tensor]:
    """Golub-Kahan bidiagonalisation with all vectors kept orthogonal."""
    # Begun among the rows' combinations, there are never more steps than rows.
    rights = [_normalised(layer.transpose(layer.forward(right)))]
    out = layer.forward(rights[0])
    lefts = [_normalised(out)]
    # A V = U B: the diagonal of B, and the entries above it.
    diagonal: list[Tensor] = [out.norm()]
    above: list[Tensor] = []
    if not bool(torch.isfinite(diagonal[0])):
        return lefts[0], rights[0]
    limit = min(layer.rows, layer.columns, _MOST_STEPS)
    while True:
        small = torch.diag(torch.stack(diagonal))
        if above:
            small = small + torch.diag(torch.stack(above), 1)
        left, values, right = torch.linalg.svd(small)
        back = layer.transpose(lefts[-1]) - diagonal[-1] * rights[-1]
        back = _orthogonal(back, rights)
        # What is missing to a singular triplet; a singular value is no further away than this.
        missing = back.norm() * left[-1, 0].abs()
        # Written so that a NaN ends it.
        if len(rights) >= limit or not bool(missing > ACCURACY * values[0]):
            break
        above.append(back.norm())
        rights.append(_normalised(back))
        out = _orthogonal(layer.forward(rights[-1]) - above[-1] * lefts[-1], lefts)
        diagonal.append(out.norm())
        lefts.append(_normalised(out))
    best = _normalised(right[0] @ torch.stack(rights))
    return _normalised(layer.forward(best)), best


def _orthogonal(vector: Tensor, others: list[Tensor]) -> Tensor:
    basis = torch.stack(others)
    for _ in range(2):
        vector = vector - (basis @ vector) @ basis
    return vector


def _normalised(vector: Tensor) -> Tensor:
    norm = vector.norm()
    return torch.where(norm > 0, vector / norm, torch.zeros_like(vector))


def _circular(layer: Conv | ConvTranspose, shape: tuple[int, ...]) -> Tensor:
    """Norm of the convolution whose input goes on periodically: no matrix but one a frequency."""
    if any(step != 1 for step in layer.stride):
        raise BadSetting(
            f"spectral: operator circular is for convolutions of stride 1, got stride "
            f"{layer.stride}",
            "use `operator=convolution`",
        )
    weight = _tensor(layer.weight)
    rows, columns, *kernel = weight.shape
    # Rows of one group are next to each other; a transposed kernel has the same singular values.
    blocks = weight.reshape(layer.groups, rows // layer.groups, columns, -1)
    wide = torch.complex128 if weight.dtype == torch.float64 else torch.complex64
    spatial = shape[1:]
    offsets = _grid(kernel) * torch.tensor(layer.dilation, dtype=torch.float64)
    frequencies = _grid(spatial) / torch.tensor(spatial, dtype=torch.float64)
    largest = weight.new_zeros(())
    for part in frequencies.split(max(1, _ENTRIES_AT_ONCE // (rows * columns))):
        # One product instead of a padded transform: kernels may be larger than the input.
        phases = torch.polar(torch.ones(()).double(), -2 * pi * (offsets @ part.T)).to(
            weight.device, wide
        )
        values = torch.linalg.svdvals((blocks.to(wide) @ phases).movedim(-1, 0))
        largest = torch.maximum(largest, values.amax())
    return largest


def _grid(sizes: Sequence[int]) -> Tensor:
    """Every place of a grid, ``[places, axes]``."""
    axes = [torch.arange(n, dtype=torch.float64) for n in sizes]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, len(axes))


def _start(layer: _LinearMap) -> Tensor:
    """The same vector every time; no weights are orthogonal to it but by chance."""
    generator = torch.Generator().manual_seed(layer.columns)
    start = torch.randn(layer.columns, generator=generator, dtype=torch.float64)
    return (start / start.norm()).to(layer.like)


def averages(layer: Layer, shape: tuple[int, ...]) -> bool:
    """True for average pooling of inputs of a shape, which has no weights of its own.

    That is a convolution of every channel by itself, all weights of a channel equal (a scale may be
    folded in), or one row of equal weights along the last of several axes: a mean over all places.
    """
    weight = layer.weight
    if isinstance(layer, ConvTranspose) or getattr(weight, "requires_grad", False):
        return False
    if isinstance(layer, Conv):
        rows = _tensor(weight).flatten(1)
        alone = layer.weight.shape[1] == 1 and layer.groups == len(rows)
    else:
        rows = _tensor(weight)
        alone = len(rows) == 1 and len(shape) > 1 and layer.bias is None
    return alone and rows.shape[1] > 1 and bool((rows == rows[:, :1]).all())


def _tensor(values: Any) -> Tensor:
    if isinstance(values, np.ndarray):
        return torch.from_numpy(np.array(values))
    # A parameter itself; of an expression over parameters its value, with its history.
    return values.to(values.dtype)


def _check(what: str, value: Any, known: tuple[str, ...]) -> None:
    if value not in known:
        raise BadSetting(f"spectral: {what} is one of {', '.join(known)}; got {value!r}")


def _half_squares(measured: MeasuredClassifier) -> Reading:
    with torch.no_grad():
        return Reading(float(Spectral().of(spectral_norms(measured.network))))


MEASURES: dict[str, Measure] = {
    "spectral": Measure(
        "half the sum of the squared spectral norms of all layers, of a convolution as it is on "
        "its input; batch normalisation is not folded in",
        "Yoshida & Miyato 2017, Spectral norm regularization for improving the generalizability of "
        "deep learning, Eq. 3",
        "complexity",
        _half_squares,
    ),
}
"""By name."""
