"""`sensverify train` from a person's side."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from sensverify import models
from sensverify.cli.train import train
from sensverify.runs.watch import STOPPING
from sensverify.training.settings import DEVICES, PRECISIONS, TrainSettings

Run = Callable[..., Result]
QUICK = ("--epochs", 2, "--metric-samples", 20, "--pgd-steps", 2, "--threads", 1)


def test_help_reads_well(run: Run) -> None:
    done = run("train", "--help")
    assert done.exit_code == 0
    for heading in ("What to train:", "Where the results go:", "The machine:", "Examples:"):
        assert heading in done.stdout


def test_help_names_every_setting_and_its_true_default() -> None:
    options = {option.name: option for option in train.params}
    given = train.make_context("train", ["--out", "somewhere"]).params
    for setting in fields(TrainSettings):
        option = options[setting.name]
        assert option.opts == [f"--{setting.name.replace('_', '-')}"]
        # One place for defaults: nothing that is not given reaches the settings.
        assert given[setting.name] is None
        text = option.help  # type: ignore[attr-defined]
        default = setting.default
        if default is not None:
            shown = f"{default:g}" if isinstance(default, float) else str(default)
            assert f"Default: {shown}." in text, setting.name
    assert tuple(options["device"].type.choices) == DEVICES  # type: ignore[attr-defined]
    assert tuple(options["precision"].type.choices) == PRECISIONS  # type: ignore[attr-defined]


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nsys.argv = ['sensverify', 'train', '--help']\n"
        "from sensverify.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = {name.split(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert not loaded & {"torch", "numpy", "onnx", "rich"}


def test_train_then_verify(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "runs" / "one"
    asked = ("--data", "iris", "--model", "mlp-6", "--standardise", "--sigma", 0.05)
    done = run("train", *asked, "--loss", "cross-entropy + 0.01*sensitivity", *QUICK, "--out", out)
    assert done.exit_code == 0, done.output
    lines = done.stderr.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    assert "sensitivity" in lines[0]
    assert "test: ERR" in lines[0]
    for word in ("CROWN_ERR", " %", "120 training and 30 test samples", "every fifth sample"):
        assert word in " ".join(done.stdout.split())
    assert "sensverify verify" in done.stdout
    card = models.resolve(out).card
    assert card is not None
    assert card.recipe.startswith("sensverify train --data iris --model mlp-6 --loss 'cross-")
    assert str(tmp_path) not in card.recipe
    for model in (out, out / "model.onnx"):
        done = run("verify", model, "--json", "-")
        assert done.exit_code == 0, done.output
        found = json.loads(done.stdout)
        assert found["model"]["sha256"] == card.sha256
        assert len(found["samples"]) == 30
        assert found["input"]["sigma"] == 0.05
    assert found["summary"]["accuracy"] == pytest.approx(card.accuracy["test"], abs=1e-6)


def test_radius_of_the_training_is_that_of_verify(run: Run, tmp_path: Path) -> None:
    asked = ("--data", "iris", "--model", "linear", "--radius", 0.25, "--clip", 0, 8)
    assert run("train", *asked, *QUICK, "--out", tmp_path / "r").exit_code == 0
    found = json.loads(run("verify", tmp_path / "r", "--json", "-").stdout)
    assert (found["input"]["radius"], found["input"]["clip"]) == (0.25, [0, 8])


def test_a_radius_in_percent_is_of_the_datas_own_range(run: Run, tmp_path: Path) -> None:
    quick = (*QUICK, "--train-samples", 40, "--final-samples", 10, "--out", tmp_path / "run")
    command = ("train", "--data", "digits", "--model", "mlp-4", *quick)
    done = run(*command, "--radius", "5%", "--ramp", "50%")
    assert done.exit_code == 0, done.output
    kept = json.loads((tmp_path / "run" / "config.json").read_text())["settings"]
    assert (kept["radius"], kept["ramp"]) == (0.05, 0.5)
    again = run("train", "--out", tmp_path / "run", "--resume", "--radius", "5%")
    assert again.exit_code == 0, again.output
    refused = run("train", "--data", "iris", "--model", "iris", *quick, "--radius", "5%")
    assert refused.exit_code == 2
    assert "--sigma" in refused.stderr


def test_json_alone_on_standard_output(run: Run, tmp_path: Path) -> None:
    asked = ("--data", "iris", "--model", "linear", *QUICK, "--out", tmp_path / "r", "--json", "-")
    done = run("train", *asked)
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert found["request"]["model"] == "linear"
    assert found["metrics"]["test"]["samples"] == 30
    assert "verify it with" in done.stderr
    target = tmp_path / "there.json"
    target.write_text("precious")
    asked = ("--data", "iris", "--model", "linear", "--out", tmp_path / "s", "--json", target)
    assert run("train", *asked).exit_code == 2
    assert not (tmp_path / "s").exists()


def test_a_page_in_the_folder_and_another_one(run: Run, tmp_path: Path) -> None:
    out, page = tmp_path / "r", tmp_path / "page.html"
    asked = ("--data", "iris", "--model", "linear", *QUICK, "--out", out)
    assert run("train", *asked, "--report", page).exit_code == 0
    assert page.read_bytes() == (out / "report.html").read_bytes()
    assert "Final metrics" in page.read_text(encoding="utf-8")
    for target, words in ((page, "not overwritten"), ("-", "--report"), (out / "x/y", "no folder")):
        done = run("train", *asked, "--resume", "--report", target)
        assert (done.exit_code, done.stdout) == (2, "")
        assert words in done.stderr
    assert run("train", *asked, "--resume", "--report", page, "--force").exit_code == 0


def test_own_data(run: Run, tmp_path: Path) -> None:
    path, draw = tmp_path / "mine.npz", np.random.default_rng(0)
    x = draw.normal(size=(60, 1, 6, 6))
    np.savez(path, x=x, y=(x.mean(axis=(1, 2, 3)) > 0).astype(int))
    asked = ("--data", path, "--model", "conv-2-fc-3", *QUICK)
    done = run("train", *asked, "--out", tmp_path / "r")
    assert done.exit_code == 0, done.output
    card = models.resolve(tmp_path / "r").card
    assert card is not None
    assert (card.data, card.data_licence) == ("mine.npz", "of the data's owner")
    assert run("verify", tmp_path / "r", "--samples", "0:2").exit_code == 0


def test_a_finished_run_is_shown_again_and_never_overwritten(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "r"
    # --resume where there is nothing yet begins.
    asked = ("--data", "iris", "--model", "linear", *QUICK, "--out", out, "--resume")
    first = run("train", *asked)
    assert first.exit_code == 0
    files = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for again in (run("train", *asked), run("train", "--out", out, "--resume")):
        assert again.exit_code == 0
        assert again.stdout == first.stdout
    refused = run("train", *asked[:-1])
    assert refused.exit_code == 2
    assert "holds a training already" in refused.stderr
    other = run("train", "--out", out, "--resume", "--seed", 1)
    assert other.exit_code == 2
    assert "was begun with --seed 0, got 1" in other.stderr
    assert files == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_how_often_it_is_kept_may_change(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "r"
    assert run("train", "--data", "iris", "--model", "linear", *QUICK, "--out", out).exit_code == 0
    again = run("train", "--out", out, "--resume", "--checkpoint-seconds", 5)
    assert again.exit_code == 0, again.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "iris"), "--data"),
        (("--data", "iris"), "--model"),
        (("--data", "irsi", "--model", "iris"), "'iris'"),
        (("--data", "iris", "--model", "irsi"), "'iris'"),
        (("--data", "iris", "--model", "iris", "--loss", "bsae"), "'base'"),
        (("--data", "iris", "--model", "iris", "--loss", "l2 + l3"), "'l3'"),
        (("--data", "iris", "--model", "iris", "--loss", "sm"), "--sigma"),
        (("--data", "iris", "--model", "digits"), "mlp-100-50"),
        (("--data", "iris", "--model", "iris", "--epochs", "0"), "--epochs"),
        (("--data", "iris", "--model", "iris", "--optimiser", "adm"), "adam"),
        (("--data", "iris", "--model", "iris", "--sigma", "nan"), "--sigma"),
        (("--resume",), "--data"),
    ],
)
def test_what_cannot_be_trained(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = run("train", *arguments, "--out", tmp_path / "r")
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "r").exists()


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/proc").is_dir(), reason="root may write")
def test_folders_that_cannot_be_written_to(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "r", Path("/proc/r")):
        done = run("train", "--data", "iris", "--model", "linear", "--out", out)
        assert (done.exit_code, done.stdout) == (2, "")
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_and_how_to_go_on_is_said(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: signal.Signals
) -> None:
    from sensverify.cli import train_progress as training

    shown = training.EpochLines.__call__

    def interrupting(self: training.EpochLines, now: object) -> None:
        shown(self, now)  # type: ignore[arg-type]
        if now.step == 3:  # type: ignore[attr-defined]
            os.kill(os.getpid(), how)

    out = tmp_path / "a run"
    asked = ("--data", "iris", "--model", "linear", *QUICK, "--out", out)
    with monkeypatch.context() as patched:
        patched.setattr(training.EpochLines, "__call__", interrupting)
        done = run("train", *asked, "--json", "-")
    assert done.exit_code == 3
    assert STOPPING[how] in done.stderr
    result = json.loads(done.stdout)
    assert (result["interrupted"], result["epochs"]) == (True, 1)
    last = done.stderr.splitlines()[-1]
    assert (
        last == f"stopped after 1 of 2 epochs; go on with: sensverify train --out '{out}' --resume"
    )
    assert "Interrupted" in (out / "report.html").read_text(encoding="utf-8")
    assert run("verify", out).exit_code == 2
    done = run("train", "--out", out, "--resume")
    assert done.exit_code == 0
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Interrupted" not in page
    assert "went on after step 3" in page
    assert done.stderr.startswith("epoch 2/2")
    whole = run("train", *asked[:-1], tmp_path / "whole")
    assert whole.exit_code == 0
    names = ("model.onnx", "sample.npz")
    for name in names:
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_metrics_that_are_chosen(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "run"
    chosen = ("--metrics", "jacob,PGD_ERR", "--metric-bounds", "none", "--metric-every-steps", 2)
    words = ("train", "--data", "iris", "--model", "mlp-4", "--sigma", 0.05, "--out", out)
    done = run(*words, *QUICK, *chosen)
    assert done.exit_code == 0, done.stderr
    found = json.loads((out / "result.json").read_text())["metrics"]["test"]
    kept = {name for name, value in found.items() if value is not None}
    assert kept == {"samples", "ce", "err", "jacob", "pgd_err"}
    card = json.loads((out / "model.json").read_text())
    assert "--metrics JACOB,PGD_ERR" in card["recipe"]
    assert (out / "step-metrics.csv").is_file()
    again = run("train", "--out", out, "--resume", "--metrics", "JACOB,PGD_ERR")
    assert again.exit_code == 0, again.stderr
    other = run("train", "--out", out, "--resume", "--metrics", "ERR")
    assert other.exit_code == 2
    assert "--metrics" in other.stderr


def test_images_that_are_augmented(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ("train", "--data", "digits", "--model", "mlp-6", "--train-samples", 64, "--out", out)
    done = run(*words, *QUICK, "--augment", "2*rotation + shear", "--augment-mode", "duplicate")
    assert done.exit_code == 0, done.stderr
    assert "2*rotation + shear, mode duplicate" in done.stdout
    steps = json.loads((out / "result.json").read_text())["steps"]
    assert steps == 2 * 2
    recipe = json.loads((out / "model.json").read_text())["recipe"]
    assert "--augment '2*rotation + shear' --augment-mode duplicate" in recipe
    again = run("train", "--out", out, "--resume", "--augment", "rotation")
    assert again.exit_code == 2
    assert "--augment" in again.stderr


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--augment", "rotatio"), "did you mean 'rotation'"),
        (("--augment", "rotation(severity=7)"), "from 1 to 5"),
        (("--augment", "rotation"), "images"),
        (("--augment-mode", "all"), "--augment"),
        (("--augment-mode", "most"), "duplicate"),
        (("--metrics", "PGD_ER"), "PGD_ERR"),
        (("--metrics", "PGD_ERR,"), "is no list of names"),
        (("--metrics", "SENSE"), "--sigma"),
        (("--metric-bounds", "no"), "--metric-bounds"),
        (("--metric-every-steps", 0), "--metric-every-steps"),
    ],
)
def test_augmentations_and_metrics_that_cannot_be(
    run: Run, tmp_path: Path, words: tuple[object, ...], problem: str
) -> None:
    out = tmp_path / "run"
    done = run("train", "--data", "iris", "--model", "mlp-4", "--out", out, *words)
    assert done.exit_code == 2
    assert problem in done.stderr
    assert not out.exists()


def test_a_run_of_an_earlier_version_goes_on(run: Run, tmp_path: Path) -> None:
    """It has none of the settings that came later."""
    out = tmp_path / "run"
    words = ("train", "--data", "iris", "--model", "mlp-4", "--out", out)
    assert run(*words, *QUICK).exit_code == 0
    config = json.loads((out / "config.json").read_text())
    for settings in (config["settings"], config["request"]["settings"]):
        for name in ("metrics", "metric_bounds", "metric_every_steps"):
            del settings[name]
    (out / "config.json").write_text(json.dumps(config))
    done = run("train", "--out", out, "--resume", "--metric-bounds", "lp-dual")
    assert done.exit_code == 0, done.stderr


def test_a_range_of_the_data_that_is_not_kept_is_told(run: Run, tmp_path: Path) -> None:
    asked = ("--model", "mlp-8", "--epochs", 1, "--train-samples", 60, "--metric-samples", 0)
    asked = (*asked, "--final-samples", 10)
    told = "note: perturbed features may leave the range of the data, 0 to 1"
    for place, (more, notes) in enumerate(
        (
            (("--data", "digits", "--radius", 0.05), 1),
            (("--data", "digits", "--radius", 0.05, "--clip", 0, 1), 0),
            (("--data", "digits", "--radius", 0.05, "-q"), 0),
            (("--data", "digits"), 0),
            (("--data", "iris", "--model", "mlp-8", "--radius", 0.05), 0),
        )
    ):
        done = run("train", *asked, *more, "--out", tmp_path / str(place))
        assert done.exit_code == 0, done.output
        assert done.stderr.count(told) == notes, more
        assert done.stderr.count("'--clip 0 1' does so here") == notes
