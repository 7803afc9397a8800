"""Images of a small box: every input is a sample plus a few patterns, each times a parameter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sensverify.core.box import Array, Box, to_numpy
from sensverify.core.sets.fitting import fitted, fitted_by_program
from sensverify.core.sets.input_set import INSIDE, InputSet
from sensverify.errors import BadBox, BadShape

Pattern = tuple[str, np.ndarray, float, float]
"""A name, the pattern ``[batch, *features]`` or ``[*features]``, and what it may be times."""


@dataclass(frozen=True, eq=False, repr=False)
class Varied(InputSet):
    """Affine images of a small box: ``x = point + patterns^T t`` with ``least <= t <= most``.

    Brightness, contrast, a bias field and any other linear corruption: the parameters t are the
    box, and the corruption is the first layer. With a clip range, numbers that leave it are cut to
    its ends, as a camera saturates.

    Parameters
    ----------
    lower, upper : array or tensor, shape ``[batch, *features]``
        Around all images; `along` computes them.
    point : array or tensor
        The sample, with all parameters 0.
    patterns : array or tensor, shape ``[batch, parameters, features]``, float64
        What a unit of each parameter adds.
    least, most : array or tensor, shape ``[batch, parameters]``, float64
        ``least <= 0 <= most``.
    names : tuple of str
        Of the parameters.
    clip : (low, high), optional
        Range that every image is cut to; the point lies in it.

    Examples
    --------
    >>> import numpy as np
    >>> import sensverify as sv
    >>> x = np.array([[0.2, 0.4]])
    >>> brighter = sv.Varied.along(x, [sv.brightness(x, 0.1)])
    >>> brighter.contains(x + 0.05).all(), brighter.contains(np.array([[0.25, 0.4]])).all()
    (np.True_, np.False_)
    >>> cut = sv.Varied.along(x, [sv.brightness(x, 0.3)], clip=(0.0, 0.6))
    >>> cut.at(np.array([[0.3]]))
    array([[0.5, 0.6]])
    """

    patterns: Any
    least: Any
    most: Any
    names: tuple[str, ...] = ()
    clip: tuple[float, float] | None = None

    kind: ClassVar[str] = "varied"

    @classmethod
    def along(
        cls, x: Array, patterns: list[Pattern], *, clip: tuple[float, float] | None = None
    ) -> Varied:
        """All images of samples along some patterns.

        Parameters
        ----------
        x : array, shape ``[batch, *features]``
        patterns : list of (name, pattern, least, most)
        clip : (low, high), optional
            Range that images are cut to.
        """
        wide = np.asarray(x, dtype=np.float64)
        if not patterns:
            raise BadShape("a set of varied inputs needs at least one pattern")
        shape = (len(wide), 1, wide[0].size if len(wide) else 0)
        try:
            each = [np.broadcast_to(np.asarray(p, np.float64), wide.shape) for _, p, *_ in patterns]
        except ValueError:
            raise BadShape(
                f"a pattern needs the shape of the samples, {wide.shape[1:]}, got "
                f"{[np.shape(p) for _, p, *_ in patterns]}"
            ) from None
        rows = np.concatenate([p.reshape(shape) for p in each], axis=1)
        least, most = (
            np.broadcast_to(np.array([p[i] for p in patterns], dtype=np.float64), rows.shape[:2])
            for i in (2, 3)
        )
        lower, upper = _around(wide.reshape(len(wide), -1), rows, least, most)
        low, high = (end.reshape(wide.shape) for end in (lower, upper))
        if clip is not None:
            # Refuses a range that is none, and samples outside of it.
            Box.around(wide, 0.0, clip=clip)
            low, high = low.clip(*clip), high.clip(*clip)
        names = tuple(name for name, *_ in patterns)
        return cls(low, high, wide, rows, least, most, names, clip)

    def _check(self) -> None:
        count = tuple(self.least.shape)
        if len(count) != 2 or tuple(self.most.shape) != count or not count[1]:
            raise BadShape("varied inputs need least and most of shape [batch, parameters]")
        if tuple(self.patterns.shape) != (*count, self.features):
            raise BadShape(
                f"varied inputs need patterns of shape {(*count, self.features)}, got "
                f"{tuple(self.patterns.shape)}"
            )
        if not bool(((self.least <= 0) & (self.most >= 0)).all()):
            raise BadBox("varied inputs need least <= 0 <= most: the sample is one of them")
        if self.clip is None:
            return
        low, high = self.clip
        # Written so that a NaN fails it.
        if not bool(((self.point >= low) & (self.point <= high)).all()):
            raise BadBox(f"varied inputs need samples in the clip range [{low:g}, {high:g}]")

    @property
    def exact(self) -> bool:
        return False

    @property
    def parameters(self) -> Box[Any]:
        """The small box."""
        return Box(self.least, self.most)

    @property
    def words(self) -> str:
        ends = zip(self.names, to_numpy(self.least[0]), to_numpy(self.most[0]), strict=True)
        parts = [f"{name} from {low:g} to {high:g}" for name, low, high in ends]
        if self.clip is not None:
            parts.append("cut to {:g} to {:g}".format(*self.clip))
        return ", ".join(parts)

    def at(self, parameters: np.ndarray) -> np.ndarray:
        """The inputs ``[batch, *features]`` that belong to parameters ``[batch, parameters]``."""
        moved = np.einsum("bp,bpn->bn", parameters, to_numpy(self.patterns))
        images = to_numpy(self.point) + moved.reshape(self.batch, *self.shape)
        return images if self.clip is None else images.clip(*self.clip)

    def _moves(self, parameters: np.ndarray) -> np.ndarray:
        """Moves from the point to the images of parameters, ``[batch, features]``."""
        moved = np.einsum("bp,bpn->bn", parameters, to_numpy(self.patterns))
        return moved if self.clip is None else moved.clip(*self._room)

    @property
    def _room(self) -> tuple[np.ndarray, np.ndarray]:
        """Moves down and up at which images are cut, ``[batch, features]``."""
        own = to_numpy(self.point).astype(np.float64).reshape(self.batch, -1)
        low, high = (-np.inf, np.inf) if self.clip is None else self.clip
        return low - own, high - own

    def fitted(self, moved: np.ndarray) -> np.ndarray:
        """Parameters of the images nearest to moves ``[batch, features]``, or about so."""
        return self._fitted_by(fitted, moved)

    def _fitted_by(self, fit: Any, moved: np.ndarray) -> np.ndarray:
        ends = to_numpy(self.least), to_numpy(self.most)
        parts = zip(to_numpy(self.patterns), moved, *ends, *self._room, strict=True)
        return np.stack([fit(p, m, (least, most), room) for p, m, least, most, *room in parts])

    def _excess(self, moved: np.ndarray) -> np.ndarray:
        rest = []
        for each in moved:
            off = abs(each - self._moves(self.fitted(each))).max(axis=1)
            if self.clip is not None and (off > INSIDE).any():
                # What is cut away may have led the fit astray.
                again = self._moves(self._fitted_by(fitted_by_program, each))
                off = np.fmin(off, abs(each - again).max(axis=1))
            rest.append(off)
        return np.stack(rest)

    def _retracted(self, moved: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        return np.array([self._moves(self.fitted(each)) for each in moved]).reshape(moved.shape)

    def sample(self, count: int, seed: int = 0) -> np.ndarray:
        """Points with random parameters, corners among them; see `InputSet.sample`."""
        random = np.random.default_rng(seed)
        least, most = to_numpy(self.least), to_numpy(self.most)
        share = random.random((count, *least.shape))
        share[::2] = share[::2] < 0.5
        return np.stack([self.at(least + part * (most - least)) for part in share])


def _around(
    x: np.ndarray, patterns: np.ndarray, least: np.ndarray, most: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the box around all images, rounded outward, ``[batch, features]``."""
    rising, falling = np.maximum(patterns, 0), np.minimum(patterns, 0)
    low = np.einsum("bp,bpn->bn", least, rising) + np.einsum("bp,bpn->bn", most, falling)
    high = np.einsum("bp,bpn->bn", most, rising) + np.einsum("bp,bpn->bn", least, falling)
    size = abs(x) + np.einsum("bp,bpn->bn", np.maximum(most, -least), abs(patterns))
    lost = (patterns.shape[1] + 4) * 2.0**-52 * size
    return x + low - lost, x + high + lost


