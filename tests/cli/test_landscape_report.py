"""``sensverify landscape report``: it measures, answers and writes; what cannot be is one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from sensverify.cli.main import main
from sensverify.formats.onnx.runtime import load_onnxruntime
from sensverify.landscape.folder import Landscape
from sensverify.landscape.measuring import FILE
from tests.landscape.folders import write_landscape
from tests.report.schemas import check_result

QUICK = ("--sigmas", "0.1", "--methods", "exact,crown", "--training-steps", "3")


def report(folder: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["landscape", "report", str(folder), *QUICK, *options])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("land") / "iris"
    write_landscape(found, 4)
    return found


def test_it_answers_writes_and_measures_nothing_twice(folder: Path, tmp_path: Path) -> None:
    found = report(folder, "--onnx", str(tmp_path / "networks"))
    assert found.exit_code == 0, found.output
    assert "lower minima are less sensitive" in " ".join(found.stdout.split())
    values = json.loads((folder / "report" / "report.json").read_text())
    check_result(values)
    assert values["command"].startswith("sensverify landscape report")
    assert values["counts"]["measured"] == 4
    kept = (folder / FILE).read_bytes()
    assert kept.count(b"\n") == 4 + 4
    assert report(folder, "-q").exit_code == 0
    assert (folder / FILE).read_bytes() == kept
    check_networks(folder, tmp_path / "networks")


def check_networks(folder: Path, networks: Path) -> None:
    landscape = Landscape.read(folder)
    files = sorted(networks.iterdir())
    assert len(files) == 4
    x = np.asarray(landscape.split.test.x, dtype=np.float32)
    runtime = load_onnxruntime()
    for path in files:
        key = path.stem.partition("-")[2]
        with_weights = landscape.module(key).float()
        session = runtime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
        outputs = session.run(None, {"input": x})[0]
        expected = with_weights(landscape.energy.inputs[:0].float().new_tensor(x)).detach().numpy()
        assert np.allclose(outputs, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("minima", "scale", "said"),
    [
        (0, 1.0, "the landscape has no minimum yet"),
        (1, 1.0, "a rank correlation needs at least 3 minima, and 1 were measured"),
        (2, 1.0, "a rank correlation needs at least 3 minima, and 2 were measured"),
    ],
)
def test_a_landscape_without_an_answer_is_one_line(
    minima: int, scale: float, said: str, tmp_path: Path
) -> None:
    write_landscape(tmp_path / "land", minima, scale=scale)
    found = report(tmp_path / "land", "-q")
    assert found.exit_code == 2
    assert said in found.stderr
    assert len(found.stderr.splitlines()) == 1
    assert not (tmp_path / "land" / "report").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--sigmas", "0"), "--sigmas"),
        (("--sigmas", "nan"), "sigmas"),
        (("--sigmas", "x"), "--sigmas"),
        (("--methods", "ibp"), "--methods"),
        (("--methods", ""), "--methods"),
        (("--measures", "l3"), "l3"),
        (("--gap", "nan"), "--gap"),
        (("--seconds", "-1"), "--seconds"),
        (("--minima", "0"), "--minima"),
        (("--jobs", "0"), "--jobs"),
        (("--resamples", "0"), "--resamples"),
        (("--training-steps", "-1"), "--training-steps"),
        (("--trainings", "0"), "--trainings"),
    ],
)
def test_options_that_cannot_be(folder: Path, options: tuple[str, ...], said: str) -> None:
    found = report(folder, *options)
    assert found.exit_code == 2
    assert said in found.stderr
    assert len(found.stderr.splitlines()) == 1


def test_a_folder_of_something_else_is_refused(folder: Path, tmp_path: Path) -> None:
    found = report(tmp_path)
    assert found.exit_code == 2
    assert "holds no landscape" in found.stderr
    (tmp_path / "there").write_text("mine")
    found = report(folder, "--onnx", str(tmp_path))
    assert found.exit_code == 2
    assert "not empty" in found.stderr
    assert (tmp_path / "there").read_text() == "mine"
