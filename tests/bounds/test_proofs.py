"""The multipliers that methods hand out: evaluated anew, they give the bounds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sensverify.bounds import (
    AlphaCrown,
    Crown,
    Ibp,
    LpDual,
    ProvingMethod,
    compute_bounds,
    proving_names,
)
from sensverify.bounds.memory import samples_within
from sensverify.bounds.method import PreActivationBounds
from sensverify.core.box import Box
from sensverify.core.proof import NONE, Proof
from sensverify.core.results import Enclosure, Guarantee
from sensverify.errors import BadSetting, Unbounded
from sensverify.models import load
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import Affine, Max, Relu, Reshape, Tanh
from sensverify.runs.watch import Watch
from tests.contracts.methods import METHODS
from tests.contracts.networks import NETWORKS, Case, cases, dense, numbers
from tests.contracts.proof_values import ProofValues, claimed_values, proven_values

FAMILIES = st.one_of(*NETWORKS.values())
every_method = pytest.mark.parametrize("method", METHODS, ids=repr)


def deep(kind: str, seed: int = 0) -> tuple[Network, Box]:
    """A network whose neurons are undecided on the boxes, of one kind of nonlinear node."""
    rng = np.random.default_rng(seed)
    builder = NetworkBuilder((4,))
    node = builder.add(dense(rng, 12, 4, gain=2.0), builder.input)
    for _ in range(2):
        if kind == "max":
            node = builder.add(Max(), builder.add(Reshape((6, 2)), node))
        else:
            node = builder.add({"relu": Relu(), "tanh": Tanh()}[kind], node)
        node = builder.add(dense(rng, 12, builder.shape(node)[0], gain=2.0), node)
    network = builder.build(builder.add(dense(rng, 3, 12), builder.add(Relu(), node)))
    center = torch.from_numpy(numbers(rng, 5, 4))
    return network, Box(center - 0.3, center + 0.3)


def assert_proves(found: Tensor, claimed: Tensor, *, at_least: bool, size: float = 1e-9) -> None:
    slack = size * (1 + claimed.abs())
    assert bool((found >= claimed - slack).all()), (found - claimed).min()
    if not at_least:
        assert bool((found <= claimed + slack).all()), (found - claimed).max()


@every_method
@given(cases(FAMILIES))
@settings(max_examples=10)
def test_the_proof_gives_the_bounds(method: ProvingMethod, case: Case) -> None:
    bounds = compute_bounds(case.network, case.box_of(torch.float64), method, proof=True)
    # Intervals are taken through all affine nodes at once, which may be tighter.
    found = proven_values(case.network, bounds)
    assert_proves(found, claimed_values(bounds), at_least=isinstance(method, Ibp))
    assert ProofValues(case.network, bounds).hidden_slack() <= 1e-12


@every_method
@pytest.mark.parametrize("kind", ["relu", "tanh", "max"])
def test_undecided_neurons(method: ProvingMethod, kind: str) -> None:
    network, box = deep(kind)
    plain = compute_bounds(network, box, method)
    bounds = compute_bounds(network, box, method, proof=True)
    torch.testing.assert_close(plain.outer.lower, bounds.outer.lower, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(plain.outer.upper, bounds.outer.upper, rtol=1e-12, atol=1e-12)
    assert int(bounds.unstable.min()) > 0
    found = proven_values(network, bounds)
    assert_proves(found, claimed_values(bounds), at_least=isinstance(method, Ibp))
    assert ProofValues(network, bounds).hidden_slack() <= 1e-12


@every_method
def test_default_runs_hand_out_nothing(method: ProvingMethod) -> None:
    assert compute_bounds(*deep("relu"), method).certificate is None


@every_method
@pytest.mark.parametrize("kind", ["relu", "tanh"])
def test_chunks_make_one_proof(method: ProvingMethod, kind: str) -> None:
    network, box = deep(kind)
    whole = compute_bounds(network, box, method, proof=True)
    chunked = compute_bounds(network, box, method, proof=True, memory_budget=1)
    assert isinstance(chunked.certificate, Proof)
    assert sorted(set(chunked.certificate.cells.problem)) == list(range(box.batch))
    assert len(chunked.certificate.cells) == len(whole.certificate.cells)
    found = proven_values(network, chunked)
    assert_proves(found, claimed_values(chunked), at_least=isinstance(method, Ibp))


@every_method
def test_objectives_of_each_sample(method: ProvingMethod) -> None:
    network, box = deep("tanh")
    rows = torch.from_numpy(numbers(np.random.default_rng(1), box.batch, 2, 3))
    for objectives in (rows, rows[:1]):
        bounds = compute_bounds(network, box, method, objectives, proof=True)
        found = proven_values(network, bounds, objectives)
        assert_proves(found, claimed_values(bounds), at_least=isinstance(method, Ibp))


@every_method
def test_single_precision(method: ProvingMethod) -> None:
    network, box = deep("tanh")
    bounds = compute_bounds(network, box, method, dtype=torch.float32, proof=True)
    assert bounds.certificate.hidden.lower.dtype == np.float64
    found = proven_values(network, bounds)
    assert_proves(found, claimed_values(bounds), at_least=isinstance(method, Ibp), size=1e-4)


@every_method
def test_bounds_stay_differentiable(method: ProvingMethod) -> None:
    network, box = deep("relu")
    ends = [end.clone().requires_grad_() for end in (box.lower, box.upper)]
    grads = []
    for proof in (False, True):
        bounds = compute_bounds(network, Box(*ends), method, proof=proof)
        grads.append(torch.autograd.grad(bounds.outer.widths.sum(), ends[1])[0])
    torch.testing.assert_close(*grads)
    detached = replace(bounds, provenance=compute_bounds(network, box, method).provenance)
    found = proven_values(network, detached)
    assert_proves(found, claimed_values(bounds), at_least=isinstance(method, Ibp))


def test_what_a_proof_is_made_of() -> None:
    network, box = deep("relu")
    crown = compute_bounds(network, box, Crown(), proof=True).certificate
    assert len(crown.cells) == len(crown.hidden) == len(crown.lines) == 5
    assert list(crown.cells.group) == [NONE] * 5
    assert list(crown.cells.hidden) == list(crown.cells.lines) == list(range(5))
    assert crown.lines.lower.shape == (5, 36)
    # Every upper line is the chord.
    assert crown.lines.upper is None
    alpha = compute_bounds(network, box, AlphaCrown(steps=5), proof=True).certificate
    assert len(alpha.cells) == 5 * 6
    assert len(alpha.hidden) == 5
    assert len(alpha.lines) == 5 + 5 * 6
    assert list(alpha.cells.group[:7]) == [0, 1, 2, 3, 4, 5, 0]
    assert (alpha.lines.lower >= 0).all()
    assert (alpha.lines.lower <= 1).all()
    assert ((alpha.lines.lower > 0) & (alpha.lines.lower < 1)).any()
    intervals = compute_bounds(network, box, Ibp(), proof=True).certificate
    assert list(intervals.cells.hidden) == [NONE] * 5
    assert len(intervals.hidden) == 0
    # Other lines prove the hidden bounds than those of the last pass.
    mixed = compute_bounds(network, box, Crown(intermediate=LpDual()), proof=True).certificate
    assert list(mixed.hidden.lines) == [5, 6, 7, 8, 9]
    assert list(mixed.cells.lines) == [0, 1, 2, 3, 4]
    assert not np.array_equal(mixed.lines.lower[:5], mixed.lines.lower[5:])


def test_a_network_without_nonlinear_nodes() -> None:
    builder = NetworkBuilder((2,))
    network = builder.build(builder.add(Affine(np.array([[1.0, -2.0]])), builder.input))
    box = Box(torch.zeros(1, 2, dtype=torch.float64), torch.ones(1, 2, dtype=torch.float64))
    for method in METHODS:
        bounds = compute_bounds(network, box, method, proof=True)
        expected = torch.tensor([[-2.0, -1.0]], dtype=torch.float64)
        torch.testing.assert_close(proven_values(network, bounds), expected)


def test_a_shipped_model() -> None:
    network = load("digits")
    center = torch.full((3, *network.input_shape), 0.5, dtype=torch.float64)
    box = Box(center - 0.05, center + 0.05)
    for method in (Crown(), AlphaCrown(steps=5)):
        bounds = compute_bounds(network, box, method, proof=True)
        assert_proves(proven_values(network, bounds), claimed_values(bounds), at_least=False)


@dataclass(frozen=True)
class Silent(PreActivationBounds):
    """A method without multipliers, which can bound layers."""

    name: ClassVar[str] = "silent"
    guarantee: ClassVar[Guarantee] = Guarantee.SOUND

    def bound(
        self, network: Network, box: Box, objectives: Tensor, *, watch: Watch | None = None
    ) -> Enclosure:
        return replace(Ibp().bound(network, box, objectives), certificate="of its own")

    def pre_activations(
        self, network: Network, box: Box, *, watch: Watch | None = None
    ) -> dict[int, tuple[Tensor, Tensor]]:
        return Ibp().pre_activations(network, box)


def test_methods_without_multipliers() -> None:
    network, box = deep("relu")
    with pytest.raises(BadSetting, match=r"silent hands out no proof.*alpha-crown.*crown.*lp"):
        compute_bounds(network, box, Silent(), proof=True)
    # Without the question, whatever a method puts there comes through.
    assert compute_bounds(network, box, Silent()).certificate == "of its own"
    parts = compute_bounds(network, box, Silent(), memory_budget=1).certificate
    assert parts == ["of its own"] * box.batch
    with pytest.raises(BadSetting, match=r"no proof of hidden bounds by Silent\(\).*Ibp\(\)"):
        compute_bounds(network, box, Crown(intermediate=Silent()), proof=True)
    compute_bounds(network, box, Crown(intermediate=Silent()))


def test_names_of_methods_that_prove() -> None:
    names = proving_names()
    assert {"alpha-crown", "crown", "ibp", "lp", "lp-dual"} <= set(names)
    assert "lirpa" not in names
    for method in METHODS:
        assert isinstance(method, ProvingMethod)


def test_unbounded_layers_are_refused() -> None:
    builder = NetworkBuilder((1,))
    node = builder.add(Relu(), builder.add(Affine(np.array([[1e300]])), builder.input))
    node = builder.add(Relu(), builder.add(Affine(np.array([[1e300]])), node))
    network = builder.build(builder.add(Affine(np.array([[1.0]])), node))
    box = Box(-torch.ones(1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64))
    for method in METHODS:
        with pytest.raises(Unbounded):
            compute_bounds(network, box, method, proof=True)


def test_proofs_count_in_the_memory_budget() -> None:
    network = deep("relu")[0]
    for method in (LpDual(), Crown(), AlphaCrown()):
        without = samples_within(1 << 24, network, method, 3, 8)
        assert samples_within(1 << 24, network, method, 3, 8, proof=True) < without
    assert samples_within(1 << 24, network, Ibp(), 3, 8, proof=True) == samples_within(
        1 << 24, network, Ibp(), 3, 8
    )
