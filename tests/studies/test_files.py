"""Study files: what they say, what is refused, and those among the examples."""

from __future__ import annotations

import copy
import tomllib
from pathlib import Path
from typing import Any

import pytest

from sensverify.errors import BadSetting, InputError, UnknownName
from sensverify.studies.files import parse_study, read_study
from sensverify.training.losses.recipes import resolve_loss

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "studies").glob("*.toml"))
DOCUMENT: dict[str, Any] = {
    "study": {"title": "T", "data": "iris", "model": "iris", "seeds": [3, 1]},
    "settings": {"epochs": 9, "sigma": 0.1, "optimiser": "sgd(lr=1)"},
    "runs": [
        {"name": "base", "loss": "base"},
        {"name": "other", "loss": "cross-entropy", "settings": {"epochs": 7, "batch_size": 5}},
    ],
    "variants": {
        "small": {
            "seeds": [2],
            "title": "S",
            "settings": {"epochs": 1, "sigma": "none"},
            "runs": {"base": {"loss": "mixup", "settings": {"epochs": 2}}},
        }
    },
    "paper": {"base": {"source": "Somebody", "test": {"ERR": 0.5, "SENSE": 7}}},
}


def with_change(path: str, value: Any) -> dict[str, Any]:
    """The document with one value changed, by its place such as ``runs.0.name``, or left out."""
    document: dict[str, Any] = copy.deepcopy(DOCUMENT)
    *way, last = path.split(".")
    place: Any = document
    for step in way:
        place = place[int(step)] if isinstance(place, list) else place[step]
    if value is None:
        del place[last]
    else:
        place[int(last) if isinstance(place, list) else last] = value
    return document


def test_as_it_stands() -> None:
    study = parse_study(DOCUMENT)
    assert [each.key for each in study.trainings] == [
        *("base-seed3", "other-seed3", "base-seed1", "other-seed1")
    ]
    base, other = study.runs
    assert (base.settings.epochs, other.settings.epochs, other.settings.batch_size) == (9, 7, 5)
    assert other.settings.optimiser == "sgd(lr=1)"
    assert other.own == {"epochs": 7, "batch_size": 5}
    assert not base.own
    assert [each.settings.seed for each in study.trainings] == [3, 3, 1, 1]
    assert study.published["base"].numbers == {"test": {"ERR": 0.5, "SENSE": 7.0}}
    assert (study.figures, study.variant) == (("course",), None)


def test_a_variant_wins() -> None:
    study = parse_study(DOCUMENT, variant="small")
    base, other = study.runs
    assert (study.title, study.seeds, study.variant) == ("S", (2,), "small")
    assert (base.loss, base.settings.epochs, base.own) == ("mixup", 2, {"epochs": 2})
    # Also over what the study says of one run.
    assert (other.settings.epochs, other.own) == (1, {"batch_size": 5})
    assert base.settings.sigma is None


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("study.titel", "x", "did you mean 'title'"),
        ("stduy", {}, "did you mean 'study'"),
        ("study.title", None, 'needs title = "text", got nothing'),
        ("study.data", 3, 'needs data = "text", got 3'),
        ("study.seeds", [], "different whole numbers"),
        ("study.seeds", [1, 1], "different whole numbers"),
        ("study.seeds", [True], "different whole numbers"),
        ("study.seeds", 3, "different whole numbers"),
        ("study.seeds", [2**63], "below 2 to the 63"),
        ("settings.optimiser", "adamm", "run 'base': there is no optimiser 'adamm'"),
        ("settings.optimiser", "adam(lr=-1)", "run 'base': optimiser 'adam': lr takes"),
        ("settings.schedule", "cosinee", "run 'base': there is no schedule"),
        ("settings.sharpness", "samm", "run 'base': there is no sharpness 'samm'"),
        ("settings.precision", "16-mixed", "run 'base': precision 16-mixed needs"),
        (
            "runs.1.loss",
            "sensitivity(target=-1)",
            "'sensitivity': target takes",
        ),
        ("runs.1.loss", "robust(bounds=milp)", "without gradients"),
        ("study.figures", ["corse"], "no analysis 'corse'"),
        ("study.standardise", "yes", "true or false"),
        ("settings.epoch", 3, "did you mean 'epochs'"),
        ("settings.epochs", 0, "run 'base': `epochs` takes"),
        ("settings.epochs", "3", "run 'base': `epochs` takes"),
        ("settings.seed", 3, "has its seeds in [study]"),
        ("settings.sigma", -1, "`sigma` takes"),
        ("settings", 3, "needs a table [settings]"),
        ("runs", [], "at least one table [[runs]]"),
        ("runs", {}, "at least one table [[runs]]"),
        ("runs.0.name", "../up", "cannot be that of a folder"),
        ("runs.0.name", "other", "two runs are called 'other'"),
        ("runs.0.loss", "bsae", "run 'base': there is no"),
        ("runs.0.loss", "cross-entropy +", "run 'base'"),
        ("runs.0.lss", "base", "did you mean 'loss'"),
        ("variants.small.setings", {}, "did you mean 'settings'"),
        ("variants.small.runs.bse", {}, "did you mean 'base'"),
        ("paper.bose", {}, "did you mean 'base'"),
        ("paper.base.source", None, 'needs source = "text"'),
        ("paper.base.test", {"EER": 0.1}, "did you mean 'ERR'"),
        ("paper.base.test", {"ERR": 2.3}, "share from 0 to 1"),
        ("paper.base.test", {"CE": "0.1"}, "needs a number"),
        ("paper.base.test", {"CE": float("nan")}, "needs a number"),
        ("paper.base.test", {"CE": 10**400}, "needs a number"),
        ("paper.base.test", {"LOG_SENSE": 1.0}, "knows no 'LOG_SENSE'"),
    ],
)
def test_mistakes_are_named(path: str, value: Any, words: str) -> None:
    variant = "small" if path.startswith("variants") else None
    with pytest.raises(InputError) as caught:
        parse_study(with_change(path, value), variant=variant)
    assert words in str(caught.value)


def test_a_loss_that_perturbs_needs_a_radius() -> None:
    document = with_change("runs.0.loss", "sensitivity")
    assert parse_study(document)
    with pytest.raises(BadSetting, match="nothing says how far"):
        parse_study({**document, "settings": {}})


def test_an_unknown_variant() -> None:
    with pytest.raises(UnknownName, match="did you mean 'small'"):
        parse_study(DOCUMENT, variant="smal")
    with pytest.raises(UnknownName, match="it has none"):
        parse_study(with_change("variants", {}), variant="small")


@pytest.mark.parametrize("content", [b"[study", b"\xff\xfe", b"", b"x = 3"])
def test_files_that_are_no_study(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.toml"):
        read_study(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        read_study(tmp_path / "none.toml")


def test_data_files_are_beside_the_study(tmp_path: Path) -> None:
    document = with_change("study.data", "mine.npz")
    assert parse_study(document, folder=tmp_path).data == str(tmp_path / "mine.npz")


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_the_examples_are_studies(path: Path) -> None:
    variants = tomllib.loads(path.read_text(encoding="utf-8")).get("variants", {})
    for variant in (None, *variants):
        study = read_study(path, variant=variant)
        for each in study.runs:
            assert resolve_loss(each.loss).stages


def test_the_examples_are_there() -> None:
    for name in ("figure6", "table1", "tables2-3"):
        (path,) = (path for path in EXAMPLES if path.stem == name)
        assert len(read_study(path, variant="reduced").seeds) == 3
