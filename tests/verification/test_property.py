"""Properties: sat only with a replayed witness, unsat only where every box is proven."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from sensverify.core.queries import Verdict
from sensverify.core.results import Guarantee
from sensverify.errors import BackendFailure, BadProperty, BadSetting, UnknownName
from sensverify.formats.vnnlib import Case
from sensverify.models.loading import load_model
from sensverify.runs.watch import Watch
from sensverify.verification import PropertyReport, PropertyRequest, check_property
from sensverify.verification.replay import Replay

pytestmark = pytest.mark.usefixtures("fake_deciders")

Save = Callable[..., Path]
TWO_BOXES = "(and (<= -1 X_0 1) (or (<= 0 X_1 1) (<= 5 X_1 6)))"


def ask(model: Path, path: Path, method: str = "sampling", **options: Any) -> PropertyReport:
    return check_property(PropertyRequest(str(model), path, method=method, **options))


def test_sat_with_a_replayed_witness(relu: Path, save_property: Save) -> None:
    report = ask(relu, save_property("(>= Y_0 1.5)"))
    assert report.verdict is Verdict.SAT
    assert report.witness is not None
    x0, x1 = report.witness.inputs
    assert report.witness.outputs.tolist() == pytest.approx([x0 + x1, x0 - x1])
    assert report.witness.outputs[0] >= 1.5
    assert (report.witness.case, report.witness.outside) == (0, 0)
    assert (report.guarantee, report.warnings) == (None, ())
    # A point that the model's float32 input holds.
    assert (report.witness.inputs == report.witness.inputs.astype(np.float32)).all()


def test_unsat(relu: Path, save_property: Save) -> None:
    report = ask(relu, save_property("(or (> Y_0 2.5) (< Y_0 -0.5))"))
    assert report.verdict is Verdict.UNSAT
    assert report.guarantee is Guarantee.SOUND
    assert (report.cases, report.unsat_cases, report.witness) == (1, 1, None)


def test_unknown(relu: Path, save_property: Save) -> None:
    # True at one point, which sampling misses: x = (0.75, 0).
    report = ask(relu, save_property("(and (= Y_0 0.75) (= Y_1 0.75))"))
    assert report.verdict is Verdict.UNKNOWN
    assert report.warnings == ()


def test_a_property_that_contradicts_itself_is_unsat(relu: Path, save_property: Save) -> None:
    report = ask(relu, save_property("(>= X_0 2)"))
    assert (report.verdict, report.cases) == (Verdict.UNSAT, 0)


def test_several_boxes(relu: Path, save_property: Save) -> None:
    report = ask(relu, save_property("(>= Y_0 4)", box=TWO_BOXES))
    assert report.verdict is Verdict.SAT
    assert (report.cases, report.unsat_cases) == (2, 1)
    assert report.witness is not None
    assert report.witness.case == 1
    assert 5 <= report.witness.inputs[1] <= 6
    report = ask(relu, save_property("(>= Y_0 9)", box=TWO_BOXES))
    assert (report.verdict, report.unsat_cases) == (Verdict.UNSAT, 2)


@pytest.mark.parametrize("how", ["sat", "nan", "sat-without-witness"])
def test_a_wrong_witness_is_no_answer(relu: Path, save_property: Save, how: str) -> None:
    report = ask(relu, save_property("(>= Y_0 3)"), "faulty", settings={"how": how})
    assert report.verdict is Verdict.UNKNOWN
    assert report.witness is None
    if how == "sat":
        assert "not when onnxruntime runs" in report.warnings[0]


def test_one_box_without_a_proof_is_not_unsat(relu: Path, save_property: Save) -> None:
    path = save_property("(>= Y_0 9)", box=TWO_BOXES)
    report = ask(relu, path, "faulty", settings={"how": "sat", "above": "3"})
    assert (report.verdict, report.unsat_cases) == (Verdict.UNKNOWN, 1)


def test_a_replayed_witness_outweighs_a_claim(relu: Path, save_property: Save) -> None:
    path = save_property("(>= Y_0 1.5)")
    report = ask(relu, path, "faulty", settings={"how": "unsat-with-witness"})
    assert report.verdict is Verdict.SAT


def test_unsat_against_an_input_that_only_the_replay_refused(
    relu: Path, save_property: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real witness is known, though float32 may not hold it: no proof of unsat can be right."""
    monkeypatch.setattr("sensverify.verification.property_run.Case.met_by", _only_float64)
    path = save_property("(>= Y_0 1.5)")
    report = ask(relu, path, "faulty", settings={"how": "unsat-with-witness"})
    assert (report.verdict, report.unsat_cases) == (Verdict.UNKNOWN, 0)
    assert "please report it" in report.warnings[0]


