"""Parameters of a network read with ``simplified=False``, number by number."""

import gzip
import hashlib
from fractions import Fraction

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from sensverify.bounds import forward_pass
from sensverify.errors import BadModelFile, UnsupportedOperator
from sensverify.formats.onnx import load_onnx, read_onnx, reader

RNG = np.random.default_rng(0)


def floats(*shape, dtype=np.float32):
    return RNG.uniform(0.5, 2, size=shape).astype(dtype)


@pytest.fixture
def load_both(make_model, save, check_equal):
    """The network of some nodes as stored, and simplified; both equal to onnxruntime."""

    def load(nodes, shape, constants=None, *, opset=17, element=TensorProto.FLOAT):
        model = make_model(nodes, shape, constants, opset=opset, element=element)
        simple = check_equal(model, tolerance=1e-5 if element == TensorProto.FLOAT else 1e-13)
        return load_onnx(save(model), simplified=False), simple

    return load


def kinds(network):
    return [type(node.operator).__name__ for node in network.nodes[1:]]


def operator(network, kind):
    (found,) = [n.operator for n in network.nodes if type(n.operator).__name__ == kind]
    return found


def assert_same(found, expected):
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found.reshape(-1), expected.reshape(-1))


@pytest.mark.parametrize("shape", [(1, 3, 4, 2), (1, 3, 4), (1, 3), (2, 3, 4)], ids=str)
def test_batch_normalisation(shape, load_both):
    arrays = {name: floats(3) for name in "wbmv"}
    nodes = [helper.make_node("BatchNormalization", ["x", *"wbmv"], ["y"])]
    stored, simple = load_both(nodes, shape, arrays)
    norm = operator(stored, "BatchNorm")
    for values, name in zip(
        (norm.weight, norm.bias, norm.mean, norm.variance), "wbmv", strict=True
    ):
        assert_same(values, np.tile(arrays[name], shape[0]))
    assert norm.epsilon == float(np.float32(1e-5))
    assert set(kinds(simple)) <= {"Scale", "Reshape"}


def test_batch_normalisation_behind_a_new_axis(load_both):
    """An axis of length 1 is no reason for reshaping: the layers still become one."""
    arrays = {name: floats(3) for name in "bmv"} | {"w": floats(4, 3), "s": floats(3)}
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Unsqueeze", ["a", "axes"], ["c"]),
        helper.make_node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"]),
        helper.make_node("Flatten", ["n"], ["y"]),
    ]
    stored, simple = load_both(nodes, (1, 4), arrays | {"axes": np.array([2])})
    assert kinds(stored) == ["Affine", "BatchNorm"]
    assert kinds(simple) == ["Affine"]


def test_batch_normalisation_of_channels_that_come_second(load_both):
    arrays = {name: floats(3) for name in "wbmv"} | {"shape": np.array([1, 3])}
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["a"]),
        helper.make_node("BatchNormalization", ["a", *"wbmv"], ["y"]),
    ]
    stored, _ = load_both(nodes, (1, 1, 3), arrays)
    assert kinds(stored) == ["Reshape", "BatchNorm"]


def test_division(load_both):
    divisor = floats(3, 1)
    stored, simple = load_both(
        [helper.make_node("Div", ["x", "d"], ["y"])], (1, 3, 4), {"d": divisor}
    )
    assert_same(operator(stored, "Divide").divisor, divisor)
    assert kinds(simple) == ["Scale"]


@pytest.mark.parametrize("padded", [False, True])
def test_average_pooling(padded, load_both):
    pads = [1, 1, 1, 1] if padded else [0, 0, 0, 0]
    nodes = [helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[3, 3], pads=pads)]
    stored, simple = load_both(nodes, (1, 2, 5, 5))
    assert kinds(stored) == ["Conv", "Divide"]
    assert (operator(stored, "Conv").weight == 1).all()
    counts = set(operator(stored, "Divide").divisor.reshape(-1).tolist())
    assert counts == ({4, 6, 9} if padded else {9})
    assert kinds(simple) == (["Conv", "Scale"] if padded else ["Conv"])


