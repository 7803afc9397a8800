"""Exact ranges: against brute force, and the laws that every bracket obeys."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sensverify.bounds import AlphaCrown, Crown, compute_bounds, forward_pass
from sensverify.core.box import Box
from sensverify.core.proof import NONE
from sensverify.core.results import Bounds, Guarantee, Status
from sensverify.errors import BadSetting, SensverifyError
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import Abs, Add, Affine, Relu, Sigmoid, Tanh
from sensverify.solvers.branch_and_bound import BranchAndBound
from tests.contracts.attained import attained, exact_range, largest_violation
from tests.contracts.networks import (
    NETWORKS,
    Case,
    cases,
    mlps,
)
from tests.solvers.branch_and_bound.cases import (
    chain,
    exact_ends,
    random_chain,
    unit_box,
    valley,
)

SPLITS = ("inputs", "neurons")
both_splits = pytest.mark.parametrize("split", SPLITS)
FAMILIES = st.one_of(*NETWORKS.values(), mlps(relu_only=True))
ROWS = np.array([[1.0, 0.0], [1.0, -2.0], [0.0, 0.0], [1.0, -2.0]])
"""Also a row of zeros, and one twice."""


def ranges(network: Network, box: Box, split: str, rows: Any = None, **settings: Any) -> Bounds:
    method = BranchAndBound(split=split, **{"seconds": 20.0, **settings})
    return compute_bounds(network, box, method, rows)


def assert_exact(bounds: Bounds, truth: np.ndarray, gap: float = 1e-6) -> None:
    """Both ends within the gap of the truth, and never inside of it."""
    size = np.abs(truth).max(axis=2).clip(1e-6)
    for end, place, sign in ((bounds.outer.lower, 0, 1.0), (bounds.outer.upper, 1, -1.0)):
        slack = sign * (truth[:, :, place] - end.numpy())
        assert (slack >= -1e-8 * size).all()
        assert (slack <= 1.01 * gap * size + 1e-8 * size).all()
    assert bool(bounds.optimal.all())


def assert_lawful(bounds: Bounds, network: Network, box: Box, rows: Tensor | None) -> None:
    """Outer holds what is attained, and lies in CROWN's; inner is attained inside the box.

    ``box`` holds tensors; all at the precision that `compute_bounds` promises for its dtype.
    """
    share = 1e-12 if box.lower.dtype == torch.float64 else 1e-6
    values, magnitude = attained(network, Box(box.lower.double(), box.upper.double()))
    table = torch.eye(values.shape[2], dtype=torch.float64) if rows is None else rows.double()
    values = torch.einsum("pbo,bro->pbr", values, table.expand(box.batch, -1, -1))
    size = magnitude.clamp(min=1e-300) * table.abs().sum(-1).clamp(min=1)
    slack = share * size
    outer, inner, plain = bounds.outer, bounds.inner, compute_bounds(network, box, Crown(), rows)
    assert inner is not None
    assert bool((largest_violation(outer, values) <= slack).all())
    assert bool((outer.lower >= plain.outer.lower - slack).all())
    assert bool((outer.upper <= plain.outer.upper + slack).all())
    assert bool((inner.lower >= outer.lower).all() & (inner.upper <= outer.upper).all())
    for points, end in ((bounds.witness_lower, inner.lower), (bounds.witness_upper, inner.upper)):
        low, high = box.lower.unsqueeze(1), box.upper.unsqueeze(1)
        assert bool(((points >= low) & (points <= high)).all())
        outputs = forward_pass(network, points.flatten(0, 1).double()).reshape(*end.shape, -1)
        found = (outputs * table).sum(-1)
        # A witness in float32 is the nearest one to what was found in float64.
        assert bool(((found - end).abs() <= 10 * slack).all())
    width = torch.maximum(inner.lower - outer.lower, outer.upper - inner.upper)
    enough = 1e-6 * torch.maximum(inner.lower.abs(), inner.upper.abs()).clamp(min=1e-6)
    assert bool((~bounds.optimal | (width <= 1.001 * enough + slack)).all())


@both_splits
@pytest.mark.parametrize("seed", range(2, 4))
def test_the_range_is_exact_on_small_networks(split: str, seed: int) -> None:
    network, box = random_chain(seed, 2, 3, 3, 2), unit_box(2)
    assert_exact(ranges(network, box, split, ROWS), exact_ends(network, box, ROWS))


@both_splits
def test_the_gap_is_kept_down_to_1e_9(split: str) -> None:
    network, box = random_chain(7, 2, 4, 2), unit_box(2)
    found = ranges(network, box, split, ROWS[:2], gap=1e-7)
    assert_exact(found, exact_ends(network, box, ROWS[:2]), 1e-7)


@given(mlps(relu_only=True, inputs=2, width=4), st.integers(0, 2**32 - 1), st.sampled_from(SPLITS))
@settings(max_examples=6)
def test_another_brute_force_agrees(network: Network, seed: int, split: str) -> None:
    center = np.random.default_rng(seed).normal(size=(1, *network.input_shape))
    box = Box(center - 0.5, center + 0.5)
    tensor_box = Box(torch.tensor(box.lower), torch.tensor(box.upper))
    exact = exact_range(network, tensor_box)
    found = ranges(network, box, split)
    assert_exact(found, np.stack([exact.lower, exact.upper], axis=2))


@given(
    cases(FAMILIES),
    st.sampled_from(["inputs", "neurons", "auto"]),
    st.sampled_from([torch.float64, torch.float32]),
    st.integers(0, 2**31),
)
@settings(max_examples=12)
def test_brackets_are_sound_on_any_network(
    case: Case, split: str, dtype: torch.dtype, seed: int
) -> None:
    check_brackets(case, split, dtype, seed, seconds=0.15)


@pytest.mark.slow
@given(
    cases(FAMILIES),
    st.sampled_from(["inputs", "neurons", "auto"]),
    st.sampled_from([torch.float64, torch.float32]),
    st.integers(0, 2**31),
)
@settings(max_examples=400)
def test_brackets_are_sound_on_many_networks(
    case: Case, split: str, dtype: torch.dtype, seed: int
) -> None:
    check_brackets(case, split, dtype, seed, seconds=0.5)


def check_brackets(
    case: Case, split: str, dtype: torch.dtype, seed: int, *, seconds: float
) -> None:
    rng, box = np.random.default_rng(seed), case.box_of(dtype)
    shape = [None, (2, case.outputs), (box.batch, 2, case.outputs)][rng.integers(3)]
    rows = None if shape is None else torch.tensor(rng.normal(size=shape), dtype=dtype)
    found = ranges(
        case.network,
        box,
        split,
        rows,
        seconds=seconds,
        batch=int(rng.choice([1, 2, 2048])),
        memory=int(rng.choice([1, 2000, 1 << 28])),
    )
    assert_lawful(found, case.network, box, rows)


@both_splits
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("activation", [Relu(), Sigmoid(), Abs()])
def test_a_point_has_an_exact_range(split: str, dtype: torch.dtype, activation: Any) -> None:
    network = random_chain(3, 8, 16, 16, 3, gain=0.6, activation=activation)
    point = torch.randn(5, 8, generator=torch.Generator().manual_seed(0), dtype=dtype)
    found = ranges(network, Box(point, point), split)
    expected = forward_pass(network, point.double())
    assert bool(found.optimal.all())
    for end in (found.outer.lower, found.outer.upper, found.inner.lower, found.inner.upper):
        assert bool(((end - expected).abs() <= 1e-5 * expected.abs().clamp(min=1)).all())


@both_splits
def test_features_that_do_not_move_cost_nothing(split: str) -> None:
    network = random_chain(1, 6, 5, 2)
    center = np.random.default_rng(0).normal(size=(1, 6))
    radius = np.array([0.5, 0, 0, 0.5, 0, 0])
    fixed = center[0, radius == 0]
    box = Box(center - radius, center + radius)
    first = network.nodes[1].operator
    small = chain(
        (first.weight[:, radius > 0], first.bias + first.weight[:, radius == 0] @ fixed),
        (network.nodes[3].operator.weight, network.nodes[3].operator.bias),
    )
    truth = exact_ends(small, Box(*(e[:, radius > 0] for e in (box.lower, box.upper))), np.eye(2))
    assert_exact(ranges(network, box, split), truth)


@both_splits
def test_features_without_influence_do_not_matter(split: str) -> None:
    network = random_chain(2, 2, 4, 2)
    first, last = network.nodes[1].operator, network.nodes[3].operator
    wide = chain(
        (np.concatenate([first.weight, np.zeros((4, 3))], axis=1), first.bias),
        (last.weight, last.bias),
    )
    truth = exact_ends(network, unit_box(2), np.eye(2))
    assert_exact(ranges(wide, unit_box(5), split), truth)


@both_splits
def test_constant_networks(split: str) -> None:
    dead = chain((np.eye(2), [-5.0, -5.0]), (np.eye(2), [3.0, 0.0]))
    nothing = chain((np.zeros((3, 2)), [1.0, -1.0, 0.0]), (np.ones((2, 3)), [0.1, -1.0]))
    for network, value in ((dead, [3.0, 0.0]), (nothing, [1.1, 0.0])):
        found = ranges(network, unit_box(2), split)
        assert_exact(found, np.array([[[v, v] for v in value]]))


@both_splits
@pytest.mark.parametrize("scale", [1e-12, 1e-4, 1e6, 1e12])
def test_the_range_scales_with_the_weights(split: str, scale: float) -> None:
    """Below a magnitude of 1e-6 the gap is absolute: a looser end counts as exact there."""
    network = random_chain(5, 2, 4, 2)
    layers = [node.operator for node in network.nodes[1::2]]
    scaled = chain((layers[0].weight, layers[0].bias), *[(scale * layers[1].weight, None)])
    plain = chain((layers[0].weight, layers[0].bias), (layers[1].weight, None))
    truth = scale * exact_ends(plain, unit_box(2), np.eye(2))
    found = ranges(scaled, unit_box(2), split)
    assert bool(found.optimal.all())
    slack = 1.1e-6 * np.abs(truth).max(axis=2).clip(1e-6)
    assert (np.abs(found.outer.lower.numpy() - truth[..., 0]) <= slack).all()
    assert (np.abs(found.outer.upper.numpy() - truth[..., 1]) <= slack).all()


@both_splits
def test_ties_of_a_symmetric_network(split: str) -> None:
    """``| |x| - |y| |``: many inputs attain each end, and no split is better than another."""
    network = chain(
        ([[1, 0], [-1, 0], [0, 1], [0, -1]], None),
        ([[1, 1, -1, -1], [-1, -1, 1, 1]], None),
        ([[1, 1]], None),
    )
    assert_exact(ranges(network, unit_box(2), split), np.array([[[0.0, 1.0]]]))


@both_splits
def test_one_feature_and_one_output(split: str) -> None:
    assert_exact(ranges(valley(2.0, at=0.5), unit_box(1), split), np.array([[[0.0, 2.5]]]))


@both_splits
def test_every_sample_has_its_own_box_and_objectives(split: str) -> None:
    network, rng = random_chain(6, 2, 3, 2), np.random.default_rng(0)
    center, radius = rng.normal(size=(3, 2)), rng.random(size=(3, 2))
    box, rows = Box(center - radius, center + radius), rng.normal(size=(3, 2, 2))
    truth = np.concatenate([exact_ends(network, box[i : i + 1], rows[i]) for i in range(3)])
    assert_exact(ranges(network, box, split, rows), truth)


@both_splits
def test_many_samples_are_as_exact_as_one_at_a_time(split: str) -> None:
    network, rng = random_chain(8, 3, 5, 2), np.random.default_rng(1)
    center = rng.normal(size=(40, 3))
    box = Box(center - 0.2, center + 0.2)
    together = ranges(network, box, split)
    chosen = [0, 17, 39]
    alone = [ranges(network, box[i : i + 1], split).outer for i in chosen]
    assert bool(together.optimal.all())
    for end in ("lower", "upper"):
        single = torch.cat([getattr(outer, end) for outer in alone])
        torch.testing.assert_close(getattr(together.outer, end)[chosen], single, rtol=3e-6, atol=0)


@pytest.mark.parametrize("activation", [Sigmoid(), Tanh(), Abs()])
def test_splitting_inputs_is_complete_for_every_operator(activation: Any) -> None:
    network = random_chain(4, 2, 3, 2, activation=activation)
    found = ranges(network, unit_box(2, 0.5), "inputs", gap=1e-4)
    assert bool(found.optimal.all())
    grid = torch.linspace(-0.5, 0.5, 201, dtype=torch.float64)
    outputs = forward_pass(network, torch.cartesian_prod(grid, grid))
    low, high = outputs.amin(0), outputs.amax(0)
    torch.testing.assert_close(found.outer.lower[0], low, rtol=1e-2, atol=1e-3)
    torch.testing.assert_close(found.outer.upper[0], high, rtol=1e-2, atol=1e-3)
    assert bool(((found.outer.lower <= low) & (found.outer.upper >= high)).all())


def test_neurons_that_a_relu_shares_with_another_operator() -> None:
    """Of a stable neuron a child box knows only the sign: not enough for the other operator."""
    rng = np.random.default_rng(0)
    builder = NetworkBuilder((2,))
    node = builder.add(Affine(rng.normal(size=(4, 2)), rng.normal(size=4)), builder.input)
    node = builder.add(
        Affine(rng.normal(size=(4, 4)), rng.normal(size=4)), builder.add(Relu(), node)
    )
    node = builder.add(Add(), builder.add(Relu(), node), builder.add(Abs(), node))
    network = builder.build(builder.add(Affine(rng.normal(size=(1, 4))), node))
    assert bool(ranges(network, unit_box(2), "inputs", gap=1e-4).optimal.all())


@both_splits
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_an_overflow_is_an_error_and_never_a_claim(split: str, sign: float) -> None:
    hidden = chain(([[1e200]], None), ([[1e200]], None), ([[1.0]], None))
    last = chain(([[1e200], [1e200]], [1e200, 1e200]), ([[sign * 1e200, -1e200]], None))
    for network in (hidden, last):
        with pytest.raises(SensverifyError):
            ranges(network, unit_box(1), split, seconds=1.0)


def test_auto_splits_few_inputs_and_many_relus() -> None:
    few, many = random_chain(0, 3, 4, 1), random_chain(0, 20, 4, 1)
    still = np.zeros((1, 20))
    still[0, :5] = 0.1
    cases = (few, unit_box(3), 3), (many, unit_box(20, 0.1), 0), (many, Box(-still, still), 20)
    for network, box, features in cases:
        proof = compute_bounds(network, box, BranchAndBound(), proof=True).certificate
        split = proof.cells.split[proof.cells.split != NONE]
        assert len(split)
        assert ((split < features) == (features > 0)).all()


def test_at_least_as_tight_as_alpha_crown() -> None:
    network = random_chain(9, 10, 12, 8, 2, gain=0.5)
    found = ranges(network, unit_box(10, 0.5), "neurons", seconds=0.5)
    other = compute_bounds(network, unit_box(10, 0.5), AlphaCrown(steps=5)).outer
    assert bool((found.outer.widths <= other.widths + 1e-9).all())


def test_what_a_result_says_about_itself() -> None:
    found = ranges(random_chain(3), unit_box(2), "auto")
    assert found.guarantee is Guarantee.SOUND
    assert found.status(0) is Status.OPTIMAL
    assert found.provenance.method == "branch-and-bound"
    assert found.unstable is not None


@pytest.mark.parametrize(
    "setting",
    [
        {"gap": -1.0},
        {"gap": float("nan")},
        {"seconds": -1.0},
        {"seconds": float("nan")},
        {"objective_seconds": -1.0},
        {"split": "outputs"},
        {"batch": 0},
        {"memory": 0},
        {"threads": 0},
    ],
    ids=str,
)
def test_settings_that_make_no_sense_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(BadSetting, match="branch-and-bound"):
        BranchAndBound(**setting)


def test_the_number_of_threads_is_put_back() -> None:
    before = torch.get_num_threads()
    ranges(random_chain(0), unit_box(2), "inputs", threads=before + 1, seconds=0.0)
    assert torch.get_num_threads() == before


def test_a_gap_of_zero_ends_where_numbers_end() -> None:
    found = ranges(valley(1.0, at=0.25), unit_box(1), "inputs", gap=0.0, seconds=1.0)
    assert float(found.outer.lower) == pytest.approx(0, abs=1e-12)
    assert float(found.outer.upper) == pytest.approx(1.25, abs=1e-12)
