"""Branches whose condition is known, and functions that a model defines itself."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from sensverify.errors import BadModelFile, UnsupportedOperator
from sensverify.formats.onnx import functions, load_onnx

W = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)


def branch(nodes, outputs, constants=None):
    return helper.make_graph(
        nodes,
        "branch",
        [],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in (constants or {}).items()],
    )


RELU = branch([helper.make_node("Relu", ["x"], ["t"])], ["t"])
TANGENT = branch([helper.make_node("Tan", ["x"], ["e"], name="tangent")], ["e"])


def if_(condition, outputs, then, other, name="node"):
    return helper.make_node(
        "If", [condition], outputs, name=name, then_branch=then, else_branch=other
    )


@pytest.mark.parametrize("condition", [np.array(True), np.array([True])], ids=str)
def test_the_branch_that_is_not_taken_may_hold_anything(condition, make_model, check_equal):
    check_equal(make_model([if_("c", ["y"], RELU, TANGENT)], (1, 3), {"c": condition}))
    turned = make_model([if_("c", ["y"], TANGENT, RELU)], (1, 3), {"c": ~condition})
    check_equal(turned)


def test_a_condition_on_a_shape(make_model, check_equal):
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "one"], ["d"]),
        helper.make_node("Equal", ["d", "three"], ["c"]),
        if_("c", ["y"], RELU, TANGENT),
    ]
    check_equal(make_model(nodes, (1, 3), {"one": np.array(1), "three": np.array(3)}))


def test_what_only_the_other_branch_reads_may_be_anything(make_model, check_equal):
    other = branch([helper.make_node("Relu", ["q"], ["e"])], ["e"])
    nodes = [helper.make_node("Sin", ["x"], ["q"]), if_("c", ["y"], RELU, other)]
    check_equal(make_model(nodes, (1, 3), {"c": np.array(True)}))


def test_nested_branches_read_what_is_around_them(make_model, check_equal):
    product = branch([helper.make_node("MatMul", ["r", "w"], ["p"])], ["p"], {"w": W})
    inner = [helper.make_node("Neg", ["x"], ["r"]), if_("d", ["i"], product, TANGENT)]
    nodes = [if_("c", ["a"], branch(inner, ["i"]), TANGENT), helper.make_node("Relu", ["a"], ["y"])]
    check_equal(make_model(nodes, (1, 3), {"c": np.array(True), "d": np.array(True)}))


def test_several_outputs_and_names_used_twice(make_model, check_equal):
    def both(sign):
        nodes = [
            helper.make_node("Relu" if sign else "Neg", ["x"], ["t"]),
            helper.make_node("Identity", ["k"], ["u"]),
        ]
        return branch(nodes, ["t", "u"], {"k": np.ones(3, np.float32)})

    nodes = [
        if_("c", ["a", "b"], both(True), both(False), "first"),
        if_("d", ["e", "f"], both(True), both(False), "second"),
        helper.make_node("Sum", ["a", "b", "e", "f"], ["y"]),
    ]
    check_equal(make_model(nodes, (1, 3), {"c": np.array(True), "d": np.array(False)}))


def test_a_condition_that_depends_on_the_input_is_refused(make_model, save):
    nodes = [helper.make_node("Cast", ["x"], ["c"], to=TensorProto.BOOL, name="cast")]
    path = save(make_model([*nodes, if_("c", ["y"], RELU, RELU)], (1,)))
    with pytest.raises(UnsupportedOperator, match=r"Cast \(node 'cast'\)"):
        load_onnx(path)


def test_the_branch_that_is_taken_is_refused_by_its_own_node(make_model, save):
    path = save(make_model([if_("c", ["y"], TANGENT, RELU)], (1, 3), {"c": np.array(True)}))
    with pytest.raises(UnsupportedOperator, match=r"operator Tan \(node 'tangent'\)"):
        load_onnx(path)


VERSIONS = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]


def function(name, nodes, inputs=("a",), outputs=("b",)):
    return helper.make_function("local", name, list(inputs), list(outputs), nodes, VERSIONS)


def call(name, inputs, outputs, **attributes):
    return helper.make_node(name, inputs, outputs, domain="local", **attributes)


def with_functions(nodes, defined, constants=None):
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "test",
        [info("x", TensorProto.FLOAT, (1, 3))],
        [info("y", TensorProto.FLOAT, (1, 3))],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in (constants or {}).items()],
    )
    return helper.make_model(graph, functions=defined, opset_imports=VERSIONS, ir_version=9)


SHRINK = function(
    "Shrink", [helper.make_node("Relu", ["a"], ["h"]), helper.make_node("Neg", ["h"], ["b"])]
)
TWICE = function("Twice", [call("Shrink", ["a"], ["h"]), call("Shrink", ["h"], ["b"])])


def test_a_function_called_twice(check_equal):
    check_equal(
        with_functions([call("Shrink", ["x"], ["h"]), call("Shrink", ["h"], ["y"])], [SHRINK])
    )


@pytest.mark.parametrize("defined", [[SHRINK, TWICE], [TWICE, SHRINK]], ids=["before", "after"])
def test_a_function_that_calls_another(defined, check_equal):
    check_equal(with_functions([call("Twice", ["x"], ["y"])], defined))


def test_a_function_with_a_branch(check_equal):
    then = branch([helper.make_node("Relu", ["a"], ["t"])], ["t"])
    other = branch([helper.make_node("Sin", ["a"], ["e"])], ["e"])
    chosen = function("Chosen", [if_("c", ["b"], then, other)], inputs=("a", "c"))
    nodes = [call("Chosen", ["x", "k"], ["h"]), call("Chosen", ["h", "k"], ["y"])]
    check_equal(with_functions(nodes, [chosen], {"k": np.array(True)}))


@pytest.mark.parametrize("names", ["A", "AB", "ABC"])
def test_a_function_that_calls_itself_is_refused(names, save):
    defined = [
        function(name, [call(names[(i + 1) % len(names)], ["a"], ["b"])])
        for i, name in enumerate(names)
    ]
    model = with_functions([call("A", ["x"], ["y"])], defined)
    with pytest.raises(BadModelFile, match=r"[Cc]ycle|calls itself"):
        load_onnx(save(model))
    with pytest.raises(BadModelFile, match="calls itself"):
        functions.inlined(model)


def test_functions_that_grow_without_measure_are_refused(save):
    """Forty functions of two nodes come to a million million."""
    defined = [
        function(f"F{i}", [call(f"F{i + 1}", ["a"], ["h"]), call(f"F{i + 1}", ["h"], ["b"])])
        for i in range(40)
    ]
    defined.append(function("F40", [helper.make_node("Relu", ["a"], ["b"])]))
    with pytest.raises(BadModelFile, match="1099511627776 nodes"):
        load_onnx(save(with_functions([call("F0", ["x"], ["y"])], defined)))


def test_a_function_in_the_place_of_a_standard_operator_is_refused(save):
    nodes = [helper.make_node("Neg", ["a"], ["b"])]
    own = helper.make_function("", "Relu", ["a"], ["b"], nodes, VERSIONS[:1])
    model = with_functions([helper.make_node("Relu", ["x"], ["y"])], [own])
    with pytest.raises(UnsupportedOperator, match="'Relu' has the name of a standard operator"):
        load_onnx(save(model))