@pytest.mark.parametrize("kind", ["ReduceMean", "GlobalAveragePool"])
def test_means(kind, load_both):
    attributes = {"axes": [2, 3]} if kind == "ReduceMean" else {}
    nodes = [helper.make_node(kind, ["x"], ["y"], **attributes)]
    stored, simple = load_both(nodes, (1, 2, 3, 5))
    assert (operator(stored, "Affine").weight == 1).all()
    assert operator(stored, "Divide").divisor == 15
    assert (operator(simple, "Affine").weight == 1 / 15).all()
    assert "Divide" not in kinds(simple)


def test_mean_of_inputs(load_both):
    nodes = [
        helper.make_node("Neg", ["x"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Mean", ["x", "b", "c"], ["y"]),
    ]
    stored, _ = load_both(nodes, (1, 4), {"c": floats(4)})
    assert operator(stored, "Divide").divisor == 3


def test_several_constants_are_added_one_by_one(load_both):
    arrays = {"c": floats(4), "d": floats(3, 1), "e": floats(1)}
    nodes = [helper.make_node("Sum", ["c", "x", "d", "e"], ["y"])]
    stored, simple = load_both(nodes, (1, 3, 4), arrays)
    shifts = [node.operator.shift for node in stored.nodes[1:]]
    for shift, name in zip(shifts, "cde", strict=True):
        assert_same(shift, arrays[name])
    assert kinds(simple) == ["Scale"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("beta", [1.0, 0.3, 0.0])
@pytest.mark.parametrize("alpha", [1.0, 0.7])
def test_gemm(alpha, beta, dtype, load_both):
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    weight, bias = floats(4, 3, dtype=dtype), floats(3, dtype=dtype)
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["y"], alpha=alpha, beta=beta)]
    stored, simple = load_both(nodes, (1, 4), {"w": weight, "b": bias}, element=element)
    assert kinds(simple) == ["Affine"]
    assert_same(operator(stored, "Affine").weight.T, weight)
    if beta:
        (shift,) = [
            n.operator.shift for n in stored.nodes if getattr(n.operator, "shift", None) is not None
        ]
        assert_same(shift, bias)
    scales = [
        n.operator.scale for n in stored.nodes if getattr(n.operator, "scale", None) is not None
    ]
    assert [float(s) for s in scales] == [
        float(np.float32(n)) for n in (alpha, beta) if n not in (0, 1)
    ]


@pytest.mark.parametrize("transposed", [0, 1])
def test_gemm_with_the_constant_on_the_left(transposed, load_both):
    weight, bias = floats(3, 4, dtype=np.float64), floats(3, 1, dtype=np.float64)
    given = weight.T.copy() if transposed else weight
    nodes = [
        helper.make_node("Gemm", ["w", "x", "b"], ["y"], alpha=0.7, beta=0.3, transA=transposed)
    ]
    shape, element = (4, 2), TensorProto.DOUBLE
    stored, simple = load_both(nodes, shape, {"w": given, "b": bias}, element=element)
    assert_same(operator(stored, "Affine").weight, weight)
    assert kinds(simple).count("Affine") == 1
    assert kinds(simple)[:3] == ["Permute", "Affine", "Permute"]


def test_the_stored_network_is_exactly_the_file(load_both):
    """In rational arithmetic, node by node, against the formula of the file."""
    arrays = {"w": floats(3, 2), "b": floats(2), "c": floats(2), "d": floats(2)}
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["h"], alpha=0.7, beta=0.3),
        helper.make_node("Sum", ["h", "c", "d"], ["s"]),
        helper.make_node("Div", ["s", "d"], ["y"]),
    ]
    stored, _ = load_both(nodes, (1, 3), arrays)
    x = [Fraction(float(value)) for value in floats(3)]
    w, b, c, d = (
        [[Fraction(float(v)) for v in row] for row in np.atleast_2d(arrays[n])] for n in "wbcd"
    )
    alpha, beta = (Fraction(float(np.float32(value))) for value in (0.7, 0.3))
    product = [sum(x[i] * w[i][j] for i in range(3)) for j in range(2)]
    expected = [
        (alpha * product[j] + beta * b[0][j] + c[0][j] + d[0][j]) / d[0][j] for j in range(2)
    ]
    assert exactly(stored, x) == expected


