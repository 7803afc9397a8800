"""The record of sub-boxes: parts cover the whole, however they came about."""

from __future__ import annotations

import numpy as np
import torch

from sensverify.core.box import Box
from sensverify.core.proof import NONE, Proof
from sensverify.solvers.branch_and_bound.entries import Entries
from sensverify.solvers.branch_and_bound.input_tree import InputTree
from tests.solvers.branch_and_bound.evaluator import assert_covers

NOTHING = Entries({}, np.zeros(0, np.int64), 2)


def numbers(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def roots(budget: int = 100_000, count: int = 1) -> tuple[InputTree, torch.Tensor]:
    tree = InputTree(NOTHING, budget)
    ends = torch.zeros(count, 2, dtype=torch.float64), torch.ones(count, 2, dtype=torch.float64)
    return tree, tree.roots(*ends)


def covered(tree: InputTree, count: int = 1) -> None:
    box = Box(np.zeros((count, 2)), np.ones((count, 2)))
    assert_covers(Proof.of(tree.cells(), entries=0), box)


def test_parts_are_numbered_below_first() -> None:
    tree, cells = roots(count=2)
    made = tree.split(cells, torch.tensor([0, 1]), numbers(0.5, 0.25))
    assert made.tolist() == [2, 3, 4, 5]
    record = tree.cells()
    assert record.parent.tolist() == [NONE, NONE, 0, 1, 0, 1]
    assert record.side.tolist() == [0, 0, -1, -1, 1, 1]
    assert record.split[:2].tolist() == [0, 1]
    assert record.at[:2].tolist() == [0.5, 0.25]
    covered(tree, 2)


def test_what_is_cut_off_wide_becomes_a_cell() -> None:
    tree, cells = roots()
    new = tree.clip(cells, numbers(0.0, 0.5)[None], numbers(0.8, 0.98)[None])
    # From the lower end of feature 1 and the upper end of feature 0; 2 % of the other is left.
    assert len(tree) == 5
    record = tree.cells()
    assert record.split.tolist().count(NONE) == 3
    assert record.split[int(new)] == NONE
    covered(tree)
    again = tree.clip(new, numbers(0.0, 0.5)[None], numbers(0.8, 0.98)[None])
    assert again.tolist() == new.tolist()


def test_small_cuts_add_up() -> None:
    """What was left of the cuts before counts when the next one is measured."""
    tree, cells = roots()
    new = tree.clip(cells, numbers(0.04, 0.0)[None], numbers(1.0, 1.0)[None])
    assert new.tolist() == cells.tolist()
    new = tree.clip(cells, numbers(0.08, 0.0)[None], numbers(1.0, 1.0)[None])
    assert len(tree) == 3
    assert tree.cells().at[0] == 0.08
    covered(tree)


def test_beyond_the_budget_cells_stay_whole() -> None:
    tree, cells = roots(budget=2 * 16 * 9 * 3)
    made = tree.split(cells, torch.tensor([0]), numbers(0.5))
    assert made.tolist() == [1, 2]
    assert tree.split(made, torch.tensor([1, 1]), numbers(0.5, 0.5)).tolist() == [NONE] * 4
    # From then on nothing is recorded, so that no cell is split on one side only.
    assert tree.split(made[:1], torch.tensor([1]), numbers(0.5)).tolist() == [NONE] * 2
    assert len(tree) == 3
    covered(tree)


def test_without_a_budget_nothing_is_recorded() -> None:
    tree, cells = roots(budget=0)
    assert cells.tolist() == [NONE]
    assert len(tree) == 0
    assert tree.weighed() is None
