"""Images of a small box: every input is a sample plus a few patterns, each times a parameter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sensverify.core.box import Array, Box, to_numpy
from sensverify.core.sets.input_set import InputSet
from sensverify.errors import BadBox, BadShape

Pattern = tuple[str, np.ndarray, float, float]
"""A name, the pattern ``[batch, *features]`` or ``[*features]``, and what it may be times."""


@dataclass(frozen=True, eq=False, repr=False)
class Varied(InputSet):
    """Affine images of a small box: ``x = point + patterns^T t`` with ``least <= t <= most``.

    Brightness, contrast, a bias field and any other linear corruption: the parameters t are the
    box, and the corruption is the first layer.

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

    Examples
    --------
    >>> import numpy as np
    >>> import sensverify as sv
    >>> x = np.array([[0.2, 0.4]])
    >>> brighter = sv.Varied.along(x, [sv.brightness(x, 0.1)])
    >>> brighter.contains(x + 0.05).all(), brighter.contains(np.array([[0.25, 0.4]])).all()
    (np.True_, np.False_)
    """

    patterns: Any
    least: Any
    most: Any
    names: tuple[str, ...] = ()

    kind: ClassVar[str] = "varied"

    @classmethod
    def along(cls, x: Array, patterns: list[Pattern]) -> Varied:
        """All images of samples along some patterns.

        Parameters
        ----------
        x : array, shape ``[batch, *features]``
        patterns : list of (name, pattern, least, most)
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
        names = tuple(name for name, *_ in patterns)
        return cls(low, high, wide, rows, least, most, names)

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
        return ", ".join(f"{name} from {low:g} to {high:g}" for name, low, high in ends)

    def at(self, parameters: np.ndarray) -> np.ndarray:
        """The inputs ``[batch, *features]`` that belong to parameters ``[batch, parameters]``."""
        moved = np.einsum("bp,bpn->bn", parameters, to_numpy(self.patterns))
        return to_numpy(self.point) + moved.reshape(self.batch, *self.shape)

    def fitted(self, moved: np.ndarray) -> np.ndarray:
        """Parameters of the images nearest to moves ``[batch, features]``, or about so."""
        patterns = to_numpy(self.patterns)
        found = np.stack(
            [np.linalg.lstsq(p.T, m, rcond=None)[0] for p, m in zip(patterns, moved, strict=True)]
        )
        return np.clip(found, to_numpy(self.least), to_numpy(self.most))

    def _excess(self, moved: np.ndarray) -> np.ndarray:
        rest = []
        for each in moved:
            back = np.einsum("bp,bpn->bn", self.fitted(each), to_numpy(self.patterns))
            rest.append(abs(each - back).max(axis=1))
        return np.stack(rest)

    def _retracted(self, moved: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        return np.einsum("bp,bpn->bn", self.fitted(moved), to_numpy(self.patterns))

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
