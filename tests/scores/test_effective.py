"""Effective robustness: 0 on the line, and what is beyond it."""

from __future__ import annotations

import numpy as np
import pytest

from sensverify.errors import BadSetting
from sensverify.scores.effective import Effective, Effectives, effective_robustness
from tests.scores.conftest import table

TOTAL = 10**6
BASES = ("a", "b", "c")


def on_a_line(**more: dict[str, float]) -> dict[str, dict[str, float]]:
    cleans = (0.6, 0.7, 0.9)
    rows = {
        name: {"clean": clean, "fog": 0.8 * clean - 0.1, "blur": 0.4}
        for name, clean in zip(BASES, cleans, strict=True)
    }
    return rows | more


def cell(found: Effectives, network: str, shift: str) -> Effective:
    (one,) = (c for c in found.cells if (c.network, c.shift) == (network, shift))
    return one


def test_what_is_beyond_the_line_is_found() -> None:
    rows = on_a_line(better={"clean": 0.8, "fog": 0.64}, worse={"clean": 0.5, "fog": 0.2})
    found = effective_robustness(table(rows, TOTAL), baselines=BASES, shifts=("fog",))
    (fit,) = found.fits
    assert (fit.slope, fit.intercept) == pytest.approx((0.8, -0.1))
    assert fit.explained == pytest.approx(1)
    assert fit.baselines == 3
    for name in BASES:
        base = cell(found, name, "fog")
        assert base.baseline
        assert base.effective == pytest.approx(0, abs=1e-12)
        assert base.lower is None
    better, worse = cell(found, "better", "fog"), cell(found, "worse", "fog")
    assert better.effective == pytest.approx(0.1)
    assert worse.effective == pytest.approx(-0.1)
    assert (better.sign, worse.sign) == ("+", "-")
    assert better.as_printed == pytest.approx(0.8 - 0.8 * 0.64)


def test_a_constant_accuracy_is_a_flat_line() -> None:
    found = effective_robustness(table(on_a_line(), TOTAL), baselines=BASES, shifts=("blur",))
    assert found.fits[0].slope == pytest.approx(0)
    assert found.fits[0].explained is None


def test_the_interval_is_that_of_a_further_network() -> None:
    draws = np.random.default_rng(1)
    covered = 0
    for _ in range(300):
        clean = draws.uniform(0.5, 0.9, 7)
        fog = 0.5 * clean + 0.1 + draws.normal(0, 0.02, 7)
        rows = {
            f"n{k}": {"clean": c, "fog": f} for k, (c, f) in enumerate(zip(clean, fog, strict=True))
        }
        found = effective_robustness(table(rows, TOTAL), baselines=tuple(rows)[:-1])
        one = cell(found, "n6", "fog")
        assert one.lower is not None
        assert one.upper is not None
        covered += one.lower <= 0 <= one.upper
    assert 0.91 < covered / 300 < 0.99


def test_groups_are_baselines_with_all_their_seeds() -> None:
    rows = {
        "a-seed0": {"clean": 0.5, "fog": 0.3},
        "a-seed1": {"clean": 0.6, "fog": 0.35},
        "b": {"clean": 0.8, "fog": 0.6},
    }
    found = effective_robustness(table(rows), baselines=("a",))
    assert found.baselines == ("a-seed0", "a-seed1")
    # Two make a line that nothing is known to miss.
    assert cell(found, "b", "fog").effective == pytest.approx(0.6 - 0.45)
    assert cell(found, "b", "fog").sign == ""


def test_holes_have_no_effective_robustness() -> None:
    rows = on_a_line(d={"clean": 0.8}, e={"fog": 0.3})
    del rows["a"]["fog"]
    found = effective_robustness(table(rows, TOTAL), baselines=BASES, shifts=("fog",))
    assert found.fits[0].baselines == 2
    assert cell(found, "d", "fog").effective is None
    assert cell(found, "e", "fog").accuracy == pytest.approx(0.3)
    assert cell(found, "e", "fog").effective is None
    del rows["b"]["fog"]
    found = effective_robustness(table(rows, TOTAL), baselines=BASES, shifts=("fog",))
    assert found.fits[0].slope is None
    assert "no two baselines" in found.fits[0].reason
    assert all(each.effective is None for each in found.cells)


def test_what_is_refused() -> None:
    scores = table(on_a_line())
    for names, words in (
        ((), "two baselines, and there are none"),
        (("a",), "two baselines, and there is one"),
        (("a", "a"), "there is one"),
        (("a", "x"), "there is no network 'x'"),
    ):
        with pytest.raises(BadSetting, match=words):
            effective_robustness(scores, baselines=names)
    with pytest.raises(BadSetting, match="there is no shift 'frog'"):
        effective_robustness(scores, baselines=BASES, shifts=("frog",))
    bare = table({"a": {"clean": 0.5}, "b": {"clean": 0.6}})
    with pytest.raises(BadSetting, match="the table has none"):
        effective_robustness(bare, baselines=("a", "b"))
