"""Pooling layers and reductions against onnxruntime."""

from itertools import product

import numpy as np
import pytest

from tests.pairwise import pairwise

POOLS = {
    "1d": ((1, 3, 9), {"kernel_shape": [3], "strides": [2]}),
    "2d": ((1, 3, 8, 7), {"kernel_shape": [3, 2], "strides": [2, 1]}),
    "3d": ((1, 2, 5, 4, 6), {"kernel_shape": [2, 2, 3], "strides": [2, 1, 2]}),
    "default stride": ((1, 2, 5, 4), {"kernel_shape": [2, 2]}),
    "pads": ((1, 3, 8, 7), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "asymmetric": ((1, 3, 8, 7), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 2, 1, 0]}),
    "same upper": (
        (1, 3, 8, 7),
        {"kernel_shape": [3, 2], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    ),
    "same lower": (
        (1, 3, 8, 7),
        {"kernel_shape": [3, 2], "strides": [2, 2], "auto_pad": "SAME_LOWER"},
    ),
    "valid": ((1, 3, 8, 7), {"kernel_shape": [3, 2], "strides": [2, 2], "auto_pad": "VALID"}),
    "batch of 2": ((2, 3, 8, 7), {"kernel_shape": [3, 2], "pads": [1, 0, 0, 1]}),
}
CEILED = {
    "ceil": ((1, 3, 8, 7), {"kernel_shape": [3, 2], "strides": [2, 2]}),
    "ceil, pads": (
        (1, 3, 8, 7),
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]},
    ),
    "ceil, asymmetric": (
        (1, 3, 8, 8),
        {"kernel_shape": [3, 3], "strides": [3, 2], "pads": [0, 1, 1, 0]},
    ),
    "ceil, last window outside": (
        (1, 2, 5, 5),
        {"kernel_shape": [2, 2], "strides": [3, 3], "pads": [1, 1, 1, 1]},
    ),
}
DILATED = {
    "dilated": ((1, 3, 9, 8), {"kernel_shape": [3, 2], "dilations": [2, 3]}),
    "dilated, pads": (
        (1, 3, 9, 8),
        {"kernel_shape": [3, 2], "dilations": [2, 3], "strides": [2, 1], "pads": [1, 1, 0, 1]},
    ),
}
DILATED_CEILED = {
    "dilated, ceil": (
        (1, 3, 9, 8),
        {"kernel_shape": [3, 2], "dilations": [2, 3], "strides": [2, 3]},
    )
}


@pytest.mark.parametrize("case", POOLS)
def test_max_pool(case, check_node):
    shape, attributes = POOLS[case]
    for opset in (7, 8, 10, 12, 22):
        check_node("MaxPool", shape, opset=opset, **attributes)


@pytest.mark.parametrize("case", CEILED | DILATED_CEILED)
def test_max_pool_rounding_up(case, check_node):
    shape, attributes = (CEILED | DILATED_CEILED)[case]
    for opset in (10, 12, 22):
        check_node("MaxPool", shape, opset=opset, ceil_mode=1, **attributes)


@pytest.mark.parametrize("case", DILATED)
def test_max_pool_with_dilation(case, check_node):
    shape, attributes = DILATED[case]
    for opset in (10, 12, 22):
        check_node("MaxPool", shape, opset=opset, **attributes)


@pytest.mark.parametrize("case", POOLS)
def test_average_pool(case, check_node):
    shape, attributes = POOLS[case]
    check_node("AveragePool", shape, **attributes)
    for opset, include in product((7, 10, 11, 19, 22), (0, 1)):
        check_node("AveragePool", shape, opset=opset, count_include_pad=include, **attributes)


@pytest.mark.parametrize("case", CEILED)
def test_average_pool_rounding_up(case, check_node):
    shape, attributes = CEILED[case]
    for opset, include in product((10, 11, 19, 22), (0, 1)):
        check_node(
            "AveragePool", shape, opset=opset, count_include_pad=include, ceil_mode=1, **attributes
        )


@pytest.mark.parametrize("case", DILATED)
def test_average_pool_with_dilation(case, check_node):
    shape, attributes = DILATED[case]
    for opset, include in product((19, 22), (0, 1)):
        check_node("AveragePool", shape, opset=opset, count_include_pad=include, **attributes)


@pytest.mark.parametrize("operator", ["GlobalAveragePool", "GlobalMaxPool"])
@pytest.mark.parametrize("shape", [(1, 3, 5), (1, 3, 4, 5), (1, 2, 3, 4, 2), (1, 3, 1, 1)])
def test_global_pool(operator, shape, check_node):
    check_node(operator, shape)


REDUCTIONS = ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL1"]
AXES = [[1], [-1], [2, 3], [1, 3], [0], [0, 1, 2, 3], None]


def axes_are_inputs(operator, opset):
    return opset >= (13 if operator == "ReduceSum" else 18)


@pairwise(operator=REDUCTIONS, opset=[7, 11, 13, 18, 20], axes=AXES, keep=[0, 1])
def test_reduction(operator, opset, axes, keep, check_node):
    shape = (1, 3, 4, 5)
    if axes is None:
        check_node(operator, shape, opset=opset, keepdims=keep)
    elif axes_are_inputs(operator, opset):
        check_node(operator, shape, np.array(axes, np.int64), opset=opset, keepdims=keep)
    else:
        # Counted from the end since operator set 11.
        axes = axes if opset >= 11 else [axis % len(shape) for axis in axes]
        check_node(operator, shape, opset=opset, keepdims=keep, axes=axes)


@pytest.mark.parametrize("noop", [0, 1])
def test_reduction_over_no_axes(noop, check_node):
    none = np.zeros(0, np.int64)
    check_node("ReduceSum", (1, 3, 4), none, opset=18, noop_with_empty_axes=noop)
