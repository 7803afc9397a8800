"""Single corruptions against identities, closed forms and other programs' filters."""

from __future__ import annotations

import colorsys
import math
from itertools import product

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from sensverify.corruptions import CORRUPTIONS, corrupt
from sensverify.corruptions.blur import motion_blurred
from sensverify.corruptions.maps import block_map, blurred, zoom_map
from sensverify.corruptions.weather import _frost_pixels
from tests.corruptions.conftest import assert_close
from tests.pairwise import pairwise


def smooth(n: int = 2, channels: int = 3, rows: int = 32, columns: int = 40) -> Tensor:
    draws = torch.Generator().manual_seed(0)
    coarse = torch.rand(n, channels, 6, 6, generator=draws)
    fine = torch.nn.functional.interpolate(coarse, (rows, columns), mode="bilinear")
    return fine.clamp(0, 1)


IDENTITIES = {
    "gaussian-noise": {"sigma": 0.0},
    "impulse-noise": {"share": 0.0},
    "defocus-blur": {"radius": 0.0, "softness": 0.0},
    "zoom-blur": {"step": 0.0, "zooms": 3},
    "frost": {"clear": 1.0, "thickness": 0.0, "zoom": 1.0},
    "fog": {"density": 0.0, "decay": 2.0},
    "brightness": {"value": 0.0},
    "contrast": {"factor": 1.0},
    "elastic": {"stretch": 0.0, "sigma": 0.0, "affine": 0.0},
    "pixelate": {"resolution": 1.0},
    "white-noise": {"sigma": 0.0},
    "box-blur": {"share": 0.0},
    "translation": {"distance": 0},
    "rotation": {"degrees": 0.0},
    "brightness-shift": {"value": 0.0},
    "contrast-loss": {"loss": 0.0},
    "colour-distortion": {"value": 0.0},
    "thumbnail": {"factor": 1.0},
    "border": {"width": 0},
    "shear": {"degrees": 0.0},
    "backlight": {"value": 0.0},
    "greyscale": {"share": 0.0},
    "darken": {"factor": 1.0},
    "brighten": {"factor": 1.0},
    "gaussian-blur": {"sigma": 0.0},
}


def test_without_strength_nothing_changes(every: tuple[str, ...]) -> None:
    x = smooth()
    for name, settings in IDENTITIES.items():
        assert_close(corrupt(x, name, settings), x, name, atol=2e-5, rtol=0)


@pytest.mark.parametrize("name", ["defocus-blur", "gaussian-blur"])
def test_a_blur_goes_to_nothing_with_its_width(name: str) -> None:
    x = smooth()
    key = "sigma" if name == "gaussian-blur" else "softness"
    rest = {"radius": 0.0} if name == "defocus-blur" else {}
    changes = [
        float((corrupt(x, name, {key: sigma, **rest}) - x).abs().max())
        for sigma in (0.6, 0.4, 0.2, 0.1)
    ]
    assert changes == sorted(changes, reverse=True)
    assert changes[-1] < 1e-6 < changes[0]


def test_twice_is_nothing() -> None:
    x = smooth()
    for case in (("invert", 1), ("flip", 1), ("flip", 2), ("flip", 3)):
        once = corrupt(x, *case)
        assert not torch.allclose(once, x, atol=0.01), case
        assert_close(corrupt(once, *case), x, case, atol=1e-6, rtol=0)


def test_twice_is_once() -> None:
    x = smooth()
    for case in product(("quantise", "posterise", "pixelate"), range(1, 6)):
        once = corrupt(x, *case)
        assert_close(corrupt(once, *case), once, case, atol=1e-6, rtol=0)


def test_so_many_values_are_left() -> None:
    x = torch.linspace(0, 1, 28 * 28).reshape(1, 1, 28, 28)
    for severity in range(1, 6):
        steps = CORRUPTIONS["quantise"].parameters(severity, (28, 28))["steps"]
        bits = CORRUPTIONS["posterise"].parameters(severity, (28, 28))["bits"]
        assert isinstance(steps, int)
        assert isinstance(bits, int)
        assert len(corrupt(x, "quantise", severity).unique()) == steps + 1, severity
        assert len(corrupt(x, "posterise", severity).unique()) == 2**bits, severity


