"""Input sets in certificates: the last step of a pass, in arithmetic that cannot round wrongly.

**Theorem.** For every a and every q, y >= 0 (of any sign where a constraint holds with ``=``):

- ``|x - p| <= r``: ``a . x >= min over the box of (a - q) . x + q . p - r |q|``, the dual norm;
- ``G x <= h``: ``a . x >= min over the box of (a + y G) . x - y . h``;
- x differs from p in few pixels: ``a . x >= a . p`` minus the sum of the largest gains of so many
  pixels (of the best window), a gain being the largest of ``a . (p - x)`` over a pixel's box, or 0;
- ``x = p + t P`` with t in a box: ``a . x >= a . p`` plus the least of ``(a P) . t``;
- ``x = clip(p + t P)``: the least of such values over a grid of cells; see `Images`.

q is made from one multiplier, and y are multipliers: whatever they are, what comes out is proven.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from sensverify.certificates.check.arithmetic import Arithmetic, Numbers
from sensverify.certificates.check.clipped_images import Images
from sensverify.certificates.check.ends import End
from sensverify.core.multipliers import best_multipliers

_STEPS = 50
"""Of a bisection for a multiplier."""

KINDS = {
    "ball": ("point", "reach", "order"),
    "constrained": ("matrix", "limits", "equal"),
    "patch": ("point", "count", "window"),
    "varied": ("point", "patterns", "least", "most"),
    "varied in a range": ("point", "patterns", "least", "most", "cut"),
}
"""By kind of set, its arrays."""


@dataclass(frozen=True, eq=False)
class InputSets:
    """The sets that claims are about, one for each problem, in its box; all of one kind.

    Parameters
    ----------
    point : numpy array ``[problems, features]``
        Of balls, patches and varied inputs.
    reach, order : numpy arrays ``[problems]``
        Radius of a ball, and its norm, 1 or 2.
    matrix, limits, equal : numpy arrays
        Constraints ``matrix x <= limits``, shapes ``[problems, constraints, features]`` and
        ``[problems, constraints]``; ``equal`` ``[constraints]`` is 1 of those with ``=``, else 0.
    count, window : integer numpy arrays ``[problems]`` and ``[problems, 4]``
        Of a patch: how many pixels move, or -1 where it is a window; height and width of the
        window, and of the image.
    patterns, least, most : numpy arrays
        Of varied inputs, shapes ``[problems, parameters, features]`` and
        ``[problems, parameters]``.
    cut : numpy array ``[problems, 2]``
        Ends that varied inputs are cut to.
    """

    point: np.ndarray | None = None
    reach: np.ndarray | None = None
    order: np.ndarray | None = None
    matrix: np.ndarray | None = None
    limits: np.ndarray | None = None
    equal: np.ndarray | None = None
    count: np.ndarray | None = None
    window: np.ndarray | None = None
    patterns: np.ndarray | None = None
    least: np.ndarray | None = None
    most: np.ndarray | None = None
    cut: np.ndarray | None = None

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays that are there, by name."""
        found = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: values for name, values in found.items() if values is not None}

    @property
    def kind(self) -> str | None:
        """The kind of the sets; None where the arrays are those of none."""
        own = tuple(self.arrays)
        return next((kind for kind, names in KINDS.items() if set(names) == set(own)), None)

    @property
    def multipliers(self) -> int:
        """The number of multipliers of one row."""
        if self.matrix is not None:
            return int(self.matrix.shape[1])
        return int(self.reach is not None)

    def of(self, problem: np.ndarray) -> InputSets:
        """The sets of some problems, in the order given."""
        parts = {n: v if n == "equal" else v[problem] for n, v in self.arrays.items()}
        return InputSets(**parts)

    def problem(self, features: int, problems: int) -> str | None:
        """A reason why these are no sets in so many boxes of so many features; None: they are."""
        shapes = {"P": problems, "n": features}
        axes = {
            **{"point": "Pn", "reach": "P", "order": "P", "matrix": "PKn", "limits": "PK"},
            **{"equal": "K", "count": "P", "window": "PW", "patterns": "PTn"},
            **{"least": "PT", "most": "PT", "cut": "PD"},
        }
        if self.kind is None:
            return f"the arrays {', '.join(self.arrays)} are those of no kind of input set"
        for name, values in self.arrays.items():
            if values.ndim != len(axes[name]):
                return f"{name} has {values.ndim} axes"
            for letter, length in zip(axes[name], values.shape, strict=True):
                if shapes.setdefault(letter, length) != length:
                    return f"{name} has the shape {values.shape}, which does not fit"
            if not np.isfinite(values).all():
                return f"{name} holds NaN or infinity"
        return self._wrong(features)

    def _wrong(self, features: int) -> str | None:
        if self.reach is not None and not (self.reach >= 0).all():
            return "a radius is below 0"
        if self.order is not None and not np.isin(self.order, (1, 2)).all():
            return "the norm of a ball is 1 or 2"
        if self.equal is not None and not np.isin(self.equal, (0, 1)).all():
            return "equal is 1 of constraints with =, else 0"
        if self.least is not None and not bool((self.least <= self.most).all()):
            return "a parameter has a lower end above its upper end"
        if self.cut is not None and not (
            self.cut.shape[1] == 2 and (self.cut[:, 0] <= self.cut[:, 1]).all()
        ):
            return "a range has a lower end and an upper end"
        if self.window is None or self.count is None:
            return None
        if self.window.shape[1] != 4 or not (self.window >= 1).all():
            return "window holds a height and a width, of the window and of the image"
        height, width, rows, columns = self.window.T
        fits = (features % (rows * columns) == 0) & (height <= rows) & (width <= columns)
        if not bool((fits & (self.count >= -1) & (self.count <= rows * columns)).all()):
            return "a patch does not fit its image"
        same = (self.window == self.window[:1]).all() and (self.count == self.count[:1]).all()
        return None if same else "patches of one certificate are of one size"

    def chosen(self, coefficient: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Good multipliers for rows, ``[cells, rows, multipliers]``.

        Parameters
        ----------
        coefficient : numpy array ``[cells, rows, features]``, float64
        low, high : numpy arrays ``[cells, 1, features]``, float64
        """
        if self.matrix is not None:
            assert self.limits is not None
            assert self.equal is not None
            ends = low, high
            equal = self.equal == 1
            return best_multipliers(self.matrix, self.limits, equal, coefficient, ends)[0]
        if self.reach is None or self.order is None:
            return np.zeros((*coefficient.shape[:2], 0))
        room = self._room(coefficient, low, high)
        reach, size = self.reach[:, None], abs(coefficient)
        found = np.where((self.order == 1)[:, None], _level(size, room, reach), 0.0)
        if (self.order == 2).any():
            found = np.where((self.order == 1)[:, None], found, _inverse_ratio(size, room, reach))
        return np.where(np.isfinite(found), found, 0.0)[..., None]

    def _room(self, coefficient: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        assert self.point is not None
        point = self.point[:, None]
        return np.maximum(np.where(coefficient > 0, point - low, high - point), 0.0)

    def least_value(
        self,
        arithmetic: Arithmetic,
        coefficient: Numbers,
        low: Numbers,
        high: Numbers,
        multipliers: np.ndarray,
    ) -> tuple[Numbers, Numbers]:
        """Computed least values ``[cells, rows]``, and what they may have lost to rounding.

        Parameters
        ----------
        coefficient : Numbers ``[cells, rows, features]``
            Taken for exact: what they are not is paid for elsewhere.
        low, high : Numbers ``[cells, 1, features]``
        multipliers : numpy array ``[cells, rows, multipliers]``, float64
        """
        end = End(arithmetic, coefficient, low, high)
        if self.matrix is not None:
            return self._over_constraints(end, multipliers)
        if self.reach is not None:
            return self._over_ball(end, multipliers)
        if self.cut is not None:
            return self._over_images(end, self.cut)
        if self.patterns is not None:
            return self._over_parameters(end)
        return self._over_patch(end)

    def _over_ball(self, end: End, multipliers: np.ndarray) -> tuple[Numbers, Numbers]:
        assert self.point is not None
        assert self.reach is not None
        assert self.order is not None
        arithmetic, wide = end.arithmetic, end.floats
        level = np.maximum(multipliers, 0.0)
        low, high = (arithmetic.floats(part, 0) for part in (end.low, end.high))
        most = np.where(
            (self.order == 1)[:, None, None], level, self._room(wide, low, high) * level
        )
        part = np.sign(wide) * np.minimum(abs(wide), np.where(np.isfinite(most), most, 0.0))
        kept = arithmetic.numbers(part)
        end.corner(end.coefficient - kept)
        end.dot(kept, arithmetic.numbers(self.point)[:, None])
        norm = _norms(arithmetic, part, self.order)
        end.add(-arithmetic.numbers(self.reach)[:, None] * norm, 2)
        return end.total, end.lost

    def _over_constraints(self, end: End, multipliers: np.ndarray) -> tuple[Numbers, Numbers]:
        assert self.matrix is not None
        assert self.limits is not None
        assert self.equal is not None
        arithmetic = end.arithmetic
        own = np.where(self.equal == 1, multipliers, np.maximum(multipliers, 0.0))
        weights, matrix = arithmetic.numbers(own), arithmetic.numbers(self.matrix)
        cost, size = end.coefficient, abs(end.coefficient)
        for row in range(self.multipliers):
            step = weights[..., row, None] * matrix[:, row][:, None]
            cost, size = cost + step, size + abs(step)
        # Every product and every sum is rounded once.
        unsure = arithmetic.gamma(2 * self.multipliers + 2) * size
        end.corner(cost, unsure)
        end.dot(-weights, arithmetic.numbers(self.limits)[:, None])
        return end.total, end.lost

    def _over_images(self, end: End, cut: np.ndarray) -> tuple[Numbers, Numbers]:
        assert self.point is not None
        assert self.patterns is not None
        assert self.least is not None
        assert self.most is not None
        return Images(self.point, self.patterns, self.least, self.most, cut).least_value(end)

    def _over_parameters(self, end: End) -> tuple[Numbers, Numbers]:
        assert self.point is not None
        assert self.patterns is not None
        arithmetic = end.arithmetic
        end.dot(end.coefficient, arithmetic.numbers(self.point)[:, None])
        least, most = (arithmetic.numbers(e)[:, None] for e in (self.least, self.most))
        patterns = arithmetic.numbers(self.patterns)
        for number in range(patterns.shape[1]):
            terms = end.coefficient * patterns[:, number][:, None]
            end.along(terms, least[..., number], most[..., number], abs(patterns[:, number]))
        return end.total, end.lost

    def _over_patch(self, end: End) -> tuple[Numbers, Numbers]:
        assert self.point is not None
        assert self.count is not None
        assert self.window is not None
        arithmetic = end.arithmetic
        point = arithmetic.numbers(self.point)[:, None]
        end.dot(end.coefficient, point)
        height, width, rows, columns = (int(n) for n in self.window[0])
        above, below = np.maximum(end.coefficient, 0), np.minimum(end.coefficient, 0)
        gains = above * (point - end.low) + below * (point - end.high)
        gains = np.maximum(gains, 0)
        cells, many, features = gains.shape
        pixels = gains.reshape(cells, many, features // (rows * columns), rows, columns).sum(axis=2)
        if int(self.count[0]) >= 0:
            flat = pixels.reshape(cells, many, -1)
            best = np.sort(flat, axis=-1)[..., flat.shape[-1] - int(self.count[0]) :]
            most = best.sum(axis=-1)
        else:
            most = None
            for top in range(rows - height + 1):
                for left in range(columns - width + 1):
                    here = pixels[..., top : top + height, left : left + width]
                    total = here.sum(axis=(-2, -1))
                    most = total if most is None else np.maximum(most, total)
        assert most is not None
        end.add(-most, 0)
        # A difference, two products and a sum in each gain, and the sum of all.
        end.lost = end.lost + arithmetic.gamma(features + 8) * gains.sum(axis=-1)
        spread = abs(point) + np.maximum(abs(end.low), abs(end.high))
        size = (abs(end.coefficient) * spread).sum(axis=-1)
        end.lost = end.lost + 4 * arithmetic.unit * size + end.underflow(spread[:, 0])
        return end.total, end.lost


def _norms(arithmetic: Arithmetic, values: np.ndarray, order: np.ndarray) -> Numbers:
    """Dual norms of float64 numbers ``[cells, rows, features]``, nowhere below the real ones."""
    largest = abs(values).max(axis=-1, initial=0.0)
    # Scaled, so that no square underflows or overflows.
    scale = np.where(largest > 0, 2.0 ** np.floor(np.log2(np.maximum(largest, 2.0**-1000))), 1.0)
    squares = ((values / scale[..., None]) ** 2).sum(axis=-1)
    raised = 1 + 4 * (values.shape[-1] + 8) * 2.0**-53 + values.shape[-1] * 2.0**-1000
    euclidean = np.sqrt(squares) * raised * scale
    found = np.where((order == 1)[:, None], largest, euclidean)
    return arithmetic.numbers(np.where(np.isfinite(found), found, np.finfo(np.float64).max))


def _level(size: np.ndarray, room: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Of the norm 1, the size of coefficients above which everything moves, ``[cells, rows]``."""
    near, far = np.zeros(size.shape[:2]), size.max(axis=-1, initial=0.0)
    for _ in range(_STEPS):
        middle = near / 2 + far / 2
        above = (room * (size > middle[..., None])).sum(axis=-1) > reach
        near, far = np.where(above, middle, near), np.where(above, far, middle)
    return np.where((room * (size > 0)).sum(axis=-1) <= reach, 0.0, far)


def _inverse_ratio(size: np.ndarray, room: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Of the norm 2, coefficient over move where the box does not cut, ``[cells, rows]``.

    The move ``min(size / found, room)`` is as long as the ball reaches; 0 where all of the box is
    in the ball. Between two numbers at which the box starts to cut, its length is a root.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        # The larger, the sooner cut.
        ratio = np.where(room > 0, size / room, np.inf)
        order = np.argsort(-ratio, axis=-1)
        ratio = np.take_along_axis(ratio, order, axis=-1)
        moved = np.where(size > 0, room, 0.0)
        cut = np.take_along_axis(moved**2, order, axis=-1)
        cut = np.cumsum(cut, axis=-1) - cut
        free = np.take_along_axis(np.where(room > 0, size, 0.0) ** 2, order, axis=-1)
        free = np.cumsum(free[..., ::-1], axis=-1)[..., ::-1]
        # The squared length where the number at this place is just cut, and those before it are.
        length = cut + free / ratio**2
        place = (length < (reach**2)[..., None]).sum(axis=-1, keepdims=True)
        at = np.minimum(place, ratio.shape[-1] - 1)
        left = reach**2 - np.take_along_axis(cut, at, axis=-1)[..., 0]
        found = np.sqrt(np.take_along_axis(free, at, axis=-1)[..., 0] / left)
    return np.where(place[..., 0] < ratio.shape[-1], found, 0.0)


def full(
    coefficient: Numbers, chosen: np.ndarray | None, features: int, arithmetic: Arithmetic
) -> Numbers:
    """Coefficients on some features as coefficients on all."""
    if chosen is None or len(chosen) == features:
        return coefficient
    whole = arithmetic.numbers(np.zeros((*coefficient.shape[:-1], features)))
    whole[..., chosen] = coefficient
    return whole


def with_problems(sets: list[InputSets | None]) -> InputSets | None:
    """Sets of batches of problems as those of all.

    Raises
    ------
    ValueError
        Some have sets, others have none, or of another kind.
    """
    if all(part is None for part in sets):
        return None
    kinds = {None if part is None else part.kind for part in sets}
    if len(kinds) != 1:
        raise ValueError("only problems about one kind of input set make one certificate")
    known = [part for part in sets if part is not None]
    joined = {
        name: values if name == "equal" else np.concatenate([getattr(p, name) for p in known])
        for name, values in known[0].arrays.items()
    }
    return replace(InputSets(), **joined)
