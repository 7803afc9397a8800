"""Explanations of planted relations, and Shapley values by their definition."""

from __future__ import annotations

import math
import sys
from itertools import permutations

import numpy as np
import pytest

from sensverify.errors import BackendMissing, BadSetting
from sensverify.scores import Network, Scores
from sensverify.scores.explain import Explanation, explain, linear_shapley, subset_shapley


def planted(count: int = 40, noise: float = 0.0, names: list[str] | None = None) -> Scores:
    """Three measures, of which the target takes two, and a constant one."""
    draws = np.random.default_rng(0)
    x = draws.normal(size=(count, 3)) * [1, 100, 0.01]
    y = 2 * x[:, 0] - 0.03 * x[:, 1] + 7 + noise * draws.normal(size=count)
    return Scores(
        networks=tuple(map(Network, names or [f"n{k}" for k in range(count)])),
        shifts=(),
        right=np.zeros((count, 0)),
        total=np.zeros((count, 0)),
        measures=("a", "b", "c", "flat", "gap"),
        values=np.column_stack([x, np.full(count, 3.0), y]),
    )


MEASURES = ("a", "b", "c", "flat")


def one(scores: Scores, **settings: object) -> Explanation:
    settings = {"measures": MEASURES, "targets": ("gap",)} | settings
    (found,) = explain(scores, **settings).targets  # type: ignore[arg-type]
    return found


def test_what_is_linear_is_explained_wholly() -> None:
    scores = planted()
    found = one(scores)
    assert found.explained == pytest.approx(1)
    assert found.fitted == pytest.approx(1)
    assert found.error == pytest.approx(0, abs=1e-20)
    assert found.left_out == ("flat",)
    x = scores.values
    for place, (name, weight) in enumerate({"a": 2, "b": -0.03, "c": 0}.items()):
        expected = weight * (x[:, place] - x[:, place].mean())
        added = [each.addition for each in found.additions if each.measure == name]
        np.testing.assert_allclose(added, expected, atol=1e-9)
        assert dict(found.importance)[name] == pytest.approx(np.abs(expected).mean(), abs=1e-9)


@pytest.mark.parametrize("regressor", ["linear", "ridge"])
def test_additions_sum_to_the_prediction(regressor: str) -> None:
    scores = planted(noise=1.0)
    found = one(scores, regressor=regressor)
    sums: dict[str, float] = {}
    for each in found.additions:
        sums[each.network] = sums.get(each.network, 0) + each.addition
    target = scores.values[:, -1]
    # The mean prediction of either regression is the mean of the target.
    predicted = np.array(list(sums.values())) + target.mean()
    share = 1 - np.sum((predicted - target) ** 2) / np.sum((target - target.mean()) ** 2)
    assert found.fitted == pytest.approx(share)
    assert found.explained is not None
    assert found.explained < found.fitted


def test_regressions_are_those_of_scikit_learn() -> None:
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import StandardScaler

    scores = planted(noise=1.0)
    x, y = scores.values[:, :3], scores.values[:, -1]
    scaled = StandardScaler().fit_transform(x)
    theirs = Ridge(alpha=5.0).fit(scaled, y)
    found = one(scores, regressor="ridge", penalty=5.0)
    added = np.array([each.addition for each in found.additions]).reshape(-1, 3)
    np.testing.assert_allclose(added, scaled * theirs.coef_, atol=1e-9)


def test_noise_is_not_explained() -> None:
    draws = np.random.default_rng(1)
    scores = planted()
    values = scores.values.copy()
    values[:, -1] = draws.normal(size=len(values))
    found = one(Scores(**{**vars(scores), "values": values}))
    assert found.explained is not None
    assert found.fitted is not None
    assert found.explained < 0.1
    assert found.fitted >= 0


def with_values(values: np.ndarray) -> Scores:
    """Networks with measures ``a``, ``b`` and a target ``t``."""
    count = len(values)
    return Scores(
        networks=tuple(Network(f"n{k}") for k in range(count)),
        shifts=(),
        right=np.zeros((count, 0)),
        total=np.zeros((count, 0)),
        measures=("a", "b", "t"),
        values=values,
    )


def test_a_measure_that_is_constant_but_for_one_network_says_nothing_of_that() -> None:
    """Rounding leaves .1 a deviation of 1e-17, by which nothing may be divided."""
    draws = np.random.default_rng(0)
    a, b = np.full(20, 0.1), draws.normal(size=20)
    a[7] = 5.0
    scores = with_values(np.column_stack([a, b, 2 * b + 0.01 * draws.normal(size=20)]))
    found = one(scores, measures=("a", "b"), targets=("t",), folds=20)
    assert found.explained is not None
    assert found.explained > 0.99


