"""Tables: complete, fitting their functions, and scaled with the image as it is said."""

from __future__ import annotations

from inspect import signature

import pytest

from sensverify.corruptions import CORRUPTIONS
from sensverify.errors import BadSetting, UnknownName

GROUPS = CORRUPTIONS.groups()
FAMILIES = ("noise", "blur", "weather", "digital", "geometric", "lighting", "colour", "occlusion")


def test_entries_are_complete() -> None:
    for name, entry in CORRUPTIONS.items():
        assert entry.name == name
        assert entry.family in FAMILIES, name
        assert entry.source, name
        assert entry.summary[0].isalpha(), name
        assert not entry.summary.endswith("."), name
        wanted = list(signature(entry.function).parameters)[2:]
        for table in entry.tables:
            assert list(table.values) == wanted, name
            assert {len(values) for values in table.values.values()} <= {entry.severities}, name
            assert set(table.whole) <= set(table.lengths) <= set(wanted), name


# As make_cifar_c.py and make_imagenet_c.py of Hendrycks & Dietterich print them: a tuple for each
# severity. A zoom blur is there a range; here its step and its length.
PRINTED: dict[str, tuple[str, str]] = {
    "gaussian-noise": (".04 .06 .08 .09 .10", ".08 .12 .18 .26 .38"),
    "shot-noise": ("500 250 100 75 50", "60 25 12 5 3"),
    "impulse-noise": (".01 .02 .03 .05 .07", ".03 .06 .09 .17 .27"),
    "defocus-blur": (".3,.4 .4,.5 .5,.6 1,.2 1.5,.1", "3,.1 4,.5 6,.5 8,.5 10,.5"),
    "glass-blur": (
        ".05,1,1 .25,1,1 .4,1,1 .25,1,2 .4,1,2",
        ".7,1,2 .9,2,1 1,2,3 1.1,3,2 1.5,4,2",
    ),
    "motion-blur": ("6,1 6,1.5 6,2 8,2 9,2.5", "10,3 15,5 15,8 15,12 20,15"),
    "zoom-blur": (
        ".01,7 .01,12 .01,16 .01,21 .01,26",
        ".01,12 .01,16 .02,11 .02,13 .03,11",
    ),
    "snow": (
        ".1,.2,1,.6,8,3,.95 .1,.2,1,.5,10,4,.9 .15,.3,1.75,.55,10,4,.9 "
        ".25,.3,2.25,.6,12,6,.85 .3,.3,1.25,.65,14,12,.8",
        ".1,.3,3,.5,10,4,.8 .2,.3,2,.5,12,4,.7 .55,.3,4,.9,12,8,.7 "
        ".55,.3,4.5,.85,12,8,.65 .55,.3,2.5,.85,12,12,.55",
    ),
    "frost": (
        "1,.2,.2 1,.3,.2 .9,.4,.2 .85,.4,.2 .75,.45,.2",
        "1,.4,1 .8,.6,1 .7,.7,1 .65,.7,1 .6,.75,1",
    ),
    "fog": (".2,3 .5,3 .75,2.5 1,2 1.5,1.75", "1.5,2 2,2 2.5,1.7 2.5,1.5 3,1.4"),
    "brightness": (".05 .1 .15 .2 .3", ".1 .2 .3 .4 .5"),
    "contrast": (".75 .5 .4 .3 .15", ".4 .3 .2 .1 .05"),
    "pixelate": (".95 .9 .85 .75 .65", ".6 .5 .4 .3 .25"),
    "jpeg": ("80 65 58 50 40", "25 18 15 10 7"),
}
# These are there shares of 32 and of 244.
ELASTIC = (
    (32, "0,0,.08 .05,.2,.07 .08,.06,.06 .1,.04,.05 .1,.03,.03"),
    (244, "2,.7,.1 2,.08,.2 .05,.01,.02 .07,.01,.02 .12,.01,.02"),
)


def rows(text: str, unit: float = 1.0) -> list[list[float]]:
    return [[unit * float(value) for value in row.split(",")] for row in text.split()]


@pytest.mark.parametrize(("which", "side"), [(0, 32), (1, 224)])
def test_tables_are_the_authors(which: int, side: int) -> None:
    for name in GROUPS["imagenet-c"]:
        wanted = rows(PRINTED[name][which]) if name in PRINTED else rows(*reversed(ELASTIC[which]))
        for severity, row in enumerate(wanted, start=1):
            found = CORRUPTIONS[name].parameters(severity, (side, side))
            assert list(found.values()) == pytest.approx(row), (name, severity)


