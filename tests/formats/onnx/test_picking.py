"""Entries picked and put by index, triangles, sequences and empty parts, against onnxruntime."""

import numpy as np
import pytest
from onnx import helper

from sensverify.errors import BadModelFile, UnsupportedOperator
from sensverify.formats.onnx import load_onnx

RNG = np.random.default_rng(0)
SHAPE = (1, 3, 4)
LONGEST = [2**31 - 1, 2**63 - 1]


def floats(*shape):
    return RNG.uniform(0.5, 2, size=shape).astype(np.float32)


INDICES = [
    (0, [[0, 1], [0, -1]]),
    (0, [[0, 1, 2], [0, -1, -4]]),
    (0, [[[0], [-1]]]),
    (1, [[[0], [2]]]),
    (1, [[[[0, 1], [2, -1]]]]),
    (2, [[[0], [2], [-1]]]),
]


@pytest.mark.parametrize(("batch", "indices"), INDICES, ids=str)
def test_gather_nd(batch, indices, check_node):
    check_node("GatherND", SHAPE, np.array(indices), batch_dims=batch)


BLOCKS = [[[0, 1], [0, -1]], [[0, 1], [0, 1]], [[[0, 2]]]]
REDUCTIONS = ["none", "add"]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("indices", BLOCKS, ids=str)
def test_scatter_nd(indices, reduction, check_node):
    indices = np.array(indices)
    updates = floats(*indices.shape[:-1], 4)
    if reduction == "none" and indices.tolist() == BLOCKS[1]:
        with pytest.raises(UnsupportedOperator, match="repeats"):
            check_node("ScatterND", SHAPE, indices, updates)
    else:
        check_node("ScatterND", SHAPE, indices, updates, reduction=reduction)


def test_scatter_nd_into_a_constant(make_model, check_equal):
    arrays = {"c": floats(*SHAPE), "i": np.array([[0, 1], [0, -1]])}
    nodes = [helper.make_node("ScatterND", ["c", "i", "x"], ["y"])]
    check_equal(make_model(nodes, (2, 4), arrays))


@pytest.mark.parametrize("indices", [[[0, 1]], [[0, 0]]], ids=str)
def test_scatter_nd_adds_what_depends_on_the_input(indices, make_model, check_equal):
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("Slice", ["r", "zero", "two", "one"], ["s"]),
        helper.make_node("ScatterND", ["x", "i", "s"], ["y"], reduction="add"),
    ]
    arrays = {"zero": np.array([0]), "two": np.array([2]), "one": np.array([1])}
    index = np.array(indices).reshape(1, 2, 1)[..., [0, 0]] * np.array([0, 1])
    check_equal(make_model(nodes, (1, 3), arrays | {"i": index}))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("axis", [1, -1])
def test_scatter_elements(axis, reduction, check_node):
    indices = np.array([[[0, 1, 2, -1]]]) if axis == 1 else np.array([[[0, -1], [3, 2]]])
    updates = floats(*indices.shape)
    check_node("ScatterElements", SHAPE, indices, updates, axis=axis, reduction=reduction)


def test_the_old_scatter(check_node):
    check_node("Scatter", SHAPE, np.array([[[0, 1], [3, 2]]]), floats(1, 2, 2), axis=2, opset=9)


@pytest.mark.parametrize("k", [None, -1, 1, 9])
@pytest.mark.parametrize("upper", [0, 1])
def test_triangles(upper, k, check_node):
    check_node("Trilu", SHAPE, *([] if k is None else [np.array(k)]), upper=upper)


@pytest.mark.parametrize(("batch", "lengths"), [(1, [1, 4, 2]), (0, [3, 1, 0, 2])], ids=str)
def test_reversed_sequences(batch, lengths, check_node):
    shape = (4, 3, 2)
    check_node("ReverseSequence", shape, np.array(lengths), batch_axis=batch, time_axis=1 - batch)


def test_a_diagonal_in_the_shape_of_the_input(make_model, check_equal):
    nodes = [
        helper.make_node("EyeLike", ["x"], ["e"], k=1),
        helper.make_node("Add", ["x", "e"], ["y"]),
    ]
    check_equal(make_model(nodes, (2, 3)))


ENDS = [(-1, -(2**31)), (-1, -(2**63)), *((-1, n) for n in LONGEST), (2**63 - 1, -(2**63))]


@pytest.mark.parametrize("step", [-1, -2])
@pytest.mark.parametrize(("start", "end"), ENDS, ids=str)
def test_slices_backwards_to_the_front(start, end, step, check_node):
    arrays = [np.array([n]) for n in (start, end, 1, step)]
    network = check_node("Slice", (1, 5), *arrays)
    assert network.output_shape == (5 if step == -1 else 3,)


@pytest.mark.parametrize(("start", "end", "step"), [(1, 1, 1), (3, 1, 1), (9, 20, 1), (0, 4, -1)])
def test_slices_without_entries(start, end, step, make_model, check_equal):
    nodes = [
        helper.make_node("Slice", ["x", "s", "e", "a", "t"], ["z"]),
        helper.make_node("Relu", ["z"], ["r"]),
        helper.make_node("Concat", ["r", "x", "z"], ["y"], axis=1),
    ]
    arrays = dict(zip("seat", (np.array([n]) for n in (start, end, 1, step)), strict=True))
    check_equal(make_model(nodes, (1, 5), arrays))


