"""Questions about networks with several inputs and outputs."""

import json

import jsonschema
import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

import sensverify as sv
from sensverify.certificates import check_certificate, read_certificate
from sensverify.cli.main import main
from sensverify.errors import BadData, BadSetting, BadShape
from sensverify.formats.onnx.runtime import open_session
from sensverify.report.schemas import result_schema
from sensverify.report.verification.counterexample import file_of
from sensverify.report.verification.json import report_to_dict
from sensverify.verification import PropertyRequest, check_property

RNG = np.random.default_rng(2)
W = {
    "a": RNG.normal(size=(4, 3)),
    "b": RNG.normal(size=(2, 3)),
    "c": RNG.normal(size=(3, 2)),
    "d": RNG.normal(size=(3, 1)),
}


def info(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """``kind`` and ``risk`` of ``relu(image a + pose b)``."""
    node = helper.make_node
    nodes = [
        node("Flatten", ["image"], ["flat"]),
        node("MatMul", ["flat", "a"], ["u"]),
        node("MatMul", ["pose", "b"], ["v"]),
        node("Add", ["u", "v"], ["s"]),
        node("Relu", ["s"], ["r"]),
        node("MatMul", ["r", "c"], ["kind"]),
        node("MatMul", ["r", "d"], ["risk"]),
    ]
    stored = [numpy_helper.from_array(v.astype(np.float32), k) for k, v in W.items()]
    graph = helper.make_graph(
        nodes,
        "two",
        [info("image", ("n", 2, 2)), info("pose", ("n", 2))],
        [info("kind", ("n", 2)), info("risk", ("n", 1))],
        stored,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    where = tmp_path_factory.mktemp("two") / "two.onnx"
    onnx.save(model, where)
    return where


@pytest.fixture
def samples():
    return {
        "image": RNG.normal(size=(6, 2, 2)).astype(np.float32),
        "pose": RNG.normal(size=(6, 2)).astype(np.float32),
    }


def theirs(path, samples):
    session = open_session(onnx.load(path))
    found = session.run(None, {k: v for k, v in samples.items() if k != "y"})
    return np.concatenate([each.reshape(len(each), -1) for each in found], axis=1)


def test_boxes_of_samples_given_by_name(path, samples, tmp_path):
    report = sv.verify(path, samples, radius=0.0)
    wanted = theirs(path, samples)
    for sample, row in zip(report.samples, wanted, strict=True):
        np.testing.assert_allclose(sample.output, row, rtol=1e-5, atol=1e-5)
    assert report.model.output_names == ("kind[0]", "kind[1]", "risk")
    assert all(sample.judged == "nothing" for sample in report.samples)
    file = tmp_path / "samples.npz"
    np.savez(file, **samples)
    again = sv.verify(path, data=file, radius=0.0)
    flat = np.concatenate([samples["image"].reshape(6, 4), samples["pose"]], axis=1)
    third = sv.verify(path, flat, radius=0.0)
    for other in (again, third):
        assert [s.lower.tolist() for s in other.samples] == [
            s.lower.tolist() for s in report.samples
        ]


def test_json_has_the_names(path, samples):
    found = json.loads(json.dumps(report_to_dict(sv.verify(path, samples, radius=0.1))))
    jsonschema.validate(found, result_schema("verify"))
    ends = found["model"]["ends"]
    assert [port["name"] for port in ends["inputs"]] == ["image", "pose"]
    assert [port["shape"] for port in ends["outputs"]] == [[1, 2], [1, 1]]
    one = report_to_dict(sv.verify("iris", samples=(0, 1)))
    assert "ends" not in one["model"]


def test_one_output_is_chosen_and_classes_are_judged(path, samples, tmp_path):
    samples["y"] = theirs(path, samples)[:, :2].argmax(axis=1)
    report = sv.verify(path, samples, radius=3.0, output="kind")
    found = [s.counterexample for s in report.samples if s.counterexample is not None]
    assert found
    file = tmp_path / "counterexamples.npz"
    file.write_bytes(file_of(report))
    with np.load(file) as arrays:
        held = dict(arrays)
    assert {"image", "pose", "y", "becomes"} <= held.keys()
    assert "x" not in held
    assert held["image"].shape == (len(found), 2, 2)
    np.testing.assert_array_equal(
        theirs(path, {k: held[k].astype(np.float32) for k in ("image", "pose")})[:, :2].argmax(1),
        held["becomes"],
    )
    # What was written is read again.
    sv.verify(path, data=file, radius=0.0, output="kind")


def test_boxes_by_name(path, samples, tmp_path):
    ends = {}
    for name, values in samples.items():
        ends[f"{name}.lower"], ends[f"{name}.upper"] = values, values + (name == "pose") * 0.5
    file = tmp_path / "box.npz"
    np.savez(file, **ends)
    report = sv.verify(path, box=file)
    for share in (0.0, 0.3, 1.0):
        moved = {"image": samples["image"], "pose": samples["pose"] + np.float32(0.5 * share)}
        for sample, row in zip(report.samples, theirs(path, moved), strict=True):
            assert (row >= sample.lower - 1e-5).all()
            assert (row <= sample.upper + 1e-5).all()
    del ends["pose.upper"]
    np.savez(file, **ends)
    with pytest.raises(BadData, match=r"pose\.upper"):
        sv.verify(path, box=file)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda s: s.pop("pose"), BadShape, "'pose'"),
        (lambda s: s.update(pose=s["pose"][:, :1]), BadShape, "'pose' has the shape"),
        (lambda s: s.update(pose=s["pose"][:2]), BadShape, "'pose' 2"),
    ],
)
def test_samples_that_do_not_fit(change, error, words, path, samples):
    change(samples)
    with pytest.raises(error, match=words):
        sv.verify(path, samples, radius=0.1)


