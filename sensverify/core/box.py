"""Axis-aligned boxes: what goes into a network and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic

import numpy as np

from sensverify.core.arrays import Array as Array
from sensverify.core.arrays import Given, Kind
from sensverify.core.brief import count_of, span
from sensverify.errors import BadBox, BadShape

_SPLIT = 2.0**27 + 1
_LEAST_PRODUCT, _MOST_PRODUCT = 1e-250, 1e250
"""Between these the error of a product is a number of float64."""


@dataclass(frozen=True, eq=False)
class Box(Generic[Kind]):
    """A batch of axis-aligned boxes ``lower <= x <= upper``.

    Parameters
    ----------
    lower, upper : array or tensor, shape ``[batch, *features]``
        Both numpy or both torch, of one floating dtype. Finite; ``lower <= upper`` everywhere. A
        ``Box[Tensor]`` is one of tensors, for whoever checks types.

    Raises
    ------
    BadShape
        The shapes differ, or there is no batch axis.
    BadBox
        A value is NaN or infinite, or a lower end is above its upper end.
    """

    lower: Kind
    upper: Kind

    @property
    def _ends(self) -> tuple[Any, Any]:
        return self.lower, self.upper

    def __post_init__(self) -> None:
        lower, upper = self._ends
        if not all(hasattr(end, "dtype") and hasattr(end, "shape") for end in (lower, upper)):
            raise BadBox(
                "a box needs numpy arrays or torch tensors as lower and upper, got "
                f"{_kind_of(lower)} and {_kind_of(upper)}"
            )
        if type(lower) is not type(upper) and isinstance(lower, np.ndarray | np.generic):
            raise BadBox("a box needs lower and upper of one kind: both numpy, or both torch")
        if tuple(lower.shape) != tuple(upper.shape):
            raise BadShape(
                f"a box needs lower and upper of one shape, got lower {tuple(lower.shape)} "
                f"and upper {tuple(upper.shape)}"
            )
        if lower.ndim == 0:
            raise BadShape("a box needs a batch axis: give arrays of shape [batch, *features]")
        if lower.dtype != upper.dtype or not _is_floating(lower):
            raise BadBox(
                f"a box needs two arrays of one floating dtype, got {lower.dtype} and {upper.dtype}"
            )
        if not _all_finite(lower) or not _all_finite(upper):
            raise BadBox("a box needs finite ends, got NaN or infinity")
        # Written so that a NaN fails it.
        ordered = lower <= upper
        if not bool(ordered.all()):
            first = tuple(int(i) for i in np.argwhere(~to_numpy(ordered))[0])
            raise BadBox(
                f"a box needs lower <= upper, got lower {float(lower[first]):.9g} above upper "
                f"{float(upper[first]):.9g} at index {first}"
            )

    def __repr__(self) -> str:
        return f"Box({self.summary})"

    @classmethod
    def around(
        cls,
        center: Given,
        radius: Array | float,
        *,
        clip: tuple[float, float] | None = None,
    ) -> Box[Given]:
        """The boxes ``center - radius <= x <= center + radius``, cut to ``clip`` when it is given.

        Parameters
        ----------
        center : array or tensor, shape ``[batch, *features]``
        radius : float or array broadcastable to ``center``
            Per-feature half-width in the units of the features; at least 0.
        clip : (low, high), optional
            Valid range of every feature, e.g. ``(0, 1)`` for pixels. A centre outside of it is
            refused: the box would not contain the sample it belongs to.

        Notes
        -----
        The ends, those of the clip range among them, are rounded outward: the stored box contains
        the exact one.
        """
        lower, upper = _ends_around(center, radius)
        if clip is not None:
            low, high = _checked_range(clip, center)
            lower, upper = lower.clip(low, high), upper.clip(low, high)
        return Box(lower, upper)

    @property
    def summary(self) -> str:
        """Number, shape, dtype and widths of the boxes, in a few words."""
        kind = str(self._ends[0].dtype).removeprefix("torch.")
        boxes = f"{count_of(self.batch, 'box', 'boxes')} of shape {self.shape}, {kind}"
        return f"{boxes}, widths {span(self.widths)}"

    @property
    def batch(self) -> int:
        """Number of boxes."""
        return int(self._ends[0].shape[0])

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one box, without the batch axis."""
        return tuple(int(n) for n in self._ends[0].shape[1:])

    @property
    def center(self) -> Kind:
        """Midpoints ``(lower + upper) / 2``; equal to the ends where these are equal."""
        lower, upper = self._ends
        return lower / 2 + upper / 2

    @property
    def radius(self) -> Kind:
        """Half-widths ``(upper - lower) / 2``."""
        lower, upper = self._ends
        return upper / 2 - lower / 2

    @property
    def widths(self) -> Kind:
        """``upper - lower``, shape ``[batch, *features]``."""
        lower, upper = self._ends
        return upper - lower

    def __getitem__(self, index: slice | Array) -> Box[Kind]:
        """The boxes selected along the batch axis."""
        lower, upper = self._ends
        return Box(lower[index], upper[index])

    def contains(self, points: Array, *, tolerance: float = 0.0) -> Array:
        """Mask of the points that lie inside, up to an absolute tolerance.

        Parameters
        ----------
        points : array or tensor, broadcastable to ``[..., batch, *features]``
        tolerance : float
            Absolute slack allowed at both ends, in the units of the points.

        Returns
        -------
        Boolean array of the broadcast shape; NaN is never inside.
        """
        lower, upper = self._ends
        return (points >= lower - tolerance) & (points <= upper + tolerance)


