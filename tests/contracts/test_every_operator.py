"""Every registered method on every operator of a network, each in small networks of its own.

An operator takes part by its forms in ``operators.FORMS``, a method by being registered: a test
fails for an operator without a form, and a new method meets every operator unasked.

========================  ====================================  ==================================
law                       every method x every operator         also, on larger networks
========================  ====================================  ==================================
attained values lie       here                                  test_containment, families and
inside                                                          both precisions;
                                                                test_real_networks
a box of radius zero is   here                                  test_laws, families
the forward pass
a larger box contains     here                                  test_laws, families
what a smaller attains
intervals grow with the   here                                  test_laws, families
box
exact ends agree, and     here, where the methods are exact     test_containment, by enumeration;
lie inside all others                                           test_degenerate_matrix, by files
witnesses attain ends     here, where there are any             tests/solvers/test_agreement.py
certified bounds hold,    here, where the method has proofs     test_certificates, families;
check, and lose little                                          test_real_certificates, files
float32 holds as well     here, methods without a solver        test_containment, families
outputs: permuted,                                              test_laws, families
selected, scaled
objectives, chunks and                                          test_laws, families
tiles
degenerate networks                                             test_degenerate, built;
                                                                test_degenerate_matrix, files
linear programs lie                                             test_lp_contained, families
inside linear bounds
time limits are kept                                            test_time_limits
operators of one's own                                          test_declared_operators
what a command answers                                          test_frozen_json
========================  ====================================  ==================================

*Families* are random networks of many operators, ``networks.NETWORKS``, and methods without a
solver (``methods.METHODS``) unless the test names others.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor

from sensverify.bounds import (
    Method,
    compute_bounds,
    forward_pass,
    make_method,
    method_names,
    proving_names,
)
from sensverify.certificates import check_claims
from sensverify.core.box import Box
from sensverify.core.results import Bounds, Guarantee
from sensverify.errors import BackendFailure, MissingRule, Unbounded
from sensverify.network import Network
from sensverify.network.operators import (
    Share,
    Sigmoid,
    Smooth,
    Steps,
    Tanh,
)
from tests.contracts.attained import TOLERANCE, attained, largest_violation
from tests.contracts.certified import assert_contains, certified_of, stored
from tests.contracts.methods import METHODS
from tests.contracts.networks import numbers
from tests.contracts.operators import FORMS, PLACES, concrete

SHORTER = {
    "alpha-crown": "alpha-crown(steps=3)",
    "bisection": "bisection(gap=0.05)",
    "exact": "exact(gap=1e-2)",
    "milp": "milp(segments=3)",
}
"""Registered methods that are quick enough with these settings."""

SOLVED = 1e-6
"""Of the largest magnitude on the way: what methods with a solver may be off by."""

LIRPA_REFUSES = {
    "kernel of three axes": MissingRule,
    "dilated kernel": BackendFailure,
    "transposed groups": MissingRule,
    "transposed kernel": BackendFailure,
    **{
        name: MissingRule
        for name, form in FORMS.items()
        if issubclass(form.operator, Share | Smooth | Steps)
        and form.operator not in (Sigmoid, Tanh)
    },
    **{form: MissingRule for form in FORMS if form.startswith("increment")},
}
"""Forms that auto_LiRPA has no counterpart for, or fails on."""

needs_auto_lirpa = pytest.mark.skipif(
    find_spec("auto_LiRPA") is None and "CI" not in os.environ,
    reason="auto_LiRPA is not installed: pip install --no-deps auto-LiRPA appdirs tqdm",
)
every_form = pytest.mark.parametrize("form", FORMS)
seeds = st.integers(0, 2**32 - 1)
# A seed has no smaller form to look for.
once = settings(max_examples=1, phases=(Phase.explicit, Phase.generate))


@dataclass(frozen=True, eq=False)
class Trial:
    """A network with three boxes: one, a larger one, and a point; and what is attained in them.

    ``values``: ``[points, 3, outputs]``; ``size``: the largest magnitudes on the way, ``[3, 1]``.
    """

    network: Network
    box: Box
    values: Tensor
    size: Tensor

    @classmethod
    def of(cls, form: str, place: str, seed: int) -> Trial:
        rng = np.random.default_rng(seed)
        network = PLACES[place](FORMS[form], rng)
        shape = network.input_shape
        center = numbers(rng, *shape)
        # Some inputs do not move.
        radius = np.abs(numbers(rng, *shape, scale=rng.choice([0.1, 0.5]))) * (
            rng.random(shape) < 0.8
        )
        more = radius + 0.2 * np.abs(numbers(rng, *shape))
        ends = (
            np.stack([center + sign * r for r in (radius, more, 0 * radius)]) for sign in (-1, 1)
        )
        box = Box(*(torch.from_numpy(end.astype(np.float32)).double() for end in ends))
        return cls(network, box, *attained(network, box))


def of_name(name: str) -> Method:
    return make_method(SHORTER.get(name, name))


def every_method() -> list[Method]:
    """All that are registered but auto_LiRPA's, and those with other bounds on hidden layers."""
    registered = [of_name(name) for name in method_names() if name != "lirpa"]
    return registered + [method for method in METHODS if method not in registered]


def found_by(method: Method, trial: Trial) -> Bounds | None:
    """With a proof where there are any; None of an estimate."""
    if method.guarantee < Guarantee.SOLVER:
        # An estimate contains nothing for sure, and may leave a domain: it gives numbers, or says
        # by name why not. Its own laws are in its own tests.
        with suppress(MissingRule, Unbounded):
            compute_bounds(trial.network, trial.box, method)
        return None
    proves = method.name in proving_names()
    return compute_bounds(trial.network, trial.box, method, proof=proves)


