"""Tightened bounds are tighter, still hold, and lose their kinks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sensverify.bounds import Crown
from sensverify.bounds.tensors import tensor_network
from sensverify.core.box import Box
from sensverify.errors import BackendFailure
from sensverify.network import NetworkBuilder
from sensverify.network.operators import Clip, Max, Relu, Select, Tanh
from sensverify.runs.watch import Watch
from sensverify.solvers.encoding import Encoder
from sensverify.solvers.highs import Highs, Solution, Status
from sensverify.solvers.tightening import kinks, tightened, undecided
from tests.contracts.networks import dense, node_values

RNG = np.random.default_rng(5)


def _network():  # type: ignore[no-untyped-def]
    """Every kind of kink, in a row."""
    builder = NetworkBuilder((3,))
    node = builder.add(Relu(), builder.add(dense(RNG, 6, 3), builder.input))
    node = builder.add(Clip(-0.4, 0.6), builder.add(dense(RNG, 6, 6), node))
    node = builder.add(dense(RNG, 6, 6), node)
    node = builder.add(Max(), builder.add(Select(np.arange(6).reshape(3, 2)), node))
    node = builder.add(Relu(), builder.add(dense(RNG, 4, 3), node))
    return tensor_network(
        builder.build(builder.add(dense(RNG, 2, 4), node)),
        dtype=torch.float64,
        device=torch.device("cpu"),
    )


NETWORK = _network()
LOWER, UPPER = np.full(3, -0.8), np.full(3, 0.8)


def _crown() -> dict[int, tuple[np.ndarray, np.ndarray]]:
    box = Box(torch.tensor(LOWER)[None], torch.tensor(UPPER)[None])
    known = Crown().pre_activations(NETWORK, box)
    return {p: (low[0].numpy(), high[0].numpy()) for p, (low, high) in known.items()}


def _tight(*, integer: bool, watch: Watch | None = None):  # type: ignore[no-untyped-def]
    return tightened(Encoder(NETWORK), (LOWER, UPPER), _crown(), watch or Watch(), integer=integer)


def test_tighter_and_still_true() -> None:
    crown, linear, mixed = _crown(), _tight(integer=False), _tight(integer=True)
    points = torch.tensor(LOWER + RNG.random((4000, 3)) * (UPPER - LOWER))
    values = node_values(NETWORK, points)
    for position in crown:
        source = NETWORK.nodes[position].inputs[0]
        reached = values[source].reshape(len(points), -1).numpy()
        before = [end.reshape(-1) for end in crown[position]]
        for lower, upper in (linear[position], mixed[position]):
            assert (lower >= before[0] - 1e-12).all()
            assert (upper <= before[1] + 1e-12).all()
            assert (lower <= reached.min(axis=0) + 1e-9).all()
            assert (upper >= reached.max(axis=0) - 1e-9).all()
    assert kinks(NETWORK, mixed) <= kinks(NETWORK, linear) <= kinks(NETWORK, crown)
    width = [sum((u - l).sum() for l, u in b.values()) for b in (linear, crown)]  # noqa: E741
    assert width[0] < width[1]


def test_without_time_nothing_changes() -> None:
    crown, same = _crown(), _tight(integer=True, watch=Watch(0.0))
    for position, (lower, upper) in same.items():
        np.testing.assert_array_equal(lower, crown[position][0].reshape(-1))
        np.testing.assert_array_equal(upper, crown[position][1].reshape(-1))


def test_a_solver_that_contradicts_itself_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Highs, "minimise", lambda *a, **k: Solution(Status.OPTIMAL, 50.0))
    with pytest.raises(BackendFailure, match=r"is at least .* and at most -5"):
        _tight(integer=False)


@pytest.mark.parametrize("bound", [None, float("nan"), -float("inf")])
def test_a_solver_that_knows_nothing(monkeypatch: pytest.MonkeyPatch, bound: float | None) -> None:
    monkeypatch.setattr(Highs, "minimise", lambda *a, **k: Solution(Status.STOPPED, bound))
    crown, same = _crown(), _tight(integer=False)
    for position, (lower, _) in same.items():
        np.testing.assert_array_equal(lower, crown[position][0].reshape(-1))


def test_who_is_undecided() -> None:
    builder = NetworkBuilder((4,))
    for operator, shape, expected in (
        (Relu(), (4,), [0, 3]),
        (Tanh(), (4,), [0, 1, 3]),
        (Clip(-2.0, 0.5), (4,), [1, 3]),
        (Max(), (2, 2), [0, 1, 2, 3]),
    ):
        builder = NetworkBuilder((4,))
        node = builder.add(Select(np.arange(4).reshape(shape)), builder.input)
        network = builder.build(builder.add(operator, node))
        lower, upper = np.array([-1.0, 0, 0.2, -0.1]), np.array([0.5, 1, 0.2, 3])
        assert undecided(network, 2, lower, upper).tolist() == expected, operator
    # Behind ReLUs, of which one is active in each window.
    assert undecided(network, 2, np.zeros(4), np.array([0.0, 1, 2, 0])).tolist() == []
