"""What is proven in real arithmetic, beside the file as onnxruntime runs it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from sensverify.cli.main import main
from sensverify.core.queries import Verdict
from sensverify.core.results import Guarantee
from sensverify.report.verification.property import property_to_dict, runtime_note
from sensverify.runs.workers import Here
from sensverify.verification import (
    PropertyReport,
    PropertyRequest,
    VerifyRequest,
    check_property,
    verify,
)
from sensverify.verification.benchmark_run import BenchmarkRequest, run_benchmark
from sensverify.verification.replay import Replay
from tests.contracts.cancelling import cancelling


def save_cancelling(path: Path, kind: int = TensorProto.FLOAT) -> Path:
    """``y = (a x + .3) - a x`` and ``y1 = .29`` with a = 1e7: 0.3 in real arithmetic."""
    dtype = np.float64 if kind == TensorProto.DOUBLE else np.float32
    arrays = {
        "w1": np.array([[1e7], [1e7]], dtype=dtype),
        "b1": np.array([0.3, 0.0], dtype=dtype),
        "w2": np.array([[1.0, -1.0], [0.0, 0.0]], dtype=dtype),
        "b2": np.array([0.0, 0.29], dtype=dtype),
    }
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"], transB=1),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "w2", "b2"], ["y"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", kind, [1, 1])],
        [helper.make_tensor_value_info("y", kind, [1, 2])],
        [numpy_helper.from_array(values, name) for name, values in arrays.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


def save_property(path: Path, asserted: str) -> Path:
    declared = "".join(f"(declare-const {name} Real)" for name in ("X_0", "Y_0", "Y_1"))
    path.write_text(f"{declared}(assert (>= X_0 0.9))(assert (<= X_0 1.1))(assert {asserted})")
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_cancelling(tmp_path / "net.onnx")


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    return save_property(tmp_path / "p.vnnlib", "(>= Y_1 Y_0)")


def ask(model: Path, asked: Path, **more: object) -> PropertyReport:
    return check_property(PropertyRequest(str(model), asked, **more))


@pytest.mark.parametrize(
    ("method", "rigorous"),
    [("branch-and-bound", False), ("branch-and-bound", True), ("highs", False)],
)
def test_what_only_rounding_violates_is_not_unsat(
    model: Path, asked: Path, method: str, rigorous: bool
) -> None:
    report = ask(model, asked, method=method, rigorous=rigorous)
    assert report.verdict is Verdict.UNKNOWN
    assert (report.guarantee, report.witness, report.certification) == (None, None, None)
    facts = report.runtime
    assert facts is not None
    assert facts.violation is not None
    # onnxruntime agrees, and the margin is as large as what it is off by.
    found = Replay(model).outputs(facts.violation.inputs, np.array([0.9]), np.array([1.1]))
    assert found is not None
    assert found.outputs[1] >= found.outputs[0]
    assert facts.margin is not None
    assert facts.margin >= 0.3 - found.outputs[0]
    (line,) = report.warnings
    assert "holds in real arithmetic" in line
    assert f"X_0 = {float(facts.violation.inputs[0])!r}" in line
    assert "report" not in line
    told = property_to_dict(report)
    assert told["verdict"] == "unknown"
    assert told["float32"]["violation"]["inputs"] == facts.violation.inputs.tolist()
    json.dumps(told, allow_nan=False)


@pytest.mark.parametrize("asks", ["(>= Y_1 Y_0)", "(>= Y_0 100000)"])
def test_among_many_boxes_one_is_found_and_far_ones_are_not_replayed(
    model: Path, tmp_path: Path, asks: str
) -> None:
    boxes = [
        f"(and (>= X_0 {0.9 + place / 50:.2f}) (<= X_0 {0.91 + place / 50:.2f}) {asks})"
        for place in range(8)
    ]
    path = tmp_path / "boxes.vnnlib"
    declared = "".join(f"(declare-const {name} Real)" for name in ("X_0", "Y_0", "Y_1"))
    path.write_text(f"{declared}(assert (or {' '.join(boxes)}))")
    report = ask(model, path)
    assert report.runtime is not None
    if "100000" in asks:
        assert (report.verdict, report.unsat_cases) == (Verdict.UNSAT, 8)
        assert (report.runtime.replayed, report.runtime.near) == (0, False)
        assert ask(model, path, rigorous=True).verdict is Verdict.UNSAT
    else:
        assert report.verdict is Verdict.UNKNOWN
        assert report.runtime.violation is not None


def test_in_double_precision_the_same_is_unsat(tmp_path: Path, asked: Path) -> None:
    report = ask(save_cancelling(tmp_path / "wide.onnx", TensorProto.DOUBLE), asked)
    assert report.verdict is Verdict.UNSAT
    assert report.guarantee is Guarantee.SOUND


def test_the_command_ends_with_3_and_says_where(model: Path, asked: Path) -> None:
    result = CliRunner().invoke(main, ["verify", str(model), "--property", str(asked)])
    assert (result.exit_code, result.stdout) == (3, "unknown\n")
    assert "holds in real arithmetic" in result.stderr
    assert "X_0 = " in result.stderr


def test_a_benchmark_says_so_too(model: Path, asked: Path, tmp_path: Path) -> None:
    (tmp_path / "instances.csv").write_text(f"{model.name},{asked.name},60\n")
    out = tmp_path / "out.csv"
    summary = run_benchmark(BenchmarkRequest(tmp_path, out, jobs=1), workers=Here()).summary
    assert summary.verdicts == {"unknown": 1}
    assert "holds in real arithmetic" in out.read_text()


def test_a_limit_within_the_margin_is_noted(model: Path, tmp_path: Path) -> None:
    """No input attains 2.5 in float32 either, but its rounding may add as much."""
    near = ask(model, save_property(tmp_path / "near.vnnlib", "(>= Y_0 2.5)"))
    far = ask(model, save_property(tmp_path / "far.vnnlib", "(>= Y_0 100)"))
    for report in (near, far):
        assert report.verdict is Verdict.UNSAT
        assert report.runtime is not None
        assert report.runtime.violation is None
        assert report.runtime.replayed > 0
        assert report.warnings == ()
    note = runtime_note(near)
    assert note is not None
    assert "real arithmetic" in note
    assert runtime_note(far) is None


def test_no_certified_row_has_another_prediction(tmp_path: Path) -> None:
    """Random networks with cancelling weights: here, in onnxruntime and in exact arithmetic."""
    certified = 0
    for seed in range(25):
        case = cancelling(seed)
        model = case.save(tmp_path / f"{seed}.onnx")
        lower, upper = (np.repeat(end[None], 2, axis=0) for end in (case.lower, case.upper))
        np.savez(tmp_path / "box.npz", lower=lower, upper=upper, y=np.array([0, 1]))
        request = VerifyRequest(str(model), box=tmp_path / "box.npz")
        replay = Replay(model)
        for sample in verify(request).samples:
            if sample.certified:
                certified += 1
                assert sample.prediction == sample.label
                center = (case.lower.astype(np.float64) + case.upper) / 2
                found = replay.outputs(center, case.lower, case.upper, nearest=True)
                assert found is not None
                assert found.outputs.argmax() == sample.label
                values = case.exact(center)
                assert values[sample.label] == max(values)
    assert certified >= 5


def test_the_file_has_the_last_word_about_its_centre(model: Path, tmp_path: Path) -> None:
    """Label 0 wins in real arithmetic by 0.01; float32 gives the other one."""
    box = tmp_path / "box.npz"
    np.savez(box, lower=[[0.9]], upper=[[1.1]], y=np.array([0]))
    for more in ({}, {"dtype": "float64"}, {"rigorous": True}, {"method": "exact"}):
        (sample,) = verify(VerifyRequest(str(model), box=box, **more)).samples
        assert sample.certified is not True
