"""A changed certificate is refused, or what it claims is still true.

The claims are tight, so that most changes of them are false, and the truth is the least value over
all linear pieces of the network, in rational numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flint import fmpq

from sensverify.bounds import compute_bounds
from sensverify.certificates import Certificate, Claims, certificate_bytes, read_certificate
from sensverify.certificates.check.program import Program, program_of
from sensverify.certificates.check.run import check_claims
from sensverify.certificates.leaves import Leaves, best, refuted
from sensverify.core.box import Box
from sensverify.core.proof import NONE, Cells, Hidden, Lines, Proof
from sensverify.errors import BadCertificate, CertificateRejected, Unbounded
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import Abs, Add, Affine, Clip, LeakyRelu, Max, Relu, Reshape
from sensverify.solvers.branch_and_bound import BranchAndBound
from tests.certificates.exact_values import rational
from tests.certificates.mutations import (
    BREAKING,
    CLAIMS,
    MUTATIONS,
    make_claims_false,
    packed,
    unpacked,
)
from tests.certificates.pieces import Pieces
from tests.certificates.random_proofs import evaluated, evaluator_of, random_proof
from tests.certificates.tight_proofs import halved_at, hidden_of, tight_proof
from tests.contracts.networks import dense, numbers

pytestmark = pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")

FAST, SLOW = 165, 20_000
"""Changes of one certificate."""

ENOUGH = 25
"""False claims of one broken proof."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A certificate that is fine; ``loss``: how far its claims may be from the truth."""

    network: Network
    program: Program
    claims: Claims
    proof: Proof
    loss: float = 1e-7

    def data(self) -> bytes:
        return certificate_bytes(
            Certificate(
                "ab" * 32,
                self.network.input_shape,
                self.network.output_shape,
                self.claims,
                self.proof,
            )
        )


def random_claims(rng: np.random.Generator, features: int, rows: np.ndarray) -> Claims:
    lower = numbers(rng, 2, features)
    upper = lower + 0.3 + np.abs(numbers(rng, 2, features))
    return Claims(lower, upper, rows, np.full((2, rows.shape[1]), -np.inf))


def mlp(rng: np.random.Generator) -> Network:
    builder = NetworkBuilder((2,))
    node = builder.add(Relu(), builder.add(dense(rng, 3, 2), builder.input))
    node = builder.add(Relu(), builder.add(dense(rng, 2, 3), node))
    return builder.build(builder.add(dense(rng, 2, 2), node))


def residual(rng: np.random.Generator) -> Network:
    """Values that several nodes read: by two functions, and twice by a sum."""
    builder = NetworkBuilder((2,))
    first = builder.add(dense(rng, 2, 2), builder.input)
    one = builder.add(Relu(), first)
    other = builder.add(LeakyRelu(np.array(-0.5)), first)
    both = builder.add(Add(), one, other, first, one)
    deep = builder.add(Abs(), builder.add(dense(rng, 2, 2), both))
    node = builder.add(Add(), deep, both, builder.input)
    return builder.build(builder.add(dense(rng, 2, 2), node))


def bent(rng: np.random.Generator) -> Network:
    """One input, and functions that bend elsewhere than at zero."""
    builder = NetworkBuilder((1,))
    node = builder.add(Clip(-0.5, 0.75), builder.add(dense(rng, 4, 1), builder.input))
    node = builder.add(Max(), builder.add(Reshape((3, 2)), builder.add(dense(rng, 6, 4), node)))
    node = builder.add(LeakyRelu(np.array(0.25)), builder.add(dense(rng, 2, 3), node))
    return builder.build(builder.add(dense(rng, 2, 2), node))


def ordinary(subject: Subject) -> bool:
    """That some entries bend in either box, and not too many."""
    hidden, _ = hidden_of(subject.program, subject.claims, np.random.default_rng(0))
    bends = ((hidden.lower < 0) & (hidden.upper > 0)).sum(axis=1)
    return bool((bends >= 2).all() and bends.sum() <= 6)


def drawn(
    seed: int, make: Callable[[np.random.Generator], Network], rows: int
) -> tuple[Network, Claims, np.random.Generator]:
    """A network and boxes, where some entries bend in either box, and not too many."""
    rng = np.random.default_rng(seed)
    while True:
        network = make(rng)
        claims = random_claims(rng, 2, numbers(rng, int(rng.integers(1, 3)), rows, 2))
        hidden, _ = hidden_of(program_of(network), claims, np.random.default_rng(0))
        bends = ((hidden.lower < 0) & (hidden.upper > 0)).sum(axis=1)
        if (bends >= 2).all() and bends.sum() <= 6:
            return network, claims, rng


