"""Networks and numbers made to fool floating-point arithmetic.

Source of the idea: Zombori, Bánhelyi, Csendes, Megyeri, Jelasity 2021, *Fooling a complete neural
network verifier*.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from flint import fmpq
from onnx import helper, numpy_helper

from sensverify.bounds import compute_bounds
from sensverify.bounds.method import make_method
from sensverify.certificates import (
    Claims,
    StoredModel,
    certify_bounds,
    certify_query,
    check_certificate,
    check_claims,
    float32_margin,
)
from sensverify.certificates.check.arithmetic import below
from sensverify.certificates.check.program import program_of
from sensverify.certificates.leaves import best
from sensverify.core.box import Box
from sensverify.core.proof import Cells, Proof
from sensverify.core.queries import Query
from sensverify.errors import CertificateRejected
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import Affine, BatchNorm, Clip, Divide, Operator, Relu, Select
from tests.certificates.exact_values import exactly, rational, row_values_at
from tests.certificates.random_proofs import evaluated

TINY, HUGE = 2.0**-1000, 2.0**1000
"""Of an input, and of what brings it back: their product is an ordinary number."""


def chain(features: int, *operators: Operator) -> Network:
    builder = NetworkBuilder((features,))
    node = builder.input
    for operator in operators:
        node = builder.add(operator, node)
    return builder.build(node)


def proven(
    network: Network, lower: np.ndarray, upper: np.ndarray, rows: np.ndarray, name: str
) -> np.ndarray:
    """Lower bounds of rows over one box, by the rule's slopes."""
    program = program_of(network)
    claims = Claims(lower[None], upper[None], rows[None], np.full((1, len(rows)), -np.inf))
    proof = Proof.of(Cells.roots(np.zeros(1, np.int64)), entries=program.entries)
    return best(claims, proof, evaluated(program, claims, proof, name))[0]


def assert_true_at(network: Network, point: np.ndarray, rows: np.ndarray, values: np.ndarray):
    ((*found,),) = row_values_at(network, point[None], rows)
    for value, (_, most) in zip(values, found, strict=True):
        assert value == -np.inf or rational(value) <= most, (value, float(most))


def cancelling(rng: np.random.Generator, terms: int) -> tuple[np.ndarray, np.ndarray]:
    """A column and a row of large factors whose product nearly cancels."""
    column = rng.normal(size=terms).astype(np.float32).astype(np.float64) * 2.0**-60
    row = rng.normal(size=terms) * HUGE
    total = sum((rational(a) * rational(b) for a, b in zip(row, column, strict=True)), fmpq(0))
    rest = total / rational(column[-1])
    row[-1] -= int(rest.p) / int(rest.q)
    return column, row


# Errors of what is tiny now and becomes large later must not underflow.


@pytest.mark.parametrize("seed", range(20))
def test_lost_digits_of_tiny_values_are_counted(seed: int) -> None:
    column, row = cancelling(np.random.default_rng(seed), 1000)
    network = chain(1, Affine(column[:, None]))
    point = np.array([TINY])
    values = proven(network, point, point, row[None], "rigorous")
    assert_true_at(network, point, row[None], values)


@pytest.mark.parametrize("seed", range(20))
def test_lost_digits_of_tiny_values_that_have_many_readers_are_counted(seed: int) -> None:
    rng = np.random.default_rng(seed)
    row = rng.normal(size=1000) * HUGE
    total = sum(exactly(row))
    row[-1] -= int(total.p) / int(total.q)
    network = chain(1, Select(np.zeros(1000, np.int64)))
    point = np.array([2.0**-1060])
    values = proven(network, point, point, row[None], "rigorous")
    assert_true_at(network, point, row[None], values)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_lost_digits_of_tiny_quotients_are_counted(sign: float) -> None:
    numbers = (3.0, 1 / 3.0, 7.0, 1 / 7.0, 11.0, 1 / 11.0, 13.0, 1 / 13.0) * 12
    network = chain(1, *(Divide(np.array([number])) for number in numbers))
    point, row = np.array([TINY * 2.0**-18]), np.array([[sign * HUGE]])
    values = proven(network, point, point, row, "rigorous")
    assert_true_at(network, point, row, values)