def test_ranges_are_the_thesis_s_in_even_steps() -> None:
    ranges = {
        ("white-noise", "sigma"): (0.05, 0.18),
        ("box-blur", "share"): (0.4, 0.95),
        ("artifacts", "lines"): (15, 170),
        ("obstruction", "size"): (47, 125),
        ("translation", "distance"): (15, 62),
        ("rotation", "degrees"): (7, 50),
        ("brightness-shift", "value"): (0.16, 0.51),
        ("contrast-loss", "loss"): (0.33, 0.74),
        ("colour-distortion", "value"): (0.09, 0.40),
        ("quantise", "steps"): (8, 3),
        ("thumbnail", "factor"): (1.1, 3.25),
        ("border", "width"): (9, 46),
        ("shear", "degrees"): (12, 39),
        ("backlight", "value"): (0.11, 0.44),
        ("greyscale", "share"): (0.49, 1.0),
    }
    for (name, parameter), (first, last) in ranges.items():
        for severity in range(1, 6):
            found = CORRUPTIONS[name].parameters(severity, (224, 224))[parameter]
            even = first + (last - first) * (severity - 1) / 4
            # Whole numbers are rounded.
            slack = 0.51 if isinstance(found, int) else 1e-5
            assert found == pytest.approx(even, abs=slack), name
    assert CORRUPTIONS["artifacts"].parameters(1, (224, 224)) == {
        "lines": 15,
        "dash": 5,
        "height": 3,
        "gap": 3,
    }


def test_factors_and_deviations_of_the_shifts() -> None:
    tables = {name: CORRUPTIONS[name].tables[0].values for name in GROUPS["shifts"]}
    factors = {*tables["darken"]["factor"], *tables["brighten"]["factor"]}
    assert factors == {0.8, 0.9, 1.1, 1.2} | {0.6, 0.8, 1.2, 1.4}
    assert tables["gaussian-blur"]["sigma"] == (0.3, 0.5, 0.7, 0.9)
    assert GROUPS["families"] == ("brightness-factor", "gaussian-blur")
    table = CORRUPTIONS["brightness-factor"].tables[0]
    assert table.values == {"factor": (0.8, 0.9, 1.1, 1.2)}


def test_groups() -> None:
    parts = [GROUPS[name] for name in ("imagenet-c", "thesis", "additions", "shifts")]
    assert [len(part) for part in parts] == [15, 10, 8, 3]
    # One of the families and one of the candidates are at home in other groups.
    parts.append(tuple(name for name in GROUPS["families"] if name != "gaussian-blur"))
    parts.append(tuple(name for name in GROUPS["candidates"] if name != "invert"))
    assert len(parts[-1]) == len(GROUPS["candidates"]) - 1 == 38
    assert GROUPS["all"] == tuple(CORRUPTIONS) == tuple(name for part in parts for name in part)
    assert all(CORRUPTIONS[name].severities == 5 for name in GROUPS["imagenet-c"])


def test_small_images_take_the_table_of_small_images() -> None:
    sigma = lambda side: CORRUPTIONS["gaussian-noise"].parameters(5, (side, 300))  # noqa: E731
    assert sigma(28) == sigma(95) == {"sigma": 0.1}
    assert sigma(96) == sigma(300) == {"sigma": 0.38}


def test_lengths_grow_with_images_but_for_sizes_close_to_the_table() -> None:
    wanted = {28: 6, 32: 6, 40: 6, 64: 12, 112: 5, 180: 10, 224: 10, 256: 10, 448: 20}
    found = {
        side: CORRUPTIONS["motion-blur"].parameters(1, (side + 7, side))["radius"]
        for side in wanted
    }
    assert found == pytest.approx(wanted)


def test_twice_as_large_is_twice_as_far() -> None:
    for name, parameter in (("obstruction", "size"), ("translation", "distance")):
        for severity in (1, 5):
            printed = CORRUPTIONS[name].tables[0].values[parameter][severity - 1]
            for times in (2, 3):
                found = CORRUPTIONS[name].parameters(severity, (times * 224, times * 224))
                assert found[parameter] == times * float(printed)


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


def test_parameters_in_words() -> None:
    words = {
        ("gaussian-noise", 3): "sigma 0.08",
        ("glass-blur", 2): "sigma 0.25, reach 1, rounds 1",
        ("flip", 2): "axis upside-down",
        ("invert", 1): "",
        ("rotation", 2): "degrees 17.8",
    }
    assert words == {
        (name, severity): CORRUPTIONS[name].parameter_text(severity, (28, 28))
        for name, severity in words
    }


def test_severities_that_are_not_there() -> None:
    for severity in (0, 4, -1):
        with pytest.raises(BadSetting, match="1 to 3"):
            CORRUPTIONS["darken"].parameters(severity, (28, 28))


def test_what_cannot_be_corrupted_has_a_reason() -> None:
    assert CORRUPTIONS["greyscale"].incompatibility((3, 28, 28)) is None
    assert "channel" in str(CORRUPTIONS["greyscale"].incompatibility((1, 28, 28)))
    assert "[784]" in str(CORRUPTIONS["contrast"].incompatibility((784,)))
    assert "24 x 24" in str(CORRUPTIONS["snow"].incompatibility((1, 8, 8)))
    assert CORRUPTIONS["contrast"].incompatibility((1, 8, 8)) is None


def test_unknown_names_are_answered_with_a_near_one() -> None:
    assert CORRUPTIONS.find("frost").name == "frost"
    with pytest.raises(UnknownName, match="'gaussian-noise'"):
        CORRUPTIONS.find("gaussian_noise")
    with pytest.raises(UnknownName, match="gaussian-noise, shot-noise"):
        CORRUPTIONS.find("x")
