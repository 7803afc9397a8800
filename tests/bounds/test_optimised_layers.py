"""Slopes of hidden bounds: searched for layer after layer, through windows and without them."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
import torch
from hypothesis import given, settings

import sensverify as sv
from sensverify.bounds import AlphaCrown, Crown, compute_bounds, layerwise, window_plan
from sensverify.bounds.tensors import tensor_network
from sensverify.core.box import Box
from sensverify.models import load
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import Affine, Gelu, Operator, Relu, Sigmoid, Tanh
from tests.bounds.test_proofs import assert_proves
from tests.contracts.networks import Case, cases, conv_nets, dense, numbers
from tests.contracts.proof_values import ProofValues, claimed_values, proven_values

HIDDEN = AlphaCrown(steps=4)
DEEP = AlphaCrown(steps=4, intermediate=HIDDEN)


def deep(operator: Operator, seed: int = 0, gain: float = 1.5) -> tuple[Network, Box]:
    rng = np.random.default_rng(seed)
    builder = NetworkBuilder((5,))
    node = builder.input
    for _ in range(3):
        node = builder.add(
            operator, builder.add(dense(rng, 12, builder.shape(node)[0], gain=gain), node)
        )
    network = builder.build(builder.add(dense(rng, 3, 12), node))
    center = torch.from_numpy(numbers(rng, 4, 5))
    return network, Box(center - 0.2, center + 0.2)


def widths(network: Network, box: Box, method: AlphaCrown | Crown) -> torch.Tensor:
    outer = compute_bounds(network, box, method).outer
    return outer.upper - outer.lower


@pytest.mark.parametrize("operator", [Relu(), Tanh(), Sigmoid(), Gelu()], ids=repr)
def test_optimised_layers_make_tighter_bounds(operator: Operator) -> None:
    for seed in range(3):
        network, box = deep(operator, seed)
        alone, hidden = (
            widths(network, box, AlphaCrown(steps=20, intermediate=each))
            for each in (None, AlphaCrown(steps=8))
        )
        assert float(hidden.log().mean()) < float(alone.log().mean()) - 1e-3
        crown = widths(network, box, Crown(intermediate=AlphaCrown(steps=8)))
        assert bool((hidden <= crown + 1e-9).all())


def test_without_steps_or_time_they_are_those_of_crown() -> None:
    network, box = deep(Relu())
    plain = widths(network, box, Crown())
    for hidden in (AlphaCrown(steps=0), AlphaCrown(seconds=0.0)):
        found = widths(network, box, Crown(intermediate=hidden))
        if hidden.seconds is None:
            # Intervals help, too.
            assert bool((found <= plain + 1e-9).all())
        assert bool(torch.isfinite(found).all())


def test_bounds_that_it_was_given_are_those_that_it_gives() -> None:
    network, box = deep(Relu())
    live = tensor_network(network, dtype=torch.float64, device=torch.device("cpu"))
    plain = Crown().pre_activations(live, box)
    for position, ends in AlphaCrown(intermediate=Crown()).pre_activations(live, box).items():
        for a, b in zip(ends, plain[position], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@given(cases(conv_nets()))
@settings(max_examples=6)
def test_windows_find_and_prove_what_dense_passes_do(case: Case) -> None:
    """Of both, the evaluator of proofs, which knows neither, finds the bounds claimed."""
    box = case.box_of(torch.float64)
    found = []
    for pays in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            window_plan._plan.cache_clear()
            patch.setattr(window_plan, "_pays", lambda *_, pays=pays: pays)
            patch.setattr(layerwise, "interval_is_exact", lambda network, target: target == 0)
            bounds = compute_bounds(case.network, box, DEEP, proof=True)
        assert_proves(proven_values(case.network, bounds), claimed_values(bounds), at_least=False)
        assert ProofValues(case.network, bounds).hidden_slack() <= 1e-12
        found.append(bounds.outer)
    window_plan._plan.cache_clear()
    # Gradients jump where a coefficient that cancels is zero or a last bit.
    size = 1 + torch.maximum(found[0].lower.abs(), found[0].upper.abs())
    assert bool(((found[0].lower - found[1].lower).abs() <= 0.05 * size).all())
    assert bool(((found[0].upper - found[1].upper).abs() <= 0.05 * size).all())


def test_a_proof_has_slopes_for_ends_that_other_methods_use() -> None:
    network, box = deep(Relu())
    for method in (Crown(intermediate=HIDDEN), Crown(intermediate=Crown(intermediate=HIDDEN))):
        bounds = compute_bounds(network, box, method, proof=True)
        assert len(bounds.certificate.hidden.own_set) > 0
        assert_proves(proven_values(network, bounds), claimed_values(bounds), at_least=False)
        assert ProofValues(network, bounds).hidden_slack() <= 1e-12


def test_gradients_are_those_at_the_slopes_found() -> None:
    """A step of the weights moves the bounds as their gradient says."""
    rng = np.random.default_rng(1)
    weights = [torch.from_numpy(numbers(rng, *shape)) / 2 for shape in ((8, 4), (8, 8), (2, 8))]
    center = torch.from_numpy(numbers(rng, 2, 4))
    box = Box(center - 0.1, center + 0.1)

    def total(live: list[torch.Tensor]) -> torch.Tensor:
        builder = NetworkBuilder((4,))
        node = builder.add(Affine(live[0]), builder.input)
        for weight in live[1:]:
            node = builder.add(Affine(weight), builder.add(Relu(), node))
        outer = compute_bounds(builder.build(node), box, DEEP).outer
        return (outer.upper - outer.lower).sum()

    live = [weight.clone().requires_grad_() for weight in weights]
    value = total(live)
    gradients = torch.autograd.grad(value, live)
    with torch.no_grad():
        same = total(weights)
        move = [-1e-4 * gradient for gradient in gradients]
        moved = total([w + m for w, m in zip(weights, move, strict=True)])
    torch.testing.assert_close(value.detach(), same, rtol=1e-9, atol=1e-9)
    expected = sum(float((g * m).sum()) for g, m in zip(gradients, move, strict=True))
    assert -inf < float(moved - same) < 0.5 * expected < 0


def test_precisions_agree() -> None:
    """As far as searches do of which one rounding sends on another path."""
    network, box = deep(Tanh())
    double = compute_bounds(network, box, DEEP).outer
    single = compute_bounds(network, box, DEEP, dtype=torch.float32).outer
    for a, b in ((double.lower, single.lower), (double.upper, single.upper)):
        torch.testing.assert_close(a, b.double(), rtol=5e-2, atol=5e-2)


def test_it_is_asked_for_by_name() -> None:
    box = Box(np.full((1, 4), 4.9), np.full((1, 4), 5.1))
    method = sv.make_method("alpha-crown(steps=5, intermediate=alpha-crown(steps=3))")
    assert method == AlphaCrown(steps=5, intermediate=AlphaCrown(steps=3))
    assert bool((compute_bounds(load("iris"), box, method).outer.lower > -inf).all())
