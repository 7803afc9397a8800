"""Which tasks a request comes down to, and how long they may take."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sensverify.attacks import Fgsm, Pgd, Square, Worst
from sensverify.bounds import Ibp
from sensverify.errors import BadSetting, SensverifyError
from sensverify.evaluation.plan import Plan
from sensverify.evaluation.prepared import prepare_evaluation
from sensverify.evaluation.request import EvaluateRequest
from sensverify.measures.catalog import DEFAULT_MEASURES


def plan(model: str | Path, **asked: Any) -> Plan:
    return prepare_evaluation(EvaluateRequest(models=(str(model),), **asked)).plan


def test_by_default_everything_is_asked_once() -> None:
    tasks = plan("mnist-conv2").tasks
    keys = [task.key for task in tasks]
    assert len(set(keys)) == len(keys)
    assert keys[0] == "clean/test"
    assert {task.name for task in tasks if task.kind == "measure"} == set(DEFAULT_MEASURES)
    assert sum(task.kind == "corruption" for task in tasks) == 15 * 5
    assert sum(task.kind == "attack" for task in tasks) == 4 * 6
    assert {task.name for task in tasks if task.kind == "certified"} == {"crown"}


def test_what_is_quick_comes_first() -> None:
    keys = [task.key for task in plan("mnist-conv2").tasks]
    for earlier, later in (
        ("measure/l2", "certified/crown/0.05"),
        ("certified/crown/0.3", "attack/fgsm/0.01"),
        ("attack/fgsm/0.3", "attack/pgd/0.01"),
        ("corruption/fog/5", "measure/hessian-trace"),
    ):
        assert keys.index(earlier) < keys.index(later)


@pytest.mark.parametrize(
    ("asked", "kind", "names"),
    [
        ({"attacks": ("pgd( steps = 5 )", "pgd(steps=5)")}, "attack", ["pgd(steps=5)"]),
        (
            {"certify": ("ibp", "alpha-crown(steps=3)")},
            "certified",
            ["ibp", "alpha-crown(steps=3)"],
        ),
        ({"corruptions": ("fog", "shifts")}, "corruption", ["fog", "darken"]),
        ({"measures": ("sensitivity-ibp", "l2")}, "measure", ["l2", "sensitivity-ibp"]),
        ({"sequences": ("tilt", "scale")}, "sequence", ["tilt", "scale"]),
        ({"attacks": ()}, "attack", []),
        ({"measures": ()}, "measure", []),
    ],
)
def test_names_and_groups(asked: dict[str, Any], kind: str, names: list[str]) -> None:
    found = [task.name for task in plan("mnist-conv2", **asked).tasks if task.kind == kind]
    assert list(dict.fromkeys(found))[: len(names)] == names
    assert bool(found) == bool(names)


def test_only_severities_that_there_are() -> None:
    tasks = plan("mnist-conv2", corruptions=("fog",), severities=(5, 9, 2, 5)).tasks
    assert [task.at for task in tasks if task.kind == "corruption"] == [2, 5]


def test_several_attacks_as_one() -> None:
    """As the list of attacks shows it, and with settings of their own."""
    text = "worst(attacks=fgsm + pgd(steps=3)+square(queries=5))"
    found = plan("iris", attacks=(text, "worst(attacks=fgsm)", "worst")).attacks
    name = "worst(attacks=fgsm + pgd(steps=3) + square(queries=5))"
    assert list(found) == [name, "worst(attacks=fgsm)", "worst"]
    assert found[name] == Worst(attacks=(Fgsm(), Pgd(steps=3), Square(queries=5)))
    assert found["worst"] == Worst()
    # What a report calls it can be asked for again.
    assert plan("iris", attacks=(name,)).attacks == {name: found[name]}
    for wrong, message in (
        ("worst(attacks=2*fgsm)", "expected"),
        ("worst(attacks=fgsm+nothing)", "no attack 'nothing'"),
        ("worst(attacks=fgsm+cw)", "cw is none"),
        ("worst(attacks=worst(attacks=fgsm))", "single attacks"),
        ("worst(attacks=fgsm, steps=3)", "no setting 'steps'"),
        ("worst(attacks=)", "expected a name"),
        ("worst(steps=3)", "no setting 'steps'"),
    ):
        with pytest.raises(SensverifyError, match=message):
            plan("iris", attacks=(wrong,))


def test_settings_that_nobody_gave_are_part_of_what_a_cell_is() -> None:
    """Another version may have other defaults."""
    prepared = prepare_evaluation(EvaluateRequest(models=("iris",), corruptions=(), measures=()))
    (who,), tasks = prepared.models, {task.key: task for task in prepared.plan.tasks}
    attack = next(task for key, task in tasks.items() if key.startswith("attack/pgd"))
    proof = next(task for key, task in tasks.items() if key.startswith("certified/crown"))
    changes: dict[str, Any] = {
        "attacks": {**prepared.plan.attacks, "pgd": Pgd(steps=41)},
        "methods": {"crown": Ibp()},
    }
    other = replace(prepared, plan=replace(prepared.plan, **changes))
    assert prepared.key(who, attack) != other.key(who, attack)
    assert prepared.key(who, proof) != other.key(who, proof)
    assert prepared.key(who, tasks["clean/test"]) == other.key(who, tasks["clean/test"])


def test_levels_that_somebody_chose_are_all_met() -> None:
    levels = "brightness-factor(levels=(0.7, 0.8, 0.9, 1.1, 1.2, 1.3))"
    asked = (levels, "rotation( severity =any)", "fog")
    tasks = plan("mnist-conv2", corruptions=asked, severities=(2,)).tasks
    found = [(task.name, task.at) for task in tasks if task.kind == "corruption"]
    assert found == [
        *((levels, severity) for severity in range(1, 7)),
        *(("rotation(severity=any)", 1), ("fog", 2)),
    ]
    with pytest.raises(BadSetting):
        plan("mnist-conv2", corruptions=("rotation(degrees=(9, 1))",))
