"""Corruptions with strengths of one's own: as their severities, drawn by image, or refused."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from sensverify.corruptions import CORRUPTIONS, corrupt
from sensverify.errors import BadSetting, InputError, UnknownName


def images(n: int = 12, channels: int = 3) -> Tensor:
    return torch.rand(n, channels, 32, 32, generator=torch.Generator().manual_seed(0))


def test_every_level_is_a_severity() -> None:
    x, (name,) = images(), CORRUPTIONS.select(["brightness-factor( levels = (0.6,0.8,1.2, 1.4) )"])
    assert name == "brightness-factor(levels=(0.6, 0.8, 1.2, 1.4))"
    found = CORRUPTIONS[name]
    assert (found.severities, found.chosen, found.family) == (4, True, "lighting")
    assert found.parameter_text(1, (32, 32)) == "factor 0.6"
    for severity, factor in enumerate((0.6, 0.8, 1.2, 1.4), start=1):
        assert torch.equal(corrupt(x, name, severity), (factor * x).clamp(0, 1))
    assert not CORRUPTIONS["brightness-factor"].chosen


def test_words_are_levels_too() -> None:
    x, name = images(), "flip(levels=(both, left-right))"
    assert torch.equal(corrupt(x, name, 1), x.flip(2, 3))
    assert torch.equal(corrupt(x, name, 2), x.flip(3))


def test_every_image_draws_from_the_whole_range() -> None:
    x = torch.full((400, 1, 32, 32), 0.5)
    found = corrupt(x, "brighten(factor=(1.0, 1.8))", 1).amax(dim=(1, 2, 3)) / 0.5
    ordered = found.sort().values.tolist()
    assert 1 <= ordered[0] < 1.02 < 1.78 < ordered[-1] <= 1.8
    assert max(b - a for a, b in pairwise(ordered)) < 0.03
    assert CORRUPTIONS["brighten(factor=(1.0, 1.8))"].parameter_text(1, (32, 32)) == (
        "drawn factor 1 to 1.8"
    )


@pytest.mark.parametrize(
    "name",
    [
        "rotation(degrees=(7, 50))",
        "white-noise(severity=any)",
        "motion-blur(radius=(2, 4), sigma=1)",
        "gaussian-noise(sigma=0.1)",
    ],
)
def test_what_an_image_draws_is_its_own(name: str) -> None:
    x = images()
    whole = corrupt(x, name, 1, seed=3)
    assert torch.equal(whole, corrupt(x, name, 1, seed=3, chunk=5))
    some = corrupt(x[[7, 2]], name, 1, seed=3, places=[7, 2])
    assert torch.allclose(some, whole[[7, 2]], atol=1e-6)
    assert not torch.equal(whole, corrupt(x, name, 1, seed=4))


def test_severities_are_drawn_each_as_often() -> None:
    x = torch.full((600, 1, 32, 32), 0.5)
    found = corrupt(x, "darken(severity=(1, 3))", 1).amax(dim=(1, 2, 3)) / 0.5
    values, counts = found.round(decimals=4).unique(return_counts=True)
    assert values.tolist() == pytest.approx([0.6, 0.9])
    assert min(counts) > 240
    every = corrupt(x, "darken(severity=any)", 1).amax(dim=(1, 2, 3)).round(decimals=4)
    assert len(every.unique()) == 3
    assert len(corrupt(x, "darken(severity='2-3')", 1).amax(dim=(1, 2, 3)).unique()) == 2


def test_one_value_is_that_value() -> None:
    x = images()
    assert torch.equal(corrupt(x, "darken(factor=0.5)", 1), 0.5 * x)


@pytest.mark.parametrize(
    "name",
    [
        "rotation(",
        "rotation()x",
        "rotation(degre=3)",
        "rotation(degrees=(50, 7))",
        "rotation(degrees=(1, 2, 3))",
        "rotation(degrees=nan)",
        "rotation(degrees=far)",
        "rotation(degrees=true)",
        "rotation(levels=())",
        "rotation(levels=(3, 3))",
        "rotation(levels=1e999)",
        "rotation(levels=(7, 50), severity=1)",
        "rotation(severity=6)",
        "rotation(severity=(1, 2), degrees=3)",
        "motion-blur(levels=(1, 2))",
        "motion-blur(radius=3)",
        "invert(levels=(1, 2))",
        "flip(axis=up)",
        "thumbnail(factor=0)",
        "quantise(steps=0)",
        "shot-noise(photons=-1)",
        "defocus-blur(radius=-3, softness=0.1)",
    ],
)
def test_strengths_that_cannot_be_are_refused_in_a_line(name: str) -> None:
    with pytest.raises(BadSetting) as caught:
        CORRUPTIONS.select([name])
    assert "\n" not in str(caught.value)


def test_a_name_that_there_is_not() -> None:
    with pytest.raises(UnknownName, match="rotation"):
        CORRUPTIONS.select(["rotatoin(degrees=3)"])
    with pytest.raises(InputError):
        corrupt(images(), "rotatoin(degrees=3)", 1)
    # A file that somebody has named so is no call.
    assert CORRUPTIONS.select(["odd(name"], also=("odd(name",)) == ("odd(name",)
