"""Proofs that nobody would make: random slopes, trees, hidden bounds, weights and multipliers."""

from __future__ import annotations

import numpy as np

from sensverify.certificates import Claims
from sensverify.certificates.check.arithmetic import ARITHMETICS
from sensverify.certificates.check.cells import check_cells
from sensverify.certificates.check.checker import Evaluator
from sensverify.certificates.check.program import Program
from sensverify.certificates.leaves import Leaves
from sensverify.core.proof import NONE, RULE, Cells, Hidden, Lines, Proof

CHILDREN = ("parent", "side", "split", "at")


def random_lines(rng: np.random.Generator, sets: int, entries: int) -> Lines:
    """Slopes near those that help, and some that are absurd."""
    kind = rng.integers(0, 4, (2, sets, 1))
    plain = rng.uniform(0, 1, (2, sets, entries))
    wild = rng.normal(size=(2, sets, entries)) * 10.0 ** rng.integers(-3, 4, (2, sets, entries))
    whole = rng.integers(0, 2, (2, sets, entries)).astype(float)
    values = np.where(kind == 0, wild, np.where(kind == 1, whole, plain))
    if rng.random() < 0.3:
        return Lines(values[0].astype(np.float32), None)
    return Lines(values[0], values[1])


def random_cells(
    rng: np.random.Generator,
    claims: Claims,
    program: Program,
    *,
    centres: np.ndarray,
    sizes: np.ndarray,
    hidden: np.ndarray,
    sets: int,
    splits: int = 4,
) -> Cells:
    """One or two trees for every problem, split at random places of inputs and entries.

    ``centres``, ``sizes``: ``[problems, features + entries]``, about where numbers lie.
    ``hidden``: the problems of the hidden sets.
    """
    rows: list[dict[str, float]] = []
    for problem in range(claims.problems):
        for _ in range(rng.integers(1, 3)):
            whole = claims.groups is None or rng.random() < 0.5
            group = NONE if whole and rng.random() < 0.8 else rng.integers(0, claims.count)
            root = {"problem": problem, "group": group, "parent": NONE, "side": 0}
            rows.append({**root, "split": NONE, "at": 0.0})
            leaves = [len(rows) - 1]
            for _ in range(rng.integers(0, splits + 1)):
                parent = leaves.pop(rng.integers(len(leaves)))
                number = rng.integers(0, program.features + program.entries)
                place = centres[problem, number] + rng.normal() * sizes[problem, number]
                rows[parent] |= {"split": number, "at": rng.choice([place, place, 0.0])}
                for side in rng.permutation([-1, 1]):
                    child = {"problem": problem, "group": group, "parent": parent, "side": side}
                    rows.append({**child, "split": NONE, "at": 0.0})
                    leaves.append(len(rows) - 1)
    for row in rows:
        own = [NONE, *np.flatnonzero(hidden == row["problem"])]
        row["hidden"], row["lines"] = rng.choice(own), rng.integers(RULE, sets)
    table = {
        name: np.array([row[name] for row in rows], float if name == "at" else np.int64)
        for name in ("problem", "group", "parent", "side", "split", "at", "hidden", "lines")
    }
    return Cells(**table)


def random_proof(
    rng: np.random.Generator, claims: Claims, program: Program, *, splits: int = 4
) -> Proof:
    """A proof without one sensible choice, whose hidden bounds hold."""
    entries, sets = program.entries, int(rng.integers(1, 4))
    lines = random_lines(rng, sets, entries)
    plain = Proof.of(Cells.roots(np.arange(claims.problems)), entries=entries, lines=lines)
    problem = rng.integers(0, claims.problems, rng.integers(0, 4))
    count = len(problem)
    exceptions = int(rng.integers(0, 4)) if count and entries else 0
    none = np.zeros((count, entries))
    proposed = Hidden(
        problem,
        none,
        none,
        rng.integers(RULE, sets, count),
        rng.integers(0, max(count, 1), exceptions),
        rng.integers(0, max(entries, 1), exceptions),
        rng.choice([-1, 1], exceptions),
        rng.integers(RULE, sets, exceptions),
    )
    plain = Proof(plain.cells, lines, proposed, None, *_nothing())
    low, high = Evaluator(program, ARITHMETICS["rigorous"](), claims, margin=4).hidden(
        plain, believe=False
    )
    # In the last layer wider than what is proven, by nothing or by much.
    wide = np.abs(rng.normal(size=(2, count, entries))) * rng.choice([0, 0, 0.1, 3], (2, count, 1))
    first = program.nonlinear[-1][1].first if program.nonlinear else 0
    wide[..., :first] = 0
    hidden = Hidden(
        problem,
        low - wide[0],
        high + wide[1],
        proposed.lines,
        proposed.own_set,
        proposed.own_entry,
        proposed.own_side,
        proposed.own_lines,
    )
    centres, sizes = _places(claims, program)
    cells = random_cells(
        rng,
        claims,
        program,
        centres=centres,
        sizes=sizes,
        hidden=problem,
        sets=sets,
        splits=splits,
    )
    number = int(rng.integers(0, 2 * len(cells)))
    leaf = rng.integers(0, len(cells), number)
    split = rng.integers(0, len(cells), number)
    # Half of them on the leaf's own path, the others anywhere.
    own = rng.random(number) < 0.7
    split = np.where(own & (cells.parent[leaf] != NONE), cells.parent[leaf], split)
    value = np.abs(rng.normal(size=number)) * 10.0 ** rng.integers(-2, 2, number)
    weights = np.abs(rng.normal(size=(sets, claims.limits.shape[1]))) * rng.choice(
        [0, 1], (sets, claims.limits.shape[1])
    )
    given = weights if rng.random() < 0.6 else None
    return Proof(cells, lines, hidden, given, leaf, split, value)


def _nothing() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    none = np.zeros(0, np.int64)
    return none, none, np.zeros(0)


def _places(claims: Claims, program: Program) -> tuple[np.ndarray, np.ndarray]:
    """Middles and radii of all inputs and entries, by the rule."""
    lines = np.full(claims.problems, RULE)
    none = np.zeros((claims.problems, program.entries))
    empty = np.zeros(0, np.int64)
    sets = Hidden(np.arange(claims.problems), none, none, lines, empty, empty, empty, empty)
    plain = Proof.of(Cells.roots(np.arange(claims.problems)), entries=program.entries, hidden=sets)
    low, high = evaluator_of(program, claims).hidden(plain, believe=False)
    low = np.concatenate([claims.lower, low], axis=1)
    high = np.concatenate([claims.upper, high], axis=1)
    return low / 2 + high / 2, high / 2 - low / 2


def evaluator_of(program: Program, claims: Claims, arithmetic: str = "rigorous") -> Evaluator:
    return Evaluator(program, ARITHMETICS[arithmetic](), claims)


def evaluated(
    program: Program, claims: Claims, proof: Proof, arithmetic: str = "rigorous"
) -> Leaves:
    """What all leaves prove, after the checks that `check_claims` makes."""
    check_cells(
        proof,
        problems=claims.problems,
        groups=claims.count,
        features=program.features,
        entries=program.entries,
    )
    evaluator = evaluator_of(program, claims, arithmetic)
    return Leaves.of(evaluator, proof, evaluator.hidden(proof))
