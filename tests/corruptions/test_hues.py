"""Hue, saturation and value or lightness, against Python's own."""

from __future__ import annotations

import colorsys

import pytest
import torch
from torch import Tensor

from sensverify.corruptions.hues import from_hls, from_hsv, to_hls, to_hsv, with_lightness


def images() -> Tensor:
    random = torch.rand(1, 3, 20, 20, generator=torch.Generator().manual_seed(0)).double()
    corners = torch.tensor(
        [[r, g, b] for r in (0.0, 0.5, 1.0) for g in (0.0, 0.5, 1.0) for b in (0.0, 0.5, 1.0)]
    )
    random[0, :, 0, :9], random[0, :, 1, :9], random[0, :, 2, :9] = (
        corners[k : k + 9].T.double() for k in (0, 9, 18)
    )
    return random


@pytest.mark.parametrize(
    ("forth", "back", "wanted"),
    [(to_hsv, from_hsv, colorsys.rgb_to_hsv), (to_hls, from_hls, colorsys.rgb_to_hls)],
)
def test_they_are_pythons_and_come_back(forth: object, back: object, wanted: object) -> None:
    x = images()
    found = forth(x)  # type: ignore[operator]
    for place, pixel in enumerate(x.flatten(2)[0].T.tolist()):
        own = [float(each.flatten()[place]) for each in found]
        its = wanted(*pixel)  # type: ignore[operator]
        assert own == pytest.approx(its, abs=1e-12), pixel
    assert torch.allclose(back(*found), x, atol=1e-12)  # type: ignore[operator]


def test_hue_goes_round() -> None:
    hue, saturation, value = to_hsv(images())
    assert torch.allclose(from_hsv(hue + 3, saturation, value), images(), atol=1e-12)
    assert torch.allclose(from_hsv(hue - 2, saturation, value), images(), atol=1e-12)


def test_lightness_alone_changes() -> None:
    x = images()
    found = with_lightness(x, lambda light: 0.5 * light)
    hue, light, saturation = to_hls(x)
    its_hue, its_light, its_saturation = to_hls(found)
    assert torch.allclose(its_light, 0.5 * light, atol=1e-12)
    coloured = (saturation > 1e-6) & (light > 1e-6) & (light < 1)
    assert torch.allclose(its_hue[coloured], hue[coloured], atol=1e-9)
    assert torch.allclose(its_saturation[coloured], saturation[coloured], atol=1e-9)
    grey = x[:, :1]
    assert torch.equal(with_lightness(grey, lambda light: 2 * light), (2 * grey).clamp(0, 1))