def brightness(x: Array, amount: float) -> Pattern:
    """Every number plus one and the same number, of at most that size.

    Examples
    --------
    >>> import numpy as np
    >>> import sensverify as sv
    >>> sv.brightness(np.zeros((1, 2)), 0.1)
    ('brightness', array([1., 1.]), -0.1, 0.1)
    """
    return "brightness", np.ones(np.shape(x)[1:]), -amount, amount


def contrast(x: Array, amount: float) -> Pattern:
    """Every number's distance from the sample's mean times ``1 + t``, t at most that large.

    Examples
    --------
    >>> import numpy as np
    >>> import sensverify as sv
    >>> sv.contrast(np.array([[0.0, 1.0]]), 0.2)
    ('contrast', array([[-0.5,  0.5]]), -0.2, 0.2)
    """
    wide = np.asarray(x, dtype=np.float64)
    mean = wide.mean(axis=tuple(range(1, wide.ndim)), keepdims=True)
    return "contrast", wide - mean, -amount, amount


def bias_field(x: Array, amount: float, axis: int = -1) -> Pattern:
    """The sample times ``1 + t s``, where s goes from -1 to 1 along an axis.

    Examples
    --------
    >>> import numpy as np
    >>> import sensverify as sv
    >>> sv.bias_field(np.ones((1, 3)), 0.3)
    ('bias-field', array([[-1.,  0.,  1.]]), -0.3, 0.3)
    """
    wide = np.asarray(x, dtype=np.float64)
    ramp = np.linspace(-1.0, 1.0, wide.shape[axis])
    shape = [1] * wide.ndim
    shape[axis] = len(ramp)
    return "bias-field", wide * ramp.reshape(shape), -amount, amount
