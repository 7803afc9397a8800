"""What can be asked, and lists as text."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest

from sensverify.errors import InputError
from sensverify.evaluation.request import EvaluateRequest, split_list


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("fgsm", ("fgsm",)),
        (" fgsm , pgd(steps=10, restarts=2),cw", ("fgsm", "pgd(steps=10, restarts=2)", "cw")),
        ("worst(attacks=a(b=1, c=d(e=2, f=3))), g", ("worst(attacks=a(b=1, c=d(e=2, f=3)))", "g")),
        ("none", ()),
        (" NONE ", ()),
    ],
)
def test_commas_count_outside_of_parentheses_only(text: str, parts: tuple[str, ...]) -> None:
    assert split_list(text) == parts


@pytest.mark.parametrize("text", ["", "a,,b", "a,", ",", "a, a"])
def test_what_is_no_list(text: str) -> None:
    with pytest.raises(InputError):
        split_list(text)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": ()}, "at least one model"),
        ({"models": ("iris", "iris")}, "named twice"),
        ({"radii": (0.1,), "sigmas": (0.1,)}, "`radii` or `sigmas`"),
        ({"samples": (0, 3), "count": 3}, "`samples` or `count`"),
        ({"radii": (0.1, nan)}, "finite"),
        ({"sigmas": (-0.1,)}, "finite"),
        ({"radii": (inf,)}, "finite"),
        ({"radii": "wide"}, "no radius"),
        ({"radii": ("r.npy",)}, "`radii`"),
        ({"samples": 3}, "`samples`"),
        ({"clip": (0.0, 1.0, 2.0)}, "`clip`"),
        ({"clip": (1.0, 0.0)}, "LO < HI"),
        ({"clip": (0.0, nan)}, "LO < HI"),
        ({"count": 0}, "`count`"),
        ({"train_samples": -1}, "`train_samples`"),
        ({"bins": 0}, "`bins`"),
        ({"timeout": nan}, "`timeout`"),
        ({"timeout": 0.0}, "`timeout`"),
        ({"severities": (0,)}, "`severities`"),
        ({"device": "tpu"}, "`device`"),
        ({"seed": 1 << 63}, "`seed`"),
        ({"resume": True}, "`out`"),
    ],
)
def test_what_cannot_be_asked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        EvaluateRequest(**({"models": ("iris",)} | changes))


@pytest.mark.parametrize("radii", [0.25, "1/4", (0.25,), ["1/4"]])
def test_one_radius_is_as_good_as_several(radii: Any) -> None:
    assert EvaluateRequest(models=("iris",), radii=radii).radii == (0.25,)
