"""Grids: products with readable names that are there once, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sensverify.errors import BadSetting, InputError, UnknownName
from sensverify.runs.watch import Watch
from sensverify.studies.collect import collect
from sensverify.studies.files import parse_study
from sensverify.studies.folder import load_study
from sensverify.studies.grid import check_size, points, read_axes, slug
from sensverify.studies.run import run_study


def document(grid: dict[str, Any], **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "study": {"title": "T", "data": "iris", "model": "mlp-6", "loss": "base", "seeds": [0, 1]},
        "settings": {"sigma": 0.1, "batch_size": 60},
        "grid": grid,
        **more,
    }
    for axis in grid:
        found["study"].pop({"seed": "seeds"}.get(axis, axis), None)
    return found


def names(grid: dict[str, Any], **more: Any) -> list[str]:
    return [each.name for each in parse_study(document(grid, **more)).runs]


def test_a_product_of_everything() -> None:
    grid = {
        "model": ["mlp-6", "mlp-4-4"],
        "loss": {"plain": "base", "smooth": "cross-entropy + 0.1*sensitivity(form=log)"},
        "optimiser": ["adam(lr=0.01)", "sgd(lr=0.1)"],
        "epochs": [3, 5],
        "seed": [4, 7],
    }
    study = parse_study(document(grid))
    assert len(study.runs) == 16
    assert study.runs[0].name == "mlp-6_plain_adam-lr-0.01_epochs-3"
    assert study.runs[-1].name == "mlp-4-4_smooth_sgd-lr-0.1_epochs-5"
    assert len({each.key for each in study.trainings}) == len(study.trainings) == 32
    assert study.seeds == (4, 7)
    told = {
        (each.model, each.loss, each.settings.optimiser, each.settings.epochs, each.seed)
        for each in study.trainings
    }
    assert len(told) == 32
    last = study.runs[-1]
    assert (last.settings.epochs, last.settings.sigma, last.settings.batch_size) == (5, 0.1, 60)
    assert last.own == {"optimiser": "sgd(lr=0.1)", "epochs": 5}


def test_names_tell_what_varies() -> None:
    assert names({"epochs": [3]}) == ["base"]
    assert names({"sigma": ["none", 0.5]}, settings={}) == ["sigma-none", "sigma-0.5"]
    assert names({"clip": [[0, 1], [-1, 1]]}) == ["clip-0-1", "clip-m1-1"]
    runs = [{"name": "a"}, {"name": "b", "loss": "sm"}]
    assert names({"epochs": [1, 2]}, runs=runs) == [
        *("a_epochs-1", "a_epochs-2", "b_epochs-1", "b_epochs-2")
    ]
    assert slug("0.5*cross-entropy + 0.5*adversarial(attack=fgsm)") == (
        "0.5-cross-entropy+0.5-adversarial-attack-fgsm"
    )


def test_a_variant_replaces_axes() -> None:
    file = document({"epochs": [5, 10], "batch_size": [60, 30]}, settings={})
    file["variants"] = {"small": {"grid": {"epochs": [1, 2]}}}
    found = [each.settings.epochs for each in parse_study(file, variant="small").runs]
    assert found == [1, 1, 2, 2]


def test_data_of_a_grid_are_beside_the_study(tmp_path: Path) -> None:
    study = parse_study(document({"data": ["iris", "mine.npz"]}), folder=tmp_path)
    assert study.all_data == ("iris", str(tmp_path / "mine.npz"))
    assert [each.name for each in study.runs] == ["iris", "mine.npz"]


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ({"epoch": [3]}, "[grid] knows no 'epoch' (did you mean 'epochs'?)"),
        ({"epochs": []}, "[grid]: epochs needs a list of values, got an empty one"),
        ({"loss": {}}, "needs a list of values, got an empty one"),
        ({"epochs": 3}, "needs a list of values, got 3"),
        ({}, "[grid] is empty"),
        ({"epochs": [3, 3]}, "has 3 twice"),
        ({"loss": {"a": "base", "b": "base"}}, "has 'base' twice"),
        ({"loss": ["base", "bsae"]}, "run 'bsae': there is no"),
        ({"loss": ["base", 3]}, "needs text, got 3"),
        ({"epochs": [3, 0]}, "run 'epochs-0': `epochs` takes"),
        ({"epochs": [3, {"few": 1}]}, "[grid]: epochs"),
        ({"optimiser": ["sgd(lr=1)", "sgd(lr = 1)"]}, "would have the name of another value"),
        ({"optimiser": ["sgd", "(("]}, "makes no name"),
        ({"loss": {"../up": "base"}}, "'../up' cannot be that of a folder"),
        ({"seed": [1, "x"]}, "different whole numbers"),
        ({"sigma": [0.1, 0.2]}, "[grid] goes over sigma, and [settings] gives it, too"),
        ({"epochs": list(range(1, 502))}, "1,002 trainings (501 of epochs x 2 seeds)"),
    ],
)
def test_mistakes_are_named(grid: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_study(document(grid))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "grid", "where"),
    [
        ({"study": {"loss": "base"}}, {"loss": ["base"]}, "[study]"),
        ({"study": {"seeds": [1]}}, {"seed": [1]}, "[study]"),
        ({"study": {"model": "iris"}}, {"model": ["mlp-6"]}, "[study]"),
        ({"runs": [{"name": "a", "loss": "sm"}]}, {"loss": ["base"]}, "run 'a'"),
        ({"runs": [{"name": "a", "settings": {"epochs": 2}}]}, {"epochs": [1]}, "run 'a'"),
        ({"variants": {"v": {"seeds": [1]}}}, {"seed": [1]}, "the variant"),
        (
            {"variants": {"v": {"settings": {"epochs": 1}}}},
            {"epochs": [1]},
            "the variant's settings",
        ),
    ],
)
def test_two_answers_to_one_question(change: Any, grid: dict[str, Any], where: str) -> None:
    file = document(grid)
    file["study"] |= change.pop("study", {})
    file |= change
    with pytest.raises(BadSetting, match=r"\[grid\] goes over") as caught:
        parse_study(file, variant="v" if "variants" in file else None)
    assert f"and {where} gives it" in str(caught.value)


def test_names_that_come_twice() -> None:
    file = document({"epochs": [1, 2]}, runs=[{"name": "a"}, {"name": "a_epochs-1"}])
    assert len(parse_study(file).runs) == 4
    file["grid"] = {"epochs": {"x": 1, "x_y": 2}, "ramp": {"y_z": 0.1, "z": 0.2}}
    file["runs"] = [{"name": "a"}]
    with pytest.raises(BadSetting, match="two runs are called 'a_x_y_z'"):
        parse_study(file)


def test_the_limit_is_the_files_own() -> None:
    file = document({"epochs": list(range(1, 502))})
    file["study"]["limit"] = 1002
    assert len(parse_study(file).trainings) == 1002
    for wrong in (0, True, "many"):
        file["study"]["limit"] = wrong
        with pytest.raises(BadSetting, match="limit needs a whole number"):
            parse_study(file)
    with pytest.raises(BadSetting, match="limit = 6"):
        check_size({"runs": 2, "seeds": 3}, 5)


def test_a_run_without_a_loss() -> None:
    file = document({"epochs": [1, 2]})
    del file["study"]["loss"]
    with pytest.raises(BadSetting, match="run 'epochs-1' needs loss"):
        parse_study(file)


def test_without_axes_there_is_one_point() -> None:
    assert [each.parts for each in points(read_axes({}, "[grid]"))] == [()]
    with pytest.raises(UnknownName):
        read_axes({"name": ["x"]}, "[grid]")


def test_a_grid_is_run_and_goes_on(tmp_path: Path) -> None:
    settings = {"epochs": 1, "batch_size": 60, "metric_samples": 0, "final_samples": 10}
    settings |= {"metric_bounds": "none", "pgd_steps": 1, "threads": 1}
    file = document({"model": ["mlp-4", "mlp-6"], "loss": ["base"]}, settings=settings)
    file["study"]["seeds"] = [0]
    study = parse_study(file)
    watch = Watch()

    def stop(state: Any) -> None:
        if state.row is not None:
            watch.stop()

    first = run_study(study, tmp_path, watch=watch, progress=stop)
    assert [each.key for each in first.entries] == ["mlp-4-seed0"]
    before = (tmp_path / "runs" / "mlp-4-seed0" / "result.json").stat().st_mtime_ns
    again = run_study(study, tmp_path, resume=True)
    assert again.complete
    assert (tmp_path / "runs" / "mlp-4-seed0" / "result.json").stat().st_mtime_ns == before
    kept, _ = load_study(tmp_path)
    assert kept.deciding == study.deciding
    asked = json.loads((tmp_path / "runs" / "mlp-6-seed0" / "config.json").read_text())
    assert "mlp-6" in json.dumps(asked)
    report = collect(tmp_path)
    assert report.question.startswith("2 runs on iris with mlp-4, mlp-6, 1 seed")
    file["grid"]["model"] = ["mlp-4", "mlp-5"]
    with pytest.raises(InputError, match="holds another study"):
        run_study(parse_study(file), tmp_path, resume=True)