def _only_float64(case: Case, outputs: np.ndarray) -> bool:
    return outputs.dtype == np.float64 and bool(case.query.met_by(outputs[None])[0])


def test_a_fault_of_the_solver_is_not_an_answer(relu: Path, save_property: Save) -> None:
    with pytest.raises(BackendFailure):
        ask(relu, save_property("(>= Y_0 3)"), "faulty", settings={"how": "fail"})


def test_time_limit(relu: Path, save_property: Save) -> None:
    began = time.perf_counter()
    path = save_property("(>= Y_0 3)")
    report = ask(relu, path, "faulty", settings={"how": "timeout"}, timeout=0.5)
    assert report.verdict is Verdict.TIMEOUT
    assert not report.stopped
    assert time.perf_counter() - began < 60


def test_a_box_that_takes_all_the_time_does_not_keep_others_from_an_answer(
    relu: Path, save_property: Save
) -> None:
    box = "(and (<= -1 X_0 1) (or (<= 5 X_1 6) (<= 0 X_1 1)))"
    path = save_property("(and (>= Y_0 1.5) (<= Y_0 1.75))", box=box)
    settings = {"how": "timeout", "above": "3"}
    report = ask(relu, path, "faulty", settings=settings, timeout=2.0)
    assert report.verdict is Verdict.SAT
    path = save_property("(>= Y_0 9)", box=box)
    report = ask(relu, path, "faulty", settings=settings, timeout=2.0)
    assert (report.verdict, report.unsat_cases) == (Verdict.TIMEOUT, 1)
    assert 1.9 < report.seconds < 60


def test_a_stopped_watch(relu: Path, save_property: Save) -> None:
    watch = Watch()
    watch.stop()
    request = PropertyRequest(str(relu), save_property("(>= Y_0 1.5)"), method="sampling")
    report = check_property(request, watch=watch)
    assert (report.verdict, report.stopped) == (Verdict.TIMEOUT, True)


def test_rounding_of_the_limit_makes_no_witness(
    tmp_path: Path, save_relu: Save, save_property: Save
) -> None:
    # float64 rounds 0.1 up; the model, in float64 too, gives exactly that number at most.
    model = save_relu(tmp_path / "double.onnx", TensorProto.DOUBLE)
    box = "(and (= X_0 0.1) (= X_1 0))"
    report = ask(model, save_property("(<= Y_0 0.1)", box=box))
    assert report.verdict is Verdict.UNKNOWN
    report = ask(model, save_property("(<= Y_0 0.10000000000000001)", box=box))
    assert report.verdict is Verdict.SAT


def test_an_input_that_its_type_does_not_hold(relu: Path, save_property: Save) -> None:
    report = ask(relu, save_property("(>= Y_0 0)", box="(and (= X_0 0.1) (<= 0 X_1 1))"))
    assert report.verdict is Verdict.SAT
    assert report.witness is not None
    assert report.witness.outside == 1
    assert report.witness.inputs[0] == np.float32(0.1)
    assert "nearest" in report.warnings[0]