def ranges(seed: int, make: Callable[[np.random.Generator], Network]) -> Subject:
    network, claims, rng = drawn(seed, make, 2)
    program = program_of(network)
    return Subject(network, program, *tight_proof(network, program, claims, rng))


def refutation(seed: int) -> Subject:
    """Of two alternatives, of the first problem; the second has one."""
    network, claims, rng = drawn(seed, mlp, 4)
    program, groups = program_of(network), np.array([[0, 0, 1, 1], [0, 0, 0, -1]])
    limits = numbers(rng, 2, 4)
    for problem, group in ((0, 0), (0, 1), (1, 0)):
        pieces = Pieces(network, claims.lower[problem], claims.upper[problem])
        rows = claims.rows[problem % len(claims.rows)]
        own = groups[problem] == group
        least = pieces.least_of_largest(rows[own], limits[problem][own])
        limits[problem][own] += float(least.p) / float(least.q) - 1e-11
    claims = replace(claims, limits=limits, groups=groups)
    return Subject(network, program, *tight_proof(network, program, claims, rng))


def halved(seed: int) -> Subject:
    rng = np.random.default_rng(seed)
    network = bent(rng)
    claims = random_claims(rng, 1, np.concatenate([np.eye(2), -np.eye(2)])[None])
    ends = zip(claims.lower, claims.upper, strict=True)
    bends = [Pieces(network, *box).bends() for box in ends]
    program = program_of(network)
    return Subject(network, program, *halved_at(program, claims, bends))


def found(seed: int) -> Subject:
    """By branch and bound."""
    rows = np.concatenate([np.eye(2), -np.eye(2)])[None]
    network, claims, _ = drawn(seed, mlp, 2)
    claims = replace(claims, rows=rows, limits=np.full((2, 4), -np.inf))
    program = program_of(network)
    box = Box(*(torch.from_numpy(end) for end in (claims.lower, claims.upper)))
    result = compute_bounds(network, box, BranchAndBound(gap=1e-7), proof=True)
    assert result.certificate is not None
    proof = result.certificate
    low, high = evaluator_of(program, claims).hidden(proof, believe=False)
    proof = replace(proof, hidden=replace(proof.hidden, lower=low, upper=high))
    limits = best(claims, proof, evaluated(program, claims, proof))
    return Subject(network, program, replace(claims, limits=limits), proof, 1e-5)


MAKE: dict[str, Callable[[], Subject]] = {
    "ranges": partial(ranges, 1, mlp),
    "residual": partial(ranges, 2, residual),
    "refutation": partial(refutation, 3),
    "halved": partial(halved, 4),
    "found": partial(found, 5),
}


@cache
def subject_of(name: str) -> Subject:
    return MAKE[name]()


