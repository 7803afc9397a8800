"""Figures of requirements: intervals, references, and that what is missing passes nothing."""

from __future__ import annotations

from dataclasses import replace
from math import isnan
from pathlib import Path
from typing import Any

import pytest

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
