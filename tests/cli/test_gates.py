"""Gates of `verify` and `evaluate`: verdicts, exit status, files for servers, bad input."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import click
import numpy as np
import pytest
from click.testing import Result

from sensverify.cli.main import main
from sensverify.runs import json_text
from tests.docs.pages import ROOT

Run = Callable[..., Result]
Save = Callable[..., Path]
WORKFLOW = ROOT / "examples" / "release-gate.yml"


@pytest.fixture
def both(tmp_path: Path) -> Path:
    """Two samples of the identity, one of each class, both right."""
    path = tmp_path / "both.npz"
    np.savez(path, x=np.array([[2.0, 0.0], [0.0, 1.0]], dtype=np.float32), y=np.array([0, 1]))
    return path


def kept(run: Run, path: Path, *question: object) -> Path:
    """The JSON result of a command, kept in a file."""
    done = run(*question, "--json", path)
    assert done.exit_code in (0, 1, 3), done.output
    return path


def changed(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Another result, changed by hand."""
    values = json.loads(path.read_text())
    change(values)
    target = path.with_name("changed.json")
    # What JSON reads as infinite, without the word.
    target.write_text(json.dumps(values).replace('"1e999"', "1e999"))
    return target


@pytest.mark.parametrize(
    ("radius", "gate", "status"),
    [
        (0.5, ("--min-certified", "50%"), 0),
        (0.5, ("--min-certified", 0.51), 1),
        # A tie is neither proven nor refuted.
        (1.0, ("--min-certified", "40%"), 3),
        (1.0, ("--min-certified", "60%"), 1),
        (0.5, ("--min-accuracy", 0.5), 0),
        (0.5, ("--min-accuracy", "51%"), 1),
        (0.5, ("--max-changed", 0.5), 0),
        (1.0, ("--max-changed", 0.5), 3),
        (1.5, ("--max-changed", 0.5), 1),
        (0.5, ("--max-width", 1.01, "--min-accuracy", 0), 0),
        (0.5, ("--max-width", 0.99, "--min-accuracy", 0), 1),
        (0.5, ("--max-log-volume", "-0.1", "--min-accuracy", 0), 1),
    ],
)
def test_a_gate_decides_the_exit_status(
    run: Run, identity: Path, data: Path, radius: float, gate: tuple[object, ...], status: int
) -> None:
    done = run("verify", identity, "--data", data, "--radius", radius, *gate)
    assert done.exit_code == status, done.output
    words = {0: "passed", 1: "failed", 3: "undecided"}
    assert words[status] in done.stdout
    assert ("gate " + words[status] in done.stdout or "threshold" in done.stdout) == bool(status)


def test_a_verdict_is_told_everywhere(run: Run, identity: Path, both: Path, tmp_path: Path) -> None:
    names = ("a.json", "a.html", "a.xml")
    files = [tmp_path / name for name in names]
    targets = [
        each for pair in zip(("--json", "--report", "--junit"), files, strict=True) for each in pair
    ]
    question = ("verify", identity, "--data", both, "--radius", 0.75)
    done = run(
        *question, "--min-certified", "60%", "--per-class", "--annotations", "github", *targets
    )
    assert done.exit_code == 1
    gates = json.loads(files[0].read_text())["gates"]
    found = [(gate["class"], gate["least"], gate["most"], gate["verdict"]) for gate in gates]
    assert found == [
        (None, 0.5, 0.5, "failed"),
        ("0", 1.0, 1.0, "passed"),
        ("1", 0.0, 0.0, "failed"),
    ]
    assert {gate["samples"] for gate in gates} == {2, 1}
    page = files[1].read_text()
    assert "Gate failed:" in page
    assert "certified of class 1 at least 60 %" in page
    (suite,) = [ElementTree.fromstring(files[2].read_text())]
    assert (suite.get("tests"), suite.get("failures")) == ("3", "2")
    lines = [line for line in done.stdout.splitlines() if line.startswith("::")]
    assert len(lines) == 2
    assert all(
        line.startswith("::error title=sensverify identity.onnx%3A failed::") for line in lines
    )
    quiet = run(*question, "--min-certified", "60%", "--annotations", "github", "--json", "-")
    json.loads(quiet.stdout)
    assert quiet.stderr.splitlines()[-1].startswith("::error")
    passed = run(*question, "--min-certified", "50%", "--annotations", "github")
    assert passed.exit_code == 0
    assert "::" not in passed.stdout