class Judge:
    """What is true of a network, from its linear pieces."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.known: dict[bytes, Pieces] = {}

    def gaps(self, claims: Claims) -> list[fmpq]:
        """By how much claims are true: never negative if they are; positive, of groups."""
        result = []
        for problem, (lower, upper) in enumerate(zip(claims.lower, claims.upper, strict=True)):
            key = lower.tobytes() + upper.tobytes()
            if key not in self.known:
                self.known[key] = Pieces(self.network, lower, upper)
            pieces, limits = self.known[key], claims.limits[problem]
            rows = claims.rows[problem if len(claims.rows) > 1 else 0]
            if claims.groups is None:
                for row in np.flatnonzero(limits > -np.inf):
                    result.append(pieces.least(rows[row]) - rational(limits[row]))
            else:
                groups = claims.groups[problem]
                for group in set(groups[groups >= 0].tolist()):
                    own = groups == group
                    result.append(pieces.least_of_largest(rows[own], limits[own]))
        return result

    def agrees(self, claims: Claims) -> bool:
        strict = claims.groups is not None
        return all(gap > 0 or (gap == 0 and not strict) for gap in self.gaps(claims))


def accepted(data: bytes, program: Program, path: Path, arithmetic: str) -> Claims | None:
    """The claims of a file that the checker takes for proven."""
    path.write_bytes(data)
    try:
        certificate = read_certificate(path)
        check_claims(program, certificate.claims, certificate.proof, arithmetic=arithmetic)
    except (BadCertificate, CertificateRejected):
        return None
    return certificate.claims


@pytest.mark.parametrize("name", MAKE)
@pytest.mark.parametrize("arithmetic", ["rigorous", "exact"])
def test_the_claims_are_tight(name: str, arithmetic: str, tmp_path: Path) -> None:
    subject = subject_of(name)
    claims = accepted(subject.data(), subject.program, tmp_path / "some.cert", arithmetic)
    assert claims is not None
    gaps = Judge(subject.network).gaps(claims)
    assert all(0 <= gap <= rational(subject.loss) for gap in gaps)
    assert (subject.proof.cells.split != NONE).sum() >= 4


def changed(subject: Subject, count: int, seed: int, path: Path) -> Counter[tuple[str, str]]:
    """Outcomes of random changes; one in twenty is checked in rational numbers, too."""
    rng, judge = np.random.default_rng(seed), Judge(subject.network)
    original, outcomes = subject.data(), Counter[tuple[str, str]]()
    for number in range(count):
        header, arrays = unpacked(original)
        change = MUTATIONS[number % len(MUTATIONS)]
        if change not in CLAIMS and rng.random() < 0.6:
            # Changes of the proof alone leave true claims true.
            make_claims_false(rng, arrays)
        for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
            change(rng, arrays)
        header["arrays"] = sorted(arrays)
        data = packed(header, arrays)
        for arithmetic in ("rigorous", "exact")[: 1 + (number % 20 == 0)]:
            claims = accepted(data, subject.program, path, arithmetic)
            what = f"{change.__name__}, number {number} of seed {seed}, {arithmetic}"
            assert claims is None or judge.agrees(claims), f"false claims are accepted: {what}"
            if arithmetic == "rigorous":
                outcomes[change.__name__, "refused" if claims is None else "true"] += 1
    return outcomes


def share(outcomes: Counter[tuple[str, str]], names: set[str]) -> float:
    own = {key: n for key, n in outcomes.items() if key[0] in names}
    return sum(n for key, n in own.items() if key[1] == "refused") / sum(own.values())


def assert_no_change_is_believed(name: str, count: int, path: Path) -> None:
    outcomes = changed(subject_of(name), count, len(name), path)
    # Changes that make claims false are seen, and not every change does.
    for change, least in zip(CLAIMS, (0.3, 0.3, 0.2), strict=True):
        assert share(outcomes, {change.__name__}) > least
    assert 0.3 < share(outcomes, {change.__name__ for change in MUTATIONS}) < 0.97


@pytest.mark.parametrize("name", MAKE)
def test_no_change_makes_false_claims_accepted(name: str, tmp_path: Path) -> None:
    assert_no_change_is_believed(name, FAST, tmp_path / "some.cert")


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("name", MAKE)
def test_none_of_many_changes_makes_false_claims_accepted(name: str, tmp_path: Path) -> None:
    assert_no_change_is_believed(name, SLOW, tmp_path / "some.cert")


@pytest.mark.parametrize("name", MAKE)
def test_flipped_bits_of_the_file_make_no_false_claims_accepted(name: str, tmp_path: Path) -> None:
    subject, rng = subject_of(name), np.random.default_rng(len(name))
    judge, refused = Judge(subject.network), 0
    for packing in (subject.data(), packed(*unpacked(subject.data()))):
        for _ in range(60):
            data = bytearray(packing)
            for _ in range(int(rng.choice([1, 1, 2, 8]))):
                data[rng.integers(len(data))] ^= 1 << rng.integers(8)
            claims = accepted(bytes(data), subject.program, tmp_path / "some.cert", "rigorous")
            assert claims is None or judge.agrees(claims)
            refused += claims is None
    assert refused > 80


def unchecked(program: Program, claims: Claims, proof: Proof) -> np.ndarray | None:
    """What a proof seems to prove to whoever believes its trees and hidden bounds."""
    if not (proof.cells.parent < np.arange(len(proof.cells))).all():
        return None
    try:
        known = proof.hidden.lower, proof.hidden.upper
        values = best(claims, proof, Leaves.of(evaluator_of(program, claims), proof, known))
    except (IndexError, ValueError, Unbounded):
        return None
    return np.where(np.isnan(values), -np.inf, np.minimum(values, 1e6))


@pytest.mark.parametrize("name", ["ranges", "residual", "halved", "found"])
def test_false_claims_of_broken_proofs_are_refused(name: str) -> None:
    """Claims that are what a broken proof would prove, if nobody looked at its trees."""
    subject, rng = subject_of(name), np.random.default_rng(len(name))
    judge, false, original = Judge(subject.network), Counter[str](), subject.data()
    claims, program = subject.claims, subject.program
    for change in BREAKING * 30:
        if false.total() == ENOUGH:
            break
        _, arrays = unpacked(original)
        change(rng, arrays)
        proof = proof_of(arrays)
        limits = unchecked(program, claims, proof)
        if limits is None or judge.agrees(claimed := replace(claims, limits=limits)):
            continue
        false[change.__name__] += 1
        with pytest.raises(CertificateRejected):
            check_claims(program, claimed, proof)
    assert len(false) >= 2
    assert false.total() >= 5, false


def proof_of(arrays: dict[str, np.ndarray]) -> Proof:
    def part(kind: type, name: str) -> Any:
        return kind(**{i.name: arrays.get(f"{name}.{i.name}") for i in fields(kind)})

    pairs = (arrays[f"multiplier.{name}"] for name in ("cell", "split", "value"))
    parts = part(Cells, "cells"), part(Lines, "lines"), part(Hidden, "hidden")
    return Proof(*parts, arrays.get("weights"), *pairs)


def with_a_change(network: Network, rng: np.random.Generator) -> Network:
    """One weight or bias moved a little or a lot."""
    nodes = list(network.nodes)
    layers = [i for i, node in enumerate(nodes) if isinstance(node.operator, Affine)]
    place = int(rng.choice(layers))
    operator = nodes[place].operator
    name = str(rng.choice(["weight", "bias"]))
    values = np.array(getattr(operator, name))
    at = tuple(int(rng.integers(n)) for n in values.shape)
    values[at] += rng.choice([-1, 1]) * rng.choice([1e-9, 1e-6, 1e-3, 0.1, 2.0])
    nodes[place] = replace(nodes[place], operator=replace(operator, **{name: values}))
    return replace(network, nodes=tuple(nodes))


@pytest.mark.parametrize("name", MAKE)
def test_claims_about_another_network_are_refused_unless_true(name: str, tmp_path: Path) -> None:
    subject, rng = subject_of(name), np.random.default_rng(len(name))
    data, refused = subject.data(), 0
    for _ in range(40):
        network = with_a_change(subject.network, rng)
        claims = accepted(data, program_of(network), tmp_path / "some.cert", "rigorous")
        assert claims is None or Judge(network).agrees(claims)
        refused += claims is None
    assert refused > 12


def test_random_proofs_of_random_claims_prove_what_is_true(tmp_path: Path) -> None:
    """With limits as they come out, so that nothing is left between them and the proof."""
    rng, judged = np.random.default_rng(0), 0
    for _ in range(50):
        network = (mlp, residual)[int(rng.integers(2))](rng)
        program = program_of(network)
        claims = random_claims(rng, 2, numbers(rng, 1, 3, 2))
        proof = random_proof(rng, claims, program)
        limits = best(claims, proof, evaluated(program, claims, proof))
        gaps = Judge(network).gaps(replace(claims, limits=limits))
        assert all(gap >= 0 for gap in gaps)
        judged += len(gaps)
    assert judged > 125


def test_random_refutations_of_random_proofs_are_true() -> None:
    """Limits about where they can be refuted; weights and multipliers are random."""
    rng, closed = np.random.default_rng(1), 0
    for _ in range(60):
        network = (mlp, residual)[int(rng.integers(2))](rng)
        program = program_of(network)
        claims = random_claims(rng, 2, numbers(rng, 1, 4, 2))
        groups = rng.integers(0, 2, (2, 4))
        proof = random_proof(rng, claims, program)
        values = best(claims, proof, evaluated(program, claims, proof))
        near = np.where(np.isfinite(values), values, 0.0) + rng.normal(size=(2, 4)) * 0.3
        claims = replace(claims, limits=near, groups=groups)
        count, judge = claims.count, Judge(network)
        cells = replace(proof.cells, group=np.minimum(proof.cells.group, count - 1))
        proof = replace(proof, cells=cells)
        shown = refuted(claims, proof, evaluated(program, claims, proof))
        for problem, group in np.argwhere(shown):
            own = np.where(groups == group, 0, NONE)
            own[np.arange(2) != problem] = NONE
            assert judge.agrees(replace(claims, groups=own))
            closed += bool((own[problem] == 0).any())
    assert closed > 12
