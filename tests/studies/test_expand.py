"""Expansions: which trainings follow from some shifts, and with which augmentation and loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sensverify.corruptions import CORRUPTIONS
from sensverify.errors import BadSetting, InputError
from sensverify.scores.transfer import WITHOUT
from sensverify.studies.collect import collect
from sensverify.studies.files import parse_study
from sensverify.studies.run import run_study
from sensverify.studies.study import StudyRun
from sensverify.training.augment import Augmentation

TWO = {"corruptions": ["rotation", "shear"]}


def document(expand: Any, **settings: Any) -> dict[str, Any]:
    return {
        "study": {"title": "T", "data": "mnist", "model": "mlp-6", "loss": "base", "seeds": [0]},
        "settings": {"radius": 0.1, **settings},
        "expand": expand,
    }


def runs(expand: Any, **settings: Any) -> dict[str, StudyRun]:
    return {each.name: each for each in parse_study(document(expand, **settings)).runs}


def drawn(run: StudyRun) -> set[str]:
    """Corruptions that a training sees."""
    found = run.settings.augmentation
    return set() if found is None else {each.name for each in found.corruptions}


def test_the_protocol_of_all_but_one() -> None:
    names = ["rotation", "shear", "invert"]
    found = runs({"corruptions": names})
    assert list(found) == ["standard", *names, "all", *(f"{WITHOUT}{name}" for name in names)]
    assert drawn(found["standard"]) == set()
    assert drawn(found["all"]) == set(names)
    for name in names:
        assert drawn(found[name]) == {name}
        # What is held out is never met in training.
        assert drawn(found[f"{WITHOUT}{name}"]) == set(names) - {name}
    assert {each.loss for each in found.values()} == {"base"}


def test_kinds_are_chosen() -> None:
    assert list(runs({**TWO, "trainings": ["each", "standard"]})) == [
        "standard",
        "rotation",
        "shear",
    ]
    assert list(runs({"corruptions": ["shear"], "trainings": ["each"]})) == ["shear"]


def test_groups_calls_names_and_severities() -> None:
    group = sorted(CORRUPTIONS.groups())[0]
    found = runs({"corruptions": [group], "trainings": ["each"]})
    assert list(found) == list(CORRUPTIONS.select((group,)))
    named = runs(
        {"corruptions": {"weak": "rotation(severity=1)", "any": "shear"}, "severity": "2-4"}
    )
    assert named["weak"].settings.augment == "rotation(severity=1)"
    assert named["any"].settings.augment == "shear(severity='2-4')"
    for severity, text in ((3, "3"), ([1, 3], "(1, 3)")):
        found = runs({**TWO, "severity": severity})
        assert found["rotation"].settings.augment == f"rotation(severity={text})"
        assert Augmentation.parse(found["all"].settings.augment or "")


def test_flips_stay_and_fair_comparisons_see_as_much() -> None:
    found = runs(TWO, augment="horizontal-flip")
    assert found["standard"].settings.augment == "horizontal-flip"
    assert found["shear"].settings.augment == "horizontal-flip + shear"
    twice = runs(TWO, augment_mode="duplicate")
    assert twice["standard"].settings.augment == "clean"
    assert twice["shear"].settings.augment == "shear"


def test_attacks_take_half_of_the_cross_entropy() -> None:
    found = runs({"attacks": ["fgsm", "pgd(steps=3)"], **TWO})
    assert found["fgsm"].loss == ("0.5*cross-entropy + 1e-05*l2 + 0.5*adversarial(attack=fgsm)")
    assert found["no-fgsm"].loss == (
        "0.5*cross-entropy + 1e-05*l2 + 0.5*adversarial(attack=pgd, steps=3)"
    )
    assert found["all"].loss == (
        "0.5*cross-entropy + 1e-05*l2 + 0.25*adversarial(attack=fgsm)"
        " + 0.25*adversarial(attack=pgd, steps=3)"
    )
    assert drawn(found["all"]) == drawn(found["no-fgsm"]) == {"rotation", "shear"}
    assert found["no-shear"].loss == found["all"].loss
    assert (found["fgsm"].settings.augment, found["standard"].loss) == (None, "base")


def test_a_product_with_a_grid() -> None:
    file = {**document(TWO), "grid": {"model": ["mlp-4", "mlp-6"]}}
    del file["study"]["model"]
    found = parse_study(file).runs
    assert len(found) == 12
    assert (found[0].name, found[0].model) == ("standard_mlp-4", "mlp-4")
    assert (found[-1].name, found[-1].model) == ("no-shear_mlp-6", "mlp-6")


@pytest.mark.parametrize(
    ("expand", "words"),
    [
        ({}, "[expand] is empty"),
        ({"trainings": ["each"]}, "[expand] names no shift"),
        ({"corruptions": []}, "[expand]: corruptions needs a list of names, got []"),
        ({"corruptions": {}}, "[expand]: corruptions needs a list of names"),
        ({"corruptions": "fog"}, "[expand]: corruptions needs a list of names, got 'fog'"),
        ({"corruption": ["fog"]}, "did you mean 'corruptions'"),
        ({"corruptions": ["rotaton"]}, "did you mean 'rotation'"),
        ({"corruptions": ["horizontal-flip"]}, "[expand]: corruptions"),
        ({"corruptions": ["clean"]}, "[expand]: corruptions"),
        ({"corruptions": ["rotation(degree=3)"]}, "[expand]: corruptions"),
        ({"corruptions": ["rotation", "rotation"]}, "names 'rotation' twice"),
        ({"corruptions": ["rotation", "rotation(severity=1)"]}, "two runs are called 'rotation'"),
        ({"corruptions": ["rotation"]}, "has one shift, 'rotation'"),
        ({**TWO, "trainings": ["al"]}, "did you mean 'all'"),
        ({**TWO, "trainings": []}, "trainings needs a list"),
        ({**TWO, "severity": 9}, "[expand]: corruptions"),
        ({**TWO, "severity": True}, "severity needs"),
        ({**TWO, "attacks": ["pdg"]}, "did you mean 'pgd'"),
        ({**TWO, "attacks": ["pgd(stps=3)"]}, "[expand]: attacks"),
        ({**TWO, "corruptions": {"a b": "fog"}}, "'a b' cannot be that of a folder"),
    ],
)
def test_mistakes_are_named(expand: Any, words: str) -> None:
    with pytest.raises(InputError) as caught:
        runs(expand)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_contradicts_an_expansion() -> None:
    with pytest.raises(BadSetting, match="run 'standard': `augment` is 'rotation'"):
        runs(TWO, augment="rotation")
    with pytest.raises(BadSetting, match="both say what is trained"):
        parse_study({**document(TWO), "runs": [{"name": "a", "loss": "base"}]})
    file = document({"attacks": ["fgsm", "pgd"]})
    file["study"]["loss"] = "jacob-m"
    with pytest.raises(BadSetting, match="run 'fgsm': the loss 'jacob-m' has no single"):
        parse_study(file)
    with pytest.raises(BadSetting, match="nothing says how far"):
        runs({"attacks": ["fgsm", "pgd"]}, radius="none")


def test_an_expansion_is_trained(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random((24, 1, 8, 8), np.float32), np.arange(24) % 2
    np.savez(tmp_path / "images.npz", x_train=x, y_train=y, x_test=x[:6], y_test=y[:6])
    settings = {"epochs": 1, "batch_size": 8, "metric_samples": 0, "metric_bounds": "none"}
    file = document({"corruptions": ["invert", "rotation"]}, **settings, threads=1, pgd_steps=1)
    file["study"]["data"] = "images.npz"
    study = parse_study(file, folder=tmp_path)
    outcome = run_study(study, tmp_path / "out")
    # Of two, all but one is the other one, and is trained once.
    assert [each.run for each in outcome.entries] == ["standard", "invert", "rotation", "all"]
    assert [each.status for each in outcome.entries] == ["done"] * 4
    assert outcome.complete
    report = collect(tmp_path / "out")
    assert report.losses["rotation"]["own settings"] == "augment rotation"
    assert report.losses["no-invert"]["trained"] == "once, as rotation"
    rows = {row.name: row.values for row in report.tables[0].rows}
    assert list(rows) == [each.name for each in study.runs]
    assert rows["no-invert"] == rows["rotation"]
    assert rows["no-invert"] != rows["no-rotation"] == rows["invert"]