def _ends_around(center: Any, radius: Array | float) -> tuple[Any, Any]:
    """Both ends, rounded outward, of samples and a radius that are checked."""
    if not hasattr(center, "dtype") or not _is_floating(center):
        raise BadBox(
            "a box needs samples as a floating-point array or tensor, got "
            f"{_kind_of(center)}; with numpy: np.asarray(x, dtype=np.float32)"
        )
    if center.ndim == 0:
        raise BadShape("a box needs a batch axis: give samples of shape [batch, *features]")
    radius = _plain_radius(radius, center)
    _check_radius(radius, center)
    if isinstance(center, np.ndarray):
        return _outward_ends(center, radius)
    return _outward_tensors(center, radius)


def _checked_range(clip: Any, center: Any) -> tuple[float, float]:
    """The ends of a clip range, rounded outward, that samples do not leave."""
    low, high = _outward_range(*_plain_clip(clip), center)
    if not _all((center >= low) & (center <= high)):
        raise BadBox(
            f"samples reach outside the clip range [{low}, {high}] (they span "
            f"[{float(center.min()):.6g}, {float(center.max()):.6g}])",
            "widen `clip` or scale the data",
        )
    return low, high


def _kind_of(value: Any) -> str:
    """Type of a value, with its dtype, for messages."""
    dtype = getattr(value, "dtype", None)
    return type(value).__name__ + ("" if dtype is None else f" of {dtype}")


def _plain_radius(radius: Any, center: Array) -> Array | float:
    """A radius as a number, or an array of the kind that the samples are."""
    if not hasattr(radius, "shape") or radius is None:
        try:
            radius = np.asarray(radius, dtype=np.float64)
        except (TypeError, ValueError):
            raise BadBox(
                f"a radius is a number, or one for every feature, got {_kind_of(radius)}"
            ) from None
    if isinstance(center, np.ndarray):
        return to_numpy(radius)
    if isinstance(radius, np.ndarray | np.generic):
        return float(radius) if radius.ndim == 0 else center.detach().double().new_tensor(radius)
    return radius


def _plain_clip(clip: Any) -> tuple[float, float]:
    try:
        low, high = (float(end) for end in clip)
    except (TypeError, ValueError):
        raise BadBox(f"clip needs two numbers, low and high, got {clip!r}") from None
    if not low <= high:
        raise BadBox(f"clip needs low <= high, got {low} and {high}")
    return low, high


def _check_radius(radius: Array | float, center: Array) -> None:
    values = radius if hasattr(radius, "shape") else np.asarray(radius, dtype=np.float64)
    if not _all(values >= 0) or not _all_finite(values):
        raise BadBox("a radius must be finite and at least 0 for every feature")
    shape, target = tuple(values.shape), tuple(center.shape)
    try:
        broadcast = np.broadcast_shapes(shape, target)
    except ValueError:
        broadcast = ()
    if broadcast != target:
        raise BadShape(
            f"radius of shape {shape} does not fit samples of shape {target[1:]}: give one number "
            "or one value for each feature"
        )


def _outward_ends(center: np.ndarray, radius: Array | float) -> tuple[np.ndarray, np.ndarray]:
    """``center -/+ radius`` in the dtype of ``center``, rounded so that nothing is lost."""
    wide = center.astype(np.float64)
    half = np.broadcast_to(np.asarray(radius, dtype=np.float64), center.shape)
    # Adding zero turns a negative zero into zero.
    return (
        _sum_rounded_down(wide, -half, center.dtype) + center.dtype.type(0),
        -_sum_rounded_down(-wide, -half, center.dtype) + center.dtype.type(0),
    )


