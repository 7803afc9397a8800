"""Degenerate networks from files x methods: every answer contains the exact range, or is it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from sensverify.bounds import AlphaCrown, Crown, Ibp, LpDual, Method, compute_bounds
from sensverify.certificates import StoredModel, check_claims
from sensverify.core.box import Box
from sensverify.core.results import Bounds
from sensverify.formats.onnx import load_onnx
from sensverify.network import Network
from sensverify.solvers.bisection import Bisection
from sensverify.solvers.branch_and_bound import BranchAndBound
from sensverify.solvers.exact import Exact
from sensverify.solvers.lp import Lp
from sensverify.solvers.milp import Milp
from tests.contracts.certified import certified_of
from tests.contracts.degenerate import CASES, Degenerate

BOUNDING = (Ibp(), LpDual(), Crown(), Crown(intermediate=Ibp()), AlphaCrown(steps=2), Lp())
EXACT = (Exact(), BranchAndBound(), Milp(), Bisection(gap=0.05))
PROVING = (*BOUNDING, Exact())
TOLERANCE = 2e-6
"""Of the values' size: onnxruntime computes in single precision."""

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@pytest.fixture
def path(case: Degenerate, tmp_path: Path) -> Path:
    onnx.save(case.model, tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


def box_of(case: Degenerate, network: Network, batch: int, dtype: torch.dtype) -> Box:
    ends = (torch.tensor([end] * batch, dtype=dtype) for end in (case.lower, case.upper))
    return Box(*(end.reshape(batch, *network.input_shape) for end in ends))


def assert_true(case: Degenerate, bounds: Bounds, method: Method) -> None:
    low, high = case.exact
    slack = TOLERANCE * (1 + abs(low) + abs(high))
    lower, upper = (end.double().numpy() for end in (bounds.outer.lower, bounds.outer.upper))
    assert lower.shape[1] == len(low)
    assert (lower <= low + slack).all(), method
    assert (upper >= high - slack).all(), method
    if method in EXACT:
        assert bounds.optimal is not None
        assert bool(bounds.optimal.all()), method
        near = slack + getattr(method, "gap") * np.maximum(abs(low), abs(high))  # noqa: B009
        assert (lower >= low - near).all(), method
        assert (upper <= high + near).all(), method


@every_case
def test_several_samples_in_single_precision(case: Degenerate, path: Path) -> None:
    network = load_onnx(path)
    for method in (*BOUNDING, Exact()):
        bounds = compute_bounds(network, box_of(case, network, 3, torch.float32), method)
        assert_true(case, bounds, method)
        if method not in EXACT:
            assert bool((bounds.outer.lower == bounds.outer.lower[:1]).all())


@every_case
def test_every_method_and_its_proof(case: Degenerate, path: Path) -> None:
    network, stored = load_onnx(path), StoredModel.read(path)
    box = box_of(case, network, 1, torch.float64)
    low, high = case.exact
    exact = np.concatenate([low, -high])[None]
    for method in (*BOUNDING, *EXACT):
        proves = method in PROVING
        bounds = compute_bounds(network, box, method, proof=proves)
        assert_true(case, bounds, method)
        if not proves:
            continue
        _, found = certified_of(stored, box, bounds)
        assert (found.lower <= exact + TOLERANCE * (1 + abs(exact))).all(), method
        if method in EXACT:
            near = 1e-5 * (1 + np.tile(np.maximum(abs(low), abs(high)), 2))
            assert (found.lower >= exact - near).all(), method
        check_claims(stored.program, found.claims, found.proof)
