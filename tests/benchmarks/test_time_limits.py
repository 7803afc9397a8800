"""Time limits on real networks of many kinds: run with ``pytest -m benchmark -n 0``.

Every question is hard: whether an output can be less than what was found over a box that is far too
large for a proof. The clock is the process's own processor time, which stands still while others
work; the wall times beside it are shown with ``-s``. About ten minutes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import pytest
import torch
from torch import nn

import sensverify as sv
from sensverify.bounds import compute_bounds
from sensverify.core.box import Box
from sensverify.core.queries import Query, Verdict
from sensverify.network import Network
from sensverify.runs.watch import Watch
from sensverify.solvers.branch_and_bound import BranchAndBound

pytestmark = pytest.mark.benchmark

LIMITS = (2.0, 5.0, 20.0)

FILES = {
    "vnncomp/acasxu/onnx/ACASXU_run2a_1_1_batch_2000.onnx.gz": 0.3,
    "vnncomp/cifar10_resnet/onnx/resnet_2b.onnx.gz": 0.05,
    "vnncomp/collins_rul_cnn/onnx/NN_rul_full_window_20.onnx.gz": 0.2,
    "vnncomp/cora_mnist/onnx/mnist-set.onnx.gz": 0.1,
    "vnncomp/eran_sigmoid/onnx/mnist_relu_9_200.onnx.gz": 0.05,
    "vnncomp/marabou_cifar10/onnx/cifar10_small.onnx.gz": 0.05,
    "vnncomp/mnist_fc/onnx/mnist-net_256x4.onnx.gz": 0.1,
    "vnncomp/oval21/onnx/cifar_wide_kw.onnx.gz": 0.1,
    "vnncomp/reach_prob_density/onnx/robot.onnx.gz": 1.0,
    "vnncomp/rl_benchmarks/onnx/cartpole.onnx.gz": 5.0,
    "vnncomp/safenlp/onnx/ruarobot/perturbations_0.onnx.gz": 1.0,
    "vnncomp/tllverifybench/onnx/tllBench_n=2_N=M=16_m=1_instance_1_2.onnx.gz": 2.0,
    "vnncomp/verivital/onnx/Convnet_avgpool.onnx.gz": 0.2,
    "nets/marabou/cnn_max_mninst2.onnx": 0.1,
    "nets/marabou/conv_mp1.onnx": 0.1,
    "nets/marabou/mnist2x5_sigmoid.onnx": 0.3,
    "nets/marabou/KJ_TinyTaxiNet.onnx": 0.3,
    "nets/dnnv/mnist_relu_3_50.onnx": 0.3,
}
"""Files below ``$SENSVERIFY_DATA``, with the radius of the box."""

SHIPPED = {"digits-mixer": 0.3, "power-flow": 0.9, "mnist-conv2": 0.2}


class Signs(nn.Module):
    """Signs of affine functions, as of a binarised network."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sign(x)


def steps() -> nn.Module:
    torch.manual_seed(0)
    body = [nn.Linear(100, 400), Signs(), nn.Linear(400, 400), Signs(), nn.Linear(400, 4)]
    return nn.Sequential(*body).requires_grad_(False)


def rounded() -> nn.Module:
    """Activations of eight bits, as files of quantised networks compute them."""

    class Rounded(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.round(torch.relu(x) * 32).clamp(0, 255) / 32

    torch.manual_seed(0)
    body = [nn.Linear(200, 300), Rounded(), nn.Linear(300, 300), Rounded(), nn.Linear(300, 4)]
    return nn.Sequential(*body).requires_grad_(False)


MADE: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "steps": (steps, 100),
    "rounded": (rounded, 200),
}


def loaded(name: str) -> tuple[Network, float]:
    if name in MADE:
        make, features = MADE[name]
        return sv.from_module(make(), (features,)), 0.5
    if name in SHIPPED:
        return sv.load(name), SHIPPED[name]
    return sv.load(str(Path(os.environ["SENSVERIFY_DATA"], name))), FILES[name]


NAMES = [*FILES, *SHIPPED, *MADE]


def around(network: Network, radius: float) -> Box:
    rng = np.random.default_rng(0)
    center = rng.random((1, *network.input_shape))
    return Box(center - radius, center + radius)


def hard(network: Network, box: Box, row: np.ndarray) -> np.ndarray:
    """A limit a little below what is attained: no witness is at hand, and no proof either."""
    watch = Watch(1.0, clock=process_time)
    found = compute_bounds(network, box, BranchAndBound(threads=1), row, watch=watch)
    assert found.inner is not None
    attained, proven = float(found.inner.lower[0, 0]), float(found.outer.lower[0, 0])
    return np.array([attained - 0.3 * (attained - proven)])


@pytest.fixture(autouse=True, scope="module")
def _warm() -> None:
    """Imports and plans are there before the first limit."""
    network = sv.load("iris")
    box = around(network, 0.1)
    for method in ("branch-and-bound", "exact", "milp", "lp"):
        compute_bounds(network, box, sv.make_method(method))


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("name", NAMES, ids=lambda name: Path(name).name.split(".")[0])
def test_a_question_ends_in_time(name: str, limit: float) -> None:
    network, radius = loaded(name)
    box = around(network, radius)
    row = np.zeros((1, int(np.prod(network.output_shape))))
    row[0, 0] = 1.0
    asked = Query(box, row, hard(network, box, row), ((0,),))
    began, wall = process_time(), perf_counter()
    watch = Watch(limit, clock=process_time)
    decision = BranchAndBound(threads=1).decide(network, asked, watch=watch)
    spent = process_time() - began
    print(
        f"{name}: {limit:g} s, {decision.verdict.value} in {spent:.2f} s, "
        f"{perf_counter() - wall:.2f} s of wall time"
    )
    assert spent <= limit + max(1.0, 0.1 * limit)
    assert decision.verdict is not Verdict.UNKNOWN


@pytest.mark.parametrize("method", ["branch-and-bound", "exact", "milp", "lp"])
@pytest.mark.parametrize("name", NAMES, ids=lambda name: Path(name).name.split(".")[0])
def test_a_range_ends_in_time(name: str, method: str) -> None:
    network, radius = loaded(name)
    box, limit = around(network, radius), LIMITS[0]
    began, wall = process_time(), perf_counter()
    watch = Watch(limit, clock=process_time)
    found = compute_bounds(network, box, sv.make_method(method, threads=1), watch=watch)
    spent = process_time() - began
    print(f"{name} by {method}: {spent:.2f} s, {perf_counter() - wall:.2f} s of wall time")
    assert spent <= limit + 1.0
    assert found.inner is not None
