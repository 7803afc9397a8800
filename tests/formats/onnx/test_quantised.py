"""Quantised operators are the steps that onnxruntime computes, ties and saturation included."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import sensverify as sv
from sensverify.core.queries import Query, Verdict
from sensverify.errors import BadModelFile, SensverifyError, UnsupportedOperator
from sensverify.formats.onnx.original import OriginalFile
from sensverify.network.operators import Round


class File:
    """A small ONNX file while it is written."""

    def __init__(self, opset: int = 21) -> None:
        self.opset, self.nodes, self.constants = opset, [], []

    def constant(self, values: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def add(self, kind: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> str:
        """A node; arrays among its inputs become constants, None is left out."""
        given = [
            item if isinstance(item, str) else "" if item is None else self.constant(item)
            for item in inputs
        ]
        names = [f"n{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(
            helper.make_node(kind, given, names, name=f"{kind} {len(self.nodes)}", **attributes)
        )
        return names[0]

    def save(self, path: Path, last: str, shape: tuple[int, ...], axes: int | None = None) -> Path:
        """The file with one output, which has as many axes as the input or those given."""
        free = ["batch", *(f"d{i}" for i in range(1, axes or 1 + len(shape)))]
        graph = helper.make_graph(
            self.nodes,
            "quantised",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *shape])],
            [helper.make_tensor_value_info(last, TensorProto.FLOAT, free)],
            self.constants,
        )
        made = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=10
        )
        onnx.save(made, path)
        return path


def same(path: Path, points: np.ndarray) -> sv.Network:
    """The network of a file, which gives what onnxruntime does at these points."""
    network = sv.load(str(path))
    ours = sv.forward_pass(network, torch.from_numpy(points.astype(np.float64))).numpy()
    original = OriginalFile(path)
    theirs = np.stack([original.outputs(point[None].astype(np.float32)) for point in points])
    np.testing.assert_allclose(ours.reshape(len(points), -1), theirs, rtol=1e-5, atol=1e-5)
    return network


def ladder(features: int, step: float, reach: int) -> np.ndarray:
    """Points at halves of a step, ties among them, the same for every feature."""
    return np.repeat(np.arange(-2 * reach, 2 * reach + 1)[:, None] * (step / 2), features, axis=1)


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.uint16, np.int16])
@pytest.mark.parametrize("zero", [0, 3])
def test_ties_go_to_the_even_number_and_large_ones_saturate(
    kind: Any, zero: int, tmp_path: Path
) -> None:
    file = File()
    step, zero_point = np.float32(0.25), kind(zero)
    inner = file.add("QuantizeLinear", "x", step, zero_point)
    last = file.add("DequantizeLinear", inner, step, zero_point)
    path = file.save(tmp_path / "q.onnx", last, (2,))
    far = np.array([[-1e5, 1e5], [1e5, -1e5]])
    network = same(path, np.concatenate([ladder(2, 0.25, 300), far]))
    assert sum(isinstance(node.operator, Round) for node in network.nodes) == 1


@pytest.mark.parametrize("axis", [1, -1])
@pytest.mark.parametrize("opset", [13, 19, 21])
def test_scales_along_an_axis(axis: int, opset: int, tmp_path: Path) -> None:
    file = File(opset)
    length = 2 if axis == 1 else 3
    steps = np.array([0.25, 0.5, 1.0], np.float32)[:length]
    zeros = np.array([0, 7, 200], np.uint8)[:length]
    inner = file.add("QuantizeLinear", "x", steps, zeros, axis=axis)
    last = file.add("DequantizeLinear", inner, steps, zeros, axis=axis)
    path = file.save(tmp_path / "q.onnx", last, (2, 3))
    same(path, ladder(6, 0.25, 40).reshape(-1, 2, 3))


def test_a_zero_point_may_be_left_out(tmp_path: Path) -> None:
    file = File(19)
    inner = file.add("QuantizeLinear", "x", np.float32(0.5))
    path = file.save(
        tmp_path / "q.onnx", file.add("DequantizeLinear", inner, np.float32(0.5)), (2,)
    )
    same(path, ladder(2, 0.5, 20))
    signed = File(21)
    inner = signed.add("QuantizeLinear", "x", np.float32(0.5), output_dtype=TensorProto.INT8)
    last = signed.add("DequantizeLinear", inner, np.float32(0.5))
    same(signed.save(tmp_path / "s.onnx", last, (2,)), ladder(2, 0.5, 300))


def quantised_input(file: File, shape: tuple[int, ...]) -> tuple[str, np.float32, np.uint8]:
    step, zero = np.float32(1 / 32), np.uint8(120)
    return file.add("QuantizeLinear", "x", step, zero), step, zero


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("per_channel", [False, True])
def test_qlinear_conv(groups: int, per_channel: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    file = File(17)
    inner, step, zero = quantised_input(file, (2, 4, 4))
    weight = rng.integers(-127, 128, (4, 2 // groups, 3, 3)).astype(np.int8)
    scale = np.array([2.0**-7, 2.0**-8, 2.0**-6, 2.0**-9], np.float32)
    zeros = np.zeros(4, np.int8)
    if not per_channel:
        scale, zeros = np.float32(2.0**-7), np.int8(3)
    out, last_zero = np.float32(1 / 8), np.uint8(90)
    bias = rng.integers(-2000, 2000, 4).astype(np.int32)
    inner = file.add(
        *("QLinearConv", inner, step, zero, weight, scale, zeros, out, last_zero, bias),
        group=groups,
        pads=[1, 0, 1, 2],
        strides=[2, 1],
    )
    last = file.add("DequantizeLinear", inner, out, last_zero)
    path = file.save(tmp_path / "c.onnx", last, (2, 4, 4))
    same(path, rng.normal(size=(40, 2, 4, 4)) * 2)


@pytest.mark.parametrize("per_column", [False, True])
def test_qlinear_matmul(per_column: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    file = File(17)
    inner, step, zero = quantised_input(file, (3, 4))
    weight = rng.integers(-127, 128, (4, 5)).astype(np.int8)
    scale = np.exp2(-np.arange(4.0, 9.0)).astype(np.float32) if per_column else np.float32(2.0**-6)
    zeros = np.arange(5).astype(np.int8) if per_column else np.int8(-5)
    out, last_zero = np.float32(0.25), np.uint8(100)
    inner = file.add("QLinearMatMul", inner, step, zero, weight, scale, zeros, out, last_zero)
    last = file.add("DequantizeLinear", inner, out, last_zero)
    same(file.save(tmp_path / "m.onnx", last, (3, 4)), rng.normal(size=(40, 3, 4)))


def test_float32_may_take_the_other_side_of_a_tie(tmp_path: Path) -> None:
    """Sums times 0.0025, which float32 does not hold: by one step, where they are at a half."""
    file = File(17)
    inner = file.add("QuantizeLinear", "x", np.float32(1 / 32), np.uint8(0))
    weight = np.full((1, 1), 127, np.int8)
    scales = np.float32(1 / 32), np.float32(1 / 100), np.float32(1 / 8)
    inner = file.add(
        *("QLinearMatMul", inner, scales[0], np.uint8(0), weight, scales[1], np.int8(0)),
        *(scales[2], np.uint8(0)),
    )
    path = file.save(
        tmp_path / "m.onnx", file.add("DequantizeLinear", inner, scales[2], np.uint8(0)), (1,)
    )
    points = np.arange(256)[:, None] / 32
    ours = sv.forward_pass(sv.load(str(path)), torch.from_numpy(points)).numpy()
    original = OriginalFile(path)
    theirs = np.stack([original.outputs(point[None].astype(np.float32)) for point in points])
    sums = np.arange(256) * 127 * 0.0025
    tied = abs(sums - np.floor(sums) - 0.5) < 1e-4
    np.testing.assert_array_equal(ours[~tied], theirs[~tied])
    assert (abs(ours - theirs) <= 1 / 8).all()


def test_integer_products(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    file = File(17)
    inner, step, zero = quantised_input(file, (2, 5, 5))
    weight = rng.integers(0, 255, (3, 2, 2, 2)).astype(np.uint8)
    sums = file.add("ConvInteger", inner, weight, zero, np.uint8(128), pads=[1, 1, 0, 0])
    real = file.add("Mul", file.add("Cast", sums, to=TensorProto.FLOAT), np.float32(step / 99))
    path = file.save(tmp_path / "c.onnx", real, (2, 5, 5))
    same(path, rng.normal(size=(30, 2, 5, 5)))

    file = File(17)
    inner, step, zero = quantised_input(file, (4,))
    weight = rng.integers(-127, 128, (4, 3)).astype(np.int8)
    sums = file.add("MatMulInteger", inner, weight, zero, np.array([1, 0, -2], np.int8))
    real = file.add("Mul", file.add("Cast", sums, to=TensorProto.FLOAT), np.float32(step / 99))
    same(file.save(tmp_path / "m.onnx", real, (4,)), rng.normal(size=(60, 4)))


def int8_net(path: Path, *, features: int = 2, seed: int = 3) -> Path:
    """Quantised input, linear layer with int8 weights, ReLU, quantised, linear, quantised."""
    rng = np.random.default_rng(seed)
    file = File(17)

    def pair(source: str, step: float, zero: Any) -> str:
        inner = file.add("QuantizeLinear", source, np.float32(step), zero)
        return file.add("DequantizeLinear", inner, np.float32(step), zero)

    def layer(source: str, outputs: int, inputs: int) -> str:
        weight = rng.integers(-127, 128, (outputs, inputs)).astype(np.int8)
        scales = rng.uniform(0.005, 0.02, outputs).astype(np.float32)
        real = file.add("DequantizeLinear", weight, scales, np.zeros(outputs, np.int8), axis=0)
        return file.add("Gemm", source, real, rng.normal(size=outputs).astype(np.float32), transB=1)

    source = pair("x", 1 / 16, np.uint8(100))
    source = file.add("Relu", layer(source, 4, features))
    source = layer(pair(source, 1 / 8, np.uint8(0)), 2, 4)
    return file.save(path, pair(source, 1 / 4, np.int8(-3)), (features,))


def reachable(network: sv.Network, box: sv.Box) -> np.ndarray:
    """All outputs on a box, by every code that the input can have, ``[codes, outputs]``."""
    steps = 1 / 16
    codes = [
        np.arange(np.rint(low / steps), np.rint(high / steps) + 1)
        for low, high in zip(box.lower[0], box.upper[0], strict=True)
    ]
    points = np.array(list(product(*codes))) * steps
    return sv.forward_pass(network, torch.from_numpy(points)).numpy()


def test_the_exact_range_is_that_of_all_codes(tmp_path: Path) -> None:
    """Inputs of one code have one output, and there are finitely many codes: nothing is sampled."""
    network = sv.load(str(int8_net(tmp_path / "net.onnx")))
    for center, radius in (((0.3, -0.4), 0.2), ((-1.0, 1.0), 0.4), ((0.0, 0.0), 0.03)):
        box = sv.Box.around(np.array([center]), radius)
        outputs = reachable(network, box)
        exact = sv.compute_bounds(network, box, sv.make_method("exact"))
        assert exact.optimal is not None
        assert bool(exact.optimal.all())
        np.testing.assert_allclose(exact.outer.lower[0], outputs.min(axis=0), atol=1e-6)
        np.testing.assert_allclose(exact.outer.upper[0], outputs.max(axis=0), atol=1e-6)
        for name in ("ibp", "lp-dual", "crown", "alpha-crown", "lp"):
            bounds = sv.compute_bounds(network, box, sv.make_method(name))
            assert (bounds.outer.lower[0].numpy() <= outputs.min(axis=0) + 1e-9).all(), name
            assert (bounds.outer.upper[0].numpy() >= outputs.max(axis=0) - 1e-9).all(), name


def test_properties_that_bounds_prove_are_not_split(tmp_path: Path) -> None:
    """Rounding moves no bound by a whole step: what is far from a limit is decided at once."""
    for seed in range(6):
        network = sv.load(str(int8_net(tmp_path / "net.onnx", seed=seed)))
        box = sv.Box.around(np.random.default_rng(seed).uniform(-1, 1, (1, 2)), 0.2)
        rows = np.array([[1.0, -1.0]])
        crown = sv.compute_bounds(network, box, sv.make_method("crown"), rows, dtype="float64")
        limit = float(crown.outer.lower[0, 0]) - 1e-6
        asked = Query(box, rows, np.array([limit]), ((0,),))
        found = sv.make_decider("branch-and-bound").decide(network, asked)
        assert (found.verdict, found.explored) == (Verdict.UNSAT, 1)


@pytest.mark.parametrize("seed", range(2))
def test_branch_and_bound_decides_by_all_codes(seed: int, tmp_path: Path) -> None:
    """On both sides of the least value, whatever the judge says of witnesses; and the range."""
    network = sv.load(str(int8_net(tmp_path / "net.onnx", seed=seed)))
    # A centre on ties: ends of the box are where the input's steps are.
    center = np.round(np.random.default_rng(seed).uniform(-2, 2, (1, 2)) * 32) / 32
    box, rows = sv.Box.around(center, 0.1), np.array([[1.0, -1.0]])
    outputs = reachable(network, box)
    least = float((outputs @ rows[0]).min())
    decider = sv.make_decider("branch-and-bound")

    def decided(limit: float, accept: Any = None) -> Any:
        query = Query(box, rows, np.array([limit]), ((0,),))
        return decider.decide(network, query, accept=accept, watch=sv.Watch(120))

    assert decided(least - 1e-3).verdict is Verdict.UNSAT
    assert decided(least).verdict is Verdict.SAT
    refused = decided(least, lambda point: False)
    assert refused.verdict is Verdict.UNKNOWN
    assert refused.reason
    found = sv.compute_bounds(network, box, sv.make_method("branch-and-bound"))
    np.testing.assert_allclose(found.outer.lower[0], outputs.min(axis=0), atol=1e-6)
    np.testing.assert_allclose(found.outer.upper[0], outputs.max(axis=0), atol=1e-6)


def test_a_net_by_onnxruntimes_own_tools(tmp_path: Path) -> None:
    """A convolutional network in QDQ form, with its certificate and its counterexample."""
    quantization = pytest.importorskip("onnxruntime.quantization")
    rng = np.random.default_rng(4)
    file = File(17)
    weight = rng.normal(size=(3, 1, 3, 3)).astype(np.float32)
    node = file.add("Conv", "x", weight, rng.normal(size=3).astype(np.float32), strides=[2, 2])
    node = file.add("Flatten", file.add("Relu", node))
    last = file.add("Gemm", node, rng.normal(size=(3, 12)).astype(np.float32), transB=1)
    plain = file.save(tmp_path / "plain.onnx", last, (1, 6, 6), axes=2)
    x = rng.random((20, 1, 6, 6)).astype(np.float32)

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            self._left = iter(x)

        def get_next(self) -> dict[str, np.ndarray] | None:
            item = next(self._left, None)
            return None if item is None else {"x": item[None]}

    path = tmp_path / "int8.onnx"
    quantization.quantize_static(
        *(str(plain), str(path), Reader()),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
    )
    kinds = {node.op_type for node in onnx.load(path).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear", "Conv"} <= kinds
    network = same(path, x)
    labels = sv.forward_pass(network, torch.from_numpy(x).double()).argmax(dim=1).numpy()
    small = sv.verify(str(path), x[:3], labels[:3], radius=1e-3, rigorous=True)
    assert small.certification is not None
    large = sv.verify(str(path), x[:5], labels[:5], radius=0.5)
    changed = [each for each in large.samples if each.certified is False]
    # Replayed in onnxruntime, in the original file.
    assert changed
    original = OriginalFile(path)
    for each in changed:
        assert each.counterexample is not None
        outputs = original.outputs(each.counterexample.input[None])
        assert outputs.argmax() != each.label


@pytest.mark.parametrize(
    ("kind", "inputs", "attributes", "named"),
    [
        ("QuantizeLinear", ("x", np.float32(0), np.uint8(0)), {}, "not positive"),
        ("QuantizeLinear", ("x", np.float32(-1), np.uint8(0)), {}, "not positive"),
        ("QuantizeLinear", ("x", np.ones(3, np.float32), np.zeros(3, np.uint8)), {}, "do not fit"),
        ("DynamicQuantizeLinear", ("x",), {}, "static quantisation"),
    ],
)
def test_what_is_refused(
    kind: str, inputs: Any, attributes: dict[str, Any], named: str, tmp_path: Path
) -> None:
    file = File(19)
    outputs = 3 if kind == "DynamicQuantizeLinear" else 1
    inner = file.add(kind, *inputs, outputs=outputs, **attributes)
    last = file.add("DequantizeLinear", inner, np.float32(1), np.uint8(0))
    path = file.save(tmp_path / "bad.onnx", last, (2,))
    with pytest.raises((BadModelFile, UnsupportedOperator), match=named):
        sv.load_onnx(path)


def test_integers_of_four_bits_are_refused(tmp_path: Path) -> None:
    """They saturate where eight bits do not, and onnxruntime does not show them."""
    file = File(21)
    inner = file.add("QuantizeLinear", "x", np.float32(1), output_dtype=TensorProto.INT4)
    last = file.add("DequantizeLinear", inner, np.float32(1))
    with pytest.raises(SensverifyError, match="4 bits"):
        sv.load_onnx(file.save(tmp_path / "four.onnx", last, (2,)))
