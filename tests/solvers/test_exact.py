"""The method that chooses: by the network and the box, and the result says what it chose."""

from __future__ import annotations

import numpy as np
import pytest

from sensverify.bounds import compute_bounds, make_decider, make_method
from sensverify.core.box import Box
from sensverify.core.queries import Query, Verdict
from sensverify.core.results import Guarantee
from sensverify.errors import BadSetting
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import Affine, LeakyRelu, Operator, Relu, Round, Tanh
from sensverify.solvers.branch_and_bound import FEW_FEATURES
from sensverify.solvers.exact import Exact
from tests.pairwise import pairwise

MANY = FEW_FEATURES + 1


def network(features: int, middle: Operator, *, seed: int = 0) -> Network:
    rng = np.random.default_rng(seed)
    builder = NetworkBuilder((features,))
    hidden = builder.add(Affine(rng.normal(size=(5, features)), rng.normal(size=5)), builder.input)
    bent = builder.add(middle, hidden)
    return builder.build(builder.add(Affine(rng.normal(size=(2, 5)), None), bent))


def box(features: int, radius: float = 0.4) -> Box:
    return Box.around(np.zeros((1, features)), radius)


@pytest.mark.parametrize(
    ("features", "middle", "guarantee"),
    [
        (2, Relu(), Guarantee.SOUND),
        (MANY, Relu(), Guarantee.SOUND),
        (2, LeakyRelu(np.array(0.1)), Guarantee.SOUND),
        # Neither inputs nor signs of ReLUs can be split here with any hope.
        (MANY, LeakyRelu(np.array(0.1)), Guarantee.SOLVER),
        # A program holds a smooth function in an envelope only, so inputs are split.
        (2, Tanh(), Guarantee.SOUND),
    ],
)
def test_the_result_carries_the_chosen_methods_guarantee(
    features: int, middle: Operator, guarantee: Guarantee
) -> None:
    bounds = compute_bounds(network(features, middle), box(features), Exact(seconds=20))
    assert bounds.guarantee is guarantee


@pytest.mark.parametrize(("scale", "guarantee"), [(1.0, Guarantee.SOLVER), (1e5, Guarantee.SOUND)])
def test_programs_are_for_networks_that_jump_a_few_times(
    scale: float, guarantee: Guarantee
) -> None:
    rng, builder = np.random.default_rng(0), NetworkBuilder((3,))
    hidden = builder.add(Affine(scale * rng.normal(size=(4, 3)), rng.normal(size=4)), builder.input)
    rounded = builder.add(Round(), hidden)
    net = builder.build(builder.add(Affine(rng.normal(size=(2, 4)), None), rounded))
    bounds = compute_bounds(net, box(3), Exact(seconds=0.5))
    assert bounds.guarantee is guarantee


@pairwise(features=[2, MANY], middle=[Relu(), LeakyRelu(np.array(0.1))], seed=range(3))
def test_every_choice_is_exact(features: int, middle: Operator, seed: int) -> None:
    net = network(features, middle, seed=seed)
    chosen = compute_bounds(net, box(features), Exact())
    reference = compute_bounds(net, box(features), make_method("milp"))
    assert chosen.optimal is not None
    assert bool(chosen.optimal.all())
    for mine, other in ((chosen.outer, reference.inner), (chosen.inner, reference.outer)):
        assert mine is not None
        assert other is not None
        np.testing.assert_allclose(mine.lower, other.lower, rtol=0, atol=1e-5)
        np.testing.assert_allclose(mine.upper, other.upper, rtol=0, atol=1e-5)


@pytest.mark.parametrize("middle", [Relu(), LeakyRelu(np.array(0.1))])
@pytest.mark.parametrize("features", [2, MANY])
def test_it_answers_queries(features: int, middle: Operator) -> None:
    net = network(features, middle)
    bounds = compute_bounds(net, box(features), Exact())
    lowest = float(bounds.inner.lower[0, 0])  # type: ignore[union-attr]
    for shift, verdict in ((1e-3, Verdict.SAT), (-1e-3, Verdict.UNSAT)):
        query = Query(box(features), np.eye(2)[:1], np.array([lowest + shift]), ((0,),))
        assert make_decider("exact").decide(net, query).verdict is verdict


def test_what_is_no_setting_is_refused() -> None:
    with pytest.raises(BadSetting, match="gap"):
        Exact(gap=-1.0)
    with pytest.raises(BadSetting, match="threads"):
        Exact(threads=0)