def test_names_of_classes_steer_no_terminal(run: Run, identity: Path, tmp_path: Path) -> None:
    rows = ["0,1,cat\x1b[2J\x07", "1,0,ma\u202edog"]
    (tmp_path / "d.csv").write_text("\n".join(["a,b,kind", *rows]), encoding="utf-8")
    asked = ("verify", identity, "--data", f"{tmp_path / 'd.csv'}(label=kind)", "--radius", 2)
    done = run(*asked, "--per-class", "--min-certified", "50%", "--annotations", "github")
    assert done.exit_code == 1
    for stream in (done.stdout, done.stderr):
        assert r"cat\x1b[2J\x07" in stream
        assert r"ma\u202edog" in stream
        assert {sign for sign in stream if not sign.isprintable()} <= {"\n", "\xa0"}


def test_plain_thresholds_are_gates_with_lines_of_their_own(
    run: Run, identity: Path, data: Path
) -> None:
    question = ("verify", identity, "--data", data, "--radius", 0.5, "--json", "-")
    assert json.loads(run(*question).stdout)["gates"] == []
    plain = run(*question, "--max-width", 0.5)
    (gate,) = json.loads(plain.stdout)["gates"]
    assert (gate["name"], gate["limit"], gate["verdict"]) == ("max_width", 0.5, "failed")
    assert gate["least"] == gate["most"] == 1.0
    assert "Gates" not in plain.stderr
    both = json.loads(run(*question, "--max-width", 0.5, "--min-accuracy", 0).stdout)["gates"]
    assert [each["name"] for each in both] == ["min_accuracy", "max_width"]


def test_limits_beside_a_kept_result(
    run: Run, identity: Path, data: Path, tmp_path: Path, save_mlp: Save
) -> None:
    question = ("--data", data, "--radius", 0.5)
    base = kept(run, tmp_path / "base.json", "verify", identity, *question, "--min-accuracy", 0)
    wider = save_mlp(tmp_path / "wider.onnx", (1.2 * np.eye(2), np.zeros(2)))
    for gate, status in (
        (("--max-width", "baseline*1.21"), 0),
        (("--max-width", "baseline*1.1"), 1),
        (("--max-width", "baseline+0.1"), 1),
        (("--min-certified", "baseline-1%"), 0),
        (("--min-certified", "baseline+1%"), 1),
        (("--max-changed", "baseline"), 0),
    ):
        done = run("verify", wider, *question, *gate, "--baseline", base)
        assert done.exit_code == status, done.output
    assert "by their digest" in " ".join(done.stdout.split())
    # A result that was kept without gates does as well.
    plain = kept(run, tmp_path / "plain.json", "verify", identity, *question)
    done = run("verify", wider, *question, "--max-changed", "baseline", "--baseline", plain)
    assert done.exit_code == 0


