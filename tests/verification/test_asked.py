"""What is asked of classes and outputs: predictions, places, confusions, thresholds, ranges."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensverify.errors import BadData, BadSetting
from sensverify.report.verification.json import report_to_json
from sensverify.verification import VerifyReport, VerifyRequest, verify
from sensverify.verification.confusions import costly, pairs
from tests.mlp_files import save_mlp_file
from tests.report.shown import verify_page, verify_text

RADIUS, SAMPLES = 0.15, 10


class Small:
    """A random network in a file, with data; ``outputs`` runs it as it is."""

    def __init__(self, folder: Path, seed: int, outputs: int = 4, **arrays: Any) -> None:
        rng = np.random.default_rng(seed)
        layers = (
            (rng.normal(size=(10, 3)), rng.normal(size=10)),
            (rng.normal(size=(outputs, 10)), rng.normal(size=outputs)),
        )
        self.path = save_mlp_file(folder / f"small-{seed}-{outputs}.onnx", *layers)
        self.x = rng.normal(size=(SAMPLES, 3)).astype(np.float32)
        self.data = folder / f"small-{seed}-{outputs}.npz"
        self.session = onnxruntime.InferenceSession(self.path, providers=["CPUExecutionProvider"])
        np.savez(self.data, x=self.x, **arrays)

    def outputs(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self.session.run(None, {"x": x.astype(np.float32)})[0])

    def verify(self, **asked: Any) -> VerifyReport:
        values = {"data": str(self.data), "radius": RADIUS, **asked}
        return verify(VerifyRequest(str(self.path), **values))

    def points(self, sample: int, seed: int = 0) -> np.ndarray:
        """The sample, and points and corners of its box."""
        rng = np.random.default_rng(seed)
        moves = rng.uniform(-1, 1, (100, 3))
        moves[50:] = np.sign(moves[50:])
        # Inside of the box in float32, too.
        return self.x[sample] + np.vstack([np.zeros((1, 3)), 0.999 * RADIUS * moves])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("asked")


def labels_of(seed: int, classes: int = 4) -> np.ndarray:
    return np.random.default_rng(seed + 1).integers(0, classes, SAMPLES)


def given_of(report: VerifyReport) -> dict[str, Any]:
    """What its JSON says was asked beside the usual."""
    asked = json.loads(report_to_json(report))["asked"]
    return {name: value for name, value in asked.items() if value is not None}


def lost(values: np.ndarray, label: int, against: np.ndarray, places: int = 1) -> np.ndarray:
    """Rows of outputs at which at least so many rivals exceed all that are none."""
    count = (values[:, against] > values[:, ~against].max(axis=1, keepdims=True)).sum(axis=1)
    return count >= places


@settings(max_examples=20)
@given(st.integers(0, 300), st.sampled_from(["top_k", "targets", "costs", "prediction"]))
def test_certified_is_never_refuted_and_changes_is_confirmed(
    folder: Path, seed: int, kind: str
) -> None:
    rng = np.random.default_rng(seed)
    labels, forbidden, places = labels_of(seed), ~np.eye(4, dtype=bool), 1
    asked: dict[str, Any] = {}
    arrays = {} if kind == "prediction" else {"y": labels}
    small = Small(folder, seed, **arrays)
    if kind == "prediction":
        labels = small.outputs(small.x).argmax(axis=1)
    elif kind == "top_k":
        places = int(rng.integers(1, 4))
        asked["top_k"] = places
    elif kind == "costs":
        costs = rng.integers(0, 2, (4, 4)) * rng.random((4, 4))
        costs[0, 1] = 1.0
        forbidden = (costs > 0) & forbidden
        np.savez(folder / "costs.npz", costs=costs)
        asked["costs"] = folder / "costs.npz"
    else:
        chosen = [(int(labels[0]), (int(labels[0]) + 1) % 4), (2, 0)]
        forbidden = np.zeros((4, 4), dtype=bool)
        forbidden[tuple(zip(*chosen, strict=True))] = True
        asked["targets"] = ", ".join(f"{a}:{b}" for a, b in chosen)
    if not forbidden[labels].any():
        with pytest.raises(BadData):
            small.verify(**asked)
        return
    report = small.verify(**asked)
    for sample, x, label in zip(report.samples, small.x, labels.tolist(), strict=True):
        against = forbidden[label]
        if not against.any():
            assert (sample.judged, sample.kept) == ("nothing", None)
            continue
        assert sample.judged == ("prediction" if kind == "prediction" else "label")
        found, margins = small.outputs(small.points(sample.index)), sample.margins
        assert margins is not None
        assert sample.margin is not None
        assert np.array_equal(np.isnan(margins), ~against)
        assert (found[:, [label]] - found - margins >= -1e-5)[:, against].all()
        if sample.kept is True:
            assert not lost(found, label, against, places).any()
            assert sample.margin > 0
        assert (sample.counterexample is not None) == (sample.kept is False)
        if sample.counterexample is not None:
            inside = sample.counterexample.input
            assert (np.abs(inside - x.astype(np.float64)) <= RADIUS).all()
            assert lost(small.outputs(inside[None]), label, against, places).all()
            assert sample.margin < 0


@pytest.mark.parametrize("asked", [{"top_k": 1}, {"targets": "*:*"}, {"costs": "ones.csv"}])
def test_the_largest_output_is_what_is_asked_without_more(
    asked: dict[str, Any], folder: Path
) -> None:
    (folder / "ones.csv").write_text("\n".join(["1,1,1,1"] * 4))
    if "costs" in asked:
        asked = {"costs": folder / asked["costs"]}
    small = Small(folder, 3, y=labels_of(3))
    plain, report = small.verify(), small.verify(**asked)
    assert {True, False} <= {sample.certified for sample in plain.samples}
    for one, other in zip(plain.samples, report.samples, strict=True):
        assert one.certified is other.certified
        assert np.array_equal(one.lower, other.lower)
    told = given_of(report)
    if "costs" in told:
        told["costs"] = told["costs"]["path"]
    assert told == {name: str(v) if name == "costs" else v for name, v in asked.items()}
    assert given_of(plain) == {}


def test_more_places_certify_no_less(folder: Path) -> None:
    small = Small(folder, 4, y=labels_of(4))
    answers = [[s.certified for s in small.verify(top_k=k).samples] for k in (1, 2, 3)]
    for fewer, more in pairwise(answers):
        for one, other in zip(fewer, more, strict=True):
            assert other is not False or one is False
            assert one is not True or other is True
    assert answers[0] != answers[2]


def test_predictions_are_judged_as_labels_are(folder: Path) -> None:
    bare = Small(folder, 5)
    report = bare.verify()
    labelled = Small(folder, 5, y=bare.outputs(bare.x).argmax(axis=1)).verify()
    for one, other in zip(report.samples, labelled.samples, strict=True):
        assert (one.certified, one.label, one.judged) == (None, None, "prediction")
        assert one.prediction_kept is other.certified
        assert np.array_equal(one.lower, other.lower)
    kept = report.summary.prediction_kept_fraction
    assert kept == labelled.summary.certified_fraction
    assert report.summary.certified_fraction is None
    found = json.loads(report_to_json(report))
    assert found["summary"]["prediction_kept_fraction"] == kept
    words = {True: "certified", False: "changes", None: "undecided"}
    for one, sample in zip(found["samples"], report.samples, strict=True):
        assert (one["label_kept"], one["prediction_kept"]) == ("unlabelled", words[sample.kept])
    plain = json.loads(report_to_json(labelled))
    assert {each["prediction_kept"] for each in plain["samples"]} == {"unasked"}
    assert plain["summary"]["prediction_kept_fraction"] is None
    for text in (verify_text(report, width=200), verify_page(report)):
        assert "own prediction at each sample is judged" in text
    assert "prediction kept?" in verify_text(report, width=200)
    assert "label kept?" not in verify_text(report, width=200)


def test_predictions_are_part_of_a_certificate(folder: Path) -> None:
    report = Small(folder, 5).verify(samples=(0, 3), rigorous=True)
    assert report.certification is not None
    assert True in {sample.prediction_kept for sample in report.samples}


def test_targets_of_a_regression_have_no_prediction(folder: Path) -> None:
    for arrays, asked in (
        ({"y": np.linspace(0.1, 0.9, SAMPLES)}, {}),
        ({}, {"max_deviation": 1.0}),
        ({}, {"output_range": (-9.0, 9.0)}),
    ):
        report = Small(folder, 6, **arrays).verify(**asked)
        assert {sample.judged for sample in report.samples} == {"nothing"}
        assert "kept?" not in verify_text(report)


@settings(max_examples=15)
@given(st.integers(0, 300), st.sampled_from([-0.7, 0.0, 0.3]))
def test_a_threshold_makes_two_classes(folder: Path, seed: int, threshold: float) -> None:
    small = Small(folder, seed, outputs=1, y=labels_of(seed, 2))
    report = small.verify(threshold=threshold)
    for sample, label in zip(report.samples, labels_of(seed, 2).tolist(), strict=True):
        above = small.outputs(small.points(sample.index)).astype(np.float64)[:, 0] > threshold
        assert sample.prediction == int(above[0])
        assert len(sample.output) == 2
        if sample.certified:
            assert (above == label).all()
        if (above != label).any():
            assert not sample.certified
        if above[0] != label:
            assert sample.certified is False
    assert report.class_names == (f"at most {threshold:g}", f"above {threshold:g}")


def test_an_output_at_its_threshold_is_not_above(folder: Path) -> None:
    path = save_mlp_file(folder / "sum.onnx", (np.ones((1, 2)), np.zeros(1)))
    np.savez(folder / "sum.npz", x=np.array([[0.25, 0.25]], np.float32), y=np.array([0]))
    for radius, kept in ((0.0, None), (0.1, False)):
        report = verify(str(path), data=str(folder / "sum.npz"), radius=radius, threshold=0.5)
        assert report.samples[0].prediction == 0
        assert report.samples[0].certified is kept


def test_targets_of_a_regression_with_a_threshold_leave_the_prediction(folder: Path) -> None:
    report = Small(folder, 7, outputs=1, y=np.linspace(0.1, 3, SAMPLES)).verify(threshold=0.0)
    assert {sample.judged for sample in report.samples} == {"prediction"}
    assert "holds targets and no labels" in verify_text(report, width=300)


@settings(max_examples=15)
@given(st.integers(0, 300), st.sampled_from(["crown", "ibp", "branch-and-bound"]))
def test_deviations_and_ranges_hold_at_points_of_the_box(
    folder: Path, seed: int, method: str
) -> None:
    small = Small(folder, seed, outputs=2)
    limits, ends = (0.4, 0.9), ((-1.0, -2.0), (1.0, 2.0))
    report = small.verify(method=method, max_deviation=limits, output_range=ends, samples=(0, 3))
    deviation, within = report.thresholds
    for row, sample in enumerate(report.samples):
        values = small.outputs(small.points(sample.index)).astype(np.float64)
        moved = np.abs(values - values[0]).max(axis=0)
        assert (moved <= deviation.proven[row] + 1e-5).all()
        outside = ((values < ends[0]) | (values > ends[1])).any()
        if deviation.kept[row]:
            assert (moved <= np.array(limits) + 1e-5).all()
        if within.kept[row]:
            assert not outside
        if method == "branch-and-bound" and (moved > np.array(limits) + 1e-3).any():
            assert deviation.kept[row] is False
        if method == "branch-and-bound" and outside:
            assert within.kept[row] is not True


def test_thresholds_of_outputs_have_their_status(folder: Path) -> None:
    small = Small(folder, 8, outputs=2)
    widest = max(float(t.proven.max()) for t in small.verify(max_deviation=0.0).thresholds)
    for asked, status in (
        ({"max_deviation": widest}, 0),
        ({"max_deviation": (widest, np.inf)}, 0),
        ({"max_deviation": 0.99 * widest}, 1),
        ({"output_range": (-np.inf, np.inf)}, 0),
        ({"output_range": (-np.inf, -100.0)}, 1),
        ({"output_range": ((-np.inf, 0.0), np.inf), "max_width": 100.0}, 1),
    ):
        report = small.verify(**asked)
        assert report.exit_status == status
        assert ("threshold exceeded" in verify_text(report)) == (status == 1)
        json.loads(report_to_json(report))
    found = json.loads(report_to_json(small.verify(max_deviation=1.0)))
    assert len(found["samples"][0]["deviation"]) == 2
    assert given_of(small.verify(max_deviation=1.0)) == {"max_deviation": [1.0]}


def test_certified_deviations_count_what_float32_may_add(folder: Path) -> None:
    small = Small(folder, 8, outputs=2)
    report = small.verify(max_deviation=1.0, rigorous=True, samples=(0, 2))
    for sample, proven in zip(report.samples, report.thresholds[0].proven, strict=True):
        plain = np.maximum(sample.upper - sample.output, sample.output - sample.lower)
        assert (proven > plain).all()


def test_results_by_class(folder: Path) -> None:
    labels = labels_of(9)
    report = Small(folder, 9, y=labels).verify(per_class=True, targets="*:0,*:1")
    assert [each.number for each in report.classes] == sorted(set(labels.tolist()))
    for each in report.classes:
        own = [s for s in report.samples if s.label == each.number]
        assert each.samples == len(own)
        assert each.right == sum(s.prediction == s.label for s in own)
        assert each.judged == sum(s.judged == "label" for s in own)
        assert each.certified == sum(s.certified is True for s in own)
        assert each.changes == sum(s.certified is False for s in own)
    found = json.loads(report_to_json(report))["classes"]
    assert [each["samples"] for each in found] == [each.samples for each in report.classes]
    assert "By class" in verify_page(report)
    text = verify_text(report, width=200)
    assert "certified share" in text
    assert "certified share" not in verify_text(Small(folder, 9, y=labels).verify(), width=200)


def test_classes_go_by_their_names() -> None:
    report = verify("iris", samples=(0, 15), per_class=True)
    assert {each.name for each in report.classes} <= {"setosa", "versicolor", "virginica"}
    assert "0 setosa" in verify_text(report, width=200)


NAMES = ("cat", "dog", "fish")


def test_pairs_of_classes() -> None:
    assert np.argwhere(pairs("cat:dog, 2:0", 3, NAMES)).tolist() == [[0, 1], [2, 0]]
    assert np.argwhere(pairs("*:2", 3)).tolist() == [[0, 2], [1, 2]]
    assert np.argwhere(pairs("1:*", 3)).tolist() == [[1, 0], [1, 2]]
    assert pairs("*:*", 3).sum() == 6


@pytest.mark.parametrize("text", ["", "1", "1:", "0:3", "0:0", "cat:bird", "0:1,", "0:-1", "1:2:0"])
def test_what_is_no_pair(text: str) -> None:
    with pytest.raises(BadSetting) as caught:
        pairs(text, 3, NAMES)
    assert caught.value.remedy


def test_costs_from_every_kind_of_file(tmp_path: Path) -> None:
    costs = np.array([[9.0, 0.5, 0.0], [0.0, 0.0, 2.0], [0.0, 0.0, 0.0]])
    np.save(tmp_path / "c.npy", costs)
    np.savez(tmp_path / "c.npz", costs=costs)
    (tmp_path / "c.csv").write_text("9, 0.5, 0\n0,0,2\n\n0,0,0\n")
    for name in ("c.npy", "c.npz", "c.csv"):
        assert np.argwhere(costly(tmp_path / name, 3)).tolist() == [[0, 1], [1, 2]]


@pytest.mark.parametrize(
    "text", ["0,1\n1,0", "0,1,x\n1,0,0\n0,0,0", "0,0,0\n" * 3, "0,-1,0\n0,0,0\n0,0,0", "", "1,2\n3"]
)
def test_costs_that_are_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text(text)
    for path in (tmp_path / "c.csv", tmp_path / "nowhere.csv", tmp_path / "c.txt"):
        with pytest.raises(BadData):
            costly(path, 3)


@pytest.mark.parametrize(
    "asked",
    [
        {"top_k": 4},
        {"top_k": 0},
        {"top_k": 2, "targets": "0:1"},
        {"threshold": 0.0},
        {"threshold": float("nan")},
        {"max_deviation": -1.0},
        {"max_deviation": float("nan")},
        {"max_deviation": (1.0, 2.0)},
        {"output_range": (1.0, 0.0)},
        {"output_range": (0.0, float("nan"))},
        {"output_range": ((0.0, 0.0), 1.0)},
        {"output_range": ((0.0, 0.0), (1.0, 1.0, 1.0))},
    ],
    ids=str,
)
def test_questions_that_cannot_be(asked: dict[str, Any], folder: Path) -> None:
    with pytest.raises(BadSetting, match="`"):
        Small(folder, 9, y=labels_of(9)).verify(**asked)


@pytest.mark.parametrize(
    "asked",
    [
        {"top_k": 1},
        {"targets": "0:1"},
        {"per_class": True},
        {"threshold": 0.0, "max_width": 1.0},
        {"threshold": 0.0, "rigorous": True},
        {"threshold": 0.0, "probabilities": True},
    ],
    ids=str,
)
def test_questions_that_one_output_does_not_answer(asked: dict[str, Any], folder: Path) -> None:
    with pytest.raises(BadSetting):
        Small(folder, 10, outputs=1).verify(**asked)
