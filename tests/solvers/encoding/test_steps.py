"""Functions with jumps in programs: both sides of every jump, and ranges that are attained."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import sensverify as sv
from sensverify.errors import MissingRule
from sensverify.network import Network, NetworkBuilder
from sensverify.network.functions import NUMPY
from sensverify.network.operators import (
    Affine,
    Ceil,
    Floor,
    Heaviside,
    Relu,
    Round,
    Sign,
    Steps,
)
from sensverify.runs.watch import TimeUp, Watch
from sensverify.solvers.encoding import Encoder, Form
from tests.solvers.encoding.test_encoding import _box, _single, check_holds, encode

STEPS = [Sign(), Heaviside(0.5), Heaviside(0.0), Floor(), Ceil(), Round()]


def bent(operator: Steps, seed: int) -> Network:
    """2-4-2 with jumps behind the first affine operator and a ReLU behind these."""
    rng = np.random.default_rng(seed)
    builder = NetworkBuilder((2,))
    node = builder.add(Affine(rng.normal(size=(4, 2)) * 2, rng.normal(size=4)), builder.input)
    node = builder.add(Affine(rng.normal(size=(3, 4)), None), builder.add(operator, node))
    return builder.build(
        builder.add(Affine(rng.normal(size=(2, 3)), None), builder.add(Relu(), node))
    )


@pytest.mark.parametrize("form", list(Form))
@pytest.mark.parametrize("operator", STEPS, ids=repr)
def test_every_input_is_held(operator: Steps, form: Form) -> None:
    for seed in range(5):
        network = bent(operator, seed)
        box = _box([-1.0, -0.5], [0.5, 1.0])
        check_holds(network, box, encode(network, box, form))


@pytest.mark.parametrize("operator", STEPS, ids=repr)
def test_both_sides_of_a_jump_and_the_value_at_it_are_held(operator: Steps) -> None:
    """Points on jumps, and a jump at either end of the box."""
    for ends in ((-1.0, 1.0), (0.0, 2.0), (-0.5, 0.5), (-2.0, 0.0), (0.5, 1.5)):
        network, box = _single(operator, 1), _box([ends[0]], [ends[1]])
        encoding = encode(network, box, Form.EXACT)
        points = np.linspace(*ends, 9)[:, None]
        columns = encoding.complete(points)
        problem = encoding.problem
        values = columns @ problem.matrix.T
        assert (values >= problem.row_lower - 1e-12).all()
        assert (values <= problem.row_upper + 1e-12).all()
        exact = sv.forward_pass(network, torch.from_numpy(points)).numpy()
        found = columns @ encoding.output_matrix.T + encoding.output_offset
        np.testing.assert_allclose(found, exact, atol=1e-12)


@pytest.mark.parametrize("operator", STEPS, ids=repr)
def test_ranges_are_attained_and_no_sample_lies_beyond(operator: Steps) -> None:
    for seed in range(3):
        network = bent(operator, seed)
        box = sv.Box(np.array([[-1.0, -0.5]]), np.array([[0.5, 1.0]]))
        bounds = sv.compute_bounds(network, box, sv.make_method("exact", seconds=60))
        assert bounds.provenance.method == "exact"
        assert bounds.inner is not None
        assert bounds.optimal is not None
        at = operator.value(np.zeros(1), NUMPY)
        sides = operator.below(np.zeros(1), NUMPY), operator.above(np.zeros(1), NUMPY)
        # A value that a function has at one number alone may be one of no float64 input.
        if at in sides:
            assert bool(bounds.optimal.all())
        assert (bounds.inner.lower >= bounds.outer.lower).all()
        assert (bounds.inner.upper <= bounds.outer.upper).all()
        share = torch.rand((20_000, 2), generator=torch.Generator().manual_seed(0))
        points = torch.from_numpy(box.lower) + share * torch.from_numpy(box.upper - box.lower)
        values = sv.forward_pass(network, points.double())
        assert (values >= bounds.outer.lower - 1e-6).all()
        assert (values <= bounds.outer.upper + 1e-6).all()


def test_a_number_without_a_jump_takes_no_binary() -> None:
    assert len(encode(_single(Round(), 2), _box([0.6, 0.6], [1.4, 1.7]), Form.EXACT).binaries) == 1
    assert len(encode(_single(Sign(), 1), _box([0.1], [3.0]), Form.EXACT).binaries) == 0
    # The value at the jump is one of its own.
    assert len(encode(_single(Sign(), 1), _box([-1.0], [3.0]), Form.EXACT).binaries) == 2


def test_what_cannot_be_written_down_is_named() -> None:
    with pytest.raises(MissingRule, match="Round"):
        encode(_single(Round(), 1), _box([-1e6], [1e6]), Form.EXACT)


def test_writing_ends_with_the_time() -> None:
    """No more of a program is written once the time is over."""
    network = bent(Floor(), 0)
    ends = np.zeros(network.input_shape), np.ones(network.input_shape)
    with pytest.raises(TimeUp):
        Encoder(network).encode(*ends, {}, Form.EXACT, watch=Watch(0.0))