def test_limits_beside_a_kept_result_about_some_confusions(
    run: Run, identity: Path, both: Path, tmp_path: Path
) -> None:
    costs, same, other = (tmp_path / name for name in ("costs.csv", "same.npy", "other.csv"))
    costs.write_text("0,1\n0,0\n")
    np.save(same, [[0, 7.0], [0, 0]])  # what it costs does not matter, that it does so
    other.write_text("0,1\n1,0\n")
    question = ("verify", identity, "--data", both, "--radius", 0.25)
    limits = ("--min-certified", "baseline", "--max-changed", "baseline", "--baseline")
    for name, asked, alike, differ in (
        ("costs", costs, same, other),
        ("targets", "0:1", "0:1", "0:1,1:0"),
    ):
        base = kept(run, tmp_path / f"{name}.json", *question, f"--{name}", asked)
        told = json.loads(base.read_text())["asked"][name]
        assert told == asked or told["path"] == str(asked)
        done = run(*question, f"--{name}", alike, *limits, base)
        assert done.exit_code == 0, done.output
        for more in ((f"--{name}", differ), (), ("--top-k", 1)):
            done = run(*question, *more, *limits, base)
            assert (done.exit_code, done.stdout) == (2, "")
            assert "about another" in done.stderr
    # Confusions that cost something are no targets, though they be the same.
    base = kept(run, tmp_path / "costs.json", *question, "--costs", costs, "--force")
    done = run(*question, "--targets", "0:1", *limits, base)
    assert (done.exit_code, done.stdout) == (2, "")
    odd = changed(base, lambda v: v["asked"].update(costs="costs.csv"))
    done = run(*question, "--costs", costs, *limits, odd)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "no whole result" in done.stderr


def test_confusions_without_labels_are_others_in_an_earlier_result(
    run: Run, identity: Path, tmp_path: Path
) -> None:
    np.savez(tmp_path / "bare.npz", x=np.eye(2, dtype=np.float32))
    question = ("verify", identity, "--data", tmp_path / "bare.npz", "--radius", 0.25)
    question = (*question, "--targets", "0:1")
    base = kept(run, tmp_path / "base.json", *question)
    done = run(*question, "--min-certified", "baseline", "--baseline", base)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "without labels" in done.stderr
    assert run(*question, "--min-certified", 0).exit_code == 0


def test_a_kept_result_about_the_same_names_is_refused_where_their_numbers_differ(
    run: Run, identity: Path, both: Path, tmp_path: Path
) -> None:
    radii, boxes, x = tmp_path / "radii.npy", tmp_path / "boxes.npz", np.eye(2)
    for kind in ("data", "radii", "boxes"):
        np.savez(tmp_path / "data.npz", x=x, y=[0, 1])
        np.save(radii, [0.1, 0.1])
        np.savez(boxes, lower=x - 0.1, upper=x + 0.1)
        question = {
            "data": ("--data", tmp_path / "data.npz", "--radius", 0.1),
            "radii": ("--data", tmp_path / "data.npz", "--radius", radii),
            "boxes": ("--box", boxes),
        }[kind]
        base = kept(run, tmp_path / f"{kind}.json", "verify", identity, *question)
        gate = ("--max-width", "baseline", "--baseline", base)
        assert run("verify", identity, *question, *gate).exit_code == 0
        np.savez(tmp_path / "data.npz", x=x * 0.9 if kind == "data" else x, y=[0, 1])
        np.save(radii, [0.1, 0.05])
        # With the same middle.
        np.savez(boxes, lower=x - 0.01, upper=x + 0.01)
        done = run("verify", identity, *question, *gate)
        assert (done.exit_code, done.stdout) == (2, ""), kind
        assert "about other samples" in done.stderr
    question = ("--data", both, "--radii", 0.25, "--attacks", "pgd", *EVALUATE)
    base = kept(run, tmp_path / "evaluation.json", "evaluate", identity, *question)
    gate = ("--min-robust", "baseline", "--baseline", base)
    assert run("evaluate", identity, *question, *gate).exit_code == 0
    np.savez(both, x=np.array([[1.9, 0.0], [0.0, 1.0]], dtype=np.float32), y=np.array([0, 1]))
    done = run("evaluate", identity, *question, *gate)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "about other samples" in done.stderr


