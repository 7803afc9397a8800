"""Digital corruptions: losses of storing and sending images."""

from __future__ import annotations

from io import BytesIO

import torch
from torch import Tensor
from torch.nn import functional

from sensverify.corruptions.draws import Draws
from sensverify.corruptions.maps import apply_maps, block_map
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
