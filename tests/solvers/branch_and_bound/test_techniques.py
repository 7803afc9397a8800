"""What is left out of a search changes how soon it ends, and nothing that it says."""

from __future__ import annotations

from time import process_time
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import sensverify as sv
from sensverify.bounds import compute_bounds, forward_pass
from sensverify.certificates import certify_query
from sensverify.core.box import Box
from sensverify.core.proof import Proof
from sensverify.core.queries import Decision, Query, Verdict
from sensverify.errors import BadSetting
from sensverify.network import Network
from sensverify.network.operators import Abs, Relu, Sigmoid, Tanh
from sensverify.runs.watch import Watch
from sensverify.solvers.branch_and_bound import (
    TECHNIQUES,
    BranchAndBound,
    Technique,
    input_splitting,
    neuron_splitting,
    query_goal,
    single_precision,
)
from sensverify.solvers.branch_and_bound import method as method_of_search
from tests.contracts.certified import stored
from tests.solvers.branch_and_bound.cases import (
    exact_ends,
    least_violation,
    points_in,
    query,
    random_chain,
    unit_box,
    valley,
)
from tests.ticks import Ticks

SIZES = ((4, 3), (6,))
"""Of hidden layers."""

SPLITS = ("auto", "inputs", "neurons")
sets_of_techniques = st.sets(st.sampled_from(sorted(TECHNIQUES))).map(lambda left: (*sorted(left),))
EVERY = tuple(TECHNIQUES)


@pytest.fixture(autouse=True)
def _float32_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single_precision, "LARGE", 0)


def seconds(limit: float) -> Watch:
    return Watch(limit, clock=process_time)


def test_every_technique_has_a_name_and_a_line() -> None:
    assert set(TECHNIQUES) == set(get_args(Technique))
    for name, line in TECHNIQUES.items():
        assert sv.make_method(f"branch-and-bound(without={name})").without == (name,)
        assert line
        assert not line.endswith(".")
    both = sv.make_method("branch-and-bound(without=(alpha, mixed-precision))")
    assert both.without == ("alpha", "mixed-precision")
    with pytest.raises(BadSetting, match="without"):
        BranchAndBound(without=("cutting",))
    with pytest.raises(BadSetting, match="without"):
        sv.make_method("branch-and-bound(without=(alpha, cutting))")


@given(
    seed=st.integers(0, 999),
    sizes=st.sampled_from(SIZES),
    split=st.sampled_from(SPLITS),
    without=sets_of_techniques,
)
@example(seed=0, sizes=(4, 3), split="neurons", without=EVERY)
@example(seed=0, sizes=(4, 3), split="inputs", without=EVERY)
@example(seed=0, sizes=(6,), split="neurons", without=())
@settings(max_examples=10)
def test_ranges_contain_the_exact_ones(seed: int, sizes: Any, split: Any, without: Any) -> None:
    network, box = random_chain(seed, 2, *sizes, 2), unit_box(2)
    method = BranchAndBound(split=split, without=without)
    found = compute_bounds(network, box, method, watch=seconds(0.25))
    truth = exact_ends(network, box, np.eye(2))[0]
    slack = 1e-9 * np.maximum(1.0, abs(truth))
    assert (found.outer.lower.numpy()[0] <= truth[:, 0] + slack[:, 0]).all()
    assert (found.outer.upper.numpy()[0] >= truth[:, 1] - slack[:, 1]).all()
    assert found.inner is not None
    assert (found.inner.lower.numpy()[0] >= truth[:, 0] - slack[:, 0]).all()
    assert (found.inner.upper.numpy()[0] <= truth[:, 1] + slack[:, 1]).all()
    crown = compute_bounds(network, box, sv.Crown()).outer
    assert bool((found.outer.lower >= crown.lower - 1e-9).all())
    assert bool((found.outer.upper <= crown.upper + 1e-9).all())


@given(
    seed=st.integers(0, 999),
    activation=st.sampled_from([Tanh(), Sigmoid(), Abs(), Relu()]),
    split=st.sampled_from(SPLITS),
    without=sets_of_techniques,
)
@example(seed=1, activation=Tanh(), split="neurons", without=("alpha",))
@example(seed=1, activation=Sigmoid(), split="neurons", without=("alpha", "beta"))
@settings(max_examples=8)
def test_brackets_never_grow_with_time(
    seed: int, activation: Any, split: Any, without: Any
) -> None:
    network, box = random_chain(seed, 3, 5, 4, 2, activation=activation), unit_box(3)
    lower, upper = torch.as_tensor(box.lower), torch.as_tensor(box.upper)
    outputs = forward_pass(network, points_in(lower[0], upper[0], 2000))
    last = compute_bounds(network, box, sv.Crown()).outer
    for limit in (0.05, 0.3):
        method = BranchAndBound(split=split, without=without)
        outer = compute_bounds(network, box, method, watch=seconds(limit)).outer
        assert bool((outer.lower[0] <= outputs.amin(0) + 1e-9).all())
        assert bool((outer.upper[0] >= outputs.amax(0) - 1e-9).all())
        assert bool((outer.widths <= last.widths + 1e-9).all())
        last = outer if split == "inputs" else last


