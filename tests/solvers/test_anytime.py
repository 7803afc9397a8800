"""Exact methods that are stopped long before their end: sound, honest, and better with time."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import numpy as np
import pytest
import torch
from torch import Tensor

from sensverify.bounds import Crown, compute_bounds
from sensverify.core.box import Box
from sensverify.core.results import Bounds, Status
from sensverify.data.files import read_dataset
from sensverify.formats.onnx import load_onnx
from sensverify.models import load, resolve
from sensverify.network import Network
from sensverify.runs.watch import Watch
from sensverify.solvers.branch_and_bound import BranchAndBound
from sensverify.solvers.milp import Milp
from tests.contracts.attained import attained, largest_violation
from tests.solvers.test_lp import check_inner
from tests.ticks import Ticks

SOUND = {BranchAndBound: 1e-12, Milp: 1e-7}
"""How far outside an attained value may be, relative to the largest magnitude on the way."""


each_method = pytest.mark.parametrize("method", [BranchAndBound, Milp], ids=lambda cls: cls.name)

Case = tuple[Network, Box]


def image() -> np.ndarray:
    """One shipped test image, ``[1, 784]``, in double precision."""
    return read_dataset(resolve("mnist-conv2").sample_path).x[:1].reshape(1, -1).astype(np.float64)


@pytest.fixture
def convolutions() -> Case:
    """The shipped network with 2,452 undecided ReLUs."""
    network = load("mnist-conv2")
    center = image().reshape(1, *network.input_shape)
    return network, Box.around(center, 0.05, clip=(0.0, 1.0))


@pytest.fixture
def layers(data_dir: Path) -> Case:
    """The four hidden layers of 256 of VNN-COMP's mnist_fc, with 120 undecided ReLUs."""
    network = load_onnx(data_dir / "vnncomp/mnist_fc/onnx/mnist-net_256x4.onnx.gz")
    center = image().reshape(1, *network.input_shape)
    return network, Box.around(center, 0.03, clip=(0.0, 1.0))


def assert_sound(
    bounds: Bounds, network: Network, reached: list[tuple[Tensor, Tensor]], tolerance: float
) -> None:
    """Outside of what is attained: values with the magnitudes on the way to them."""
    for values, magnitude in reached:
        assert bool((largest_violation(bounds.outer, values) <= tolerance * magnitude).all())
    assert bounds.inner is not None
    assert bool((bounds.inner.lower >= bounds.outer.lower).all())
    assert bool((bounds.inner.upper <= bounds.outer.upper).all())
    check_inner(network, bounds)


def assert_consistent(method: type, found: Bounds, last: Bounds) -> None:
    """No input that one run has found lies outside of what the other has proven."""
    for proven, reached in ((found.outer, last.inner), (last.outer, found.inner)):
        values = torch.stack([reached.lower, reached.upper])
        size = SOUND[method] * (1 + values.abs().amax())
        assert bool((largest_violation(proven, values) <= size).all())


def assert_anytime(method: type, case: Case, times: tuple[float, ...]) -> None:
    """Runs of a length after the other; a tree search's time is counted in looks at the clock."""
    network, box = case
    crown = compute_bounds(network, box, Crown()).outer
    own = Box(torch.tensor(box.lower), torch.tensor(box.upper))
    reached = [attained(network, own, seed=seed) for seed in range(3)]
    last: Bounds | None = None
    for seconds in times:
        # HiGHS has a clock of its own.
        clock = Ticks() if method is BranchAndBound else perf_counter
        found = compute_bounds(network, box, method(), watch=Watch(seconds, clock=clock))
        assert_sound(found, network, reached, SOUND[method])
        assert not bool(found.optimal.any())
        assert found.status(0) is Status.BOUNDED
        if method is BranchAndBound:
            assert bool((found.outer.widths <= crown.widths * (1 + 1e-9)).all())
        if last is not None:
            assert_consistent(method, found, last)
        last = found


SHORT = {BranchAndBound: (0.04, 0.06), Milp: (0.1, 0.3)}
LONG = {BranchAndBound: (0.05, 0.1, 0.3), Milp: (1.0, 5.0, 30.0)}


@each_method
def test_a_convolutional_network(method: type, convolutions: Case) -> None:
    assert_anytime(method, convolutions, SHORT[method])


@each_method
def test_a_deep_network(method: type, layers: Case) -> None:
    assert_anytime(method, layers, SHORT[method])


@pytest.mark.slow
@each_method
def test_a_convolutional_network_for_longer(method: type, convolutions: Case) -> None:
    assert_anytime(method, convolutions, LONG[method])


@pytest.mark.slow
@each_method
def test_a_deep_network_for_longer(method: type, layers: Case) -> None:
    assert_anytime(method, layers, LONG[method])
