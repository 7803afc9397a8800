"""Evidence of what is said about samples: margins that are proven, counterexamples that replay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import sensverify.models
from sensverify.bounds import Crown, forward_pass
from sensverify.core.results import Guarantee
from sensverify.formats.onnx import load_onnx
from sensverify.formats.onnx.original import OriginalFile
from sensverify.verification import SampleResult, VerifyReport, VerifyRequest, verify
from tests.mlp_files import save_mlp_file


class Boxes:
    """Boxes around samples, in a file, and what a network does there in double precision."""

    def __init__(self, path: Path, file: Path, x: np.ndarray, y: np.ndarray, radius: float) -> None:
        self.path, self.file, self.network = path, file, load_onnx(path)
        x = x.astype(np.float64).reshape(-1, *self.network.input_shape)
        self.lower, self.upper, self.y = x - radius, x + radius, y
        np.savez(file, lower=self.lower, upper=self.upper, y=y)

    def verify(self, **asked: Any) -> VerifyReport:
        return verify(VerifyRequest(str(self.path), box=self.file, **asked))

    def outputs(self, x: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            found = forward_pass(self.network, torch.from_numpy(x.astype(np.float64)))
        return found.reshape(len(x), -1).numpy()

    def points(self, row: int) -> np.ndarray:
        """Points and corners of a box."""
        rng = np.random.default_rng(row)
        share = rng.uniform(size=(60, *self.lower.shape[1:]))
        share[30:] = np.round(share[30:])
        return self.lower[row] + share * (self.upper[row] - self.lower[row])


def assert_evidence(boxes: Boxes, sample: SampleResult, *, slack: float = 0.0) -> None:
    """The laws of one sample with a label."""
    label = sample.judged_class
    assert label is not None
    margins, example = sample.margins, sample.counterexample
    assert margins is not None
    assert margins.dtype == np.float64
    assert np.flatnonzero(np.isnan(margins)).tolist() == [label]
    found = boxes.outputs(boxes.points(sample.index))
    below = np.delete(found[:, [label]] - found - margins, label, axis=1)
    assert (below >= -slack).all()
    # A margin decides unless the sample itself has another label.
    assert sample.margin == np.nanmin(margins)
    right = sample.prediction == label
    assert (sample.kept is True) == (sample.margin > 0 and right)
    assert (example is None) == (sample.kept is not False)
    if example is None:
        return
    lower, upper = boxes.lower[sample.index], boxes.upper[sample.index]
    assert ((lower <= example.input) & (example.input <= upper)).all()
    assert example.outside == 0
    original = OriginalFile(boxes.path)
    assert example.input.dtype == original.dtype
    assert np.array_equal(original.outputs(example.input), example.outputs)
    assert int(example.outputs.argmax()) == example.prediction != label
    assert example.outputs[example.prediction] > example.outputs[label]
    attained = boxes.outputs(example.input[None])[0]
    assert (np.delete(attained[label] - attained - margins, label) >= -slack).all()


def shipped(name: str, data: str, folder: Path, radius: float, rows: slice) -> Boxes:
    """A model that ships, and boxes around some of its samples."""
    models = Path(sensverify.models.__file__).parent
    with np.load(models / f"{data}.npz") as arrays:
        x, y = arrays["x"][rows], arrays["y"][rows].astype(np.int64)
    return Boxes(models / f"{name}.onnx", folder / "boxes.npz", x, y, radius)


@pytest.mark.parametrize("method", ["crown", "ibp", "exact"])
def test_iris(tmp_path: Path, method: str) -> None:
    boxes = shipped("iris", "iris", tmp_path, 0.2, slice(None))
    report = boxes.verify(method=method)
    for sample in report.samples:
        assert_evidence(boxes, sample)
    assert {sample.kept for sample in report.samples} >= {True, False}


def test_certified_margins_are_rigorous(tmp_path: Path) -> None:
    boxes = shipped("iris", "iris", tmp_path, 0.2, slice(15, 25))
    report = boxes.verify(rigorous=True)
    assert report.guarantee is Guarantee.CERTIFIED
    for sample, plain in zip(report.samples, boxes.verify().samples, strict=True):
        assert_evidence(boxes, sample)
        # Nothing but rounding lies between the two.
        assert np.allclose(sample.margins, plain.margins, atol=1e-2, equal_nan=True)


def test_mnist(tmp_path: Path) -> None:
    boxes = shipped("mnist-conv1", "mnist", tmp_path, 0.02, slice(0, 10))
    report = boxes.verify()
    for sample in report.samples:
        assert_evidence(boxes, sample)
    assert {True, False} <= {sample.kept for sample in report.samples}


def test_acas_xu(data_dir: Path, tmp_path: Path) -> None:
    path = data_dir / "vnncomp/acasxu/onnx/ACASXU_run2a_1_1_batch_2000.onnx.gz"
    x = np.random.default_rng(0).uniform(-0.4, 0.4, (12, 5))
    boxes = Boxes(path, tmp_path / "boxes.npz", x, np.zeros(12, dtype=np.int64), 0.02)
    y = boxes.outputs(boxes.lower).argmax(axis=1)
    boxes = Boxes(path, tmp_path / "boxes.npz", x, y, 0.02)
    report = boxes.verify()
    for sample in report.samples:
        assert_evidence(boxes, sample)
    assert {sample.kept for sample in report.samples} == {True, False, None}


def two_layers(folder: Path, outputs: int, last: str | None = None) -> Path:
    rng = np.random.default_rng(3)
    layers = (
        (rng.normal(size=(8, 3)), rng.normal(size=8)),
        (rng.normal(size=(outputs, 8)), rng.normal(size=outputs)),
    )
    return save_mlp_file(folder / f"net-{outputs}-{last}.onnx", *layers, last=last)


X = np.random.default_rng(4).normal(size=(20, 3)).astype(np.float32)
Y = np.random.default_rng(5).integers(0, 3, 20)


def test_a_threshold_is_between_two_outputs(tmp_path: Path) -> None:
    path = two_layers(tmp_path, 1)
    original = OriginalFile(path)
    report = verify(str(path), X, radius=0.1, threshold=0.3)
    for sample, x in zip(report.samples, X, strict=True):
        away = float(original.outputs(x[None])[0]) - 0.3
        assert np.allclose(sample.output, [-away / 2, away / 2], atol=1e-6)
        assert sample.margins is not None
        assert sample.margin is not None
        assert np.isnan(sample.margins[sample.prediction])
        assert sample.margin <= abs(away)
        assert (sample.kept is True) == (sample.margin > 0)
        if sample.counterexample is not None:
            example = sample.counterexample
            value = float(original.outputs(example.input)[0]) - 0.3
            assert example.outputs.tolist() == [-value / 2, value / 2]
            assert example.prediction == int(value > 0) != sample.prediction
    assert {True, False} <= {sample.kept for sample in report.samples}


def test_margins_behind_a_softmax_are_those_of_the_logits(tmp_path: Path) -> None:
    plain = verify(str(two_layers(tmp_path, 3)), X, Y, radius=0.1)
    report = verify(str(two_layers(tmp_path, 3, "Softmax")), X, Y, radius=0.1)
    assert {True, False} <= {sample.kept for sample in report.samples}
    for one, other in zip(report.samples, plain.samples, strict=True):
        assert np.array_equal(one.margins, other.margins, equal_nan=True)
        assert (one.kept, one.margin) == (other.kept, other.margin)
        if one.counterexample is not None:
            # The file's own answer: probabilities.
            assert one.counterexample.outputs.sum() == pytest.approx(1)
            assert one.counterexample.prediction != one.label


def test_only_what_was_asked_has_margins(tmp_path: Path) -> None:
    path = str(two_layers(tmp_path, 3))
    report = verify(path, X, Y, radius=0.1, targets="1:2")
    for sample in report.samples:
        assert sample.label_kept in (
            ("unasked",) if sample.label != 1 else ("certified", "changes", "undecided")
        )
        if sample.label == 1:
            assert np.isnan(sample.margins).tolist() == [True, True, False]
            assert sample.margin == sample.margins[2]
        else:
            assert (sample.margins, sample.margin, sample.counterexample) == (None, None, None)


def test_of_several_places_the_margin_is_that_which_decides(tmp_path: Path) -> None:
    report = verify(str(two_layers(tmp_path, 4)), X, Y, radius=0.1, top_k=2)
    for sample in report.samples:
        assert sample.margin == np.sort(sample.margins)[1]
        if sample.kept is True:
            assert sample.margin > 0
        if sample.counterexample is not None:
            outputs = sample.counterexample.outputs
            assert (outputs > outputs[sample.label]).sum() >= 2
    assert {True, False} <= {sample.kept for sample in report.samples}


def test_predictions_have_evidence_too(tmp_path: Path) -> None:
    report = verify(str(two_layers(tmp_path, 3)), X, radius=0.3)
    assert {sample.label_kept for sample in report.samples} == {"unlabelled"}
    for sample in report.samples:
        assert np.isnan(sample.margins[sample.prediction])
        assert (sample.counterexample is not None) == (sample.kept is False)
        if sample.counterexample is not None:
            assert sample.counterexample.prediction != sample.prediction
    assert False in {sample.kept for sample in report.samples}


def test_a_sample_that_is_wrong_by_itself_is_its_own_counterexample(tmp_path: Path) -> None:
    path = two_layers(tmp_path, 3)
    report = verify(str(path), X, Y, radius=1e-4)
    wrong = [sample for sample in report.samples if sample.prediction != sample.label]
    assert wrong
    for sample in wrong:
        assert sample.counterexample is not None
        assert np.array_equal(sample.counterexample.input, X[sample.index])
        assert sample.counterexample.prediction == sample.prediction


def test_an_object_without_a_file_gives_its_own_outputs() -> None:
    module = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 3))
    report = verify(module, X, Y, radius=0.1)
    changed = [sample for sample in report.samples if sample.counterexample is not None]
    assert changed
    for sample in changed:
        point = torch.from_numpy(sample.counterexample.input)[None].double()
        expected = module.double()(point)[0].detach().numpy()
        assert np.allclose(sample.counterexample.outputs, expected, atol=1e-12)


def test_methods_that_prove_nothing_have_no_margins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Crown, "guarantee", Guarantee.ESTIMATE)
    report = verify("iris", samples=(20, 25), sigma=0.05)
    assert report.guarantee is Guarantee.ESTIMATE
    assert {sample.margins is None for sample in report.samples} == {True}
    assert {sample.kept for sample in report.samples} == {False, None}


def test_boxes_alone_have_neither(tmp_path: Path) -> None:
    np.savez(tmp_path / "b.npz", lower=np.zeros((1, 4)), upper=np.ones((1, 4)))
    (sample,) = verify(VerifyRequest("iris", box=tmp_path / "b.npz")).samples
    assert (sample.margins, sample.margin, sample.counterexample) == (None, None, None)
    assert sample.label_kept == "unlabelled"