@pytest.mark.parametrize("power", [-1020, -600, 600, 1020])
@pytest.mark.parametrize("regressor", ["linear", "ridge", "forest"])
def test_the_size_of_numbers_changes_nothing(regressor: str, power: int) -> None:
    values = np.random.default_rng(2).uniform(0.5, 1, (30, 3))
    settings = {"measures": ("a", "b"), "targets": ("t",), "regressor": regressor}
    plain, sized = (
        one(with_values(each), **settings)
        for each in (values, np.ldexp(values, [power, -power, power // 2]))
    )
    assert sized.explained == plain.explained
    assert sized.fitted == plain.fitted
    assert sized.error is not None
    assert plain.error is not None
    assert sized.error == pytest.approx(math.ldexp(plain.error, power))
    for one_, other in zip(plain.additions, sized.additions, strict=True):
        assert other.addition == pytest.approx(math.ldexp(one_.addition, power // 2))
        assert other.value == math.ldexp(one_.value, power if one_.measure == "a" else -power)


def test_an_error_beyond_all_numbers_is_none() -> None:
    values = np.random.default_rng(2).uniform(0.5, 1, (30, 3)) * [1, 1, 1e300]
    found = one(with_values(values), measures=("a", "b"), targets=("t",))
    assert found.explained is not None
    assert found.error is None


def test_seeds_of_a_group_are_left_out_together() -> None:
    # The target is noise that two seeds share, which only a leak of one to the other explains.
    draws = np.random.default_rng(2)
    count = 30
    x, y = np.repeat(draws.normal(size=(2, count)), 2, axis=1)
    names = [f"n{k}-seed{s}" for k in range(count) for s in (0, 1)]
    scores = Scores(
        networks=tuple(map(Network, names)),
        shifts=(),
        right=np.zeros((2 * count, 0)),
        total=np.zeros((2 * count, 0)),
        measures=("m", "gap"),
        values=np.column_stack([x, y]),
    )
    settings = {"measures": ("m",), "regressor": "forest"}
    found = one(scores, **settings)
    assert found.explained is not None
    assert found.explained < 0.3
    assert found.networks == 60
    assert one(scores, over="groups", measures=("m",)).networks == 30


def test_shapley_values_are_means_over_all_orders() -> None:
    draws = np.random.default_rng(0)
    rows, background = draws.normal(size=(3, 4)), draws.normal(size=(5, 4))

    def predict(x: np.ndarray) -> np.ndarray:
        return x[:, 0] * x[:, 1] + np.maximum(x[:, 2], x[:, 3]) ** 2

    found = subset_shapley(predict, rows, background)
    expected = np.zeros((3, 4))
    for order in permutations(range(4)):
        mixed = np.tile(background, (3, 1, 1))
        before = predict(mixed.reshape(-1, 4)).reshape(3, 5).mean(axis=1)
        for place in order:
            mixed[:, :, place] = rows[:, None, place]
            after = predict(mixed.reshape(-1, 4)).reshape(3, 5).mean(axis=1)
            expected[:, place] += (after - before) / math.factorial(4)
            before = after
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), predict(rows) - predict(background).mean())


def test_shapley_values_of_lines_are_those_of_all_subsets() -> None:
    rows = np.random.default_rng(0).normal(size=(6, 3))

    def predict(x: np.ndarray) -> np.ndarray:
        return x @ np.array([1.0, -2.0, 0.5]) + 3

    np.testing.assert_allclose(
        linear_shapley(predict, rows), subset_shapley(predict, rows, rows), atol=1e-12
    )


def test_what_has_no_explanation_says_why() -> None:
    scores = planted(8)
    assert "needs 5 networks that are fitted on, and has" not in one(scores).reason
    assert "fewer than 9" in one(scores, folds=9).reason
    assert one(planted(5), folds=3).reason.endswith(
        "needs 5 networks that are fitted on, and has 3"
    )
    assert one(planted(5), folds=3, regressor="ridge").explained is not None
    assert one(scores, measures=("flat",)).reason == "all measures are constant"
    assert one(scores, measures=("a",), targets=("flat",)).reason == "the target is constant"
    values = scores.values.copy()
    values[:6, 1] = np.nan
    assert one(Scores(**{**vars(scores), "values": values})).networks == 2


def test_what_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = planted()
    for settings, words in (
        ({"targets": ()}, "needs targets"),
        ({"targets": ("a",)}, "'a' is a target and explains it"),
        ({"targets": ("gaps",)}, "there is no column 'gaps'"),
    ):
        with pytest.raises(BadSetting, match=words):
            one(scores, **settings)
    bare = Scores(networks=scores.networks, shifts=(), right=scores.right, total=scores.total)
    with pytest.raises(BadSetting, match="needs measures"):
        explain(bare, targets=("clean",))
    monkeypatch.setattr("sensverify.scores.explain.FEATURES", 3)
    with pytest.raises(BadSetting, match="forest of 4 measures"):
        one(scores, regressor="forest")
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(BackendMissing, match="scikit-learn"):
        one(scores, regressor="forest")