def test_a_file_without_an_input(path, samples, tmp_path):
    file = tmp_path / "samples.npz"
    np.savez(file, image=samples["image"])
    with pytest.raises(BadData, match="'pose'"):
        sv.verify(path, data=file, radius=0.1)


def test_names_for_a_network_of_one_input():
    with pytest.raises(BadData, match="one input"):
        sv.verify("iris", {"image": np.zeros((1, 4))}, radius=0.1)


def test_classes_of_several_outputs(path, samples):
    with pytest.raises(BadSetting, match="the outputs kind, risk") as caught:
        sv.verify(path, samples, radius=0.1, top_k=2)
    assert "`output`" in caught.value.remedy


def test_certificates_are_about_all_inputs_and_outputs(path, samples, tmp_path):
    report = sv.verify(path, samples, radius=0.1, rigorous=True)
    file = tmp_path / "two.cert"
    file.write_bytes(report.certification.data)
    assert check_certificate(read_certificate(file), path).problems == 6
    done = CliRunner().invoke(main, ["check", str(file), str(path), "--json", "-"])
    found = json.loads(done.stdout)
    jsonschema.validate(found, result_schema("check"))
    assert [port["name"] for port in found["model"]["ends"]["outputs"]] == ["kind", "risk"]
    shown = " ".join(CliRunner().invoke(main, ["check", str(file), str(path)]).stdout.split())
    assert "x0 to x3 are image, x4 to x5 pose; y0 to y1 are kind, y2 risk" in shown


def test_a_property_counts_through_all_inputs(path, tmp_path):
    lines = [f"(declare-const X_{i} Real)" for i in range(6)]
    lines += [f"(declare-const Y_{i} Real)" for i in range(3)]
    lines += [f"(assert (>= X_{i} 0.1)) (assert (<= X_{i} 0.9))" for i in range(6)]
    at = theirs(
        path,
        {"image": np.full((1, 2, 2), 0.5, np.float32), "pose": np.full((1, 2), 0.5, np.float32)},
    )[0]
    for limit, verdict in ((at[2] - 0.01, "sat"), (at[2] + 100, "unsat")):
        file = tmp_path / "asked.vnnlib"
        file.write_text("\n".join([*lines, f"(assert (>= Y_2 {limit:.6f}))"]))
        found = check_property(PropertyRequest(str(path), file))
        assert found.verdict.value == verdict
    unsat = check_property(PropertyRequest(str(path), file, rigorous=True))
    assert unsat.certification is not None


