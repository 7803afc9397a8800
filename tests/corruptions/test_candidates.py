"""Candidates, whose strengths images draw, against closed forms and other filters."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from sensverify.corruptions import CORRUPTIONS, corrupt
from tests.corruptions.conftest import assert_close, need


def images(n: int = 6, channels: int = 3, rows: int = 32, columns: int = 40) -> Tensor:
    return torch.rand(n, channels, rows, columns, generator=torch.Generator().manual_seed(0))


def grey(value: float, n: int = 60, channels: int = 1) -> Tensor:
    return torch.full((n, channels, 32, 32), value)


def test_the_group_names_them_all() -> None:
    group = CORRUPTIONS.groups()["candidates"]
    assert len(group) == len(set(group)) == 39
    assert set(group) - {"invert"} == {name for name in CORRUPTIONS if name.startswith("candid")}
    assert {CORRUPTIONS[name].severities for name in group} == {1}
    assert CORRUPTIONS.select(("candidates", "invert")) == group


def test_lengths_are_as_printed_at_224_pixels() -> None:
    wanted = {
        "candidate-blur": {"least": 2, "most": 4},
        "candidate-gaussian-blur": {"least": 4, "most": 6},
        "candidate-median-blur": {"least": 2, "most": 5},
        "candidate-border": {"width": (224 - 130) / 2},
        "candidate-coarse-dropout": {"least": 16, "most": 48, "size": 8},
        "candidate-cutout": {"number": 8, "size": 150},
    }
    for name, values in wanted.items():
        assert CORRUPTIONS[name].parameters(1, (224, 224)) == values, name


@pytest.mark.parametrize("radius", [1, 3])
def test_filters_are_those_of_another_library(radius: int) -> None:
    x = images()
    settings = {"least": radius, "most": radius}
    size = (1, 1, 2 * radius + 1, 2 * radius + 1)
    mean = ndimage.uniform_filter(x.numpy(), size, mode="mirror")
    median = ndimage.median_filter(x.numpy(), size, mode="nearest")
    sigma = 0.3 * (radius - 1) + 0.8
    soft = ndimage.gaussian_filter(
        x.numpy(), sigma, mode="mirror", axes=(2, 3), truncate=(radius + 0.4) / sigma
    )
    for name, wanted in {"blur": mean, "median-blur": median, "gaussian-blur": soft}.items():
        found = corrupt(x, f"candidate-{name}", settings)
        assert_close(found, torch.from_numpy(wanted), name, atol=1e-5, rtol=0)


def test_kernels_are_those_of_another_library() -> None:
    x = images()
    for s in (0.2, 0.7):
        kernel = np.array([[-1 - s, -s, 0], [-s, 1, s], [0, s, 1 + s]])
        wanted = ndimage.correlate(x.numpy(), kernel[None, None], mode="mirror").clip(0, 1)
        found = corrupt(x, "candidate-emboss", {"least": s, "most": s})
        assert_close(found, torch.from_numpy(wanted), s, atol=1e-5, rtol=0)
    edges = np.array([[-1, -1, -1], [-1, 8.75, -1], [-1, -1, -1]])
    kernel = 0.6 * np.eye(3)[1][:, None] * np.eye(3)[1] + 0.4 * edges
    wanted = ndimage.correlate(x.numpy(), kernel[None, None], mode="mirror").clip(0, 1)
    settings = {"share": 0.4, "most_share": 0.4, "light": 0.75, "most_light": 0.75}
    found = corrupt(x, "candidate-sharpen", settings)
    assert_close(found, torch.from_numpy(wanted), "sharpen", atol=1e-5, rtol=0)


def test_strengths_are_drawn_from_the_whole_range() -> None:
    cases = {
        "brightness": (0.5, lambda worse: worse - 0.5, (-0.5, 0.5)),
        "contrast": (0.4, lambda worse: worse / 0.4, (0, 2.5)),
        "gamma": (0.7, lambda worse: worse.log() / math.log(0.7), (3, 10)),
    }
    for name, (value, strength, (least, most)) in cases.items():
        worse = corrupt(grey(value, 200), f"candidate-{name}", 1)
        assert bool((worse == worse[:, :, :1, :1]).all()), name
        drawn = strength(worse[:, 0, 0, 0].double())
        width = most - least
        assert least - 1e-4 <= float(drawn.min()) < least + 0.1 * width, name
        assert most - 0.1 * width < float(drawn.max()) <= most + 1e-4, name


def test_noise_has_a_variance_of_the_range() -> None:
    worse = corrupt(grey(0.5), "candidate-noise", 1)
    variance = worse.double().flatten(1).var(dim=1) * 255**2
    error = 5 * math.sqrt(2 / 1024)
    assert bool((variance > 500 * (1 - error)).all())
    assert bool((variance < 1000 * (1 + error)).all())
    assert float(variance.max() / variance.min()) > 1.3
    times = corrupt(grey(0.5, channels=3), "candidate-multiplicative-noise", 1) / 0.5
    assert float(times.min()) >= 0.7 - 1e-6
    assert float(times.max()) <= 1.3 + 1e-6
    assert torch.equal(times[:, :1].expand_as(times), times)


def test_what_moves_keeps_its_values() -> None:
    x = images(40, 3, 34, 42)
    flipped = corrupt(x, "candidate-flip", 1)
    kinds = [x.flip(3), x.flip(2), x.flip(2, 3)]
    which = [
        [torch.equal(image, kind[n]) for kind in kinds].index(True)
        for n, image in enumerate(flipped)
    ]
    assert set(which) == {0, 1, 2}
    shuffled = corrupt(x, "candidate-grid-shuffle", 1)
    # Tiles have 8 x 10 pixels; what fills none stays.
    assert torch.equal(shuffled[:, :, 32:], x[:, :, 32:])
    assert torch.equal(shuffled[..., 40:], x[..., 40:])
    tiles = lambda y: y[0, :, :32, :40].unfold(1, 8, 8).unfold(2, 10, 10).flatten(1, 2)  # noqa: E731
    there = {tile.numpy().tobytes() for tile in tiles(x).transpose(0, 1).contiguous()}
    assert there == {t.numpy().tobytes() for t in tiles(shuffled).transpose(0, 1).contiguous()}
    assert not torch.equal(shuffled, x)


def test_without_strength_nothing_changes() -> None:
    x = images()
    settings = {
        "affine": {"least": 1.0, "most": 1.0},
        "rotation": {"most": 0.0},
        "shift": {"most": 0.0},
        "grid-shuffle": {"parts": 1},
        "downscale": {"factor": 1.0},
        "brightness": {"most": 0.0},
        "contrast": {"most": 0.0},
        "gamma": {"least": 1.0, "most": 1.0},
        "rgb-shift": {"most": 0.0},
        "noise": {"least": 0.0, "most": 0.0},
        "multiplicative-noise": {"least": 1.0, "most": 1.0},
        "posterise": {"bits": 8},
        "coarse-dropout": {"least": 0, "most": 0, "size": 4},
        "sharpen": {"share": 0.0, "most_share": 0.0, "light": 1.0, "most_light": 1.0},
    }
    for name, values in settings.items():
        atol = 1 / 255 if name == "posterise" else 2e-5
        assert_close(corrupt(x, f"candidate-{name}", values), x, name, atol=atol, rtol=0)


def test_frames_and_shifts_are_mirrored_and_shrunk_images_lie_on_black() -> None:
    x = images(8)
    border = corrupt(x, "candidate-border", {"width": 3})
    assert torch.equal(border[..., 3:-3, 3:-3], x[..., 3:-3, 3:-3])
    assert torch.equal(border[..., 2, 3:-3], x[..., 4, 3:-3])
    assert torch.equal(border[..., 0, 3:-3], x[..., 6, 3:-3])
    white = torch.ones(8, 1, 32, 32)
    assert_close(corrupt(white, "candidate-shift", 1), white, "shift", atol=1e-5, rtol=0)
    assert_close(corrupt(white, "candidate-rotation", 1), white, "rotation", atol=1e-5, rtol=0)
    shares = corrupt(white, "candidate-affine", 1).mean(dim=(1, 2, 3)).sqrt()
    assert float(shares.min()) > 0.6 - 0.04
    assert float(shares.max()) < 0.8 + 0.04


def test_squares_hide_what_they_should() -> None:
    white = torch.ones(30, 1, 64, 64)
    lone = corrupt(white, "candidate-coarse-dropout", {"least": 1, "most": 1, "size": 5})
    assert (lone == 0).sum(dim=(1, 2, 3)).tolist() == [25] * 30
    many = corrupt(white, "candidate-coarse-dropout", {"least": 0, "most": 9, "size": 1})
    counts = (many == 0).sum(dim=(1, 2, 3))
    assert 0 in counts
    assert 6 <= int(counts.max()) <= 9
    cut = (corrupt(white, "candidate-cutout", {"number": 1, "size": 20}) == 0).sum(dim=(1, 2, 3))
    # At the lower and the right edge the squares are cut off.
    assert int(cut.max()) == 400
    assert 100 <= int(cut.min()) < 400


def test_colours() -> None:
    x = images(30)
    dropped = corrupt(x, "candidate-channel-dropout", 1)
    black = (dropped == 0).all(dim=(2, 3))
    assert black.sum(dim=1).tolist() == [1] * 30
    assert bool(black.any(dim=0).all())
    assert torch.equal(dropped[~black], x[~black])
    solar = corrupt(x, "candidate-solarise", 1)
    assert torch.equal(solar, torch.where(x * 255 >= 200, 1 - x, x))
    # As Albumentations prints them: of white, red and green are beyond white.
    sepia = corrupt(torch.ones(1, 3, 8, 8), "candidate-sepia", 1)[0, :, 0, 0]
    assert_close(sepia, torch.tensor([1.0, 1.0, 0.937]), "sepia", atol=1e-6, rtol=0)
    shifted = corrupt(grey(0.5, 20, 3), "candidate-rgb-shift", 1)
    assert bool((shifted == shifted[:, :, :1, :1]).all())
    assert bool((shifted[:, 0] != shifted[:, 1]).any())


def test_downscaling_takes_the_nearest_pixel() -> None:
    x = images(1, 1, 10, 10)
    worse = corrupt(x, "candidate-downscale", {"factor": 0.5})
    assert torch.equal(worse, x[..., ::2, ::2].repeat_interleave(2, 2).repeat_interleave(2, 3))


def test_every_image_has_its_own_quality() -> None:
    need("PIL")
    x = images(12)
    worse = corrupt(x, "candidate-jpeg", 1)
    every = [corrupt(x, "jpeg", {"quality": quality}) for quality in range(5, 16)]
    used = [
        [torch.equal(image, version[n]) for version in every].index(True)
        for n, image in enumerate(worse)
    ]
    assert len(set(used)) > 3
