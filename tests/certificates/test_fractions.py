"""What the checker computes in rational numbers, against a second implementation in fractions.

The second one is for chains of layers and ReLUs, one leaf at a time, and is written from the page
on certificates alone.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings

from sensverify.certificates import Claims
from sensverify.certificates.check.program import program_of
from sensverify.certificates.leaves import Leaves
from sensverify.core.proof import NONE, RULE, Proof
from sensverify.network import Network
from sensverify.network.operators import Affine, Relu
from tests.certificates.random_proofs import evaluated, random_proof
from tests.certificates.test_containment import claims_of
from tests.contracts.networks import Case, cases, mlps, numbers, random_generators

pytestmark = pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")

fractions = np.vectorize(lambda value: Fraction(float(value)), otypes=[object])
ZERO = Fraction(0)


class Leaf:
    """A leaf: box, bounds cut by its path, slopes, and the constraints that are weighed."""

    def __init__(self, claims: Claims, proof: Proof, number: int) -> None:
        cells = proof.cells
        problem, features = cells.problem[number], claims.lower.shape[1]
        self.box = [claims.lower[problem].copy(), claims.upper[problem].copy()]
        self.ends = [
            e[cells.hidden[number]].copy() for e in (proof.hidden.lower, proof.hidden.upper)
        ]
        weights: dict[tuple[int, int], float] = {}
        for cell, split, value in zip(
            proof.multiplier_cell, proof.multiplier_split, proof.multiplier, strict=True
        ):
            weights.setdefault((cell, split), value)
        self.forces: dict[int, tuple[int, float, float]] = {}
        cell = number
        while (parent := cells.parent[cell]) != NONE:
            split, at, side = cells.split[parent], cells.at[parent], cells.side[cell]
            place = split - features if split >= features else split
            ends = self.ends if split >= features else self.box
            end, best = (ends[0], max) if side > 0 else (ends[1], min)
            end[place] = best(end[place], at)
            weight = weights.get((number, parent), 0.0)
            if split >= features and weight > 0:
                # Of several constraints on one entry, the one nearest to the root.
                self.forces[place] = (side, weight, at)
            cell = parent
        self.empty = (self.box[0] > self.box[1]).any() or (self.ends[0] > self.ends[1]).any()
        self.slopes = self._slopes(proof, cells.lines[number])

    def _slopes(self, proof: Proof, lines: int) -> list[np.ndarray]:
        low, high = self.ends
        if proof.lines.upper is not None:
            return [proof.lines.lower[lines], proof.lines.upper[lines]]
        with np.errstate(invalid="ignore", divide="ignore"):
            chord = (np.maximum(high, 0) - np.maximum(low, 0)) / (high - low)
        return [proof.lines.lower[lines], np.where(high > low, chord, (low > 0) * 1.0)]

    def least(self, network: Network, row: np.ndarray) -> Fraction:
        """One backward pass, of a row of fractions."""
        total, first = ZERO, len(self.ends[0])
        for node in network.nodes[:0:-1]:
            if isinstance(node.operator, Affine):
                if node.operator.bias is not None:
                    total += row @ fractions(node.operator.bias)
                row = row @ fractions(node.operator.weight)
            else:
                assert isinstance(node.operator, Relu)
                first -= len(row)
                row, constant = self._relu(row, first)
                total += constant
        low, high = (fractions(end) for end in self.box)
        return total + sum(min(a * p, a * q) for a, p, q in zip(row, low, high, strict=True))

    def _relu(self, row: np.ndarray, first: int) -> tuple[np.ndarray, Fraction]:
        result, total = [], ZERO
        for place, factor in enumerate(row, start=first):
            low, high = (Fraction(float(end[place])) for end in self.ends)
            slope = Fraction(float(self.slopes[0 if factor > 0 else 1][place]))
            points = [low, high] + [ZERO] * (low <= 0 <= high)
            gaps = [max(x, ZERO) - slope * x for x in points]
            total += factor * (min(gaps) if factor > 0 else max(gaps))
            result.append(factor * slope)
            if place in self.forces:
                side, weight, at = self.forces[place]
                weight = int(side) * Fraction(float(weight))
                total += weight * Fraction(float(at))
                result[-1] -= weight
        return np.array(result, object), total


def stored(proof: Proof) -> np.ndarray:
    """Leaves with hidden bounds and lines of their own."""
    cells = proof.cells
    return (cells.split == NONE) & (cells.hidden != NONE) & (cells.lines != RULE)


def rounded_down(value: Fraction) -> float:
    near = float(value)
    return near if Fraction(near) <= value else float(np.nextafter(near, -np.inf))


@given(cases(mlps(relu_only=True)), random_generators())
@settings(max_examples=60)
def test_rational_bounds_are_those_of_the_theorem(case: Case, rng: np.random.Generator) -> None:
    program, claims = program_of(case.network), claims_of(case, rng)
    proof = random_proof(rng, claims, program)
    leaves = evaluated(program, claims, proof, "exact")
    for place in np.flatnonzero(stored(proof)[leaves.cell]):
        leaf = Leaf(claims, proof, leaves.cell[place])
        problem, group = (v[leaves.cell[place]] for v in (proof.cells.problem, proof.cells.group))
        for row, value in enumerate(leaves.values[place]):
            if group not in (NONE, row):
                assert value == -np.inf
            elif leaf.empty:
                assert value == np.inf
            else:
                factors = claims.rows[problem if len(claims.rows) > 1 else 0, row]
                assert value == rounded_down(leaf.least(case.network, fractions(factors)))


@given(cases(mlps(relu_only=True)), random_generators())
@settings(max_examples=150)
def test_weighted_rows_refute_what_they_should(case: Case, rng: np.random.Generator) -> None:
    claims, proof, leaves = refuted_leaves(case, rng, "exact")
    for place in np.flatnonzero(stored(proof)[leaves.cell] & (proof.cells.group[leaves.cell] >= 0)):
        number = leaves.cell[place]
        leaf, group = Leaf(claims, proof, number), proof.cells.group[number]
        problem = proof.cells.problem[number]
        rows = claims.rows[problem if len(claims.rows) > 1 else 0]
        limits, members = claims.limits[problem], claims.groups[problem] == group
        if not members.any():
            # Nothing is claimed.
            continue
        expected = leaf.empty or any(
            leaf.least(case.network, fractions(rows[i])) > Fraction(float(limits[i]))
            for i in np.flatnonzero(members)
        )
        if proof.weights is not None and not expected:
            weight = fractions(proof.weights[proof.cells.lines[number]] * members)
            # Weights of rows are rational, too: the row is not rounded.
            excess = leaf.least(case.network, weight @ fractions(rows))
            expected = excess - weight @ fractions(limits) > 0
        assert leaves.refuted[place, group] == expected


def refuted_leaves(
    case: Case, rng: np.random.Generator, arithmetic: str
) -> tuple[Claims, Proof, Leaves]:
    """Random groups of rows, with limits near what is proven."""
    claims, program = claims_of(case, rng), program_of(case.network)
    shape = claims.limits.shape
    groups = rng.integers(-1, 2, shape)
    groups[:, 0] = 0
    claims = replace(claims, groups=groups)
    proof = random_proof(rng, claims, program)
    values = evaluated(program, claims, proof).values
    near = np.median(values[np.isfinite(values)]) if np.isfinite(values).any() else 0.0
    scale = 0.1 * (1 + abs(near))
    claims = replace(claims, limits=near + numbers(rng, *shape, scale=scale))
    return claims, proof, evaluated(program, claims, proof, arithmetic)


@given(cases(mlps(relu_only=True)), random_generators())
@settings(max_examples=60)
def test_rational_bounds_are_the_better_ones(case: Case, rng: np.random.Generator) -> None:
    """With slopes from the proof, rounding only takes away."""
    program, claims = program_of(case.network), claims_of(case, rng)
    proof = random_proof(rng, claims, program)
    upper = proof.lines.lower if proof.lines.upper is None else proof.lines.upper
    hidden = replace(
        proof.hidden,
        lines=np.maximum(proof.hidden.lines, 0),
        own_lines=np.maximum(proof.hidden.own_lines, 0),
    )
    lines = np.maximum(proof.cells.lines, 0)
    # Bounds on layers are found on the leaf: those stored belong to other lines.
    cells = replace(proof.cells, lines=lines, hidden=np.full(len(lines), NONE))
    proof = replace(
        proof, cells=cells, lines=replace(proof.lines, upper=upper), hidden=without_sets(hidden)
    )
    exact, rigorous = (evaluated(program, claims, proof, n) for n in ("exact", "rigorous"))
    assert (exact.values >= rigorous.values).all()
    finite = np.isfinite(rigorous.values)
    size = np.abs(proof.lines.lower).max(initial=1) + np.abs(proof.lines.upper).max(initial=1)
    if size < 3 and not proof.multiplier.any():
        loss = np.abs(exact.values[finite] - rigorous.values[finite])
        assert (loss <= 1e-10 * (1 + np.abs(exact.values[finite]))).all()


def without_sets(hidden):
    return type(hidden)(*(getattr(hidden, name)[:0] for name in hidden.__dataclass_fields__))


@given(cases(mlps(relu_only=True)), random_generators())
@settings(max_examples=60)
def test_what_is_refuted_with_rounding_is_without(case: Case, rng: np.random.Generator) -> None:
    claims, proof, rigorous = refuted_leaves(case, rng, "rigorous")
    exact = evaluated(program_of(case.network), claims, proof, "exact")
    own = stored(proof)[exact.cell]
    assert (exact.refuted[own] >= rigorous.refuted[own]).all()
