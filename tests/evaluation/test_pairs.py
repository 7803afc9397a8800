"""Pairs of networks: counted sample by sample, and never where a sample is not known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from sensverify.classification.paired import holm
from sensverify.evaluation.curves import attack_curve, certified_curve, clean_rate, worst_curve
from sensverify.evaluation.pairs import LEVEL, Comparison, compare_pairs
from sensverify.evaluation.results import Evaluation, ModelEvaluation
from sensverify.evaluation.run import evaluate
from tests.evaluation.networks import request

RADII = (0.02, 0.1)


@pytest.fixture(scope="module")
def evaluation(files: Path) -> Evaluation:
    """Three networks in everything that can be compared."""
    return evaluate(
        request(
            files / "a.onnx",
            files / "b.onnx",
            "iris",
            data=str(files / "data.npz"),
            radii=RADII,
            count=None,
            attacks=("fgsm", "pgd(steps=3)"),
            certify=("ibp", "crown"),
            corruptions=(),
            sequences=(),
            measures=(),
            clip=(0.0, 1.0),
        )
    )


@pytest.fixture(scope="module")
def images() -> Evaluation:
    """Two networks on images."""
    return evaluate(
        request("mnist-conv1", "mnist-conv2", count=20, attacks=(), certify=(), measures=())
    )


def by_question(found: tuple[Comparison, ...]) -> dict[Any, Comparison]:
    return {(each.first, each.second, each.kind, each.name, each.at): each for each in found}


def counts(evaluation: Evaluation, each: Comparison) -> tuple[int, int]:
    """What the curves say of two networks."""
    named = {model.model.name: model for model in evaluation.models}

    def count(model: ModelEvaluation) -> int:
        if each.kind == "clean":
            return clean_rate(model).count
        curve = {
            "attack": lambda: attack_curve(model, each.name),
            "certified": lambda: certified_curve(model, each.name),
            "worst": lambda: worst_curve(model, RADII),
        }[each.kind]()
        return next(point.rate.count for point in curve if point.radius == each.at)

    return count(named[each.first]), count(named[each.second])


def test_every_pair_in_every_question(evaluation: Evaluation) -> None:
    found = compare_pairs(evaluation)
    assert len({*by_question(found)}) == len(found)
    pairs = {(each.first, each.second) for each in found}
    assert pairs == {("a.onnx", "b.onnx"), ("a.onnx", "iris"), ("b.onnx", "iris")}
    kinds = [each.kind for each in found if (each.first, each.second) == ("a.onnx", "b.onnx")]
    assert kinds == ["clean", *["worst"] * 2, *["attack"] * 4, *["certified"] * 4]


def test_counts_are_those_of_the_curves(evaluation: Evaluation) -> None:
    for each in compare_pairs(evaluation):
        assert each.paired is not None
        assert (each.paired.first.count, each.paired.second.count) == counts(evaluation, each)


def test_p_values_are_adjusted_within_a_kind(evaluation: Evaluation) -> None:
    found = compare_pairs(evaluation)
    for kind in {each.kind for each in found}:
        own = [each for each in found if each.kind == kind]
        values = []
        for each in own:
            assert each.paired is not None
            split = each.paired.only_first, each.paired.only_second
            values.append(stats.binomtest(split[0], sum(split)).pvalue if sum(split) else 1.0)
        assert [each.adjusted for each in own] == pytest.approx(holm(values))


def test_the_better_one_has_more_right_samples(evaluation: Evaluation) -> None:
    found = [each for each in compare_pairs(evaluation) if each.better is not None]
    assert found
    for each in found:
        first, second = counts(evaluation, each)
        assert each.better == (each.first if first > second else each.second)
        assert each.adjusted is not None
        assert each.adjusted < LEVEL


def test_corruptions_keep_their_samples(images: Evaluation) -> None:
    found = [each for each in compare_pairs(images) if each.kind == "corruption"]
    assert {(each.name, each.at) for each in found} == {
        (name, severity) for name in ("gaussian-noise", "contrast") for severity in (1, 5)
    }
    for row in (row for model in images.models for row in model.corruptions):
        assert row.wrong is not None
        assert row.classified.accuracy.count == 20 - len(row.wrong)


def test_rows_of_an_earlier_version_are_not_tested(images: Evaluation) -> None:
    first, second = images.models
    old = replace(second, corruptions=tuple(replace(r, wrong=None) for r in second.corruptions))
    found = compare_pairs(replace(images, models=(first, old)))
    for each in found:
        tested = each.kind != "corruption"
        assert (each.paired is not None) == tested
        assert (each.adjusted is not None) == tested
        assert bool(each.untested) != tested
        assert tested or each.better is None
        assert tested or each.untested.startswith("mnist-conv2: ")


def changed(evaluation: Evaluation, change: Callable[[Any], Any]) -> tuple[Comparison, ...]:
    """Comparisons with the attacks of the second network changed."""
    first, second, *rest = evaluation.models
    second = replace(second, attacks=change(second.attacks))
    return compare_pairs(replace(evaluation, models=(first, second, *rest)))


def test_an_attack_that_saw_no_gradient_tells_no_networks_apart(evaluation: Evaluation) -> None:
    _, second, _ = evaluation.models
    kept = set(range(40)) - set(second.attacks[0].broken) - set(second.clean[0].wrong)
    place = min(kept)

    def blind(rows: Any) -> Any:
        return tuple(replace(r, blind=(place,)) if r.attack == "fgsm" else r for r in rows)

    for each in changed(evaluation, blind):
        known = "b.onnx" not in (each.first, each.second) or (each.kind, each.name) != (
            "attack",
            "fgsm",
        )
        if each.at == second.attacks[0].radius:
            assert (each.paired is not None) == known

    # Where every attack was blind, the worst of them is not known either.
    found = changed(evaluation, lambda rows: tuple(replace(r, blind=(place,)) for r in rows))
    worst = next(
        e for e in found if e.kind == "worst" and e.second == "b.onnx" and e.at == RADII[0]
    )
    assert worst.paired is None
    assert worst.untested


def test_the_worst_of_other_attacks_is_another_question(evaluation: Evaluation) -> None:
    found = changed(evaluation, lambda rows: tuple(r for r in rows if r.attack == "fgsm"))
    for each in found:
        if each.kind == "worst":
            assert (each.paired is None) == ("b.onnx" in (each.first, each.second))
        if each.kind == "attack" and "b.onnx" in (each.first, each.second):
            assert each.name == "fgsm"


def test_an_attack_on_the_nearest_input_is_compared_at_every_radius(files: Path) -> None:
    both = [str(files / f"{name}.onnx") for name in "ab"]
    evaluation = evaluate(
        request(
            *both,
            data=str(files / "data.npz"),
            radii=RADII,
            clip=(0.0, 1.0),
            attacks=("cw(steps=5)",),
            certify=("ibp",),
            corruptions=(),
            sequences=(),
            measures=(),
        )
    )
    found = [each for each in compare_pairs(evaluation) if each.kind == "attack"]
    assert [each.at for each in found] == list(RADII)
    for each in found:
        assert each.paired is not None
        assert (each.paired.first.count, each.paired.second.count) == counts(evaluation, each)


def test_one_network_is_compared_with_none(evaluation: Evaluation) -> None:
    assert compare_pairs(replace(evaluation, models=evaluation.models[:1])) == ()