def test_strict_bounds_that_leave_no_number(relu: Path, save_property: Save) -> None:
    box = "(and (< 0 X_0) (< X_0 1e-400) (<= 0 X_1 1))"
    report = ask(relu, save_property("(>= Y_0 0)", box=box))
    assert report.verdict is Verdict.UNKNOWN
    assert "strict bounds" in report.warnings[0]


def test_without_onnxruntime_there_is_no_sat(
    relu: Path,
    save_property: Save,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("no kernel for this operator")

    monkeypatch.setattr("sensverify.verification.replay.OriginalFile", refuse)
    with caplog.at_level(logging.WARNING):
        report = ask(relu, save_property("(>= Y_0 1.5)"))
    assert report.verdict is Verdict.UNKNOWN
    assert "onnxruntime cannot run the model" in report.warnings[0]
    assert not report.stopped
    # What holds is proven all the same.
    assert ask(relu, save_property("(>= Y_0 3)")).verdict is Verdict.UNSAT


def test_another_arithmetic_of_onnxruntime_is_heard(
    relu: Path, save_property: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that onnxruntime evaluates otherwise: here its outputs are one less."""
    original = Replay._replayed

    def shifted(self: Replay, *arguments: Any) -> Any:
        found = original(self, *arguments)
        object.__setattr__(found, "outputs", found.outputs - 1)
        return found

    monkeypatch.setattr(Replay, "_replayed", shifted)
    report = ask(relu, save_property("(>= Y_0 1.5)"))
    assert report.verdict is Verdict.UNKNOWN
    assert "not when onnxruntime runs the model" in report.warnings[0]


def test_counts_that_do_not_fit(relu: Path, save_property: Save) -> None:
    path = save_property("(>= Y_0 1.5)", box="(and (= X_0 0) (= X_1 0) (= X_2 0))", inputs=3)
    with pytest.raises(BadProperty, match=r"3 inputs .*'relu.onnx' has 2"):
        ask(relu, path)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"method": "nobody"}, UnknownName, "'nobody'"),
        ({"settings": {"speed": "1"}}, BadSetting, "'speed'"),
        ({"settings": {"samples": "many"}}, BadSetting, "samples"),
        ({"device": "cuda"}, BadSetting, "`device`"),
        ({"threads": 2}, BadSetting, "`threads`"),
        ({"timeout": 0.0}, BadSetting, "`timeout`"),
        ({"timeout": float("nan")}, BadSetting, "`timeout`"),
    ],
)
def test_bad_requests(
    relu: Path, save_property: Save, options: dict[str, Any], error: type, words: str
) -> None:
    with pytest.raises(error, match=words):
        ask(relu, save_property("(>= Y_0 1.5)"), **options)


def test_settings_and_seed(relu: Path, save_property: Save) -> None:
    report = ask(relu, save_property("(>= Y_0 3)"), settings={"samples": "7"}, seed=3)
    assert report.settings == {"samples": 7, "seed": 3}


def test_real_counterexamples_are_accepted(data_dir: Path) -> None:
    """Sampling is enough for these; VNN-COMP's tools agree."""
    folder = data_dir / "vnncomp"
    for model, name in [
        ("acasxu/onnx/ACASXU_run2a_2_1_batch_2000.onnx.gz", "acasxu/vnnlib/prop_2.vnnlib.gz"),
        (
            "tllverifybench/onnx/tllBench_n=2_N=M=8_m=1_instance_0_0.onnx.gz",
            "tllverifybench/vnnlib/property_N=8_0.vnnlib.gz",
        ),
    ]:
        report = ask(folder / model, folder / name, settings={"samples": "2000"})
        assert report.verdict is Verdict.SAT


def test_a_model_that_is_loaded_already(relu: Path, save_property: Save) -> None:
    model = load_model(str(relu))
    request = PropertyRequest("gone.onnx", save_property("(>= Y_0 3)"), method="sampling")
    assert check_property(request, model=model).verdict is Verdict.UNSAT