@pytest.fixture(scope="module")
def chosen(tmp_path_factory):
    """``y = row(token) + x``, with rows 0, 3 and 1."""
    nodes = [
        helper.make_node("Gather", ["table", "token"], ["row"]),
        helper.make_node("Reshape", ["row", "shape"], ["flat"]),
        helper.make_node("Add", ["flat", "x"], ["y"]),
    ]
    stored = [
        numpy_helper.from_array(np.array([[0], [3], [1]], np.float32), "table"),
        numpy_helper.from_array(np.array([1, 1]), "shape"),
    ]
    inputs = [info("token", (1, 1), TensorProto.INT64), info("x", (1, 1))]
    graph = helper.make_graph(nodes, "chosen", inputs, [info("y", (1, 1))], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    where = tmp_path_factory.mktemp("chosen") / "chosen.onnx"
    onnx.save(model, where)
    return where


@pytest.mark.parametrize(
    ("token", "limits", "verdict", "witness"),
    [
        ((0, 2), (2.5, 9), "sat", 1),
        # Between rows 0 and 1 the interpolation passes 2; no row does.
        ((0, 2), (1.5, 2.5), "unsat", None),
        ((0, 0), (0.5, 9), "unsat", None),
        ((-1, -1), (0.9, 1.1), "sat", -1),
        # No integer is between these.
        ((0.25, 0.75), (-9, 9), "unsat", None),
    ],
)
def test_integers_are_looked_at_one_by_one(token, limits, verdict, witness, chosen, tmp_path):
    file = tmp_path / "asked.vnnlib"
    file.write_text(
        "(declare-const X_0 Real) (declare-const X_1 Real) (declare-const Y_0 Real)"
        f"(assert (>= X_0 {token[0]})) (assert (<= X_0 {token[1]}))"
        "(assert (>= X_1 -0.1)) (assert (<= X_1 0.1))"
        f"(assert (>= Y_0 {limits[0]})) (assert (<= Y_0 {limits[1]}))"
    )
    found = check_property(PropertyRequest(str(chosen), file))
    assert found.verdict.value == verdict
    if witness is not None:
        assert found.witness.inputs[0] == witness


def test_an_input_called_y_is_no_label(path, samples, tmp_path):
    model = onnx.load(path)
    model.graph.input[1].name = "y"
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if name == "pose":
                node.input[place] = "y"
    renamed = tmp_path / "y.onnx"
    onnx.save(model, renamed)
    samples["y"] = samples.pop("pose")
    file = tmp_path / "samples.npz"
    np.savez(file, **samples)
    for data in (samples, file):
        report = sv.verify(renamed, data=data, radius=3.0, output="kind")
        assert all(sample.label is None for sample in report.samples)
    found = [s.counterexample for s in report.samples if s.counterexample is not None]
    assert found
    written = tmp_path / "found.npz"
    written.write_bytes(file_of(report))
    with np.load(written) as arrays:
        assert arrays["y"].shape == (len(found), 2)
        assert arrays["example.y"].shape == (len(found),)


@pytest.mark.parametrize(
    ("kind", "limit", "verdict"),
    [
        ("real", 3.5, "sat"),
        ("float32", 3.5, "sat"),
        ("real", 60, "unsat"),
        ("float32", 60, "unsat"),
    ],
)
def test_a_property_in_version_2_is_meant_as_declared(kind, limit, verdict, path, tmp_path):
    lines = [
        "(vnnlib-version <2.0>)",
        f"(declare-network f (declare-input I {kind} [1,2,2]) (declare-input P {kind} [1,2])",
        f"(declare-output K {kind} [1,2]) (declare-output R {kind} [1,1]))",
        *(f"(assert (and (>= I[0,{i}] -3.0) (<= I[0,{i}] 3.0)))" for i in ("0,0", "0,1")),
        *(f"(assert (and (>= I[0,{i}] -3.0) (<= I[0,{i}] 3.0)))" for i in ("1,0", "1,1")),
        *(f"(assert (and (>= P[0,{i}] -3.0) (<= P[0,{i}] 3.0)))" for i in range(2)),
        f"(assert (or (>= R[0,0] {limit}.0) (<= R[0,0] -{limit}.0)))".replace(".5.0", ".5"),
    ]
    file = tmp_path / "asked.vnnlib"
    file.write_text("\n".join(lines))
    found = check_property(PropertyRequest(str(path), file))
    assert found.verdict.value == verdict
    assert (found.guarantee is None) is (verdict == "sat")
    if found.witness is not None:
        parts = {
            "image": found.witness.inputs[:4].reshape(1, 2, 2),
            "pose": found.witness.inputs[4:],
        }
        given = {
            k: v.reshape(1, *v.shape[-2:]) if k == "image" else v[None] for k, v in parts.items()
        }
        given = {k: np.float32(v) for k, v in given.items()}
        np.testing.assert_array_equal(theirs(path, given)[0], found.witness.outputs)


def test_names_of_a_file_are_text_on_a_page(path, samples, tmp_path):
    model = onnx.load(path)
    hostile = "<img src=x onerror=alert(1)>"
    for items in (model.graph.output, model.graph.node):
        for item in items:
            if isinstance(item, onnx.NodeProto):
                item.output[:] = [hostile if name == "risk" else name for name in item.output]
            elif item.name == "risk":
                item.name = hostile
    renamed = tmp_path / "hostile.onnx"
    onnx.save(model, renamed)
    page = sv.verify(renamed, samples, radius=0.1).to_html()
    assert hostile not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
