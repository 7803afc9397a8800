"""Blurs: the value of one pixel spreads over its neighbours."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sensverify.corruptions.draws import Draws
from sensverify.corruptions.maps import apply_maps, blurred, border_index, padded, zoom_map


def gaussian_blur(images: Tensor, draws: Draws, *, sigma: float) -> Tensor:
    """A Gaussian kernel of 5 x 5 pixels, the image mirrored at its edge."""
    return blurred(images, sigma, radius=2, border="mirror")


def defocus_blur(images: Tensor, draws: Draws, *, radius: float, softness: float) -> Tensor:
    """Every point becomes a disc, whose edge a Gaussian of deviation ``softness`` smooths."""
    # Convolutions in float32 on GPUs round to ten bits unless a global flag says otherwise.
    wide = images.double() if images.is_cuda else images
    disc = _disc(radius, softness).to(wide)
    flat = padded(wide, len(disc) // 2, "mirror").flatten(0, 1).unsqueeze(1)
    return functional.conv2d(flat, disc[None, None]).reshape(images.shape).to(images)


def _disc(radius: float, softness: float) -> Tensor:
    # Up to a radius of 8 on 17 x 17 pixels and smoothed over 3 x 3, else over 5 x 5: as the
    # benchmark's authors did it.
    half, smoothing = (8, 1) if radius <= 8 else (ceil(radius), 2)
    offsets = torch.arange(-half, half + 1, dtype=torch.float64)
    disc = (offsets[:, None] ** 2 + offsets**2 <= radius**2).double()
    disc = blurred((disc / disc.sum())[None, None], softness, radius=smoothing, border="mirror")
    disc = disc[0, 0]
    used = ceil(radius) + smoothing
    return (
        disc[half - used : half + used + 1, half - used : half + used + 1] if used < half else disc
    )


def glass_blur(
    images: Tensor, draws: Draws, *, sigma: float, reach: float, rounds: float
) -> Tensor:
    """Pixels take the place of neighbours at random, between two Gaussian blurs.

    One after the other, from the last to the first, every pixel becomes a copy of one that is less
    than ``reach`` away. (The paper says that they are swapped. The program that made its images
    says so too, but copies.)
    """
    n, _, rows, columns = images.shape
    reach, rounds = int(reach), int(rounds)
    y = np.arange(rows - reach, reach, -1)
    x = np.arange(columns - reach, reach, -1)
    targets = (y[:, None] * columns + x).ravel()
    moves = draws.integers(-reach, reach, 2, rounds, len(targets)).cpu().numpy()
    origins = np.moveaxis(targets + moves[:, 0] * columns + moves[:, 1], 0, -1)
    # The origin of every pixel. A loop over pixels, since each may copy a copy; not over images.
    taken = np.repeat(np.arange(rows * columns)[:, None], n, axis=1)
    image = np.arange(n)
    for origin in origins:
        for target, source in zip(targets.tolist(), origin, strict=True):
            taken[target] = taken[source, image]
    index = torch.from_numpy(taken.T.copy()).to(images.device)
    flat = blurred(images, sigma).flatten(2)
    shuffled = flat.gather(2, index[:, None].expand_as(flat)).reshape(images.shape)
    return blurred(shuffled, sigma)


def motion_blur(images: Tensor, draws: Draws, *, radius: float, sigma: float) -> Tensor:
    """Smeared in one direction, up to 45 degrees off the horizontal, with a fading tail."""
    return motion_blurred(images, draws.uniform(low=-45, high=45), radius=radius, sigma=sigma)


def motion_blurred(images: Tensor, degrees: Tensor, *, radius: float, sigma: float) -> Tensor:
    """The mean of copies moved along a line, weighted by half a Gaussian.

    Parameters
    ----------
    images : Tensor, shape ``[n, channels, rows, columns]``
    degrees : Tensor, shape ``[n]``
        Direction of each image; 0 smears to the left, 90 upwards.
    radius : float
        The line has ``2 ceil(radius) + 1`` pixels.
    sigma : float
        Deviation of the Gaussian in pixels.
    """
    n, _, rows, columns = images.shape
    count = 2 * ceil(radius) + 1
    steps = torch.arange(count, dtype=torch.float64)
    weights = torch.exp(-0.5 * (steps / sigma) ** 2)
    weights = (weights / weights.sum()).to(images)
    angle = torch.deg2rad(degrees.double().cpu())[:, None]
    down = -(steps * angle.sin() - 0.5).ceil().long().to(images.device)
    right = -(steps * angle.cos() - 0.5).ceil().long().to(images.device)
    image = torch.arange(n, device=images.device)[:, None, None]
    y, x = (torch.arange(size, device=images.device) for size in (rows, columns))
    last = images.movedim(1, -1).contiguous()
    result = torch.zeros_like(last)
    for step in range(count):
        from_y = border_index(y - down[:, step, None], rows, "nearest")[:, :, None]
        from_x = border_index(x - right[:, step, None], columns, "nearest")[:, None]
        result += weights[step] * last[image, from_y, from_x]
    return result.movedim(-1, 1)


def zoom_blur(images: Tensor, draws: Draws, *, step: float, zooms: float) -> Tensor:
    """The mean of the image and of ``zooms`` enlargements of it, by 1, 1 + step, 1 + 2 step, ..."""
    total = images.clone()
    for number in range(int(zooms)):
        factor = 1 + number * step
        matrices = (zoom_map(size, factor, like=images) for size in images.shape[-2:])
        total += apply_maps(images, *matrices)
    return total / (int(zooms) + 1)


def box_blur(images: Tensor, draws: Draws, *, share: float) -> Tensor:
    """Mixed with a copy that five means over 3 x 3 pixels have blurred."""
    soft = images
    for _ in range(5):
        soft = functional.avg_pool2d(padded(soft, 1, "nearest"), 3, stride=1)
    return torch.lerp(images, soft, share)


def mean_blur(images: Tensor, draws: Draws, *, least: float, most: float) -> Tensor:
    """The mean of a square, from ``least`` to ``most`` pixels about its middle."""
    radii = _whole(draws, least, most)
    return _each(
        images, radii, lambda image, r: functional.avg_pool2d(_wide(image, r), 2 * r + 1, 1)
    )


def drawn_gaussian_blur(images: Tensor, draws: Draws, *, least: float, most: float) -> Tensor:
    """A Gaussian kernel of some pixels about its middle, and the deviation OpenCV gives it."""
    return _each(
        images,
        _whole(draws, least, most),
        lambda image, r: blurred(image, 0.3 * (r - 1) + 0.8, radius=r, border="mirror"),
    )


def median_blur(images: Tensor, draws: Draws, *, least: float, most: float) -> Tensor:
    """The median of a square, from ``least`` to ``most`` pixels about its middle."""
    return _each(images, _whole(draws, least, most), _median)


def _whole(draws: Draws, least: float, most: float) -> list[int]:
    return [int(number) for number in draws.integers(int(least), int(most) + 1)]


def _each(images: Tensor, numbers: list[int], change: Callable[[Tensor, int], Tensor]) -> Tensor:
    changed = [change(images[place : place + 1], number) for place, number in enumerate(numbers)]
    return torch.cat(changed)


def _wide(image: Tensor, radius: int) -> Tensor:
    return padded(image, radius, "mirror")


def _median(image: Tensor, radius: int) -> Tensor:
    side = 2 * radius + 1
    windows = padded(image, radius, "nearest").unfold(2, side, 1).unfold(3, side, 1)
    return windows.flatten(4).median(dim=4).values


def line_blur(images: Tensor, draws: Draws, *, least: float, most: float) -> Tensor:
    """The mean along a line between two points of a square about each pixel.

    The square has from ``least`` to ``most`` pixels about its middle.
    """
    radii = _whole(draws, least, most)
    places = draws.uniform(4).tolist()
    blurred_images = []
    for place, (radius, ends) in enumerate(zip(radii, places, strict=True)):
        image = images[place : place + 1]
        kernel = _line(2 * radius + 1, ends).to(images)
        wide = padded(image, radius, "mirror").flatten(0, 1).unsqueeze(1)
        blurred_images.append(functional.conv2d(wide, kernel[None, None]).reshape(image.shape))
    return torch.cat(blurred_images)


def _line(side: int, ends: list[float]) -> Tensor:
    """Equal weights on a line between two different points, given as shares of the sides."""
    x, y, x_end, y_end = (min(int(end * side), side - 1) for end in ends)
    if (x, y) == (x_end, y_end):
        y_end = (y + 1) % side
    steps = max(abs(x_end - x), abs(y_end - y))
    shares = torch.arange(steps + 1) / steps
    columns = (x + shares * (x_end - x)).round().long()
    rows = (y + shares * (y_end - y)).round().long()
    kernel = torch.zeros(side, side)
    kernel[rows, columns] = 1
    return kernel / kernel.sum()
