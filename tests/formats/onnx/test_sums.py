"""Sums of products against onnxruntime: einsum, cumulative sums, overlapping blocks."""

import numpy as np
import pytest
from onnx import helper

from sensverify.errors import BadModelFile
from sensverify.formats.onnx import load_onnx
from tests.pairwise import pairwise

RNG = np.random.default_rng(0)
SHAPE = (2, 3, 4)


def floats(*shape):
    return RNG.normal(size=shape).astype(np.float32)


EQUATIONS = [
    ("bij,jk->bik", [(4, 5)]),
    ("bij,bij->b", [SHAPE]),
    ("bij,ij->bij", [(3, 4)]),
    ("bij,j->bi", [(4,)]),
    ("bij,k->bijk", [(2,)]),
    ("bij,k->bij", [(2,)]),
    ("bij,bjk->bik", [(2, 4, 5)]),
    ("bij,kij->bk", [(5, 3, 4)]),
    ("bij,i->bj", [(3,)]),
    ("bij->jbi", []),
    ("bij->", []),
    ("...ij->...ji", []),
    ("...ij,jk->...ik", [(4, 5)]),
    ("...i,ik", [(4, 5)]),
    ("b i j , j -> b i", [(4,)]),
    ("B...,B...->B...", [SHAPE]),
    ("bij,xj->bixj", [(5, 4)]),
    ("bij,jj->bi", [(4, 4)]),
]


@pytest.mark.parametrize(("equation", "shapes"), EQUATIONS, ids=[e[0] for e in EQUATIONS])
def test_einsum(equation, shapes, check_node):
    check_node("Einsum", SHAPE, *(floats(*shape) for shape in shapes), equation=equation)


@pytest.mark.parametrize("equation", ["bii->bi", "bii->b", "bii->ib"])
def test_einsum_of_a_diagonal(equation, check_node):
    check_node("Einsum", (2, 3, 3), equation=equation)


def test_einsum_with_the_constant_first(check_node):
    check_node("Einsum", (1, 3, 4), floats(2, 3), equation="ij,bjk->bik", first=False)


def test_einsum_with_two_constants(check_node):
    arrays = [floats(4, 5), floats(5, 2)]
    check_node("Einsum", SHAPE, *arrays, equation="bij,jk,kl->bil", exact=False)


@pytest.mark.parametrize("equation", ["bij->bijk", "bij->bb", "bi->b", "b,ij->b"])
def test_an_equation_that_does_not_fit_is_refused(equation, save):
    node = helper.make_node("Einsum", ["x"], ["y"], equation=equation)
    info = helper.make_tensor_value_info
    graph = helper.make_graph([node], "test", [info("x", 1, SHAPE)], [info("y", 1, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(BadModelFile):
        load_onnx(save(model))


@pairwise(exclusive=[0, 1], reverse=[0, 1], axis=[1, -1])
def test_cumulative_sums(exclusive, reverse, axis, check_node):
    check_node("CumSum", SHAPE, np.array(axis), exclusive=exclusive, reverse=reverse)


BLOCKS = [
    ((1, 18, 9), (5, 5), (3, 3), {}),
    ((2, 18, 4), (5, 5), (3, 3), {"strides": [2, 2]}),
    ((1, 9, 9), (5, 5), (3, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    ((1, 9, 16), (5, 5), (3, 3), {"pads": [0, 1, 1, 0]}),
    ((1, 8, 12), (5, 5), (2, 2), {"dilations": [2, 1]}),
    ((1, 4, 4), (5, 6), (2, 2), {"strides": [3, 3]}),
]


@pytest.mark.parametrize("case", BLOCKS, ids=str)
def test_blocks_that_overlap(case, check_node):
    shape, image, block, attributes = case
    check_node("Col2Im", shape, np.array(image), np.array(block), opset=18, **attributes)
