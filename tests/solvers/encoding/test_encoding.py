"""Encodings hold every input of the box with its output, whatever the operators."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from sensverify.bounds import Crown, Ibp, forward_pass
from sensverify.bounds.tensors import tensor_network
from sensverify.core.box import Box
from sensverify.errors import BadShape, MissingRule, Unbounded
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import (
    Abs,
    Affine,
    Clip,
    LeakyRelu,
    Max,
    Operator,
    Relu,
    Select,
    Sigmoid,
    Tanh,
)
from sensverify.solvers.encoding import Encoder, Encoding, Form
from tests.contracts.networks import NETWORKS, Case, cases, mlps


def piecewise(network: Network) -> Network:
    """The network with kinks in place of smooth functions."""
    swaps: dict[type, Operator] = {Sigmoid: Abs(), Tanh: Relu()}
    return Network(
        tuple(
            replace(node, operator=swaps.get(type(node.operator), node.operator))
            for node in network.nodes
        )
    )


def encode(network: Network, box: Box, form: Form, method: Crown | Ibp | None = None) -> Encoding:
    """The encoding of the first box, with CROWN's intermediate bounds by default."""
    live = tensor_network(network, dtype=torch.float64, device=torch.device("cpu"))
    ends = [torch.from_numpy(np.array(end)) for end in (box.lower, box.upper)]
    known = (method or Crown()).pre_activations(live, Box(*ends))
    bounds = {p: (low[0].numpy(), high[0].numpy()) for p, (low, high) in known.items()}
    return Encoder(live).encode(box.lower[0], box.upper[0], bounds, form)


def inputs_of(box: Box, count: int = 60) -> np.ndarray:
    """Corners and inner points of the first box, ``[points, *shape]``."""
    rng = np.random.default_rng(1)
    share = rng.random((count, *box.shape))
    share[::2] = np.rint(share[::2])
    points = box.lower[0] + share * (box.upper[0] - box.lower[0])
    return np.clip(points, box.lower[0], box.upper[0])


def check_holds(network: Network, box: Box, encoding: Encoding) -> None:
    """Every input's columns meet every row, and give the network's output."""
    points = inputs_of(box)
    columns = encoding.complete(points.reshape(len(points), -1))
    problem = encoding.problem
    size = 1 + np.abs(columns).max()
    values = columns @ problem.matrix.T
    tolerance = 1e-11 * size * (1 + abs(problem.matrix).max() if problem.matrix.nnz else 1)
    assert (values >= problem.row_lower - tolerance).all()
    assert (values <= problem.row_upper + tolerance).all()
    assert (columns >= problem.lower - tolerance).all()
    assert (columns <= problem.upper + tolerance).all()
    assert set(np.unique(columns[:, problem.integer])) <= {0.0, 1.0}
    outputs = forward_pass(network, torch.from_numpy(points)).numpy().reshape(len(points), -1)
    encoded = columns @ encoding.output_matrix.T + encoding.output_offset
    np.testing.assert_allclose(
        encoded, outputs, rtol=0, atol=1e-11 * (size + np.abs(outputs).max())
    )


@pytest.mark.parametrize("family", NETWORKS)
def test_every_input_is_held(family: str) -> None:
    @given(cases(NETWORKS[family]))
    @settings(max_examples=25)
    def check(case: Case) -> None:
        for form in Form:
            check_holds(case.network, case.box, encode(case.network, case.box, form))
        network = piecewise(case.network)
        for method in (Crown(), Ibp()):
            check_holds(network, case.box, encode(network, case.box, Form.EXACT, method))

    check()


@given(cases(mlps()))
@settings(max_examples=40)
def test_any_multipliers_prove_a_bound(case: Case) -> None:
    encoding = encode(case.network, case.box, Form.RELAXED)
    points = inputs_of(case.box)
    columns = encoding.complete(points.reshape(len(points), -1))
    rng = np.random.default_rng(2)
    problem = encoding.problem
    for scale in (0.0, 1e-3, 1.0, 1e6):
        cost = rng.normal(size=problem.columns)
        multipliers = scale * rng.normal(size=problem.rows)
        multipliers[rng.random(problem.rows) < 0.1] = np.nan
        bound = problem.dual_bound(cost, multipliers)
        assert bound <= (columns @ cost).min()
    # NaN and a wrong length count as none.
    nothing = problem.dual_bound(cost)
    assert problem.dual_bound(cost, np.full(problem.rows, np.nan)) == nothing
    assert problem.dual_bound(cost, np.zeros(problem.rows + 1)) == nothing


def _single(operator: Operator, size: int = 3) -> Network:
    builder = NetworkBuilder((size,))
    return builder.build(builder.add(operator, builder.input))


def _box(lower: list[float], upper: list[float]) -> Box:
    return Box(np.array([lower], dtype=float), np.array([upper], dtype=float))


