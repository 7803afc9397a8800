"""`sensverify verify --lipschitz` and `--monotone`: answers, files, exit status."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from click.testing import Result

from tests.mlp_files import save_mlp_file
from tests.report.schemas import check_result

Run = Callable[..., Result]


@pytest.fixture
def asked(tmp_path: Path) -> list[object]:
    """The second output rises with feature 0; the first one bends with it."""
    first = np.array([[1.0, 0.0], [-1.0, 0.0], [0.5, 1.0]])
    second = np.array([[1.0, 1.0, 0.0], [1.0, -1.0, 0.0]])
    layers = ((first, np.zeros(3)), (second, np.zeros(2)))
    model = save_mlp_file(tmp_path / "net.onnx", *layers)
    np.savez(tmp_path / "x.npz", x=np.array([[0.1, 0.3], [2.0, 0.0]], dtype=np.float32))
    return ["verify", model, "--data", tmp_path / "x.npz", "--radius", 0.5]


def test_constants(run: Run, asked: list[object], tmp_path: Path) -> None:
    page, found = tmp_path / "a.html", tmp_path / "a.json"
    done = run(*asked, "--lipschitz", "--json", found, "--report", page)
    assert done.exit_code == 0, done.stderr
    assert "Lipschitz" in done.stdout
    values = json.loads(found.read_text())
    check_result(values)
    for sample in values["samples"]:
        for pair in sample["lipschitz"].values():
            assert 0 <= pair["attained"] <= pair["proven"]
    # On the second box the network is linear: (x, x) of the first feature.
    last = values["samples"][1]["lipschitz"]
    assert [round(last[norm]["proven"], 6) for norm in ("l1", "linf")] == [2.0, 1.0]
    assert "Slopes of a network" in page.read_text()


def test_monotony(run: Run, asked: list[object]) -> None:
    done = run(*asked, "--monotone", "0", "--json", "-")
    assert done.exit_code == 1
    values = json.loads(done.stdout)
    check_result(values)
    verdicts = [[m["verdict"] for m in s["monotony"]] for s in values["samples"]]
    assert verdicts == [["refuted", "proven"], ["proven", "proven"]]
    (low, high), outputs = (values["samples"][0]["monotony"][0][k] for k in ("inputs", "values"))
    assert low[0] < high[0]
    assert low[1] == high[1]
    session = onnxruntime.InferenceSession(str(asked[1]), providers=["CPUExecutionProvider"])
    again = session.run(None, {"x": np.array([low, high], dtype=np.float32)})[0][:, 0]
    assert again[1] < again[0]
    assert again.tolist() == outputs
    assert run(*asked, "--monotone", "1:up", "--monotone", "1:down").exit_code == 0
    assert run(*asked, "--samples", "1", "--monotone", "0:up").exit_code == 0
    assert run(*asked, "--samples", "1", "--monotone", "0:down").exit_code == 1


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--monotone", "7"), "feature 7"),
        (("--monotone", "0:sideways"), "sideways"),
        (("--monotone", "-1"), "-1"),
        (("--monotone", ""), "direction"),
        (("--parts", "4"), "--parts"),
        (("--lipschitz", "--parts", "0"), "--parts"),
        (("--lipschitz", "--max-width", "1"), "--max-width"),
        (("--lipschitz", "--property", "a.vnnlib"), "--lipschitz"),
        (("--lipschitz", "--critical-radius"), "--critical-radius"),
        (("--lipschitz", "--method", "branch-and-bound"), "branch-and-bound"),
    ],
)
def test_bad_input(run: Run, asked: list[object], more: tuple[str, ...], words: str) -> None:
    done = run(*asked, *more)
    assert done.exit_code == 2
    assert words in done.stderr
