"""Split trees walked once: as by walking up from every leaf, and at a cost that is linear."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings

from sensverify.certificates import Claims
from sensverify.certificates.check.layers import Layers
from sensverify.certificates.check.program import Program, program_of
from sensverify.certificates.check.run import check_claims
from sensverify.certificates.check.trees import Forest, Multipliers, Walk
from sensverify.certificates.leaves import best, refuted
from sensverify.core.proof import NONE, Cells, Hidden, Lines, Proof
from sensverify.errors import CertificateRejected
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import Relu
from tests.certificates.random_proofs import evaluated, evaluator_of, random_proof
from tests.contracts.networks import dense, numbers, random_generators


def network(rng: np.random.Generator) -> Network:
    builder = NetworkBuilder((2,))
    node = builder.add(Relu(), builder.add(dense(rng, 3, 2), builder.input))
    node = builder.add(Relu(), builder.add(dense(rng, 2, 3), node))
    return builder.build(builder.add(dense(rng, 2, 2), node))


def drawn(rng: np.random.Generator, *, groups: bool) -> tuple[Program, Claims, Proof]:
    program = program_of(network(rng))
    lower, problems = numbers(rng, 3, 2), 3
    claims = Claims(
        lower,
        lower + np.abs(numbers(rng, problems, 2)),
        numbers(rng, int(rng.choice([1, problems])), 4, 2),
        numbers(rng, problems, 4),
        rng.integers(NONE, 3, (problems, 4)) if groups else None,
    )
    return program, claims, random_proof(rng, claims, program, splits=8)


def path_of(cells: Cells, leaf: int) -> list[tuple[int, int]]:
    """Cells above a leaf and the sides that the path takes, the leaf's parent first."""
    found = []
    while cells.parent[leaf] != NONE:
        found.append((int(cells.parent[leaf]), int(cells.side[leaf])))
        leaf = int(cells.parent[leaf])
    return found


@given(random_generators())
@settings(max_examples=40)
def test_boxes_are_those_of_the_path(rng: np.random.Generator) -> None:
    program, claims, proof = drawn(rng, groups=False)
    cells, forest = proof.cells, Forest(proof.cells)
    walk = Walk(forest, cells, claims.lower, claims.upper, program.entries)
    leaves = np.flatnonzero(cells.split == NONE)
    # In order, and in any other.
    for some in (forest.sorted(leaves), rng.permutation(leaves)):
        paths = walk.to(some)
        for place, leaf in enumerate(some):
            low = np.full(2 + program.entries, -np.inf)
            high = -low
            low[:2], high[:2] = (end[cells.problem[leaf]] for end in (claims.lower, claims.upper))
            for above, side in path_of(cells, leaf):
                number, at = cells.split[above], cells.at[above]
                end, extreme = (low, max) if side > 0 else (high, min)
                end[number] = extreme(end[number], at)
            assert (paths.lower[place] == low[:2]).all()
            assert (paths.upper[place] == high[:2]).all()
            if paths.entry_lower is not None:
                assert paths.entry_upper is not None
                assert (paths.entry_lower[place] == low[2:]).all()
                assert (paths.entry_upper[place] == high[2:]).all()
            else:
                assert np.isinf(low[2:]).all()


@given(random_generators())
@settings(max_examples=60)
def test_multipliers_are_those_of_the_path(rng: np.random.Generator) -> None:
    program, _, proof = drawn(rng, groups=False)
    cells, forest = proof.cells, Forest(proof.cells)
    every, leaves = Multipliers.of(proof, forest, 2), np.flatnonzero(cells.split == NONE)
    chosen = rng.permutation(leaves)[: int(rng.integers(1, len(leaves) + 1))]
    found = every.on(chosen)
    assert (np.diff(found.entry) >= 0).all()
    taken = {}
    for item in zip(found.leaf, found.entry, found.force, found.at, strict=True):
        taken[item[0], item[1]] = item[2:]
    wanted = {}
    for place, leaf in enumerate(chosen):
        for above, side in path_of(cells, leaf):
            own = np.flatnonzero(
                (proof.multiplier_cell == leaf) & (proof.multiplier_split == above)
            )
            entry = cells.split[above] - 2
            if entry >= 0 and len(own) and proof.multiplier[own].max() > 0:
                first = own[proof.multiplier[own] > 0][0]
                wanted[place, entry] = (side * proof.multiplier[first], cells.at[above])
    assert taken == wanted
    assert program.entries > 0


def in_parts(size: int, items: np.ndarray, rows: int) -> Iterator[np.ndarray]:
    for first in range(0, len(items), size):
        yield items[first : first + size]


