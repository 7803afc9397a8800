"""Forged models and certificates: the checker of the examples refuses them, or they are true.

Every model here comes with a certificate that bears its digest; what the certificate claims was
proven about an honest chain of fully connected layers.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from sensverify.bounds import Crown, compute_bounds
from sensverify.certificates import (
    Claims,
    StoredModel,
    certificate_bytes,
    certify_bounds,
    check_certificate,
    read_certificate,
)
from sensverify.core.box import Box
from sensverify.errors import SensverifyError
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import Affine, Relu
from tests.certificates.example import asked, example
from tests.certificates.mutations import MUTATIONS, make_claims_false, packed, unpacked
from tests.certificates.test_mutations import Judge

pytestmark = pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")


def gemm(value: str, number: int, to: str, **attributes: Any) -> onnx.NodeProto:
    names = [value, f"W{number}", f"b{number}"]
    return helper.make_node("Gemm", names, [to], name=f"gemm{number}", transB=1, **attributes)


@cache
def honest() -> onnx.ModelProto:
    """Of two inputs, two hidden layers of two and two outputs: square, so that all wirings fit."""
    rng = np.random.default_rng(3)
    nodes = [
        gemm("x", 1, "a", alpha=1.0),
        helper.make_node("Relu", ["a"], ["r"], name="relu1"),
        gemm("r", 2, "b", beta=1.0, transA=0),
        helper.make_node("Relu", ["b"], ["s"], name="relu2"),
        gemm("s", 3, "y"),
    ]
    weights = []
    for number in (1, 2, 3):
        for name, shape in ((f"W{number}", (2, 2)), (f"b{number}", (2,))):
            weights.append(numpy_helper.from_array(rng.normal(size=shape).astype("f4"), name))
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", 2]) for n in "xy"]
    graph = helper.make_graph(nodes, "honest", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model


@cache
def proven() -> bytes:
    """Of both outputs over two boxes, as tight as slopes allow."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "honest.onnx"
        path.write_bytes(honest().SerializeToString())
        stored = StoredModel.read(path)
    lower = np.array([[-1.0, -0.5], [0.25, -1.0]])
    upper = lower + np.array([[1.5, 1.25], [0.5, 2.0]])
    box = Box(torch.from_numpy(lower), torch.from_numpy(upper))
    bounds = compute_bounds(stored.network, box, Crown(), proof=True)
    assert bounds.certificate is not None
    rows = np.concatenate([np.eye(2), -np.eye(2)])[None]
    certified = certify_bounds(stored, lower, upper, rows, bounds.certificate)
    return certificate_bytes(certified.certificate(stored, {}))


def digested(data: bytes, model: bytes) -> bytes:
    """A certificate with the digest of another model."""
    header, arrays = unpacked(data)
    header["model"]["sha256"] = hashlib.sha256(model).hexdigest()
    return packed(header, arrays)


def by_example(certificate: bytes, model: bytes, folder: Path) -> str | None:
    """Why it refuses, or None."""
    return asked(certificate, model, folder)[0]


def by_ours(certificate: bytes, model: bytes, folder: Path) -> bool:
    paths = folder / "some.cert", folder / "some.onnx"
    for path, data in zip(paths, (certificate, model), strict=True):
        path.write_bytes(data)
    try:
        check_certificate(read_certificate(paths[0]), paths[1])
    except SensverifyError:
        return False
    return True


def test_the_honest_one_is_accepted(tmp_path: Path) -> None:
    model = honest().SerializeToString()
    assert by_example(digested(proven(), model), model, tmp_path) is None


# Models


Forgery = Callable[[onnx.ModelProto], None]


def rewired(node: int, place: int, name: str) -> Forgery:
    def forge(model: onnx.ModelProto) -> None:
        model.graph.node[node].input[place] = name

    return forge


def with_attribute(node: int, name: str, value: Any, **changes: Any) -> Forgery:
    def forge(model: onnx.ModelProto) -> None:
        own = model.graph.node[node].attribute
        kept = [part for part in own if part.name != name]
        del own[:]
        own.extend([*kept, helper.make_attribute(name, value)])
        for key, content in changes.items():
            setattr(own[-1], key, content)

    return forge


