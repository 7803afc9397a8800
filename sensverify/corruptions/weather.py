"""Weather: snow, frost on the lens, fog, rain, and the sun."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from math import ceil, pi, tan
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from sensverify.corruptions.blur import motion_blurred
from sensverify.corruptions.colour import luminance
from sensverify.corruptions.draws import Draws
from sensverify.corruptions.hues import with_lightness
from sensverify.corruptions.maps import apply_maps, padded, zoom_map
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


def rain(
    images: Tensor,
    draws: Draws,
    *,
    length: float,
    slant: float,
    blur: float,
    grey: float,
    light: float,
) -> Tensor:
    """Grey strokes that slant one way, blurred with the image, and all of it darker.

    A stroke is one pixel wide and ``length`` high, and there is one on 600 pixels where it is 20
    high, so that strokes of other images cover the same share.
    """
    rows, columns = images.shape[-2:]
    high, count = int(length), max(1, round(rows * columns / 600 * 20 / length))
    lean = draws.uniform(low=-slant, high=slant).trunc()[:, None]
    place = draws.uniform(2, count)
    # The stroke as a whole is inside of the image.
    left = (place[:, 0] * (columns - lean.abs() + 1)).floor() - lean.clamp(max=0)
    top = (place[:, 1] * (rows - high + 1)).floor()
    step = torch.arange(high + 1).to(images)
    x = (left[:, :, None] + lean[:, :, None] * step / high).round().long()
    y = (top[:, :, None] + step).long().clamp(0, rows - 1)
    seen = (x >= 0) & (x < columns)
    index = torch.where(seen, y * columns + x, rows * columns).flatten(1)
    drawn = torch.zeros(len(images), rows * columns + 1, dtype=torch.bool, device=images.device)
    drawn = drawn.scatter_(1, index, True)[:, :-1].reshape(-1, 1, rows, columns)
    wet = _mean(torch.where(drawn, grey, images), int(blur))
    return with_lightness(wet, lambda lightness: light * lightness)


def bleached(
    images: Tensor, draws: Draws, *, least: float, most: float, brightness: float
) -> Tensor:
    """Snow on what is dark: lightness below ``1/3 + s/2`` times a factor, s from the range."""
    limit = 1 / 3 + draws.uniform(1, 1, low=least, high=most) / 2
    return with_lightness(
        images, lambda light: torch.where(light < limit, brightness * light, light)
    )


def haze(images: Tensor, draws: Draws, *, least: float, most: float, density: float) -> Tensor:
    """Discs of fog, more of them further out, and all of it blurred.

    Each disc brings its pixels nearer to white by ``density`` times the strength, which is from the
    range, as its radius is. Discs are placed as on 224 x 224 pixels.
    """
    rows, columns = images.shape[-2:]
    side, strengths = 224, draws.uniform(low=least, high=most).tolist()
    shares, hazy = draws.uniform(_DISCS, 2).tolist(), []
    down, right = (torch.arange(n).to(images) * (side / n) for n in (rows, columns))
    for place, strength in enumerate(strengths):
        width = max(int(side // 3 * strength), 10)
        count = torch.zeros(rows, columns).to(images)
        for x, y in _discs(shares[place], width, side):
            near = (right - x) ** 2 + (down[:, None] - y) ** 2 <= (width // 2) ** 2
            count += near
        kept = (1 - density * strength) ** count
        blur = round(width // 10 * min(rows, columns) / side / 2)
        hazy.append(_mean(1 - (1 - images[place : place + 1]) * kept, blur))
    return torch.cat(hazy)


_DISCS = 400
"""More than there ever are."""


def _discs(shares: list[list[float]], width: int, side: int) -> list[tuple[float, float]]:
    """Middles of discs in rings around the middle, each of which has more of them."""
    middle_x, middle_y, ring = side // 2 - 2 * width, side // 2 - width, 1
    found: list[tuple[float, float]] = []
    while (middle_x > -width or middle_y > -width) and len(found) < len(shares):
        for share in shares[len(found) : len(found) + width // 10 * ring]:
            x, y = (
                middle + part * (side - 2 * middle - width)
                for middle, part in zip((middle_x, middle_y), share, strict=True)
            )
            found.append((x + width // 2, y + width // 2))
        middle_x, middle_y, ring = middle_x - width * 3 // 2, middle_y - width * 3 // 2, ring + 1
    return found


def sun_flare(images: Tensor, draws: Draws, *, radius: float, fewest: float, most: float) -> Tensor:
    """A white light in the upper half that fades out, and spots on a line through it."""
    rows, columns = images.shape[-2:]
    unit = min(rows, columns) / 224
    counts = draws.integers(int(fewest), int(most) + 1).tolist()
    suns = draws.uniform(3).tolist()
    spots = draws.uniform(int(most), 4).tolist()
    y = torch.arange(rows).to(images)[:, None]
    x = torch.arange(columns).to(images)
    lit = []
    for place, (right, down, turn) in enumerate(suns):
        image = images[place : place + 1]
        at_x, at_y, slope = right * columns, down * rows / 2, tan(2 * pi * turn)
        overlay = image
        for where, small, alpha, bright in spots[place][: counts[place]]:
            spot_x = where * columns
            size = unit * (1 if small < 0.5 else 8)
            near = (x - spot_x) ** 2 + (y - (at_y - slope * (spot_x - at_x))) ** 2 <= size**2
            overlay = torch.where(near, (205 + 50 * bright) / 255, overlay)
            image = torch.lerp(image, overlay, 0.05 + 0.15 * alpha)
        overlay, far = image, (x - at_x) ** 2 + (y - at_y) ** 2
        for step in range(_RINGS):
            share = step / (_RINGS - 1)
            overlay = torch.where(far <= (unit + share * (radius - unit)) ** 2, 1.0, overlay)
            image = torch.lerp(image, overlay, (1 - share) ** 3)
        lit.append(image)
    return torch.cat(lit)


_RINGS = 20
"""Steps in which the light of the sun fades."""


def _mean(images: Tensor, radius: int) -> Tensor:
    if radius < 1:
        return images
    return functional.avg_pool2d(padded(images, radius, "mirror"), 2 * radius + 1, stride=1)
