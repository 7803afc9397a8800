"""The record of a search proves its answer: parts cover the whole, and each is closed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sensverify.bounds import compute_bounds, evaluate
from sensverify.box import Box
from sensverify.queries import Query, Verdict
from sensverify.solvers.branch_and_bound import BranchAndBound, SplitTree
from sensverify.solvers.branch_and_bound.tree import TreeRecorder
from tests.solvers.branch_and_bound.cases import exact_ends, query, random_chain, unit_box


def assert_covers(tree: SplitTree, lower: np.ndarray, upper: np.ndarray) -> None:
    """Roots are the boxes asked about; children are the halves of their parent's clipped box."""
    roots = tree.parent < 0
    assert np.array_equal(tree.lower[roots], lower)
    assert np.array_equal(tree.upper[roots], upper)
    assert (tree.clipped_lower >= tree.lower).all()
    assert (tree.clipped_upper <= tree.upper).all()
    assert (tree.clipped_lower <= tree.clipped_upper).all()
    for parent in np.unique(tree.parent[~roots]):
        children = np.flatnonzero(tree.parent == parent)
        assert len(children) == 2
        first, second = children
        assert first > parent
        feature = tree.feature[parent]
        low, high = tree.clipped_lower[parent].copy(), tree.clipped_upper[parent].copy()
        middle = tree.upper[first, feature]
        assert low[feature] < middle < high[feature]
        assert tree.lower[second, feature] == middle
        assert np.array_equal(tree.lower[first], low)
        assert np.array_equal(tree.upper[second], high)
        low[feature], high[feature] = middle, middle
        assert np.array_equal(tree.lower[second], low)
        assert np.array_equal(tree.upper[first], high)


def outputs_in(tree: SplitTree, network: object, node: int, seed: int) -> tuple[np.ndarray, ...]:
    """Points of a node's own box, whether they lie in the clipped one, and their outputs."""
    rng = np.random.default_rng(seed)
    share = rng.random((60, tree.lower.shape[1]))
    share[::2] = np.round(share[::2])
    low, high = tree.lower[node], tree.upper[node]
    points = np.clip(low + share * (high - low), low, high)
    inside = (points >= tree.clipped_lower[node]) & (points <= tree.clipped_upper[node])
    return points, inside.all(axis=1), evaluate(network, torch.tensor(points)).numpy()


@given(st.integers(0, 10**6))
@settings(max_examples=8)
def test_the_tree_of_a_range(seed: int) -> None:
    network, box = random_chain(seed, 2, 4, 2), unit_box(2, batch=2)
    method = BranchAndBound(split="inputs", gap=1e-3, seconds=3.0, batch=64)
    found = compute_bounds(network, box, method)
    tree = found.certificate
    assert isinstance(tree, SplitTree)
    assert_covers(tree, box.lower, box.upper)
    lower, upper = found.outer.lower[0].numpy(), found.outer.upper[0].numpy()
    proven = np.concatenate([lower, -upper])
    leaves = np.setdiff1d(np.arange(len(tree)), tree.parent)
    for node in np.random.default_rng(seed).permutation(len(tree))[:60]:
        _, inside, outputs = outputs_in(tree, network, node, seed)
        rows = np.concatenate([outputs, -outputs], axis=1)
        # A row that was closed before has nothing to say here.
        known = np.isfinite(tree.bounds[node])
        assert (rows[:, known] >= tree.bounds[node][known] - 1e-9).all()
        if found.optimal[0].all() and node in leaves:
            assert (rows[:, known] >= proven[known] - 1e-9).all()
        assert inside.any() or node in leaves


def refuted(seed: int) -> tuple[object, Query, SplitTree] | None:
    network, box = random_chain(seed, 2, 4, 3, 2), unit_box(2)
    least = float(exact_ends(network, box, [[1.0, -1.0]])[0, 0, 0])
    asked = query(box, [[1.0, -1.0]], [least - 1e-2], [[0]])
    decision = BranchAndBound(split="inputs", seconds=5.0).decide(network, asked)
    if decision.verdict is not Verdict.UNSAT:
        return None
    return network, asked, decision.certificate


@pytest.mark.parametrize("seed", range(4))
def test_the_tree_of_a_no(seed: int) -> None:
    found = refuted(seed)
    assert found is not None
    network, asked, tree = found
    assert_covers(tree, asked.box.lower, asked.box.upper)
    for node in range(min(len(tree), 200)):
        _, inside, outputs = outputs_in(tree, network, node, seed)
        cut = (outputs @ asked.rows.T)[~inside]
        # What was cut off, and every leaf, is above the limit.
        assert (cut > asked.limits - 1e-9).all()


def test_a_tree_that_outgrows_its_memory_is_none() -> None:
    box = unit_box(2)
    found = compute_bounds(
        random_chain(1), box, BranchAndBound(split="inputs", memory=200, seconds=2.0)
    )
    assert found.certificate is None


def nodes(count: int) -> tuple[torch.Tensor, ...]:
    ends = torch.zeros(count, 2, dtype=torch.float64)
    places = torch.arange(count)
    return (places, ends, ends, ends, ends, places, torch.zeros(count, 1))


def test_nodes_are_numbered_in_the_order_they_are_added() -> None:
    recorder = TreeRecorder(10_000)
    assert recorder.tree() is None
    assert recorder.next_node == 0
    recorder.add(*nodes(3))
    recorder.add(*nodes(2))
    assert recorder.next_node == 5
    tree = recorder.tree()
    assert tree is not None
    assert tree.parent.tolist() == [0, 1, 2, 0, 1]
    assert len(tree) == 5


def test_what_is_recorded_does_not_change_later() -> None:
    recorder, parts = TreeRecorder(10_000), nodes(1)
    recorder.add(*parts)
    parts[1].fill_(7.0)
    tree = recorder.tree()
    assert tree is not None
    assert (tree.lower == 0).all()


def test_beyond_the_budget_nothing_is_kept() -> None:
    recorder = TreeRecorder(300)
    for _ in range(5):
        recorder.add(*nodes(2))
    assert recorder.tree() is None
    assert recorder.next_node == 10


def test_a_box_of_its_own_shape() -> None:
    """Nodes hold features in a row, whatever the network's input looks like."""
    tree = compute_bounds(
        random_chain(2), Box(np.zeros((1, 2)), np.ones((1, 2))), BranchAndBound(split="inputs")
    ).certificate
    assert tree.lower.shape[1] == 2
