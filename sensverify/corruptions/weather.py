"""Weather: snow, frost on the lens, and fog."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from math import ceil
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from sensverify.corruptions.blur import motion_blurred
from sensverify.corruptions.colour import luminance
from sensverify.corruptions.draws import Draws
from sensverify.corruptions.maps import apply_maps, zoom_map
from sensverify.errors import BackendMissing, missing

_FROST = ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg")
"""Photographs of ice. Their authors have a sixth one, which their program never takes."""


def snow(
    images: Tensor,
    draws: Draws,
    *,
    mean: float,
    deviation: float,
    grain: float,
    threshold: float,
    radius: float,
    sigma: float,
    clear: float,
) -> Tensor:
    """Flakes, smeared as they fall, over an image that is whiter by a share of ``1 - clear``.

    Flakes are where normal noise, enlarged ``grain`` times, exceeds the threshold.
    """
    flakes = snow_flakes(
        images, draws, mean=mean, deviation=deviation, grain=grain, threshold=threshold
    )
    fall = draws.uniform(low=-135, high=-45)
    return with_snow(images, motion_blurred(flakes, fall, radius=radius, sigma=sigma), clear=clear)


def snow_flakes(
    images: Tensor,
    draws: Draws,
    *,
    mean: float,
    deviation: float,
    grain: float,
    threshold: float,
) -> Tensor:
    """White spots on black, ``[n, 1, rows, columns]``."""
    rows, columns = images.shape[-2:]
    noise = mean + deviation * draws.normal(1, rows, columns)
    grain = max(1.0, grain)
    matrices = (zoom_map(size, grain, like=images) for size in (rows, columns))
    flakes = apply_maps(noise, *matrices)
    return torch.where(flakes < threshold, 0.0, flakes).clamp(0, 1)


def with_snow(images: Tensor, layer: Tensor, *, clear: float) -> Tensor:
    """The image whitened, with a layer of flakes and the same layer upside down."""
    white = torch.maximum(images, luminance(images) * 1.5 + 0.5)
    return torch.lerp(white, images, clear) + layer + layer.flip(-2, -1)


def frost(images: Tensor, draws: Draws, *, clear: float, thickness: float, zoom: float) -> Tensor:
    """Mixed with a piece of a photograph of ice: ``clear`` of the image, ``thickness`` of the ice.

    The photographs come with the package imagecorruptions-imaug.

    Raises
    ------
    BackendMissing
        It is not installed, or pillow is not.
    """
    channels, rows, columns = images.shape[1:]
    photographs = _photographs(zoom, rows, columns)
    which = draws.integers(0, len(photographs)).tolist()
    corner = draws.uniform(2).tolist()
    pieces = []
    for number, (down, right) in zip(which, corner, strict=True):
        ice = photographs[number]
        top = int(down * (ice.shape[1] - rows + 1))
        left = int(right * (ice.shape[2] - columns + 1))
        pieces.append(ice[:, top : top + rows, left : left + columns])
    layer = torch.stack(pieces).to(images)
    if channels == 1:
        layer = luminance(layer)
    return clear * images + thickness * layer


@lru_cache(maxsize=2)
def _photographs(zoom: float, rows: int, columns: int) -> tuple[Tensor, ...]:
    """Every photograph at this zoom, or as large as it must be to cover an image."""
    resized = []
    for ice in _frost_pixels():
        factor = max(zoom, rows / ice.shape[1], columns / ice.shape[2])
        size = [ceil(side * factor) for side in ice.shape[1:]]
        small = functional.interpolate(ice[None].float() / 255, size, mode="bilinear")
        resized.append(small[0].clamp(0, 1))
    return tuple(resized)


@lru_cache(maxsize=1)
def _frost_pixels() -> tuple[Tensor, ...]:
    """The photographs as bytes, ``[3, rows, columns]`` each."""
    try:
        import numpy as np
        from PIL import Image
    except ImportError:
        raise missing("pillow", "evaluate", "corruption 'frost'") from None
    # Looked up, not imported: its functions need OpenCV, numba and scikit-image, its files do not.
    found = find_spec("imagecorruptions")
    folders = [] if found is None else found.submodule_search_locations or []
    try:
        files = [Path(folder, "frost", name) for folder in folders[:1] for name in _FROST]
        pixels = [np.array(Image.open(file).convert("RGB")) for file in files]
    except OSError:
        pixels = []
    if not pixels:
        raise BackendMissing(
            "corruption 'frost' needs photographs from the package imagecorruptions-imaug, which "
            "are not there",
            "pip install --no-deps imagecorruptions-imaug",
        )
    return tuple(torch.from_numpy(image).permute(2, 0, 1).contiguous() for image in pixels)


def fog(images: Tensor, draws: Draws, *, density: float, decay: float) -> Tensor:
    """A random cloud is added, and the whole darkened to what was the brightest value.

    The larger ``decay``, the smoother the cloud.
    """
    rows, columns = images.shape[-2:]
    cloud = _plasma(images, draws, decay)[:, None, :rows, :columns]
    brightest = images.amax(dim=(1, 2, 3), keepdim=True)
    return (images + density * cloud) * (brightest / (brightest + density))


def _plasma(images: Tensor, draws: Draws, decay: float) -> Tensor:
    """A fractal landscape in [0, 1] by the diamond-square algorithm, ``[n, size, size]``."""
    n, size = len(images), 1 << (max(images.shape[-2:]) - 1).bit_length()
    land = torch.zeros(n, size, size, dtype=images.dtype, device=images.device)
    step, wobble = size, 100.0
    while step >= 2:
        half, cells = step // 2, size // step
        # Middles of squares, from their corners; then of their edges, from both sides.
        corners = land[:, ::step, ::step]
        beside = corners + corners.roll(-1, 1)
        square = (beside + beside.roll(-1, 2)) / 4
        bumps = wobble**2 * draws.uniform(3, cells, cells, low=-1, high=1)
        middles = square + bumps[:, 0]
        land[:, half::step, half::step] = middles
        upright = corners + corners.roll(-1, 1)
        across = corners + corners.roll(-1, 2)
        land[:, ::step, half::step] = (middles + middles.roll(1, 1) + across) / 4 + bumps[:, 1]
        land[:, half::step, ::step] = (middles + middles.roll(1, 2) + upright) / 4 + bumps[:, 2]
        step, wobble = half, wobble / decay
    low, high = land.amin(dim=(1, 2), keepdim=True), land.amax(dim=(1, 2), keepdim=True)
    return (land - low) / (high - low)