def assert_laws(trial: Trial, method: Method, bounds: Bounds) -> None:
    """Containment, also of what a smaller box attains, and equality on a point."""
    outer, size = bounds.outer, trial.size
    slack = TOLERANCE[torch.float64] if bounds.guarantee >= Guarantee.SOUND else SOLVED
    outside = largest_violation(outer, trial.values)
    assert bool((outside <= slack * size).all()), ("containment", method, outside / size)
    outside = largest_violation(outer[1:2], trial.values[:, :1])
    assert bool((outside <= slack * size[1]).all()), ("a larger box", method, outside)
    point = forward_pass(trial.network, trial.box.center[2:]).flatten(1)
    room = (abs(end[2:] - point) for end in (outer.lower, outer.upper))
    assert all(bool((r <= slack * size[2]).all()) for r in room), ("radius zero", method)
    if method.name == "ibp":
        assert bool((outer.lower[1] <= outer.lower[0] + slack * size[1]).all()), "growth"
        assert bool((outer.upper[1] >= outer.upper[0] - slack * size[1]).all()), "growth"


def assert_attained(trial: Trial, method: Method, bounds: Bounds) -> Tensor:
    """Witnesses lie in the boxes and attain the inner ends: values ``[2, 3, outputs]``."""
    inner, box = bounds.inner, trial.box
    for points, ends in (
        (bounds.witness_lower, inner.lower),
        (bounds.witness_upper, inner.upper),
    ):
        assert bool((points >= box.lower[:, None]).all()), method
        assert bool((points <= box.upper[:, None]).all()), method
        values = forward_pass(trial.network, points.flatten(0, 1)).reshape(*ends.shape, -1)
        own = values.diagonal(dim1=1, dim2=2)
        assert bool((abs(own - ends) <= 1e-12 * trial.size).all()), ("witnesses", method)
    return torch.stack([inner.lower, inner.upper])


def assert_certified(trial: Trial, method: Method, bounds: Bounds) -> None:
    """What is certified holds, is checked, and is hardly weaker than what was found."""
    model = stored(trial.network)
    wanted, found = certified_of(model, trial.box, bounds)
    assert_contains(found, trial.values, trial.size)
    check_claims(model.program, found.claims, found.proof)
    lost = (wanted - found.lower) / trial.size.numpy()
    most = 1e-9 if method.differentiable else 1e-5
    assert (lost <= most).all(), ("certificate", method, lost.max())


def assert_agree(trial: Trial, found: dict[Method, Bounds]) -> None:
    """Exact ends are the same, by whichever method."""
    exact = {method: bounds for method, bounds in found.items() if bounds.optimal is not None}
    (first, known), *others = exact.items()
    for method, bounds in others:
        for one, other in (
            (known.outer.lower, bounds.outer.lower),
            (known.outer.upper, bounds.outer.upper),
        ):
            gap = max(method.gap or 0, first.gap or 0)
            room = (gap + 1e-5) * trial.size
            both = known.optimal & bounds.optimal
            assert bool(((abs(one - other) <= room) | ~both).all()), (first, method)


def test_every_operator_takes_part() -> None:
    assert {form.operator for form in FORMS.values()} == set(concrete())
    rng = np.random.default_rng(0)
    for name, form in FORMS.items():
        assert type(form.make(rng)) is form.operator, name
        for place in PLACES:
            nodes = Trial.of(name, place, 0).network.nodes
            assert form.operator in {type(node.operator) for node in nodes}


def test_every_method_takes_part() -> None:
    names = {method.name for method in every_method()} | {"lirpa"}
    assert names == set(method_names())
    assert set(proving_names()) <= names


@every_form
@given(seed=seeds)
@once
def test_every_method(form: str, seed: int) -> None:
    trial = Trial.of(form, "inside", seed)
    found = {method: found_by(method, trial) for method in every_method()}
    given_ = {method: bounds for method, bounds in found.items() if bounds is not None}
    reached = [
        assert_attained(trial, method, bounds)
        for method, bounds in given_.items()
        if bounds.witness_lower is not None
    ]
    # So the exact box lies inside every other.
    trial = replace(trial, values=torch.cat([trial.values, *reached]))
    for method, bounds in given_.items():
        assert_laws(trial, method, bounds)
        if bounds.certificate is not None:
            assert_certified(trial, method, bounds)
    assert_agree(trial, given_)


@every_form
@pytest.mark.parametrize("place", PLACES)
@given(seed=seeds)
@once
def test_methods_without_a_solver_wherever_it_stands(form: str, place: str, seed: int) -> None:
    trial = Trial.of(form, place, seed)
    single = Box(trial.box.lower.float(), trial.box.upper.float())
    for method in METHODS:
        assert_laws(trial, method, compute_bounds(trial.network, trial.box, method))
        outer = compute_bounds(trial.network, single, method).outer
        outside = largest_violation(outer, trial.values) / trial.size
        assert bool((outside <= TOLERANCE[torch.float32]).all()), (method, outside)


@needs_auto_lirpa
@every_form
@given(seed=seeds)
@once
def test_auto_lirpa(form: str, seed: int) -> None:
    trial = Trial.of(form, "inside", seed)
    method = make_method("lirpa")
    if form in LIRPA_REFUSES:
        with pytest.raises(LIRPA_REFUSES[form]):
            compute_bounds(trial.network, trial.box, method)
        return
    assert_laws(trial, method, compute_bounds(trial.network, trial.box, method))
