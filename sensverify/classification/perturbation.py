"""The inputs around samples: a radius in the unit of each feature, kept to a clip range."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sensverify.bounds.tensors import flattened, tensor_box
from sensverify.core.box import Box, scaled_up, to_numpy
from sensverify.core.digests import sha256_of_arrays
from sensverify.errors import BadBox, BadData, BadSetting, BadShape
from sensverify.formats.arrays import read_npy

Clip = tuple[float, float]

_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class Perturbation:
    """Inputs that differ from a sample by at most a radius in every feature.

    Parameters
    ----------
    unit : numpy array, float64, of the shape of a sample or one that broadcasts to it
        A radius is multiplied with it, feature by feature: 1 for a radius in the units of the
        features, the feature's range for a sigma.
    clip : (low, high) or None
        The range that inputs keep to; an end may be infinite.
    """

    unit: np.ndarray
    clip: Clip | None = None

    @property
    def bounded(self) -> bool:
        """True where inputs have a finite range."""
        return self.clip is not None and not {-inf, inf} & set(self.clip)

    def radius(self, scale: float) -> np.ndarray:
        """Half-width of the box in every feature, nowhere below the exact one, in float64."""
        return scaled_up(scale, self.unit)

    def box(self, x: np.ndarray, scale: float | np.ndarray) -> Box:
        """Boxes around samples, rounded outward, in float64.

        Parameters
        ----------
        x : numpy array, shape ``[samples, *features]``
        scale : float or numpy array, shape ``[samples]``
            Radius in units of ``unit``, of all samples or of each.

        Raises
        ------
        BadBox
            A sample lies outside of the clip range.
        """
        unit = self.unit.reshape(x.shape[1:]) if self.unit.ndim else self.unit
        if isinstance(scale, np.ndarray):
            scale = scale.reshape(-1, *(1,) * (x.ndim - 1))
        return Box.around(x.astype(np.float64), scaled_up(scale, unit), clip=self.clip)

    def float32_box(self, x: Tensor, scale: float) -> Box:
        """Boxes of tensors around samples, on their device, in float32.

        Rounded outward, once: what is certified on such a box and what an attack finds in it are
        about the same inputs, and the box of a larger radius contains that of a smaller one.

        Parameters
        ----------
        x : Tensor, shape ``[samples, *features]``, float32
        scale : float
        """
        parts = []
        for part in x.detach().split(_AT_ONCE):
            # In double precision some samples at a time: there may be many, and large ones.
            ends = self.box(part.cpu().numpy(), scale)
            parts.append(tensor_box(ends, dtype=torch.float32, device=x.device))
        return Box(
            torch.cat([part.lower for part in parts]), torch.cat([part.upper for part in parts])
        )

    def whole_range(self, x: Tensor) -> Box:
        """The clip range, which is finite, for every sample; features of unit 0 do not move."""
        assert self.clip is not None
        moves = torch.from_numpy(self.unit.reshape(x.shape[1:]) > 0).to(x.device)
        low, high = (torch.where(moves, torch.full_like(x, end), x) for end in self.clip)
        # The sample is inside where the ends have been rounded to float32, too.
        return Box(torch.minimum(low, x), torch.maximum(high, x))

    def reaches(self, x: Tensor, points: Tensor) -> Tensor:
        """The smallest radius whose box holds a point, ``[samples]`` in float64, rounded up.

        Infinite where a feature has moved that has the unit 0.
        """
        moved = flattened((points.double() - x.double()).abs())
        unit = torch.from_numpy(self.unit).to(moved).flatten()
        share = torch.where(moved > 0, moved / unit, 0.0)
        farthest = share.amax(dim=1)
        up = torch.nextafter(farthest, torch.full_like(farthest, inf))
        return torch.where(farthest > 0, up, 0.0)

    def check(self, x: np.ndarray, scale: float) -> None:
        """Refuse a radius or a clip range that does not fit samples, before any work is done.

        Parameters
        ----------
        x : numpy array, shape ``[samples, *features]``
        scale : float

        Raises
        ------
        BadBox
        """
        # The outermost samples stand for all.
        self.box(np.stack([x.min(axis=0), x.max(axis=0)]), scale)


def range_unit(
    feature_range: np.ndarray | None, data: str, *, sigma: str = "sigma", radius: str = "radius"
) -> np.ndarray:
    """The range of every feature over the training samples, the unit of a sigma, in float64.

    Parameters
    ----------
    feature_range : numpy array or None, shape ``[*features]``
    data : str
        Name of the data, for the message.
    sigma, radius : str
        Settings that need the range and that need none, for the message.

    Raises
    ------
    BadData
        The data have no such range.
    """
    if feature_range is None:
        raise BadData(
            f"data '{data}' has no feature_range, which `{sigma}` needs",
            f"give `{radius}`, an .npz file that holds that array, or data in two parts, training "
            "and test",
        )
    return feature_range.astype(np.float64)


def read_unit(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """One number for all features, or one for each, from an ``.npy`` file, in float64.

    Raises
    ------
    BadData, BadShape, BadBox
        The file cannot be read, does not fit the features, or holds a number that is not finite
        or below 0.
    """
    return fitted_unit(read_npy(path).astype(np.float64), shape, f"'{path}'")


def given_unit(given: Any, name: str) -> np.ndarray:
    """Numbers for the features, in float64, from whatever holds some; ``name`` is the setting's.

    Raises
    ------
    BadSetting
    """
    try:
        tensor = hasattr(given, "detach")
        values = np.array(to_numpy(given) if tensor else given, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.zeros(0)
    if not values.size:
        raise BadSetting(
            f"`{name}` is of the type {type(given).__name__}, and holds no numbers",
            "give a number, a text such as 8/255, or an array with a number for each feature"
            if name == "radius"
            else "give an array with a number for each feature, or an .npy file",
        )
    return values


def array_words(values: np.ndarray) -> str:
    """Words for an array of radii, which tell two of them apart."""
    ends = f"{values.size} numbers from {values.min():g} to {values.max():g}"
    return f"an array ({ends}, SHA-256 {sha256_of_arrays(values)[:16]})"


def fitted_unit(values: np.ndarray, shape: tuple[int, ...], what: str) -> np.ndarray:
    """One number for all features, or one for each, in the shape of a sample.

    Errors as of `read_unit`, about ``what``.
    """
    if not (np.isfinite(values) & (values >= 0)).all():
        raise BadBox(f"{what}: a radius must be finite and at least 0 for every feature")
    if values.size == 1:
        return values.reshape(())
    if values.size != prod(shape):
        raise BadShape(
            f"{what}: radius of shape {values.shape} does not fit inputs of shape {shape}",
            f"give one number, or one for each of the {prod(shape)} features",
        )
    return values.reshape(shape)


def clip_range(*candidates: Clip | None) -> Clip | None:
    """The first clip range that is there, None where it leaves out nothing."""
    found = next((each for each in candidates if each is not None), None)
    clip = None if found is None else (float(found[0]), float(found[1]))
    return None if clip == (-inf, inf) else clip
