"""The lists of operators are those of the code."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from onnx.shape_inference import InferenceError

from sensverify.errors import SensverifyError
from sensverify.formats.onnx import load_onnx
from sensverify.network.operators import Input, Product, Share, Smooth, Steps
from sensverify.verification.support import (
    EVERY,
    EXAMPLES,
    onnx_operators,
    operator_support,
    torch_operators,
)
from tests.contracts.operators import concrete
from tests.formats.onnx.random_nodes import KINDS, random_model


def test_there_is_an_example_of_every_operator() -> None:
    assert [type(each) for each, *_ in EXAMPLES] == concrete()


@pytest.mark.parametrize("kind", KINDS)
def test_nodes_become_no_operators_that_a_method_does_not_know(kind: str, save: Any) -> None:
    listed = {name: operator for name, operator, _ in onnx_operators()}
    known, seen = operator_support(), 0
    for seed in range(20):
        try:
            model = random_model(kind, seed)
            network = load_onnx(save(model), runtime_check=False)
        except (SensverifyError, InferenceError):
            # Not every draw is a valid node.
            continue
        assert {node.op_type for node in model.graph.node} <= listed.keys()
        made = {type(each.operator) for each in network.nodes} - {Input}
        assert {known[each] for each in made} <= {EVERY}
        seen += 1
    assert seen


@pytest.fixture
def save(tmp_path: Any) -> Any:
    def write(model: Any) -> Any:
        (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
        return tmp_path / "model.onnx"

    return write


def test_smooth_functions_are_listed_with_what_they_become() -> None:
    listed = {name: operator for name, operator, _ in onnx_operators()}
    known = operator_support()
    assert known[listed["Relu"]] == EVERY
    curved = {kind for kind in known if issubclass(kind, Smooth | Product | Share)}
    assert {listed["Sigmoid"], listed["LSTM"]} <= curved
    assert all(known[kind] == replace(EVERY, program="outer") for kind in curved)
    assert known[listed["Softmax"]].certificate
    # Programs hold jumps, and splitting does not remove them.
    jumps = {kind for kind in known if issubclass(kind, Steps)}
    assert jumps
    assert all(known[kind] == replace(EVERY, splitting=False) for kind in jumps)
    assert all(known[kind] == EVERY for kind in known.keys() - jumps - curved)


def test_operators_of_torch_are_those_with_rules_that_refuse_nothing() -> None:
    names = torch_operators()
    assert {"linear", "conv2d", "relu", "view", "max_pool2d"} <= {*names}
    assert {"softmax", "layer_norm", "scaled_dot_product_attention", "lstm"} <= {*names}
    assert not {"acosh", "rand", "topk"} & {*names}
