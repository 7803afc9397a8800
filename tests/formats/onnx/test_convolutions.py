"""Convolutions and transposed convolutions against onnxruntime."""

import numpy as np
import pytest

from sensverify.errors import UnsupportedOperator

RNG = np.random.default_rng(0)


def weights(*shape):
    return RNG.normal(size=shape).astype(np.float32)


CONVS = {
    "1d": ((1, 3, 9), (4, 3, 3), {}),
    "2d": ((1, 3, 8, 7), (4, 3, 3, 2), {}),
    "3d": ((1, 2, 5, 4, 6), (3, 2, 2, 2, 3), {"strides": [1, 2, 1]}),
    "symmetric pads": ((1, 3, 8, 7), (4, 3, 3, 3), {"pads": [1, 2, 1, 2]}),
    "asymmetric pads": ((1, 3, 8, 7), (4, 3, 3, 3), {"pads": [0, 2, 1, 3]}),
    "dilation": ((1, 3, 9, 9), (4, 3, 3, 2), {"dilations": [2, 3]}),
    "stride": ((1, 3, 9, 8), (4, 3, 3, 2), {"strides": [2, 3]}),
    "groups": ((1, 4, 6, 6), (6, 2, 3, 3), {"group": 2}),
    "depthwise": ((1, 4, 6, 6), (8, 1, 3, 3), {"group": 4, "pads": [1, 1, 1, 1]}),
    "all": (
        (1, 4, 11, 9),
        (6, 2, 3, 2),
        {"group": 2, "strides": [2, 1], "dilations": [2, 3], "pads": [2, 0, 1, 3]},
    ),
    "kernel_shape": ((1, 3, 8, 7), (4, 3, 3, 2), {"kernel_shape": [3, 2]}),
    "batch of 3": ((3, 4, 6, 6), (6, 2, 3, 3), {"group": 2, "pads": [1, 0, 0, 1]}),
    "same upper": ((1, 3, 8, 7), (4, 3, 3, 2), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    "same lower": ((1, 3, 8, 7), (4, 3, 3, 2), {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    "same even": ((1, 3, 8, 7), (4, 3, 4, 4), {"auto_pad": "SAME_UPPER"}),
    "valid": ((1, 3, 8, 7), (4, 3, 3, 2), {"auto_pad": "VALID", "strides": [2, 2]}),
    "notset": ((1, 3, 8, 7), (4, 3, 3, 2), {"auto_pad": "NOTSET", "pads": [1, 0, 0, 0]}),
}


@pytest.mark.parametrize("case", CONVS)
def test_conv(case, check_node):
    shape, kernel, attributes = CONVS[case]
    for opset in (7, 11, 22):
        check_node("Conv", shape, weights(*kernel), weights(kernel[0]), opset=opset, **attributes)


def test_automatic_padding_with_dilation_is_refused(check_node):
    with pytest.raises(UnsupportedOperator, match=r"Conv \(node 'node'\).*dilation"):
        check_node(
            "Conv", (1, 3, 8, 7), weights(4, 3, 3, 3), auto_pad="SAME_UPPER", dilations=[2, 1]
        )


def test_conv_without_bias(check_node):
    check_node("Conv", (1, 3, 8, 7), weights(4, 3, 3, 3), pads=[1, 1, 1, 1])


TRANSPOSED = {
    "1d": ((1, 3, 5), (3, 4, 3), {}),
    "2d": ((1, 3, 4, 5), (3, 2, 3, 2), {"strides": [2, 3]}),
    "3d": ((1, 2, 3, 4, 3), (2, 3, 2, 3, 2), {"strides": [2, 1, 2]}),
    "pads": ((1, 3, 4, 5), (3, 2, 3, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "asymmetric pads": ((1, 3, 4, 5), (3, 2, 3, 3), {"strides": [2, 2], "pads": [0, 1, 2, 0]}),
    "output_padding": (
        (1, 3, 4, 5),
        (3, 2, 3, 3),
        {"strides": [2, 3], "pads": [1, 1, 1, 1], "output_padding": [1, 2]},
    ),
    "output_padding, asymmetric": (
        (1, 3, 4, 5),
        (3, 2, 3, 3),
        {"strides": [2, 3], "pads": [1, 0, 0, 1], "output_padding": [1, 1]},
    ),
    "dilation": ((1, 3, 4, 5), (3, 2, 3, 2), {"dilations": [2, 3], "pads": [1, 0, 1, 0]}),
    "groups": ((1, 4, 4, 5), (4, 3, 3, 3), {"group": 2, "strides": [2, 2]}),
    "output_shape": ((1, 3, 4, 5), (3, 2, 3, 3), {"strides": [2, 2], "output_shape": [8, 10]}),
    "output_shape, odd": (
        (1, 3, 4, 5),
        (3, 2, 4, 4),
        {"strides": [2, 2], "output_shape": [7, 9]},
    ),
    "output_shape, upper": (
        (1, 3, 4, 5),
        (3, 2, 4, 4),
        {"strides": [2, 2], "output_shape": [7, 9], "auto_pad": "SAME_UPPER"},
    ),
    "output_shape, lower": (
        (1, 3, 4, 5),
        (3, 2, 4, 4),
        {"strides": [2, 2], "output_shape": [7, 9], "auto_pad": "SAME_LOWER"},
    ),
    "same upper": ((1, 3, 4, 5), (3, 2, 3, 3), {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    "same lower": ((1, 3, 4, 5), (3, 2, 3, 3), {"strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    "same dilated": (
        (1, 3, 4, 5),
        (3, 2, 3, 3),
        {"strides": [2, 2], "dilations": [1, 2], "auto_pad": "SAME_LOWER"},
    ),
    "valid": ((1, 3, 4, 5), (3, 2, 3, 3), {"strides": [2, 2], "auto_pad": "VALID"}),
    "batch of 2": ((2, 4, 4, 5), (4, 3, 3, 3), {"group": 2, "strides": [2, 2]}),
}


@pytest.mark.parametrize("case", TRANSPOSED)
def test_conv_transpose(case, check_node):
    shape, kernel, attributes = TRANSPOSED[case]
    bias = weights(kernel[1] * attributes.get("group", 1))
    for opset in (7, 11, 22):
        check_node("ConvTranspose", shape, weights(*kernel), bias, opset=opset, **attributes)
