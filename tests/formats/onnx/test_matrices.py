"""Matrix products and batch normalisation against onnxruntime."""

from itertools import product

import numpy as np
import pytest
from onnx import helper

from sensverify.errors import BadModelFile, UnsupportedOperator

RNG = np.random.default_rng(0)


def weights(*shape):
    return RNG.normal(size=shape).astype(np.float32)


RIGHT = [
    ((1, 5), (5, 3)),
    ((5,), (5, 3)),
    ((1, 5), (5,)),
    ((5,), (5,)),
    ((1, 4, 5), (5, 3)),
    ((4, 5), (5, 3)),
    ((1, 2, 4, 5), (5, 3)),
    ((1, 4, 5), (1, 5, 3)),
    ((1, 4, 5), (2, 5, 3)),
    ((1, 2, 4, 5), (2, 5, 3)),
    ((1, 1, 4, 5), (3, 2, 5, 3)),
    ((5,), (2, 5, 3)),
]


@pytest.mark.parametrize(("shape", "weight"), RIGHT, ids=str)
def test_matmul_with_constant_on_the_right(shape, weight, check_node):
    for opset in (7, 13):
        check_node("MatMul", shape, weights(*weight), opset=opset)


LEFT = [
    ((5, 1), (3, 5)),
    ((5,), (3, 5)),
    ((5, 4), (3, 5)),
    ((1, 5, 4), (3, 5)),
    ((1, 5, 4), (2, 3, 5)),
    ((2, 5, 4), (2, 3, 5)),
    ((1, 5, 4), (5,)),
    ((1, 5, 1), (1, 3, 5)),
]


@pytest.mark.parametrize(("shape", "weight"), LEFT, ids=str)
def test_matmul_with_constant_on_the_left(shape, weight, check_node):
    check_node("MatMul", shape, weights(*weight), first=False)


@pytest.mark.parametrize("offset", [(3,), (1, 3), (), (1,), (1, 1), None], ids=str)
def test_gemm(offset, check_node):
    rest = () if offset is None else (weights(*offset),)
    # C may be left out from operator set 11.
    for opset, transposed in product((11, 13) if offset is None else (7, 9, 11, 13), (0, 1)):
        weight = weights(3, 5) if transposed else weights(5, 3)
        options = {"opset": opset, "transB": transposed, "alpha": 0.7, "beta": -1.3}
        check_node("Gemm", (1, 5), weight, *rest, **options)


@pytest.mark.parametrize("offset", [(3,), (4, 3), (4, 1), (1, 3)], ids=str)
def test_gemm_of_several_rows(offset, check_node):
    check_node("Gemm", (4, 5), weights(5, 3), weights(*offset), beta=2.0)


def test_gemm_with_input_transposed(check_node):
    check_node("Gemm", (5, 4), weights(5, 3), weights(3), transA=1)


@pytest.mark.parametrize("transposed", [0, 1])
def test_gemm_with_constant_first(transposed, check_equal, make_model):
    weight = weights(5, 4) if transposed else weights(4, 5)
    node = helper.make_node("Gemm", ["a", "x", "c"], ["y"], transA=transposed, alpha=0.5)
    check_equal(make_model([node], (5, 2), {"a": weight, "c": weights(4, 1)}))


def test_gemm_with_a_variable_offset(check_equal, make_model):
    node = helper.make_node("Gemm", ["x", "b", "x"], ["y"], beta=3.0)
    check_equal(make_model([node], (2, 4), {"b": weights(4, 4)}))


@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 5), (1, 3, 4, 5), (2, 3, 4, 5), (1, 3, 2, 2, 2)])
def test_batch_normalization(shape, check_node):
    variance = RNG.uniform(0.3, 2, 3).astype(np.float32)
    statistics = (weights(3), weights(3), weights(3), variance)
    for opset in (7, 9, 14, 15):
        check_node("BatchNormalization", shape, *statistics, opset=opset, epsilon=1e-3)


def test_batch_normalization_in_training_is_refused(check_node):
    statistics = (weights(3), weights(3), weights(3), np.ones(3, np.float32))
    with pytest.raises(UnsupportedOperator, match="inference"):
        check_node("BatchNormalization", (1, 3, 4), *statistics, opset=15, training_mode=1)
    with pytest.raises(UnsupportedOperator, match="inference"):
        check_node("BatchNormalization", (1, 3, 4), *statistics, opset=8, spatial=0)


def test_batch_normalization_with_a_negative_variance_is_refused(check_node):
    statistics = (weights(3), weights(3), weights(3), -np.ones(3, np.float32))
    with pytest.raises(BadModelFile, match="variance"):
        check_node("BatchNormalization", (1, 3, 4), *statistics)
