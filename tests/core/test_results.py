"""Results: the order of guarantees, statuses, and what a result refuses."""

import dataclasses

import numpy as np
import pytest

from sensverify.core.box import Box
from sensverify.core.provenance import Provenance
from sensverify.core.results import Bounds, Guarantee, Status
from sensverify.errors import BadShape
from sensverify.network import NetworkBuilder

BOX = Box(np.zeros((2, 3)), np.ones((2, 3)))
PROVENANCE = Provenance("crown", {}, NetworkBuilder((3,)).build(0), "", "float64", "cpu", 0.0)


def bounds(**fields: object) -> Bounds:
    return Bounds(BOX, Guarantee.SOUND, PROVENANCE, **fields)


def test_the_weakest_guarantee_wins() -> None:
    order = ["ESTIMATE", "PROBABILISTIC", "SOLVER", "SOUND", "CERTIFIED"]
    assert [g.name for g in sorted(Guarantee)] == order
    assert min(Guarantee.SOUND, Guarantee.SOLVER, Guarantee.CERTIFIED) is Guarantee.SOLVER


def test_a_sample_is_optimal_when_every_bound_is() -> None:
    assert bounds().status(0) is Status.BOUNDED
    optimal = np.array([[True, True, True], [True, False, True]])
    assert bounds(optimal=optimal).status(0) is Status.OPTIMAL
    assert bounds(optimal=optimal).status(1) is Status.BOUNDED


def test_the_inner_box_has_the_shape_of_the_outer_one() -> None:
    assert bounds(inner=BOX).inner is BOX
    with pytest.raises(BadShape, match="inner"):
        bounds(inner=Box(np.zeros((2, 2)), np.ones((2, 2))))


def test_results_do_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        bounds().outer = BOX  # type: ignore[misc]


def test_the_network_is_named_by_its_digest() -> None:
    assert PROVENANCE.network_digest == NetworkBuilder((3,)).build(0).digest
    assert PROVENANCE.network_digest != NetworkBuilder((4,)).build(0).digest


def test_a_guarantee_is_printed_by_its_name() -> None:
    assert str(Guarantee.SOUND) == f"{Guarantee.SOUND}" == "SOUND"
