"""Cells in study files: an axis of models, chosen by a list, a word or a draw."""

from __future__ import annotations

from typing import Any

import pytest

from sensverify.errors import BadSetting, UnknownName
from sensverify.models.nas201 import COUNT, UNIQUE, cell_at, unique_cells
from sensverify.studies.cells import cells_table, with_cells
from sensverify.studies.files import parse_study

STUDY = {"title": "Cells", "data": "digits", "loss": "base", "seeds": [0, 1]}
EVALUATE = {"attacks": ["fgsm"], "radii": [0.1]}


def document(cells: Any, **tables: Any) -> dict[str, Any]:
    return {
        "study": STUDY,
        "settings": {"epochs": 1},
        "cells": cells,
        "evaluate": EVALUATE,
        **tables,
    }


def test_cells_are_an_axis_of_models() -> None:
    study = parse_study(document({"which": [7, str(cell_at(0)), "6111"], "channels": 4}))
    assert [each.name for each in study.runs] == ["nas201-7", "nas201-0", "nas201-6111"]
    assert [each.model for each in study.runs] == [
        f"nas201:{index}(channels=4)" for index in (7, 0, 6111)
    ]
    assert [each.key for each in study.trainings][:2] == ["nas201-7-seed0", "nas201-0-seed0"]
    assert len(study.trainings) == 6


def test_sizes_are_those_of_the_architecture() -> None:
    study = parse_study(document({"which": [1, 2], "channels": 4, "repeats": 1, "stages": 2}))
    assert study.runs[0].model == "nas201:1(channels=4, repeats=1, stages=2)"
    assert parse_study(document({"which": [1, 2]})).runs[0].model == "nas201:1"


def test_cells_and_a_grid_are_a_product() -> None:
    study = parse_study(document({"which": [1, 2]}, grid={"batch_size": [16, 32]}))
    assert [each.name for each in study.runs] == [
        f"nas201-{cell}_batch-size-{size}" for cell in (1, 2) for size in (16, 32)
    ]


def test_draws_are_of_the_unique_cells() -> None:
    drawn = with_cells(document({"draw": 12, "seed": 3}), None)["grid"]["model"]
    unique = {f"nas201-{cell.index}" for cell in unique_cells()}
    assert len(drawn) == 12
    assert {*drawn} <= unique
    assert drawn == with_cells(document({"draw": 12, "seed": 3}), None)["grid"]["model"]
    assert drawn != with_cells(document({"draw": 12}), None)["grid"]["model"]


@pytest.mark.parametrize(("word", "count"), [("unique", UNIQUE), ("all", COUNT)])
def test_whole_spaces(word: str, count: int) -> None:
    assert len(with_cells(document({"which": word}), None)["grid"]["model"]) == count
    with pytest.raises(BadSetting, match=f"{2 * count:,} trainings.*limit is 1,000"):
        parse_study(document({"which": word}))


def test_a_command_chooses_instead_of_the_file() -> None:
    table = document({"draw": 5, "channels": 4})
    found = with_cells(table, cells_table("7,9", None))["grid"]["model"]
    assert found == {"nas201-7": "nas201:7(channels=4)", "nas201-9": "nas201:9(channels=4)"}
    assert len(with_cells(table, cells_table(None, 3))["grid"]["model"]) == 3
    del table["cells"]
    assert [*with_cells(table, cells_table("7,9", None))["grid"]["model"]] == [
        "nas201-7",
        "nas201-9",
    ]
    assert cells_table(None, None) is None


def test_a_variant_has_cells_and_sizes_of_its_own() -> None:
    table = document({"which": "unique", "channels": 8}, variants={"small": {"cells": {"draw": 3}}})
    small = parse_study(table, variant="small")
    assert len(small.runs) == 3
    assert all(each.model.endswith("(channels=8)") for each in small.runs)
    table["variants"]["small"]["cells"] = {"channels": 2}
    table["cells"] = {"which": [1, 2], "channels": 8}
    assert parse_study(table, variant="small").runs[0].model == "nas201:1(channels=2)"
    assert parse_study(table).runs[0].model == "nas201:1(channels=8)"
    table["variants"]["small"] = {"grid": {"model": ["digits"]}}
    with pytest.raises(BadSetting, match=r"\[variants.small.grid\] both give models"):
        parse_study(table, variant="small")
    table["variants"]["small"] = {"cells": {"chanels": 2}}
    with pytest.raises(UnknownName, match="did you mean 'channels'"):
        parse_study(table, variant="small")


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({}, "either which or draw"),
        ({"which": [1, 2], "draw": 3}, "either which or draw"),
        ({"which": [1]}, "two or more different cells"),
        ({"which": [1, "1"]}, "two or more different cells"),
        ({"which": [1, 99999]}, r"\[cells\].*0 to 15624"),
        ({"which": ["x", 1]}, "'x' is no cell"),
        ({"which": "some"}, "one of unique, all"),
        ({"which": [1.5, 2]}, "list of indices"),
        ({"which": [True, 2]}, "list of indices"),
        ({"draw": 1}, "two or more"),
        ({"draw": 7000}, "up to 6,466"),
        ({"draw": "3"}, "whole number"),
        ({"draw": 3, "seed": -1}, "seed needs"),
        ({"which": [1, 2], "seed": 1}, "draws no cells"),
        ({"which": [1, 2], "channels": "4"}, "channels needs a whole number"),
    ],
)
def test_bad_cells(cells: dict[str, Any], message: str) -> None:
    with pytest.raises(BadSetting, match=message):
        parse_study(document(cells))


def test_names_that_are_not_known() -> None:
    with pytest.raises(UnknownName, match="did you mean 'channels'"):
        parse_study(document({"which": [1, 2], "chanels": 4}))


def test_what_does_not_go_with_cells() -> None:
    with pytest.raises(BadSetting, match=r"\[cells\] and \[study\] both give models"):
        parse_study(document({"which": [1, 2]}, study={**STUDY, "model": "digits"}))
    with pytest.raises(BadSetting, match=r"\[cells\] and \[grid\] both give models"):
        parse_study(document({"which": [1, 2]}, grid={"model": ["digits"]}))
    with pytest.raises(BadSetting, match="nothing says how"):
        parse_study(document({"which": [1, 2]}, evaluate={}))


@pytest.mark.parametrize(
    ("which", "draw", "seed", "message"),
    [("1,2", 3, None, "both say"), (None, None, 1, "`draw` does not say how many")],
)
def test_choices_of_a_command_that_cannot_be(
    which: str | None, draw: int | None, seed: int | None, message: str
) -> None:
    with pytest.raises(BadSetting, match=message):
        cells_table(which, draw, seed)
