"""Stopped at any moment, or out of memory: still sound, and honest about it."""

from __future__ import annotations

import threading
from time import perf_counter, process_time

import numpy as np
import pytest
import torch

from sensverify.bounds import Crown, Ibp, Method, compute_bounds
from sensverify.core.box import Box
from sensverify.core.proof import NONE
from sensverify.core.queries import Verdict
from sensverify.core.results import Bounds, Status
from sensverify.network import Network
from sensverify.runs.watch import Watch
from sensverify.solvers.branch_and_bound import BranchAndBound
from tests.contracts.attained import attained, largest_violation
from tests.solvers.branch_and_bound.cases import query, random_chain, unit_box
from tests.ticks import Ticks

both_splits = pytest.mark.parametrize("split", ["inputs", "neurons"])


def hard() -> tuple[Network, Box]:
    """A network that takes far longer than these tests."""
    ends = torch.ones(2, 6, dtype=torch.float64)
    return random_chain(0, 6, 20, 20, 2), Box(-ends, ends)


def assert_sound(bounds: Bounds, network: Network, box: Box, first: Method | None = None) -> None:
    """Outside of all that is attained, and not outside of what the first pass has proven."""
    values, magnitude = attained(network, box)
    plain = compute_bounds(network, box, first or Crown()).outer
    assert bool((largest_violation(bounds.outer, values) <= 1e-12 * magnitude).all())
    assert bool((bounds.outer.lower >= plain.lower - 1e-12 * magnitude).all())
    assert bool((bounds.outer.upper <= plain.upper + 1e-12 * magnitude).all())
    assert bounds.inner is not None
    assert bool((bounds.inner.lower >= bounds.outer.lower).all())
    assert bool((bounds.inner.upper <= bounds.outer.upper).all())


@both_splits
def test_brackets_get_narrower_with_time_and_are_always_sound(split: str) -> None:
    network, box = hard()
    last = None
    # Of no time, interval arithmetic is what fits in.
    for looks, first in ((0, Ibp()), (50, Crown()), (80, Crown())):
        watch = Watch(1e-3 * looks, clock=Ticks())
        found = compute_bounds(network, box, BranchAndBound(split=split), watch=watch)
        assert_sound(found, network, box, first)
        assert found.status(0) is Status.BOUNDED
        # Refining bounds before ReLUs are split takes a share of the time: another one each time.
        if last is not None and split == "inputs":
            assert bool((found.outer.widths <= last.outer.widths).all())
            assert bool((found.inner.widths >= last.inner.widths).all())
        last = found


@both_splits
def test_a_stop_from_another_thread(split: str) -> None:
    network, box = hard()
    watch = Watch()
    timer = threading.Timer(0.3, watch.stop)
    timer.start()
    found = compute_bounds(network, box, BranchAndBound(split=split), watch=watch)
    timer.join()
    assert watch.stopped
    assert_sound(found, network, box)


@both_splits
def test_a_watch_that_is_over_before_it_starts(split: str) -> None:
    network, box = hard()
    watch = Watch()
    watch.stop()
    found = compute_bounds(network, box, BranchAndBound(split=split), watch=watch)
    assert_sound(found, network, box, Ibp())
    plane = query(unit_box(6), [[1.0, 0.0]], [-1e6], [[0]])
    decision = BranchAndBound(split=split).decide(network, plane, watch=watch)
    assert decision.verdict in (Verdict.UNSAT, Verdict.TIMEOUT)


@both_splits
@pytest.mark.parametrize("batch", [1, 2])
def test_without_memory_sub_problems_are_given_up_and_nothing_is_claimed(
    split: str, batch: int
) -> None:
    network, box = random_chain(0, 3, 8, 8, 2), unit_box(3)
    live = Box(torch.tensor(box.lower), torch.tensor(box.upper))
    method = BranchAndBound(split=split, memory=1, batch=batch, seconds=0.7)
    found = compute_bounds(network, live, method)
    assert_sound(found, network, live)
    assert not bool(found.optimal.all())


