"""Products of two values that depend on the input, against onnxruntime."""

import numpy as np
import pytest
from onnx import helper

from sensverify.network.operators import Product

RNG = np.random.default_rng(0)


def weights(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def count(network):
    return sum(isinstance(node.operator, Product) for node in network.nodes)


@pytest.mark.parametrize(
    ("first", "second"),
    [((3, 4), (4, 4)), ((1, 4), (4, 4)), ((4, 4), (1, 4)), ((3, 4), (4, 1))],
    ids=str,
)
def test_products_of_entries(first, second, check_equal, make_model):
    """Of ``x A`` and ``B x``, which broadcast."""
    shape = (1, 3, 4)
    nodes = [
        helper.make_node("MatMul", ["r", "x"], ["left"], name="left"),
        helper.make_node("MatMul", ["x", "w"], ["right"], name="right"),
        helper.make_node("Mul", ["left", "right"], ["y"], name="y"),
    ]
    rows = 3 if first[0] != 1 else 1
    constants = {"r": weights(rows, 3), "w": weights(4, second[1])}
    assert count(check_equal(make_model(nodes, shape, constants))) == 1


MATRICES = [
    ((1, 3, 4), "bij->bji"),
    ((1, 2, 3, 4), "bhij->bhji"),
    ((3, 4), "ij->ji"),
    ((1, 4), "bi->ib"),
    ((4,), "i->i"),
]


@pytest.mark.parametrize(("shape", "right"), MATRICES, ids=str)
def test_products_of_matrices(shape, right, check_equal, make_model):
    nodes = [
        helper.make_node("Mul", ["x", "c"], ["a"], name="a"),
        helper.make_node("Einsum", ["x"], ["b"], name="b", equation=right),
        helper.make_node("MatMul", ["a", "b"], ["y"], name="y"),
    ]
    network = check_equal(make_model(nodes, shape, {"c": weights(shape[-1])}))
    assert count(network) == 1


def test_matrices_of_several_axes_broadcast(check_equal, make_model):
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], name="a"),
        helper.make_node("Transpose", ["x"], ["t"], name="t", perm=[0, 2, 1]),
        helper.make_node("MatMul", ["a", "t"], ["y"], name="y"),
    ]
    check_equal(make_model(nodes, (1, 3, 4), {"w": weights(2, 4, 4)}))


@pytest.mark.parametrize("flags", [(0, 0), (1, 0), (0, 1), (1, 1)], ids=str)
def test_gemm(flags, check_equal, make_model):
    first, second = flags
    shapes = (3, 4) if first else (4, 3), (5, 3) if second else (3, 5)
    nodes = [
        helper.make_node("Reshape", ["x", "s0"], ["f"], name="f"),
        helper.make_node("MatMul", ["m", "f"], ["g"], name="g"),
        helper.make_node("Reshape", ["g", "s1"], ["h"], name="h"),
        helper.make_node("Reshape", ["x", "s2"], ["a"], name="a"),
        helper.make_node(
            "Gemm", ["a", "h", "x0"], ["y"], name="y", transA=first, transB=second, alpha=0.5
        ),
    ]
    constants = {
        "s0": np.array([12, 1]),
        "s1": np.array(shapes[1]),
        "s2": np.array(shapes[0]),
        "m": weights(15, 12),
        "x0": weights(4, 5),
    }
    check_equal(make_model(nodes, (1, 12), constants))


@pytest.mark.parametrize(
    "equation",
    [
        "bij,bij->b",
        "bij,bij->bij",
        "bij,bkj->bik",
        "bij,bkj->bki",
        "bij,bij->",
        "bij,bkl->bijkl",
        "...j,...j->...",
        "bii,bij->bj",
    ],
)
def test_einsum(equation, check_equal, make_model):
    nodes = [
        helper.make_node("Mul", ["x", "c"], ["a"], name="a"),
        helper.make_node("Einsum", ["a", "x"], ["y"], name="y", equation=equation),
    ]
    check_equal(make_model(nodes, (1, 3, 3), {"c": weights(3, 3)}))


@pytest.mark.parametrize(
    "equation", ["bij,bjk,kl,bil->bl", "bij,k,bij,bij->bk", "bij,bjk,bkl->bil"]
)
def test_einsum_of_several_values(equation, check_equal, make_model):
    kinds = ["c" if len(term) < 3 else "a" for term in equation.split("->")[0].split(",")]
    constants = {"c": weights(*(3,) * (1 if ",k," in equation else 2)), "s": weights(3, 3)}
    nodes = [
        helper.make_node("Mul", ["x", "s"], ["a"], name="a"),
        helper.make_node("Einsum", kinds, ["y"], name="y", equation=equation),
    ]
    check_equal(make_model(nodes, (1, 3, 3), constants))


def test_a_value_times_itself(check_equal, make_model):
    nodes = [helper.make_node("Mul", ["x", "x"], ["y"], name="y")]
    check_equal(make_model(nodes, (1, 3), {}))
