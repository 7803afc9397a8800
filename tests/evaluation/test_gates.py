"""Figures of an evaluation: what an attack left out or could not see passes no gate."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sensverify.classification.predictions import Bin, Classified
from sensverify.core.gates import Limit, judge
from sensverify.evaluation.figures import figures
from sensverify.evaluation.results import (
    AttackRow,
    CertifiedRow,
    CleanRow,
    CorruptionRow,
    Missing,
    ModelEvaluation,
)
from sensverify.models.loading import ModelFacts

LABELS = (0, 0, 0, 1, 1)
OTHERS = frozenset({0.1, 0.2})


def classified(*confusion: tuple[int, int]) -> Classified:
    return Classified(confusion, (Bin(5, 4, 4.5),))


def attack(
    reach: tuple[float | None, ...], radius: float | None = 0.1, **changes: Any
) -> AttackRow:
    return AttackRow(
        attack="pgd",
        radius=radius,
        classified=classified((3, 0), (0, 2)),
        broken=tuple(k for k, each in enumerate(reach) if each is not None),
        reach=reach,
        l2=reach,
        linf=reach,
        seconds=0.0,
        **changes,
    )


def certified(*places: int, method: str = "crown", radius: float = 0.1) -> CertifiedRow:
    return CertifiedRow(
        method=method,
        radius=radius,
        guarantee="SOUND",
        certified=places,
        log_volumes=(1.0, None, -3.0, 2.0, 0.0),
        seconds=0.0,
    )


def corruption(name: str, severity: int, *confusion: tuple[int, int]) -> CorruptionRow:
    return CorruptionRow(
        corruption=name,
        severity=severity,
        parameter="",
        classified=classified(*confusion),
        msd=None,
        source="computed",
        seconds=0.0,
    )


@pytest.fixture
def model() -> ModelEvaluation:
    """Five samples: number 4 is wrong, 3 is broken at 0.1, 0 and 1 are proven."""
    return ModelEvaluation(
        model=ModelFacts("net", (), "net.onnx", "0" * 64, (2,), (2,), 6, None),
        clean=(
            CleanRow(part="test", classified=classified((3, 0), (1, 1)), wrong=(4,), seconds=0.0),
        ),
        attacks=(attack((None, None, None, 0.05, 0.0)),),
        certified=(certified(0), certified(0, 1, method="ibp")),
        corruptions=(
            corruption("fog", 1, (3, 0), (0, 2)),
            corruption("fog", 2, (0, 3), (0, 2)),
            corruption("snow", 1, (3, 0), (2, 0)),
        ),
    )


def ends(model: ModelEvaluation, **changes: Any) -> dict[str, tuple[Any, Any]]:
    found = figures(replace(model, **changes), 0.1, OTHERS)
    return {name: (figure.least, figure.most) for name, figure in found.items()}


def missing(*keys: str) -> tuple[Missing, ...]:
    return tuple(Missing(key=key, reason="not installed") for key in keys)


def test_figures(model):
    assert ends(model) == {
        "min_accuracy": (0.8, 0.8),
        "min_certified": (0.4, 0.6),
        "max_log_volume": (2.0, 2.0),
        "min_robust": (0.6, 0.6),
        "max_changed": (0.4, 0.6),
        "min_corrupted": pytest.approx(((0.7 + 0.6) / 2,) * 2),
    }


def test_a_class_has_its_own_figures(model):
    own = frozenset({3, 4})
    found = figures(model, 0.1, OTHERS, own, 1)
    ends = {name: (figure.least, figure.most, figure.count) for name, figure in found.items()}
    assert ends == {
        "min_accuracy": (0.5, 0.5, 2),
        "min_certified": (0.0, 0.0, 2),
        "max_log_volume": (2.0, 2.0, 2),
        "min_robust": (0.0, 0.0, 2),
        "max_changed": (1.0, 1.0, 2),
        "min_corrupted": (0.5, 0.5, 2),
    }


@pytest.mark.parametrize(
    ("keys", "robust"),
    [
        (("attack/cw",), (0.4, 0.6)),
        (("attack/apgd-ce/0.1",), (0.4, 0.6)),
        (("attack/apgd-ce/0.2", "certified/milp/0.1", "corruption/frost"), (0.6, 0.6)),
    ],
)
def test_an_attack_that_was_skipped_may_have_found_more(model, keys, robust):
    assert ends(model, missing=missing(*keys))["min_robust"] == robust


def test_a_gradient_that_was_not_seen_says_nothing(model):
    blind = attack((None, None, None, 0.05, 0.0), blind=(0, 2))
    assert ends(model, attacks=(blind,))["min_robust"] == (0.4, 0.6)
    seeing = attack((None,) * 5)
    assert ends(model, attacks=(blind, seeing))["min_robust"] == (0.6, 0.6)


def test_a_corruption_that_was_skipped_may_be_anything(model):
    whole = ends(model, missing=missing("corruption/frost"))["min_corrupted"]
    assert whole == pytest.approx((1.3 / 3, 2.3 / 3))
    severity = ends(model, missing=missing("corruption/snow/2"))["min_corrupted"]
    assert severity == pytest.approx(((0.7 + 0.3) / 2, (0.7 + 0.8) / 2))


def test_nothing_measured_passes_nothing(model):
    bare = replace(model, attacks=(), certified=(), corruptions=())
    found = figures(bare, 0.1, OTHERS)
    assert set(found) == {"min_accuracy"}
    limits = {"min_robust": Limit(0.0), "max_changed": Limit(1.0), "min_corrupted": Limit(0.0)}
    assert {str(gate.verdict) for gate in judge(found, limits)} == {"failed"}
    assert figures(replace(model, clean=()), 0.1, OTHERS) == {}
    nobody = figures(model, 0.1, OTHERS, frozenset(), 1)
    verdicts = judge(nobody, {"min_accuracy": Limit(0.0), "max_log_volume": Limit(9.0)})
    assert {str(gate.verdict) for gate in verdicts} == {"failed"}