BASELINES: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "other radius": (lambda v: v["input"].update(radius=0.4), "radius"),
    "other samples": (lambda v: v["samples"].pop(), "other samples"),
    "other labels": (lambda v: v["samples"][0].update(label=1), "other samples"),
    "other digest": (lambda v: v["input"].update(samples_sha256="0" * 64), "other samples"),
    "no digest": (lambda v: v["input"].update(samples_sha256=None), "other samples"),
    "interrupted": (lambda v: v.update(interrupted=True), "interrupted"),
    "no word on interruptions": (lambda v: v.pop("interrupted"), "interrupted"),
    "other schema": (lambda v: v.update(schema="sensverify.evaluate/1"), "sensverify.verify/2"),
    "an earlier version": (lambda v: v.update(schema="sensverify.verify/1"), "anew"),
    "no samples": (lambda v: v.update(samples=7), "whole"),
    "an odd verdict": (lambda v: v["samples"][0].update(label_kept="yes"), "yes"),
    "a verdict on no label": (lambda v: v["samples"][0].update(label_kept="unlabelled"), "label"),
    "two verdicts": (lambda v: v["samples"][0].update(prediction_kept="changes"), "cannot be"),
    "other targets": (lambda v: v["asked"].update(targets="0:1"), "targets"),
    "no outputs": (lambda v: v["samples"][0].update(outputs=[]), "cannot be"),
    "an odd interval": (lambda v: v["samples"][0]["outer"].update(lower=[9.0, 9.0]), "cannot be"),
    "NaN": (lambda v: v["samples"][0]["outer"].update(lower=[float("nan"), 0.0]), "NaN"),
}


@pytest.mark.parametrize("name", BASELINES)
def test_bad_baselines(run: Run, identity: Path, data: Path, tmp_path: Path, name: str) -> None:
    change, words = BASELINES[name]
    question = ("verify", identity, "--data", data, "--radius", 0.5)
    base = kept(run, tmp_path / "base.json", *question, "--min-accuracy", 0)
    done = run(*question, "--min-accuracy", "baseline", "--baseline", changed(base, change))
    assert (done.exit_code, done.stdout) == (2, ""), done.output
    assert len(done.stderr.splitlines()) == 1
    assert words in done.stderr


def test_a_baseline_without_an_end_is_refused(
    run: Run, identity: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_text, "LARGEST", 1 << 20)
    asked = ("verify", identity, "--data", data, "--radius", 0.5, "--min-accuracy", "baseline")
    done = run(*asked, "--baseline", "/dev/zero")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "more than 1 MiB" in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--min-certified", "most"), "--min-certified"),
        (("--min-accuracy", 90), "--min-accuracy"),
        (("--max-changed", "-1%"), "--max-changed"),
        (("--max-width", "nan"), "--max-width"),
        (("--max-width", "inf"), "--max-width"),
        (("--max-log-volume", "-inf"), "--max-log-volume"),
        (("--max-log-volume", "wide"), "--max-log-volume"),
        (("--min-certified", "baseline-1%"), "--baseline"),
        (("--max-width", "5%"), "--max-width"),
        (("--max-width", "baseline+5%", "--baseline", "none.json"), "--max-width"),
        (("--baseline", "none.json"), "--baseline"),
        (("--min-certified", 0.5, "--baseline", "none.json"), "none.json"),
        (("--min-certified", 0.5, "--baseline", "data.npz"), "data.npz"),
        (("--junit", "a.xml"), "--junit"),
        (("--annotations", "github"), "--annotations"),
        (("--annotations", "gitlab", "--min-accuracy", 0), "--annotations"),
        (("--junit", "-", "--min-accuracy", 0), "--junit"),
        (("--junit", "data.npz", "--min-accuracy", 0, "--force"), "data.npz"),
        # Nothing is of class 1.
        (("--min-accuracy", 0, "--per-class"), "class 1"),
        (("--property", "a.vnnlib", "--min-certified", 0.5), "--min-certified"),
        (("--critical-radius", "--min-certified", 0.5), "--min-certified"),
        (("--critical-radius", "--junit", "a.xml"), "--junit"),
    ],
)
def test_bad_input(
    run: Run, identity: Path, data: Path, monkeypatch: pytest.MonkeyPatch, options: Any, words: str
) -> None:
    monkeypatch.chdir(data.parent)
    before = sorted(path.name for path in data.parent.iterdir())
    ask = () if "--property" in options else ("--data", data.name, "--radius", 0.5)
    done = run("verify", identity.name, *ask, *options)
    assert (done.exit_code, done.stdout) == (2, ""), done.output
    assert len(done.stderr.splitlines()) == 1
    assert words in done.stderr
    assert sorted(path.name for path in data.parent.iterdir()) == before


