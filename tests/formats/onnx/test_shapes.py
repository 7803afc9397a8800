"""Operators that move entries, padding, resizing and folded constants against onnxruntime."""

import numpy as np
import pytest
import torch
from onnx import helper, numpy_helper

from sensverify.bounds import forward_pass
from sensverify.errors import RuntimeDisagrees, UnsupportedOperator
from sensverify.formats.onnx import load_onnx
from tests.pairwise import pairwise


def ints(*values):
    return np.array(values, np.int64)


@pytest.mark.parametrize("opset", [11, 13, 21])
def test_flatten(opset, check_node):
    for axis in (0, 1, 2, 3, 4, -1, -2):
        check_node("Flatten", (1, 2, 3, 4), opset=opset, axis=axis)


@pytest.mark.parametrize("shape", [(1, 24), (-1,), (0, -1), (2, 3, 4), (1, 4, -1, 2), (0, 0, 12)])
def test_reshape(shape, check_node):
    for opset in (7, 13, 19):
        check_node("Reshape", (1, 2, 3, 4), ints(*shape), opset=opset)


@pytest.mark.parametrize("perm", [None, (0, 2, 3, 1), (0, 3, 1, 2), (1, 0, 2, 3), (3, 2, 0, 1)])
def test_transpose(perm, check_node):
    attributes = {} if perm is None else {"perm": perm}
    check_node("Transpose", (1, 2, 3, 4), **attributes)
    check_node("Transpose", (2, 2, 3, 4), **attributes)


@pytest.mark.parametrize("axes", [(0,), (2,), (-1,), (0, 2), None])
def test_squeeze(axes, check_node):
    shape = (1, 3, 1, 2, 1)
    check_node("Squeeze", shape, opset=11, **({} if axes is None else {"axes": axes}))
    check_node("Squeeze", shape, *([] if axes is None else [ints(*axes)]), opset=13)


@pytest.mark.parametrize("axes", [(0,), (2,), (-1,), (0, 3), (3, 0, -1)])
def test_unsqueeze(axes, check_node):
    check_node("Unsqueeze", (1, 3, 2), opset=11, axes=axes)
    check_node("Unsqueeze", (1, 3, 2), ints(*axes), opset=13)


SLICES = [
    ((1,), (3,), (1,), None),
    ((-3,), (-1,), (1,), None),
    ((0,), (2**31 - 1,), (2,), None),
    ((-1000,), (1000,), (1,), None),
    ((0, 1), (1, 4), None, None),
    ((1,), (5,), (1,), (2,)),
    ((-1,), (-(2**31)), (1,), (-1,)),
    ((-1,), (-10000,), (1,), (-1,)),
    ((3,), (0,), (1,), (-2,)),
    ((4, -1), (0, -5), (-2, 2), (-1, -2)),
    ((1000,), (0,), (1,), (-1,)),
]


@pytest.mark.parametrize("case", SLICES, ids=str)
def test_slice(case, check_node):
    starts, ends, axes, steps = case
    ends = ends if isinstance(ends, tuple) else (ends,)
    shape = (1, 5, 6)
    if steps is None and (axes is None or min(axes) >= 0):
        given = {} if axes is None else {"axes": axes}
        check_node("Slice", shape, opset=7, starts=starts, ends=ends, **given)
    rest = [None if v is None else ints(*v) for v in (axes, steps)]
    if axes is None and steps is None:
        rest = []
    for opset in (10, 13):
        check_node("Slice", shape, ints(*starts), ints(*ends), *rest, opset=opset)


@pairwise(opset=[7, 11, 13, 18], sizes=[(2, 2, 2), (1, 3, 2), None], axis=[1, -1])
def test_split(sizes, opset, axis, check_equal, make_model):
    shape = (1, 6, 6)
    names, constants, attributes = ["x"], {}, {"axis": axis}
    if sizes is not None and opset < 13:
        attributes["split"] = sizes
    elif sizes is not None:
        names, constants = ["x", "s"], {"s": ints(*sizes)}
    elif opset >= 18:
        attributes["num_outputs"] = 3
    nodes = [
        helper.make_node("Split", names, ["a", "b", "c"], **attributes),
        helper.make_node("Concat", ["c", "a", "b"], ["y"], axis=axis),
    ]
    if axis == -1 and opset < 11:
        nodes[1].attribute[0].i = 2
        nodes[0].attribute[[a.name for a in nodes[0].attribute].index("axis")].i = 2
    check_equal(make_model(nodes, shape, constants, opset=opset))


