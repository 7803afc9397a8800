"""Neurons bounded by the end that their sign hangs on lose nothing that a ReLU depends on."""

from __future__ import annotations

from math import inf

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sensverify.bounds import Crown, layerwise, neurons, window_plan
from sensverify.bounds.ibp import interval_at, nonlinear_nodes
from sensverify.bounds.layerwise import LayerBounds
from sensverify.bounds.mirrors import has_mirror
from sensverify.bounds.neurons import Neurons
from sensverify.bounds.signs import signs_at
from sensverify.bounds.tensors import flattened, tensor_network
from tests.contracts.attained import attained
from tests.contracts.networks import Case, cases, conv_nets, mlps, node_values, residual_nets

NETS = st.one_of(mlps(relu_only=True), conv_nets(), residual_nets())
SLACK = 1e-11


def close(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@given(cases(NETS), st.booleans(), st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 0.5, 1.0]))
@settings(max_examples=25, deadline=None)
def test_one_end_is_as_tight_as_by_both_and_the_other_is_sound(
    case: Case, windows: bool, most: float, alone: float
) -> None:
    network = tensor_network(case.network, dtype=torch.float64, device=torch.device("cpu"))
    box = case.box_of(torch.float64)
    rng = torch.Generator().manual_seed(0)
    share = torch.rand(16, *box.lower.shape, generator=rng, dtype=torch.float64)
    share[::2] = share[::2].round()
    points = torch.minimum(torch.maximum(box.lower + share * box.widths, box.lower), box.upper)
    values = node_values(network, points.flatten(0, 1))
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        for name in ("_MOST_ROWS", "_MOST_WINDOWS"):
            patch.setattr(neurons, name, most)
        for name in ("_ALONE_ROWS", "_ALONE_WINDOWS"):
            patch.setattr(neurons, name, alone)
        if windows:
            window_plan._plan.cache_clear()
            patch.setattr(window_plan, "_pays", lambda *_: True)
        layers = LayerBounds(network, box, Crown.slope).fill()
        signs = signs_at(network, box.lower / 2 + box.upper / 2)
        for position in nonlinear_nodes(network)[-2:]:
            if not all(has_mirror(r) for p, r in layers.relaxations.items() if p < position):
                continue
            (source,) = network.nodes[position].inputs
            layer = Neurons(layers._tiles, source, layers._plan(source))
            ones = torch.ones_like(layers.pre_activations[position][0])
            near = flattened(signs.get(source, ones))
            everything = torch.ones_like(near, dtype=torch.bool)
            known = interval_at(network, source, (box.lower, box.upper), layers.pre_activations)
            known = flattened(known[0]), flattened(known[1])
            _, both = layer.bounds(everything)
            _, one = layer.bounds(everything, near)
            close(torch.where(near > 0, one[0], -one[1]), torch.where(near > 0, both[0], -both[1]))
            bounded, found = layer.by_signs(everything, near, known)
            assert bool(bounded.all())
            value = flattened(values[source]).reshape(16, *near.shape)
            slack = SLACK * max(float(v.abs().max()) for v in values)
            for ends in (one, found):
                assert bool((value >= ends[0] - slack).all() & (value <= ends[1] + slack).all())
            # Whatever the pass for both ends decides is decided, and what is open is as tight.
            is_open = (both[0] < -slack) & (both[1] > slack)
            assert bool(((found[0] < 0) & (found[1] > 0))[is_open & ~_decided(known)].all())
            still = (found[0] < -slack) & (found[1] > slack)
            close(found[0][still], both[0][still])
            close(found[1][still], both[1][still])
            assert not bool((still & ~is_open).any())
    window_plan._plan.cache_clear()


def _decided(ends: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    return (ends[0] >= 0) | (ends[1] <= 0)


@given(cases(NETS), st.booleans())
@settings(max_examples=25, deadline=None)
def test_outputs_are_bounded_as_by_both_ends_of_every_layer(case: Case, windows: bool) -> None:
    network = tensor_network(case.network, dtype=torch.float64, device=torch.device("cpu"))
    box = case.box_of(torch.float64)
    rows = torch.eye(case.outputs, dtype=torch.float64).unsqueeze(0)
    found = []
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        if windows:
            window_plan._plan.cache_clear()
            patch.setattr(window_plan, "_pays", lambda *_: True)
        for worth in (inf, 0):
            patch.setattr(layerwise, "_WORTH", worth)
            layers = LayerBounds(network, box, Crown.slope).fill()
            found.append((layers.signs(), layers.objective_bounds(rows)))
    window_plan._plan.cache_clear()
    share = attained(case.network, box)
    lower, upper = found[1][1]
    assert bool((lower <= share[0].amin(0) + SLACK * share[1]).all())
    assert bool((upper >= share[0].amax(0) - SLACK * share[1]).all())
    # Where intervals decide no more than the pass, nothing changes.
    if all(torch.equal(found[0][0][p], found[1][0][p]) for p in found[0][0]):
        close(found[0][1][0], lower)
        close(found[0][1][1], upper)
