"""The example that puts a network into a program of its own."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

import sensverify as sv

EXAMPLE = Path(__file__).parents[2] / "examples" / "least_change.py"


def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("least_change", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_least_change_makes_the_class_win() -> None:
    least_change = example().least_change
    change, found = least_change("iris", 23, 2, 0.1)
    output = sv.forward_pass(sv.load("iris"), torch.from_numpy(found[None]))[0]
    assert int(output.argmax()) == 2
    assert 0 < change < np.inf
    nothing, _ = least_change("iris", 23, 2, 1e-4)
    assert nothing == np.inf
    wider, _ = least_change("iris", 23, 2, 0.15)
    assert wider == pytest.approx(change, rel=1e-3)
