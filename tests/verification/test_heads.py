"""Files that end in a softmax: labels and comparisons through it, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from sensverify.core.queries import Verdict
from sensverify.core.results import Guarantee
from sensverify.errors import BadProperty, BadSetting
from sensverify.report.verification.json import report_to_json
from sensverify.report.verification.property import property_to_dict, summary_line
from sensverify.verification import PropertyRequest, VerifyRequest, check_property, verify
from tests.report.shown import verify_page, verify_text

RNG = np.random.default_rng(0)
WEIGHTS = {
    "w": RNG.normal(size=(4, 8)).astype(np.float32),
    "v": RNG.normal(size=(8, 3)).astype(np.float32),
}
X = RNG.normal(size=(12, 4)).astype(np.float32)


def logits(x: np.ndarray) -> np.ndarray:
    return np.maximum(x @ WEIGHTS["w"], 0) @ WEIGHTS["v"]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """One network without and with a softmax at its end, its data, and data without labels."""
    info, found = helper.make_tensor_value_info, {}
    for end in ("Identity", "Softmax", "LogSoftmax"):
        nodes = [
            helper.make_node("MatMul", ["x", "w"], ["h"]),
            helper.make_node("Relu", ["h"], ["r"]),
            helper.make_node("MatMul", ["r", "v"], ["z"]),
            helper.make_node(end, ["z"], ["y"]),
        ]
        graph = helper.make_graph(
            nodes,
            "test",
            [info("x", TensorProto.FLOAT, (1, 4))],
            [info("y", TensorProto.FLOAT, (1, 3))],
            [numpy_helper.from_array(values, name) for name, values in WEIGHTS.items()],
        )
        versions = [helper.make_opsetid("", 17)]
        found[end] = tmp_path / f"{end}.onnx"
        onnx.save(helper.make_model(graph, opset_imports=versions, ir_version=8), found[end])
    np.savez(tmp_path / "data.npz", x=X, y=logits(X).argmax(axis=1))
    np.savez(tmp_path / "bare.npz", x=X)
    return found | {name: tmp_path / f"{name}.npz" for name in ("data", "bare")}


def request(files: dict[str, Path], end: str, data: str = "data", **options: Any) -> VerifyRequest:
    return VerifyRequest(str(files[end]), data=str(files[data]), radius=0.1, **options)


@pytest.mark.parametrize("end", ["Softmax", "LogSoftmax"])
def test_labels_are_those_of_the_network_before_it(end: str, files: dict[str, Path]) -> None:
    plain, report = verify(request(files, "Identity")), verify(request(files, end))
    assert [s.certified for s in report.samples] == [s.certified for s in plain.samples]
    assert {True, False} <= {s.certified for s in report.samples}
    assert [s.prediction for s in report.samples] == logits(X).argmax(axis=1).tolist()
    assert (str(report.model.head), plain.model.head) == (end, None)


def test_a_file_that_cannot_be_run_certifies_nothing(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a head, the file's own label at the sample is part of the claim."""
    assert any(each.certified for each in verify(request(files, "Softmax")).samples)

    def broken(*_: object) -> None:
        raise RuntimeError("no kernel")

    monkeypatch.setattr("sensverify.formats.onnx.original.OriginalFile.outputs", broken)
    report = verify(request(files, "Softmax"))
    assert {each.certified for each in report.samples} == {None}
    assert "what needs one stays undecided" in caplog.text


def test_every_report_says_so(files: dict[str, Path]) -> None:
    report, plain = verify(request(files, "Softmax")), verify(request(files, "Identity"))
    assert json.loads(report_to_json(report))["model"]["head"]["operators"] == ["Softmax"]
    assert json.loads(report_to_json(plain))["model"]["head"] is None
    for shown, expected in ((report, True), (plain, False)):
        assert ("ends in Softmax" in verify_text(shown, width=500)) == expected
        assert ("ends in Softmax" in verify_page(shown)) == expected


REFUSED: list[dict[str, Any]] = [
    {"max_width": 3.0},
    {"max_log_volume": 1.0},
]


@pytest.mark.parametrize("changes", REFUSED, ids=str)
def test_what_the_order_does_not_answer_is_refused(
    changes: dict[str, Any], files: dict[str, Path]
) -> None:
    verify(request(files, "Identity", **changes))
    with pytest.raises(BadSetting, match="ends in Softmax"):
        verify(request(files, "Softmax", **changes))


def test_without_labels_the_box_is_that_of_the_logits(files: dict[str, Path]) -> None:
    plain, report = (verify(request(files, end, data="bare")) for end in ("Identity", "Softmax"))
    for ours, theirs in zip(report.samples, plain.samples, strict=True):
        np.testing.assert_array_equal(ours.lower, theirs.lower)
        np.testing.assert_array_equal(ours.upper, theirs.upper)


@pytest.mark.parametrize("end", ["Identity", "Softmax"])
def test_probabilities_of_points_of_the_box_are_within(end: str, files: dict[str, Path]) -> None:
    report = verify(request(files, end, probabilities=True))
    rng = np.random.default_rng(4)
    for sample, x in zip(report.samples, X, strict=False):
        found = logits(x + 0.1 * rng.choice([-1, 1], (200, 4)))
        shares = np.exp(found) / np.exp(found).sum(axis=1, keepdims=True)
        assert (sample.probability_lower <= shares.min(axis=0)).all()
        assert (sample.probability_upper >= shares.max(axis=0)).all()
    written = json.loads(report_to_json(report))["samples"][0]["probabilities"]
    assert written["lower"] == report.samples[0].probability_lower.tolist()
    assert " – " in verify_text(report, width=200)