def without_attribute(node: int, name: str) -> Forgery:
    def forge(model: onnx.ModelProto) -> None:
        own = model.graph.node[node].attribute
        kept = [part for part in own if part.name != name]
        del own[:]
        own.extend(kept)

    return forge


def also(field: str, *parts: Any) -> Forgery:
    """More of what a graph has many of."""

    def forge(model: onnx.ModelProto) -> None:
        getattr(model.graph, field).extend(parts)

    return forge


def changed(what: Callable[[onnx.ModelProto], Any], **values: Any) -> Forgery:
    def forge(model: onnx.ModelProto) -> None:
        for name, value in values.items():
            setattr(what(model), name, value)

    return forge


def weights(number: int, values: np.ndarray) -> Forgery:
    def forge(model: onnx.ModelProto) -> None:
        old = model.graph.initializer[number]
        old.CopyFrom(numpy_helper.from_array(values, old.name))

    return forge


def reordered(*order: int) -> Forgery:
    def forge(model: onnx.ModelProto) -> None:
        nodes = [copy.deepcopy(model.graph.node[i]) for i in order]
        del model.graph.node[:]
        model.graph.node.extend(nodes)

    return forge


def opsets(*pairs: tuple[str, int]) -> Forgery:
    def forge(model: onnx.ModelProto) -> None:
        del model.opset_import[:]
        model.opset_import.extend(helper.make_opsetid(*pair) for pair in pairs)

    return forge


def local_function(model: onnx.ModelProto) -> None:
    nodes = [helper.make_node("Neg", ["X"], ["Y"])]
    sets = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("", "Relu", ["X"], ["Y"], nodes, sets))


def external(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="w.bin")


def in_numbers(number: int) -> Forgery:
    """Weights as float_data beside raw ones."""

    def forge(model: onnx.ModelProto) -> None:
        model.graph.initializer[number].float_data.extend([5.0, 5.0])

    return forge


def sparse(model: onnx.ModelProto) -> None:
    part = model.graph.sparse_initializer.add()
    part.values.CopyFrom(numpy_helper.from_array(np.ones(1, "f4"), "W1"))
    part.indices.CopyFrom(numpy_helper.from_array(np.zeros(1, "i8"), "i"))
    part.dims.extend([2, 2])


def training(model: onnx.ModelProto) -> None:
    model.training_info.add().initialization.name = "t"


