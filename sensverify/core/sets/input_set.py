"""The protocol of an input set: a box around it, and what tells it from the box."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from math import prod
from typing import Any, ClassVar

import numpy as np

from sensverify.core.box import Array, Box, to_numpy
from sensverify.errors import BadBox, BadShape

INSIDE = 1e-9
"""How far outside, relative to the size of the numbers, rounding may put a point of a set."""


@dataclass(frozen=True, eq=False, repr=False)
class InputSet(Box[Any]):
    """A batch of sets of inputs, each inside of a box: ``lower`` and ``upper`` enclose it.

    What is proven for the box is proven for the set; a method that knows the set proves more. Every
    set holds its ``point`` and, where it is no union, is star-shaped around it.

    Parameters
    ----------
    lower, upper : array or tensor, shape ``[batch, *features]``
        Ends of the box around the set.
    point : array or tensor, shape ``[batch, *features]``, float64
        A point of the set, such as the sample that it belongs to.

    Raises
    ------
    BadShape, BadBox
        The parts do not fit together, hold NaN, or the point is not in the set.
    """

    point: Any

    kind: ClassVar[str]
    """Its name, in messages and in files."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.numbers:
            values = getattr(self, name)
            if not hasattr(values, "dtype") or tuple(values.shape)[:1] != (self.batch,):
                raise BadShape(
                    f"{self.kind}: {name} needs one entry for each of {self.batch} boxes, got "
                    f"{tuple(getattr(values, 'shape', ()))}"
                )
            # Written so that a NaN fails it.
            if not bool((abs(values) < float("inf")).all()):
                raise BadBox(f"{self.kind}: {name} holds NaN or infinity")
        if tuple(self.point.shape) != tuple(self._ends[0].shape):
            raise BadShape(
                f"{self.kind}: a point of shape {tuple(self.point.shape)} does not fit boxes of "
                f"shape {tuple(self._ends[0].shape)}"
            )
        self._check()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.words}; in {self.summary})"

    def _check(self) -> None:
        """Refuse parts of the set that do not fit together."""

    def check_points(self) -> None:
        """Refuse, with `BadBox`, a set that does not hold its point."""
        excess = to_numpy(self.excess(self.point))
        size = INSIDE * (1 + abs(to_numpy(self.point)).reshape(self.batch, -1).max(axis=1))
        box = super().contains(self.point, tolerance=float(size.max()))
        inside = to_numpy(box).reshape(self.batch, -1).all(axis=1)
        # Written so that a NaN fails it.
        held = (excess <= size) & inside
        if not held.all():
            first = int(np.flatnonzero(~held)[0])
            raise BadBox(
                f"{self.kind}: sample {first} is not in its own set, from which it is "
                f"{float(excess[first]):.3g} away"
            )

    @property
    def numbers(self) -> tuple[str, ...]:
        """Names of the arrays, one entry for each box, beside the ends."""
        return tuple(
            item.name
            for item in fields(self)
            if item.name not in ("lower", "upper") and hasattr(getattr(self, item.name), "shape")
        )

    @property
    def enclosing(self) -> Box[Any]:
        """The box around the set, as a plain one."""
        return Box(self.lower, self.upper)

    @property
    def features(self) -> int:
        """Numbers of one input."""
        return prod(self.shape)

    def __getitem__(self, index: slice | Array) -> InputSet:
        """The sets selected along the batch axis."""
        names = ("lower", "upper", *self.numbers)
        return replace(self, **{name: getattr(self, name)[index] for name in names})

    def converted(self, lower: Any, upper: Any, convert: Callable[[Any], Any]) -> InputSet:
        """The set in other arrays: ends as given, all else as ``convert`` makes it."""
        others = {name: convert(getattr(self, name)) for name in self.numbers}
        return replace(self, lower=lower, upper=upper, **others)

    @property
    def spread(self) -> float:
        """The largest distance from the set of one of its points, each feature moved by 1."""
        return 1.0

    @property
    @abstractmethod
    def words(self) -> str:
        """A few words for people."""

    @abstractmethod
    def _excess(self, moved: np.ndarray) -> np.ndarray:
        """As `excess`, of moves ``[points, batch, features]`` from the set's point, in float64."""

    @property
    def exact(self) -> bool:
        """False where a set is so thin that points of float32 are beside it, not in it."""
        return True

    def excess(self, points: Array) -> Array:
        """Distances of points from the set, about, in the units of the features.

        Parameters
        ----------
        points : array or tensor, shape ``[..., batch, *features]``

        Returns
        -------
        array or tensor, shape ``[..., batch]``, float64
            At most 0 inside; the box around the set is not looked at. NaN stays.
        """
        values = to_numpy(points).astype(np.float64)
        lead = values.shape[: values.ndim - len(self.shape)]
        if lead[-1:] != (self.batch,):
            lead = (*lead[:-1], self.batch)
            values = np.broadcast_to(values, (*lead, *self.shape))
        own = to_numpy(self.point).astype(np.float64).reshape(self.batch, -1)
        moved = values.reshape(-1, self.batch, self.features) - own
        found = self._excess(moved).reshape(lead)
        return found if isinstance(points, np.ndarray) else points.double().new_tensor(found)

    def contains(self, points: Array, *, tolerance: float = 0.0) -> Array:
        """Mask of the points in the set, up to a tolerance, in the shape of the points.

        Every feature of a point that is outside of the set by its other constraints is False; see
        `Box.contains`.
        """
        values = to_numpy(points)
        lower, upper = (to_numpy(end) for end in (self.lower, self.upper))
        inside = (values >= lower - tolerance) & (values <= upper + tolerance)
        # What is a point of the set up to the rounding of its numbers is one.
        unit = max(INSIDE, 2 * float(np.finfo(values.dtype).eps) * self.spread)
        size = tolerance + unit * (1 + float(abs(self.point).max()))
        held = self.excess(values) <= size
        found = inside & held.reshape(*held.shape, *(1,) * len(self.shape))
        return found if isinstance(points, np.ndarray) else points.new_tensor(found) != 0

    def sample(self, count: int, seed: int = 0) -> np.ndarray:
        """Random points of the set, ``[count, batch, *features]``, in float64.

        Drawn from the box around the set and brought into the set: not uniformly.
        """
        random = np.random.default_rng(seed)
        lower, upper = (to_numpy(e).astype(np.float64) for e in (self.lower, self.upper))
        share = random.random((count, *lower.shape))
        share[::2] = share[::2] < 0.5
        return self.projected(lower + share * (upper - lower))

    def projected(self, points: np.ndarray) -> np.ndarray:
        """Points ``[..., batch, *features]`` of the set that are near to given ones, in float64.

        The points of the set are left where they are, up to rounding.
        """
        own = to_numpy(self.point).astype(np.float64).reshape(self.batch, -1)
        low, high = (
            to_numpy(end).astype(np.float64).reshape(self.batch, -1)
            for end in (self.lower, self.upper)
        )
        values = points.reshape(-1, self.batch, self.features).astype(np.float64)
        # A NaN becomes the lower end.
        values = np.fmin(np.fmax(values, low), high)
        moved = self._retracted(values - own, low - own, high - own)
        return np.clip(own + moved, low, high).reshape(points.shape)

    @abstractmethod
    def _retracted(self, moved: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Moves from the set's point that stay in the set, ``[points, batch, features]``.

        ``moved`` lies between ``low`` and ``high``, ``[batch, features]``, and so does what comes
        back.
        """