def test_thresholds_are_about_probabilities_where_those_are_asked_for(
    files: dict[str, Path],
) -> None:
    widest = max(
        float(sample.probabilities.widths.max())
        for sample in verify(request(files, "Softmax", probabilities=True)).samples
    )
    for limit, status in ((widest, 0), (widest * 0.999, 1), (0.0, 1)):
        report = verify(request(files, "Softmax", probabilities=True, max_width=limit))
        assert report.exit_status == status


def property_file(files: dict[str, Path], text: str, radius: float) -> Path:
    lines = [f"(declare-const X_{i} Real)" for i in range(4)]
    lines += [f"(declare-const Y_{i} Real)" for i in range(3)]
    for i, value in enumerate(X[0].tolist()):
        lines += [
            f"(assert (>= X_{i} {value - radius:f}))",
            f"(assert (<= X_{i} {value + radius:f}))",
        ]
    path = files["data"].with_name("property.vnnlib")
    path.write_text("\n".join([*lines, f"(assert {text})"]))
    return path


@pytest.mark.parametrize(("radius", "verdict"), [(0.01, Verdict.UNSAT), (3.0, Verdict.SAT)])
@pytest.mark.parametrize("end", ["Identity", "Softmax", "LogSoftmax"])
def test_comparisons_of_outputs(
    end: str, radius: float, verdict: Verdict, files: dict[str, Path]
) -> None:
    best = int(logits(X[0]).argmax())
    others = " ".join(f"(and (>= Y_{j} Y_{best}))" for j in range(3) if j != best)
    path = property_file(files, f"(or {others})", radius)
    report = check_property(PropertyRequest(str(files[end]), path))
    assert report.verdict is verdict
    known = None if end == "Identity" else end
    head = property_to_dict(report)["model"]["head"]
    assert (head and head["operators"]) == (known and [known])
    assert (f"what enters {end}" in summary_line(report)) == (known is not None)
    if report.witness is not None:
        # What onnxruntime made of the whole file.
        outputs = report.witness.outputs
        assert outputs.argmax() != best
        if end != "Identity":
            shares = np.exp(outputs) if end == "LogSoftmax" else outputs
            assert shares.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("text", ["(>= Y_0 0.5)", "(>= (+ Y_0 Y_1) Y_2)", "(>= Y_0 (+ Y_1 0.1))"])
def test_other_properties_are_refused(text: str, files: dict[str, Path]) -> None:
    path = property_file(files, text, 0.01)
    check_property(PropertyRequest(str(files["Identity"]), path))
    with pytest.raises(BadProperty, match="ends in Softmax"):
        check_property(PropertyRequest(str(files["Softmax"]), path))


def test_logits_are_certified(files: dict[str, Path]) -> None:
    plain, report = (
        verify(request(files, end, rigorous=True)) for end in ("Identity", "LogSoftmax")
    )
    assert report.guarantee is Guarantee.CERTIFIED
    for ours, theirs in zip(report.samples, plain.samples, strict=True):
        assert ours.certified == theirs.certified
        np.testing.assert_array_equal(ours.lower, theirs.lower)
        np.testing.assert_array_equal(ours.upper, theirs.upper)


def test_a_comparison_is_certified(files: dict[str, Path]) -> None:
    best, least = (int(f(logits(X[0]))) for f in (np.argmax, np.argmin))
    path = property_file(files, f"(>= Y_{least} Y_{best})", 0.01)
    report = check_property(PropertyRequest(str(files["Softmax"]), path, rigorous=True))
    assert (report.verdict, report.guarantee) == (Verdict.UNSAT, Guarantee.CERTIFIED)
    assert report.certification is not None


def ended(path: Path, *nodes: onnx.NodeProto, output: int = TensorProto.FLOAT) -> str:
    """A file whose logits are its two inputs, with nodes behind them, written to a path."""
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "one"], ["z"]), *nodes],
        "test",
        [info("x", TensorProto.FLOAT, (1, 2))],
        [info("y", output, (1, 2) if output == TensorProto.FLOAT else (1,))],
        [numpy_helper.from_array(np.ones((1, 2), np.float32), "one")],
    )
    versions = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=versions, ir_version=8), path)
    return str(path)


def test_what_the_file_rounds_behind_the_logits_counts(tmp_path: Path) -> None:
    """Both sigmoids are 1 in 32 bits, so that the file takes the first class."""
    path = ended(
        tmp_path / "rounded.onnx",
        helper.make_node("Sigmoid", ["z"], ["p"]),
        helper.make_node("Normalizer", ["p"], ["q"], domain="ai.onnx.ml", norm="L1"),
        helper.make_node("ArgMax", ["q"], ["y"], axis=1, keepdims=0),
        output=TensorProto.INT64,
    )
    x = np.array([[20, 30], [2, 3]], dtype=np.float32)
    report = verify(path, x, [1, 1], radius=0.01)
    assert [sample.certified for sample in report.samples] == [None, True]


def test_sigmoids_that_need_not_be_classes_are_spoken_of(tmp_path: Path) -> None:
    path = ended(tmp_path / "several.onnx", helper.make_node("Sigmoid", ["z"], ["y"]))
    x = np.array([[0, 1]], dtype=np.float32)
    note = verify(path, x, [1], radius=0.1).perturbation.note
    assert note is not None
    assert "several classes may hold at once" in note
    # Nothing is said of classes where nothing is asked of them.
    assert verify(path, x, [[0.0, 1.5]], radius=0.1).samples[0].judged == "nothing"