EMPTY = {
    "Add": [helper.make_node("Add", ["b", "n"], ["r"])],
    "Sub": [helper.make_node("Sub", ["n", "b"], ["r"])],
    "Mul": [helper.make_node("Mul", ["b", "n"], ["r"])],
    "Max": [helper.make_node("Max", ["b", "n"], ["r"])],
    "Div": [helper.make_node("Div", ["b", "k"], ["r"])],
    "Where": [helper.make_node("Where", ["t", "b", "n"], ["r"])],
    "Relu": [helper.make_node("Relu", ["b"], ["r"])],
}


@pytest.mark.parametrize("operator", sorted(EMPTY))
def test_a_split_with_a_part_of_no_entries(operator, make_model, check_equal):
    nodes = [
        helper.make_node("Split", ["x", "sizes"], ["a", "b", "c"], axis=1),
        helper.make_node("ReduceSum", ["x", "axis"], ["n"]),
        *EMPTY[operator],
        helper.make_node("Concat", ["c", "r", "a"], ["y"], axis=1),
    ]
    arrays = {"sizes": np.array([2, 0, 3]), "axis": np.array([1]), "k": floats(1, 1)}
    check_equal(make_model(nodes, (1, 5), arrays | {"t": np.array(True)}))


def test_sums_over_no_entries(make_model, check_equal):
    nodes = [
        helper.make_node("Split", ["x", "sizes"], ["a", "b"], axis=1),
        helper.make_node("MatMul", ["b", "w"], ["p"]),
        helper.make_node("ReduceSum", ["b", "axis"], ["s"]),
        helper.make_node("Sum", ["a", "p", "s"], ["y"]),
    ]
    arrays = {"sizes": np.array([5, 0]), "axis": np.array([1]), "w": floats(0, 5)}
    check_equal(make_model(nodes, (1, 5), arrays))


BODY = helper.make_graph(
    [helper.make_node("Mul", ["v", "h"], ["w"])],
    "body",
    [helper.make_tensor_value_info(name, 1, None) for name in "vh"],
    [helper.make_tensor_value_info("w", 1, None)],
)
SEQUENCES = {
    "stacked": [
        helper.make_node("SequenceConstruct", ["x", "a"], ["s"]),
        helper.make_node("ConcatFromSequence", ["s"], ["y"], axis=1, new_axis=1),
    ],
    "taken": [
        helper.make_node("SplitToSequence", ["a", "two"], ["s"], axis=1),
        helper.make_node("SequenceAt", ["s", "minus"], ["y"]),
    ],
    "mapped": [
        helper.make_node("SequenceConstruct", ["x", "a"], ["s"]),
        helper.make_node("SequenceMap", ["s", "half"], ["t"], body=BODY),
        helper.make_node("ConcatFromSequence", ["t"], ["y"], axis=1),
    ],
    "lengths": [
        helper.make_node("SplitToSequence", ["a", "sizes"], ["s"], axis=1),
        helper.make_node("SequenceInsert", ["s", "x", "zero"], ["t"]),
        helper.make_node("ConcatFromSequence", ["t"], ["y"], axis=1),
    ],
    "single": [
        helper.make_node("SplitToSequence", ["a"], ["s"], axis=1, keepdims=0),
        helper.make_node("SequenceErase", ["s", "zero"], ["t"]),
        helper.make_node("SequenceLength", ["t"], ["n"]),
        helper.make_node("Cast", ["n"], ["f"], to=1),
        helper.make_node("SequenceAt", ["t", "zero"], ["v"]),
        helper.make_node("Add", ["v", "f"], ["y"]),
    ],
}


@pytest.mark.parametrize("name", sorted(SEQUENCES))
def test_sequences(name, make_model, check_equal):
    arrays = {"two": np.array(2), "sizes": np.array([1, 0, 4]), "zero": np.array(0)}
    arrays["half"] = np.float32(0.5)
    nodes = [helper.make_node("Relu", ["x"], ["a"]), *SEQUENCES[name]]
    model = make_model(nodes, (1, 5), arrays | {"minus": np.array(-1)})
    if not model.graph.output[0].type.tensor_type.elem_type:
        model.graph.output[0].type.tensor_type.elem_type = 1
    check_equal(model)


OUTSIDE = [
    ("GatherND", [np.array([[0, 3]])]),
    ("ScatterND", [np.array([[0, 3]]), floats(1, 4)]),
    ("ScatterElements", [np.array([[[4]]]), floats(1, 1, 1)]),
    ("ReverseSequence", [np.array([5, 1, 1])]),
]


@pytest.mark.parametrize(("operator", "arrays"), OUTSIDE, ids=[case[0] for case in OUTSIDE])
def test_an_index_outside_is_refused(operator, arrays, make_model, save):
    names = [f"c{i}" for i in range(len(arrays))]
    attributes = {"axis": 2} if operator == "ScatterElements" else {}
    node = helper.make_node(operator, ["x", *names], ["y"], **attributes)
    stored = dict(zip(names, arrays, strict=True))
    with pytest.raises(BadModelFile, match=operator):
        load_onnx(save(make_model([node], SHAPE, stored)))