@both_splits
def test_without_memory_a_query_is_not_refuted(split: str) -> None:
    """Something meets it, nobody believes it, and what holds it is given up in the end."""
    network, box = random_chain(0, 3, 8, 8, 2), unit_box(3)
    bounds = compute_bounds(network, box, BranchAndBound(split=split, seconds=1.0))
    least = float(bounds.inner.lower[0, 0])
    asked = query(box, [[1.0, 0.0]], [least + 1e-5 * abs(least)], [[0]])
    method = BranchAndBound(split=split, memory=1, batch=1, seconds=0.7)
    decision = method.decide(network, asked, accept=lambda point: False)
    assert decision.verdict in (Verdict.UNKNOWN, Verdict.TIMEOUT)
    assert decision.certificate is None


@both_splits
def test_progress_is_told_and_grows(split: str) -> None:
    lines: list[str] = []
    network, box = hard()

    def listen(line: str) -> None:
        # Those of the search, after the first pass over the layers.
        if "open" in line:
            lines.append(line)
        if len(lines) == 4:
            watch.stop()

    watch = Watch(60.0, listener=listen)
    compute_bounds(network, box, BranchAndBound(split=split), watch=watch)
    counts = [int(line.split()[0].replace(",", "")) for line in lines]
    assert len(counts) == 4
    assert counts == sorted(counts)


@both_splits
def test_a_seed_gives_the_same_answer_twice(split: str) -> None:
    network, box = random_chain(3, 3, 5, 2), unit_box(3)
    first, second = (
        compute_bounds(network, box, BranchAndBound(split=split, gap=1e-4, seed=5))
        for _ in range(2)
    )
    for one, other in (
        (first.outer.lower, second.outer.lower),
        (first.outer.upper, second.outer.upper),
        (first.witness_lower, second.witness_lower),
    ):
        assert torch.equal(one, other)


@both_splits
def test_time_for_each_objective_counts_together(split: str) -> None:
    network, box = hard()
    began = perf_counter()
    # Two samples, two objectives, two ends.
    compute_bounds(network, box, BranchAndBound(split=split, objective_seconds=0.05))
    assert 0.3 < perf_counter() - began < 60


def test_chunks_of_samples_give_the_same_enclosure() -> None:
    network = random_chain(4, 2, 4, 2)
    center = np.random.default_rng(0).normal(size=(5, 2))
    box = Box(center - 0.2, center + 0.2)
    whole = compute_bounds(network, box, BranchAndBound(split="inputs"))
    parts = compute_bounds(
        network, box, BranchAndBound(split="inputs"), memory_budget=1, proof=True
    )
    assert (parts.certificate.cells.parent == NONE).sum() == 5
    assert parts.certificate.cells.problem.max() == 4
    torch.testing.assert_close(parts.outer.lower, whole.outer.lower, rtol=3e-6, atol=0)
    torch.testing.assert_close(parts.inner.upper, whole.inner.upper, rtol=3e-6, atol=0)


def test_the_time_is_that_of_the_whole_call() -> None:
    network, box = hard()
    began = process_time()
    method = BranchAndBound(split="inputs", seconds=1.0)
    many = Box(box.lower[:1].repeat(4, 1), box.upper[:1].repeat(4, 1))
    compute_bounds(network, many, method, memory_budget=1, watch=Watch(clock=process_time))
    assert process_time() - began < 3


@both_splits
def test_what_is_undecided_says_how_far_it_is_and_where_the_time_went(split: str) -> None:
    network, box = hard()
    box = box[:1]
    # By looks at the watch, so that the limit is as hard on any machine.
    method = BranchAndBound(split=split)
    found = compute_bounds(network, box, method, watch=Watch(0.05, clock=Ticks()))
    # Nobody attains it, and it takes long to prove that.
    limit = 0.9 * float(found.inner.lower[0, 0]) + 0.1 * float(found.outer.lower[0, 0])
    whole = float(compute_bounds(network, box, Ibp()).outer.lower[0, 0])
    asked = query(unit_box(6), [[1.0, 0.0]], [limit], [[0]])
    decision = method.decide(network, asked, watch=Watch(0.11, clock=Ticks()))
    assert decision.verdict is Verdict.TIMEOUT
    assert decision.shortfall is not None
    assert 0 < decision.shortfall <= (limit - whole) * (1 + 1e-6)
    assert set(decision.phases) == {"looking", "bounding", "splitting"}
    assert 0.1 < sum(decision.phases.values()) < 5
