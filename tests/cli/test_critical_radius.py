"""`sensverify verify --critical-radius`: what it answers, in which form, with which exit status."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

from sensverify.runs.watch import Watch

Run = Callable[..., Result]


def answer(run: Run, *args: object) -> dict[str, Any]:
    done = run("verify", *args, "--critical-radius", "--json", "-")
    assert done.exit_code == 0, done.output

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON number")

    return json.loads(done.stdout, parse_constant=refuse)


def test_json_has_the_keys_of_the_contract(run: Run, identity: Path, data: Path) -> None:
    """Outputs are inputs: the label of (2, 0) is lost at radius 1; (0, 2) never had it."""
    found = answer(run, identity, "--data", data, "--radius", 0.25)
    assert list(found) == [
        *("schema", "command", "date", "versions", "model", "method", "guarantee", "input"),
        *("class_names", "search", "device", "seconds", "interrupted", "samples", "summary"),
    ]
    assert found["schema"] == "sensverify.critical-radius/2"
    assert found["search"] == {
        "unit": "the units of the features",
        "first_radius": 0.25,
        "max_radius": 25.0,
        "accuracy": 0.01,
        "steps": 40,
        "threshold": None,
        "top_k": None,
        "targets": None,
        "costs": None,
    }
    first, second = found["samples"]
    assert 0.99 <= first["proven"] <= 1 <= first["attacked"] <= 1.01
    assert (first["label"], first["prediction"], first["becomes"]) == (0, 0, 1)
    assert (second["proven"], second["attacked"], second["prediction"]) == (0, 0, 1)
    assert found["summary"]["misclassified"] == 1
    assert found["summary"]["asked"] == 2


def test_what_is_asked_of_classes_is_asked_of_radii(
    run: Run, identity: Path, data: Path, tmp_path: Path
) -> None:
    """Of two classes, 0 is taken for 1 where it loses its label; nothing is asked of 1."""
    (tmp_path / "costs.csv").write_text("0,1\n0,0\n")
    whole = answer(run, identity, "--data", data, "--radius", 0.25)["samples"]
    for name, text in (("targets", "0:1"), ("costs", tmp_path / "costs.csv")):
        found = answer(run, identity, "--data", data, "--radius", 0.25, f"--{name}", text)
        assert found["search"][name] == str(text)
        assert found["samples"][0]["attacked"] == whole[0]["attacked"]
        assert [each["label"] for each in found["samples"]] == [
            each["label"] for each in whole if each["label"] == 0
        ]
        done = run(
            *("verify", identity, "--data", data, "--radius", 0.25, f"--{name}", text),
            "--critical-radius",
        )
        text = " ".join(done.output.split())
        assert "is taken for a class that it may not be taken for, in real arithmetic" in text
        assert "samples of other classes are left out" in text
    done = run("verify", "iris", "--samples", "0:2", "--critical-radius", "--top-k", 2)
    assert "no input within the proven radius has 2 or more outputs above that of the label" in (
        " ".join(done.output.split())
    )


@pytest.mark.parametrize(
    "asked",
    [
        ("--targets", "1:1"),
        ("--targets", "5:0"),
        ("--targets", "nobody:0"),
        ("--costs", "missing.csv"),
        ("--top-k", 2),
        ("--top-k", 0),
        ("--targets", "0:1", "--top-k", 1),
    ],
    ids=str,
)
def test_questions_about_classes_that_ask_nothing(
    asked: tuple[object, ...], run: Run, identity: Path, data: Path
) -> None:
    done = run("verify", identity, "--data", data, "--radius", 0.25, "--critical-radius", *asked)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")


def test_the_file_of_costs_is_not_overwritten(
    run: Run, identity: Path, data: Path, tmp_path: Path
) -> None:
    path = tmp_path / "costs.csv"
    path.write_text("0,1\n0,0\n")
    asked = ("--radius", 0.25, "--critical-radius", "--costs", path, "--json", path, "--force")
    assert run("verify", identity, "--data", data, *asked).exit_code == 2
    assert path.read_text() == "0,1\n0,0\n"


def test_what_is_never_found_is_null(run: Run, identity: Path, data: Path) -> None:
    found = answer(
        run, identity, "--data", data, "--samples", 0, "--radius", 0.1, "--max-radius", 0.5
    )
    assert found["samples"][0]["proven"] == 0.5
    assert found["samples"][0]["attacked"] is None
    assert found["summary"]["median_attacked"] is None
    assert found["summary"]["unbroken"] == 1


def test_the_settings_of_the_search(run: Run, identity: Path, data: Path) -> None:
    asked = (identity, "--data", data, "--samples", 0, "--radius", 0.3)
    rough = answer(run, *asked, "--accuracy", 0.5, "--steps", 3)
    fine = answer(run, *asked, "--accuracy", 1e-4)
    (near,), (far,) = fine["samples"], rough["samples"]
    assert near["attacked"] - near["proven"] < 3e-4
    assert far["attacked"] - far["proven"] > 0.01
    assert far["steps"] <= 6 < near["steps"]


def test_terminal_and_page(run: Run, tmp_path: Path) -> None:
    page = tmp_path / "radii.html"
    done = run("verify", "iris", "--critical-radius", "--steps", 6, "--report", page)
    assert done.exit_code == 0, done.output
    for text in ("proven", "attacked", "becomes", "misclassified", "SOUND", "robust within 0.05"):
        assert text in done.stdout
    assert "… and 10 more samples" in done.stdout
    text = page.read_text()
    assert "Samples robust up to each radius" in text
    # The distribution, wide and for phones, and a bar for each of 30 samples.
    assert text.count("<svg") == 2 + 30
    assert done.stderr == ""


def test_a_folder_keeps_everything(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked = ("verify", "iris", "--critical-radius", "--samples", "0:4", "--steps", 5, "--out", out)
    assert run(*asked).exit_code == 0
    names = ["asked.json", "counterexamples.npz", "critical-radius.json", "journal.jsonl"]
    assert sorted(path.name for path in out.iterdir()) == [*names, "report.html"]
    arrays = np.load(out / "counterexamples.npz")
    assert arrays["x"].shape == (len(arrays["radius"]), 4)
    kept = json.loads((out / "critical-radius.json").read_text())
    refused = run(*asked)
    assert refused.exit_code == 2
    assert "--resume" in refused.stderr
    assert run(*asked, "--resume").exit_code == 0
    again = json.loads((out / "critical-radius.json").read_text())
    assert again["samples"] == kept["samples"]


def test_an_unfinished_search_says_how_to_go_on(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Watch, "over", property(lambda self: True))
    asked = ("verify", "iris", "--critical-radius")
    done = run(*asked)
    assert done.exit_code == 3
    assert "unfinished: 30 samples" in done.stdout
    assert "with --out the rest can be done later" in done.stderr
    done = run(*asked, "--out", tmp_path / "out")
    assert done.exit_code == 3
    assert f"--out {tmp_path / 'out'} --resume" in done.stderr
    assert (tmp_path / "out" / "journal.jsonl").read_text() == ""


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--accuracy", "0.1"), "--critical-radius"),
        (("--max-radius", "1"), "--critical-radius"),
        (("--out", "o"), "--critical-radius"),
        (("--resume",), "--critical-radius"),
        (("--critical-radius", "--accuracy", "2"), "--accuracy"),
        (("--critical-radius", "--steps", "0"), "--steps"),
        (("--critical-radius", "--max-radius", "-1"), "--max-radius"),
        (("--critical-radius", "--max-radius", "nan"), "--max-radius"),
        (("--critical-radius", "--radius", "0"), "--radius"),
        (("--critical-radius", "--resume"), "--out"),
        (("--critical-radius", "--max-width", "1"), "--max-width"),
        (("--critical-radius", "--rigorous"), "--rigorous"),
        (("--critical-radius", "--probabilities"), "--probabilities"),
        (("--critical-radius", "--box", "b.npz"), "--box"),
        (("--critical-radius", "--certificate", "c"), "--certificate"),
        (("--critical-radius", "--property", "p.vnnlib"), "--critical-radius"),
        (("--critical-radius", "--witness", "w"), "--witness"),
        (("--critical-radius", "--method", "nothing"), "nothing"),
    ],
)
def test_bad_input(run: Run, options: tuple[str, ...], named: str, tmp_path: Path) -> None:
    done = run("verify", "iris", *options)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert named in done.stderr