def exactly(network, x):
    """The output of a chain of `Affine`, `Scale` and `Divide` in rational arithmetic."""

    def rational(values, count):
        return [Fraction(float(value)) for value in np.broadcast_to(values, count)]

    for node in network.nodes[1:]:
        step = node.operator
        if type(step).__name__ == "Affine":
            assert step.bias is None
            rows = [rational(row, len(x)) for row in step.weight]
            x = [sum(a * b for a, b in zip(row, x, strict=True)) for row in rows]
        elif type(step).__name__ == "Divide":
            x = [a / b for a, b in zip(x, rational(step.divisor, len(x)), strict=True)]
        else:
            scale = rational(1 if step.scale is None else step.scale, len(x))
            shift = rational(0 if step.shift is None else step.shift, len(x))
            x = [a * b + c for a, b, c in zip(scale, x, shift, strict=True)]
    return x


INEXACT = {
    "Exp": (["c"], {}),
    "Log": (["c"], {}),
    "Pow": (["c", "d"], {}),
    "Sigmoid": (["c"], {}),
    "Tanh": (["c"], {}),
    "MatMul": (["m", "m"], {}),
    "Gemm": (["m", "m"], {"alpha": 0.5}),
    "ReduceMean": (["m"], {"axes": [0]}),
    "Sum": (["c", "d", "c"], {}),
    "Mean": (["c", "d", "c"], {}),
    "Cast": (["wide"], {"to": TensorProto.BFLOAT16}),
}
CONSTANTS = {"c": floats(4), "d": floats(4), "m": floats(4, 4), "i": np.array([1, 2, 3, 4])}
CONSTANTS["wide"] = floats(4, dtype=np.float64)


def on_constants(kind, inputs, attributes):
    return [
        helper.make_node(kind, inputs, ["a"], name="node", **attributes),
        helper.make_node("Add", ["x", "a"], ["y"]),
    ]


@pytest.mark.parametrize("kind", INEXACT)
def test_constants_without_a_definite_value_are_refused(kind, make_model, save):
    path = save(make_model(on_constants(kind, *INEXACT[kind]), (1, 4), CONSTANTS))
    # onnxruntime adds no bfloat16.
    assert load_onnx(path, runtime_check=kind != "Cast").output_shape[-1] == 4
    with pytest.raises(UnsupportedOperator, match=rf"{kind} \(node 'node'\).*last digits"):
        load_onnx(path, simplified=False)


EXACT = {
    "Sqrt": (["c"], np.sqrt(CONSTANTS["c"])),
    "Reciprocal": (["c"], 1 / CONSTANTS["c"]),
    "Add": (["c", "d"], CONSTANTS["c"] + CONSTANTS["d"]),
    "Mul": (["c", "d"], CONSTANTS["c"] * CONSTANTS["d"]),
    "Div": (["c", "d"], CONSTANTS["c"] / CONSTANTS["d"]),
}


@pytest.mark.parametrize("kind", EXACT)
def test_constants_that_are_rounded_correctly_are_computed(kind, make_model, save):
    inputs, expected = EXACT[kind]
    path = save(make_model(on_constants(kind, inputs, {}), (1, 4), CONSTANTS))
    assert_same(operator(load_onnx(path, simplified=False), "Scale").shift, expected)


def test_powers_of_integers_are_exact(make_model, save):
    nodes = [
        helper.make_node("Pow", ["i", "i"], ["p"]),
        helper.make_node("Cast", ["p"], ["a"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "a"], ["y"]),
    ]
    network = load_onnx(save(make_model(nodes, (1, 4), CONSTANTS)), simplified=False)
    assert operator(network, "Scale").shift.tolist() == [1, 4, 27, 256]


DEFAULTS = [("LeakyRelu", "alpha"), ("HardSigmoid", "alpha"), ("HardSigmoid", "beta")]


@pytest.mark.parametrize(("kind", "name"), DEFAULTS)
def test_defaults_are_those_of_the_standard(kind, name, make_model, save):
    """In single precision, as attributes are and runtimes have them."""
    standard = onnx.defs.get_schema(kind, 17).attributes[name].default_value.f
    assert standard == float(np.float32(standard))
    network = load_onnx(save(make_model([helper.make_node(kind, ["x"], ["y"])], (1, 3))))
    step = network.nodes[1].operator
    found = step.slope if kind == "LeakyRelu" else step.scale if name == "alpha" else step.shift
    assert float(found) == standard


