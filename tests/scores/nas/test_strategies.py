"""Search strategies, each against what was published of it, on landscapes that are known."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from numpy.typing import NDArray

from sensverify.errors import BackendMissing, BadSetting
from sensverify.models.nas201 import COUNT, EDGES, OPERATIONS, all_cells, representatives
from sensverify.scores.nas.bananas import PATHS, Bananas, path_encoding
from sensverify.scores.nas.evolution import Evolution
from sensverify.scores.nas.landscape import Asked, Landscape, codes, neighbours
from sensverify.scores.nas.local_search import LocalSearch
from sensverify.scores.nas.planted import planted
from sensverify.scores.nas.random_search import RandomSearch
from sensverify.scores.nas.strategies import STRATEGIES
from sensverify.scores.nas.strategy import Strategy

ALL = (RandomSearch(), LocalSearch(), Evolution(), Bananas(predictor="ridge"), Bananas(ensemble=2))


def smooth(seed: int = 0, noise: float = 0.0) -> Landscape:
    """A landscape with one hill, or with noise on it."""
    scores = planted(seed, noise=noise).scores
    return Landscape(scores.clean, np.arange(COUNT))


def shared(seed: int = 0) -> Landscape:
    """A landscape on which isomorphic cells have one measurement."""
    first = np.array(representatives())
    return Landscape(np.random.default_rng(seed).random(COUNT)[first], first)


def few(count: int, seed: int = 0) -> Landscape:
    """A landscape of few cells."""
    draws = np.random.default_rng(seed)
    values = np.full(COUNT, np.nan)
    values[draws.choice(COUNT, count, replace=False)] = draws.random(count)
    return Landscape(values, np.arange(COUNT))


def draws(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_neighbours_differ_in_one_edge() -> None:
    near = neighbours()
    assert near.shape == (COUNT, len(EDGES) * (len(OPERATIONS) - 1))
    assert ((codes()[near] != codes()[:, None]).sum(axis=2) == 1).all()
    assert all(len(set(row)) == 24 for row in near[::97].tolist())
    # Whose neighbour a cell is, is its neighbour.
    assert all(7 in near[other] for other in near[7])


@pytest.mark.parametrize("strategy", ALL, ids=str)
@pytest.mark.parametrize("land", [shared(), few(7), few(1)], ids=["shared", "few", "one"])
def test_what_every_search_keeps_to(strategy: Strategy, land: Landscape) -> None:
    for queries in (1, 4, 25):
        asked = strategy.search(land, queries, draws(1))
        assert 1 <= len(asked) <= queries
        assert not np.isnan(land.values[asked]).any()
        if not isinstance(strategy, Evolution):
            assert len(set(land.owners[asked])) == len(asked) == min(queries, land.different)
        np.testing.assert_array_equal(asked, strategy.search(land, queries, draws(1)))


@pytest.mark.parametrize("strategy", ALL, ids=str)
def test_a_larger_budget_goes_on_where_a_smaller_ends(strategy: Strategy) -> None:
    land = shared()
    long = strategy.search(land, 60, draws(3))
    for queries in (1, 10, 35, 59):
        short = strategy.search(land, queries, draws(3))
        if isinstance(strategy, RandomSearch | LocalSearch) or queries >= 35:
            np.testing.assert_array_equal(short, long[:queries])


@pytest.mark.parametrize("strategy", ALL, ids=str)
def test_a_seed_decides(strategy: Strategy) -> None:
    land = shared()
    one, other = (strategy.search(land, 40, draws(seed)) for seed in (0, 1))
    assert list(one) != list(other)


@pytest.mark.parametrize("strategy", ALL, ids=str)
def test_searches_find_a_hill_that_is_better_than_most(strategy: Strategy) -> None:
    land = smooth(noise=0.02)
    best = land.values[strategy.search(land, 150, draws())].max()
    assert (land.values > best).mean() < 0.02


def test_random_search_is_uniform_over_measurements_by_their_cells() -> None:
    land = few(5)
    first = [int(RandomSearch().search(land, 1, draws(seed))[0]) for seed in range(1000)]
    counts = np.unique(first, return_counts=True)[1]
    assert len(counts) == 5
    assert (np.abs(counts - 200) < 60).all()


@pytest.mark.parametrize("seed", range(5))
def test_local_search_climbs_a_hill_to_its_top(seed: int) -> None:
    made = planted(seed)
    land = Landscape(made.scores.clean, np.arange(COUNT))
    asked = LocalSearch().search(land, 400, draws(seed))
    assert int(asked[np.argmax(land.values[asked])]) == made.clean.index


def test_local_search_ends_at_local_optima() -> None:
    """With a budget for all, whatever is best among its neighbours is what a climb ends at."""
    land = shared(4)
    asked = LocalSearch().search(land, 300, draws(2))
    values = land.values
    known = set(land.owners[asked].tolist())
    complete = [
        cell for cell in asked.tolist() if set(land.owners[land.neighbours(cell)].tolist()) <= known
    ]
    # The last climb may have been cut off; all others have ended where no neighbour is better.
    ends = [cell for cell in complete if values[land.neighbours(cell)].max() <= values[cell]]
    assert len(ends) >= 2
    best = int(asked[np.argmax(values[asked])])
    assert best in ends or best == asked[-1] or best not in complete


def test_local_search_is_the_published_one() -> None:
    """White, Nolen & Savani 2021, Algorithm 1, step by step: all neighbours, then the best."""
    land = smooth(noise=0.05)
    asked = LocalSearch().search(land, 200, draws(5)).tolist()
    values, place, known = land.values, 0, set()
    while place < len(asked):
        cell = asked[place]
        known.add(cell)
        place += 1
        while place < len(asked):
            near = land.neighbours(cell)
            fresh = {int(each) for each in near} - known
            block = asked[place : place + len(fresh)]
            assert set(block) <= fresh
            known |= set(block)
            place += len(block)
            if len(block) < len(fresh):
                return
            best = int(near[np.argmax(values[near])])
            if values[best] <= values[cell]:
                break
            cell = best


def published_evolution(
    values: NDArray[np.float64], population: int, sample: int, cycles: int, seed: int
) -> list[int]:
    """Real, Aggarwal, Huang & Le 2019, Algorithm 1, line by line."""
    chance = draws(seed)
    living: deque[tuple[int, float]] = deque()
    history: list[tuple[int, float]] = []
    for arch in chance.choice(np.arange(COUNT), population):
        model = int(arch), float(values[arch])
        living.append(model)
        history.append(model)
    while len(history) < cycles:
        candidates: list[tuple[int, float]] = []
        for element in chance.integers(len(living), size=sample):
            candidates.append(living[element])
        parent = max(candidates, key=lambda model: model[1])
        child = int(chance.choice(neighbours()[parent[0]]))
        living.append((child, float(values[child])))
        history.append(living[-1])
        living.popleft()
    return [arch for arch, _ in history]


@pytest.mark.parametrize(("population", "sample"), [(30, 10), (5, 1), (1, 1), (4, 100)])
def test_evolution_is_the_published_one(population: int, sample: int) -> None:
    land = smooth(1, noise=0.02)
    strategy = Evolution(population=population, sample=sample)
    found = strategy.search(land, 120, draws(9)).tolist()
    assert found == published_evolution(land.values, population, sample, 120, 9)


def test_the_parent_is_the_best_living_where_all_are_sampled() -> None:
    land = smooth(2)
    found = Evolution(population=6, sample=1000).search(land, 100, draws()).tolist()
    for place in range(6, 100):
        living = found[place - 6 : place]
        best = max(land.values[living])
        parents = [cell for cell in living if land.values[cell] == best]
        assert any(found[place] in neighbours()[parent] for parent in parents)


def test_children_of_cells_without_neighbours_are_any_cell() -> None:
    land = few(2, seed=1)
    assert not len(land.neighbours(int(land.allowed[0])))
    assert set(Evolution(population=1, sample=1).search(land, 50, draws()).tolist()) == {
        *land.allowed.tolist()
    }


def test_paths_are_encoded_as_sequences_of_operations() -> None:
    encoding = path_encoding()
    assert encoding.shape == (COUNT, 5 + 25 + 125)
    for cell in all_cells()[::501]:
        sequences = {tuple(cell.operations[edge] for edge in path) for path in PATHS}
        assert encoding[cell.index].sum() == len(sequences)
    # Which of the middle nodes a path leads through is not told.
    first = all_cells()[0].operations
    a, b, _, d, e, f = first
    turned = next(c for c in all_cells() if c.operations == (b, a, "none", d, f, e))
    plain = next(c for c in all_cells() if c.operations == (a, b, "none", d, e, f))
    both = encoding[turned.index][:30], encoding[plain.index][:30]
    np.testing.assert_array_equal(*both)


def test_bananas_asks_near_the_best_that_it_knows() -> None:
    land = smooth(3, noise=0.01)
    strategy = Bananas(predictor="ridge", candidates=20, batch=5)
    asked = strategy.search(land, 60, draws())
    for start in range(10, 60, 5):
        known, batch = asked[:start], asked[start : start + 5]
        near = {int(each) for cell in known for each in neighbours()[cell]}
        assert set(batch.tolist()) <= near - set(known.tolist())


def test_bananas_where_all_values_are_the_same() -> None:
    land = Landscape(np.full(COUNT, 0.5), np.arange(COUNT))
    for predictor in ("ridge", "network"):
        asked = Bananas(predictor=predictor).search(land, 25, draws())
        assert len(set(asked.tolist())) == 25


def test_networks_need_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sklearn.neural_network", None)
    with pytest.raises(BackendMissing, match="scikit-learn"):
        Bananas().search(smooth(), 12, draws())


def test_what_is_known_is_asked_once() -> None:
    asked = Asked(shared(), 10)
    cell = asked.draw(draws())
    asked.ask(cell)
    twins = np.flatnonzero(asked.landscape.owners == asked.landscape.owners[cell])
    assert asked.knows(int(twins[-1]))
    assert not len(asked.unknown(twins))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("evolution(population=0)", "population takes a whole number from 1"),
        ("evolution(sampel=3)", "did you mean 'sample'"),
        ("bananas(predictor=tree)", "one of network, ridge"),
        ("bananas(ensemble=1)", "from 2"),
        ("randem", "did you mean 'random'"),
    ],
)
def test_bad_strategies(call: str, message: str) -> None:
    with pytest.raises((BadSetting, LookupError, ValueError), match=message):
        STRATEGIES.make(call)