def value(name: str, shape: tuple[Any, ...] = ("batch", 2), kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def ends(which: str, *parts: Any) -> Forgery:
    def forge(model: onnx.ModelProto) -> None:
        own = getattr(model.graph, which)
        del own[:]
        own.extend(parts)

    return forge


FORGED: dict[str, Forgery] = {
    "the second layer reads what enters the ReLU": rewired(2, 0, "a"),
    "the second layer reads the input": rewired(2, 0, "x"),
    "the last layer reads the first ReLU": rewired(4, 0, "r"),
    "a ReLU reads the input": rewired(1, 0, "x"),
    "a ReLU reads itself": rewired(1, 0, "r"),
    "a ReLU reads weights": rewired(1, 0, "W1"),
    "a layer reads weights of no name": rewired(2, 1, "W9"),
    "weights are a value": rewired(2, 1, "a"),
    "biases are a value": rewired(2, 2, "a"),
    "biases are weights": rewired(2, 2, "W2"),
    "weights are biases": rewired(2, 1, "b2"),
    "biases are left out": lambda m: m.graph.node[2].input.pop(),
    "biases are empty": rewired(2, 2, ""),
    "a value of no name": rewired(2, 0, ""),
    "a fourth input": lambda m: m.graph.node[2].input.append("b1"),
    "a second input of a ReLU": lambda m: m.graph.node[1].input.append("x"),
    "two outputs of a node": lambda m: m.graph.node[1].output.append("other"),
    "no output of a node": lambda m: m.graph.node[1].output.pop(),
    "the output is a hidden value": ends("output", value("b")),
    "the output is the input": ends("output", value("x")),
    "the output is weights": ends("output", value("W1")),
    "a second output": also("output", value("b")),
    "no output": ends("output"),
    "no input": ends("input"),
    "a second input of the graph": also("input", value("x2")),
    "weights are an input": also("input", value("W1", (2, 2))),
    "another input": ends("input", value("x2")),
    "an input of three axes": ends("input", value("x", ("batch", 1, 2))),
    "an input of another size": ends("input", value("x", ("batch", 3))),
    "an input of doubles": ends("input", value("x", kind=TensorProto.DOUBLE)),
    "an output of integers": ends("output", value("y", kind=TensorProto.INT64)),
    "an output of another size": ends("output", value("y", ("batch", 1))),
    "weights named as the input": changed(lambda m: m.graph.initializer[0], name="x"),
    "weights named as a value": also(
        "initializer", numpy_helper.from_array(np.zeros((1, 2), "f4"), "r")
    ),
    "two weights of one name": also(
        "initializer", numpy_helper.from_array(np.zeros((2, 2), "f4"), "W2")
    ),
    "weights without a name": also("initializer", numpy_helper.from_array(np.zeros(2, "f4"), "")),
    "two values of one name": lambda m: m.graph.node[3].output.__setitem__(0, "r"),
    "a value named as the input": lambda m: m.graph.node[1].output.__setitem__(0, "x"),
    "the input again as the output": lambda m: m.graph.node[4].output.__setitem__(0, "x"),
    "nodes in another order": reordered(0, 3, 2, 1, 4),
    "nodes backwards": reordered(4, 3, 2, 1, 0),
    "a node left out": reordered(0, 1, 2, 4),
    "the last node left out": reordered(0, 1, 2, 3),
    "a node that nobody needs": also("node", helper.make_node("Relu", ["y"], ["unused"])),
    "a constant": also("node", helper.make_node("Constant", [], ["c"], value_float=1.0)),
    "another operator": changed(lambda m: m.graph.node[1], op_type="Neg"),
    "a leaky ReLU": changed(lambda m: m.graph.node[1], op_type="LeakyRelu"),
    "the Relu of another domain": changed(lambda m: m.graph.node[1], domain="other"),
    "the Gemm of another domain": changed(lambda m: m.graph.node[0], domain="com.microsoft"),
    "an overload": changed(lambda m: m.graph.node[1], overload="other"),
    "a local function": local_function,
    "alpha": with_attribute(0, "alpha", 2.0),
    "alpha is nothing": with_attribute(0, "alpha", 0.0),
    "alpha left to its default in protobuf": lambda m: m.graph.node[0].attribute[0].ClearField("f"),
    "alpha is an integer": with_attribute(0, "alpha", 1),
    "beta": with_attribute(2, "beta", -1.0),
    "beta is not a number": with_attribute(2, "beta", float("nan")),
    "the input transposed": with_attribute(2, "transA", 1),
    "weights not transposed": with_attribute(2, "transB", 0),
    "weights not transposed by default": without_attribute(2, "transB"),
    "weights transposed twice": with_attribute(2, "transB", 2),
    "transB is real": with_attribute(2, "transB", 1.0),
    "transB of two types": with_attribute(2, "transB", 1, f=0.0),
    "transB says that it is real": with_attribute(2, "transB", 1, type=onnx.AttributeProto.FLOAT),
    "transB of a function's": with_attribute(2, "transB", 1, ref_attr_name="t"),
    "an attribute twice": lambda m: m.graph.node[2].attribute.append(
        helper.make_attribute("transB", 0)
    ),
    "an attribute that Gemm has not": with_attribute(2, "broadcast", 1),
    "an attribute of a ReLU": with_attribute(1, "alpha", 1.0),
    "a slope of a ReLU": with_attribute(1, "alpha", 0.1),
    "doubles": weights(0, np.ones((2, 2))),
    "integers": weights(0, np.ones((2, 2), "i4")),
    "halves": weights(0, np.ones((2, 2), "f2")),
    "infinite weights": weights(0, np.array([[np.inf, 0], [0, 1]], "f4")),
    "weights that are no numbers": weights(1, np.array([np.nan, 0], "f4")),
    "weights of one row": weights(2, np.ones((1, 2), "f4")),
    "weights of one column": weights(2, np.ones((2, 1), "f4")),
    "weights of three axes": weights(2, np.ones((2, 2, 1), "f4")),
    "weights of no rows": weights(4, np.ones((0, 2), "f4")),
    "one bias for all": weights(3, np.ones(1, "f4")),
    "biases of two axes": weights(3, np.ones((1, 2), "f4")),
    "a bias that is a number": weights(3, np.ones((), "f4")),
    "other dimensions than numbers": lambda m: m.graph.initializer[0].dims.append(2),
    "a negative dimension": lambda m: m.graph.initializer[1].dims.__setitem__(0, -1),
    "numbers beside raw ones": in_numbers(1),
    "numbers and nothing raw": lambda m: m.graph.initializer[1].CopyFrom(
        helper.make_tensor("b1", TensorProto.FLOAT, [2], [1.0, 1.0])
    ),
    "external data": external,
    "a sparse initializer": sparse,
    "a segment": lambda m: setattr(m.graph.initializer[0].segment, "begin", 0),
    "training": training,
    "no operator set": opsets(),
    "an old operator set": opsets(("", 6)),
    "an operator set of the future": opsets(("", 99)),
    "two operator sets": opsets(("", 17), ("", 6)),
    "two operator sets of one meaning": opsets(("", 17), ("ai.onnx", 6)),
    "an operator set of another domain": opsets(("other", 17)),
    "an old version": changed(lambda m: m, ir_version=3),
}


def believed(certificate: bytes, model: bytes, folder: Path, *, true: bool) -> list[str]:
    """Who accepts what it should not: ours reads more, so that some forgeries are true of it."""
    who = ["example"] if by_example(certificate, model, folder) is None else []
    return [*who, "ours"] if not true and by_ours(certificate, model, folder) else who


def test_forged_models_are_refused(tmp_path: Path) -> None:
    """And not only for what they look like: many are false."""
    accepted, false = {}, 0
    for name, forge in FORGED.items():
        forged = copy.deepcopy(honest())
        forge(forged)
        data = forged.SerializeToString()
        assert data != honest().SerializeToString(), name
        certificate = digested(proven(), data)
        true = holds(certificate, data, tmp_path)
        false += not true
        accepted[name] = believed(certificate, data, tmp_path, true=true)
    assert not {name: who for name, who in accepted.items() if who}
    assert false >= 8


def key(number: int, kind: int) -> bytes:
    return bytes([number << 3 | kind])


def sized(number: int, content: bytes) -> bytes:
    return key(number, 2) + bytes([len(content)]) + content


ENCODED: dict[str, Callable[[bytes], bytes]] = {
    "a second graph, merged": lambda data: data + sized(7, sized(2, b"again")),
    "a graph of another wire type": lambda data: data + key(7, 0) + b"\1",
    "a field of nobody": lambda data: data + sized(15, b"other"),
    "a group": lambda data: data + key(6, 3) + key(6, 4),
    "zeros after the end": lambda data: data + b"\0",
    "a second version": lambda data: data + key(1, 0) + b"\x08",
    "a number without an end": lambda data: data + key(5, 0) + b"\x80" * 12,
    "cut off": lambda data: data[:-1],
    "longer than there is": lambda data: data + key(6, 2) + b"\x7f",
    "no model": lambda data: b"",
}


def test_files_with_another_reading_are_refused(tmp_path: Path) -> None:
    accepted = {}
    for name, encode in ENCODED.items():
        data = encode(honest().SerializeToString())
        certificate = digested(proven(), data)
        true = holds(certificate, data, tmp_path)
        accepted[name] = believed(certificate, data, tmp_path, true=true)
    assert not {name: who for name, who in accepted.items() if who}


def attained(model: bytes, lower: np.ndarray, upper: np.ndarray) -> np.ndarray | None:
    """What onnxruntime gives at corners and points of a box, or None where it does not run it."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        (given,) = session.get_inputs()
        share = np.random.default_rng(0).random((60, len(lower)))
        share[:20] = share[:20].round()
        points = (lower + share * (upper - lower)).astype("f4")
        found = [session.run(None, {given.name: point[None]}) for point in points]
    except Exception:  # whatever onnxruntime raises for a model that is none
        return None
    return np.array([outputs[0].reshape(-1) for outputs in found], np.float64)


def holds(certificate: bytes, model: bytes, folder: Path) -> bool:
    """Whether claims are true at the points that onnxruntime is asked, up to its rounding."""
    path = folder / "judged.cert"
    path.write_bytes(certificate)
    claims = read_certificate(path).claims
    for problem in range(claims.problems):
        outputs = attained(model, claims.lower[problem], claims.upper[problem])
        if outputs is None:
            continue
        rows = claims.rows[problem if len(claims.rows) > 1 else 0]
        if outputs.shape[1] != rows.shape[1]:
            return False
        if not (outputs @ rows.T >= claims.limits[problem] - 1e-4).all():
            return False
    return True


def mutated(rng: np.random.Generator) -> bytes:
    """An honest model after one to three random changes of its graph or bytes."""
    model = copy.deepcopy(honest())
    names = ["x", "y", "a", "b", "r", "s", "", *(f"{k}{n}" for k in "Wb" for n in (1, 2, 3))]
    graph = model.graph
    for _ in range(int(rng.integers(1, 4))):
        kind, node = int(rng.integers(8)), graph.node[int(rng.integers(len(graph.node)))]
        if kind <= 1 and node.input:
            node.input[int(rng.integers(len(node.input)))] = str(rng.choice(names))
        elif kind == 2:
            node.output[0] = str(rng.choice(names))
        elif kind == 3:
            first, second = (int(rng.integers(len(graph.node))) for _ in range(2))
            part = copy.deepcopy(graph.node[first])
            graph.node[first].CopyFrom(graph.node[second])
            graph.node[second].CopyFrom(part)
        elif kind == 4 and node.attribute:
            part = node.attribute[int(rng.integers(len(node.attribute)))]
            part.f, part.i = float(rng.choice([0, 1, 2])), int(rng.choice([0, 1]))
        elif kind == 5:
            tensor = graph.initializer[int(rng.integers(len(graph.initializer)))]
            tensor.name = str(rng.choice(names))
        elif kind == 6:
            (graph.input if rng.random() < 0.5 else graph.output)[0].name = str(rng.choice(names))
        else:
            node.op_type = str(rng.choice(["Gemm", "Relu", "Neg", "Identity"]))
    data = bytearray(model.SerializeToString())
    if rng.random() < 0.5:
        for _ in range(int(rng.integers(1, 3))):
            data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    return bytes(data)


def flipped(rng: np.random.Generator) -> bytes:
    data = bytearray(honest().SerializeToString())
    for _ in range(int(rng.integers(1, 3))):
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    return bytes(data)


@pytest.mark.parametrize("change", [mutated, flipped])
def test_no_change_of_a_model_makes_false_claims_accepted(
    change: Callable[[np.random.Generator], bytes], tmp_path: Path
) -> None:
    rng, outcomes = np.random.default_rng(7), Counter[tuple[str, bool]]()
    for number in range(150):
        model = change(rng)
        certificate = digested(proven(), model)
        for name, accepted in (
            ("example", by_example(certificate, model, tmp_path) is None),
            ("ours", by_ours(certificate, model, tmp_path)),
        ):
            assert not accepted or holds(certificate, model, tmp_path), (number, name)
            outcomes[name, accepted] += 1
    assert outcomes["example", False] > 80
    assert outcomes["example", True] <= outcomes["ours", True]


# Certificates


def with_arrays(change: Callable[[dict[str, np.ndarray]], Any]) -> Callable[[], bytes]:
    def forge() -> bytes:
        header, arrays = unpacked(proven())
        change(arrays)
        header["arrays"] = sorted(arrays)
        return packed(header, arrays)

    return forge


def put(name: str, value: Any, at: Any = ...) -> Callable[[], bytes]:
    return with_arrays(lambda arrays: arrays[name].__setitem__(at, value))


def remade(name: str, make: Callable[[np.ndarray], np.ndarray]) -> Callable[[], bytes]:
    return with_arrays(lambda arrays: arrays.__setitem__(name, make(arrays[name])))


def with_members(change: Callable[[dict[str, bytes]], Any]) -> Callable[[], bytes]:
    def forge() -> bytes:
        with zipfile.ZipFile(io.BytesIO(proven())) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        parts["header.json"] = json.dumps(json.loads(parts["header.json"])).encode()
        change(parts)
        return zipped(parts.items())

    return forge


def zipped(parts: Any) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in parts:
            archive.writestr(name, content)
    return stream.getvalue()


def with_header(change: Callable[[str], str]) -> Callable[[], bytes]:
    def forge(parts: dict[str, bytes]) -> None:
        text = parts["header.json"].decode()
        assert change(text) != text
        parts["header.json"] = change(text).encode()

    return with_members(forge)


def a_member_twice() -> bytes:
    with zipfile.ZipFile(io.BytesIO(proven())) as archive:
        parts = [(name, archive.read(name)) for name in archive.namelist()]
    stream = io.BytesIO()
    np.save(stream, np.full((2, 4), 1e6))
    with pytest.warns(UserWarning, match="Duplicate"):
        return zipped([("claims.limits.npy", stream.getvalue()), *parts])


def changed_type(name: str, dtype: str) -> Callable[[], bytes]:
    return remade(name, lambda values: values.astype(dtype))


CERTIFICATES: dict[str, Callable[[], bytes]] = {
    "an infinite limit": put("claims.limits", np.inf, (0, 0)),
    "a limit that is no number": put("claims.limits", np.nan, (0, 0)),
    "nothing is claimed": put("claims.limits", -np.inf),
    "an infinite box": put("claims.upper", np.inf, (0, 0)),
    "a box that is no number": put("claims.lower", np.nan, (0, 0)),
    "an empty box": put("claims.lower", 1e3, (0, 0)),
    "infinite rows": put("claims.rows", np.inf, (0, 0, 0)),
    "infinite slopes": put("lines.lower", np.inf),
    "slopes that are no numbers": put("lines.lower", np.nan),
    "hidden bounds that are no numbers": put("hidden.lower", np.nan),
    "infinite hidden bounds": put("hidden.upper", np.inf),
    "hidden bounds upside down": put("hidden.lower", 1e6),
    "hidden bounds of no set": put("cells.hidden", -1),
    "hidden bounds that are not there": put("cells.hidden", 2, 0),
    "the last hidden bounds, from behind": put("cells.hidden", -2, 0),
    "lines that are not there": put("cells.lines", 99),
    "lines from behind": put("cells.lines", -2),
    "lines of hidden bounds from behind": put("hidden.lines", -2),
    "a problem that is not there": put("cells.problem", 2, 0),
    "a problem from behind": put("cells.problem", -1, 0),
    "hidden bounds of another problem": put("hidden.problem", 0),
    "the last row, from behind": put("cells.group", -2),
    "a row that is not there": put("cells.group", 4),
    "cells that are split": put("cells.split", 0),
    "cells with parents": put("cells.parent", 0, 1),
    "a problem that no cell is about": put("cells.problem", 0),
    "boxes of one feature": remade("claims.lower", lambda v: v[:, :1]),
    "boxes of one row": remade("claims.upper", lambda v: v[:1]),
    "boxes of three features": remade("claims.upper", lambda v: np.repeat(v, 2, 1)[:, :3]),
    "rows of one output": remade("claims.rows", lambda v: v[:, :, :1]),
    "rows of three problems": remade("claims.rows", lambda v: np.repeat(v, 3, 0)),
    "a limit for all": remade("claims.limits", lambda v: v[:, :1]),
    "limits of one problem": remade("claims.limits", lambda v: v[:1]),
    "hidden bounds of one entry": remade("hidden.lower", lambda v: v[:, :1]),
    "hidden bounds of another entry": remade("hidden.upper", lambda v: np.repeat(v, 2, 1)),
    "slopes of one entry": remade("lines.lower", lambda v: v[:, :1]),
    "slopes above of one entry": with_arrays(
        lambda arrays: arrays.__setitem__("lines.upper", arrays["lines.lower"][:, :1])
    ),
    "cells of another number": remade("cells.group", lambda v: v[:1]),
    "limits of texts": changed_type("claims.limits", "U8"),
    "limits of complex numbers": changed_type("claims.limits", "c16"),
    "limits of truth values": changed_type("claims.limits", "?"),
    "numbers of the other order": changed_type("claims.limits", ">f8"),
    "problems that are real": changed_type("cells.problem", "f8"),
    "problems of one byte": changed_type("cells.problem", "u1"),
    "a refutation": with_arrays(
        lambda arrays: arrays.__setitem__("claims.groups", np.zeros((2, 4), np.int64))
    ),
    "no limits": with_arrays(lambda arrays: arrays.pop("claims.limits")),
    "no slopes": with_arrays(lambda arrays: arrays.pop("lines.lower")),
    "a member twice": a_member_twice,
    "bytes after an array": with_members(
        lambda parts: parts.update({"claims.limits.npy": parts["claims.limits.npy"] + b"\0" * 8})
    ),
    "an array that is an archive": with_members(
        lambda parts: parts.update({"claims.limits.npy": zipped([("a.npy", b"")])})
    ),
    "an array that the header does not name": with_members(
        lambda parts: parts.update({"more.npy": parts["claims.limits.npy"]})
    ),
    "an array cut off": with_members(
        lambda parts: parts.update({"claims.limits.npy": parts["claims.limits.npy"][:-8]})
    ),
    "a key twice": with_header(lambda text: text.replace('"claim"', '"claim": "x", "claim"')),
    "a digest twice": with_header(lambda text: text.replace('"sha256"', '"sha256": "", "sha256"')),
    "another schema": with_header(lambda text: text.replace("certificate/1", "certificate/2")),
    "other inputs": with_header(lambda text: text.replace('"inputs": [2]', '"inputs": [3]')),
    "the claim of a refutation": with_header(lambda text: text.replace("bounds", "refutation")),
    "no JSON": with_header(lambda text: text[:-3]),
    "deep JSON": with_header(lambda text: "[" * 100_000),
    "no archive": lambda: b"PK\3\4",
}


def test_forged_certificates_are_refused(tmp_path: Path) -> None:
    model, accepted = honest().SerializeToString(), {}
    for name, forge in CERTIFICATES.items():
        accepted[name] = believed(forge(), model, tmp_path, true=name in OURS)
    assert not {name: who for name, who in accepted.items() if who}


OURS = {"hidden bounds of no set", "no slopes"}
"""What is no forgery to who knows slopes by rule and layers bounded on the leaf."""


def test_no_change_of_a_certificate_makes_false_claims_accepted(tmp_path: Path) -> None:
    rng, outcomes = np.random.default_rng(0), Counter[bool]()
    model, judge = honest().SerializeToString(), Judge(chain())
    for number in range(10 * len(MUTATIONS)):
        header, arrays = unpacked(proven())
        change = MUTATIONS[number % len(MUTATIONS)]
        if rng.random() < 0.4:
            make_claims_false(rng, arrays)
        change(rng, arrays)
        header["arrays"] = sorted(arrays)
        data = packed(header, arrays)
        accepted = by_example(data, model, tmp_path) is None
        outcomes[accepted] += 1
        if accepted:
            _, read = example().read_certificate(tmp_path / "some.cert")
            claims = Claims(*(read[f"claims.{n}"] for n in ("lower", "upper", "rows", "limits")))
            assert judge.agrees(claims), (change.__name__, number)
    assert min(outcomes.values()) > 50, outcomes


def test_flipped_bits_of_a_certificate_change_no_claim(tmp_path: Path) -> None:
    rng, accepted, path = np.random.default_rng(1), 0, tmp_path / "original.cert"
    model, original = honest().SerializeToString(), packed(*unpacked(proven()))
    path.write_bytes(original)
    claimed = claims_of(path)
    for _ in range(200):
        data = bytearray(original)
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        if by_example(bytes(data), model, tmp_path) is None:
            accepted += 1
            assert claims_of(tmp_path / "some.cert") == claimed
    assert accepted < 150


def claims_of(path: Path) -> dict[str, bytes]:
    """What the example reads of a file."""
    _, arrays = example().read_certificate(path)
    return {name: values.tobytes() for name, values in arrays.items() if "claims" in name}


def chain() -> Network:
    """The honest model as our own network, without reading its file."""
    arrays = [numpy_helper.to_array(tensor).astype(float) for tensor in honest().graph.initializer]
    builder = NetworkBuilder((2,))
    node = builder.input
    for place in range(0, 6, 2):
        node = builder.add(Affine(arrays[place], arrays[place + 1]), node)
        node = builder.add(Relu(), node) if place < 4 else node
    return builder.build(node)
