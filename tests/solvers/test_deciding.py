"""Queries: witnesses that are real, and refutations that rest on dual bounds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sensverify.bounds import (
    Crown,
    Decider,
    compute_bounds,
    forward_pass,
    make_decider,
    make_method,
)
from sensverify.core.box import Box
from sensverify.core.queries import Decision, Query, Verdict
from sensverify.models import load
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import Abs, Affine, Concat, Product, Reshape, Tanh
from sensverify.runs.watch import Watch
from sensverify.solvers import deciding
from sensverify.solvers.highs import Highs, Solution, Status
from sensverify.solvers.milp import Milp
from tests.contracts.attained import exact_range
from tests.contracts.networks import Case, cases, mlps
from tests.solvers.test_lp import iris_box
from tests.solvers.test_milp import HARD, HARD_BOX


def query(
    box: Box,
    rows: list[list[float]],
    limits: list[float],
    alternatives: tuple[tuple[int, ...], ...] = ((0,),),
    strict: list[bool] | None = None,
) -> Query:
    ends = (np.asarray(end, dtype=np.float64) for end in (box.lower, box.upper))
    return Query(
        Box(*ends),
        np.array(rows, dtype=np.float64),
        np.array(limits, dtype=np.float64),
        alternatives,
        np.array(strict or [False] * len(limits)),
    )


def check_witness(network: Network, asked: Query, witness: np.ndarray | None) -> None:
    assert witness is not None
    assert bool(asked.box.contains(witness[None]).all())
    output = forward_pass(network, torch.from_numpy(witness)[None]).numpy()
    assert asked.met_by(output).all()


@given(cases(mlps(relu_only=True, inputs=2, width=4)), st.integers(0, 3))
@settings(max_examples=20)
def test_one_row_is_met_down_to_the_minimum(case: Case, seed: int) -> None:
    box = case.box[:1]
    exact = exact_range(case.network, case.box_of(torch.float64)[:1])
    size = 1 + abs(exact.lower[0, 0]) + abs(exact.upper[0, 0])
    rows = [[1.0] + [0.0] * (case.outputs - 1)]
    for shift, verdict in ((-1e-4, Verdict.UNSAT), (1e-4, Verdict.SAT)):
        asked = query(box, rows, [exact.lower[0, 0] + shift * size])
        answer = Milp(seed=seed).decide(case.network, asked)
        assert answer.verdict is verdict
        if verdict is Verdict.SAT:
            check_witness(case.network, asked, answer.witness)


def corner() -> Network:
    """y = (|x0| + |x1|, x0 + x1): a program of two kinks."""
    builder = NetworkBuilder((2,))
    sizes = builder.add(Affine(np.ones((1, 2))), builder.add(Abs(), builder.input))
    total = builder.add(Affine(np.array([[1.0, 1.0]])), builder.input)
    return builder.build(builder.add(Concat(0), sizes, total))


SQUARE = Box(np.full((1, 2), -1.0), np.full((1, 2), 1.0))


def test_constraints_hold_together() -> None:
    network = corner()
    # |x0| + |x1| <= 0.5 and x0 + x1 >= 0.6 cannot both be; 0.4 can.
    for most, verdict in ((-0.6, Verdict.UNSAT), (-0.4, Verdict.SAT)):
        asked = query(SQUARE, [[1, 0], [0, -1]], [0.5, most], ((0, 1),))
        answer = Milp().decide(network, asked)
        assert answer.verdict is verdict
        if verdict is Verdict.SAT:
            check_witness(network, asked, answer.witness)


def test_one_alternative_is_enough() -> None:
    network = corner()
    rows, limits = [[1, 0], [0, -1]], [0.5, -0.6]
    asked = query(SQUARE, rows, limits, ((0, 1), (0,)))
    answer = Milp().decide(network, asked)
    assert answer.verdict is Verdict.SAT
    check_witness(network, asked, answer.witness)
    assert Milp().decide(network, query(SQUARE, rows, limits, ())).verdict is Verdict.UNSAT
    everywhere = query(SQUARE, rows, limits, ((), (0, 1)))
    assert Milp().decide(network, everywhere).verdict is Verdict.SAT
    nothing = Query(SQUARE, np.zeros((0, 2)), np.zeros(0), ((),))
    assert Milp().decide(network, nothing).verdict is Verdict.SAT


def test_a_limit_that_is_just_touched_is_never_unsat() -> None:
    network = corner()
    # The largest x0 + x1 is 2, at a corner; |x0| + |x1| is 2 there.
    for limit in (-2.0, -2.0 - 1e-9):
        asked = query(SQUARE, [[0, -1]], [limit])
        assert Milp().decide(network, asked).verdict is not (
            Verdict.UNSAT if limit == -2.0 else Verdict.SAT
        )
    strict = query(SQUARE, [[0, -1]], [-2.0], strict=[True])
    assert Milp().decide(network, strict).verdict is not Verdict.SAT


def test_witnesses_come_from_the_program_too(monkeypatch: pytest.MonkeyPatch) -> None:
    network, box = load("iris"), iris_box(0.1, count=1)
    lowest = float(compute_bounds(network, box, Milp()).inner.lower[0, 1])

    def blind(network: Network, box: Box, rows: torch.Tensor, **kw: object) -> object:
        shape = (1, rows.shape[1], *box.shape)
        return None, box.center.expand(shape)

    monkeypatch.setattr(deciding, "search", blind)
    asked = query(box, [[0, 1, 0]], [lowest + 1e-4])
    answer = Milp().decide(network, asked)
    assert answer.verdict is Verdict.SAT
    check_witness(network, asked, answer.witness)


def test_rows_of_any_size() -> None:
    network = corner()
    for size in (1e-6, 1.0, 1e6):
        rows = [[size, 0], [0, -1 / size]]
        impossible = query(SQUARE, rows, [0.5 * size, -0.6 / size], ((0, 1),))
        assert Milp().decide(network, impossible).verdict is Verdict.UNSAT
        possible = query(SQUARE, rows, [0.5 * size, -0.4 / size], ((0, 1),))
        assert Milp().decide(network, possible).verdict is Verdict.SAT
    zero = query(SQUARE, [[0, 0]], [-1.0])
    assert Milp().decide(network, zero).verdict is Verdict.UNSAT


def test_refused_witnesses_answer_nothing() -> None:
    network = corner()
    asked = query(SQUARE, [[1, 0]], [0.5])
    seen = []

    def refuse(point: np.ndarray) -> bool:
        seen.append(point)
        return False

    answer = Milp().decide(network, asked, accept=refuse)
    assert answer.verdict is Verdict.UNKNOWN
    assert answer.witness is None
    assert seen
    assert seen[0].shape == (2,)
    everywhere = query(SQUARE, [[1, 0]], [0.5], ((),))
    assert Milp().decide(network, everywhere, accept=refuse).verdict is Verdict.UNKNOWN


def test_time_runs_out() -> None:
    attained = compute_bounds(HARD, HARD_BOX, Milp(seconds=0.0)).inner
    proven = compute_bounds(HARD, HARD_BOX, Crown()).outer
    # Between what is attained and what is proven nobody knows.
    limit = float(attained.lower[0, 0] * 0.5 + proven.lower[0, 0] * 0.5)
    asked = query(HARD_BOX, [[1, 0]], [limit])
    for watch in (Watch(0.0), Watch(0.5)):
        assert Milp().decide(HARD, asked, watch=watch).verdict is Verdict.TIMEOUT
    stopped = Watch()
    stopped.stop()
    assert Milp().decide(HARD, asked, watch=stopped).verdict is Verdict.TIMEOUT


@pytest.mark.parametrize("bound", [None, float("nan"), 0.0, -1.0])
def test_only_a_proven_violation_refutes(
    monkeypatch: pytest.MonkeyPatch, bound: float | None
) -> None:
    monkeypatch.setattr(deciding, "_excluded", lambda *a: False)
    silent = Decision(Verdict.UNKNOWN, explored=2)
    monkeypatch.setattr(deciding.BranchAndBound, "decide", lambda *a, **k: silent)
    asked = query(SQUARE, [[1, 0], [0, -1]], [0.5, -0.6], ((0, 1),))
    for status in Status:
        monkeypatch.setattr(Highs, "minimise", lambda *a, s=status, **k: Solution(s, bound))
        answer = Milp().decide(corner(), asked)
        assert (answer.verdict, answer.explored) == (Verdict.UNKNOWN, 2)
        assert "1 of 1 alternatives within its tolerances" in answer.reason


@pytest.mark.parametrize(
    ("most", "verdict"), [(-0.5 - 1e-9, Verdict.UNSAT), (-0.5 + 1e-9, Verdict.SAT)]
)
def test_branch_and_bound_decides_what_tolerances_leave_open(most: float, verdict: Verdict) -> None:
    # |x0| + |x1| <= 0.5 and x0 + x1 >= 0.5 and a little more, or a little less.
    asked = query(SQUARE, [[1, 0], [0, -1]], [0.5, most], ((0, 1),))
    answer = Milp().decide(corner(), asked)
    assert answer.verdict is verdict
    assert not answer.reason


def test_by_its_name_on_iris() -> None:
    decider = make_decider("highs")
    assert isinstance(decider, Decider)
    network, box = load("iris"), iris_box(0.05, count=1)
    exact = compute_bounds(network, box, Milp())
    lowest = float(exact.inner.lower[0, 1])
    below = query(box, [[0, 1, 0]], [lowest - 1e-3])
    above = query(box, [[0, 1, 0]], [lowest + 1e-3])
    assert decider.decide(network, below).verdict is Verdict.UNSAT
    answer = decider.decide(network, above)
    assert answer.verdict is Verdict.SAT
    check_witness(network, above, answer.witness)


def curved(kind: str) -> Network:
    rng, builder = np.random.default_rng(3), NetworkBuilder((2,))
    node = builder.add(Affine(rng.normal(size=(6, 2)), rng.normal(size=6)), builder.input)
    if kind == "product":
        node = builder.add(Product(), builder.add(Reshape((3, 2)), node))
    else:
        node = builder.add(Tanh(), node)
    return builder.build(builder.add(Affine(rng.normal(size=(1, builder.shape(node)[0]))), node))


@pytest.mark.parametrize("kind", ["curve", "product"])
def test_what_envelopes_leave_open_is_decided_all_the_same(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = curved(kind)
    ends = compute_bounds(network, SQUARE, make_method("branch-and-bound"))
    assert ends.inner is not None
    least, size = float(ends.inner.lower[0, 0]), float(ends.inner.widths.sum())
    by_splitting = []
    whole = deciding._by_splitting

    def counted(*args: object) -> Decision:
        by_splitting.append(1)
        return whole(*args)

    monkeypatch.setattr(deciding, "_by_splitting", counted)
    # CROWN alone leaves these open; the envelope decides the first of them and not the last.
    crown = float(compute_bounds(network, SQUARE, Crown()).outer.lower[0, 0])
    for share, split in ((0.9, False), (1e-4, True)):
        limit = least - share * (least - crown)
        answer = Milp(segments=8).decide(network, query(SQUARE, [[1.0]], [limit]))
        assert answer.verdict is Verdict.UNSAT
        assert bool(by_splitting) is split
    answer = Milp(segments=2).decide(network, query(SQUARE, [[1.0]], [least + 1e-5 * size]))
    assert answer.verdict is Verdict.SAT
    check_witness(network, query(SQUARE, [[1.0]], [least + 1e-5 * size]), answer.witness)


def test_a_point_of_the_envelope_alone_is_no_witness(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one segment the program holds points far below all outputs of the network."""
    network = curved("curve")
    open_ = Decision(Verdict.UNKNOWN, reason="not asked")
    monkeypatch.setattr(deciding, "_by_splitting", lambda *args: open_)
    found = compute_bounds(network, SQUARE, Milp(segments=1))
    assert found.inner is not None
    limit = float((found.outer.lower + found.inner.lower)[0, 0]) / 2
    assert limit < float(found.inner.lower[0, 0]) - 1e-3
    answer = Milp(segments=1).decide(network, query(SQUARE, [[1.0]], [limit]))
    assert answer.verdict is Verdict.UNKNOWN