def test_split_with_a_smaller_last_part(check_equal, make_model):
    nodes = [
        helper.make_node("Split", ["x"], ["a", "b", "y"], axis=1, num_outputs=3),
    ]
    check_equal(make_model(nodes, (1, 7), {}, opset=18))


@pytest.mark.parametrize("indices", [0, -1, [0, 2], [[-1, 0], [1, -3]]], ids=str)
@pytest.mark.parametrize("axis", [1, 2, -1])
def test_gather(indices, axis, check_node):
    check_node("Gather", (1, 3, 4), np.array(indices, np.int64), axis=axis, opset=13)


@pytest.mark.parametrize("axis", [1, 2, -1])
def test_gather_elements(axis, check_node):
    indices = np.array([[[0, -1, 2], [1, 0, -2]]], np.int64)
    check_node("GatherElements", (1, 3, 4), indices, axis=axis, opset=13)


@pytest.mark.parametrize("shape", [(1, 3, 4), (2, 3, 4), (1, 1, 4), (5, 1, 3, 4), (1,)], ids=str)
def test_expand(shape, check_node):
    check_node("Expand", (1, 3, 1), ints(*shape), opset=13)


def test_tile(check_node):
    check_node("Tile", (1, 2, 3), ints(2, 1, 3), opset=13)


@pytest.mark.parametrize("operator", ["DepthToSpace", "SpaceToDepth"])
@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_and_space(operator, mode, check_node):
    attributes = {"mode": mode} if operator == "DepthToSpace" else {}
    check_node(operator, (1, 8, 4, 6), blocksize=2, opset=13, **attributes)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_concat_with_constants(axis, check_equal, make_model):
    constant = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Concat", ["a", "c", "x"], ["y"], axis=axis),
    ]
    check_equal(make_model(nodes, (1, 3, 4), {"c": constant}))


def test_an_output_that_ignores_the_input(check_equal, make_model):
    nodes = [helper.make_node("Relu", ["c"], ["y"])]
    check_equal(make_model(nodes, (1, 3), {"c": np.array([[-1.0, 2.0]], np.float32)}))


@pytest.mark.parametrize("opset", [7, 12, 13])
def test_dropout(opset, check_node):
    if opset < 12:
        check_node("Dropout", (1, 3), opset=opset, ratio=0.3)
    else:
        check_node("Dropout", (1, 3), np.float32(0.3), np.array(False), opset=opset)
        with pytest.raises(UnsupportedOperator, match="training"):
            check_node("Dropout", (1, 3), np.float32(0.3), np.array(True), opset=opset)


PADS = [(0, 0, 1, 2, 0, 0, 3, 0), (0, 1, 0, 0, 0, 0, 0, 2), (1, 0, 0, 0, 1, 0, 0, 1), (0,) * 8]


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge", "wrap"])
@pytest.mark.parametrize("pads", [(0, 0, 1, 2, 0, 0, 3, 0), (0, 1, 2, 0, 0, 1, 0, 1)], ids=str)
def test_pad(mode, pads, check_node):
    if mode != "wrap":
        check_node("Pad", (1, 2, 4, 5), opset=7, mode=mode, pads=pads)
    for opset in (19,) if mode == "wrap" else (11, 18, 19):
        check_node("Pad", (1, 2, 4, 5), ints(*pads), opset=opset, mode=mode)


@pytest.mark.parametrize("pads", [*PADS, (0, 0, -1, 2, 0, -1, 3, -2)], ids=str)
def test_constant_pad(pads, check_node):
    check_node("Pad", (1, 2, 4, 5), ints(*pads), np.float32(1.5), opset=13)
    check_node("Pad", (1, 2, 4, 5), opset=8, pads=pads, value=-0.5)


