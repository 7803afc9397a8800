"""Degenerate networks as ONNX files, with boxes on which their exact ranges are known.

Every function here is piecewise linear between hyperplanes that a case names, or monotone in every
input: its extremes on a box are taken at vertices, which are enumerated, and evaluated by
onnxruntime.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations, product

import numpy as np
import onnx
import onnxruntime
from onnx import parser

Kinks = tuple[tuple[float, ...], ...]
"""Hyperplanes ``a · x + b = 0``, each as ``(*a, b)``."""


@dataclass(frozen=True, eq=False)
class Degenerate:
    """A network that lacks what others have.

    Parameters
    ----------
    name : str
    text : str
        The graph in ONNX's text format, from an input x of fixed shape, batch axis 1, to y.
    lower, upper : tuple of float
        The box, all of it in one row.
    kinks : tuple of hyperplanes
        Between which the network is affine, or monotone in every input.
    """

    name: str
    text: str
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    kinks: Kinks = ()

    @property
    def model(self) -> onnx.ModelProto:
        header = '<ir_version: 8, opset_import: ["": 17]>\n'
        return parser.parse_model(f"{header}{self.name} {self.text}")

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Without the batch axis."""
        dims = self.model.graph.input[0].type.tensor_type.shape.dim
        return tuple(d.dim_value for d in dims)[1:] if len(dims) > 1 else (1,)

    def outputs(self, points: np.ndarray) -> np.ndarray:
        """What onnxruntime gives at points ``[points, inputs]``, flat."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(
            self.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        shape = session.get_inputs()[0].shape
        rows = [
            session.run(None, {"x": point.reshape(shape)})[0].reshape(-1)
            for point in points.astype(np.float32)
        ]
        return np.array(rows, dtype=np.float64)

    @cached_property
    def exact(self) -> tuple[np.ndarray, np.ndarray]:
        """The exact range of every output."""
        values = self.outputs(vertices(np.array(self.lower), np.array(self.upper), self.kinks))
        return values.min(axis=0), values.max(axis=0)


def vertices(lower: np.ndarray, upper: np.ndarray, kinks: Kinks) -> np.ndarray:
    """All points of a box in which as many faces and hyperplanes meet as there are inputs."""
    moving = np.flatnonzero(lower < upper)
    if len(moving) > 8:
        # Affine on the whole box: each input's part adds up, and is largest at one of its ends.
        assert not kinks
        return np.array([lower, upper])
    planes = [(*row, -end[i]) for i, row in enumerate(np.eye(len(lower))) for end in (lower, upper)]
    planes += kinks
    points = [np.where(high, upper, lower) for high in product((False, True), repeat=len(lower))]
    for chosen in combinations(planes, len(lower)):
        table = np.array(chosen)
        if abs(np.linalg.det(table[:, :-1])) > 1e-9:
            points.append(np.linalg.solve(table[:, :-1], -table[:, -1]))
    found = np.array(points)
    inside = ((found >= lower - 1e-9) & (found <= upper + 1e-9)).all(axis=1)
    return np.clip(found[inside], lower, upper)


# Two inputs; h = x W + b with the kinks x0 + x1 = 0.25, x0 - x1 = -0.25 and x1 = 0.5.
_HIDDEN = "float[2,3] W = {1, 1, 0, 1, -1, -1}, float[3] b = {-0.25, 0.25, 0.5}"
_KINKS = ((1.0, 1.0, -0.25), (1.0, -1.0, 0.25), (0.0, -1.0, 0.5))
_BOX = ((-1.0, -0.5), (0.75, 1.0))


def _mlp(name: str, tail: str, *, more: str = "", y: str = "float[1,k] y") -> Degenerate:
    """One hidden layer h, ReLUs r of it, and a tail."""
    text = f"(float[1,2] x) => ({y}) <{_HIDDEN}{more}> {{ h = Gemm(x, W, b) r = Relu(h) {tail} }}"
    return Degenerate(name, text, *_BOX, _KINKS)


def _plain(
    name: str, shape: str, body: str, *, constants: str = "", kinks: Kinks = (), y: str = "[1,k]"
) -> Degenerate:
    """Two inputs, whatever the shape, and no hidden layer."""
    text = f"(float{shape} x) => (float{y} y) <{constants}> {{ {body} }}"
    return Degenerate(name, text, *_BOX, kinks)


_ONE = ", int64[1] one = {1}"
_ROW = ", int64[2] row = {1, 1}"
_V1 = ", float[3,1] V = {1, -1, 0.5}"
_V3 = ", float[3,2] V = {1, -1, 0.5, 2, -1, 1}"
_V6 = ", float[6,2] V = {1, -1, 0.5, 2, -1, 1, 0.5, 0.5, 1, 1, -2, 0.25}"
_IMAGE = dict(lower=(-1.0,) * 8, upper=(0.5,) * 8)

CASES = (
    # One number, with the batch's axis or none.
    _mlp("scalar", "z = MatMul(r, V) y = Squeeze(z)", more=_V1, y="float y"),
    _mlp("scalar_sum", "y = ReduceSum<keepdims = 0>(r, one)", more=_ONE, y="float[1] y"),
    replace(
        _mlp("scalar_max", "y = ReduceMax<axes = [0, 1], keepdims = 0>(h)", y="float y"),
        kinks=((0.0, 2.0, -0.5), (1.0, 2.0, -0.75), (1.0, 0.0, -0.25)),
    ),
    _mlp(
        "scalar_inside",
        "z = MatMul(r, V) s = Squeeze(z) t = Relu(s) y = Reshape(t, row)",
        more=_V1 + _ROW,
    ),
    _plain(
        "scalar_affine",
        "[1,2]",
        "z = MatMul(x, V) y = Squeeze(z)",
        constants="float[2,1] V = {2, -1}",
        y="",
    ),
    Degenerate("scalar_input", "(float x) => (float y) { y = Relu(x) }", (-1.0,), (2.0,)),
    Degenerate(
        "batch_alone", "(float[1] x) => (float[1] y) { y = Abs(x) }", (-1.0,), (2.0,), ((1.0, 0.0),)
    ),
    # One value read twice by a node.
    _mlp("concat_same", "c = Concat<axis = 1>(r, r) y = MatMul(c, V)", more=_V6),
    _mlp("concat_thrice", "y = Concat<axis = 1>(r, r, r)"),
    _mlp("concat_mixed", "y = Concat<axis = 1>(r, h, r)"),
    _mlp("add_same", "s = Add(r, r) y = MatMul(s, V)", more=_V3),
    _mlp("sum_thrice", "s = Sum(r, r, r) y = MatMul(s, V)", more=_V3),
    _mlp("sub_same", "y = Sub(r, r)"),
    _mlp("max_same", "m = Max(h, h) y = MatMul(m, V)", more=_V3),
    _mlp("max_thrice", "y = Max(r, r, r)"),
    _mlp("min_same", "y = Min(r, r)"),
    _mlp("mean_same", "y = Mean(h, h)"),
    _plain("add_input", "[1,2]", "y = Add(x, x)"),
    _plain("sub_input", "[1,2]", "y = Sub(x, x)"),
    _plain("concat_input", "[1,2]", "y = Concat<axis = 1>(x, x)"),
    _plain("max_input", "[1,2]", "y = Max(x, x)"),
    # No nonlinear node.
    _plain("identity", "[1,2]", "y = Identity(x)"),
    _plain("reshape", "[1,1,2]", "y = Flatten(x)"),
    _plain("transpose", "[1,1,2]", "y = Transpose<perm = [0, 2, 1]>(x)", y="[1,j,k]"),
    _plain("part", "[1,2]", "y = Gather<axis = 1>(x, i)", constants="int64[1] i = {1}"),
    _plain("copies", "[1,2]", "y = Gather<axis = 1>(x, i)", constants="int64[3] i = {1, 0, 1}"),
    _plain("affine", "[1,2]", "y = MatMul(x, V)", constants="float[2,3] V = {1, 2, 0, -1, 1, 0}"),
    _plain("equal_outputs", "[1,2]", "y = MatMul(x, V)", constants="float[2,2] V = {1, 1, -1, -1}"),
    _plain(
        "one_output",
        "[1,2]",
        "y = Gemm(x, V, b)",
        constants="float[2,1] V = {1, -3}, float[1] b = {0.5}",
    ),
    Degenerate(
        "many_inputs",
        "(float[1,64] x) => (float[1,2] y) <float[64,2] V = {"
        + ", ".join(str(i % 7 - 1.5 if i % 2 else 0.5) for i in range(128))
        + "}> { a = Abs(V) y = MatMul(x, a) }",
        (-1.0,) * 64,
        (0.5,) * 64,
    ),
    Degenerate(
        "average_pool",
        "(float[1,2,2,2] x) => (float[1,2,1,1] y) { y = GlobalAveragePool(x) }",
        **_IMAGE,
    ),
    Degenerate(
        "max_pool",
        "(float[1,2,2,2] x) => (float[1,2,j,k] y) { y = MaxPool<kernel_shape = [2, 1]>(x) }",
        **_IMAGE,
    ),
    Degenerate(
        "max_pool_all",
        "(float[1,2,2,2] x) => (float[1,2,1,1] y) { y = GlobalMaxPool(x) }",
        **_IMAGE,
    ),
    Degenerate(
        "max_pool_of_one",
        "(float[1,2,2,2] x) => (float[1,2,j,k] y) { y = MaxPool<kernel_shape = [1, 1]>(x) }",
        **_IMAGE,
    ),
    # Constant.
    _plain(
        "zero_weights",
        "[1,2]",
        "h = MatMul(x, Z) r = Relu(h) y = Gemm(r, V, b)",
        constants="float[2,3] Z = {0, 0, 0, 0, 0, 0}, float[2] b = {0.75, -2}" + _V3,
    ),
    _plain("times_zero", "[1,2]", "y = Mul(x, z)", constants="float z = {0}"),
    _plain("clip_to_one", "[1,2]", "y = Clip(x, c, c)", constants="float c = {0.25}"),
    _mlp(
        "dead",
        "n = Sub(h, b9) d = Relu(n) y = Gemm(d, V, b2)",
        more=", float b9 = {9}, float[2] b2 = {0.5, -1}" + _V3,
    ),
    _mlp("always_on", "n = Add(h, b9) d = Relu(n) y = MatMul(d, V)", more=", float b9 = {9}" + _V3),
    _mlp("half_constant", "y = MatMul(r, V)", more=", float[3,2] V = {1, 0, -1, 0, 0.5, 0}"),
    # One nonlinear node and little else.
    _plain("relu", "[1,2]", "y = Relu(x)"),
    _plain("abs", "[1,2]", "y = Abs(x)", kinks=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))),
    _plain("sigmoid", "[1,2]", "y = Sigmoid(x)"),
    _plain("relu_of_relu", "[1,2]", "r = Relu(x) y = Relu(r)"),
    _plain(
        "no_bias",
        "[1,2]",
        "h = MatMul(x, A) r = Relu(h) y = MatMul(r, V)",
        constants="float[2,3] A = {1, 1, 0, 1, -1, -1}" + _V3,
        kinks=((1.0, 1.0, 0.0), (1.0, -1.0, 0.0), (0.0, -1.0, 0.0)),
    ),
    Degenerate(
        "width_one",
        "(float[1,1] x) => (float[1,1] y) <float[1,1] W = {2}, "
        "float[1] b = {-0.5}, float[1,1] V = {-3}> "
        "{ h = Gemm(x, W, b) r = Relu(h) y = MatMul(r, V) }",
        (-1.0,),
        (2.0,),
    ),
    # Boxes.
    replace(
        _mlp("no_input_moves", "y = MatMul(r, V)", more=_V3), lower=(0.25, 0.5), upper=(0.25, 0.5)
    ),
    replace(_mlp("one_input_moves", "y = MatMul(r, V)", more=_V3), upper=(0.75, -0.5)),
)
