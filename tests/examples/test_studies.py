"""Study files of the examples: every one, with every variant, is read and counted."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import torch

from sensverify.corruptions import CORRUPTIONS
from sensverify.models.architectures import build_for
from sensverify.studies.files import read_study
from sensverify.studies.plan import plan_study

FOLDER = Path(__file__).parents[2] / "examples" / "studies"

CANDIDATES = len(CORRUPTIONS.select(("candidates",)))
"""Each in its one severity."""

# Trainings, and evaluations of all their networks. 1,458 and 486: "Measuring and improving
# robustness of deep neural networks", Appendix E.1; of ten corruptions one each, one with all, and
# with all but one, beside the standard network: Laugros, Table 3.3.
COUNTS = {
    ("beyond-conv1", None): (3, 0),
    ("beyond-conv2", None): (3, 0),
    ("digits-measures", None): (32, 32 * (6 + 75 + 34)),
    ("digits-shifts", None): (16, 16 * (1 + 10)),
    ("figure6", None): (5, 0),
    ("figure6", "reduced"): (3, 0),
    ("imagenette-measures", None): (1458, 1458 * (6 + 70 + 34)),
    ("imagenette-measures", "adversarial"): (486, 486 * (6 + 70 + 34)),
    ("mnist-shifts", None): (13, 13 * 56),
    ("table1", None): (12, 0),
    ("table1", "reduced"): (12, 0),
    ("tables2-3", None): (12, 0),
    ("tables2-3", "reduced"): (12, 0),
    ("tables2-3", "longer"): (4, 0),
    ("thesis-attacks", None): (5, 5 * (12 + 48)),
    ("thesis-corruptions", None): (22, 22 * (12 + 48)),
    ("thesis-m-tlat", None): (7, 7 * (7 + 95)),
    ("thesis-overlap", None): (16, 16 * 75),
    ("thesis-overlap", "candidates"): (CANDIDATES + 1, (CANDIDATES + 1) * CANDIDATES),
}

OTHERS = "nas-"
"""Files of searches begin so; they have tests of their own."""


def test_every_file_and_variant_is_here() -> None:
    found = set()
    for path in FOLDER.glob("*.toml"):
        if not path.stem.startswith(OTHERS):
            variants = tomllib.loads(path.read_text()).get("variants", {})
            found |= {(path.stem, each) for each in (None, *variants)}
    assert found == set(COUNTS)


@pytest.mark.parametrize(("name", "variant"), COUNTS)
def test_work_is_counted(name: str, variant: str | None) -> None:
    plan = plan_study(read_study(FOLDER / f"{name}.toml", variant=variant))
    assert (plan.trainings, plan.evaluations) == COUNTS[name, variant]
    assert not plan.twins


@pytest.mark.parametrize(
    "name", ["imagenette-measures", "thesis-attacks", "thesis-m-tlat", "thesis-overlap"]
)
def test_models_are_of_the_size_of_the_images(name: str) -> None:
    study = read_study(FOLDER / f"{name}.toml")
    size = int(study.data.partition("(size=")[2].rstrip(")"))
    for model in study.all_models:
        # Shapes alone.
        with torch.device("meta"):
            module = build_for(model, (3, size, size), 10)
            assert module.eval()(torch.zeros(1, 3, size, size)).shape == (1, 10)


def test_all_settings_of_the_paper() -> None:
    """486 settings differ in six things."""
    study = read_study(FOLDER / "imagenette-measures.toml")
    parts = [each.name.split("_") for each in study.runs]
    assert [len({each[place] for each in parts}) for place in range(4)] == [6, 3, 3, 9]
    assert {each.loss for each in study.runs} == {"cross-entropy"}
    adversarial = read_study(FOLDER / "imagenette-measures.toml", variant="adversarial")
    assert all("attack=fgsm" in each.loss for each in adversarial.runs)
    assert {each.settings.sharpness for each in adversarial.runs} == {None}
