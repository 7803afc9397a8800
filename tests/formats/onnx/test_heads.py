"""Heads of classifiers: cut off, named, and compared with what onnxruntime makes of the file."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from sensverify.bounds import forward_pass
from sensverify.errors import BadModelFile, RuntimeDisagrees, UnsupportedOperator
from sensverify.formats.onnx import Ends, importer, load_onnx, part, read_onnx
from sensverify.formats.onnx.original import OriginalFile
from tests.formats.onnx.conftest import session

ML = "ai.onnx.ml"
RNG = np.random.default_rng(0)
W = RNG.normal(size=(4, 3)).astype(np.float32)
ONE = RNG.normal(size=(4, 1)).astype(np.float32)
NAMES = ["setosa", "versicolor", "virginica"]
PEEL, ORDER = Ends(head="peel"), Ends(head="order")


def node(kind, inputs, outputs, domain="", **attributes):
    return helper.make_node(kind, inputs, outputs, domain=domain, **attributes)


LINEAR = node("MatMul", ["x", "w"], ["z"])
PROBABILITIES = [LINEAR, node("Softmax", ["z"], ["p"], axis=1)]
TWO = [
    node("MatMul", ["x", "one"], ["z"]),
    node("Sigmoid", ["z"], ["q"]),
    node("Sub", ["unity", "q"], ["r"]),
    node("Concat", ["r", "q"], ["p"], axis=1),
]


def label(values, **places):
    """The nodes after probabilities that give the name of the largest one."""
    return [
        node("ArgMax", ["p"], ["place"], axis=1, **places),
        node("ArrayFeatureExtractor", [values, "place"], ["picked"], ML),
        node("Reshape", ["picked", "flat"], ["label"]),
    ]


def zip_map(**classes):
    return node("ZipMap", ["p"], ["maps"], ML, **classes)


def linear(count, transform):
    """A linear classifier of as many rows."""
    rows = W.T if count == 3 else np.concatenate([-ONE.T, ONE.T])
    return node(
        "LinearClassifier",
        ["x"],
        ["label", "p"],
        ML,
        classlabels_ints=list(range(5, 5 + count)),
        coefficients=rows.reshape(-1).tolist(),
        intercepts=[0.5, -0.25, 0.125][:count],
        multi_class=int(count > 2),
        post_transform=transform,
    )


FILES = {
    "softmax": (PROBABILITIES, ["p"], "softmax", ()),
    "logarithm": ([LINEAR, node("LogSoftmax", ["z"], ["p"], axis=1)], ["p"], "softmax", ()),
    "argmax": ([LINEAR, node("ArgMax", ["z"], ["y"], axis=1, keepdims=0)], ["y"], None, ()),
    "argmax of softmax": (
        [*PROBABILITIES, node("ArgMax", ["p"], ["y"], axis=1)],
        ["y"],
        "softmax",
        (),
    ),
    "one logit": ([*TWO[:2]], ["q"], "softmax", ()),
    "label": ([*PROBABILITIES, *label("names")], ["label"], "softmax", tuple(NAMES)),
    "label and map": (
        [*PROBABILITIES, *label("numbers"), zip_map(classlabels_int64s=[7, 8, 9])],
        ["label", "maps"],
        "softmax",
        ("7", "8", "9"),
    ),
    "map": (
        [*PROBABILITIES, zip_map(classlabels_strings=NAMES)],
        ["maps"],
        "softmax",
        tuple(NAMES),
    ),
    "two classes": (
        [*TWO, *label("two"), zip_map(classlabels_int64s=[0, 1])],
        ["label", "maps"],
        "softmax",
        ("0", "1"),
    ),
    "two probabilities": (TWO, ["p"], "softmax", ()),
    "linear": ([linear(3, "SOFTMAX")], ["label", "p"], "softmax", ("5", "6", "7")),
    "linear, logistic": ([linear(2, "LOGISTIC")], ["label", "p"], "sigmoid", ("5", "6")),
    "linear, scores": ([linear(3, "NONE")], ["label", "p"], None, ("5", "6", "7")),
    "linear, one against the rest": (
        [linear(3, "LOGISTIC"), node("Normalizer", ["p"], ["shares"], ML, norm="L1")],
        ["label", "shares"],
        "shares",
        ("5", "6", "7"),
    ),
}
KINDS = {"label": TensorProto.STRING, "y": TensorProto.INT64}


def classifier(name):
    """A file of `FILES`."""
    nodes, outputs, _, classes = FILES[name]
    constants = {"w": W, "one": ONE, "unity": np.ones(1, np.float32), "flat": np.array([-1])}
    constants |= {"numbers": np.array([7, 8, 9]), "two": np.array([0, 1])}
    stored = [numpy_helper.from_array(values, key) for key, values in constants.items()]
    stored.append(helper.make_tensor("names", TensorProto.STRING, [3], [n.encode() for n in NAMES]))
    used = {value for node in nodes for value in node.input}
    made = []
    for output in outputs:
        if output == "maps":
            key = TensorProto.STRING if classes == tuple(NAMES) else TensorProto.INT64
            kind = helper.make_map_type_proto(
                key, helper.make_tensor_type_proto(TensorProto.FLOAT, [])
            )
            made.append(helper.make_value_info("maps", helper.make_sequence_type_proto(kind)))
            continue
        kind = KINDS.get(output, TensorProto.FLOAT)
        if output == "label" and classes != tuple(NAMES):
            kind = TensorProto.INT64
        axes = ["n"] if output == "label" else ["n", None]
        axes = ["n"] if name == "argmax" else axes
        made.append(helper.make_tensor_value_info(output, kind, axes))
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        made,
        [tensor for tensor in stored if tensor.name in used],
    )
    versions = [helper.make_opsetid("", 17), helper.make_opsetid(ML, 3)]
    return helper.make_model(graph, opset_imports=versions, ir_version=8)


@pytest.mark.parametrize("name", sorted(FILES))
def test_labels_and_probabilities_are_the_files(name, save):
    _, _, function, classes = FILES[name]
    made = classifier(name)
    onnx.checker.check_model(made)
    found = read_onnx(save(made), ends=PEEL)
    assert (found.head.function, found.head.classes) == (function, classes)
    points = np.random.default_rng(1).normal(size=(20, 4)).astype(np.float32)
    logits = forward_pass(found.network, torch.from_numpy(points)).numpy()
    ours = found.head.probabilities(logits)
    runner = session(made)
    for point, mine in zip(points, ours, strict=True):
        for value in runner.run(None, {"x": point[None]}):
            if isinstance(value, list):
                assert list(value[0].values()) == pytest.approx(mine, abs=1e-5)
            elif value.dtype.kind == "f" and function is not None:
                expected = np.log(mine) if name == "logarithm" else mine
                theirs = value.reshape(-1)
                assert theirs == pytest.approx(expected[-theirs.size :], abs=1e-5)
            elif value.dtype.kind != "f":
                names = classes or [str(i) for i in range(len(mine))]
                assert str(value.reshape(-1)[0]) == names[int(mine.argmax())]


@pytest.mark.parametrize("name", ["one logit", "two classes", "two probabilities"])
def test_one_logit_makes_two_whose_difference_it_is(name, save):
    found = read_onnx(save(classifier(name)), ends=PEEL)
    assert (found.head.single, found.head.logits, found.network.output_shape) == (True, 2, (2,))
    points = np.random.default_rng(2).normal(size=(5, 4)).astype(np.float32)
    ours = forward_pass(found.network, torch.from_numpy(points)).numpy()
    np.testing.assert_allclose(ours[:, 1] - ours[:, 0], (points @ ONE)[:, 0], rtol=1e-5, atol=1e-6)


def test_one_softmax_or_several_operators_are_named(save):
    assert str(read_onnx(save(classifier("softmax")), ends=PEEL).head) == "Softmax"
    head = read_onnx(save(classifier("argmax of softmax")), ends=PEEL).head
    assert str(head) == "Softmax and ArgMax"


ENDS = {
    "plain": ([node("{}", ["z"], ["y"], axis=1)], 17),
    "old": ([node("{}", ["z"], ["y"])], 11),
    "identity": ([node("{}", ["z"], ["p"]), node("Identity", ["p"], ["y"])], 17),
    "flattened": (
        [
            node("{}", ["z"], ["p"]),
            node("Flatten", ["p"], ["f"]),
            node("Dropout", ["f"], ["y"]),
        ],
        13,
    ),
}


def softmax_model(make_model, kind, name):
    end, opset = ENDS[name]
    nodes = [LINEAR]
    for each in end:
        copy = type(each)()
        copy.CopyFrom(each)
        copy.op_type = kind if each.op_type == "{}" else each.op_type
        nodes.append(copy)
    return make_model(nodes, (1, 4), {"w": W}, opset=opset)


@pytest.mark.parametrize("kind", ["LogSoftmax", "Softmax"])
@pytest.mark.parametrize("name", sorted(ENDS))
def test_the_order_is_that_of_the_file(name, kind, make_model, save):
    made = softmax_model(make_model, kind, name)
    path = save(made)
    found = read_onnx(path, ends=ORDER)
    assert str(found.head) == kind
    points = np.random.default_rng(1).normal(size=(20, 4)).astype(np.float32)
    runner = session(made)
    theirs = np.stack([runner.run(None, {"x": x[None]})[0].reshape(-1) for x in points])
    ours = forward_pass(found.network, torch.from_numpy(points)).numpy()
    np.testing.assert_array_equal(ours.argsort(axis=1), theirs.argsort(axis=1))
    # Where it is not cut off, it is an operator as others.
    for simplified in (True, False):
        whole = read_onnx(path, simplified=simplified)
        assert whole.head is None
        values = forward_pass(whole.network, torch.from_numpy(points)).numpy()
        np.testing.assert_allclose(values, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["argmax", "one logit", "linear"])
def test_nothing_but_a_softmax_keeps_the_order_of_all_outputs(name, save):
    path = save(classifier(name))
    if name == "one logit":
        assert read_onnx(path, ends=ORDER).head is None
    else:
        with pytest.raises((UnsupportedOperator, BadModelFile)):
            read_onnx(path, ends=ORDER)


def test_a_cast_of_probabilities_to_integers_is_no_label(make_model, save):
    made = make_model(
        [*TWO[:2], node("Cast", ["q"], ["y"], to=TensorProto.INT64)], (1, 4), {"one": ONE}
    )
    made.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    with pytest.raises((UnsupportedOperator, BadModelFile, RuntimeDisagrees)):
        read_onnx(save(made), ends=PEEL)


def test_several_sigmoids_need_not_be_classes(make_model, save):
    made = make_model([LINEAR, node("Sigmoid", ["z"], ["y"])], (1, 4), {"w": W})
    found = read_onnx(save(made), ends=PEEL)
    assert found.head is None
    assert float(forward_pass(found.network, torch.zeros(1, 4)).max()) == 0.5


def test_which_of_several_sigmoids_is_the_largest_is_decided_on_them(make_model, save):
    """Beyond 17 or so all of them are 1, and the first one is taken."""
    nodes = [LINEAR, node("Sigmoid", ["z"], ["p"]), node("ArgMax", ["p"], ["y"], axis=1)]
    made = make_model(nodes, (1, 4), {"w": W})
    made.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    found = read_onnx(save(made), ends=PEEL)
    assert (found.head.operators, found.head.function) == (("ArgMax",), None)
    outputs = forward_pass(found.network, torch.from_numpy(np.eye(4, dtype=np.float32)))
    np.testing.assert_allclose(outputs, 1 / (1 + np.exp(-W)), rtol=1e-5)


def with_nodes(make_model, *nodes, output):
    """A model of logits with nodes of any domain behind them."""
    made = make_model([LINEAR, node("Identity", ["z"], ["y"])], (1, 4), {"w": W})
    made.opset_import.append(helper.make_opsetid(ML, 3))
    del made.graph.node[1:], made.graph.output[:]
    made.graph.node.extend(nodes)
    made.graph.output.append(output)
    return made


def test_a_normalizer_of_logits_is_no_head(make_model, save):
    """Divided by the largest of negative numbers, the smallest is the largest."""
    nodes = node("Normalizer", ["z"], ["p"], ML, norm="MAX"), node("ArgMax", ["p"], ["y"], axis=1)
    output = helper.make_tensor_value_info("y", TensorProto.INT64, (1, 1))
    with pytest.raises(UnsupportedOperator, match="Normalizer"):
        read_onnx(save(with_nodes(make_model, *nodes, output=output)), ends=PEEL)


@pytest.mark.parametrize("kind", ["classlabels_strings", "classlabels_int64s"])
def test_a_map_keeps_the_order_of_its_classes(kind, make_model, save):
    """Which onnxruntime does not: it sorts their names."""
    values = ["c", "a", "b"] if kind == "classlabels_strings" else [7, 9, 8]
    key = TensorProto.STRING if kind == "classlabels_strings" else TensorProto.INT64
    entry = helper.make_map_type_proto(key, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    output = helper.make_value_info("maps", helper.make_sequence_type_proto(entry))
    nodes = PROBABILITIES[1], zip_map(**{kind: values})
    path = save(with_nodes(make_model, *nodes, output=output))
    found = read_onnx(path, ends=PEEL)
    assert found.head.classes == tuple(map(str, values))
    point = np.array([1.0, 0, 0, 0], dtype=np.float32)
    scores = OriginalFile(path, PEEL, found.head).outputs(point)
    np.testing.assert_allclose(scores, found.head.probabilities(W[:1])[0], rtol=1e-5)


def test_a_softmax_inside_is_no_head(make_model, save):
    nodes = [
        helper.make_node("Softmax", ["x"], ["p"], name="inside"),
        node("MatMul", ["p", "w"], ["y"]),
    ]
    assert read_onnx(save(make_model(nodes, (1, 4), {"w": W})), ends=PEEL).head is None


@pytest.mark.parametrize("ends", [ORDER, PEEL])
def test_a_softmax_over_a_part_of_the_outputs_is_refused(ends, make_model, save):
    nodes = [node("Softmax", ["x"], ["y"], axis=2)]
    with pytest.raises(BadModelFile, match="3 of 6 outputs"):
        read_onnx(save(make_model(nodes, (1, 2, 3))), ends=ends)


def test_an_argmax_over_a_part_of_the_outputs_is_refused(save, make_model):
    made = make_model([node("ArgMax", ["x"], ["y"], axis=2)], (1, 2, 3))
    made.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    path = save(made)
    for check in (True, False):
        with pytest.raises(BadModelFile, match="3 of 6 outputs"):
            read_onnx(path, ends=PEEL, runtime_check=check)


def test_a_softmax_of_constants_is_no_end(make_model, save):
    made = make_model([node("Softmax", ["w"], ["y"], axis=1)], (1, 4), {"w": W[:1]})
    found = read_onnx(save(made), ends=PEEL)
    assert found.head is None
    expected = np.exp(W[0]) / np.exp(W[0]).sum()
    ours = forward_pass(found.network, torch.zeros(1, 4)).numpy()[0]
    np.testing.assert_allclose(ours, expected, rtol=1e-6)


def test_labels_of_two_ends_are_no_head(make_model, save):
    """An argmax of other numbers than the softmax is taken of."""
    made = classifier("label and map")
    made.graph.node[2].input[0] = "z2"
    made.graph.node.insert(1, node("Neg", ["z"], ["z2"]))
    with pytest.raises(BadModelFile) as caught:
        read_onnx(save(made), ends=PEEL)
    assert "label, maps" in caught.value.problem
    assert "`output`" in caught.value.remedy


@pytest.mark.parametrize("name", ["softmax", "label", "map", "linear"])
def test_what_is_cut_off_is_compared_with_onnxruntime(name, save, monkeypatch):
    """Logits in another order than the file's labels and probabilities are found."""
    real = part.run_session

    def turned(runner, names, inputs):
        found = real(runner, names, inputs)
        return found if names else [found[0][:, ::-1]]

    monkeypatch.setattr(part, "run_session", turned)
    monkeypatch.setattr(importer, "_AGREED", set())
    with pytest.raises(RuntimeDisagrees, match="as a whole"):
        read_onnx(save(classifier(name)), ends=PEEL)


def test_an_output_is_chosen_by_name(save):
    path = save(classifier("label and map"))
    with pytest.raises(BadModelFile) as caught:
        load_onnx(path)
    assert "label, maps" in caught.value.problem
    logits = load_onnx(path, output="z")
    assert logits.output_shape == (3,)
    assert read_onnx(path, ends=Ends(output="maps", head="peel")).head.classes == ("7", "8", "9")
    with pytest.raises(BadModelFile, match=r"'labell'.*did you mean 'label'"):
        load_onnx(path, output="labell")
