"""`sensverify evaluate`: what it prints and writes, and its exit status."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import Result
from onnx import TensorProto, helper

from sensverify.runs.progress import Progress
from sensverify.runs.watch import Watch
from tests.report.schemas import check_result

Run = Callable[..., Result]
QUICK = (
    *("--attacks", "fgsm", "--corruptions", "none", "--sequences", "none"),
    *("--measures", "parameters, l2-init"),
)


@dataclass(frozen=True)
class Kit:
    """What a case makes its files with."""

    folder: Path
    save_mlp: Callable[..., Path]

    @property
    def net(self) -> Path:
        return self.save_mlp(self.folder / "net.onnx", (np.eye(2), np.zeros(2)))

    def npz(self, **arrays: object) -> Path:
        path = self.folder / "data.npz"
        np.savez(path, **{name: np.asarray(values) for name, values in arrays.items()})
        return path

    def images(self, channels: int) -> Path:
        """A network for images: the sum of all numbers, and nothing."""
        shape = [1, channels, 4, 4]
        graph = helper.make_graph(
            [
                helper.make_node("Flatten", ["x"], ["flat"]),
                helper.make_node("Gemm", ["flat", "w"], ["y"]),
            ],
            "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *shape[1:]])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2])],
            [helper.make_tensor("w", TensorProto.FLOAT, [channels * 16, 2], [1.0] * channels * 32)],
        )
        path = self.folder / "images.onnx"
        opset = helper.make_opsetid("", 17)
        onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), path)
        return path


@pytest.fixture
def kit(tmp_path: Path, save_mlp: Callable[..., Path]) -> Kit:
    return Kit(tmp_path, save_mlp)


X = np.array([[0.5, 0.25], [0.25, 0.5]], np.float32)
Case = Callable[[Kit], list[object]]
CASES: dict[str, tuple[Case, str]] = {
    "labels missing": (lambda k: [k.net, "--data", k.npz(x=X)], "data.npz"),
    "too many classes": (
        lambda k: [k.net, "--data", k.npz(x=X, y=[0, 2])],
        "label 2 of sample 1",
    ),
    "classes of another data set": (
        lambda k: [
            k.save_mlp(k.folder / "n.onnx", (np.ones((4, 4)), np.zeros(4))),
            "--data",
            "iris",
        ],
        "'n.onnx'",
    ),
    "fractional labels": (lambda k: [k.net, "--data", k.npz(x=X, y=[0, 0.5])], "0.5"),
    "grey images for an RGB network": (
        lambda k: [k.images(3), "--data", k.npz(x=np.zeros((2, 1, 4, 4)), y=[0, 1])],
        "RGB images of 4 x 4",
    ),
    "RGB images for a grey network": (
        lambda k: [k.images(1), "--data", k.npz(x=np.zeros((2, 3, 4, 4)), y=[0, 1])],
        "RGB images of 4 x 4",
    ),
    "other inputs": (
        lambda k: [k.net, "--data", k.npz(x=np.zeros((2, 3)), y=[0, 1])],
        "(2,)",
    ),
    "values outside of the clip": (
        lambda k: [k.net, "--data", k.npz(x=X, y=[0, 1]), "--clip", 0, 0.4],
        "[0.0, 0.4]",
    ),
    "an empty set": (
        lambda k: [k.net, "--data", k.npz(x=np.zeros((0, 2)), y=[])],
        "data.npz",
    ),
    "no such samples": (
        lambda k: [k.net, "--data", k.npz(x=X, y=[0, 1]), "--samples", "1:5"],
        "1:5",
    ),
    "NaN among the samples": (
        lambda k: [k.net, "--data", k.npz(x=[[0, 0], [0, np.nan]], y=[0, 1])],
        "sample 1",
    ),
    "outputs that overflow": (
        lambda k: [
            k.save_mlp(k.folder / "big.onnx", (np.full((2, 2), 3e38), np.zeros(2))),
            "--data",
            k.npz(x=[[0, 0], [1, 1]], y=[0, 1]),
        ],
        "sample 1",
    ),
    "one output": (
        lambda k: [
            k.save_mlp(k.folder / "one.onnx", (np.ones((1, 2)), np.zeros(1))),
            "--data",
            k.npz(x=X, y=[0, 1]),
        ],
        "'one.onnx'",
    ),
    "no data and no card": (lambda k: [k.net], "--data"),
    "no such data": (lambda k: [k.net, "--data", "mnits"], "'mnist'"),
    "no such model": (lambda k: ["mnist-conv9"], "'mnist-conv9'"),
    "different samples beside them": (lambda k: ["iris", "digits"], "--data"),
    "a model twice": (lambda k: ["iris", "iris"], "'iris'"),
    "an unknown attack": (lambda k: ["iris", "--attacks", "pdg"], "'pgd'"),
    "a wrong setting": (lambda k: ["iris", "--attacks", "pgd(step=3)"], "'step'"),
    "a wrong value": (lambda k: ["iris", "--attacks", "pgd(steps=0)"], "steps"),
    "an unclosed parenthesis": (lambda k: ["iris", "--attacks", "pgd(steps=3"], "expected"),
    "an unknown method": (lambda k: ["iris", "--certify", "krown"], "'krown'"),
    "an unknown corruption": (
        lambda k: ["iris", "--corruptions", "fogg"],
        "'fog'",
    ),
    "an unknown sequence": (
        lambda k: ["iris", "--sequences", "tild"],
        "'tilt'",
    ),
    "an unknown measure": (lambda k: ["iris", "--measures", "l3"], "'l3'"),
    "no radii": (lambda k: ["iris", "--radii", "a"], "no number"),
    "radii and sigmas": (lambda k: ["iris", "--radii", "0.1", "--sigmas", "0.1"], "--sigmas"),
    "no severities": (lambda k: ["iris", "--severities", "1,x"], "--severities"),
    "shares of unknown ranges": (
        lambda k: [k.net, "--data", k.npz(x=X, y=[0, 1]), "--sigmas", "0.1"],
        "feature_range",
    ),
    "factors of another shape": (
        lambda k: ["iris", "--per-feature", saved(k, np.ones(3))],
        "(3,)",
    ),
    "negative factors": (lambda k: ["iris", "--per-feature", saved(k, -np.ones(4))], "at least 0"),
    "a folder without images": (lambda k: ["iris", "--corrupted", k.folder], "corrupted images"),
    "another surrogate": (lambda k: ["iris", "--surrogate", "digits"], "64 inputs"),
    "other initial weights": (lambda k: ["iris", "--initial", "digits"], "other layers"),
    "resume what": (lambda k: ["iris", "--resume"], "--out"),
    "a folder that is in use": (lambda k: [k.net.parent / "net.onnx", *k_out(k)], "--out"),
    "a file that is there": (lambda k: ["iris", "--json", k.net], "net.onnx"),
    "a file for tables": (lambda k: ["iris", "--csv", k.net], "net.onnx"),
    "tables below a file": (lambda k: ["iris", "--csv", k.net / "a"], "net.onnx"),
    "no time": (lambda k: ["iris", "--timeout", 0], "--timeout"),
    "a seed below 0": (lambda k: ["iris", "--seed", -1], "--seed"),
}


def saved(kit: Kit, values: np.ndarray) -> Path:
    np.save(kit.folder / "factors.npy", values)
    return kit.folder / "factors.npy"


def k_out(kit: Kit) -> list[object]:
    return ["--data", kit.npz(x=X, y=[0, 1]), "--out", kit.folder]


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_one_line(run: Run, kit: Kit, name: str) -> None:
    case, named = CASES[name]
    arguments = case(kit)
    before = set(kit.folder.rglob("*"))
    result = run("evaluate", *arguments)
    assert result.exit_code == 2, result.output
    assert named in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert set(kit.folder.rglob("*")) == before


def test_no_cuda_here(run: Run) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    result = run("evaluate", "iris", "--device", "cuda")
    assert result.exit_code == 2
    assert "no CUDA device" in result.stderr


def test_everything_is_written(run: Run, tmp_path: Path) -> None:
    page, tables, out = tmp_path / "page.html", tmp_path / "tables", tmp_path / "out"
    result = run(
        *("evaluate", "iris", *QUICK, "--json", tmp_path / "found.json"),
        *("--report", page, "--csv", tables, "--out", out),
    )
    assert result.exit_code == 0, result.output
    assert "iris" in result.stdout
    assert result.stderr == ""
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["schema"].startswith("sensverify.evaluate/")
    assert json.loads((out / "evaluation.json").read_text()) == found
    assert page.read_text() == (out / "report.html").read_text()
    assert page.read_text().startswith("<!doctype html>")
    with (tables / "missing.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["key"] for row in rows] == ["measure/l2-init"]
    (model,) = found["models"]
    assert [row["reason"] for row in model["missing"]] == [rows[0]["reason"]]


def test_json_on_standard_output_is_alone(run: Run) -> None:
    result = run("evaluate", "iris", *QUICK, "--json", "-")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["data"]["samples"] == 30
    assert "iris" in result.stderr


def test_an_open_end_of_the_clip_range_is_null(run: Run) -> None:
    done = run("evaluate", "iris", "--clip", "0", "inf", *QUICK, "--json", "-")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["clip"] == [0.0, None]


def test_json_holds_what_a_later_one_is_compared_with(run: Run) -> None:
    done = run("evaluate", "iris", "--count", 5, "--seed", 3, *QUICK, "--json", "-")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["schema"] == "sensverify.evaluate/2"
    assert (len(found["labels"]), found["seed"], found["gates"]) == (5, 3, [])
    assert found["class_names"] == ["setosa", "versicolor", "virginica"]
    again = json.loads(run("evaluate", "iris", "--count", 5, *QUICK, "--json", "-").stdout)
    other = json.loads(run("evaluate", "iris", "--count", 6, *QUICK, "--json", "-").stdout)
    digests = [each["data"]["samples_sha256"] for each in (found, again, other)]
    assert digests[0] == digests[1] != digests[2]


def test_success_of_attacks_over_all_samples(run: Run, tmp_path: Path) -> None:
    """Error under attack: errors as they are among it, which the default leaves out."""
    found, page = {}, tmp_path / "page.html"
    for of in ("right", "all"):
        options = ("--sigmas", "0.1", "--attacks", "pgd", "--success", of, "--force")
        args = ("evaluate", "iris", *QUICK, *options, "--report", page, "--json", "-")
        done = run(*args)
        assert done.exit_code == 0, done.output
        found[of] = json.loads(done.stdout)
        check_result(found[of])
        assert ("the share of all samples" in page.read_text()) is (of == "all")
    rows = {of: each["models"][0]["attacks"][0] for of, each in found.items()}
    wrong = len(found["all"]["models"][0]["clean"][0]["wrong"])
    assert wrong > 0
    broken = len(rows["all"]["broken"])
    assert (rows["all"]["success"]["count"], rows["all"]["success"]["samples"]) == (broken, 30)
    assert (rows["right"]["success"]["count"], rows["right"]["success"]["samples"]) == (
        broken - wrong,
        30 - wrong,
    )
    assert found["all"]["settings"]["success of attacks"] == "over all samples"
    assert run("evaluate", "iris", *QUICK, "--success", "some").exit_code == 2


def test_what_is_there_is_overwritten_only_by_force(run: Run, tmp_path: Path) -> None:
    command = ("evaluate", "iris", *QUICK, "--csv", tmp_path)
    assert run(*command).exit_code == 0
    again = run(*command)
    assert again.exit_code == 2
    assert "CSV files already" in again.stderr
    assert run(*command, "--force").exit_code == 0


def test_none_empties_a_list(run: Run) -> None:
    result = run(
        "evaluate", "iris", *QUICK, "--certify", "none", "--attacks", "none", "--json", "-"
    )
    (model,) = json.loads(result.stdout)["models"]
    assert not model["attacks"]
    assert not model["certified"]
    assert len(model["measures"]) == 1


def test_a_run_that_is_out_of_time_reports_what_it_has(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run("evaluate", "iris", *QUICK, "--timeout", 1e-9, "--out", out)
    assert result.exit_code == 3
    assert "--resume" in result.stderr
    assert json.loads((out / "evaluation.json").read_text())["interrupted"]
    again = run("evaluate", "iris", *QUICK, "--out", out, "--resume")
    assert again.exit_code == 0
    assert again.stderr == ""
    assert not json.loads((out / "evaluation.json").read_text())["interrupted"]


def test_ctrl_c_reports_what_is_done(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sensverify.evaluation.run as module

    whole = module.evaluate

    def stopping(request: object, *, progress: object, watch: Watch, **others: object) -> object:
        def stop(now: Progress) -> None:
            if "iris: attack/" in "".join(now.running):
                watch.stop()

        return whole(request, progress=stop, watch=watch, **others)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "evaluate", stopping)
    result = run("evaluate", "iris", *QUICK, "--json", tmp_path / "found.json")
    assert result.exit_code == 3
    assert "--out" in result.stderr
    (model,) = json.loads((tmp_path / "found.json").read_text())["models"]
    assert model["certified"]
    assert not model["attacks"]
    assert any(not row["final"] for row in model["missing"])


def test_a_training_run_brings_its_initial_weights(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "run"
    trained = run(
        "train", "--data", "iris", "--model", "mlp-6", "--epochs", 1, "--sigma", 0.1, "--out", out
    )
    assert trained.exit_code == 0, trained.output
    result = run("evaluate", out, "--data", "iris", *QUICK, "--json", "-")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    (model,) = found["models"]
    assert model["model"]["name"] == "run"
    assert {row["measure"]: row["value"] for row in model["measures"]}["l2-init"] > 0
    assert not model["missing"]
    assert found["radii"][2] == 0.1
    assert found["data"]["train_samples"] == 120


def test_one_class_only(run: Run, kit: Kit) -> None:
    data = kit.npz(x=X, y=[1, 1])
    result = run("evaluate", kit.net, "--data", data, *QUICK, "--json", "-")
    assert result.exit_code == 0, result.output
    assert "label 1" in json.loads(result.stdout)["settings"]["note"]


@pytest.mark.parametrize("what", ["attacks", "corruptions", "measures"])
def test_what_can_be_named_is_listed(run: Run, what: str) -> None:
    result = run("list", what)
    assert result.exit_code == 0, result.output
    words = {"attacks": ("pgd", "steps=40", "mnist"), "measures": ("l2-init", "needs", "sharpness")}
    for word in words.get(what, ("fog", "imagenet-c", "translation")):
        assert word in result.stdout


def test_the_help_names_every_default(run: Run) -> None:
    from sensverify.evaluation.request import COUNT, DEFAULT_ATTACKS, TRAIN_SAMPLES

    text = " ".join(run("evaluate", "--help").stdout.split())
    for value in (", ".join(DEFAULT_ATTACKS), str(COUNT), str(TRAIN_SAMPLES)):
        assert value in text


def test_severities_that_are_not_there_are_told(run: Run) -> None:
    options = ("--corruptions", "fog", "--severities", 6, "--measures", "none", "--json", "-")
    result = run("evaluate", "digits", *QUICK[:2], *QUICK[4:6], *options)
    assert result.exit_code == 0, result.output
    (model,) = json.loads(result.stdout)["models"]
    assert not model["corruptions"]
    (row,) = model["missing"]
    assert row["key"] == "corruption/fog"
    assert "1 to 5" in row["reason"]


def test_the_terminal_is_told_what_could_not_be_written(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sensverify.runs.outputs as module
    from sensverify.errors import InputError

    def full(*_: object, **__: object) -> None:
        raise InputError("cannot write 'x': No space left on device")

    monkeypatch.setattr(module, "write_files", full)
    result = run("evaluate", "iris", *QUICK, "--csv", tmp_path / "tables")
    assert result.exit_code == 2
    assert "No space left" in result.stderr
    assert "Clean accuracy" in result.stdout


def test_files_are_written_before_a_reader_may_go_away(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sensverify.report.terminal as module

    def gone(*_: object) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(module, "print_document", gone)
    run("evaluate", "iris", *QUICK, "--json", tmp_path / "found.json")
    assert json.loads((tmp_path / "found.json").read_text())["models"]


def test_other_data_sets(run: Run, kit: Kit) -> None:
    data = kit.npz(x=X, y=[0, 1])
    other = kit.folder / "other.npz"
    np.savez(other, x=X[:1], y=np.array([1]))
    listed = kit.folder / "classes.json"
    listed.write_text("[1, 0]")
    shifts = ("--shift", f"A={other}", "--shift", f"B={other}:{listed}")
    done = run("evaluate", kit.net, "--data", data, *shifts, *QUICK, "--json", "-")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)["models"][0]["shifts"]
    shares = [
        (row["shift"], row["classes"], row["classified"]["accuracy"]["share"]) for row in found
    ]
    assert shares == [("A", None, 0.0), ("B", 2, 1.0)]
    printed = run("evaluate", kit.net, "--data", data, *shifts, *QUICK)
    assert "Accuracy (%) on other data sets" in printed.stdout
    for wrong in ("A", "A=", f"A={kit.folder / 'none.npz'}", f"A={other}:{kit.folder / 'no.json'}"):
        done = run("evaluate", kit.net, "--data", data, "--shift", wrong, *QUICK)
        assert done.exit_code == 2
        assert len(done.stderr.splitlines()) == 1


def test_pairs_are_compared_once_for_all_files(
    run: Run, save_mlp: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sensverify.evaluation import pairs

    asked, compare = [], pairs.compare_pairs
    monkeypatch.setattr(pairs, "compare_pairs", lambda found: asked.append(1) or compare(found))
    nets = [
        save_mlp(tmp_path / f"{name}.onnx", (factor * np.eye(2), np.zeros(2)))
        for name, factor in (("a", 1), ("b", -1))
    ]
    data = tmp_path / "data.npz"
    np.savez(data, x=X, y=[0, 1])
    out, extra = tmp_path / "out", tmp_path / "a.json"
    found = run(
        *("evaluate", *nets, "--data", data, "--attacks", "none", "--certify", "none"),
        *("--measures", "none", "--corruptions", "none", "--sequences", "none"),
        *("--out", out, "--json", extra, "--report", tmp_path / "a.html"),
    )
    assert found.exit_code == 0, found.output
    assert len(asked) == 1
    assert extra.read_text() == (out / "evaluation.json").read_text()
    assert json.loads(extra.read_text())["comparisons"]
