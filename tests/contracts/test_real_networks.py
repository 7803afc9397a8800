"""The law of containment on networks that others trained, with their real inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sensverify.bounds import AlphaCrown, Crown, Ibp, LpDual, compute_bounds
from sensverify.core.box import Box
from sensverify.formats.onnx import load_onnx
from tests.contracts.attained import TOLERANCE, attained, largest_violation
from tests.contracts.methods import METHODS


def boxes(center: np.ndarray, radius: float, dtype: torch.dtype) -> Box:
    """Boxes whose ends float32 holds, so that both precisions bound the same question."""
    middle = center.astype(np.float32)
    ends = (middle - np.float32(radius), middle + np.float32(radius))
    return Box(*(torch.from_numpy(end).to(dtype) for end in ends))


def assert_contained(path: Path, center: np.ndarray, radius: float, methods: tuple) -> None:
    network = load_onnx(path)
    center = center.reshape(-1, *network.input_shape)
    values, magnitude = attained(network, boxes(center, radius, torch.float64))
    for dtype in (torch.float32, torch.float64):
        for method in methods:
            outer = compute_bounds(network, boxes(center, radius, dtype), method).outer
            outside = largest_violation(outer, values) / magnitude
            assert bool((outside <= TOLERANCE[dtype]).all()), (method, dtype, float(outside.max()))


@pytest.mark.parametrize("radius", [0.001, 0.02])
def test_acas_xu(data_dir: Path, radius: float) -> None:
    path = data_dir / "vnncomp/acasxu/onnx/ACASXU_run2a_1_1_batch_2000.onnx.gz"
    # The whole normalised input space, and the region that property 3 is about.
    rng = np.random.default_rng(0)
    center = np.concatenate([rng.uniform(-0.5, 0.5, (3, 5)), [[-0.3, 0.0, 0.49, 0.4, 0.4]]])
    assert_contained(path, center, radius, METHODS)


def test_cifar_resnet(data_dir: Path) -> None:
    path = data_dir / "vnncomp/cifar10_resnet/onnx/resnet_2b.onnx.gz"
    with np.load(data_dir / "cifar10/cifar10_test_exact_uint8.npz") as images:
        image = images["x"][:1].transpose(0, 3, 1, 2) / 255.0
    mean = np.array([0.4914, 0.4822, 0.4465]).reshape(3, 1, 1)
    center = (image - mean) / 0.225
    methods = (Ibp(), LpDual(), Crown(), Crown(Ibp()), AlphaCrown(steps=2))
    assert_contained(path, center, 1 / 255, methods)


@pytest.mark.slow
def test_max_pooling_and_sigmoids(data_dir: Path) -> None:
    for name in ("conv_mp1", "mnist2x5_sigmoid"):
        path = data_dir / f"nets/marabou/{name}.onnx"
        size = load_onnx(path).input_shape
        center = np.random.default_rng(0).uniform(0, 1, (2, *size))
        methods = (Ibp(), LpDual(Ibp()), Crown(Ibp()), Crown())
        assert_contained(path, center, 0.02, methods)