def grey(value: float, n: int = 40) -> Tensor:
    return torch.full((n, 1, 64, 64), value)


def clipped_normal_moments(mean: float, sigma: float) -> tuple[float, float]:
    """Mean and variance of a normal number clipped to [0, 1]."""
    cdf = lambda z: 0.5 * (1 + math.erf(z / math.sqrt(2)))  # noqa: E731
    pdf = lambda z: math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)  # noqa: E731
    a, b = -mean / sigma, (1 - mean) / sigma
    inside = cdf(b) - cdf(a)
    first = mean * inside - sigma * (pdf(b) - pdf(a)) + 1 - cdf(b)
    second = (mean**2 + sigma**2) * inside + 1 - cdf(b)
    second += sigma * (mean * pdf(a) - (mean + 1) * pdf(b))
    return first, second - first**2


def assert_moments(values: Tensor, mean: float, variance: float) -> None:
    count = values.numel()
    values = values.double()
    assert abs(float(values.mean()) - mean) < 5 * math.sqrt(variance / count)
    assert float(values.var()) == pytest.approx(variance, rel=8 * math.sqrt(2 / count))


@pairwise(name=["gaussian-noise", "white-noise"], severity=[1, 5])
def test_gaussian_noise_has_the_moments_of_a_clipped_normal_number(
    name: str, severity: int
) -> None:
    for value in (0.0, 0.3, 0.5, 1.0):
        sigma = float(CORRUPTIONS[name].parameters(severity, (64, 64))["sigma"])
        mean, variance = clipped_normal_moments(value, sigma)
        assert_moments(corrupt(grey(value), name, severity), mean, variance)


def test_shot_noise_has_the_moments_of_a_poisson_number() -> None:
    # 0.2 with 50 photons is five deviations away from being clipped.
    assert_moments(corrupt(grey(0.2), "shot-noise", {"photons": 50}), 0.2, 0.2 / 50)
    assert torch.equal(corrupt(grey(0.0), "shot-noise", 5), grey(0.0))


def test_impulse_noise_is_half_salt_and_half_pepper() -> None:
    for severity in (1, 5):
        share = float(CORRUPTIONS["impulse-noise"].parameters(severity, (64, 64))["share"])
        worse = corrupt(grey(0.5), "impulse-noise", severity)
        count, half = worse.numel(), share / 2
        spread = 5 * math.sqrt(half * (1 - half) / count)
        for end in (0, 1):
            assert abs(float((worse == end).double().mean()) - half) < spread, severity
        left = float((worse == 0.5).double().mean())
        assert left == pytest.approx(1 - share, abs=2 * spread), severity


def test_images_of_a_set_share_no_noise() -> None:
    noise = corrupt(grey(0.5, 60), "gaussian-noise", {"sigma": 0.1}).flatten(1) - 0.5
    correlation = torch.corrcoef(noise) - torch.eye(60)
    # 1,770 pairs; each correlation is near normal with deviation 1/64.
    assert float(correlation.abs().max()) < 5 / 64


def test_blur_against_scipy() -> None:
    x = smooth(1, 1).double()
    for border, sigma in product(("nearest", "mirror"), (0.4, 1.5, 6.0, 40.0)):
        found = blurred(x, sigma, border=border)[0, 0].numpy()
        wanted = ndimage.gaussian_filter(x[0, 0].numpy(), sigma, mode=border, truncate=4.0)
        np.testing.assert_allclose(found, wanted, atol=1e-10, err_msg=f"{border} {sigma}")


def test_the_kernel_of_gaussian_blur_has_five_by_five_pixels() -> None:
    x = smooth(1, 1).double()
    for severity in range(1, 5):
        sigma = CORRUPTIONS["gaussian-blur"].parameters(severity, (32, 40))["sigma"]
        wanted = ndimage.gaussian_filter(x[0, 0].numpy(), sigma, mode="mirror", radius=2)
        found = corrupt(x, "gaussian-blur", severity)[0, 0].numpy()
        np.testing.assert_allclose(found, wanted, atol=1e-10, err_msg=f"severity {severity}")


