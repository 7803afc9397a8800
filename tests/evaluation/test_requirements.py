"""Figures of requirements: intervals, references, and that what is missing passes nothing."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sensverify.classification.estimates import Estimate
from sensverify.classification.paired import Paired
from sensverify.classification.predictions import Bin, Classified
from sensverify.classification.rates import Rate
from sensverify.core.gates import Gate, GateVerdict, Limit
from sensverify.errors import BadSetting
from sensverify.evaluation.requirement import AskedRequirement
from sensverify.evaluation.requirements import judge_requirement
from sensverify.evaluation.results import (
    AttackRow,
    CertifiedRow,
    CleanRow,
    CorruptionRow,
    ModelEvaluation,
    ShiftRow,
)
from sensverify.evaluation.run import evaluate
from sensverify.evaluation.specification import PropertyRequirement, Requirement, Specification
from sensverify.models.loading import ModelFacts

TOTAL = 100
EVERY = frozenset(range(TOTAL))


def rows(wrong: int) -> tuple[Classified, tuple[int, ...]]:
    """Predictions whose last samples are wrong, all of one class."""
    return Classified(((TOTAL - wrong, wrong), (0, 0)), (Bin(TOTAL, 1, 1.0),)), tuple(
        range(TOTAL - wrong, TOTAL)
    )


def attack(broken: int, name: str = "pgd", radius: float = 0.1, **changes: Any) -> AttackRow:
    classified, wrong = rows(broken)
    reach = tuple(0.05 if k in wrong else None for k in range(TOTAL))
    values = {"broken": wrong, "reach": reach, "l2": reach, "linf": reach, "seconds": 0.0}
    return AttackRow(attack=name, radius=radius, classified=classified, **{**values, **changes})


def corruption(name: str, severity: int, wrong: int | None) -> CorruptionRow:
    classified, places = rows(wrong or 0)
    return CorruptionRow(
        corruption=name,
        severity=severity,
        parameter="",
        classified=classified,
        msd=None,
        source="computed",
        seconds=0.0,
        wrong=None if wrong is None else places,
    )


def network(clean: int = 10, **changes: Any) -> ModelEvaluation:
    classified, wrong = rows(clean)
    return ModelEvaluation(
        model=ModelFacts("net", (), "net.onnx", "0" * 64, (2,), (2,), 6, None),
        clean=(CleanRow(part="test", classified=classified, wrong=wrong, seconds=0.0),),
        **changes,
    )


def asked(
    limit: Limit | float, *shift: str, own: frozenset[int] = EVERY, **changes: Any
) -> AskedRequirement:
    """About noise at two severities and blur at one, about attacks, or about neither."""
    limit = limit if isinstance(limit, Limit) else Limit(limit)
    given: dict[str, Any] = {"corruptions": ("noise", "blur")} if "noise" in shift else {}
    if "pgd" in shift:
        given = {"attacks": shift, "radius": 0.1}
    if "certified" in shift:
        given = {"by": "certified", "radius": 0.1}
    corruptions = (("noise", (1, 2)), ("blur", (1,))) if "noise" in shift else ()
    return AskedRequirement(
        Requirement(name="r", limit=limit, **{**given, **changes}),
        frozenset(shift) if "pgd" in shift else frozenset(),
        frozenset({"crown"}),
        corruptions,
        0.1 if given.get("radius") else None,
        own,
    )


def judged(
    requirement: AskedRequirement, model: ModelEvaluation, reference: ModelEvaluation | None = None
) -> Gate:
    return judge_requirement(requirement, model, reference)


CORRUPTED = (corruption("noise", 1, 20), corruption("noise", 2, 40), corruption("blur", 1, 10))


def test_by_interval_the_whole_of_it_keeps_the_limit() -> None:
    model, (lower, upper) = network(10), Rate(90, TOTAL).interval
    for limit, verdict in (
        (lower, GateVerdict.PASSED),
        (0.9, GateVerdict.UNDECIDED),
        (upper, GateVerdict.UNDECIDED),
        (upper + 1e-9, GateVerdict.FAILED),
    ):
        gate = judged(asked(limit), model)
        assert gate.verdict is verdict, limit
        assert (gate.figure.least, gate.figure.most) == (lower, upper)
        assert gate.figure.estimate == 0.9
        assert (gate.requirement, gate.by, gate.name) == ("r", "interval", "min_accuracy")


def test_by_estimate_these_samples_are_enough() -> None:
    assert judged(asked(0.9, by="estimate"), network(10)).verdict is GateVerdict.PASSED
    assert judged(asked(0.91, by="estimate"), network(10)).verdict is GateVerdict.FAILED


def test_corruptions_count_alike_whatever_their_severities() -> None:
    model = network(corruptions=CORRUPTED)
    figure = asked(0.5, "noise", by="estimate").figure(model)
    assert figure.least == pytest.approx(((0.8 + 0.6) / 2 + 0.9) / 2)
    assert figure.least == figure.most
    ends = [Rate(TOTAL - wrong, TOTAL).interval for wrong in (20, 40, 10)]
    figure = asked(0.5, "noise").figure(model)
    for end, found in enumerate((figure.least, figure.most)):
        low = [each[end] for each in ends]
        assert found == pytest.approx(((low[0] + low[1]) / 2 + low[2]) / 2)
    assert figure.estimate == pytest.approx(0.8)


@pytest.mark.parametrize("lost", [0, 1, 2])
@pytest.mark.parametrize("by", ["interval", "estimate"])
def test_a_row_that_is_missing_may_be_anything(lost: int, by: Any) -> None:
    left = tuple(row for k, row in enumerate(CORRUPTED) if k != lost)
    whole = asked(0.5, "noise", by=by).figure(network(corruptions=CORRUPTED))
    for kept in (left, (*left, replace(CORRUPTED[lost], wrong=None))):
        part = asked(0.5, "noise", by=by).figure(network(corruptions=kept))
        assert part.least < whole.least < whole.most < part.most or by == "estimate"
        assert part.most - part.least >= 0.25
        gate = judged(asked(whole.least, "noise", by=by), network(corruptions=kept))
        assert gate.verdict is not GateVerdict.PASSED


def test_residual_and_app_have_intervals_around_them() -> None:
    model = network(corruptions=CORRUPTED)
    residual = asked(0.5, "noise", metric="residual").figure(model)
    assert residual.estimate == pytest.approx(0.9 - 0.8)
    assert residual.least < residual.estimate < residual.most
    app = asked(0.5, "noise", metric="app").figure(model)
    assert app.estimate == pytest.approx(0.8 / 0.9)
    assert app.least < app.estimate < app.most
    assert not asked(0.5, "noise", metric="app").figure(network(TOTAL, corruptions=CORRUPTED)).known


def test_an_attack_that_is_missing_or_sees_nothing_passes_nothing() -> None:
    needed = asked(0.7, "pgd", "cw", by="estimate")
    both = (attack(20), attack(25, "cw"))
    assert judged(needed, network(attacks=both)).verdict is GateVerdict.PASSED
    for rows in (both[:1], (both[0], attack(25, "cw", radius=0.2)), ()):
        gate = judged(needed, network(attacks=rows))
        assert gate.figure.least == 0
        assert gate.verdict is GateVerdict.UNDECIDED
    blind = tuple(replace(row, blind=(0, 1)) for row in both)
    figure = needed.figure(network(attacks=blind))
    assert (figure.least, figure.most) == (0.73, 0.75)
    # What another attack finds is not asked about.
    other = needed.figure(network(attacks=(*both, attack(90, "square"))))
    assert other.most == 0.75


def test_what_is_certified_is_proven_on_these_samples() -> None:
    row = CertifiedRow(
        method="crown",
        radius=0.1,
        guarantee="SOUND",
        certified=tuple(range(60)),
        log_volumes=(1.0,) * TOTAL,
        seconds=0.0,
    )
    model = network(10, certified=(row,))
    for limit, verdict in ((0.6, "passed"), (0.61, "undecided"), (0.91, "failed")):
        assert str(judged(asked(limit, "certified"), model).verdict) == verdict
    assert judged(asked(0.0, "certified"), network(10)).verdict is GateVerdict.FAILED
    other = replace(row, method="ibp")
    assert judged(asked(0.0, "certified"), network(certified=(other,))).verdict is (
        GateVerdict.FAILED
    )


def test_a_reference_is_compared_with_sample_by_sample() -> None:
    model, reference = network(12), network(10)
    gate = judged(asked(Limit(0.05, "-")), model, reference)
    apart = Paired.of(range(90), range(88), TOTAL).interval
    assert (gate.figure.least, gate.figure.most) == pytest.approx([0.9 + end for end in apart])
    assert (gate.limit, gate.baseline) == (0.85, 0.9)
    # On the same samples the interval is narrower than each network's own.
    assert gate.figure.most - gate.figure.least < 0.1
    estimate = judged(asked(Limit(0.02, "-"), by="estimate"), model, reference)
    assert estimate.verdict is GateVerdict.PASSED
    same = judged(asked(Limit(0.0, "+"), by="estimate"), model, model)
    assert same.verdict is GateVerdict.PASSED


def test_a_factor_beside_a_reference_is_that_of_its_accuracy() -> None:
    gate = judged(asked(Limit(0.95, "*")), network(12), network(10))
    assert (gate.limit, gate.baseline) == (pytest.approx(0.95 * 0.9), 0.9)
    own = np.arange(TOTAL) < 88
    its = Estimate.share(np.arange(TOTAL) < 90, "test")
    apart = Estimate.share(own, "test").minus(its.times(0.95))
    assert (gate.figure.least, gate.figure.most) == pytest.approx(
        (gate.limit + apart.lower, gate.limit + apart.upper)
    )
    assert gate.verdict is GateVerdict.UNDECIDED
    assert judged(asked(Limit(0.8, "*")), network(12), network(10)).verdict is GateVerdict.PASSED
    assert judged(asked(Limit(1.2, "*")), network(12), network(10)).verdict is GateVerdict.FAILED


@pytest.mark.parametrize("metric", ["residual", "app"])
def test_what_a_shift_takes_is_compared_sample_by_sample(metric: Any) -> None:
    """Of one corruption, by hand; of several, the means of their ends."""

    def parts(clean: int, wrong: int) -> Estimate:
        right = [Estimate.share(np.arange(TOTAL) < TOTAL - each, "test") for each in (clean, wrong)]
        found = right[0].minus(right[1]) if metric == "residual" else right[1].over(right[0])
        assert found is not None
        return found

    model = network(10, corruptions=CORRUPTED)
    worse = (corruption("noise", 1, 25), corruption("noise", 2, 45), corruption("blur", 1, 12))
    reference = network(8, corruptions=worse)
    needed = asked(Limit(0.0, "+"), "noise", metric=metric)
    gate, apart = judged(needed, model, reference), []
    for own, its in zip(CORRUPTED, worse, strict=True):
        assert own.wrong is not None
        assert its.wrong is not None
        apart.append(parts(10, len(own.wrong)).minus(parts(8, len(its.wrong))))
    assert gate.baseline is not None
    for found, side in ((gate.figure.least, "lower"), (gate.figure.most, "upper")):
        first, second, third = (getattr(each, side) for each in apart)
        assert found == pytest.approx(gate.baseline + ((first + second) / 2 + third) / 2)
    assert gate.limit == gate.baseline
    assert gate.figure.least < gate.figure.estimate < gate.figure.most
    # By far better or worse than the reference is decided.
    good, bad = network(10, corruptions=good_rows(12)), network(10, corruptions=good_rows(80))
    assert judged(needed, good, bad).verdict is GateVerdict.PASSED
    assert judged(needed, bad, good).verdict is GateVerdict.FAILED


def good_rows(wrong: int) -> tuple[CorruptionRow, ...]:
    return tuple(replace(row, wrong=rows(wrong)[1]) for row in CORRUPTED)


@pytest.mark.parametrize("by", ["interval", "estimate"])
@pytest.mark.parametrize("metric", ["accuracy", "residual", "app"])
@pytest.mark.parametrize("limit", [Limit(0.1, "+"), Limit(1.0, "*"), Limit(0.1, "-")])
def test_what_is_missing_passes_only_what_would_pass_whatever_it_is(
    metric: Any, by: Any, limit: Limit
) -> None:
    needed = asked(limit, "noise", metric=metric, by=by)
    levels = [network(10, corruptions=good_rows(wrong)) for wrong in (12, 80)]
    passed = 0
    for model, reference, lost in product(levels, levels, (0, 2)):
        for missing in (model, reference):
            kept = tuple(row for k, row in enumerate(missing.corruptions) if k != lost)
            verdicts = []
            for wrong in (None, 0, TOTAL):
                row = () if wrong is None else (replace(CORRUPTED[lost], wrong=rows(wrong)[1]),)
                part = replace(missing, corruptions=(*kept, *row))
                pair = (part, reference) if missing is model else (model, part)
                verdicts.append(judged(needed, *pair).verdict is GateVerdict.PASSED)
            assert (verdicts[1] and verdicts[2]) or not verdicts[0]
            passed += verdicts[1]
    assert passed, "a law about nothing"


def test_no_quotient_of_no_right_samples_passes() -> None:
    needed = asked(Limit(0.0, "+"), "noise", metric="app")
    good, nothing = (network(clean, corruptions=good_rows(12)) for clean in (10, TOTAL))
    assert judged(needed, nothing, good).verdict is GateVerdict.FAILED
    assert judged(needed, good, nothing).verdict is GateVerdict.FAILED


def other(
    wrong: int, samples: int = 50, name: str = "photos", among: tuple[int, int] | None = None
) -> ShiftRow:
    """Another data set, whose last samples are wrong; ``among``: right of all clean ones."""
    classified = Classified(((samples - wrong, wrong), (0, 0)), (Bin(samples, 1, 1.0),))
    return ShiftRow(
        shift=name,
        data=f"{name}.npz",
        samples_sha256=name[0] * 64,
        samples=samples,
        available=samples,
        classes=None if among is None else 2,
        classified=classified,
        clean_right=None if among is None else among[0],
        clean_samples=None if among is None else among[1],
        seconds=0.0,
        wrong=tuple(range(samples - wrong, samples)),
    )


def about_others(limit: Limit | float, *sizes: int, **changes: Any) -> AskedRequirement:
    names = ("photos", "sketches")[: len(sizes)]
    return replace(
        asked(limit, shifts=names, **changes),
        shifts={n: frozenset(range(k)) for n, k in zip(names, sizes, strict=True)},
    )


def test_other_data_have_samples_of_their_own() -> None:
    model = network(10, shifts=(other(20),))
    figure = about_others(0.5, 50).figure(model)
    assert (figure.least, figure.most) == Rate(30, 50).interval
    assert (figure.estimate, figure.count) == (0.6, 50)
    both = network(10, shifts=(other(5, 20, "sketches"), other(20)))
    figure = about_others(0.5, 50, 20, by="estimate").figure(both)
    assert figure.least == figure.most == pytest.approx((0.6 + 0.75) / 2)
    assert figure.count == 70


@pytest.mark.parametrize("by", ["interval", "estimate"])
@pytest.mark.parametrize("metric", ["accuracy", "residual", "app"])
def test_other_data_that_are_missing_pass_nothing(metric: Any, by: Any) -> None:
    limit = 0.5 if metric == "residual" else 0.1
    needed = about_others(limit, 50, 20, metric=metric, by=by)
    whole = network(10, shifts=(other(5), other(2, 20, "sketches")))
    assert judged(needed, whole).verdict is GateVerdict.PASSED
    strict = about_others(0.2 if metric == "residual" else 0.7, 50, 20, metric=metric, by=by)
    for left in ((), whole.shifts[:1], whole.shifts[1:]):
        gate = judged(strict, network(10, shifts=left))
        assert gate.verdict is not GateVerdict.PASSED


def test_what_other_data_take_is_beside_independent_samples() -> None:
    model = network(10, shifts=(other(20),))
    residual = about_others(0.5, 50, metric="residual").figure(model)
    one, two = Rate(90, TOTAL), Rate(30, 50)
    reach = np.hypot(one.share - one.interval[0], two.interval[1] - two.share)
    assert residual.least == pytest.approx(0.9 - 0.6 - reach)
    assert residual.estimate == pytest.approx(0.3)
    app = about_others(0.5, 50, metric="app").figure(model)
    assert app.estimate == pytest.approx(0.6 / 0.9)
    assert app.least < app.estimate < app.most


def test_clean_accuracy_is_that_among_the_same_classes() -> None:
    model = network(10, shifts=(other(20, among=(40, 40)),))
    residual = about_others(0.5, 50, metric="residual", by="estimate").figure(model)
    assert residual.least == residual.most == pytest.approx(1 - 0.6)
    # Accuracy needs none of it.
    without = network(10, shifts=(other(20, among=(0, 0)),))
    assert about_others(0.5, 50).figure(without).known
    for metric in ("residual", "app"):
        gate = judged(about_others(0.5, 50, metric=metric), without)
        assert gate.verdict is GateVerdict.FAILED


def test_networks_are_compared_on_the_samples_of_other_data() -> None:
    model, reference = network(10, shifts=(other(20),)), network(10, shifts=(other(22),))
    gate = judged(about_others(Limit(0.0, "+"), 50), model, reference)
    apart = Paired.of(range(28), range(30), 50).interval
    assert (gate.figure.least, gate.figure.most) == pytest.approx([28 / 50 + end for end in apart])
    # What is about other samples has nothing in common, and is told less well apart.
    changed = replace(other(22), samples_sha256="0" * 64)
    loose = judged(about_others(Limit(0.0, "+"), 50), model, network(10, shifts=(changed,)))
    assert loose.figure.least < gate.figure.least


@pytest.mark.parametrize("by", ["interval", "estimate"])
def test_what_a_reference_lacks_makes_no_limit_easier(by: Any) -> None:
    needed = asked(Limit(0.0, "+"), "noise", by=by)
    model = network(corruptions=CORRUPTED)
    assert judged(needed, model, network(corruptions=())).verdict is not GateVerdict.PASSED
    gate = judged(needed, model, None)
    assert gate.verdict is GateVerdict.FAILED
    assert isnan(gate.limit)
    with_nothing = replace(network(), clean=())
    assert judged(needed, model, with_nothing).verdict is GateVerdict.FAILED


def test_a_class_is_judged_by_its_own_samples() -> None:
    figure = asked(0.5, own=frozenset(range(80, 100)), by="estimate").figure(network(10))
    assert (figure.least, figure.count) == (0.5, 20)
    figure = asked(0.5, "noise", own=frozenset(range(80, 100)), metric="residual").figure(
        network(10, corruptions=CORRUPTED)
    )
    assert figure.known
    assert not asked(0.5, own=frozenset()).figure(network(10)).known


def test_no_predictions_pass_nothing() -> None:
    gate = judged(asked(0.0), replace(network(), clean=()))
    assert gate.verdict is GateVerdict.FAILED


def test_a_property_that_nobody_answers_passes_nothing() -> None:
    specification = Specification(properties=(PropertyRequirement(name="p", path=Path("p")),))
    settings: dict[str, Any] = {"sigmas": (0.05,), "count": 3, "specification": specification}
    with pytest.raises(BadSetting, match="nobody answers"):
        evaluate("iris", **settings)
    for holds, verdict in ((True, "passed"), (False, "failed"), (None, "undecided")):
        found = evaluate("iris", **settings, answer=lambda *asked, holds=holds: holds)
        assert [str(gate.verdict) for gate in found.gates] == [verdict]


def test_usual_severities_are_those_of_the_request() -> None:
    needs = (
        Requirement(name="one", limit=Limit(0.5), corruptions=("flip",), severities=(1,)),
        Requirement(name="usual", limit=Limit(0.1), corruptions=("contrast",), by="estimate"),
    )
    found = evaluate(
        "digits",
        count=30,
        severities=(2,),
        specification=Specification(requirements=needs),
    )
    rows = [row for row in found.models[0].corruptions if row.corruption == "contrast"]
    (two,) = [row.classified.accuracy.share for row in rows if row.severity == 2]
    assert found.gates[1].figure.least == two


def test_levels_that_a_requirement_chooses_are_all_met() -> None:
    levels = "brightness-factor(levels=(0.6, 0.8, 0.9, 1.1, 1.2, 1.4))"
    needs = (
        Requirement(name="all", limit=Limit(0.1), corruptions=(levels,), by="estimate"),
        Requirement(
            name="one", limit=Limit(0.1), corruptions=(levels,), severities=(1,), by="estimate"
        ),
        Requirement(
            name="drawn", limit=Limit(0.1), corruptions=("darken( severity=any )",), by="estimate"
        ),
    )
    found = evaluate("digits", count=30, specification=Specification(requirements=needs))
    rows = {
        row.severity: row.classified.accuracy.share
        for row in found.models[0].corruptions
        if row.corruption == levels
    }
    assert sorted(rows) == [1, 2, 3, 4, 5, 6]
    every, one, drawn = found.gates
    assert every.figure.least == pytest.approx(sum(rows.values()) / 6)
    assert one.figure.least == rows[1]
    assert drawn.figure.known
    wrong = Requirement(name="w", limit=Limit(0.1), corruptions=("rotation(degrees=(9, 1))",))
    with pytest.raises(BadSetting, match="requirement 'w'"):
        evaluate("digits", count=30, specification=Specification(requirements=(wrong,)))