def _outward_tensors(center: Array, radius: Array | float) -> tuple[Array, Array]:
    """The same for tensors: differentiable, on their device."""
    half: Any = radius
    if hasattr(half, "device"):
        half = half.to(center.device)
    lower, upper = ((center + sign * half).to(center.dtype) for sign in (-1, 1))
    wide = center.detach().double()
    if hasattr(half, "detach"):
        half = half.detach().double()
    elif isinstance(half, np.ndarray):
        half = wide.new_tensor(half)
    return _moved_below(lower, wide, -half), -_moved_below(-upper, -wide, -half)


def _moved_below(near: Array, a: Array, b: Array | float) -> Array:
    """``near``, of the sum of two float64 tensors, with the value of that sum rounded down."""
    fixed = near.detach()
    total = a + b
    part = total - a
    lost = (a - (total - part)) + (b - part)
    rounded = total.to(fixed.dtype)
    above = (rounded.double() > total) | ((rounded.double() == total) & (lost < 0))
    exact = rounded.where(~above, rounded.nextafter(rounded.new_full((), -np.inf)))
    # Adding zero turns a negative zero into zero.
    return near + (exact - fixed) if near.requires_grad else exact + 0.0


def _outward_range(low: float, high: float, center: Array) -> tuple[float, float]:
    """The ends of a clip range, rounded outward to the dtype of the samples."""
    if isinstance(center, np.ndarray):
        kind = center.dtype.type
        near = [kind(low), kind(high)]
        below, above = np.nextafter(near[0], kind(-np.inf)), np.nextafter(near[1], kind(np.inf))
    else:
        near = center.detach().new_tensor([low, high])
        below, above = near[0].nextafter(near[0] - np.inf), near[1].nextafter(near[1] + np.inf)
    return (
        float(below) if float(near[0]) > low else float(near[0]),
        float(above) if float(near[1]) < high else float(near[1]),
    )


def scaled_up(factor: float | np.ndarray, values: np.ndarray) -> np.ndarray:
    """``factor * values``, all at least 0, in float64, and nowhere below the exact product.

    A radius that is a share of each feature's range: a box around it contains the exact one.
    """
    wide = np.asarray(values, dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        near = factor * wide
        # Dekker: what the product lost, exactly, in the middle of the range of float64.
        lost = _product_error(np.asarray(factor), wide, near)
        sure = (near > _LEAST_PRODUCT) & (near < _MOST_PRODUCT) & np.isfinite(lost)
        exact = (near == 0) & ((wide == 0) | (factor == 0)) | (wide == 1) | (factor == 1)
        low = ~exact & np.where(sure, lost > 0, True)
        return np.where(low, np.nextafter(near, np.inf), near)


def _product_error(a: np.ndarray, b: np.ndarray, product: np.ndarray) -> np.ndarray:
    (a_high, a_low), (b_high, b_low) = _halves(a), _halves(b)
    return a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low)


def _halves(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Veltkamp: a sum of two numbers of 26 binary digits."""
    scaled = values * _SPLIT
    high = scaled - (scaled - values)
    return high, values - high


def _sum_rounded_down(a: np.ndarray, b: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The largest number of a dtype that is at most the exact sum of two float64 arrays."""
    # What overflows becomes infinite, which a box refuses.
    with np.errstate(over="ignore", invalid="ignore"):
        total = a + b
        # Knuth's two-sum: what the addition lost, exactly.
        part = total - a
        lost = (a - (total - part)) + (b - part)
        rounded = total.astype(dtype)
        above = (rounded > total) | ((rounded == total) & (lost < 0))
        return np.where(above, np.nextafter(rounded, dtype.type(-np.inf)), rounded)


def _is_floating(values: Array) -> bool:
    if isinstance(values, np.ndarray | np.generic):
        return bool(np.issubdtype(values.dtype, np.floating))
    return bool(values.dtype.is_floating_point)


def _all_finite(values: Array) -> bool:
    # NaN and infinity both fail this comparison.
    return _all(abs(values) < float("inf"))


def _all(condition: Array) -> bool:
    return bool(condition.all())


def to_numpy(values: Array) -> np.ndarray:
    """A tensor's values as a numpy array, without its history; an array as it is."""
    if isinstance(values, np.ndarray):
        return values
    return values.detach().cpu().numpy()
