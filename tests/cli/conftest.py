"""Small ONNX files and the command line in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from sensverify.cli.main import main
from tests.mlp_files import save_mlp_file

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    """``run("verify", "iris", ...)`` as a person would type it."""

    def call(*args: object) -> Result:
        return CliRunner().invoke(main, [str(a) for a in args], prog_name="sensverify")

    return call


@pytest.fixture
def save_mlp() -> Callable[..., Path]:
    """Writes a fully-connected ONNX model; see `tests.mlp_files`."""
    return save_mlp_file


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    """A model whose two outputs are its two inputs: every answer is known by hand."""
    return save_mlp_file(tmp_path / "identity.onnx", (np.eye(2), np.zeros(2)))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two samples of two features, the second one with the wrong label."""
    path = tmp_path / "data.npz"
    np.savez(
        path,
        x=np.array([[2.0, 0.0], [0.0, 2.0]], dtype=np.float32),
        y=np.array([0, 0]),
        feature_range=np.array([2.0, 0.0]),
    )
    return path
