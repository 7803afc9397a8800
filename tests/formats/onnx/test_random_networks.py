"""Random networks of everything that is read, with random constants, against onnxruntime."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.formats.onnx.conftest import read_exactly

NETWORKS = 60
STEPS = 7
SHAPE = (1, 3, 4)


class Drawn:
    """Nodes and stored arrays of one random network over values of shape ``(1, 3, 4)``."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.nodes, self.stored, self.count = [], {}, 0

    def name(self):
        self.count += 1
        return f"v{self.count}"

    def store(self, values):
        name = self.name()
        self.stored[name] = np.asarray(values)
        return name

    def add(self, operator, *inputs, **attributes):
        names = [i if isinstance(i, str) else self.store(i) for i in inputs]
        name = self.name()
        self.nodes.append(helper.make_node(operator, names, [name], **attributes))
        return name

    def numbers(self, *shape):
        return self.rng.normal(size=shape).astype(np.float32)

    def constant(self, *shape):
        """The name of a constant: every other one is computed in the file."""
        if self.rng.random() < 0.5:
            return self.store(self.numbers(*shape))
        return CONSTANTS[self.rng.choice([*CONSTANTS])](self, shape)

    def branch(self, step, value):
        """A branch that takes one step from a value around it."""
        inner = Drawn(self.rng.integers(2**32))
        inner.count = 1000 * (self.count + 1)
        result = STEP[step](inner, value)
        info = helper.make_tensor_value_info(result, TensorProto.FLOAT, None)
        arrays = [numpy_helper.from_array(v, k) for k, v in inner.stored.items()]
        return helper.make_graph(inner.nodes, "branch", [], [info], arrays)


def quantized(net, shape):
    values = net.rng.integers(-128, 128, size=shape).astype(np.int8)
    return net.add("DequantizeLinear", values, np.float32(0.02), np.int8(3))


def normalised(net, shape):
    values = net.store(net.numbers(*shape))
    size = net.add("ReduceL2", values, np.array([-1]), keepdims=1)
    return net.add("Div", values, size)


def hot(net, shape):
    indices = net.rng.integers(0, shape[-1], size=shape[:-1])
    return net.add("OneHot", indices, np.array(shape[-1]), net.numbers(2))


CONSTANTS = {
    "softmax": lambda net, shape: net.add("Softmax", net.numbers(*shape), axis=-1),
    "tanh": lambda net, shape: net.add("Tanh", net.add("Abs", net.numbers(*shape))),
    "sums": lambda net, shape: net.add("CumSum", net.numbers(*shape), np.array(-1)),
    "quantized": quantized,
    "normalised": normalised,
    "hot": hot,
    "range": lambda net, shape: net.add(
        "Reshape", net.add("Range", *np.float32([0, np.prod(shape) / 8, 0.125])), np.array(shape)
    ),
}


def scattered(net, value):
    place = np.array([[0, net.rng.integers(3)]])
    how = net.rng.choice(["none", "add"])
    return net.add("ScatterND", value, place, net.constant(1, 4), reduction=how)


def gathered(net, value):
    places = np.stack([np.zeros(3, int), net.rng.permutation(3) - 3], axis=1)
    return net.add("Reshape", net.add("GatherND", value, places), np.array(SHAPE))


def turned(net, value):
    ends = ([2**63 - 1], [net.rng.choice([-(2**31), -(2**63)])], [2], [-1])
    return net.add("Slice", value, *map(np.array, ends))


def split(net, value):
    names = [net.name() for _ in range(3)]
    sizes = net.store(net.rng.permutation([0, 1, 3]))
    net.nodes.append(helper.make_node("Split", [value, sizes], names, axis=2))
    return net.add("Concat", *[names[i] for i in net.rng.permutation(3)], axis=2)


def branched(net, value):
    steps = net.rng.choice(["relu", "affine", "largest"], size=2)
    branches = [net.branch(step, value) for step in steps]
    return net.add(
        "If", np.array(net.rng.random() < 0.5), then_branch=branches[0], else_branch=branches[1]
    )


def listed(net, value):
    parts = net.add("SplitToSequence", value, np.array(2), axis=2)
    parts = net.add("SequenceInsert", parts, net.add("SequenceAt", parts, np.array(0)))
    joined = net.add("ConcatFromSequence", parts, axis=2)
    return net.add("MatMul", joined, net.constant(6, 4))


def interpolated(net, value):
    kind = net.rng.choice(["half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"])
    names = {"mode": "linear", "coordinate_transformation_mode": kind}
    length = net.rng.integers(1, 8)
    wide = net.add("Resize", value, "", "", np.array([1, 3, length]), **names)
    return net.add("MatMul", wide, net.constant(length, 4))


STEP = {
    "relu": lambda net, value: net.add("Relu", value),
    "leaky": lambda net, value: net.add("LeakyRelu", value, alpha=0.25),
    "clip": lambda net, value: net.add("Clip", value, np.float32(-1), np.float32(1.5)),
    "affine": lambda net, value: net.add("Add", value, net.constant(3, 4)),
    "factor": lambda net, value: net.add("Mul", net.constant(1, 4), value),
    "largest": lambda net, value: net.add("Max", value, net.constant(3, 1)),
    "product": lambda net, value: net.add("MatMul", value, net.constant(4, 4)),
    "einsum": lambda net, value: net.add(
        "Einsum", net.constant(3, 3), value, equation="ki,bij->bkj"
    ),
    "batched": lambda net, value: net.add(
        "Einsum", value, net.constant(3, 4, 4), equation="bij,ijk->bik"
    ),
    "sums": lambda net, value: net.add("CumSum", value, np.array(net.rng.integers(1, 3))),
    "triangle": lambda net, value: net.add("Trilu", value, upper=0),
    "residual": lambda net, value: net.add("Add", value, net.add("Relu", value)),
    "scattered": scattered,
    "gathered": gathered,
    "turned": turned,
    "split": split,
    "branched": branched,
    "listed": listed,
    "interpolated": interpolated,
}


def draw(seed):
    """A random model; every operator is drawn often in `NETWORKS` of them."""
    net = Drawn(seed)
    value = "x"
    for step in net.rng.choice([*STEP], size=STEPS):
        value = STEP[step](net, value)
    net.nodes.append(helper.make_node("Identity", [value], ["y"]))
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        net.nodes,
        "random",
        [info("x", TensorProto.FLOAT, SHAPE)],
        [info("y", TensorProto.FLOAT, SHAPE)],
        [numpy_helper.from_array(values, name) for name, values in net.stored.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


@pytest.mark.parametrize("tenth", range(10))
def test_as_onnxruntime(tenth, check_equal):
    for seed in range(tenth, NETWORKS, 10):
        try:
            check_equal(draw(seed), exact=None, stored=False, tolerance=1e-4)
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise


def test_many_of_them_have_exact_weights(save):
    """So that the laws of exact weights are tried, too."""
    paths = [save(draw(seed), f"{seed}.onnx") for seed in range(NETWORKS)]
    assert sum(read_exactly(path) is not None for path in paths) > NETWORKS / 10
