"""`sensverify verify`: what it answers, in which form, with which exit status."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

Run = Callable[..., Result]
Save = Callable[..., Path]

SAMPLE_KEYS = [
    *("index", "label", "prediction", "label_kept", "prediction_kept", "margin", "margins"),
    *("counterexample", "explored", "status", "outputs", "outer", "inner", "proposed"),
    *("float32_margin", "probabilities", "deviation", "widths", "log_volume", "volume"),
    *("degenerate", "stopped", "seconds"),
]


def answer(run: Run, *args: object) -> dict[str, Any]:
    done = run("verify", *args, "--json", "-")
    assert done.exit_code == 0, done.output

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON number")

    # Standard output holds the JSON and nothing else.
    return json.loads(done.stdout, parse_constant=refuse)


def test_shipped_models_need_no_options(run: Run) -> None:
    found = answer(run, "iris")
    assert found["summary"]["samples"] == len(found["samples"]) > 0
    assert found["guarantee"] == "SOUND"
    assert found["method"]["name"] == "crown"
    assert 0 < found["summary"]["certified_fraction"] <= found["summary"]["accuracy"] <= 1


def test_json_has_the_keys_of_the_contract(run: Run, identity: Path, data: Path) -> None:
    found = answer(run, identity, "--data", data, "--radius", 0.5)
    assert list(found) == [
        *("schema", "command", "date", "versions", "model", "unstable", "method", "guarantee"),
        *("certificate", "input", "asked", "class_names", "device", "seconds", "interrupted"),
        *("gates", "baseline", "summary", "classes", "samples"),
    ]
    assert found["schema"] == "sensverify.verify/2"
    assert (found["certificate"], found["classes"], found["gates"]) == (None, None, [])
    assert set(found["asked"].values()) == {None}
    assert found["model"]["inputs"] == [2]
    assert found["model"]["outputs"] == [2]
    assert found["model"]["parameters"] == 6
    assert set(found["summary"]) == {
        "samples",
        "mean_volume",
        "mean_log_volume",
        "median_log_volume",
        "max_width",
        "certified_fraction",
        "accuracy",
        "degenerate_samples",
        "prediction_kept_fraction",
    }
    for sample in found["samples"]:
        assert list(sample) == SAMPLE_KEYS
    first, second = found["samples"]
    assert first["outer"]["lower"] == pytest.approx([1.5, -0.5], abs=1e-6)
    assert first["outer"]["upper"] == pytest.approx([2.5, 0.5], abs=1e-6)
    assert first["volume"] == pytest.approx(1.0, abs=1e-5)
    assert first["log_volume"] == pytest.approx(0.0, abs=1e-5)
    assert (first["label"], first["prediction"], first["label_kept"]) == (0, 0, "certified")
    assert (second["label"], second["prediction"], second["label_kept"]) == (0, 1, "changes")
    assert found["summary"]["certified_fraction"] == found["summary"]["accuracy"] == 0.5
    assert first["counterexample"] is None
    assert first["margins"] == [None, pytest.approx(1.0, abs=1e-5)]
    assert first["margin"] == first["margins"][1]
    assert (first["outputs"], second["outputs"]) == ([2.0, 0.0], [0.0, 2.0])
    assert second["margin"] == pytest.approx(-3.0, abs=1e-5)
    # It is wrong by itself.
    assert second["counterexample"] == {
        "prediction": 1,
        "outputs": [0.0, 2.0],
        "input": [0.0, 2.0],
        "outside": 0,
    }


def test_certified_comes_from_margins_not_from_the_output_box(
    run: Run, save_mlp: Save, tmp_path: Path
) -> None:
    # Both outputs move together: their intervals overlap, their difference is always 1.
    model = save_mlp(tmp_path / "m.onnx", (np.array([[1.0], [1.0]]), np.array([1.0, 0.0])))
    np.savez(tmp_path / "d.npz", x=np.zeros((1, 1), np.float32), y=np.array([0]))
    sample = answer(run, model, "--data", tmp_path / "d.npz", "--radius", 5)["samples"][0]
    assert sample["outer"]["lower"][0] < sample["outer"]["upper"][1]
    assert sample["label_kept"] == "certified"


def test_an_input_that_changes_the_label_is_found(run: Run, identity: Path, data: Path) -> None:
    found = answer(run, identity, "--data", data, "--radius", 1.5, "--samples", "0:1")
    assert found["samples"][0]["prediction"] == 0
    assert found["samples"][0]["label_kept"] == "changes"


def test_a_tie_is_neither_proven_nor_refuted(run: Run, identity: Path, data: Path) -> None:
    found = answer(run, identity, "--data", data, "--radius", 1.0, "--samples", "0:1")
    assert found["samples"][0]["label_kept"] == "undecided"


def test_zero_width_is_null_and_named(run: Run, save_mlp: Save, tmp_path: Path, data: Path) -> None:
    model = save_mlp(tmp_path / "m.onnx", (np.diag([1.0, 0.0]), np.array([0.0, 1.0])))
    found = answer(run, model, "--data", data, "--radius", 0.5)
    assert found["samples"][0]["degenerate"] == [1]
    assert found["samples"][0]["log_volume"] is None
    assert found["samples"][0]["volume"] == 0
    assert found["summary"]["mean_log_volume"] is None
    assert found["summary"]["mean_volume"] == 0


@pytest.mark.parametrize("scale", [1e30, 1e-30])
def test_a_volume_beyond_a_double_is_null(
    run: Run, save_mlp: Save, tmp_path: Path, scale: float
) -> None:
    model = save_mlp(tmp_path / "m.onnx", (scale * np.ones((20, 1)), np.zeros(20)))
    np.savez(tmp_path / "d.npz", x=np.zeros((1, 1), np.float32))
    found = answer(run, model, "--data", tmp_path / "d.npz", "--radius", 1)
    assert found["samples"][0]["volume"] is None
    assert found["summary"]["mean_volume"] is None
    expected = 20 * math.log(2 * scale)
    assert found["samples"][0]["log_volume"] == pytest.approx(expected, rel=1e-5)


def test_zero_radius_is_the_forward_pass(
    run: Run, save_mlp: Save, tmp_path: Path, data: Path
) -> None:
    rng = np.random.default_rng(0)
    layers = ((rng.normal(size=(5, 2)), rng.normal(size=5)), (rng.normal(size=(3, 5)), np.ones(3)))
    model = save_mlp(tmp_path / "m.onnx", *layers)
    for sample in answer(run, model, "--data", data, "--radius", 0)["samples"]:
        assert sample["outer"]["lower"] == pytest.approx(sample["outer"]["upper"], abs=1e-4)


def test_constant_feature_does_not_move(run: Run, identity: Path, data: Path) -> None:
    sample = answer(run, identity, "--data", data, "--sigma", 0.25)["samples"][0]
    assert sample["widths"][0] == pytest.approx(1.0, abs=1e-6)
    assert sample["degenerate"] == [1]


def test_one_output_and_a_regression_target(run: Run, save_mlp: Save, tmp_path: Path) -> None:
    model = save_mlp(tmp_path / "m.onnx", (np.ones((1, 2)), np.zeros(1)))
    np.savez(tmp_path / "d.npz", x=np.zeros((3, 2), np.float32), y=np.array([0.5, 1.5, -2]))
    found = answer(run, model, "--data", tmp_path / "d.npz", "--radius", 1)
    assert found["samples"][0]["label"] is None
    assert found["samples"][0]["label_kept"] == "unlabelled"
    assert found["samples"][0]["widths"] == pytest.approx([4.0])
    assert found["summary"]["accuracy"] is None
    assert run("verify", model, "--data", tmp_path / "d.npz", "--radius", 1).exit_code == 0


def test_boxes_from_a_file(run: Run, identity: Path, tmp_path: Path) -> None:
    lower, upper = np.array([[0.0, 1.0], [2.0, 3.0]]), np.array([[1.0, 1.0], [4.0, 3.5]])
    np.savez(tmp_path / "box.npz", lower=lower, upper=upper)
    found = answer(run, identity, "--box", tmp_path / "box.npz", "--samples", "1:")
    assert [s["index"] for s in found["samples"]] == [1]
    assert found["samples"][0]["outer"]["lower"] == pytest.approx([2.0, 3.0])
    assert found["samples"][0]["outer"]["upper"] == pytest.approx([4.0, 3.5])


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_labels_of_boxes(run: Run, identity: Path, tmp_path: Path, shape: tuple[int, ...]) -> None:
    lower, upper = np.array([[2.0, 0.0], [2.0, 0.0]]), np.array([[3.0, 1.0], [3.0, 1.0]])
    np.savez(tmp_path / "box.npz", lower=lower, upper=upper, y=np.array([0, 1]).reshape(shape))
    found = answer(run, identity, "--box", tmp_path / "box.npz")
    assert [s["label"] for s in found["samples"]] == [0, 1]
    assert [s["label_kept"] for s in found["samples"]] == ["certified", "changes"]


def test_a_change_that_the_replay_does_not_confirm_is_none(
    run: Run, identity: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "sensverify.verification.replay.Replay.counterexamples",
        lambda self, points, box, labels: [None] * len(points),
    )
    found = answer(run, identity, "--data", data, "--radius", 1.5)
    assert [s["label_kept"] for s in found["samples"]] == ["undecided", "undecided"]


def test_radius_for_each_feature(run: Run, identity: Path, data: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "radius.npy", np.array([0.5, 1.0]))
    found = answer(run, identity, "--data", data, "--radius", tmp_path / "radius.npy")
    assert found["samples"][0]["widths"] == pytest.approx([1.0, 2.0])


def test_clip(run: Run, identity: Path, data: Path) -> None:
    options = ("--data", data, "--radius", 0.5, "--samples", 0)
    clipped = answer(run, identity, *options, "--clip", 0, 2)["samples"][0]
    assert clipped["outer"]["lower"] == pytest.approx([1.5, 0.0], abs=1e-6)
    assert clipped["outer"]["upper"] == pytest.approx([2.0, 0.5], abs=1e-6)
    free = answer(run, identity, *options, "--clip", "-inf", "inf")["samples"][0]
    assert free["widths"] == pytest.approx([1.0, 1.0])


def test_samples_keep_their_index(run: Run) -> None:
    found = answer(run, "iris", "--samples", "3:6")
    assert [s["index"] for s in found["samples"]] == [3, 4, 5]


def test_batches_do_not_change_the_answer(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = answer(run, "iris", "--dtype", "float64")
    monkeypatch.setattr("sensverify.verification.asking._LARGEST_BATCH", 7)
    parts = answer(run, "iris", "--dtype", "float64")
    for one, other in zip(whole["samples"], parts["samples"], strict=True):
        assert one["index"] == other["index"]
        assert one["label_kept"] == other["label_kept"]
        assert one["widths"] == pytest.approx(other["widths"], rel=1e-9)


def test_gzipped_model(run: Run, identity: Path, data: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx.gz"
    path.write_bytes(gzip.compress(identity.read_bytes()))
    found = answer(run, path, "--data", data, "--radius", 0.1)
    # The second one is replayed from the same file.
    assert [s["label_kept"] for s in found["samples"]] == ["certified", "changes"]


@pytest.mark.parametrize(
    "options",
    [
        ("--method", "ibp"),
        ("--method", "lp-dual"),
        ("--method", "crown", "--setting", "intermediate=ibp"),
        ("--method", "alpha-crown", "--setting", "steps=2"),
        ("--method", "alpha-crown", "--timeout", "20"),
        ("--memory", "200MB"),
        ("--dtype", "float64"),
    ],
)
def test_methods_and_settings(run: Run, options: tuple[str, ...]) -> None:
    found = answer(run, "iris", "--samples", "0:3", *options)
    assert len(found["samples"]) == 3
    if "intermediate=ibp" in options:
        assert found["method"]["settings"]["intermediate"] == "ibp"
    if "steps=2" in options:
        assert found["method"]["settings"]["steps"] == 2
    if "--timeout" in options:
        assert found["method"]["settings"]["seconds"] == 20


def test_table_says_what_was_found(run: Run) -> None:
    done = run("verify", "iris", "--samples", "0:3")
    assert done.exit_code == 0
    for text in ("log-volume", "certified", "guarantee", "SOUND", "Proven", "crown"):
        assert text in done.stdout
    assert done.stderr == ""


def test_with_json_on_stdout_the_table_goes_to_stderr(run: Run) -> None:
    done = run("verify", "iris", "--samples", "0:3", "--json", "-")
    json.loads(done.stdout)
    assert "guarantee" in done.stderr


@pytest.mark.parametrize(
    ("option", "low", "high"), [("--max-width", 0.99, 1.01), ("--max-log-volume", -0.1, 0.1)]
)
def test_thresholds(
    run: Run, identity: Path, data: Path, option: str, low: float, high: float
) -> None:
    question = ("verify", identity, "--data", data, "--radius", 0.5)
    holds = run(*question, option, high)
    assert holds.exit_code == 0, holds.output
    exceeded = run(*question, option, low)
    assert exceeded.exit_code == 1
    assert "threshold exceeded" in exceeded.stdout
    assert "2 of 2 samples" in exceeded.stdout


def test_an_exceeded_threshold_still_writes_its_files(run: Run, tmp_path: Path) -> None:
    json_file, page = tmp_path / "a.json", tmp_path / "a.html"
    done = run("verify", "iris", "--max-width", 0, "--json", json_file, "--report", page)
    assert done.exit_code == 1
    assert json.loads(json_file.read_text())["schema"] == "sensverify.verify/2"
    assert "Threshold exceeded" in page.read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.html", "a.json"]


def test_nothing_is_overwritten_unless_forced(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    target.write_text("precious")
    refused = run("verify", "iris", "--samples", "0:2", "--json", target)
    assert refused.exit_code == 2
    assert "not overwritten" in refused.stderr
    assert target.read_text() == "precious"
    forced = run("verify", "iris", "--samples", "0:2", "--json", target, "--force")
    assert forced.exit_code == 0
    assert json.loads(target.read_text())["summary"]["samples"] == 2


def test_named_data(run: Run, data_dir: Path) -> None:
    found = answer(
        run, "mnist-conv1", "--data", "mnist", "--data-dir", data_dir, "--samples", "0:2"
    )
    assert [s["label"] for s in found["samples"]] == [7, 2]


@pytest.mark.parametrize("what", ["methods", "models", "data"])
def test_list(run: Run, what: str) -> None:
    done = run("list", what)
    assert done.exit_code == 0, done.output
    expected = {"methods": "alpha-crown", "models": "iris", "data": "fashion-mnist"}
    assert expected[what] in done.stdout


def test_a_change_just_outside_of_the_box_is_none(run: Run, identity: Path, tmp_path: Path) -> None:
    """float32 has 0.4 only rounded up: the box of the computation, but not ours, holds a change."""
    below = float(np.nextafter(np.float32(0.4), np.float32(0)))
    lower, upper = np.array([[below, 0.0]]), np.array([[1.0, 0.4]])
    np.savez(tmp_path / "box.npz", lower=lower, upper=upper, y=np.array([0]))
    found = answer(run, identity, "--box", tmp_path / "box.npz")
    assert found["samples"][0]["label_kept"] == "undecided"


@pytest.mark.parametrize("option", ["--gap", "--threads", "--objective-timeout"])
def test_options_of_exact_methods(run: Run, option: str) -> None:
    done = run("verify", "iris", option, 1)
    assert (done.exit_code, done.stdout) == (2, "")
    assert option in done.stderr


def test_the_dtype_is_the_methods_own(run: Run) -> None:
    assert answer(run, "iris", "--samples", "0:1")["input"]["dtype"] == "float32"
    options = ("--method", "branch-and-bound", "--gap", 0.001, "--objective-timeout", 5)
    found = answer(run, "iris", "--samples", "0:1", *options)
    assert found["input"]["dtype"] == "float64"
    assert found["method"]["settings"]["gap"] == 0.001
    assert found["method"]["settings"]["objective_seconds"] == 5
