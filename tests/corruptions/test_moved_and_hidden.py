"""Corruptions that move an image or hide a part of it, against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from sensverify.corruptions import CORRUPTIONS, corrupt


def smooth(n: int, rows: int = 32, columns: int = 32) -> Tensor:
    coarse = torch.rand(n, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(coarse, (rows, columns), mode="bilinear").clamp(0, 1)


def test_both_flips_are_the_two_one_after_the_other() -> None:
    x = smooth(2, columns=40)
    both = corrupt(corrupt(x, "flip", 1), "flip", 2)
    assert torch.equal(both, corrupt(x, "flip", 3))
    assert torch.equal(both, torch.rot90(x, 2, (2, 3)))


def test_a_quarter_turn() -> None:
    x = smooth(12)
    worse = corrupt(x, "rotation", {"degrees": 90.0})
    turns = [torch.rot90(x, sign, (2, 3)) for sign in (1, -1)]
    right = [torch.isclose(worse, turn, atol=1e-4).flatten(1).all(dim=1) for turn in turns]
    assert bool((right[0] | right[1]).all())
    assert bool(right[0].any())
    assert bool(right[1].any())


def test_a_sheared_upright_line_leans_by_its_angle() -> None:
    x = torch.zeros(20, 1, 41, 41)
    x[..., 20] = 1
    worse = corrupt(x, "shear", {"degrees": 20.0})[:, 0]
    centre = (worse @ torch.arange(41.0)) / worse.sum(dim=2)
    slopes = centre.diff(dim=1)
    torch.testing.assert_close(slopes, slopes[:, :1].expand_as(slopes), atol=1e-3, rtol=0)
    wanted = math.tan(math.radians(20))
    assert sorted({round(float(slope), 3) for slope in slopes[:, 0]}) == pytest.approx(
        [-wanted, wanted], abs=2e-3
    )


@pytest.mark.parametrize("severity", [1, 5])
def test_translation_moves_whole_pixels_and_leaves_black(severity: int) -> None:
    x = torch.rand(20, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.5
    step = int(CORRUPTIONS["translation"].parameters(severity, (28, 28))["distance"])
    worse = corrupt(x, "translation", severity)
    assert bool(((worse == 0).flatten(1).sum(dim=1) == 28**2 - (28 - step) ** 2).all())
    seen = set()
    for image, before in zip(worse, x, strict=True):
        for down in (-step, step):
            for right in (-step, step):
                rolled = before.roll((down, right), (1, 2))
                if bool((image == rolled)[image > 0].all()):
                    seen.add((down > 0, right > 0))
    assert len(seen) == 4


def test_what_is_hidden_has_the_size_that_is_said() -> None:
    x = torch.zeros(30, 3, 32, 44)
    for severity in range(1, 6):
        size = int(CORRUPTIONS["obstruction"].parameters(severity, (32, 44))["size"])
        worse = corrupt(x, "obstruction", severity)
        hidden = (worse > 0).flatten(2).sum(dim=2)
        assert bool((hidden == size**2).all()), severity
        assert_one_grey_each(worse)


def test_a_border_is_a_frame_as_wide_as_is_said() -> None:
    x = torch.zeros(30, 3, 32, 44)
    for severity in range(1, 6):
        width = int(CORRUPTIONS["border"].parameters(severity, (32, 44))["width"])
        worse = corrupt(x, "border", severity)
        assert_one_grey_each(worse)
        inside = (..., slice(width, 32 - width), slice(width, 44 - width))
        assert bool((worse[inside] == 0).all()), severity
        worse[inside] = 1
        assert bool((worse > 0).all()), severity


def assert_one_grey_each(images: Tensor) -> None:
    """Of thirty black images, something of each is of one grey, and they are of many greys."""
    greys = [image[image > 0].unique() for image in images]
    assert all(len(grey) == 1 for grey in greys)
    assert float(torch.cat(greys).std()) == pytest.approx(math.sqrt(1 / 12), rel=0.4)


def test_artifacts_cover_more_and_more_and_are_of_one_grey() -> None:
    x = torch.zeros(40, 1, 28, 28)
    covered = []
    for severity in range(1, 6):
        worse = corrupt(x, "artifacts", severity)
        assert all(len(image.unique()) == 2 for image in worse)
        covered.append(float((worse > 0).double().mean()))
    assert covered == sorted(covered)
    assert 0.01 < covered[0] < 0.05
    assert 0.1 < covered[-1] < 0.4
    # Dotted: a dash is followed by a gap.
    alone = corrupt(x, "artifacts", {"lines": 1, "dash": 2, "height": 1, "gap": 2})[:, 0] > 0
    assert not bool((alone[:, :, 2:] & alone[:, :, 1:-1] & alone[:, :, :-2]).any())


def test_elastic_without_stretch_is_affine() -> None:
    # An affine image of a ramp is a ramp: second differences vanish away from the mirrors.
    ramp = (torch.arange(64.0)[:, None] + 2 * torch.arange(64.0)).expand(4, 1, -1, -1) / 200
    worse = corrupt(ramp, "elastic", {"stretch": 0.0, "sigma": 0.0, "affine": 4.0})
    middle = worse[:, 0, 20:44, 20:44]
    for axis in (1, 2):
        assert float(middle.diff(n=2, dim=axis).abs().max()) < 1e-4
    assert float((middle - ramp[:, 0, 20:44, 20:44]).abs().max()) > 0.005


def test_an_elastic_displacement_has_the_size_of_blurred_noise() -> None:
    # On a ramp a displacement is a change of value. Noise of variance 1/3 that a Gaussian blurs
    # keeps a share of 1 / (4 pi sigma^2) of its variance.
    ramp = (torch.arange(64.0) / 64).expand(20, 1, 64, 64)
    worse = corrupt(ramp, "elastic", {"stretch": 30.0, "sigma": 3.0, "affine": 0.0})
    moved = (worse - ramp)[..., 8:-8] * 64
    wanted = 30.0 * math.sqrt(1 / 3) / (2 * math.sqrt(math.pi) * 3.0)
    assert float(moved.double().square().mean().sqrt()) == pytest.approx(wanted, rel=0.1)


def test_a_dotted_line_has_one_to_twelve_dashes() -> None:
    x = torch.zeros(400, 1, 24, 300)
    worse = corrupt(x, "artifacts", {"lines": 0.001, "dash": 2, "height": 1, "gap": 3})
    line = (worse > 0).any(dim=2)[:, 0]
    whole = line[~line[:, 240:].any(dim=1)]
    assert {int(pixels) for pixels in whole.sum(dim=1)} == {2 * k for k in range(1, 13)}


@pytest.mark.parametrize(("side", "dash", "height"), [(224, 5, 3), (112, 5, 3), (56, 1, 1)])
def test_lines_cover_the_share_that_they_cover_of_224_pixels(
    side: int, dash: int, height: int
) -> None:
    # With gaps wider than the image every line is one dash; some lie over others or the edge.
    settings = {"lines": 60, "dash": dash, "height": height, "gap": 2 * side}
    worse = corrupt(torch.zeros(30, 1, side, side), "artifacts", settings)
    share = 60 * 5 * 3 / 224**2
    assert 0.92 * share < float((worse > 0).double().mean()) < share
