"""The disconnectivity graph of landscapes by hand, and of random ones against plain search."""

from __future__ import annotations

from itertools import pairwise
from math import inf, nan
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensverify.errors import BadData, BadSetting
from sensverify.landscape.disconnectivity import disconnectivity


def test_two_valleys_with_side_basins() -> None:
    # 0 -- 1 at 2, 2 -- 3 at 3, both valleys at 10.
    tree = disconnectivity([0.0, 1.5, 0.5, 2.5], [10.0, 2.0, 3.0], [(1, 3), (0, 1), (2, 3)])
    assert tree.joins.tolist() == [inf, 2.0, 10.0, 3.0]
    assert tree.into.tolist() == [0, 0, 0, 2]
    assert tree.through.tolist() == [-1, 1, 0, 2]
    assert tree.parts.tolist() == [0]
    assert tree.superbasins(1.0).tolist() == [0, -1, 2, -1]
    assert tree.superbasins(2.0).tolist() == [0, 0, 2, -1]
    assert tree.superbasins(9.9).tolist() == [0, 0, 2, 2]
    assert tree.superbasins(10.0).tolist() == [0, 0, 0, 0]
    assert tree.top == 10.0
    # Of the climbs 0.5, 9.5 and 0.5, one is deeper than a tenth of 10.
    assert tree.funnel.tolist() == [0, 0, 2, 2]
    assert tree.funnels.tolist() == [0, 2]


def test_ties_are_broken_by_the_order_and_three_basins_meet_at_one_energy() -> None:
    tree = disconnectivity([1.0, 1.0, 1.0], [2.0, 2.0], [(2, 1), (1, 0)])
    assert tree.superbasins(1.0).tolist() == [0, 1, 2]
    assert tree.superbasins(2.0).tolist() == [0, 0, 0]
    # The second of the equal saddles finds 2 in the basin of 1.
    assert (tree.into.tolist(), tree.joins.tolist()) == ([0, 0, 1], [inf, 2.0, 2.0])


def test_a_saddle_as_low_as_a_minimum_is_no_climb() -> None:
    tree = disconnectivity([0.0, 1.0], [1.0], [(0, 1)])
    assert tree.barriers.tolist() == [inf, 0.0]
    assert tree.superbasins(1.0).tolist() == [0, 0]


def test_parts_that_nothing_connects_stay_apart() -> None:
    tree = disconnectivity([0.0, 1.0, 2.0, 3.0], [4.0], [(1, 3)])
    assert tree.parts.tolist() == [0, 1, 2]
    assert tree.superbasins(1e9).tolist() == [0, 1, 2, 1]
    assert tree.order().tolist() in ([1, 3, 0, 2], [3, 1, 0, 2])


def test_a_saddle_between_a_minimum_and_itself_links_nothing() -> None:
    tree = disconnectivity([0.0, 1.0], [3.0, 2.0], [(0, 1), (1, 1)])
    assert tree.loops == 1
    assert tree.joins.tolist() == [inf, 3.0]


def test_one_minimum_is_a_tree() -> None:
    tree = disconnectivity([0.3], [], [])
    assert tree.parts.tolist() == tree.order().tolist() == tree.funnels.tolist() == [0]
    assert tree.top > 0.3
    assert len(tree.levels(5)) == 5


def test_the_highest_of_several_paths_does_not_count() -> None:
    tree = disconnectivity([0.0, 1.0, 2.0], [9.0, 5.0, 6.0], [(0, 1), (0, 2), (2, 1)])
    assert tree.joins[1] == 6.0
    assert tree.through[1] == 2


def test_a_shallow_basin_belongs_to_the_funnel_that_its_saddle_leads_to() -> None:
    # 0 and 1 are funnels; 2 meets both at once above them, through 1.
    tree = disconnectivity([0.0, 1.0, 9.9], [9.0, 10.0], [(0, 1), (1, 2)])
    assert tree.funnel.tolist() == [0, 1, 1]
    assert disconnectivity([0.0, 1.0], [9.0], [(0, 1)], share=0.95).funnel.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("energies", "saddles", "links", "said"),
    [
        ([], [], [], "no minimum"),
        ([0.0, nan], [], [], "minimum 1 is nan"),
        ([0.0, 1.0], [inf], [(0, 1)], "saddle 0 is inf"),
        ([0.0, 1.0], [0.5], [(0, 1)], "saddle 0 has the energy 0.5, below"),
        ([0.0, 1.0], [2.0], [(0, 2)], "leads to the minima"),
        ([0.0, 1.0], [2.0], [(-1, 0)], "leads to the minima"),
        ([0.0, 1.0], [2.0, 3.0], [(0, 1)], "2 saddles need two places"),
        ([0.0, 1.0], [2.0], [(0.0, 1.0)], "of float64"),
    ],
)
def test_what_is_no_landscape_is_refused(
    energies: Any, saddles: Any, links: Any, said: str
) -> None:
    with pytest.raises(BadData, match=said):
        disconnectivity(energies, saddles, links)


@pytest.mark.parametrize("share", [0.0, 1.0, nan, -1.0])
def test_a_funnel_needs_a_depth(share: float) -> None:
    with pytest.raises(BadSetting, match="between 0 and 1"):
        disconnectivity([0.0], [], [], share=share)


@given(st.integers(1, 12), st.integers(0, 20), st.integers(0, 2**32 - 1))
def test_superbasins_are_what_a_search_finds(minima: int, count: int, seed: int) -> None:
    draws = np.random.default_rng(seed)
    # Few different numbers, so that many are equal.
    energies = draws.integers(0, 5, minima).astype(float)
    links = draws.integers(0, minima, (count, 2))
    saddles = energies[links].max(axis=1) + draws.integers(0, 4, count) if count else np.empty(0)
    tree = disconnectivity(energies, saddles, links)
    for level in np.unique([*energies, *saddles, -1.0, 99.0]):
        found = tree.superbasins(level)
        assert found.tolist() == searched(energies, saddles, links, level)
    order = tree.order()
    assert sorted(order.tolist()) == list(range(minima))
    check_no_crossing(tree, order)
    depths = tree.barriers[tree.funnels]
    assert (depths >= tree.depth).all()


def searched(energies: Any, saddles: Any, links: Any, level: float) -> list[int]:
    """The lowest minimum that can be reached below an energy, from each by itself."""
    found = []
    for start in range(len(energies)):
        reached, waiting = {start}, [start]
        while waiting:
            here = waiting.pop()
            for energy, (one, other) in zip(saddles, links.reshape(-1, 2).tolist(), strict=True):
                for end, there in ((one, other), (other, one)):
                    if end == here and energy <= level and there not in reached:
                        reached.add(there)
                        waiting.append(there)
        lowest = min(reached, key=lambda place: (energies[place], place))
        found.append(-1 if energies[start] > level else lowest)
    return found


def check_no_crossing(tree: Any, order: Any) -> None:
    """A basin is one stretch of the minima side by side, at every energy."""
    for level in np.unique(tree.joins[np.isfinite(tree.joins)]):
        names = [name for name in tree.superbasins(level)[order].tolist() if name >= 0]
        changes = 1 + sum(one != other for one, other in pairwise(names))
        assert names
        assert changes == len(set(names))
