"""`sensverify diff`: what it prints and writes, and with which exit status."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from tests.mlp_files import save_mlp_file
from tests.report.schemas import check_result

Run = Callable[..., Result]


@pytest.fixture
def asked(tmp_path: Path) -> list[object]:
    rng = np.random.default_rng(0)
    layers = [(rng.normal(size=(8, 3)), rng.normal(size=8)), (rng.normal(size=(2, 8)), np.zeros(2))]
    old = save_mlp_file(tmp_path / "old.onnx", *layers)
    new = save_mlp_file(tmp_path / "new.onnx", *((w + 0.02, b) for w, b in layers))
    np.savez(tmp_path / "x.npz", x=rng.normal(size=(30, 3)).astype(np.float32))
    return ["diff", old, new, "--data", tmp_path / "x.npz", "--radius", 0.1]


def test_everything_is_told(run: Run, asked: list[object], tmp_path: Path) -> None:
    page, found, witness = (tmp_path / name for name in ("a.html", "a.json", "a.npz"))
    done = run(*asked, "--report", page, "--json", found, "--witness", witness)
    assert done.exit_code == 0, done.stderr
    for word in ("decision", "largest difference", "paired", "agrees"):
        assert word in done.stdout
    values = json.loads(found.read_text())
    check_result(values)
    counts = values["summary"]
    assert counts["agrees"] + counts["differs"] + counts["undecided"] == 30
    assert "Two networks compared" in page.read_text()
    with np.load(witness) as arrays:
        assert len(arrays["x"]) == counts["differs"]
        assert (arrays["old"] != arrays["new"]).all()


def test_gates_make_the_status(run: Run, asked: list[object], tmp_path: Path) -> None:
    assert run(*asked, "--max-difference", 1000).exit_code == 0
    done = run(*asked, "--max-difference", 0.0001, "--junit", tmp_path / "gates.xml")
    assert done.exit_code == 1
    assert "failed" in done.stdout
    assert "max-difference" in (tmp_path / "gates.xml").read_text()
    assert run(*asked, "--min-agreement", "0%").exit_code == 0
    assert run(*asked, "--min-agreement", "100%").exit_code in (1, 3)


def test_a_certificate_is_written_and_checked(
    run: Run, asked: list[object], tmp_path: Path
) -> None:
    old, new, file, page = asked[1], asked[2], tmp_path / "diff.cert", tmp_path / "check.html"
    done = run(*asked, "--samples", "0:3", "--certificate", file, "--json", tmp_path / "a.json")
    assert done.exit_code == 0, done.stderr
    assert "CERTIFIED" in done.stdout
    values = json.loads((tmp_path / "a.json").read_text())
    check_result(values)
    assert values["certificate"]["path"] == str(file)
    assert len(values["samples"][0]["float32_margin"]) == 2
    checked = run("check", file, old, new, "--json", "-", "--report", page)
    assert checked.exit_code == 0, checked.stderr
    found = json.loads(checked.stdout)
    check_result(found)
    assert found["about"]["new"]["paired"] is True
    assert found["new_model"] == str(new)
    text = run("check", file, old, new).stdout
    assert "new model" in text
    assert "<= d0 <=" in text
    assert "d0" in page.read_text()
    assert run("check", file, new, old).exit_code == 1
    for models in ((old,), (old, new, new)):
        assert run("check", file, *models).exit_code == 2


def test_unpaired_networks_say_so(run: Run, asked: list[object]) -> None:
    done = run(*asked, "--no-pair", "--json", "-")
    values = json.loads(done.stdout)
    assert values["paired"] is False
    assert values["samples"][0]["width_apart"] is None
    assert "beside each other" in run(*asked, "--no-pair").stdout.replace("\n", " ")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--min-agreement", "2"), "--min-agreement"),
        (("--max-difference", "-1"), "--max-difference"),
        (("--junit", "g.xml"), "--min-agreement"),
        (("--sigma", "0.1"), "--radius"),
        (("--baseline", "a.json"), "--baseline"),
    ],
)
def test_bad_input(run: Run, asked: list[object], more: tuple[str, ...], words: str) -> None:
    done = run(*asked, *more)
    assert done.exit_code == 2
    assert words in done.stderr


def test_models_that_do_not_fit_are_refused(run: Run, asked: list[object], tmp_path: Path) -> None:
    other = save_mlp_file(tmp_path / "other.onnx", (np.ones((2, 4)), np.zeros(2)))
    done = run("diff", asked[1], other, *asked[3:])
    assert done.exit_code == 2
    assert "shapes" in done.stderr


def test_a_model_is_never_overwritten(run: Run, asked: list[object]) -> None:
    before = Path(str(asked[2])).read_bytes()
    done = run(*asked, "--json", asked[2], "--force")
    assert done.exit_code == 2
    assert Path(str(asked[2])).read_bytes() == before
