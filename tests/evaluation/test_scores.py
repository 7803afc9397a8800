"""Curves and scores that follow from rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from sensverify.classification.predictions import Classified, classify
from sensverify.classification.rates import Rate
from sensverify.evaluation.curves import (
    attack_curve,
    certified_curve,
    clean_rate,
    middle_radius,
    success_rate,
    worst_curve,
)
from sensverify.evaluation.results import (
    AttackRow,
    CertifiedRow,
    CleanRow,
    CorruptionRow,
    Evaluation,
    ModelEvaluation,
    SequenceRow,
)
from sensverify.evaluation.scores import corruption_scores, sequence_scores, summarise
from sensverify.models.loading import ModelFacts

SAMPLES = 10


def counted(wrong: int) -> Classified:
    """Two classes, all samples of class 0, some of them classified as 1."""
    outputs = torch.zeros(SAMPLES, 2)
    outputs[:, 0] = 1.0
    outputs[:wrong, 1] = 2.0
    return classify(outputs, torch.zeros(SAMPLES, dtype=torch.int64))


def attacked(
    name: str, radius: float | None, reach: Sequence[float | None], *, sure: bool = True
) -> AttackRow:
    broken = tuple(i for i, each in enumerate(reach) if each is not None)
    return AttackRow(
        attack=name,
        radius=radius,
        classified=counted(len(broken)),
        broken=broken,
        reach=tuple(reach),
        l2=tuple(reach),
        linf=tuple(reach),
        seconds=0.0,
    )


def reaches(*known: float) -> list[float | None]:
    return [*known, *[None] * (SAMPLES - len(known))]


def corrupted(name: str, severity: int, wrong: int) -> CorruptionRow:
    return CorruptionRow(
        corruption=name,
        severity=severity,
        parameter="",
        classified=counted(wrong),
        msd=None,
        source="computed",
        seconds=0.0,
    )


def model(name: str = "net", *, wrong: int = 1, **rows: object) -> ModelEvaluation:
    clean = CleanRow(part="test", classified=counted(wrong), wrong=tuple(range(wrong)), seconds=0.0)
    facts = ModelFacts(name, (), "", "", (1,), (2,), 1, None)
    return replace(ModelEvaluation(model=facts, clean=(clean,)), **rows)  # type: ignore[arg-type]


def evaluation(*models: ModelEvaluation, **values: object) -> Evaluation:
    made = Evaluation(
        models=models,
        data="",
        samples=SAMPLES,
        available=SAMPLES,
        chosen="",
        train_samples=0,
        classes=(),
        radii=(0.1, 0.2),
        radius_unit="",
        clip=None,
        samples_sha256="0" * 64,
        labels=(0,) * SAMPLES,
    )
    return replace(made, **values)  # type: ignore[arg-type]


def counts(curve: Sequence[object]) -> list[tuple[float, int]]:
    return [(point.radius, point.rate.count) for point in curve]  # type: ignore[attr-defined]


ATTACKS = (
    attacked("a", 0.2, reaches(0.0, 0.2, 0.2, 0.2)),
    attacked("a", 0.1, reaches(0.0, 0.1)),
    attacked("b", 0.1, [0.0, None, None, None, None, *[0.1] * 2, *[None] * 3]),
    attacked("cw", None, [0.0, None, 0.15, *[None] * 7]),
)


def test_a_curve_begins_with_the_clean_accuracy_and_is_ascending() -> None:
    net = model(attacks=ATTACKS)
    assert counts(attack_curve(net, "a")) == [(0.0, 9), (0.1, 8), (0.2, 6)]
    assert counts(attack_curve(net, "b")) == [(0.0, 9), (0.1, 7)]


def test_an_attack_without_a_radius_is_shown_at_those_of_the_others() -> None:
    assert counts(attack_curve(model(attacks=ATTACKS), "cw")) == [(0.0, 9), (0.1, 9), (0.2, 8)]


def test_the_worst_of_all_attacks_and_of_smaller_radii() -> None:
    net = model(attacks=ATTACKS)
    worst = worst_curve(net, (0.2, 0.1))
    assert counts(worst) == [(0.0, 9), (0.1, 6), (0.2, 4)]
    for name in ("a", "b", "cw"):
        for point in attack_curve(net, name):
            assert next(w for w in worst if w.radius == point.radius).rate.count <= point.rate.count


def test_the_worst_is_not_said_where_nothing_was_tried() -> None:
    assert counts(worst_curve(model(attacks=ATTACKS[:1]), (0.1, 0.2))) == [(0.0, 9), (0.2, 6)]
    assert counts(worst_curve(model(), (0.1, 0.2))) == [(0.0, 9)]


def test_a_certified_curve() -> None:
    rows = tuple(
        CertifiedRow(
            method="crown",
            radius=radius,
            guarantee="SOUND",
            certified=certified,
            log_volumes=(None,) * SAMPLES,
            seconds=0.0,
        )
        for radius, certified in ((0.2, (3,)), (0.1, (3, 4)))
    )
    assert counts(certified_curve(model(certified=rows), "crown")) == [(0, 9), (0.1, 2), (0.2, 1)]


def test_success_is_a_share_of_the_samples_that_were_right() -> None:
    assert success_rate(model(attacks=ATTACKS), ATTACKS[0]) == Rate(3, 9)
    assert success_rate(model(wrong=SAMPLES), attacked("a", 0.1, reaches(*[0.0] * 10))) is None


def test_success_is_a_share_of_all_samples_where_that_is_asked_for() -> None:
    assert success_rate(model(attacks=ATTACKS), ATTACKS[0], of_all=True) == Rate(4, 10)
    rows = attacked("a", 0.1, reaches(*[0.0] * 10))
    assert success_rate(model(wrong=SAMPLES), rows, of_all=True) == Rate(10, 10)


def test_scores_of_a_corruption() -> None:
    """Clean .9; corrupted .8 and .4, mean .6: residual .3, APP 2/3."""
    net = model(corruptions=(corrupted("fog", 1, 2), corrupted("fog", 5, 6)))
    other = model("ref", wrong=0, corruptions=(corrupted("fog", 1, 1), corrupted("fog", 5, 3)))
    (score,) = corruption_scores(net, other)
    assert score.accuracy == pytest.approx(0.6)
    assert score.residual == pytest.approx(0.3)
    assert score.app == pytest.approx(2 / 3)
    assert score.error_ratio == pytest.approx(100 * 8 / 4)
    assert score.relative_error_ratio == pytest.approx(100 * 6 / 4)
    (same,) = corruption_scores(other, other)
    assert (same.error_ratio, same.relative_error_ratio) == (pytest.approx(100), pytest.approx(100))


def test_only_severities_that_both_have_are_compared() -> None:
    net = model(corruptions=(corrupted("fog", 1, 2), corrupted("fog", 5, 6)))
    other = model("ref", corruptions=(corrupted("fog", 1, 4),))
    assert corruption_scores(net, other)[0].error_ratio == pytest.approx(50)
    assert corruption_scores(net, model("ref"))[0].error_ratio is None


def test_what_has_no_ratio_is_none() -> None:
    still = model("ref", wrong=0, corruptions=(corrupted("fog", 1, 0),))
    net = model(wrong=SAMPLES, corruptions=(corrupted("fog", 1, 2),))
    (score,) = corruption_scores(net, still)
    assert score.app is None
    assert score.error_ratio is None
    assert score.relative_error_ratio is None


def test_the_middle_radius_is_the_lower_of_two() -> None:
    assert middle_radius(evaluation(model(), radii=(0.1, 0.2, 0.3))) == 0.2
    assert middle_radius(evaluation(model(), radii=(0.01, 0.02, 0.05, 0.1, 0.2, 0.3))) == 0.05
    assert middle_radius(evaluation(model(), radii=())) is None


def test_a_summary() -> None:
    train = CleanRow(part="train", classified=counted(0), wrong=(), seconds=0.0)
    rates = flips(("tilt", 0.1), ("scale", 0.3))
    net = model(attacks=ATTACKS, sequences=rates, corruptions=(corrupted("fog", 1, 2),))
    net = replace(net, clean=(*net.clean, train))
    (found,) = summarise(evaluation(net, reference="net"))
    assert found.model == "net"
    assert found.clean == clean_rate(net) == Rate(9, 10)
    assert found.train == Rate(10, 10)
    assert found.gap == pytest.approx(0.1)
    assert found.worst is not None
    assert (found.worst.radius, found.worst.rate) == (0.1, Rate(6, 10))
    assert found.certified is None
    assert found.flip_rate == pytest.approx(0.2)
    assert found.mce == pytest.approx(100)
    assert found.effective is None
    assert found.rms_calibration == net.clean[0].classified.rms_calibration_error


def flips(*rates: tuple[str, float]) -> tuple[SequenceRow, ...]:
    return tuple(
        SequenceRow(
            sequence=name, frames=3, samples=5, flip_rate=rate, against="first", seconds=0.0
        )
        for name, rate in rates
    )


def test_flip_rates_are_divided_by_those_of_the_reference() -> None:
    """Sequence by sequence, and then averaged; where the reference never flips there is none."""
    one = model("one", sequences=flips(("tilt", 0.1), ("scale", 0.4), ("fog", 0.0)))
    other = model("other", sequences=flips(("fog", 0.2), ("scale", 0.1), ("tilt", 0.3)))
    found = sequence_scores(other, one)
    assert [each.sequence for each in found] == ["fog", "scale", "tilt"]
    assert [each.flip_ratio for each in found] == [None, pytest.approx(25), pytest.approx(300)]
    first, second = summarise(evaluation(one, other, reference="one"))
    assert first.mfr == pytest.approx(100)
    assert second.mfr == pytest.approx((25 + 300) / 2)
    assert [each.mfr for each in summarise(evaluation(one, other))] == [None, None]
    alone = model("alone", sequences=flips(("snow", 0.2)))
    assert summarise(evaluation(one, alone, reference="one"))[1].mfr is None


def test_effective_robustness_is_taken_against_the_line_of_the_others() -> None:
    """The others lie on corrupted = clean - .2; a fourth one at (.7, .6) lies .1 above."""
    others = [
        model(name, wrong=wrong, corruptions=(corrupted("fog", 1, wrong + 2),))
        for name, wrong in (("a", 0), ("b", 2), ("c", 4))
    ]
    better = model("d", wrong=3, corruptions=(corrupted("fog", 1, 4),))
    found = summarise(evaluation(*others, better))
    assert found[3].effective == pytest.approx(0.1)
    assert all(each.effective is not None for each in found)
    assert all(each.effective is None for each in summarise(evaluation(*others[:2])))


def test_a_tie_that_one_row_has_right_and_another_one_wrong() -> None:
    """FinishedTasks on two machines: what is wrong without an attack is never right under one."""
    rows = (attacked("a", 0.1, [None, 0.1, *[None] * 8]), attacked("cw", None, [None] * SAMPLES))
    found = model(attacks=rows)
    assert counts(attack_curve(found, "a")) == [(0.0, 9), (0.1, 8)]
    assert counts(attack_curve(found, "cw")) == [(0.0, 9), (0.1, 9)]
    assert counts(worst_curve(found, [0.1])) == [(0.0, 9), (0.1, 8)]
    assert success_rate(found, rows[0]) == Rate(1, 9)
    assert success_rate(found, rows[1]) == Rate(0, 9)


def test_calibration_under_a_corruption_is_the_mean_over_its_levels() -> None:
    rows = (corrupted("noise", 1, 8), corrupted("noise", 2, 4))
    (score,) = corruption_scores(model("net", corruptions=rows))
    errors = [row.classified.rms_calibration_error for row in rows]
    assert errors[0] != errors[1]
    assert score.rms_calibration == pytest.approx(sum(errors) / 2)
