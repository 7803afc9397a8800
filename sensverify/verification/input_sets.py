"""The input set of a request: which part of a box, or which images, are asked about."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sensverify.core.box import Box
from sensverify.core.digests import sha256_of_arrays
from sensverify.core.numbers import parse_number
from sensverify.core.sets import Ball, Constrained, InputSet, Patch, Varied
from sensverify.core.sets import bias_field as bias_field_of
from sensverify.core.sets import brightness as brightness_of
from sensverify.core.sets import contrast as contrast_of
from sensverify.core.sets.varied import Pattern
from sensverify.errors import BadData, BadSetting, InputError
from sensverify.formats.arrays import read_npz

SETS = ("norm", "pixels", "patch", "constraints", "vary")
"""Settings that make an input set of the boxes, of which there is one at most."""

PATTERNS = {"brightness": brightness_of, "contrast": contrast_of, "bias-field": bias_field_of}


def check_sets(request: Any) -> None:
    """Refuse settings of input sets that contradict each other or another one.

    Raises
    ------
    BadSetting
    """
    given = [name for name in SETS if getattr(request, name) is not None]
    if len(given) > 1:
        raise BadSetting(f"`{given[0]}` and `{given[1]}` are two input sets", "ask about one")
    if not given:
        return
    name = given[0]
    if request.norm is not None and request.norm not in (1, 2, math.inf):
        raise BadSetting(f"`norm` is 1, 2 or inf, got {request.norm!r}")
    if request.norm in (1, 2) and request.sigma is not None:
        raise BadSetting(
            "`norm` needs one radius for all features, and `sigma` has one for each",
            "give `radius`",
        )
    if name == "pixels" and not (isinstance(request.pixels, int) and request.pixels >= 0):
        raise BadSetting(f"`pixels` is a number of pixels, got {request.pixels!r}")
    if name == "patch" and not (
        len(tuple(request.patch)) == 2 and all(isinstance(n, int) and n > 0 for n in request.patch)
    ):
        raise BadSetting(f"`patch` is a height and a width in pixels, got {request.patch!r}")
    if name == "vary":
        if request.radius is not None or request.sigma is not None:
            raise BadSetting(
                "`vary` says how far inputs move: leave `radius` and `sigma` out",
                "ask about one of them",
            )
        variations(request.vary)
    if request.box is not None and name != "constraints":
        raise BadSetting(f"`box` is the whole input box: leave `{name}` out")


def variations(vary: Any) -> dict[str, float | Path]:
    """Names of what varies, each with its amount, or files of patterns.

    Parameters
    ----------
    vary : mapping, str, or sequence of str
        ``{"brightness": 0.1}``, or texts such as ``brightness=0.1`` and ``FILE.npz``.
    """
    if isinstance(vary, Mapping):
        vary = [f"{name}={amount}" for name, amount in vary.items()]
    found: dict[str, float | Path] = {}
    for text in (vary,) if isinstance(vary, str) else tuple(vary):
        name, equals, amount = str(text).partition("=")
        if not equals and name.endswith(".npz"):
            found[name] = Path(name)
            continue
        if name not in PATTERNS or not equals:
            raise BadSetting(
                f"`vary` knows no '{text}'",
                f"there are {', '.join(PATTERNS)}, as brightness=0.1, and files of patterns, .npz",
            )
        try:
            value = parse_number(amount)
        except InputError as error:
            raise error.about(f"`vary`: {name}") from None
        if not (math.isfinite(value) and value >= 0):
            raise BadSetting(f"`vary`: {name} needs a finite amount of at least 0, got {amount}")
        if name in found:
            raise BadSetting(f"`vary` names {name} twice")
        found[name] = value
    if not found:
        raise BadSetting("`vary` names nothing")
    return found


@dataclass(frozen=True, eq=False)
class AskedSet:
    """The input set that a request asks about, for any samples.

    Parameters
    ----------
    name : str
        The setting that makes it, among `SETS`.
    setting : object
        As it was given.
    arrays : dict of numpy arrays
        Of the file that it names.
    clip : (low, high), optional
        Range that images are cut to.
    """

    name: str
    setting: Any
    arrays: dict[str, np.ndarray]
    clip: tuple[float, float] | None = None

    @classmethod
    def of(cls, request: Any) -> AskedSet | None:
        """Of a request; None where its boxes are the whole sets."""
        for name in SETS:
            setting = getattr(request, name)
            if setting is None or setting == math.inf:
                continue
            arrays: dict[str, np.ndarray] = {}
            if name == "constraints":
                names = ("matrix", "limits", "equal_matrix", "equal_limits")
                arrays = read_npz(str(setting), required=(), optional=names)
                if not {"matrix", "equal_matrix"} & set(arrays):
                    raise BadData(f"'{setting}' holds neither matrix nor equal_matrix")
            return cls(name, setting, arrays)
        return None

    @property
    def wants_range(self) -> bool:
        """True where inputs may be anything in the range of the features, unless it is said."""
        return self.name in ("pixels", "patch")

    def around(self, x: np.ndarray, box: Box, reach: float) -> InputSet:
        """The sets in boxes around samples, in float64.

        Parameters
        ----------
        x : numpy array, shape ``[batch, *input_shape]``
        box : Box of numpy arrays
        reach : float
            The radius of a ball.

        Raises
        ------
        BadBox, BadShape, BadSetting
            A sample is not in its own set, or the set does not fit inputs of that shape.
        """
        wide = x.astype(np.float64)
        ends = box.lower, box.upper
        if self.name == "norm":
            reaches = np.full(len(wide), float(reach))
            return Ball(*ends, wide, reaches, int(self.setting))
        if self.name == "pixels":
            return Patch(*ends, wide, count=self.setting)
        if self.name == "patch":
            return Patch(*ends, wide, window=tuple(self.setting))
        if self.name == "constraints":
            return Constrained.of(box, point=wide, **self.arrays)
        return Varied.along(wide, self._patterns(wide), clip=self.clip)

    def points(self, box: Box) -> np.ndarray:
        """Points of the sets in boxes that are around no samples."""
        return np.asarray(Constrained.of(box, **self.arrays).point)

    def _patterns(self, x: np.ndarray) -> list[Pattern]:
        found: list[Pattern] = []
        for name, amount in variations(self.setting).items():
            if isinstance(amount, Path):
                found += _from_file(amount, x)
            else:
                found.append(PATTERNS[name](x, amount))
        return found

    def facts(self, x: np.ndarray, box: Box, reach: float) -> dict[str, Any]:
        """The set as JSON holds it, and in words."""
        inside = self.around(x[:1], box[:1], reach)
        setting: Any = self.setting
        if self.name == "vary":
            setting = {
                name: None if isinstance(value, Path) else value
                for name, value in variations(setting).items()
            }
        elif self.name == "patch":
            setting = list(setting)
        elif self.name == "constraints":
            setting = str(setting)
        arrays = [self.arrays[name] for name in sorted(self.arrays)]
        if self.name == "vary" and any(v is None for v in setting.values()):
            arrays = [np.asarray(inside.patterns)]  # type: ignore[attr-defined]
        return {
            "kind": inside.kind,
            self.name: int(setting) if self.name == "norm" else setting,
            "sha256": sha256_of_arrays(*arrays) if arrays else None,
            "words": inside.words,
        }


def _from_file(path: Path, x: np.ndarray) -> list[Pattern]:
    arrays = read_npz(str(path), required=("patterns", "least", "most"), optional=())
    patterns, least, most = (arrays[name] for name in ("patterns", "least", "most"))
    count = len(patterns) if patterns.ndim else 0
    if not count or least.shape != (count,) or most.shape != (count,):
        raise BadData(
            f"'{path}' needs patterns [parameters, *features], and as many numbers least and most"
        )
    if patterns[0].size != x[0].size:
        raise BadData(
            f"'{path}': patterns of shape {patterns.shape[1:]} do not fit inputs of shape "
            f"{x.shape[1:]}"
        )
    shaped = patterns.astype(np.float64).reshape(count, *x.shape[1:])
    return [
        (f"{path.stem}-{number}", pattern, float(low), float(high))
        for number, (pattern, low, high) in enumerate(zip(shaped, least, most, strict=True))
    ]