def test_the_default_epsilon_is_that_of_onnxruntime(load_both):
    """In double precision, a variance of 0 shows every digit of it."""
    arrays = {n: np.array([v], np.float64) for n, v in zip("wbmv", (1, 0, 0, 0), strict=True)}
    nodes = [helper.make_node("BatchNormalization", ["x", *"wbmv"], ["y"])]
    load_both(nodes, (1, 1, 2), arrays, element=TensorProto.DOUBLE)


@pytest.mark.parametrize("simplified", [True, False])
@pytest.mark.parametrize("divisor", [0.0, np.inf])
def test_divisors_that_are_none(divisor, simplified, make_model, save):
    constants = {"d": np.array([1, divisor, 1], np.float32)}
    path = save(make_model([helper.make_node("Div", ["x", "d"], ["y"])], (1, 3), constants))
    with pytest.raises(BadModelFile, match=r"division by zero|infinity"):
        load_onnx(path, simplified=simplified)


def test_integers_that_float64_does_not_hold_are_refused(make_model, save):
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Concat", ["a", "i"], ["y"], name="node", axis=1),
    ]
    model = make_model(nodes, (1, 1), {"i": np.array([[2**53 + 1]])})
    with pytest.raises(UnsupportedOperator, match="2 to the 53"):
        load_onnx(save(model))


def chain(make_model):
    nodes = [helper.make_node("Mul", ["x", "c"], ["y"])]
    return make_model(nodes, (1, 3), {"c": floats(3)}).SerializeToString()


def test_digest_of_the_file_as_it_is_on_disk(make_model, save):
    contents = chain(make_model)
    for stored, name in ((contents, "a.onnx"), (gzip.compress(contents), "a.onnx.gz")):
        model = read_onnx(save(stored, name))
        assert model.sha256 == hashlib.sha256(stored).hexdigest()
        assert model.external == ()
        assert model.network.digest == load_onnx(save(contents)).digest


def test_digest_and_network_are_of_the_same_bytes(make_model, save, monkeypatch):
    """A file that is replaced while it is read is reported as what was read."""
    contents = chain(make_model)
    path = save(contents)
    unpacked = reader.unpacked

    def replaced(*arguments):
        path.write_bytes(chain(make_model))
        return unpacked(*arguments)

    expected = load_onnx(path).digest
    monkeypatch.setattr(reader, "unpacked", replaced)
    model = read_onnx(path)
    assert path.read_bytes() != contents
    assert model.sha256 == hashlib.sha256(contents).hexdigest()
    assert model.network.digest == expected


def test_digests_of_external_data(make_model, save, tmp_path):
    constants = {"c": floats(3), "d": floats(3), "e": floats(3)}
    nodes = [helper.make_node("Sum", ["x", "c", "d", "e"], ["y"])]
    model = make_model(nodes, (1, 3), constants)
    places = {"c": ("two.bin", 12), "d": ("one.bin", 0), "e": ("two.bin", 0)}
    contents = {"one.bin": bytearray(12), "two.bin": bytearray(24)}
    for tensor in model.graph.initializer:
        location, offset = places[tensor.name]
        contents[location][offset : offset + 12] = tensor.raw_data
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, "offset": str(offset)}.items():
            tensor.external_data.add(key=key, value=value)
    for name, values in contents.items():
        (tmp_path / name).write_bytes(values)
    read = read_onnx(save(model))
    taken = {"one.bin": constants["d"].tobytes(), "two.bin": constants["c"].tobytes()}
    taken["two.bin"] += constants["e"].tobytes()
    assert read.external == tuple((n, hashlib.sha256(taken[n]).hexdigest()) for n in sorted(taken))
    x = torch.zeros(1, 3, dtype=torch.float64)
    total = sum(values.astype(np.float64) for values in constants.values())
    np.testing.assert_allclose(forward_pass(read.network, x).numpy()[0], total, rtol=1e-15)
