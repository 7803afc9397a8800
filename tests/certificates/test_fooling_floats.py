"""Networks and numbers made to fool floating-point arithmetic.

Source of the idea: Zombori, Bánhelyi, Csendes, Megyeri, Jelasity 2021, *Fooling a complete neural
network verifier*.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from flint import fmpq
from onnx import helper, numpy_helper

from sensverify.certificates import (
    Claims,
    StoredModel,
    certify_bounds,
    check_certificate,
    float32_margin,
)
from sensverify.certificates.check.checker import best
from sensverify.certificates.check.program import program_of
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import Affine, BatchNorm, Clip, Divide, Operator, Select
from sensverify.proof import Cells, Proof
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
