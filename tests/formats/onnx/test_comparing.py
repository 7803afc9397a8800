"""Comparisons, choices by them, masks and attention as one operator, against onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import sensverify as sv
from sensverify.bounds import Crown, Ibp, compute_bounds
from sensverify.errors import BadModelFile, Unbounded, UnsupportedOperator
from sensverify.network import Network
from sensverify.network.operators import Product, Relu

WEIGHT = "float[3,3] w = {1, 2, -1, 0.5, 1, 1, -1, 1, 0}"
SPLIT = "c = Constant <value = float {0.3}> () d = Constant <value = float {-0.3}> ()"
SEEN = (
    "z = Constant <value = float {0}> () l = Constant <value = float {-inf}> () "
    "k = Where(m, z, l) s = Add(h, k)"
)
SHOWN = "p = Softmax <axis = -1> (s) n = IsNaN(p) y = Where(n, z, p)"
"""A mask of truths in front of a softmax, and what hides a row in which nothing is seen."""
GRAPHS = {
    "numbers": (
        (3,),
        f"{SPLIT} p = Greater(x, c) y = Where(p, c, d)",
        "",
    ),
    "larger": ((3,), "h = MatMul(x, w) p = Greater(x, h) y = Where(p, x, h)", WEIGHT),
    "smaller": ((3,), "h = MatMul(x, w) p = LessOrEqual(x, h) y = Where(p, x, h)", WEIGHT),
    "leaky": ((3,), f"{SPLIT} h = Mul(x, c) p = Less(x, d) y = Where(p, h, x)", ""),
    "kept": ((3,), f"{SPLIT} p = GreaterOrEqual(x, d) f = Cast <to = 1> (p) y = Mul(f, x)", ""),
    "logic": (
        (3,),
        f"{SPLIT} a = Greater(x, c) b = Less(x, d) o = Or(a, b) n = Not(o) k = Xor(n, a) "
        "q = And(k, n) e = Equal(x, c) s = Or(q, e) h = Mul(x, x) y = Where(s, h, x)",
        "",
    ),
    "hidden by a billion": (
        (3,),
        "h = MatMul(x, w) s = Add(h, m) y = Softmax <axis = -1> (s)",
        f"{WEIGHT}, float[3] m = {{0, -1e9, 0}}",
    ),
    "faint": (
        (2, 3),
        "h = MatMul(x, w) s = Add(h, m) y = Softmax <axis = -1> (s)",
        f"{WEIGHT}, float[2,3] m = {{-10000, 0, -70, -100, -3000, -100}}",
    ),
    "filled": (
        (3, 3),
        "h = MatMul(x, w) n = Constant <value = float {-1e9}> () s = Where(m, n, h) "
        "y = Softmax <axis = -1> (s)",
        f"{WEIGHT}, bool[3,3] m = {{0, 1, 1, 0, 0, 1, 0, 0, 0}}",
    ),
    "causal attention": (
        (4, 8),
        "y = Attention <q_num_heads = 2, kv_num_heads = 2, is_causal = 1> (x, x, x)",
        "",
    ),
    "masked attention": (
        (3, 8),
        "y = Attention <q_num_heads = 2, kv_num_heads = 2> (x, x, x, m)",
        "float[3,3] m = {0, -1e9, 0, 0, 0, 0, -1e9, 0, -1e9}",
    ),
    "seen attention": (
        (3, 8),
        "y = Attention <q_num_heads = 2, kv_num_heads = 2, scale = 0.5> (x, x, x, m)",
        "bool[3,3] m = {1, 0, 1, 1, 1, 0, 0, 0, 1}",
    ),
    "capped attention": (
        (3, 8),
        "y = Attention <q_num_heads = 2, kv_num_heads = 2, softcap = 2.0> (x, x, x)",
        "",
    ),
    "shared keys": (
        (3, 8),
        "k = Slice(x, s, e, a) y = Attention <q_num_heads = 4, kv_num_heads = 2> (x, k, k)",
        "int64[1] s = {1}, int64[1] e = {5}, int64[1] a = {2}",
    ),
    "never": ((3,), f"{SPLIT} h = MatMul(x, w) n = IsNaN(h) y = Where(n, c, h)", WEIGHT),
    "seen as exporters write it": (
        (3, 3),
        f"h = MatMul(x, w) {SEEN} {SHOWN}",
        f"{WEIGHT}, bool[3,3] m = {{1, 0, 1, 1, 1, 0, 0, 0, 1}}",
    ),
    "four axes": ((2, 3, 4), "y = Attention (x, x, x)", ""),
}
UNEXACT = ("shared keys",)
"""Whose scale is the root of a number that has none."""


def saved(name: str, folder: Path, text: str | None = None) -> Path:
    shape, nodes, constants = GRAPHS[name]
    rank = ", ".join(map(str, shape))
    graph = (
        f'<ir_version: 10, opset_import: ["" : 23]> g (float[N, {rank}] x) => (float[N, {rank}] y) '
        f"<{constants}> {{ {text or nodes} }}"
    )
    path = folder / "net.onnx"
    onnx.save(onnx.parser.parse_model(graph), path)
    return path


def boxed(shape: tuple[int, ...]) -> sv.Box:
    center = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    return sv.Box(center - 0.125, center + 0.125)


def spread(box: sv.Box, count: int = 64) -> np.ndarray:
    """Corners and other points of a box, as float32 numbers."""
    share = np.random.default_rng(1).uniform(size=(count, *box.lower.shape[1:]))
    share[::2] = share[::2].round()
    return (box.lower + share * (box.upper - box.lower)).astype(np.float32)


@pytest.mark.parametrize("name", GRAPHS)
def test_values_are_those_of_the_runtime_and_bounds_hold_them(name: str, tmp_path: Path) -> None:
    path = saved(name, tmp_path)
    network, box = sv.load(path), boxed(GRAPHS[name][0])
    points = spread(box)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    wanted = np.stack([session.run(None, {"x": x[None]})[0].reshape(-1) for x in points])
    found = sv.forward_pass(network, torch.from_numpy(points.astype(np.float64))).flatten(1).numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    for method in (Ibp(), Crown()):
        outer = compute_bounds(network, box, method, dtype="float64").outer
        assert bool((outer.lower <= torch.from_numpy(found).amin(0) + 1e-9).all()), method
        assert bool((outer.upper >= torch.from_numpy(found).amax(0) - 1e-9).all()), method
        assert bool((outer.upper - outer.lower).isfinite().all()), method


@pytest.mark.parametrize("name", [name for name in GRAPHS if name not in UNEXACT])
def test_bounds_are_certified(name: str, tmp_path: Path) -> None:
    box = boxed(GRAPHS[name][0])
    found = sv.certify(saved(name, tmp_path), box)
    values = sv.forward_pass(sv.load(tmp_path / "net.onnx"), torch.from_numpy(spread(box)).double())
    outer = found.bounds.outer
    assert bool((outer.lower <= values.flatten(1).amin(0) + 1e-9).all())
    assert bool((outer.upper >= values.flatten(1).amax(0) - 1e-9).all())


def operators(network: Network) -> set[type]:
    return {type(node.operator) for node in network.nodes}


@pytest.mark.parametrize("name", ["larger", "smaller"])
def test_the_larger_of_two_is_no_product(name: str, tmp_path: Path) -> None:
    found = operators(sv.load(saved(name, tmp_path)))
    assert Relu in found
    assert Product not in found


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        (
            "numbers",
            f"{SPLIT} z = Constant <value = float {{0.0}}> () i = Log(z) p = Greater(x, c) "
            "y = Where(p, x, i)",
            "not finite",
        ),
        (
            "four axes",
            "y = Attention (x, x, x, , x, x)",
            "earlier calls",
        ),
        (
            "causal attention",
            "y = Attention <q_num_heads = 3, kv_num_heads = 3> (x, x, x)",
            "heads",
        ),
    ],
    ids=["infinite", "past", "heads"],
)
def test_the_rest_is_refused_by_name(name: str, text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises((UnsupportedOperator, BadModelFile), match=words):
        sv.load(saved(name, tmp_path, text), runtime_check=False)


def test_a_row_in_which_nothing_is_seen_is_refused(tmp_path: Path) -> None:
    name = "seen as exporters write it"
    path = saved(name, tmp_path)
    model = onnx.load(path)
    (mask,) = (item for item in model.graph.initializer if item.name == "m")
    mask.CopyFrom(
        onnx.numpy_helper.from_array(np.array([[1, 0, 1], [0, 0, 0], [1, 1, 1]], bool), "m")
    )
    onnx.save(model, path)
    with pytest.raises(UnsupportedOperator, match="hides everything"):
        sv.load(path)


def test_what_may_be_nan_has_no_bounds(tmp_path: Path) -> None:
    """A logarithm of numbers below 0 is NaN, and the file puts another number in its place."""
    text = f"{SPLIT} h = Log(x) n = IsNaN(h) y = Where(n, c, h)"
    network = sv.load(saved("never", tmp_path, text))
    ends = np.array([[0.5, 0.5, 0.5]]), np.array([[1.0, 1.0, 1.0]])
    outer = compute_bounds(network, sv.Box(*ends), Crown()).outer
    assert bool((outer.upper >= -1e-9).all())
    with pytest.raises(Unbounded, match="Log"):
        compute_bounds(network, sv.Box(-ends[0], ends[1]), Crown())


def test_what_the_standard_has_withdrawn_is_refused_with_a_remedy(tmp_path: Path) -> None:
    graph = (
        '<ir_version: 10, opset_import: ["" : 18]> g (float[N, 4, 3] x) => (float[N, 4, 3] y) '
        "<float[2] s = {1, 2}, float[2] b = {0, 1}> "
        "{ y = GroupNormalization <num_groups = 2> (x, s, b) }"
    )
    onnx.save(onnx.parser.parse_model(graph), tmp_path / "old.onnx")
    with pytest.raises(BadModelFile, match="deprecated") as refused:
        sv.load(tmp_path / "old.onnx")
    assert "21" in refused.value.remedy
