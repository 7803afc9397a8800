"""Sequences of images in which little changes from one frame to the next.

A classifier that is stable gives every frame the same label; the share of changes is its flip rate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import hypot

import torch
from torch import Tensor

from sensverify.corruptions.apply import Places, chunks, from_unit, image_places, to_unit
from sensverify.corruptions.blur import motion_blurred
from sensverify.corruptions.corruption import SMALL
from sensverify.corruptions.draws import Draws
from sensverify.corruptions.lighting import brightness as brighter
from sensverify.corruptions.maps import blurred
from sensverify.corruptions.parameters import HENDRYCKS
from sensverify.corruptions.warp import (
    rotation_matrices,
    scale_matrix,
    shear_matrices,
    shift_matrix,
    tilt_matrix,
    warped,
)
from sensverify.corruptions.weather import snow_flakes, with_snow
from sensverify.errors import BadSetting, BadShape
from sensverify.registry.catalog import Catalog
from sensverify.registry.names import named

_SMALLEST = 24


@dataclass(frozen=True, kw_only=True, eq=False)
class Sequence:
    """A way to make a sequence of frames out of an image.

    Parameters
    ----------
    function : callable
        Takes images in [0, 1], `Draws` and the number of frames; yields one frame of all images
        after the other.
    summary : str
        One sentence without a full stop.
    frames : int
        Default number of frames of images with sides from 96 pixels.
    frames_small : int
        Default number of frames of smaller images.
    against : str
        Frame whose label a frame's label is compared with: ``previous`` or ``first``.
    source : str
    """

    function: Callable[[Tensor, Draws, int], Iterator[Tensor]]
    summary: str
    frames: int = 31
    frames_small: int = 31
    against: str = "previous"
    source: str = HENDRYCKS

    def length(self, shape: tuple[int, ...]) -> int:
        """Default number of frames for images of this shape, which ends with rows and columns."""
        return self.frames_small if min(shape[-2:]) < SMALL else self.frames

    @property
    def frames_text(self) -> str:
        """Default number of frames as text: for all images, or for small and for large ones."""
        if self.frames_small == self.frames:
            return str(self.frames)
        return f"{self.frames_small} or {self.frames}"


def sequence(
    images: Tensor,
    name: str | Sequence,
    *,
    frames: int | None = None,
    seed: int = 0,
    places: Places | None = None,
    pixels: tuple[float, float] = (0.0, 1.0),
    chunk: int | None = None,
) -> Tensor:
    """Every image as a sequence of frames.

    Parameters
    ----------
    images : Tensor, shape ``[n, 1 or 3, rows, columns]``, floating
        At least 24 pixels along either side. Not modified.
    name : str or Sequence
        A key of `SEQUENCES`, or an object.
    frames : int, optional
        At least 2; by default as many as its authors' sequence has, of small and of large images
        (`Sequence.length`). The step from one frame to the next does not depend on it.
    seed, places, pixels, chunk
        As `corrupt` takes them.

    Returns
    -------
    Tensor, shape ``[n, frames, channels, rows, columns]``, like images, in ``[low, high]``

    Raises
    ------
    UnknownName, BadSetting, BadShape, BadData
        As of `corrupt`.
    """
    chosen, name = SEQUENCES.find(name), named(name)
    numbers = image_places(images, places)
    count = chosen.length(images.shape) if frames is None else frames
    if count < 2:
        raise BadSetting(f"a sequence has at least 2 frames, got {count}")
    work = to_unit(images, numbers, pixels=pixels)
    if min(images.shape[-2:]) < _SMALLEST:
        raise BadShape(
            f"sequences are for images of at least {_SMALLEST} x {_SMALLEST} pixels, these have "
            f"{images.shape[2]} x {images.shape[3]}"
        )
    result = images.new_empty(len(images), count, *images.shape[1:])
    for start, part in chunks(work, chunk):
        here = numbers[start : start + len(part)]
        draws = Draws(seed, f"sequence/{name}", places=here, like=part)
        for number, frame in enumerate(chosen.function(part, draws, count)):
            stored = from_unit(frame, pixels, f"sequence '{name}'")
            result[start : start + len(part), number] = stored
    return result


def _by_size(images: Tensor, small: float, large: float) -> float:
    return small if min(images.shape[-2:]) < SMALL else large


def _centred(frames: int) -> list[float]:
    """Steps of 1 about 0."""
    return [number - (frames - 1) / 2 for number in range(frames)]


def _gaussian_noise(images: Tensor, draws: Draws, frames: int) -> Iterator[Tensor]:
    sigma = _by_size(images, 0.02, 0.03)
    yield images
    for _ in range(frames - 1):
        yield images + sigma * draws.normal(*images.shape[1:])


def _shot_noise(images: Tensor, draws: Draws, frames: int) -> Iterator[Tensor]:
    photons = _by_size(images, 700, 300)
    yield images
    for _ in range(frames - 1):
        yield draws.poisson(images * photons) / photons


def _motion_blur(images: Tensor, draws: Draws, frames: int) -> Iterator[Tensor]:
    radius, sigma = _by_size(images, 6, 10), _by_size(images, 1.8, 3)
    step = _by_size(images, 9, 4)
    for number in range(frames):
        angle = torch.full((len(images),), (number - frames + 1) * step)
        yield motion_blurred(images, angle, radius=radius, sigma=sigma)


def _zoom_blur(images: Tensor, draws: Draws, frames: int) -> Iterator[Tensor]:
    total = images
    yield images
    for number in range(1, frames):
        total = total + warped(images, scale_matrix(1 + 0.004 * number))
        yield total / (number + 1)


def _snow(images: Tensor, draws: Draws, frames: int) -> Iterator[Tensor]:
    flakes = snow_flakes(
        images, draws, mean=0.05, deviation=0.3, grain=_by_size(images, 2, 3), threshold=0.5
    )
    radius, sigma = _by_size(images, 10, 14), _by_size(images, 2, 4)
    for number in range(frames):
        fall = torch.full((len(images),), 4.0 * number - 150)
        yield with_snow(
            images, motion_blurred(flakes, fall, radius=radius, sigma=sigma), clear=0.85
        )


def _brightness(images: Tensor, draws: Draws, frames: int) -> Iterator[Tensor]:
    step = _by_size(images, 0.015, 0.02)
    for place in _centred(frames):
        yield brighter(images, draws, value=place * step)


def _translation(images: Tensor, draws: Draws, frames: int) -> Iterator[Tensor]:
    for number in range(frames):
        yield warped(images, shift_matrix(number - (frames - 1) // 2))


def _rotation(images: Tensor, draws: Draws, frames: int) -> Iterator[Tensor]:
    for place in _centred(frames):
        yield warped(images, rotation_matrices(torch.tensor([place])))


def _shear(images: Tensor, draws: Draws, frames: int) -> Iterator[Tensor]:
    for place in _centred(frames):
        yield warped(images, shear_matrices(torch.tensor([place])))


def _tilt(images: Tensor, draws: Draws, frames: int) -> Iterator[Tensor]:
    step, distance = _by_size(images, 0.75, 1), hypot(*images.shape[-2:])
    for place in _centred(frames):
        yield warped(images, tilt_matrix(place * step, distance))


def _scale(images: Tensor, draws: Draws, frames: int) -> Iterator[Tensor]:
    # Small images are as they are half-way, from 0.7 to 1.3; large ones later, from 0.4 to 1.15.
    step, when = _by_size(images, 0.02, 0.025), _by_size(images, 0.5, 0.8)
    for number in range(frames):
        place = number - round(when * (frames - 1))
        yield warped(images, scale_matrix(max(0.05, 1 + place * step)))


def _gaussian_blur(images: Tensor, draws: Draws, frames: int) -> Iterator[Tensor]:
    start, step = _by_size(images, 0.3, 0.25), _by_size(images, 0.015, 0.035)
    for number in range(frames):
        yield blurred(images, start + step * number)


_OWN = {
    "gaussian-noise": Sequence(
        function=_gaussian_noise, summary="fresh noise in every frame", against="first"
    ),
    "shot-noise": Sequence(
        function=_shot_noise, summary="photons counted anew in every frame", against="first"
    ),
    "motion-blur": Sequence(
        function=_motion_blur, summary="smeared in a turning direction", frames_small=21
    ),
    "zoom-blur": Sequence(function=_zoom_blur, summary="smeared further and further"),
    "snow": Sequence(function=_snow, summary="flakes that fall in a turning direction"),
    "brightness": Sequence(function=_brightness, summary="from dark to bright"),
    "translation": Sequence(
        function=_translation,
        summary="from left to right, a pixel at a time",
        frames=41,
        frames_small=16,
    ),
    "rotation": Sequence(function=_rotation, summary="turned by a degree at a time"),
    "tilt": Sequence(function=_tilt, summary="turned out of its plane"),
    "scale": Sequence(function=_scale, summary="from small to large"),
    "shear": Sequence(function=_shear, summary="leaning over by a degree at a time"),
    "gaussian-blur": Sequence(function=_gaussian_blur, summary="blurred more and more"),
}


SEQUENCES: Catalog[Sequence] = Catalog(
    "sequence",
    _OWN,
    group="sensverify.sequences",
    adapt=lambda name, found: found if isinstance(found, Sequence) else None,
    takes="a `Sequence`",
    arguments=3,
    plain=True,
    columns={"frames": lambda each: each.frames_text},
)
"""Every sequence by its name: the ten of ImageNet-P, shear and Gaussian blur.

Steps and numbers of frames are those of make_cifar_p.py for images with sides below 96 pixels, and
those of make_imagenet_p.py for all others.
"""