def test_pad_along_some_axes(check_node):
    check_node("Pad", (1, 2, 4), ints(1, 0, 2, 3), np.float32(2), ints(2, -2), opset=18)


@pytest.mark.parametrize(
    "scales", [(1.0, 1.0, 2.0, 3.0), (1.0, 1.0, 1.5, 0.6), (1.0, 1.0, 2.7, 1.0)], ids=str
)
def test_upsample_nearest(scales, check_node):
    values = np.array(scales, np.float32)
    if min(scales) >= 1:
        check_node("Upsample", (1, 2, 4, 5), opset=8, mode="nearest", scales=scales)
        check_node("Upsample", (1, 2, 4, 5), values, opset=9, mode="nearest")
    check_node("Resize", (1, 2, 4, 5), values, opset=10, mode="nearest")


ROUNDINGS = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]
TRANSFORMS = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]


@pytest.fixture
def check_nearest(check_node):
    """Assert that an interpolation by the nearest entry is onnxruntime's."""

    def check(rounding, transform, scales, opset):
        names = {"nearest_mode": rounding, "coordinate_transformation_mode": transform}
        arrays = (np.zeros(0, np.float32), np.array(scales, np.float32))
        check_node("Resize", (1, 2, 4, 5), *arrays, opset=opset, mode="nearest", **names)

    return check


@pairwise(
    rounding=ROUNDINGS,
    transform=TRANSFORMS,
    scales=[(1, 1, 2, 3), (1, 1, 2.7, 0.3)],
    opset=[11, 13, 19],
)
def test_resize_nearest(rounding, transform, scales, opset, check_nearest):
    check_nearest(rounding, transform, scales, opset)


@pairwise(rounding=ROUNDINGS, transform=TRANSFORMS, opset=[11, 13, 19])
def test_resize_nearest_at_a_rounding_boundary(rounding, transform, opset, check_nearest):
    """1.5 / 0.6 - 0.5 is 2 in single precision, and below 2 for the 0.6 that is stored."""
    scales = (1, 1, 1.5, 0.6)
    if "half" in transform and "round" not in rounding:
        with pytest.raises(UnsupportedOperator, match="rounding boundary"):
            check_nearest(rounding, transform, scales, opset)
    else:
        check_nearest(rounding, transform, scales, opset)


BOUNDARY = {"nearest_mode": "round_prefer_ceil", "coordinate_transformation_mode": "asymmetric"}


@pytest.mark.parametrize("target", [4, 6, 12])
def test_ties_of_inexact_scales_are_refused(target, check_node):
    with pytest.raises(UnsupportedOperator, match="rounding boundary"):
        check_node("Resize", (1, 7), None, None, ints(1, target), mode="nearest", **BOUNDARY)


def test_ties_of_exact_scales_are_resolved(check_node):
    check_node("Resize", (1, 7), None, None, ints(1, 14), mode="nearest", **BOUNDARY)
    check_node("Resize", (1, 8), None, None, ints(1, 6), mode="nearest", **BOUNDARY)


@pytest.mark.parametrize("scale", [1.1, 1.19])
def test_a_scale_that_keeps_the_length_is_refused(scale, check_node):
    scales = np.array([1, scale], np.float32)
    with pytest.raises(UnsupportedOperator, match="that keeps 5 entries"):
        check_node("Resize", (1, 5), None, scales, mode="nearest", nearest_mode="ceil")


def test_a_length_that_depends_on_rounding_is_refused(check_node):
    scales = np.array([1, 0.7], np.float32)
    with pytest.raises(UnsupportedOperator, match="no definite length"):
        check_node("Resize", (1, 10), None, scales, mode="nearest")


@pytest.mark.parametrize("sizes", [(1, 2, 8, 5), (1, 2, 3, 7), (1, 2, 1, 1)], ids=str)
def test_resize_to_sizes(sizes, check_node):
    check_node("Resize", (1, 2, 4, 5), None, None, ints(*sizes), opset=13, mode="nearest")