def test_labels_that_are_not_there(run: Run, identity: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "bare.npz", x=np.zeros((2, 2), np.float32))
    question = ("verify", identity, "--data", tmp_path / "bare.npz", "--radius", 0.5)
    for gate in (("--min-accuracy", 0), ("--max-width", 9, "--per-class")):
        done = run(*question, *gate)
        assert done.exit_code == 2
        assert "labels" in done.stderr


def test_a_baseline_is_never_overwritten(
    run: Run, identity: Path, data: Path, tmp_path: Path
) -> None:
    question = ("verify", identity, "--data", data, "--radius", 0.5)
    base = kept(run, tmp_path / "base.json", *question)
    text = base.read_text()
    done = run(*question, "--max-width", "baseline", "--baseline", base, "--json", base, "--force")
    assert done.exit_code == 2
    assert base.read_text() == text


EVALUATE = ("--corruptions", "none", "--sequences", "none", "--measures", "none")


@pytest.mark.parametrize(
    ("gate", "status"),
    [
        (("--min-accuracy", "100%"), 0),
        (("--min-certified", "100%", "--gate-radius", 0.25), 0),
        (("--min-certified", "60%"), 1),
        (("--min-robust", "50%", "--per-class"), 1),
        (("--min-robust", "50%"), 0),
        (("--max-changed", "50%", "--max-log-volume", 1), 0),
        (("--max-log-volume", "0.5", "--gate-radius", 0.75), 1),
        (("--max-log-volume", "0.5", "--gate-radius", 0.25), 0),
    ],
)
def test_gates_of_an_evaluation(
    run: Run, identity: Path, both: Path, gate: tuple[object, ...], status: int
) -> None:
    question = ("evaluate", identity, "--data", both, "--radii", "0.25,0.75", "--attacks", "pgd")
    gate = (
        gate
        if "--gate-radius" in gate or "--min-accuracy" in gate
        else (*gate, "--gate-radius", 0.75)
    )
    done = run(*question, *EVALUATE, *gate)
    assert done.exit_code == status, done.output
    assert "verdict" in done.stdout


def confused(count: float) -> Callable[[dict[str, Any]], None]:
    """A change of how many samples a kept evaluation has counted."""

    def change(values: dict[str, Any]) -> None:
        values["models"][0]["clean"][0]["classified"]["confusion"][0][0] = count

    return change


def test_an_evaluation_beside_a_kept_one(
    run: Run, identity: Path, both: Path, tmp_path: Path
) -> None:
    question = ("--data", both, "--radii", 0.25, "--attacks", "pgd", *EVALUATE)
    base = kept(run, tmp_path / "base.json", "evaluate", identity, *question, "--min-accuracy", 0)
    values = json.loads(base.read_text())
    assert values["labels"] == [0, 1]
    assert [gate["verdict"] for gate in values["gates"]] == ["passed"]
    gates = ("--min-robust", "baseline-1%", "--min-certified", "baseline", "--per-class")
    done = run(
        "evaluate", identity, *question, *gates, "--baseline", base, "--junit", tmp_path / "a.xml"
    )
    assert done.exit_code == 0, done.output
    assert ElementTree.fromstring((tmp_path / "a.xml").read_text()).get("tests") == "6"
    for change, words in (
        (lambda v: v.update(interrupted=True), "interrupted"),
        (lambda v: v["data"].update(samples_sha256="0" * 64), "other samples"),
        (lambda v: v["data"].pop("samples_sha256"), "samples_sha256"),
        (lambda v: v.pop("labels"), "whole"),
        (lambda v: v.update(schema="sensverify.evaluate/1"), "anew"),
        (lambda v: v["settings"].update(attacks="fgsm"), "attacks"),
        (lambda v: v.update(radii=[0.3]), "radii"),
        (lambda v: v.update(models=[]), "none of them"),
        (lambda v: v["models"][0].pop("attacks"), "whole"),
        (lambda v: v["models"][0]["certified"][0].pop("method"), "whole"),
        (lambda v: v.update(labels=["1e999"]), "whole"),
        (lambda v: v["labels"].append(1e300), "predictions of 3 samples"),
        (confused(10**18), "predictions of 2 samples"),
        (lambda v: v["models"][0]["certified"][0]["log_volumes"].insert(0, 10**400), "whole"),
        (confused(-1), "cannot be"),
        (confused(0.5), "cannot be"),
    ):
        done = run("evaluate", identity, *question, *gates, "--baseline", changed(base, change))
        assert (done.exit_code, done.stdout) == (2, ""), done.output
        assert words in done.stderr


