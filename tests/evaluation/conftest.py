"""A network and samples that every test of evaluations can begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.evaluation.networks import blobs, mlp


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``a.onnx``, ``b.onnx``, and ``data.npz`` with two parts."""
    folder = tmp_path_factory.mktemp("files")
    mlp(folder / "a.onnx", seed=0)
    mlp(folder / "b.onnx", seed=1)
    blobs(folder / "data.npz")
    return folder
