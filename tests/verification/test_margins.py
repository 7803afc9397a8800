"""Margins and the search for inputs that change the label."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from sensverify.bounds import evaluate
from sensverify.box import Box
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import Affine, Relu
from sensverify.sensitivity import margin
from sensverify.verification.margins import proven, refuted, with_margins


def network(seed: int = 0, sizes: tuple[int, ...] = (4, 16, 3)) -> Network:
    rng = np.random.default_rng(seed)
    builder = NetworkBuilder((sizes[0],))
    last = builder.input
    for k, (inputs, outputs) in enumerate(pairwise(sizes)):
        if k:
            last = builder.add(Relu(), last)
        weight = rng.normal(size=(outputs, inputs)).astype(np.float32)
        last = builder.add(Affine(weight, rng.normal(size=outputs).astype(np.float32)), last)
    return builder.build(last)


def test_objectives_are_the_outputs_and_then_every_margin() -> None:
    rows = with_margins(torch.tensor([0, 2]), 3, torch.float64)
    assert rows.shape == (2, 5, 3)
    assert rows[0].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, -1, 0], [1, 0, -1]]
    assert rows[1, 3:].tolist() == [[-1, 0, 1], [0, -1, 1]]


def test_margin_of_a_label() -> None:
    outputs = torch.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, 4.0]])
    assert margin(outputs, torch.tensor([0, 2])).tolist() == [1.0, -1.0]


def box_around(x: torch.Tensor, radius: float) -> Box:
    return Box(x - radius, x + radius)


@pytest.mark.parametrize("seed", range(4))
def test_finds_what_many_random_points_find(seed: int) -> None:
    net = network(seed)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(24, 4, generator=generator)
    labels = evaluate(net, x).argmax(dim=1)
    box = box_around(x, 0.3)
    found, points = refuted(net, box, x, labels, seed=0)
    assert (evaluate(net, points).argmax(dim=1) != labels)[found].all()
    assert box.contains(points)[found].all()
    sampled = torch.zeros(24, dtype=torch.bool)
    for _ in range(300):
        points = x + 0.3 * (2 * torch.rand(24, 4, generator=generator) - 1)
        sampled |= evaluate(net, points).argmax(dim=1) != labels
    assert sampled.any()
    # A gradient search may miss one; as a whole it sees more than sampling.
    assert int((sampled & ~found).sum()) <= 1
    assert found.sum() >= sampled.sum() - 1


def test_a_wrong_prediction_is_a_change() -> None:
    net = network()
    x = torch.zeros(1, 4)
    best = int(evaluate(net, x).argmax())
    wrong = torch.tensor([(best + 1) % 3])
    assert refuted(net, box_around(x, 0.0), x, wrong, seed=0)[0].tolist() == [True]
    assert refuted(net, box_around(x, 0.0), x, torch.tensor([best]), seed=0)[0].tolist() == [False]


def test_the_same_seed_gives_the_same_answer() -> None:
    net, x = network(5), torch.randn(50, 4, generator=torch.Generator().manual_seed(1))
    labels = evaluate(net, x).argmax(dim=1)
    state = torch.random.get_rng_state()
    one = refuted(net, box_around(x, 0.2), x, labels, seed=3)
    other = refuted(net, box_around(x, 0.2), x, labels, seed=3)
    assert torch.equal(one[0], other[0])
    assert torch.equal(one[1], other[1])
    # The caller's random numbers are left alone.
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize(("dtype", "share"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_a_margin_within_rounding_proves_nothing(dtype: torch.dtype, share: float) -> None:
    """Outputs up to 100 in magnitude, label 1 of 3: objectives are 3 outputs and 2 margins."""
    labels = torch.tensor([1])
    upper = torch.tensor([[1.0, 100.0, 2.0, 101.0, 102.0]], dtype=dtype)

    def is_proven(first: float, second: float, end: float = 1.0) -> bool:
        lower = torch.tensor([[-end, 1.0, -2.0, first, second]], dtype=dtype)
        return bool(proven(lower, upper, labels)[0])

    assert is_proven(110 * share, 110 * share)
    assert not is_proven(90 * share, 1.0)
    assert not is_proven(1.0, 90 * share)
    # Only the two outputs of a margin count, and the lower ends count too.
    assert not is_proven(110 * share, 1.0, end=1000.0)
    assert is_proven(1.0, 110 * share, end=1000.0)
    nan = float("nan")
    assert not is_proven(nan, 1.0)
    assert not is_proven(1.0, 1.0, end=nan)


def test_a_zero_margin_proves_nothing() -> None:
    zero = torch.zeros(1, 3)
    assert proven(zero, zero, torch.tensor([0])).tolist() == [False]
