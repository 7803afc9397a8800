"""Predictions of planted relations, and everything that leaves them without an answer."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import pearsonr

from sensverify.errors import BadSetting
from sensverify.scores import Network, Scores
from sensverify.scores.pearson import chance, pearson
from sensverify.scores.prediction import Prediction, prediction
from tests.scores.conftest import table

TOTAL = 10**9


def drawn(networks: int = 21, seed: int = 0) -> Scores:
    """Accuracies that have something to do with each other, of networks of three backbones."""
    draws = np.random.default_rng(seed)
    rows = {}
    for place in range(networks):
        clean = draws.uniform(0.6, 0.8)
        fog = clean - draws.uniform(0.1, 0.4)
        sketch = 0.5 * clean + 0.3 * fog - draws.uniform(0, 0.1)
        name = f"{('resnet18', 'resnet50', 'vgg')[place % 3]}-{place}"
        rows[name] = {"clean": clean, "fog": fog, "blur": fog / 2, "sketch": sketch}
    return table(rows, TOTAL)


def one(scores: Scores, column: str = "fog", **settings: object) -> Prediction:
    (found,) = prediction(scores, columns=(column,), targets=("sketch",), **settings).pairs  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize("slope", [0.5, -0.5])
def test_what_is_affine_correlates_wholly(slope: float) -> None:
    rows = {}
    for place, lost in enumerate((0.1, 0.2, 0.25, 0.4)):
        clean = 0.7 + 0.02 * place**2
        rows[f"n{place}"] = {
            "clean": clean,
            "fog": clean - lost,
            "sketch": clean - 0.3 - slope * lost,
        }
    found = one(table(rows, TOTAL), resamples=0)
    assert found.pearson.value == pytest.approx(math.copysign(1, slope), abs=1e-7)
    assert found.partial.value == pytest.approx(math.copysign(1, slope), abs=1e-7)
    assert found.explained == pytest.approx(1, abs=1e-6)
    assert [each.backbone for each in found.left_out] == ["n0", "n1", "n2", "n3"]
    for each in found.left_out:
        assert each.correlation == pytest.approx(math.copysign(1, slope), abs=1e-7)
        assert each.error == pytest.approx(0, abs=1e-7)


def test_pearson_is_that_of_scipy() -> None:
    scores = drawn()
    found = one(scores)
    residual = scores.clean[:, None] - scores.accuracy
    expected = pearsonr(residual[:, 1], residual[:, 3])
    assert found.pearson.value == pytest.approx(expected.statistic, abs=1e-9)
    assert found.pearson.p_value == pytest.approx(expected.pvalue, abs=1e-9)
    assert found.pearson.lower is not None
    assert found.pearson.upper is not None
    assert found.pearson.lower < expected.statistic < found.pearson.upper


@pytest.mark.parametrize("power", [-1020, -600, 600, 1020])
def test_the_size_of_measures_changes_nothing(power: int) -> None:
    values = np.random.default_rng(2).uniform(0.5, 1, (9, 2))
    found = []
    for each in (values, np.ldexp(values, [power, -power])):
        scores = Scores(
            networks=tuple(Network(f"n{k}") for k in range(9)),
            shifts=(),
            right=np.zeros((9, 0)),
            total=np.zeros((9, 0)),
            measures=("a", "t"),
            values=each,
        )
        found.append(prediction(scores, columns=("a",), targets=("t",)).pairs[0])
    plain, sized = found
    assert sized.pearson == plain.pearson
    assert sized.explained == plain.explained
    for one_, other in zip(plain.left_out, sized.left_out, strict=True):
        assert other.correlation == one_.correlation
        assert one_.error is not None
        assert other.error == pytest.approx(math.ldexp(one_.error, -power))


def test_with_clean_accuracy_held_fixed_is_the_correlation_of_what_lines_leave() -> None:
    scores = drawn()
    clean = np.stack([np.ones(21), scores.clean], axis=1)
    left = []
    for place in (1, 3):
        values = scores.accuracy[:, place]
        left.append(values - clean @ np.linalg.lstsq(clean, values, rcond=None)[0])
    expected = float(np.corrcoef(left)[0, 1])
    # Residuals and accuracies differ by what is held fixed.
    for metric in ("residual", "accuracy"):
        found = one(scores, metric=metric).partial
        assert found.value == pytest.approx(expected, abs=1e-7)
        assert found.p_value == pytest.approx(float(chance(expected, 21, 1)), rel=1e-4)
    assert one(scores, metric="residual").pearson != one(scores, metric="accuracy").pearson


def test_the_chance_of_a_correlation_that_the_thesis_prints() -> None:
    assert float(chance(0.437, 21)) == pytest.approx(0.0476, abs=5e-5)
    assert math.isnan(chance(0.9, 2))
    assert float(chance(1.0, 5)) == 0


def test_networks_of_a_backbone_are_left_out_together() -> None:
    scores = drawn()
    found = one(scores, backbones=("resnet18", "resnet50", "vgg", "res"))
    assert [(each.backbone, each.networks) for each in found.left_out] == [
        ("resnet18", 7),
        ("resnet50", 7),
        ("vgg", 7),
    ]
    residual = scores.clean[:, None] - scores.accuracy
    x, y = residual[:, 1], residual[:, 3]
    squares = 0.0
    for place, each in enumerate(found.left_out):
        own = np.arange(21) % 3 == place
        line = np.polyfit(x[~own], y[~own], 1)
        missed = y[own] - np.polyval(line, x[own])
        squares += float(np.sum(missed**2))
        assert each.correlation == pytest.approx(np.corrcoef(x[~own], y[~own])[0, 1], abs=1e-9)
        assert each.error == pytest.approx(np.abs(missed).mean(), abs=1e-9)
    assert found.explained == pytest.approx(1 - squares / np.sum((y - y.mean()) ** 2), abs=1e-9)


def test_a_benchmark_is_the_mean_of_its_members() -> None:
    scores = drawn()
    found = prediction(scores, benchmark=("fog", "blur"), targets=("sketch",), resamples=0)
    assert found.columns == ("benchmark",)
    mean = scores.clean - scores.accuracy[:, 1:3].mean(axis=1)
    expected = np.corrcoef(mean, scores.clean - scores.accuracy[:, 3])[0, 1]
    assert found.pairs[0].pearson.value == pytest.approx(expected, abs=1e-9)
    every = prediction(scores, targets=("sketch",), resamples=0)
    assert every.columns == ("fog", "blur")


def test_the_interval_covers_what_is_true_about_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(60):
        x, noise = np.random.default_rng(seed).normal(0, 0.02, (2, 40))
        rows = {
            f"n{k}": {"clean": 0.9, "fog": 0.5 + a, "sketch": 0.5 + 0.6 * a + 0.8 * b}
            for k, (a, b) in enumerate(zip(x, noise, strict=True))
        }
        found = one(table(rows, TOTAL), resamples=400, metric="accuracy").pearson
        assert found.lower is not None
        assert found.upper is not None
        covered += found.lower <= 0.6 <= found.upper
    assert covered >= 51


def test_holes_and_constants_have_no_correlation() -> None:
    rows = {f"n{k}": {"clean": 0.9 - 0.1 * k, "fog": 0.5, "sketch": 0.4 + k / 50} for k in range(4)}
    assert one(table(rows), metric="accuracy").pearson.reason == "'fog' is constant"
    rows = {
        f"n{k}": {"clean": 0.9, "fog": 0.5 - k / 10, "sketch": 0.4 + k**2 / 50} for k in range(4)
    }
    # A clean accuracy that is constant holds nothing back.
    found = one(table(rows))
    assert found.partial.value == found.pearson.value
    del rows["n0"]["sketch"], rows["n1"]["fog"]
    assert "fewer than 3 networks" in one(table(rows)).pearson.reason
    del rows["n2"]["clean"]
    assert one(table(rows)).networks == 1
    rows = {f"n{k}": {"fog": 0.5 - k / 10, "sketch": 0.4 + k**2 / 50} for k in range(4)}
    found = one(table(rows), metric="accuracy")
    assert found.pearson.value is not None
    assert found.partial.reason == "the clean accuracy of a network is not known"


def test_a_column_that_is_the_clean_accuracy_tells_nothing_beyond_it() -> None:
    rows = {
        f"n{k}": {"clean": c, "fog": c / 2, "sketch": s}
        for k, (c, s) in enumerate([(0.6, 0.2), (0.7, 0.5), (0.8, 0.4), (0.9, 0.6)])
    }
    assert one(table(rows)).partial.reason == "the clean accuracy tells all of 'fog'"


def test_what_is_refused() -> None:
    scores = drawn()
    with pytest.raises(BadSetting, match="needs shifts that are predicted"):
        prediction(scores)
    with pytest.raises(BadSetting, match="there is no shift 'sketsh'"):
        prediction(scores, targets=("sketsh",))
    with pytest.raises(BadSetting, match="'vgg-2' begins with the name of no backbone"):
        one(scores, backbones=("resnet",))
    with pytest.raises(BadSetting, match="needs columns beside its targets"):
        prediction(scores, targets=("fog", "blur", "sketch"))


def test_a_constant_column_has_no_pearson() -> None:
    found = pearson(np.array([[1.0, 0.1], [2.0, 0.1], [4.0, 0.1]]))
    assert math.isnan(found[0, 1])
    assert found[0, 0] == pytest.approx(1)
