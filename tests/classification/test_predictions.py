"""Counted predictions against torchmetrics and by hand."""

from __future__ import annotations

from math import log

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from sensverify.classification.predictions import Bin, classify
from sensverify.errors import BadData, BadSetting, BadShape, Unbounded
from tests.measures.classifiers import drawn


def away_from_edges(samples: int, classes: int, bins: int, seed: int) -> Tensor:
    """Outputs whose confidences lie within bins: their ends belong to other bins elsewhere."""
    outputs = 3 * drawn(4 * samples, classes, seed=seed)
    places = outputs.softmax(1).amax(1) * bins
    kept = outputs[(places - places.round()).abs() > 1e-3][:samples]
    assert len(kept) == samples
    return kept


def labels_of(samples: int, classes: int, seed: int = 0) -> Tensor:
    return torch.randint(classes, (samples,), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("bins", [1, 5, 15, 40])
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_torchmetrics_says_the_same(classes: int, bins: int) -> None:
    functional = pytest.importorskip("torchmetrics.functional.classification")
    outputs = away_from_edges(300, classes, bins, seed=classes)
    labels = labels_of(300, classes)
    found = classify(outputs, labels, bins=bins)
    shares = outputs.softmax(1)

    def error(norm: str) -> float:
        value = functional.multiclass_calibration_error(
            shares, labels, num_classes=classes, n_bins=bins, norm=norm
        )
        return float(value)

    # It computes in float32.
    assert found.expected_calibration_error == pytest.approx(error("l1"), abs=1e-6)
    assert found.rms_calibration_error == pytest.approx(error("l2"), abs=1e-6)
    assert found.maximum_calibration_error == pytest.approx(error("max"), abs=1e-6)
    matrix = functional.multiclass_confusion_matrix(outputs, labels, num_classes=classes)
    assert found.confusion == tuple(map(tuple, matrix.tolist()))


@given(st.integers(1, 40), st.integers(2, 6), st.integers(1, 20), st.integers(0, 1000))
def test_everything_adds_up(samples: int, classes: int, bins: int, seed: int) -> None:
    outputs, labels = 5 * drawn(samples, classes, seed=seed), labels_of(samples, classes, seed)
    found = classify(outputs, labels, bins=bins)
    assert found.samples == samples == sum(each.samples for each in found.bins)
    assert len(found.bins) == bins
    right = int((outputs.argmax(1) == labels).sum())
    assert found.accuracy.count == sum(found.confusion[c][c] for c in range(classes)) == right
    assert sum(each.correct for each in found.bins) == right
    assert [sum(row) for row in found.confusion] == labels.bincount(minlength=classes).tolist()
    assert found.confidence == pytest.approx(float(outputs.softmax(1).amax(1).mean()))
    for number, each in enumerate(found.bins):
        assert 0 <= each.correct <= each.samples
        if each.samples:
            assert number / bins - 1e-12 <= each.confidence / each.samples
            assert each.confidence / each.samples <= (number + 1) / bins + 1e-12
    expected, root = found.expected_calibration_error, found.rms_calibration_error
    assert expected <= root + 1e-12
    assert root <= found.maximum_calibration_error + 1e-12


def test_the_one_bin_is_accuracy_minus_confidence() -> None:
    outputs, labels = 3 * drawn(50, 4), labels_of(50, 4)
    found = classify(outputs, labels, bins=1)
    gap = abs(found.accuracy.share - found.confidence)
    for error in (
        found.expected_calibration_error,
        found.rms_calibration_error,
        found.maximum_calibration_error,
    ):
        assert error == pytest.approx(gap)


def test_calibration_errors_by_hand() -> None:
    """Three samples at confidence .9, one of them wrong, and one at .6, right."""
    outputs = torch.tensor([[log(9.0), 0.0]] * 3 + [[log(1.5), 0.0]], dtype=torch.float64)
    found = classify(outputs, torch.tensor([0, 0, 1, 0]), bins=15)
    assert found.confusion == ((3, 0), (1, 0))
    gaps = (2 / 3 - 0.9, 1 - 0.6)
    assert found.expected_calibration_error == pytest.approx(0.75 * -gaps[0] + 0.25 * gaps[1])
    assert found.rms_calibration_error == pytest.approx(
        (0.75 * gaps[0] ** 2 + 0.25 * gaps[1] ** 2) ** 0.5
    )
    assert found.maximum_calibration_error == pytest.approx(gaps[1])


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_full_confidence_is_in_the_last_bin(bins: int) -> None:
    """Not in one more bin behind it, as in some programs."""
    found = classify(torch.tensor([[1000.0, 0.0], [1000.0, 0.0]]), torch.tensor([0, 1]), bins=bins)
    assert len(found.bins) == bins
    assert found.bins[-1] == Bin(2, 1, 2.0)
    assert found.expected_calibration_error == 0.5


def test_an_edge_belongs_to_the_bin_above() -> None:
    found = classify(torch.zeros(1, 2), torch.tensor([0]), bins=2)
    assert [each.samples for each in found.bins] == [0, 1]


def test_an_empty_bin_has_no_gap() -> None:
    assert Bin(0, 0, 0.0).gap == 0.0


def test_of_equal_outputs_the_first_counts() -> None:
    found = classify(torch.zeros(2, 3), torch.tensor([0, 2]))
    assert found.confusion == ((1, 0, 0), (0, 0, 0), (1, 0, 0))


def test_tracked_outputs_in_float32_are_taken() -> None:
    outputs = drawn(5, 3).float().requires_grad_()
    labels = labels_of(5, 3)
    assert classify(outputs, labels) == classify(outputs.detach(), labels)
    assert outputs.grad is None


def test_what_cannot_be_counted() -> None:
    outputs, labels = drawn(4, 3), labels_of(4, 3)
    with pytest.raises(BadSetting, match="1 bin"):
        classify(outputs, labels, bins=0)
    with pytest.raises(BadData, match="no samples"):
        classify(outputs[:0], labels[:0])
    with pytest.raises(BadShape, match="one label each"):
        classify(outputs, labels[:3])
    with pytest.raises(BadShape, match="one label each"):
        classify(outputs[0], labels)
    for wrong in (3, -1):
        with pytest.raises(BadData, match="classes 0 to 2"):
            classify(outputs, torch.tensor([0, 1, 2, wrong]))
    for bad in (torch.nan, torch.inf):
        with pytest.raises(Unbounded, match="sample 3"):
            classify(torch.cat([outputs[:3], torch.full((1, 3), bad)]), labels)
