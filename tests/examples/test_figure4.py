"""The example that repeats Figure 4 of the paper, on two small runs."""

from __future__ import annotations

import csv
import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "figure4_relative_difference.py"


@pytest.fixture(scope="module")
def figure4() -> ModuleType:
    if importlib.util.find_spec("matplotlib") is None:
        reason = "matplotlib is not there: pip install '.[examples]'"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    spec = importlib.util.spec_from_file_location("figure4", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_two_networks_then_a_third(
    figure4: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--out", str(tmp_path), "--samples", "2", "--sigma", "0.03", "--seeds", "1"]
    figure4.main([*options, "--epochs", "5", "40"])
    rows = list(csv.DictReader((tmp_path / "networks.csv").open()))
    assert [row["epoch"] for row in rows] == ["5", "40"]
    for row in rows:
        exact, attained = float(row["s_exact"]), float(row["s_attained"])
        assert 0 < attained <= exact <= 1.001 * attained
        for name in figure4.CHEAP:
            assert float(row[f"s_{name}"]) >= exact * (1 - 1e-9)
    assert "<svg" in (tmp_path / "figure4.svg").read_text()
    capsys.readouterr()
    # What is in the file is not computed again, and a line cut off by a crash is.
    text = (tmp_path / "networks.csv").read_text()
    (tmp_path / "networks.csv").write_text(text[: text.rindex(",") - 20])
    figure4.main([*options, "--epochs", "5", "40"])
    assert "network 1 of 1: seed 0, epoch 40" in capsys.readouterr().err
    assert [row["epoch"] for row in figure4._read(tmp_path / "networks.csv")] == ["5", "40"]