@given(
    seed=st.integers(0, 999),
    sizes=st.sampled_from(SIZES),
    split=st.sampled_from(SPLITS),
    without=sets_of_techniques,
)
@example(seed=0, sizes=(4, 3), split="neurons", without=EVERY)
@example(seed=0, sizes=(6,), split="neurons", without=())
@settings(max_examples=10)
def test_queries_on_both_sides_of_the_truth(
    seed: int, sizes: Any, split: Any, without: Any
) -> None:
    network, box = random_chain(seed, 2, *sizes, 2), unit_box(2)
    rows = [[1.0, -1.0], [0.5, 1.0]]
    truth = least_violation(network, box, rows, [0.0, 0.0])
    for shift, never in ((-0.05, Verdict.SAT), (0.05, Verdict.UNSAT)):
        asked = query(box, rows, [truth + shift, truth + shift], [[0, 1]])
        found = _decide(network, asked, split, without)
        assert found.verdict is not never
        if found.verdict is Verdict.SAT:
            assert found.witness is not None
            outputs = forward_pass(network, torch.tensor(found.witness[None]))
            assert bool(asked.met_by(outputs.numpy()).all())


@given(
    seed=st.integers(0, 999),
    sizes=st.sampled_from(SIZES),
    split=st.sampled_from(SPLITS),
    without=sets_of_techniques,
)
@example(seed=3, sizes=(4, 3), split="neurons", without=("alpha", "lookahead"))
@example(seed=3, sizes=(6,), split="neurons", without=("alpha",))
@example(seed=3, sizes=(6,), split="neurons", without=("beta", "refinement"))
@settings(max_examples=8)
def test_what_is_refuted_is_certified(seed: int, sizes: Any, split: Any, without: Any) -> None:
    network, box = random_chain(seed, 3, *sizes, 1), unit_box(3)
    least = float(exact_ends(network, box, [[1.0]])[0, 0, 0])
    crown = float(compute_bounds(network, box, sv.Crown()).outer.lower[0, 0])
    asked = query(box, [[1.0]], [least - 0.2 * (least - crown) - 1e-3], [[0]])
    found = _decide(network, asked, split, without, limit=1.0)
    assert found.verdict is not Verdict.SAT
    if found.verdict is Verdict.UNSAT:
        assert isinstance(found.certificate, Proof)
        assert certify_query(stored(network), asked, found.certificate) is not None


def _decide(network: Network, asked: Any, split: Any, without: Any, limit: float = 0.4) -> Decision:
    method = BranchAndBound(split=split, without=without, proof=True)
    return method.decide(network, asked, watch=seconds(limit))


@pytest.mark.parametrize("name", [None, *TECHNIQUES])
@pytest.mark.parametrize("split", ["inputs", "neurons"])
def test_small_networks_are_decided_without_any_one(name: Any, split: Any) -> None:
    network, box = random_chain(7, 3, 5, 4, 1), unit_box(3)
    least = float(exact_ends(network, box, [[1.0]])[0, 0, 0])
    method = BranchAndBound(split=split, without=() if name is None else (name,))
    for shift, verdict in ((-0.05, Verdict.UNSAT), (0.05, Verdict.SAT)):
        asked = query(box, [[1.0]], [least + shift], [[0]])
        assert method.decide(network, asked, watch=seconds(5.0)).verdict is verdict


def test_what_is_left_out_is_not_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each name reaches what it stands for."""
    places: dict[Technique, tuple[Any, str]] = {
        "attack": (query_goal, "follow"),
        "refinement": (neuron_splitting, "refine"),
        "probing": (neuron_splitting, "fix"),
        "pruning": (neuron_splitting.Pruned, "of"),
        "leaf-programs": (neuron_splitting, "leaf_bound"),
        "clipping": (input_splitting, "clip"),
        "portfolio": (method_of_search, "race"),
    }
    called: list[str] = []
    for name, (module, attribute) in places.items():
        original = getattr(module, attribute)

        def spy(*given: Any, name: str = name, original: Any = original, **more: Any) -> Any:
            called.append(name)
            return original(*given, **more)

        monkeypatch.setattr(module, attribute, spy)
    wide = random_chain(2, 16, 12, 8, 1)
    asked = _below(wide, unit_box(16), 0.3)
    # As small as it can be: every neuron is split.
    small, close = valley(1.0, 1.0, at=0.3), query(unit_box(2), [[1.0]], [0.0], [[0]])
    # Of one layer, which is probed.
    single = random_chain(2, 6, 16, 1)
    probed = _below(single, unit_box(6), 0.3)
    for without in [(), *((name,) for name in places)]:
        called.clear()
        for split in ("auto", "inputs", "neurons"):
            _looked(wide, asked, split, without)
        _looked(small, close, "neurons", without)
        _looked(single, probed, "neurons", without)
        assert {*places} - {*called} == {*without}


def _looked(network: Network, asked: Query, split: Any, without: Any) -> None:
    """Decide for as many looks at the watch, however fast the machine is."""
    watch = Watch(0.2, clock=Ticks())
    BranchAndBound(split=split, without=without).decide(network, asked, watch=watch)


def _below(network: Network, box: Box, share: float) -> Query:
    """Whether the output is as small as a part of what is open between attained and proven."""
    found = compute_bounds(network, box, sv.Crown()).outer
    watch = Watch(0.1, clock=Ticks())
    attained = compute_bounds(network, box, BranchAndBound(), watch=watch).inner
    assert attained is not None
    limit = (1 - share) * float(attained.lower[0, 0]) + share * float(found.lower[0, 0])
    return query(box, [[1.0]], [limit], [[0]])
