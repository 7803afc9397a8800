"""Augmentations do to every image what was asked, whatever else is in the mini-batch."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import Tensor

from sensverify.corruptions import corrupt
from sensverify.errors import BadSetting, BadShape, InputError, UnknownName
from sensverify.training.augment import Augmentation


def images(count: int = 40, side: int = 12, channels: int = 1, seed: int = 0) -> Tensor:
    draws = torch.Generator().manual_seed(seed)
    return torch.rand(count, channels, side, side, generator=draws)


def augmented(text: str, x: Tensor, *, seed: int = 5, chosen: Tensor | None = None) -> Tensor:
    every = torch.ones(len(x), dtype=torch.bool)
    places = torch.arange(len(x))
    return Augmentation.parse(text)(x, places, every if chosen is None else chosen, seed=seed)


def matches(found: Tensor, candidates: list[Tensor]) -> list[int]:
    """Which candidate each image is."""
    return [
        next(k for k, each in enumerate(candidates) if torch.equal(image, each[n]))
        for n, image in enumerate(found)
    ]


def test_a_corruption_is_that_of_the_catalog_in_each_of_its_severities() -> None:
    x = images()
    every = [corrupt(x, "rotation", severity, seed=5) for severity in range(1, 6)]
    for text, severities in (
        ("rotation", {0, 1, 2, 3, 4}),
        ("rotation(severity=any)", {0, 1, 2, 3, 4}),
        ("rotation(severity=2)", {1}),
        ("rotation(severity=(1, 4))", {0, 3}),
        ("rotation(severity='2-4')", {1, 2, 3}),
    ):
        assert set(matches(augmented(text, x), every)) == severities, text


def test_severities_and_choices_come_evenly_and_by_weight() -> None:
    x = images(2000, side=8)
    every = [x, *(corrupt(x, "darken", k, seed=5) for k in (1, 2, 3)), corrupt(x, "invert", 1)]
    counts = Counter(matches(augmented("clean + 3*darken + 4*invert", x), every))
    for place, expected in enumerate((1 / 8, 1 / 8, 1 / 8, 1 / 8, 4 / 8)):
        deviation = (expected * (1 - expected) / len(x)) ** 0.5
        assert abs(counts[place] / len(x) - expected) < 4 * deviation


def test_parameters_from_a_range() -> None:
    x = images(200, side=8)
    found = augmented("darken(factor=(0.5, 0.8))", x)
    factors = (found / x).flatten(1).median(1).values
    assert 0.5 <= factors.min() < 0.53
    assert 0.77 < factors.max() <= 0.8001
    one = augmented("darken(factor=0.5)", x)
    torch.testing.assert_close(one, 0.5 * x)
    flips = [corrupt(x, "flip", severity) for severity in (1, 2)]
    assert set(matches(augmented("flip(axis=('left-right', 'upside-down'))", x), flips)) == {0, 1}


def test_an_image_gets_the_same_whatever_else_is_there() -> None:
    x, places = images(30, channels=3), torch.arange(100, 130)
    augmentation = Augmentation.parse(
        "horizontal-flip + quarter-turns + rotation + 2*gaussian-noise + brightness"
    )
    every = torch.ones(30, dtype=torch.bool)
    whole = augmentation(x, places, every, seed=3)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(1))[:11]
    part = augmentation(x[order], places[order], every[:11], seed=3)
    torch.testing.assert_close(part, whole[order])
    assert torch.equal(augmentation(x, places, every, seed=3), whole)
    assert not torch.equal(augmentation(x, places, every, seed=4), whole)


def test_flips_and_turns_meet_every_image_and_corruptions_the_chosen_ones() -> None:
    x = images(60)
    chosen = torch.arange(60) % 3 == 0
    none = torch.zeros(60, dtype=torch.bool)
    flipped = augmented("horizontal-flip", x, chosen=none)
    assert set(matches(flipped, [x, x.flip(3)])) == {0, 1}
    assert torch.equal(augmented("vertical-flip(p=1)", x, chosen=none), x.flip(2))
    assert torch.equal(augmented("vertical-flip(p=0)", x), x)
    turned = augmented("quarter-turns", x, chosen=none)
    counts = Counter(matches(turned, [x.rot90(k, (2, 3)) for k in range(4)]))
    assert min(counts.values()) > 5
    assert len(counts) == 4
    found = augmented("invert + horizontal-flip(p=1)", x, chosen=chosen)
    assert torch.equal(found[~chosen], x.flip(3)[~chosen])
    torch.testing.assert_close(found[chosen], 1 - x.flip(3)[chosen])
    # What is given is not changed.
    assert torch.equal(x, images(60))


def test_what_changes_nothing() -> None:
    x = images()
    assert torch.equal(augmented("clean", x), x)
    assert torch.equal(augmented("rotation", x, chosen=torch.zeros(40, dtype=torch.bool)), x)


def test_black_and_white_are_what_they_are_said_to_be() -> None:
    x = 4 * images() - 1
    every = torch.ones(len(x), dtype=torch.bool)
    found = Augmentation.parse("invert")(x, torch.arange(40), every, seed=0, pixels=(-1.0, 3.0))
    torch.testing.assert_close(found, 2 - x)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("rotations", UnknownName, "did you mean 'rotation'"),
        ("rotation +", BadSetting, "rotation"),
        ("rotation(severity=6)", BadSetting, "from 1 to 5"),
        ("rotation(severity=0)", BadSetting, "from 1 to 5"),
        ("rotation(severity=true)", BadSetting, "from 1 to 5"),
        ("rotation(severity=())", BadSetting, "from 1 to 5"),
        ("rotation(severity='4-2')", BadSetting, "from 1 to 5"),
        ("rotation(severity='2-9')", BadSetting, "from 1 to 5"),
        ("rotation(severity=some)", BadSetting, "from 1 to 5"),
        ("rotation(severity=1.5)", BadSetting, "from 1 to 5"),
        ("rotation(severity=1, degrees=3)", BadSetting, "stands for all"),
        ("rotation(degree=3)", BadSetting, "did you mean 'degrees'"),
        ("rotation(degrees=(50, 7))", BadSetting, "ends below"),
        ("rotation(degrees=(1, 2, 3))", BadSetting, "ends .low, high."),
        ("rotation(degrees=many)", BadSetting, "takes a number"),
        ("artifacts(lines=5)", BadSetting, "open"),
        ("flip(axis=3)", BadSetting, "takes a word"),
        ("0*rotation", BadSetting, "above 0"),
        ("-1*rotation", BadSetting, "above 0"),
        ("2*horizontal-flip", BadSetting, "no weight"),
        ("horizontal-flip(p=2)", BadSetting, "from 0 to 1"),
        ("quarter-turns(p=1)", BadSetting, "no setting 'p'"),
        ("clean(p=1)", BadSetting, "no setting 'p'"),
        ("", BadSetting, "such as|expected|name"),
    ],
)
def test_what_cannot_be(text: str, error: type[InputError], words: str) -> None:
    with pytest.raises(error, match=words):
        Augmentation.parse(text)


@pytest.mark.parametrize(
    ("text", "x", "error", "words"),
    [
        ("rotation", torch.rand(3, 5), BadShape, "images of shape"),
        ("horizontal-flip", torch.rand(3, 5), BadShape, "images of shape"),
        ("greyscale", images(2), BadShape, "colours"),
        ("motion-blur", images(2, side=10), BadShape, "at least 24"),
        ("quarter-turns", torch.rand(2, 1, 8, 9), BadShape, "square"),
        ("flip(axis=sideways)", images(2), BadSetting, "sideways"),
        ("shot-noise(photons=0)", images(2), BadSetting, "photons 0"),
    ],
)
def test_what_does_not_fit_the_images(
    text: str, x: Tensor, error: type[InputError], words: str
) -> None:
    with pytest.raises(error, match=words):
        Augmentation.parse(text).check(x, (0.0, 1.0))


def test_samples_without_an_image_may_stay_clean() -> None:
    Augmentation.parse("clean").check(torch.rand(3, 5), (0.0, 1.0))
