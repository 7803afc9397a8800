"""Tables: complete, fitting their functions, and scaled with the image as it is said."""

from __future__ import annotations

from inspect import signature

import pytest

from sensverify.corruptions import CORRUPTIONS, GROUPS, find_corruption
from sensverify.errors import BadSetting, UnknownName

FAMILIES = ("noise", "blur", "weather", "digital", "geometric", "lighting", "colour", "occlusion")


@pytest.mark.parametrize("entry", CORRUPTIONS.values(), ids=lambda entry: entry.name)
def test_entries_are_complete(entry) -> None:
    assert CORRUPTIONS[entry.name] is entry
    assert entry.family in FAMILIES
    assert entry.source
    assert entry.description[0].islower() or entry.description[0].isupper()
    assert not entry.description.endswith(".")
    wanted = list(signature(entry.function).parameters)[2:]
    for table in entry.tables:
        assert list(table.values) == wanted
        assert {len(values) for values in table.values.values()} <= {entry.severities}
        assert set(table.whole) <= set(table.lengths) <= set(wanted)


def test_groups() -> None:
    parts = [GROUPS[name] for name in ("imagenet-c", "thesis", "additions", "shifts")]
    assert [len(part) for part in parts] == [15, 10, 8, 3]
    assert GROUPS["all"] == tuple(CORRUPTIONS) == tuple(name for part in parts for name in part)
    assert all(CORRUPTIONS[name].severities == 5 for name in GROUPS["imagenet-c"])


def test_small_images_take_the_table_of_small_images() -> None:
    sigma = lambda side: CORRUPTIONS["gaussian-noise"].parameters(5, (side, 300))  # noqa: E731
    assert sigma(28) == sigma(95) == {"sigma": 0.1}
    assert sigma(96) == sigma(300) == {"sigma": 0.38}


@pytest.mark.parametrize(
    ("side", "radius"),
    [(28, 6), (32, 6), (40, 6), (64, 12), (112, 5), (180, 10), (224, 10), (256, 10), (448, 20)],
)
def test_lengths_grow_with_images_but_for_sizes_close_to_the_table(side: int, radius: int) -> None:
    found = CORRUPTIONS["motion-blur"].parameters(1, (side + 7, side))
    assert found["radius"] == pytest.approx(radius)


def test_an_elastic_displacement_grows_as_lengths_do() -> None:
    small, large = (CORRUPTIONS["elastic"].parameters(3, (side, side)) for side in (224, 672))
    ratios = {key: float(large[key]) / float(small[key]) for key in small}
    assert ratios["stretch"] / ratios["sigma"] == pytest.approx(3)
    assert ratios["affine"] == pytest.approx(3)


def test_whole_lengths_are_at_least_one() -> None:
    assert CORRUPTIONS["artifacts"].parameters(1, (28, 28)) == {
        "lines": 15,
        "dash": 1,
        "height": 1,
        "gap": 1,
    }
    assert CORRUPTIONS["obstruction"].parameters(1, (28, 28)) == {"size": 6}


@pytest.mark.parametrize(
    ("name", "severity", "text"),
    [
        ("gaussian-noise", 3, "sigma 0.08"),
        ("glass-blur", 2, "sigma 0.25, reach 1, rounds 1"),
        ("flip", 2, "axis upside-down"),
        ("invert", 1, ""),
        ("rotation", 2, "degrees 17.8"),
    ],
)
def test_parameters_in_words(name: str, severity: int, text: str) -> None:
    assert CORRUPTIONS[name].parameter_text(severity, (28, 28)) == text


def test_severities_that_are_not_there() -> None:
    for severity in (0, 4, -1):
        with pytest.raises(BadSetting, match="severities from 1 to 3"):
            CORRUPTIONS["darken"].parameters(severity, (28, 28))


def test_what_cannot_be_corrupted_has_a_reason() -> None:
    assert CORRUPTIONS["greyscale"].why_not((3, 28, 28)) is None
    assert "one channel" in str(CORRUPTIONS["greyscale"].why_not((1, 28, 28)))
    assert "samples have shape [784]" in str(CORRUPTIONS["contrast"].why_not((784,)))
    assert "at least 24 x 24" in str(CORRUPTIONS["snow"].why_not((1, 8, 8)))
    assert CORRUPTIONS["contrast"].why_not((1, 8, 8)) is None


def test_unknown_names_are_answered_with_a_near_one() -> None:
    assert find_corruption("frost").name == "frost"
    with pytest.raises(UnknownName, match="did you mean 'gaussian-noise'"):
        find_corruption("gaussian_noise")
    with pytest.raises(UnknownName, match="there are gaussian-noise, shot-noise"):
        find_corruption("x")
