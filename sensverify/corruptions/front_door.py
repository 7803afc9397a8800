"""Corrupting images: everything is checked on the way in and on the way out."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from math import isfinite

import torch
from torch import Tensor

from sensverify.corruptions.corruption import CHANNELS, Corruption, Value
from sensverify.corruptions.draws import Draws
from sensverify.corruptions.registry import find_corruption
from sensverify.errors import BadData, BadSetting, BadShape, Unbounded

_NUMBERS_AT_ONCE = 1 << 22
"""Images are corrupted in chunks of about so many numbers (16 MB in float32)."""

_SLACK = 1e-5
"""By how much of the range a value may be outside of it and count as a rounding error."""


def corrupt(
    images: Tensor,
    name: str,
    severity: int | Mapping[str, Value],
    *,
    seed: int = 0,
    first: int = 0,
    pixels: tuple[float, float] = (0.0, 1.0),
    chunk: int | None = None,
) -> Tensor:
    """Images made worse, every one by itself.

    Parameters
    ----------
    images : Tensor, shape ``[n, 1 or 3, rows, columns]``, floating
        Not modified. Three channels are red, green and blue.
    name : str
        A key of `CORRUPTIONS`.
    severity : int or mapping
        From 1 to the ``severities`` of the corruption; or its parameters by name, lengths in pixels
        of these images, in place of those in its table.
    seed : int
        Of everything that is drawn.
    first : int
        Place of the first image in its data set. What is drawn for an image follows from the seed,
        the name of the corruption and the image's place, and from nothing else: neither the other
        images nor the chunks, the device or the severity change it.
    pixels : (low, high)
        Which values are black and white.
    chunk : int, optional
        How many images are worked on at once; by default as many as take some 16 MB.

    Returns
    -------
    Tensor like images, with values in ``[low, high]``
        New memory, on the device of the images; the same on every device but for rounding.

    Raises
    ------
    UnknownName, BadSetting
        There is no such corruption, severity or parameter.
    BadShape
        The images are none, too small, or grey where colours are changed.
    BadData
        A value is NaN or lies outside of ``pixels``; the message has the place of the image.
    BackendMissing
        The corruption needs a package that is not installed.
    """
    corruption = find_corruption(name)
    work = to_unit(images, pixels=pixels, first=first)
    corruption.check(tuple(images.shape[1:]))
    parameters = _parameters(corruption, severity, images)
    result = torch.empty_like(images, memory_format=torch.contiguous_format)
    for start, part in chunks(work, chunk):
        draws = Draws(seed, name, first=first + start, count=len(part), like=part)
        corrupted = corruption.function(part, draws, **parameters)
        result[start : start + len(part)] = from_unit(corrupted, pixels, f"corruption '{name}'")
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
        raise BadSetting(f"images cannot be corrupted {chunk} at a time; chunk must be at least 1")
    return [(start, images[start : start + chunk]) for start in range(0, len(images), chunk)]


def to_unit(images: Tensor, *, pixels: tuple[float, float], first: int = 0) -> Tensor:
    """The images with black at 0 and white at 1, at least in float32.

    Raises
    ------
    BadSetting
        ``pixels`` is no range, or ``first`` is negative.
    BadShape
        These are no images.
    BadData
        A value is NaN or lies outside of ``pixels``.
    """
    low, high = pixels
    if not (isfinite(low) and isfinite(high) and low < high):
        raise BadSetting(f"pixels must be (low, high) with low < high, got {pixels}")
    if first < 0:
        raise BadSetting(f"the first image's place in its data set is at least 0, got {first}")
    if images.ndim != 4 or images.shape[1] not in CHANNELS or not images.is_floating_point():
        raise BadShape(
            "corruptions need floating-point images of shape [n, 1 or 3, rows, columns], got "
            f"{images.dtype} of shape {list(images.shape)}"
        )
    work = images.detach()
    if work.dtype.itemsize < 4:
        work = work.float()
    slack = _SLACK * (high - low)
    inside = ((work >= low - slack) & (work <= high + slack)).flatten(1).all(dim=1)
    if not bool(inside.all()):
        bad = int(inside.int().argmin())
        sample = work[bad]
        raise BadData(
            f"image {first + bad} has values from {float(sample.min()):g} to "
            f"{float(sample.max()):g}; expected pixels from {low:g} to {high:g} (give the data's "
            "own range as pixels=(low, high))"
        )
    if (low, high) != (0.0, 1.0):
        work = (work - low) / (high - low)
    return work.clamp(0, 1)


def from_unit(images: Tensor, pixels: tuple[float, float], what: str) -> Tensor:
    """The way back, into the range.

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
    expected = set(list(signature(corruption.function).parameters)[2:])
    if set(severity) != expected:
        raise BadSetting(
            f"corruption '{corruption.name}' takes the parameters {', '.join(sorted(expected))}, "
            f"got {', '.join(sorted(severity)) or 'none'}"
        )
    return dict(severity)
