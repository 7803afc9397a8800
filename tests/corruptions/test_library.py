"""Against imagecorruptions, the package with the authors' ImageNet-C functions, at 224 x 224.

It draws from numpy's global state, which is put back, or from a stream of its own, whose seed it
is told, and fails on small images.
"""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from sensverify.corruptions import CORRUPTIONS, corrupt
from sensverify.corruptions.blur import motion_blurred
from sensverify.corruptions.draws import Draws
from sensverify.corruptions.weather import _plasma
from tests.corruptions.conftest import need


@pytest.fixture(autouse=True)
def _numpys_global_state() -> Iterator[None]:
    before = np.random.get_state()  # noqa: NPY002
    yield
    np.random.set_state(before)  # noqa: NPY002


@pytest.fixture(scope="module")
def library(imagecorruptions: Any, photographs: Tensor) -> Callable[..., Tensor]:
    """``library(name, severity)``: its version of the photographs, always of the same draws."""
    from PIL import Image

    pixels = (photographs * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()

    def call(name: str, severity: int, times: int = 1) -> Tensor:
        np.random.seed(0)  # noqa: NPY002
        function = getattr(imagecorruptions, name)
        own_stream = "seed" in inspect.signature(function).parameters
        seeds = [{"seed": k} if own_stream else {} for k in range(times * len(pixels))]
        made = [
            # Its front door cuts decimals off too.
            np.uint8(function(Image.fromarray(pixels[k % len(pixels)]), severity, **seed))
            for k, seed in enumerate(seeds)
        ]
        return torch.from_numpy(np.stack(made)).permute(0, 3, 1, 2).float() / 255

    return call


# Name there, and the largest mean and single difference. Bytes are cut off: up to one step of
# 1/255. A pixelated value is rounded twice there; JPEG goes through the same program.
SAME = {
    "contrast": ("contrast", 1.01, 1.01),
    "brightness": ("brightness", 1.01, 1.6),
    "pixelate": ("pixelate", 0.5, 1.6),
    "jpeg": ("jpeg_compression", 0.0, 0.01),
    "defocus-blur": ("defocus_blur", 1.01, 1.01),
}


@pytest.mark.parametrize("name", SAME)
def test_what_draws_no_numbers_gives_the_same_images(
    name: str, library: Callable[..., Tensor], photographs: Tensor
) -> None:
    theirs, mean, largest = SAME[name]
    for severity in range(1, 6):
        difference = corrupt(photographs, name, severity) - library(theirs, severity)
        assert float(difference.abs().mean()) * 255 <= mean, severity
        assert float(difference.abs().max()) * 255 <= largest, severity


def test_zoom_blur_gives_the_same_but_for_its_corner(
    library: Callable[..., Tensor], photographs: Tensor
) -> None:
    # The library takes the upper left of an enlargement, the authors and we the middle: at most
    # one pixel further to either side.
    for severity in range(1, 6):
        ours, theirs = corrupt(photographs, "zoom-blur", severity), library("zoom_blur", severity)
        assert float((ours - theirs).abs().mean()) * 255 < 3.5, severity


# What its function is called, by how much the distances to the clean images may differ, and of how
# many draws they are: these draw numbers. Fog is one random cloud an image. (Frost is in
# test_functions.py: of so few photographs every mean is of chance.)
ALIKE = {
    "gaussian-noise": ("gaussian_noise", 0.01, 1),
    "shot-noise": ("shot_noise", 0.01, 1),
    "impulse-noise": ("impulse_noise", 0.015, 8),
    "glass-blur": ("glass_blur", 0.02, 6),
    "motion-blur": ("motion_blur", 0.15, 3),
    "snow": ("snow", 0.03, 2),
    "fog": ("fog", 0.25, 6),
}


@pytest.mark.parametrize("name", ALIKE)
def test_what_draws_numbers_goes_as_far(
    name: str, library: Callable[..., Tensor], photographs: Tensor
) -> None:
    theirs, tolerance, times = ALIKE[name]
    clean = photographs.repeat(times, 1, 1, 1)
    cut_off = 0.5 / 255
    for severity in (1, 3, 5):
        made = corrupt(clean, name, severity), library(theirs, severity, times) + cut_off
        ours, others = (
            (images - clean).square().mean(dim=(1, 2, 3)).unflatten(0, (times, 2)).mean(dim=0)
            for images in made
        )
        ratio = (ours / others).sqrt()
        assert bool(((ratio - 1).abs() < tolerance).all()), (severity, ratio)


@pytest.mark.parametrize(("theirs", "weaker", "than"), [("glass_blur", 4, 3), ("snow", 3, 2)])
def test_tables_that_do_not_rise_do_not_rise_there(
    theirs: str, weaker: int, than: int, library: Callable[..., Tensor], photographs: Tensor
) -> None:
    clean = photographs.repeat(3, 1, 1, 1)
    distances = [(library(theirs, s, 3) - clean).abs().mean() for s in (weaker, than)]
    assert distances[0] < distances[1]


def test_a_streak_in_a_given_direction_is_the_same(
    photographs: Tensor, imagecorruptions: Any
) -> None:
    x = photographs[0].permute(1, 2, 0).numpy()
    for degrees in (-45.0, -20.0, 0.0, 31.0, 45.0, -90.0, -135.0):
        theirs = imagecorruptions._motion_blur(x, radius=10, sigma=3, angle=degrees)
        ours = motion_blurred(photographs[:1], torch.tensor([degrees]), radius=10, sigma=3)
        difference = np.abs(ours[0].permute(1, 2, 0).numpy() - theirs)
        assert difference.mean() < 1e-3, degrees
        # A step may round to the other pixel where it is half-way.
        assert difference.max() < 1e-5 or degrees not in (-20.0, 0.0, 31.0), degrees


@pytest.mark.parametrize("severity", range(1, 6))
def test_elastic_is_the_authors_two_steps_in_one(severity: int, digits: Tensor) -> None:
    # They move the image first and then its pixels, and interpolate twice, which blurs. Of these
    # digits some come near the edge, and are seen in its mirror there as here.
    need("cv2")
    cv2 = importlib.import_module("cv2")
    x = digits[:20]
    ours = corrupt(x, "elastic", severity)[:, 0]
    at = CORRUPTIONS["elastic"].parameters(severity, (28, 28))
    stretch, sigma, affine = (float(at[key]) for key in ("stretch", "sigma", "affine"))
    draws = Draws(0, "elastic", places=range(20), like=x)
    moves = (affine * draws.uniform(3, 2, low=-1, high=1)).numpy()
    noise = draws.uniform(2, 28, 28, low=-1, high=1).double().numpy()
    corners = np.array([[9, 9], [9, -9], [-9, -9]], dtype=np.float32) + np.float32(13.5)
    y, x_ = np.mgrid[:28, :28]
    differences = []
    for image, move, layers, found in zip(x[:, 0].numpy(), moves, noise, ours, strict=True):
        matrix = cv2.getAffineTransform(corners, corners + move)
        moved = cv2.warpAffine(image, matrix, (28, 28), borderMode=cv2.BORDER_REFLECT_101)
        push = [
            stretch * ndimage.gaussian_filter(layer, sigma, mode="reflect", truncate=3)
            for layer in layers
        ]
        wanted = ndimage.map_coordinates(moved, (y + push[1], x_ + push[0]), order=1, mode="mirror")
        differences.append(np.abs(found.numpy() - wanted).mean())
    # The first severity moves whole images only: one interpolation there too.
    assert max(differences) < (1e-4 if severity == 1 else 0.03)
    assert np.abs(ours.numpy() - x[:, 0].numpy()).mean() > 0.03


@pytest.mark.parametrize("decay", [3.0, 2.0, 1.4])
def test_clouds_are_as_rough_as_the_librarys(decay: float, imagecorruptions: Any) -> None:
    images = torch.zeros(200, 1, 32, 32)
    draws = Draws(0, "fog", places=range(200), like=images)
    ours = _plasma(images, draws, decay)
    np.random.seed(0)  # noqa: NPY002
    lands = [imagecorruptions.plasma_fractal(mapsize=32, wibbledecay=decay) for _ in range(200)]
    theirs = torch.from_numpy(np.stack(lands))
    for statistic in (
        lambda land: land.mean(dim=(1, 2)),
        lambda land: land.std(dim=(1, 2)),
        lambda land: land.diff(dim=2).abs().mean(dim=(1, 2)),
    ):
        a, b = statistic(ours).double(), statistic(theirs).double()
        error = math.sqrt(float(a.var() + b.var()) / 200)
        assert abs(float(a.mean() - b.mean())) < 5 * error
        assert float(a.std()) == pytest.approx(float(b.std()), rel=0.35)
