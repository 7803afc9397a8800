"""Corruption of images, with checks of the arguments before and of the values after."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite

import numpy as np
import torch
from torch import Tensor

from sensverify.corruptions.corruption import CHANNELS, Corruption, Value
from sensverify.corruptions.draws import Draws
from sensverify.corruptions.registry import CORRUPTIONS
from sensverify.errors import BadData, BadSetting, BadShape, Unbounded

_NUMBERS_AT_ONCE = 1 << 22
"""Images are corrupted in chunks of about so many numbers (16 MB in float32)."""

_SLACK = 1e-5
"""Share of the range by which a value may be outside of it and count as a rounding error."""


Places = Sequence[int] | np.ndarray | Tensor
"""Numbers of images in their data set, from 0."""

_MOST_PLACES = 1 << 32
"""Number of different streams of random numbers for one seed and corruption."""

_PLACES_ARE = "places of images in their data set are whole numbers from 0 to 2**32 - 1"


def corrupt(
    images: Tensor,
    name: str | Corruption | Callable[..., Tensor],
    severity: int | Mapping[str, Value],
    *,
    seed: int = 0,
    places: Places | None = None,
    pixels: tuple[float, float] = (0.0, 1.0),
    chunk: int | None = None,
) -> Tensor:
    """Corrupted images, every one by itself.

    Parameters
    ----------
    images : Tensor, shape ``[n, 1 or 3, rows, columns]``, floating
        Not modified. Three channels are red, green and blue.
    name : str, Corruption or callable
        A key of `CORRUPTIONS`, or one of the caller's own: a function of images, `Draws` and
        parameters, whose defaults make its one severity.
    severity : int or mapping
        From 1 to the ``severities`` of the corruption; or its parameters by name, lengths in pixels
        of these images, in place of those in its table.
    seed : int
        Seed of everything that is drawn.
    places : sequence, array or tensor of int, shape ``[n]``, optional
        The images' numbers in their data set; by default 0 to n - 1. What is drawn for an image
        follows from the seed, the name of the corruption and the image's place, and from nothing
        else: neither the other images nor the chunks, the device or the severity change it.
    pixels : (low, high)
        Values of black and of white.
    chunk : int, optional
        Images at once; by default as many as take some 16 MB.

    Returns
    -------
    Tensor like images, with values in ``[low, high]``
        New memory, on the device of the images; the same on every device but for rounding.

    Raises
    ------
    UnknownName, BadSetting
        There is no such corruption, severity or parameter; or a place is no whole number from 0.
    BadShape
        The images are none, too small, or grey where colours are changed; or there are more or
        fewer places than images.
    BadData
        A value is NaN or lies outside of ``pixels``; the message has the place of the image.
    BackendMissing
        The corruption needs a package that is not installed.
    """
    chosen = CORRUPTIONS.find(name)
    numbers = image_places(images, places)
    work = to_unit(images, numbers, pixels=pixels)
    chosen.check(tuple(images.shape[1:]))
    parameters = _parameters(chosen, severity, images)
    what = f"corruption '{chosen.name}'"
    result = torch.empty_like(images, memory_format=torch.contiguous_format)
    for start, part in chunks(work, chunk):
        draws = Draws(seed, chosen.name, places=numbers[start : start + len(part)], like=part)
        corrupted = chosen.function(part, draws, **parameters)
        if not isinstance(corrupted, Tensor) or corrupted.shape != part.shape:
            shape = getattr(corrupted, "shape", None)
            gave = type(corrupted).__name__ if shape is None else f"images of shape {[*shape]}"
            raise BadShape(f"{what} gave {gave}, expected images of shape {list(part.shape)}")
        result[start : start + len(part)] = from_unit(corrupted, pixels, what)
    return result


def chunks(images: Tensor, chunk: int | None) -> list[tuple[int, Tensor]]:
    """The images in parts, each with the position of its first.

    Raises
    ------
    BadSetting
        ``chunk`` is below 1.
    """
    if chunk is None:
        chunk = max(1, _NUMBERS_AT_ONCE // images.shape[1:].numel())
    if chunk < 1:
        raise BadSetting(
            f"images cannot be corrupted {chunk} at a time; `chunk` must be at least 1"
        )
    return [(start, images[start : start + chunk]) for start in range(0, len(images), chunk)]


def image_places(images: Tensor, places: Places | None) -> list[int]:
    """The images' numbers in their data set.

    Raises
    ------
    BadShape
        These are no images, or there are more or fewer places than images.
    BadSetting
        A place is no whole number from 0.
    """
    if images.ndim != 4 or images.shape[1] not in CHANNELS or not images.is_floating_point():
        raise BadShape(
            "corruptions need floating-point images of shape [n, 1 or 3, rows, columns], got "
            f"{images.dtype} of shape {list(images.shape)}"
        )
    if places is None:
        return list(range(len(images)))
    array = np.asarray(places.cpu() if isinstance(places, Tensor) else places)
    if array.shape != (len(images),):
        raise BadShape(
            f"{len(images)} images need as many places in their data set, got shape "
            f"{list(array.shape)}"
        )
    if array.size == 0:
        return []
    if array.dtype.kind not in "iu":
        raise BadSetting(f"{_PLACES_ARE}, got numbers of type {array.dtype}")
    wrong = (array < 0) | (array >= _MOST_PLACES)
    if wrong.any():
        raise BadSetting(f"{_PLACES_ARE}, got {array[wrong.argmax()]}")
    return [int(place) for place in array]


def to_unit(images: Tensor, places: Sequence[int], *, pixels: tuple[float, float]) -> Tensor:
    """The images with black at 0 and white at 1, at least in float32.

    Raises
    ------
    BadSetting
        ``pixels`` is no range.
    BadData
        A value is NaN or lies outside of ``pixels``; the message has the place of the image.
    """
    low, high = pixels
    if not (isfinite(low) and isfinite(high) and low < high):
        raise BadSetting(f"pixels must be (low, high) with low < high, got {pixels}")
    work = images.detach()
    if work.dtype.itemsize < 4:
        work = work.float()
    slack = _SLACK * (high - low)
    inside = ((work >= low - slack) & (work <= high + slack)).flatten(1).all(dim=1)
    if not bool(inside.all()):
        bad = int(inside.int().argmin())
        sample = work[bad]
        raise BadData(
            f"image {places[bad]} has values from {float(sample.min()):g} to "
            f"{float(sample.max()):g}; expected pixels from {low:g} to {high:g}",
            "give the data's own range as `pixels=(low, high)`",
        )
    if (low, high) != (0.0, 1.0):
        work = (work - low) / (high - low)
    return work.clamp(0, 1)


def from_unit(images: Tensor, pixels: tuple[float, float], what: str) -> Tensor:
    """Images of [0, 1] back in the range of ``pixels``.

    Raises
    ------
    Unbounded
        A value is NaN.
    """
    if bool(images.isnan().any()):
        raise Unbounded(f"{what} gave values that are no numbers; its parameters are too extreme")
    low, high = pixels
    images = images.clamp(0, 1)
    return images if (low, high) == (0.0, 1.0) else (low + images * (high - low)).clamp(low, high)


def _parameters(
    corruption: Corruption, severity: int | Mapping[str, Value], images: Tensor
) -> dict[str, Value]:
    if not isinstance(severity, Mapping):
        rows, columns = images.shape[-2:]
        return corruption.parameters(severity, (rows, columns))
    expected = set(CORRUPTIONS.settings(corruption))
    if set(severity) != expected:
        raise BadSetting(
            f"corruption '{corruption.name}' takes the parameters {', '.join(sorted(expected))}, "
            f"got {', '.join(sorted(severity)) or 'none'}"
        )
    return dict(severity)