def test_without_a_proof_a_kept_result_says_nothing_of_changes(
    run: Run, identity: Path, both: Path, tmp_path: Path
) -> None:
    question = ("--data", both, "--radii", 5, "--attacks", "pgd", *EVALUATE)
    attacked = ("evaluate", identity, *question, "--certify", "none")
    base = kept(run, tmp_path / "base.json", *attacked)
    # All labels may have changed then, so that whatever changes now would keep such a limit.
    done = run(*attacked, "--max-changed", "baseline", "--baseline", base)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "does not hold" in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--min-robust", "0.5", "--attacks", "none"), "--min-robust"),
        (("--min-certified", "0.5", "--certify", "none"), "--min-certified"),
        (("--min-corrupted", "0.5"), "--min-corrupted"),
        (("--min-robust", "0.5", "--radii", "none"), "--radii"),
        (("--min-robust", "0.5", "--gate-radius", "0.3"), "--gate-radius"),
        (("--min-accuracy", "0.5", "--gate-radius", "0.25"), "--gate-radius"),
        (("--min-robust", "80"), "--min-robust"),
        (("--min-robust", "baseline"), "--baseline"),
        (("--max-log-volume", "nan"), "--max-log-volume"),
        (("--per-class",), "--per-class"),
        (("--junit", "a.xml"), "--junit"),
        (("--annotations", "github"), "--annotations"),
        # Nothing is of class 1.
        (("--min-accuracy", 0, "--per-class"), "class 1"),
    ],
)
def test_bad_input_of_evaluate(
    run: Run, identity: Path, data: Path, monkeypatch: pytest.MonkeyPatch, options: Any, words: str
) -> None:
    monkeypatch.chdir(data.parent)
    radii = () if "--radii" in options else ("--radii", 0.25)
    done = run("evaluate", identity.name, "--data", data.name, *radii, *EVALUATE, *options)
    assert (done.exit_code, done.stdout) == (2, ""), done.output
    assert words in done.stderr
    assert not (data.parent / "a.xml").exists()


def _workflow_commands() -> list[list[str]]:
    text = WORKFLOW.read_text(encoding="utf-8").replace("\\\n", " ")
    return [
        shlex.split(line) for line in text.splitlines() if line.strip().startswith("sensverify ")
    ]


def test_the_workflow_is_one_that_github_reads() -> None:
    yaml = pytest.importorskip("yaml")
    found = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    (job,) = found["jobs"].values()
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert sum("sensverify " in each for each in commands) == len(_workflow_commands()) == 3
    assert all({"uses", "run"} & set(step) for step in job["steps"])


@pytest.mark.parametrize("words", _workflow_commands(), ids=lambda words: words[1])
def test_commands_of_the_workflow_exist(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert isinstance(main, click.Group)
    command = main.get_command(click.Context(main), words[1])
    assert command is not None
    # Every option is one of the command's, with a value that it takes.
    command.make_context(words[1], words[2:])