def test_a_file_whose_tiny_values_lose_digits_gets_no_false_certificate(tmp_path: Path) -> None:
    false = []
    for seed in range(20):
        column, row = cancelling(np.random.default_rng(seed), 1000)
        weight = numpy_helper.from_array(column[:, None].astype(np.float32), "w")
        graph = helper.make_graph(
            [helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)],
            "tiny",
            [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 1])],
            [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 1000])],
            [weight],
        )
        path = tmp_path / "tiny.onnx"
        versions = [helper.make_opsetid("", 17)]
        onnx.save(helper.make_model(graph, opset_imports=versions, ir_version=8), path)
        model, point = StoredModel.read(path), np.array([[TINY]])
        proof = Proof.of(Cells.roots(np.zeros(1, np.int64)), entries=0)
        certified = certify_bounds(model, point, point, row[None, None], proof)
        check_certificate(certified.certificate(model, {}), path)
        ((value,),) = row_values_at(model.network, point, row[None])
        if rational(certified.lower[0, 0]) > value[1]:
            false.append((seed, certified.lower[0, 0], float(value[1])))
    assert not false


def test_a_root_of_what_overflows_is_not_infinite() -> None:
    large = np.array([1.7e308])
    network = chain(1, BatchNorm(np.array([1e200]), None, np.zeros(1), large, 1.7e308))
    lower, upper, row = np.array([-1.0]), np.array([1.0]), np.eye(1)
    for name in ("rigorous", "exact"):
        values = proven(network, lower, upper, row, name)
        assert_true_at(network, lower, row, values)


# What evaluating in float32 may be off by.


def test_the_float32_margin_is_infinite_where_partial_sums_overflow() -> None:
    program = program_of(chain(2, Affine(np.array([[2.0, -2.0]]))))
    point = np.full((1, 2), np.float32(2e38), np.float64)
    assert float32_margin(program, point, point, np.eye(1)[None]) == np.inf


def test_the_float32_margin_holds_for_weights_below_the_smallest_float32() -> None:
    program = program_of(chain(1, Affine(np.array([[1e-46]]))))
    point = np.full((1, 1), np.float32(1e38), np.float64)
    margin = float32_margin(program, point, point, np.eye(1)[None])
    assert margin >= 1e-46 * float(point[0, 0])


def test_the_float32_margin_holds_for_ends_of_clips_that_float32_does_not_hold() -> None:
    program = program_of(chain(1, Clip(0.1, 1.0)))
    point = np.zeros((1, 1))
    margin = float32_margin(program, point, point, np.eye(1)[None])
    assert margin >= abs(float(np.float32(0.1)) - 0.1)


# What floating-point numbers prove about a network is false, and what is certified is true.

LOST = {torch.float32: 2.0**26, torch.float64: 2.0**55}
"""So large that adding 1.75 to it, or taking that off, changes nothing."""


def hidden_shift(dtype: torch.dtype) -> Network:
    """``x + 1.75`` for x >= 0, and only ``x`` where that is added to a large number first."""
    one, large = np.ones((1, 1)), LOST[dtype]
    shifts = (Affine(one, np.array([large])), Relu(), Affine(one, np.array([1.75])), Relu())
    return chain(1, *shifts, Affine(one, np.array([-large])))


def stored(network: Network) -> StoredModel:
    return StoredModel(network, program_of(network), "ab" * 32, {})


def plain_and_certified(
    network: Network, upper: list[float], dtype: torch.dtype, method: str
) -> tuple[np.ndarray, np.ndarray]:
    """Bounds ``[lower, upper]`` as a method gives them, and as they are proven."""
    box = Box(torch.tensor([[0.0, *upper[1:]]], dtype=dtype), torch.tensor([upper], dtype=dtype))
    with torch.no_grad():
        bounds = compute_bounds(network, box, make_method(method), proof=True)
    assert bounds.certificate is not None
    plain = np.array([float(end) for end in (bounds.outer.lower, bounds.outer.upper)])
    ends = (end.double().numpy() for end in (box.lower, box.upper))
    rows = np.array([[[1.0], [-1.0]]])
    certified = certify_bounds(stored(network), *ends, rows, bounds.certificate)
    return plain, certified.lower[0] * [1, -1]


@pytest.mark.parametrize("method", ["crown", "lp-dual"])
@pytest.mark.parametrize("dtype", LOST, ids=str)
def test_what_is_certified_holds_where_float_bounds_do_not(dtype: torch.dtype, method: str) -> None:
    network = hidden_shift(dtype)
    plain, certified = plain_and_certified(network, [0.4], dtype, method)
    ((low, high),) = row_values_at(network, np.zeros((1, 1)), np.eye(1))[0]
    assert low == high == fmpq(7, 4)
    assert plain[1] < 1.75, "the bounds should exclude an attained value, or this tests nothing"
    assert certified[0] <= 1.75 <= certified[1]