def test_resize_along_some_axes(check_node):
    scales = np.array([2, 1.5], np.float32)
    check_node("Resize", (1, 2, 4, 5), None, scales, opset=18, mode="nearest", axes=[3, 2])


def value(array):
    return numpy_helper.from_array(np.asarray(array))


def test_shapes_computed_in_the_graph(check_equal, make_model):
    """Graphs that exporters write for ``x.view(x.size(0), -1)`` and for ``expand``."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Constant", [], ["zero"], value=value(np.int64(0))),
        helper.make_node("Gather", ["s", "zero"], ["n"], axis=0),
        helper.make_node("Constant", [], ["axes"], value=value(ints(0))),
        helper.make_node("Unsqueeze", ["n", "axes"], ["n1"]),
        helper.make_node("Constant", [], ["rest"], value=value(ints(-1))),
        helper.make_node("Concat", ["n1", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["flat"]),
        helper.make_node("ConstantOfShape", ["two"], ["ones"], value=value(ints(1))),
        helper.make_node("Constant", [], ["minus"], value=value(ints(-1))),
        helper.make_node("Mul", ["ones", "minus"], ["negative"]),
        helper.make_node("Equal", ["wanted", "negative"], ["free"]),
        helper.make_node("Where", ["free", "ones", "wanted"], ["shape"]),
        helper.make_node("Expand", ["flat", "shape"], ["y"]),
    ]
    constants = {"two": ints(2), "wanted": ints(3, -1)}
    check_equal(make_model(nodes, (1, 2, 3), constants))


def test_arithmetic_on_shapes(check_equal, make_model):
    nodes = [
        helper.make_node("Shape", ["x"], ["s"], start=1),
        helper.make_node("Cast", ["s"], ["f"], to=1),
        helper.make_node("Div", ["f", "half"], ["d"]),
        helper.make_node("Floor", ["d"], ["g"]),
        helper.make_node("Cast", ["g"], ["i"], to=7),
        helper.make_node("Slice", ["i", "zero", "one"], ["end"]),
        helper.make_node("Slice", ["x", "zero", "end", "one"], ["y"]),
    ]
    constants = {"half": np.float32(2), "zero": ints(0), "one": ints(1)}
    check_equal(make_model(nodes, (1, 5, 3), constants))


def test_a_range_of_indices(check_equal, make_model):
    nodes = [
        helper.make_node("Range", ["start", "limit", "delta"], ["i"]),
        helper.make_node("Gather", ["x", "i"], ["y"], axis=1),
    ]
    constants = {"start": np.int64(4), "limit": np.int64(-1), "delta": np.int64(-2)}
    check_equal(make_model(nodes, (1, 5, 3), constants))


def test_a_symbolic_batch_axis_is_one(check_equal, make_model):
    nodes = [helper.make_node("Flatten", ["x"], ["y"])]
    network = check_equal(make_model(nodes, ("batch", 2, 3), {}))
    assert network.input_shape == (2, 3)
    assert network.output_shape == (6,)


def test_an_output_left_out_is_not_an_input_left_out(make_model, save):
    """Both are written as an empty name; onnxruntime crashes on this graph."""
    nodes = [
        helper.make_node("Split", ["c", "sizes"], ["", "b"], axis=0),
        helper.make_node("Clip", ["x", "", "high"], ["a"]),
        helper.make_node("Add", ["a", "b"], ["y"]),
    ]
    parts = np.array([0.25, 0.0], np.float32)
    constants = {"c": parts, "sizes": np.array([1, 1]), "high": np.float32(0.5)}
    path = save(make_model(nodes, (1, 3), constants))
    with pytest.raises(RuntimeDisagrees, match="output 0 has no name, which ends onnxruntime"):
        load_onnx(path)
    network = load_onnx(path, runtime_check=False)
    outputs = forward_pass(network, torch.tensor([[-1.0, 0.0, 1.0]]))
    assert outputs.tolist() == [[-1.0, 0.0, 0.5]]
