"""Data of one's own on the command line: files, folders, names of classes, and what is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

Run = Callable[..., Result]

WORDS = ["versicolor", "setosa", "virginica", "setosa"]
X = np.array([[5.9, 3, 4.2, 1.5], [5, 3.4, 1.5, 0.2], [6.5, 3, 5.5, 2], [4.8, 3, 1.4, 0.1]])


def table(folder: Path, label: str = "class", name: str = "d.csv") -> Path:
    rows = [[*map(str, x), word] for x, word in zip(X, WORDS, strict=True)]
    lines = [["a", "b", "c", "d", label], *rows]
    (folder / name).write_text("\n".join(map(",".join, lines)))
    return folder / name


def test_names_of_classes_are_those_of_the_card(run: Run, tmp_path: Path) -> None:
    done = run("verify", "iris", "--data", table(tmp_path), "--radius", 0.01, "--json", "-")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [sample["label"] for sample in found["samples"]] == [1, 0, 2, 0]
    assert found["summary"]["accuracy"] == 1
    assert "'class'" in found["input"]["note"]
    assert "setosa = 0, versicolor = 1, virginica = 2" in found["input"]["note"]


def test_what_is_guessed_is_said_on_standard_error_and_in_the_report(
    run: Run, tmp_path: Path
) -> None:
    page = tmp_path / "r.html"
    done = run("verify", "iris", "--data", table(tmp_path), "--radius", 0.01, "--report", page)
    for text in (done.stderr, done.stdout, page.read_text()):
        assert "the labels are the column" in " ".join(text.split())
    assert run("verify", "iris", "--samples", "0:1").stderr == ""
    asked = ("verify", "iris", "--data", table(tmp_path), "--radius", 0.01)
    assert (run(*asked).stderr == "", run(*asked, "-q").stderr == "") == (False, True)


def test_settings_follow_the_file(run: Run, tmp_path: Path) -> None:
    path = table(tmp_path, "species")
    done = run("verify", "iris", "--data", path)
    assert done.exit_code == 2
    assert f"'{path}(label=species)'" in done.stderr
    asked = f"{path}(label=species, header=yes)"
    done = run("verify", "iris", "--data", asked, "--radius", 0.01, "--json", "-")
    found = json.loads(done.stdout)["input"]
    assert found["data"] == asked
    assert found["note"].startswith("labels by name")


@pytest.mark.parametrize("name", ["rose", "Setosa"])
def test_a_class_that_the_model_lacks_is_refused(run: Run, tmp_path: Path, name: str) -> None:
    path = table(tmp_path)
    path.write_text(path.read_text().replace("setosa", name))
    done = run("verify", "iris", "--data", path)
    assert done.exit_code == 2
    assert f"'{name}'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_folders_of_images(run: Run, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (10, 8, 8), dtype=np.uint8)
    for number, each in enumerate(pixels):
        (tmp_path / "images" / str(number)).mkdir(parents=True)
        Image.fromarray(each).save(tmp_path / "images" / str(number) / "1.png")
    asked = ("verify", "digits", "--data", tmp_path / "images", "--radius", 0.01)
    found = json.loads(run(*asked, "--json", "-").stdout)
    assert [sample["label"] for sample in found["samples"]] == list(range(10))
    target = tmp_path / "images" / "0" / "1.png"
    done = run(*asked, "--report", target, "--force")
    assert done.exit_code == 2
    assert "is what this run reads" in done.stderr


@pytest.mark.parametrize("command", ["verify", "evaluate", "train"])
def test_data_are_never_overwritten(run: Run, tmp_path: Path, command: str) -> None:
    path = table(tmp_path)
    before = path.read_bytes()
    asked: list[object] = ["--model", "mlp-4", "--out", tmp_path / "run"]
    asked = asked if command == "train" else ["iris"]
    done = run(command, *asked, "--data", f"{path}(label=class)", "--json", path, "--force")
    assert done.exit_code == 2
    assert "is what this run reads" in done.stderr
    assert path.read_bytes() == before


def test_evaluate_takes_tables(run: Run, tmp_path: Path) -> None:
    nothing = ("--attacks", "none", "--certify", "none", "--corruptions", "none")
    nothing = (*nothing, "--sequences", "none", "--measures", "none")
    done = run("evaluate", "iris", "--data", table(tmp_path), *nothing, "--json", "-")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["class_names"] == ["setosa", "versicolor", "virginica"]
    assert "the labels are the column" in found["settings"]["data"]
    assert "the labels are the column" in done.stderr


def test_train_takes_tables_and_keeps_the_names(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    words = ["no", "yes"]
    lines = [f"{k % 2 + k / 100},{k / 20},{words[k % 2]}" for k in range(20)]
    path.write_text("\n".join(["a,b,target", *lines]))
    out = tmp_path / "run"
    asked = ("--metric-samples", 4, "--final-samples", 4, "--pgd-steps", 1, "--radius", 0.01)
    done = run(*("train", "--data", path, "--model", "mlp-4", "--epochs", 1, "--out", out), *asked)
    assert done.exit_code == 0, done.output
    assert "no = 0, yes = 1" in done.stderr
    card = json.loads((out / "model.json").read_text())
    assert card["labels"] == ["no", "yes"]
    assert "--data t.csv" in card["recipe"]
    # The card has the names in its own order.
    done = run("verify", out, "--data", path, "--radius", 0.01, "--samples", "1:3", "--json", "-")
    assert [each["label"] for each in json.loads(done.stdout)["samples"]] == [1, 0]
    assert run("train", "--data", path, "--out", out, "--resume").exit_code == 0


def test_list_says_why_data_are_not_here(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SENSVERIFY_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "train-labels-idx1-ubyte").write_bytes(b"")
    text = " ".join(run("list", "data", "--data-dir", tmp_path).stdout.split())
    for words in ("mnist/ with", "train-images-idx3-ubyte.gz", "--data-dir", "$SENSVERIFY_DATA"):
        assert words in text
    assert "lacks train-images, t10k-images, t10k-labels" in text
    assert "cifar-10-batches-bin" in text