def test_rational_bounds_are_tight_where_rigorous_ones_are_weak() -> None:
    network = hidden_shift(torch.float64)
    lower, upper, rows = np.array([0.0]), np.array([0.4]), np.array([[1.0], [-1.0]])
    weak = proven(network, lower, upper, rows, "rigorous")
    tight = proven(network, lower, upper, rows, "exact")
    expected = below(fmpq(7, 4)), below(-(fmpq(7, 4) + rational(0.4)))
    assert tuple(tight) == expected
    assert (weak <= tight).all()
    assert (weak < tight - 1).all()
    # In float32's example, float64 has digits to spare.
    network = hidden_shift(torch.float32)
    near = proven(network, lower, upper, rows, "rigorous")
    assert np.allclose(near, tight, rtol=0, atol=1e-6)
    assert (near <= tight).all()


def backdoor(dtype: torch.dtype) -> Network:
    """1 as floating-point numbers have it, at most -0.25 in truth: a neuron is awake.

    That neuron is ``x + 1.75 - y``, with y = 0.5 an input, so that no rounding loses it.
    """
    one, large, lost = np.eye(2), np.array([LOST[dtype], 0.0]), np.array([1.75, 0.0])
    shifts = (Affine(one, large), Relu(), Affine(one, lost), Relu())
    neuron = Affine(np.array([[1.0, -1.0]]), -large[:1])
    return chain(2, *shifts, neuron, Relu(), Affine(np.array([[-1.0]]), np.array([1.0])))


UNSHIFTED = np.array([[0.0, 0.5]]), np.array([[0.4, 0.5]])
"""The box of the network with a hidden neuron."""


@pytest.mark.parametrize("method", ["crown", "lp-dual"])
@pytest.mark.parametrize("dtype", LOST, ids=str)
def test_a_neuron_that_floats_hide_is_found(dtype: torch.dtype, method: str) -> None:
    network = backdoor(dtype)
    plain, certified = plain_and_certified(network, [0.4, 0.5], dtype, method)
    assert tuple(plain) == (1.0, 1.0)
    ((value,),) = row_values_at(network, UNSHIFTED[0], np.eye(1))
    assert value[0] == value[1] == fmpq(-1, 4)
    assert certified[0] <= -0.25 <= certified[1]


@pytest.mark.parametrize("dtype", LOST, ids=str)
def test_a_query_that_floats_refute_is_not_refuted(dtype: torch.dtype) -> None:
    """Is there an x with output <= 0? All of them, but for floating-point numbers none."""
    network = backdoor(dtype)
    proof = Proof.of(Cells.roots(np.zeros(1, np.int64)), entries=5)
    some = Query(Box(*UNSHIFTED), np.array([[1.0]]), np.array([0.0]), ((0,),))
    assert certify_query(stored(network), some, proof) is None
    # Nor by a certificate that says so.
    claims = Claims(*UNSHIFTED, some.rows[None], some.limits[None], np.zeros((1, 1), int))
    for name in ("rigorous", "exact"):
        with pytest.raises(CertificateRejected, match="does not refute"):
            check_claims(program_of(network), claims, proof, arithmetic=name)


@pytest.mark.parametrize("dtype", LOST, ids=str)
def test_a_query_that_floats_answer_is_refuted(dtype: torch.dtype) -> None:
    """Is there an x with output >= 0? None; in rational numbers a certificate shows it."""
    network = backdoor(dtype)
    proof = Proof.of(Cells.roots(np.zeros(1, np.int64)), entries=5)
    claims = Claims(*UNSHIFTED, np.array([[[-1.0]]]), np.zeros((1, 1)), np.zeros((1, 1), int))
    check_claims(program_of(network), claims, proof, arithmetic="exact")
    if dtype == torch.float64:
        # It has too few digits, and says so.
        with pytest.raises(CertificateRejected, match="does not refute"):
            check_claims(program_of(network), claims, proof)
    else:
        check_claims(program_of(network), claims, proof)


def test_a_certificate_that_claims_nothing_is_refused() -> None:
    builder = NetworkBuilder((1,))
    output = builder.add(Affine(np.ones((1, 1))), builder.input)
    program = program_of(builder.build(output))
    claims = Claims(np.zeros((1, 1)), np.ones((1, 1)), np.ones((1, 1, 1)), np.full((1, 1), -np.inf))
    proof = Proof.of(Cells.roots(np.zeros(1)), entries=0)
    with pytest.raises(CertificateRejected, match="claims nothing"):
        check_claims(program, claims, proof)
