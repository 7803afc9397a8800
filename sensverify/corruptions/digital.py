"""Digital corruptions: losses of storing and sending images."""

from __future__ import annotations

from io import BytesIO

import torch
from torch import Tensor
from torch.nn import functional

from sensverify.corruptions.draws import Draws
from sensverify.corruptions.maps import apply_maps, block_map, padded
from sensverify.errors import missing


def pixelate(images: Tensor, draws: Draws, *, resolution: float) -> Tensor:
    """Fewer, larger pixels: each is the mean of a block."""
    matrices = (
        block_map(size, max(1, int(size * resolution)), like=images) for size in images.shape[-2:]
    )
    return apply_maps(images, *matrices)


def jpeg(images: Tensor, draws: Draws, *, quality: float) -> Tensor:
    """Through a JPEG file of bytes, its quality as in libjpeg: 100 is best.

    Raises
    ------
    BackendMissing
        Pillow is not installed.
    """
    try:
        import numpy as np
        from PIL import Image
    except ImportError:
        raise missing("pillow", "evaluate", "corruption 'jpeg'") from None
    grey = images.shape[1] == 1
    pixels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    stored = []
    for image in pixels:
        file = BytesIO()
        Image.fromarray(image[:, :, 0] if grey else image).save(file, "JPEG", quality=int(quality))
        stored.append(np.array(Image.open(file)).reshape(image.shape))
    return torch.from_numpy(np.stack(stored)).permute(0, 3, 1, 2).to(images) / 255


def quantise(images: Tensor, draws: Draws, *, steps: float) -> Tensor:
    """Rounded to ``steps + 1`` values from black to white."""
    return (images * steps).round() / steps


def posterise(images: Tensor, draws: Draws, *, bits: float) -> Tensor:
    """The first few of the eight bits of every byte alone."""
    step = 2 ** (8 - int(bits))
    return (images * 255).round().div(step).floor() * step / 255


def thumbnail(images: Tensor, draws: Draws, *, factor: float) -> Tensor:
    """Made smaller by a factor and large again, both by linear interpolation."""
    size = list(images.shape[-2:])
    small = [max(1, int(side / factor)) for side in size]
    reduced = functional.interpolate(images, small, mode="bilinear", antialias=True)
    return functional.interpolate(reduced, size, mode="bilinear", antialias=True)


def drawn_jpeg(images: Tensor, draws: Draws, *, least: float, most: float) -> Tensor:
    """Through a JPEG file of a quality from ``least`` to ``most``; errors as of `jpeg`."""
    qualities = draws.integers(int(least), int(most) + 1).tolist()
    stored = [
        jpeg(images[number : number + 1], draws, quality=quality)
        for number, quality in enumerate(qualities)
    ]
    return torch.cat(stored)


def downscale(images: Tensor, draws: Draws, *, factor: float) -> Tensor:
    """Made smaller by a factor and large again, by the nearest pixel both times."""
    size = list(images.shape[-2:])
    small = functional.interpolate(images, [max(1, int(side * factor)) for side in size])
    return functional.interpolate(small, size)


def emboss(images: Tensor, draws: Draws, *, least: float, most: float) -> Tensor:
    """Edges as of a relief, lit from one corner."""
    strength = draws.uniform(low=least, high=most)[:, None, None]
    relief = torch.tensor([[-1.0, -1.0, 0.0], [-1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]).to(images)
    corners = torch.tensor([[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]).to(images)
    return _filtered(images, corners + strength * relief)


def sharpen(
    images: Tensor,
    draws: Draws,
    *,
    share: float,
    most_share: float,
    light: float,
    most_light: float,
) -> Tensor:
    """Mixed with its edges."""
    mixed = draws.uniform(low=share, high=most_share)[:, None, None]
    lightness = draws.uniform(low=light, high=most_light)[:, None, None]
    middle = torch.zeros(3, 3).to(images)
    middle[1, 1] = 1
    return _filtered(images, (1 - mixed) * middle + mixed * (9 * middle - 1 + lightness * middle))


def _filtered(images: Tensor, kernels: Tensor) -> Tensor:
    """Every image under its own 3 x 3 kernel ``[n, 3, 3]``, mirrored at the edges."""
    rows, columns = images.shape[-2:]
    wide, result = padded(images, 1, "mirror"), torch.zeros_like(images)
    for y in range(3):
        for x in range(3):
            weight = kernels[:, y, x, None, None, None]
            result += weight * wide[..., y : y + rows, x : x + columns]
    return result