@pytest.mark.parametrize("groups", [False, True])
@given(rng=random_generators())
@settings(max_examples=12)
def test_trees_prove_together_what_their_leaves_do(groups: bool, rng: np.random.Generator) -> None:
    program, claims, proof = drawn(rng, groups=groups)
    evaluator = evaluator_of(program, claims)
    leaves = evaluated(program, claims, proof)
    # Batches of one leaf and of several: trees begin and end anywhere in them.
    for size in (1, 3):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Layers, "batches", partial(in_parts, size))
            together = evaluator.together(proof, evaluator.hidden(proof))
        if claims.groups is None:
            np.testing.assert_allclose(together.values, best(claims, proof, leaves), atol=1e-12)
            continue
        shown = refuted(claims, proof, leaves)
        for problem, row in np.argwhere(claims.groups >= 0):
            assert together.refuted[problem, row] == shown[problem, claims.groups[problem, row]]


# Chains: one leaf and one cell that is split again, as often as one likes.


def chain(depth: int, split: Callable[[np.ndarray], np.ndarray]) -> Cells:
    """Leaves on the upper side of a path of that depth."""
    level, count = np.arange(depth), 2 * depth + 1
    inner = np.maximum(2 * level - 1, 0)
    cells = Cells.roots(np.zeros(count, np.int64))
    cells.parent[1:], cells.side[1::2], cells.side[2::2] = np.repeat(inner, 2), -1, 1
    cells.split[inner], cells.at[inner] = split(level), 1 - (level + 1) / (depth + 1)
    return cells


SPLITS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "features": lambda level: level % 2,
    "entries": lambda level: 2 + level % 5,
    "one entry": lambda level: level * 0 + 2,
}


def chain_proof(program: Program, depth: int, kind: str) -> Proof:
    """With hidden bounds, lines and multipliers of every leaf, so that all parts are looked at."""
    cells = chain(depth, SPLITS[kind])
    leaves = np.flatnonzero(cells.split == NONE)
    cells.hidden[leaves] = cells.lines[leaves] = 0
    entries = program.entries
    # Wide enough for what slopes of a half prove, in the second layer too.
    wide, none = np.array([[1e3, 1e3, 1e3, 1e5, 1e5]]), np.zeros(0, np.int64)
    one = np.zeros(1, np.int64)
    hidden = Hidden(one, -wide, wide, one, none, none, none, none)
    lines = Lines(np.full((1, entries), 0.5))
    multipliers = leaves[1:], cells.parent[leaves[1:]], np.full(len(leaves) - 1, 1e-3)
    return Proof.of(cells, entries=entries, lines=lines, hidden=hidden, multipliers=multipliers)


def claims_of_nothing() -> Claims:
    return Claims(np.zeros((1, 2)), np.ones((1, 2)), np.eye(2)[None], np.full((1, 2), -1e300))


@pytest.mark.parametrize("kind", SPLITS)
@pytest.mark.parametrize("depth", [1_000, 5_000, 50_000])
def test_every_edge_of_a_chain_is_passed_once(depth: int, kind: str) -> None:
    program = program_of(network(np.random.default_rng(0)))
    proof, claims = chain_proof(program, depth, kind), claims_of_nothing()
    forest = Forest(proof.cells)
    walk = Walk(forest, proof.cells, claims.lower, claims.upper, program.entries)
    leaves = forest.sorted(np.flatnonzero(proof.cells.split == NONE))
    for first in range(0, len(leaves), 500):
        walk.to(leaves[first : first + 500])
    assert walk.edges == 2 * depth


@pytest.mark.parametrize("kind", SPLITS)
def test_memory_of_a_chain_is_that_of_its_cells(kind: str) -> None:
    program, claims = program_of(network(np.random.default_rng(0))), claims_of_nothing()
    peaks = []
    for depth in (1_000, 6_000):
        proof = chain_proof(program, depth, kind)
        tracemalloc.start()
        try:
            assert check_claims(program, claims, proof).cells == depth + 1
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    # A few arrays and lists of the cells' length; nothing of its square.
    assert peaks[1] - peaks[0] < 2 * 5_000 * 1_000


def test_many_leaves_times_many_rows_are_refused() -> None:
    """A million cells that are alike, and as many rows, would make small files."""
    program = program_of(network(np.random.default_rng(0)))
    cells = Cells.roots(np.zeros(1_000_000, np.int64))
    claims = Claims(
        np.zeros((1, 2)), np.ones((1, 2)), np.zeros((1, 2_000, 2)), np.full((1, 2_000), -1.0)
    )
    with pytest.raises(CertificateRejected, match="2,000,000,000 rows on its leaves"):
        check_claims(program, claims, Proof.of(cells, entries=program.entries))


@pytest.mark.slow
@pytest.mark.parametrize("kind", SPLITS)
def test_a_long_chain_is_checked(kind: str) -> None:
    program, claims = program_of(network(np.random.default_rng(0))), claims_of_nothing()
    assert check_claims(program, claims, chain_proof(program, 50_000, kind)).cells == 50_001
