"""`sensverify verify`: radii as fractions and percentages, parts of data, and other questions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

Run = Callable[..., Result]
Save = Callable[..., Path]


def answer(run: Run, *args: object) -> dict[str, Any]:
    done = run("verify", *args, "--json", "-")
    assert done.exit_code in (0, 1), done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("text", "radius"), [("8/255", 8 / 255), ("5%", 0.05), ("0.1", 0.1), ("0", 0.0)]
)
def test_radii_as_people_write_them(run: Run, text: str, radius: float) -> None:
    assert answer(run, "digits", "--samples", 0, "--radius", text)["input"]["radius"] == radius


def test_a_percentage_is_of_the_range_of_clip_where_the_data_have_none(
    run: Run, identity: Path, data: Path
) -> None:
    question = (identity, "--data", data, "--radius", "5%")
    refused = run("verify", *question)
    assert refused.exit_code == 2
    assert "--sigma" in refused.stderr
    assert answer(run, *question, "--clip", 0, 4)["input"]["radius"] == 0.2
    # Of data with a range, that range.
    found = answer(run, "digits", "--samples", 0, "--radius", "5%", "--clip", 0, 4)
    assert found["input"]["radius"] == 0.05


def test_a_sigma_in_percent(run: Run) -> None:
    one, other = (answer(run, "iris", "--samples", 9, "--sigma", s) for s in ("5%", "1/20"))
    assert one["input"]["sigma"] == other["input"]["sigma"] == 0.05
    assert one["samples"][0]["outer"] == other["samples"][0]["outer"]


def test_the_clip_is_the_datas_own(run: Run, save_mlp: Save, tmp_path: Path) -> None:
    model = save_mlp(tmp_path / "m.onnx", (np.ones((10, 64)), np.arange(10.0)))
    question = (model, "--data", "digits", "--samples", "0:2", "--radius", 0.1)
    found = answer(run, *question)
    assert found["input"]["clip"] == [0.0, 1.0]
    free = answer(run, *question, "--clip", "-inf", "inf")
    assert free["input"]["clip"] is None
    assert free["samples"][0]["widths"][0] > found["samples"][0]["widths"][0]


def test_parts_of_data(run: Run) -> None:
    counts = {}
    for part in ("test", "train", "all"):
        found = answer(run, "iris", "--data", "iris", "--part", part)
        assert found["input"]["part"] == part
        counts[part] = found["summary"]["samples"]
    assert counts == {"test": 30, "train": 120, "all": 150}
    default = answer(run, "iris", "--data", "iris")
    assert (default["input"]["part"], default["summary"]["samples"]) == ("test", 30)
    assert answer(run, "iris", "--samples", 0)["input"]["part"] is None
    assert "iris, test part" in run("verify", "iris", "--data", "iris", "--samples", 0).stdout
    beyond = run("verify", "iris", "--data", "iris", "--samples", "0:31")
    assert beyond.exit_code == 2
    assert "test part" in beyond.stderr


def test_parts_of_files(run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random((20, 4), dtype=np.float32), np.arange(20) % 3
    np.savez(tmp_path / "one.npz", x=x, y=y)
    np.savez(tmp_path / "two.npz", x_train=x, y_train=y, x_test=x[:5], y_test=y[:5])
    np.savez(tmp_path / "bare.npz", x=x)
    question = ("iris", "--radius", 0.01, "--data")
    for name, part, count in (
        ("one", None, 20),
        ("one", "test", 4),
        ("one", "train", 16),
        ("two", None, 5),
        ("two", "train", 20),
        ("two", "all", 25),
        ("bare", None, 20),
    ):
        asked = () if part is None else ("--part", part)
        found = answer(run, *question, tmp_path / f"{name}.npz", *asked)
        assert found["summary"]["samples"] == count
    assert run("verify", *question, tmp_path / "bare.npz", "--part", "test").exit_code == 2
    assert run("verify", "iris", "--part", "train").exit_code == 2


def test_questions_about_classes(run: Run, identity: Path, data: Path, tmp_path: Path) -> None:
    (tmp_path / "costs.csv").write_text("0,1\n0,0\n")
    question = (identity, "--data", data, "--radius", 0.5)
    for asked in (("--targets", "0:1"), ("--costs", tmp_path / "costs.csv")):
        found = answer(run, *question, *asked, "--per-class")
        assert [s["label_kept"] for s in found["samples"]] == ["certified", "changes"]
        assert found["classes"] == [
            {
                **{"number": 0, "name": "0", "samples": 2, "certified": 1, "changes": 1},
                **{"undecided": 0, "right": 1, "certified_fraction": 0.5, "accuracy": 0.5},
            }
        ]
    refused = run("verify", *question, "--targets", "1:0")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "--targets" in refused.stderr


def test_questions_about_outputs(run: Run, save_mlp: Save, tmp_path: Path) -> None:
    model = save_mlp(tmp_path / "m.onnx", (np.ones((1, 2)), np.zeros(1)))
    np.savez(tmp_path / "d.npz", x=np.zeros((3, 2), np.float32), y=np.array([0, 0, 1]))
    question = ("verify", model, "--data", tmp_path / "d.npz", "--radius", "1/2")
    for asked, status in (
        (("--max-deviation", 1.01), 0),
        (("--max-deviation", "99/100"), 1),
        (("--output-range", -1.01, "inf"), 0),
        (("--output-range", 0, 1.01), 1),
        (("--threshold", 1.5), 0),
        (("--threshold", "-3/2"), 0),
        (("--max-deviation", "1,2"), 2),
        (("--output-range", 1, 0), 2),
        (("--threshold", 0, "--max-width", 1), 2),
    ):
        done = run(*question, *asked)
        assert done.exit_code == status, done.output
    found = answer(run, *question[1:], "--threshold", 1.5)
    assert [s["label_kept"] for s in found["samples"]] == ["certified", "certified", "changes"]
    assert {k: v for k, v in found["asked"].items() if v is not None} == {"threshold": 1.5}
    assert found["model"]["outputs"] == [1]


def test_a_threshold_of_a_probability(run: Run, save_mlp: Save, tmp_path: Path) -> None:
    model = save_mlp(tmp_path / "m.onnx", (np.ones((1, 2)), np.zeros(1)), last="Sigmoid")
    # The logit log(3) is the probability 0.75.
    x = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]], np.float32)
    np.savez(tmp_path / "d.npz", x=x, y=np.array([0, 0, 1]))
    question = (model, "--data", tmp_path / "d.npz", "--radius", 0.04)
    half = answer(run, *question)
    assert [s["prediction"] for s in half["samples"]][1:] == [1, 1]
    found = answer(run, *question, "--threshold", "75%")
    assert [s["prediction"] for s in found["samples"]] == [0, 0, 1]
    assert [s["label_kept"] for s in found["samples"]] == ["certified", "certified", "certified"]
    wide = answer(run, *question[:-1], 0.06, "--threshold", 0.75)
    assert [s["label_kept"] for s in wide["samples"]] == ["certified", "changes", "certified"]
    for limit in (0, 1, 1.5):
        refused = run("verify", *question, "--threshold", limit)
        assert refused.exit_code == 2
        assert "--threshold" in refused.stderr


def test_a_range_that_is_open_on_one_side_is_written(run: Run, identity: Path, data: Path) -> None:
    found = answer(run, identity, "--data", data, "--radius", 0.1, "--clip", 0, "inf")
    assert found["input"]["clip"] == [0.0, None]


def test_predictions_without_labels(run: Run, identity: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.array([[2.0, 0.0], [0.1, 0.0]], np.float32))
    question = (identity, "--data", tmp_path / "d.npz", "--radius", 0.5)
    found = answer(run, *question)
    assert [s["prediction_kept"] for s in found["samples"]] == ["certified", "changes"]
    assert [s["label_kept"] for s in found["samples"]] == ["unlabelled", "unlabelled"]
    assert "prediction kept?" in run("verify", *question).stdout


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--radius", "5 percent"),
        ("--radius", "-5%"),
        ("--radius", "1/0"),
        ("--sigma", "five"),
        ("--max-width", "5%"),
        ("--max-deviation", "1,,2"),
        ("--max-deviation", "-1"),
        ("--threshold", "nan"),
        ("--threshold", "x"),
        ("--top-k", "0"),
        ("--top-k", "3"),
        ("--targets", "0"),
        ("--targets", "0:9"),
        ("--targets", "0:rose"),
        ("--costs", "nowhere.csv"),
        ("--part", "validation"),
    ],
)
def test_bad_values(run: Run, option: str, value: str) -> None:
    done = run("verify", "iris", "--samples", "0:2", option, value)
    assert (done.exit_code, done.stdout) == (2, "")
    assert option in done.stderr or value.strip("%") in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 4