def test_box_blur_is_five_means() -> None:
    x = torch.zeros(1, 1, 31, 31)
    x[:, :, 15, 15] = 1
    line = np.ones(1)
    for _ in range(5):
        line = np.convolve(line, np.ones(3) / 3)
    found = corrupt(x, "box-blur", {"share": 1.0})[0, 0, 10:21, 10:21]
    np.testing.assert_allclose(found.numpy(), np.outer(line, line), atol=1e-6)


def test_zoom_against_scipy() -> None:
    for size, factor in product((28, 32, 47, 64), (1.0, 1.01, 1.05, 1.31, 4.5)):
        line = torch.rand(size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        crop = math.ceil(size / factor)
        top = (size - crop) // 2
        wanted = ndimage.zoom(line[top : top + crop].numpy(), factor, order=1)
        trim = (len(wanted) - size) // 2
        wanted = wanted[trim : trim + size]
        found = (zoom_map(size, factor, like=line) @ line).numpy()
        np.testing.assert_allclose(found, wanted, atol=1e-10, err_msg=f"{size} {factor}")


def test_blocks_are_means_of_neighbours() -> None:
    line = torch.arange(8.0)
    found = block_map(8, 4, like=line) @ line
    assert found.tolist() == [0.5, 0.5, 2.5, 2.5, 4.5, 4.5, 6.5, 6.5]


def test_what_only_moves_light_leaves_an_even_image() -> None:
    x = torch.full((2, 3, 33, 41), 0.3)
    for name, settings in {
        "defocus-blur": {"radius": 3.0, "softness": 0.5},
        "motion-blur": {"radius": 6.0, "sigma": 2.0},
        "gaussian-blur": {"sigma": 0.9},
        "box-blur": {"share": 0.7},
        "glass-blur": {"sigma": 0.7, "reach": 2, "rounds": 2},
        "zoom-blur": {"step": 0.01, "zooms": 12},
        "elastic": {"stretch": 10.0, "sigma": 2.0, "affine": 2.0},
        "pixelate": {"resolution": 0.3},
        "thumbnail": {"factor": 2.3},
    }.items():
        assert_close(corrupt(x, name, settings), x, name, atol=1e-5, rtol=0)


def test_motion_moves_to_the_side_that_is_said() -> None:
    x = torch.zeros(3, 1, 21, 21)
    x[:, :, 10, 10] = 1
    worse = motion_blurred(x, torch.tensor([0.0, 90.0, 180.0]), radius=3, sigma=2)
    places = [set(map(tuple, (image[0] > 0).nonzero().tolist())) for image in worse]
    tail = range(7)
    assert places[0] == {(10, 10 - k) for k in tail}
    assert places[1] == {(10 - k, 10) for k in tail}
    assert places[2] == {(10, 10 + k) for k in tail}
    weights = np.exp(-0.5 * (np.arange(7) / 2) ** 2)
    np.testing.assert_allclose(worse[2, 0, 10, 10:17], weights / weights.sum(), rtol=1e-5)


def test_motion_stays_within_45_degrees_of_the_horizontal() -> None:
    x = torch.zeros(300, 1, 41, 41)
    x[:, :, 20, 20] = 1
    worse = corrupt(x, "motion-blur", {"radius": 9.0, "sigma": 9.0})[:, 0]
    place = torch.arange(41.0) - 20
    up, left = -(worse.sum(dim=2) @ place), -(worse.sum(dim=1) @ place)
    degrees = torch.rad2deg(torch.atan2(up, left))
    # Of 300 even draws from 90 degrees, the last is within 2 of the end; whole pixels blur that.
    assert float(degrees.max()) == pytest.approx(45, abs=3)
    assert float(degrees.min()) == pytest.approx(-45, abs=3)


@pytest.mark.parametrize("value", [0.3, 1.0])
def test_fog_goes_from_dark_to_the_brightest_value(value: float) -> None:
    # An even image of a size at which the whole cloud is seen, from its 0 to its 1.
    worse = corrupt(torch.full((5, 1, 32, 32), value), "fog", {"density": 1.5, "decay": 2.0})
    darkest = value * value / (value + 1.5)
    torch.testing.assert_close(worse.amin(dim=(1, 2, 3)), torch.full((5,), darkest))
    torch.testing.assert_close(worse.amax(dim=(1, 2, 3)), torch.full((5,), value))


@pytest.mark.parametrize("name", ["jpeg"])
def test_the_nearest_byte_is_stored(name: str) -> None:
    for byte in (0.4, 100.4, 100.6, 254.6):
        stored = corrupt(torch.full((1, 3, 16, 16), byte / 255), name, {"quality": 100}) * 255
        assert float((stored - round(byte)).abs().max()) < 1e-3


def test_brightness_keeps_hue_and_saturation() -> None:
    x = torch.tensor([[0.2, 0.5, 0.3], [0.0, 0.0, 0.0], [0.9, 0.1, 0.9], [0.4, 0.4, 0.4]])
    image = x.T.reshape(1, 3, 2, 2).repeat_interleave(4, 2).repeat_interleave(4, 3)
    worse = corrupt(image, "brightness", {"value": 0.2})[0, :, ::4, ::4].reshape(3, 4).T
    for before, after in zip(x.tolist(), worse.tolist(), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*before)
        wanted = colorsys.hsv_to_rgb(hue, saturation, min(1.0, value + 0.2))
        assert after == pytest.approx(wanted, abs=1e-6)


def test_contrast_keeps_means_and_shrinks_deviations() -> None:
    x = smooth() * 0.4 + 0.3
    for severity in range(1, 6):
        factor = float(CORRUPTIONS["contrast"].parameters(severity, (32, 40))["factor"])
        worse = corrupt(x, "contrast", severity)
        torch.testing.assert_close(worse.mean((2, 3)), x.mean((2, 3)))
        torch.testing.assert_close(worse.std((2, 3)), factor * x.std((2, 3)))


def test_colour_is_lost_and_luminance_kept() -> None:
    x = smooth()
    worse = corrupt(x, "greyscale", 5)
    assert bool((worse.amax(1) - worse.amin(1) < 1e-6).all())
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    torch.testing.assert_close((worse * weights).sum(1), (x * weights).sum(1))


def test_colour_distortion_changes_every_channel_of_some_image() -> None:
    x = torch.full((30, 3, 28, 28), 0.2)
    change = corrupt(x, "colour-distortion", {"value": 0.25}) - x
    per_channel = change.mean(dim=(2, 3))
    torch.testing.assert_close(per_channel.sum(dim=1), torch.full((30,), 0.25))
    assert per_channel.argmax(dim=1).unique().tolist() == [0, 1, 2]


def test_backlight_splits_in_two() -> None:
    x = torch.full((40, 1, 28, 30), 0.5)
    change = corrupt(x, "backlight", {"value": 0.2}) - x
    assert set(change.mul(10).round().unique().tolist()) == {-2.0, 2.0}
    along_rows = (change.std(dim=3).amax(dim=(1, 2)) < 1e-6).double().mean()
    along_columns = (change.std(dim=2).amax(dim=(1, 2)) < 1e-6).double().mean()
    assert 0 < along_rows < 1
    assert along_rows + along_columns == 1


@pytest.mark.parametrize("name", ["frost"])
def test_frost_is_a_piece_of_a_photograph(name: str) -> None:
    x = torch.zeros(40, 3, 28, 30)
    layers = (corrupt(x, name, {"clear": 1.0, "thickness": 1.0, "zoom": 1.0}) * 255).round()
    photographs = [ice.float() for ice in _frost_pixels()]
    # Two of the photographs are the same, so a piece may be of both.
    origins = {
        place: {
            (number, *corner)
            for number, ice in enumerate(photographs)
            for corner in (ice == layer[:, :1, :1]).all(dim=0).nonzero().tolist()
            if torch.equal(ice[:, corner[0] : corner[0] + 28, corner[1] : corner[1] + 30], layer)
        }
        for place, layer in enumerate(layers)
    }
    assert all(origins.values())
    assert {number for found in origins.values() for number, *_ in found} == set(range(5))
    mixed = corrupt(x + 0.5, name, {"clear": 0.6, "thickness": 0.3, "zoom": 1.0})
    torch.testing.assert_close(mixed, 0.3 + 0.3 * layers / 255, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["frost"])
def test_frost_covers_images_larger_than_its_photographs(name: str) -> None:
    x = torch.zeros(5, 1, 700, 100)
    worse = corrupt(x, name, 5)
    assert bool((worse.flatten(2).std(dim=2) > 0.01).all())
    assert bool((worse[:, :, -1].std(dim=2) > 0).all())