@pytest.mark.parametrize(
    "operator",
    [Relu(), Abs(), LeakyRelu(np.array(2.0)), LeakyRelu(np.array(-1.0)), Clip(0.0, 1.0)],
    ids=repr,
)
def test_a_stable_neuron_takes_no_column(operator: Operator) -> None:
    encoding = encode(_single(operator), _box([0.1, 0.2, -3.0], [0.3, 0.4, -1.0]), Form.EXACT)
    assert encoding.problem.columns == 3
    assert encoding.problem.rows == 0
    assert len(encoding.binaries) == 0


def test_binaries_know_their_neurons() -> None:
    encoding = encode(_single(Relu()), _box([-1, 0, -1], [1, 1, 2]), Form.EXACT)
    assert encoding.owners.tolist() == [[1, 0], [1, 2]]
    assert encoding.problem.integer[encoding.binaries].all()
    assert encoding.problem.integer.sum() == 2


def test_a_leaky_slope_of_one_has_no_kink() -> None:
    box = _box([-1, -1, -1], [1, 1, 1])
    assert len(encode(_single(LeakyRelu(np.array(1.0))), box, Form.EXACT).binaries) == 0


def test_a_clip_with_both_kinks_inside_takes_two_binaries() -> None:
    encoding = encode(_single(Clip(-0.5, 0.5), 1), _box([-1], [1]), Form.EXACT)
    assert len(encoding.binaries) == 2


def test_inputs_that_cannot_move_are_numbers() -> None:
    network = _single(Affine(np.ones((2, 3)), np.zeros(2)))
    encoding = encode(network, _box([1, 2, 0], [1, 2, 1]), Form.EXACT)
    assert encoding.output_matrix.nnz == 2
    assert encoding.output_offset.tolist() == [3, 3]
    assert encoding.inputs.tolist() == [0, 1, 2]


def test_a_maximum_leaves_out_who_cannot_win() -> None:
    box = _box([0, 0.5, -3], [1, 2, -1])
    encoding = encode(_single(Max()), box, Form.EXACT)
    assert encoding.owners[:, 1].tolist() == [0, 1]
    decided = encode(_single(Max()), _box([0, 1, -3], [1, 2, -1]), Form.EXACT)
    assert len(decided.binaries) == 0
    assert decided.problem.columns == 3
    one_active = encode(_single(Max()), _box([0, 0, 0], [0, 2, 0]), Form.EXACT)
    assert len(one_active.binaries) == 0


def test_what_many_windows_read_is_written_once() -> None:
    rng = np.random.default_rng(0)
    builder = NetworkBuilder((20,))
    node = builder.add(Affine(rng.normal(size=(6, 20))), builder.input)
    windows = np.lib.stride_tricks.sliding_window_view(np.arange(6), 3)
    node = builder.add(Max(), builder.add(Select(np.ascontiguousarray(windows)), node))
    network = builder.build(node)
    encoding = encode(network, _box([-1.0] * 20, [1.0] * 20), Form.EXACT)
    # Six sums of twenty terms, and little else.
    assert encoding.problem.matrix.nnz < 6 * 21 + 4 * (3 * 5 + 3)


def test_a_chain_of_products_is_not_multiplied_out() -> None:
    rng = np.random.default_rng(0)
    builder = NetworkBuilder((60,))
    node = builder.add(Affine(rng.normal(size=(2, 60))), builder.input)
    node = builder.add(Abs(), node)
    node = builder.add(Affine(rng.normal(size=(60, 2)), np.full(60, 1e3)), node)
    node = builder.add(Relu(), node)
    node = builder.add(Affine(rng.normal(size=(2, 60))), node)
    node = builder.add(
        Affine(rng.normal(size=(40, 2))), builder.add(LeakyRelu(np.array(0.5)), node)
    )
    encoding = encode(builder.build(node), _box([-1.0] * 60, [1.0] * 60), Form.EXACT)
    assert encoding.problem.matrix.nnz + encoding.output_matrix.nnz < 500


def test_an_unknown_operator_is_named() -> None:
    class Odd(Operator):
        pass

    network = _single(Relu())
    odd = Network((network.nodes[0], replace(network.nodes[1], operator=Odd())))
    with pytest.raises(MissingRule, match=r"Odd.*encode_operator\.register"):
        Encoder(odd).encode(np.zeros(3), np.ones(3), {}, Form.EXACT)


def test_bounds_that_are_missing_or_not_finite_are_refused() -> None:
    encoder = Encoder(_single(Relu()))
    ends = np.zeros(3), np.ones(3)
    with pytest.raises(BadShape, match="missing"):
        encoder.encode(*ends, {}, Form.EXACT)
    with pytest.raises(BadShape, match="3 numbers"):
        encoder.encode(*ends, {1: (np.zeros(2), np.ones(2))}, Form.EXACT)
    for bad in (np.nan, np.inf):
        with pytest.raises(Unbounded, match="not finite"):
            encoder.encode(*ends, {1: (np.zeros(3), np.array([1.0, bad, 1]))}, Form.EXACT)
