"""Critical radii between two ends: against exact ones, `verify`, and runs that are broken off."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from scipy.optimize import linprog

from sensverify.errors import BadBox, BadData, BadSetting, InputError
from sensverify.models import resolve
from sensverify.runs.watch import Watch
from sensverify.verification import (
    CriticalRadiusReport,
    CriticalRadiusRequest,
    VerifyRequest,
    critical_radius,
    verify,
)
from sensverify.verification.critical_radius import JOURNAL
from sensverify.verification.radius_results import ROWS, counterexamples

Layer = tuple[np.ndarray, np.ndarray]


def save(path: Path, first: Layer, second: Layer) -> Path:
    """A network with one hidden layer of ReLU."""
    constants = [
        numpy_helper.from_array(values.astype(np.float32), name)
        for name, values in zip(("w1", "b1", "w2", "b2"), (*first, *second), strict=True)
    ]
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"], transB=1),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "w2", "b2"], ["y"], transB=1),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size])
        for name, size in (("x", first[0].shape[1]), ("y", second[0].shape[0]))
    ]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def true_radius(
    first: Layer,
    second: Layer,
    x: np.ndarray,
    ways: list[np.ndarray],
    *,
    unit: np.ndarray,
    clip: tuple[float, float] | None,
    most: float,
) -> float:
    """The least r at which a label is lost in one of some ways: a linear program for every region.

    A way has a row for each function of the outputs that is not above 0 then. Variables are the
    input and r. Infinite where it is above ``most``.
    """
    hidden, inputs = first[0].shape
    best = inf
    low, high = clip or (None, None)
    for active in itertools.product((0.0, 1.0), repeat=hidden):
        on = np.array(active)
        signs = np.where(on > 0, -1.0, 1.0)[:, None]
        # sign * (W x + b) <= 0; |x_i - x0_i| <= r u_i.
        region = np.hstack([signs * first[0], np.zeros((hidden, 1))])
        near = np.vstack(
            [np.hstack([sign * np.eye(inputs), -unit[:, None]]) for sign in (1.0, -1.0)]
        )
        matrix = second[0] @ (on[:, None] * first[0])
        offset = second[0] @ (on * first[1]) + second[1]
        for way in ways:
            margins = np.hstack([way @ matrix, np.zeros((len(way), 1))])
            rows = np.vstack([region, near, margins])
            limits = np.concatenate([-signs[:, 0] * first[1], x, -x, -way @ offset])
            bounds = [(low, high)] * inputs + [(0.0, most)]
            cost = np.append(np.zeros(inputs), 1.0)
            found = linprog(cost, A_ub=rows, b_ub=limits, bounds=bounds, method="highs")
            if found.status == 0:
                best = min(best, float(found.fun))
    return best


def above(label: int, others: Iterable[int], outputs: int) -> np.ndarray:
    """Rows that are not above 0 where all of some outputs are at least that of the label."""
    each = np.eye(outputs)
    return np.stack([each[label] - each[other] for other in others])


def small(values: np.ndarray) -> np.ndarray:
    """Numbers that float32 holds, in float64."""
    return np.round(values * 64) / 64


@given(
    seed=st.integers(0, 2**32 - 1),
    hidden=st.integers(1, 4),
    classes=st.integers(2, 3),
    method=st.sampled_from(["ibp", "crown", "lp-dual", "alpha-crown(steps=2)"]),
    clipped=st.booleans(),
    labelled=st.booleans(),
)
@settings(max_examples=15)
def test_the_true_radius_lies_between_both_ends(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    hidden: int,
    classes: int,
    method: str,
    clipped: bool,
    labelled: bool,
) -> None:
    folder, rng = tmp_path_factory.mktemp("net"), np.random.default_rng(seed)
    first = small(rng.normal(size=(hidden, 2))), small(rng.normal(size=hidden))
    second = small(rng.normal(size=(classes, hidden))), small(rng.normal(size=classes))
    x, unit = small(rng.uniform(-1, 1, size=(3, 2))), np.array([1.0, rng.choice([0.0, 0.5, 2.0])])
    y = rng.integers(0, classes, size=3)
    np.savez(folder / "d.npz", x=x, feature_range=unit, **({"y": y} if labelled else {}))
    model, clip = save(folder / "net.onnx", first, second), (-2.0, 2.0) if clipped else None
    report = critical_radius(
        str(model),
        data=str(folder / "d.npz"),
        sigma=0.1,
        clip=clip,
        method=method,
        accuracy=0.02,
        max_radius=8.0,
    )
    outputs = np.maximum(x @ first[0].T + first[1], 0) @ second[0].T + second[1]
    labels = y if labelled else outputs.argmax(axis=1)
    for each, point, label in zip(report.samples, x, labels, strict=True):
        ways = [above(label, [other], classes) for other in range(classes) if other != label]
        true = true_radius(first, second, point, ways, unit=unit, clip=clip, most=8.0)
        assert each.kept == label
        assert not each.stopped
        assert each.proven <= true + 1e-7
        assert true <= each.attacked + 1e-7
        assert each.proven <= 8.0
        if each.counterexample is None:
            assert each.attacked == inf
            continue
        # It is within its radius, and has another label.
        moved = np.abs(each.counterexample.astype(np.float64) - point)
        assert (moved <= each.attacked * unit * (1 + 1e-12) + 1e-12).all()
        found = np.maximum(each.counterexample @ first[0].T + first[1], 0) @ second[0].T + second[1]
        assert each.becomes != label
        assert found[each.becomes] >= found[label] - 1e-5


@given(
    seed=st.integers(0, 2**32 - 1),
    hidden=st.integers(1, 3),
    method=st.sampled_from(["ibp", "crown", "exact"]),
    labelled=st.booleans(),
    asked=st.sampled_from(["top_k", "targets", "costs"]),
)
@settings(max_examples=12)
def test_the_true_radius_of_what_was_asked_lies_between_both_ends(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    hidden: int,
    method: str,
    labelled: bool,
    asked: str,
) -> None:
    classes, count = 4, 4
    folder, rng = tmp_path_factory.mktemp("net"), np.random.default_rng(seed)
    first = small(rng.normal(size=(hidden, 2))), small(rng.normal(size=hidden))
    second = small(rng.normal(size=(classes, hidden))), small(rng.normal(size=classes))
    x, y = small(rng.uniform(-1, 1, size=(count, 2))), rng.integers(0, classes, size=count)
    np.savez(folder / "d.npz", x=x, **({"y": y} if labelled else {}))
    model = save(folder / "net.onnx", first, second)
    forbidden = rng.random((classes, classes)) < 0.4
    np.fill_diagonal(forbidden, False)
    pairs = ",".join(f"{one}:{other}" for one, other in np.argwhere(forbidden).tolist())
    np.save(folder / "costs.npy", forbidden * rng.uniform(0.5, 2, forbidden.shape))
    more = {"top_k": 2, "targets": pairs, "costs": folder / "costs.npy"}[asked]
    assume(more)
    outputs = np.maximum(x @ first[0].T + first[1], 0) @ second[0].T + second[1]
    labels = y if labelled else outputs.argmax(axis=1)
    some = np.arange(count) if asked == "top_k" else np.flatnonzero(forbidden[labels].any(axis=1))
    request: dict[str, Any] = {"data": str(folder / "d.npz"), "radius": 0.1, "method": method}
    request |= {"accuracy": 0.02, "max_radius": 8.0, asked: more}
    if not len(some):
        with pytest.raises(BadData, match="ask"):
            critical_radius(str(model), **request)
        return
    report = critical_radius(str(model), **request)
    assert [each.index for each in report.samples] == some.tolist()
    assert report.total == len(some)
    for each in report.samples:
        label, outside = int(labels[each.index]), set(range(classes))
        if asked == "top_k":
            others = itertools.combinations(sorted(outside - {label}), 2)
            ways = [above(label, pair, classes) for pair in others]
        else:
            rivals = np.flatnonzero(forbidden[label]).tolist()
            ways = [-above(rival, outside - set(rivals), classes) for rival in rivals]
        true = true_radius(first, second, x[each.index], ways, unit=np.ones(2), clip=None, most=8.0)
        assert (each.kept, each.stopped) == (label, False)
        assert each.proven <= true + 1e-7
        assert true <= each.attacked + 1e-7
        if each.counterexample is None:
            assert each.attacked == inf
            continue
        moved = np.abs(each.counterexample.astype(np.float64) - x[each.index])
        assert (moved <= each.attacked * (1 + 1e-12) + 1e-12).all()
        found = np.maximum(each.counterexample @ first[0].T + first[1], 0) @ second[0].T + second[1]
        assert found[each.becomes] >= found.max() - 1e-5
        if asked == "top_k":
            assert (np.delete(found, label) > found[label] - 1e-5).sum() >= 2
        else:
            assert forbidden[label][each.becomes]


def test_what_is_asked_of_fewer_confusions_takes_longer(report: CriticalRadiusReport) -> None:
    """Of three classes: the label is lost at the first of its rivals, and at both much later."""
    first, second = (
        {s.index: s for s in critical_radius("iris", sigma=0.05, **asked).samples}
        for asked in ({"targets": "*:0"}, {"top_k": 2})
    )
    assert set(first) == {each.index for each in report.samples if each.kept != 0}
    assert set(second) == {each.index for each in report.samples}
    for each in report.samples:
        for other in (first, second):
            if each.index in other:
                assert each.proven <= other[each.index].attacked
    # All rivals at once are what is asked by default.
    whole = critical_radius("iris", sigma=0.05, targets="*:*")
    assert [s.proven for s in whole.samples] == [s.proven for s in report.samples]
    assert [s.attacked for s in whole.samples] == [s.attacked for s in report.samples]


def test_a_folder_is_of_one_question(tmp_path: Path) -> None:
    asked: dict[str, Any] = {"samples": (0, 3), "sigma": 0.05, "out": tmp_path / "r"}
    critical_radius("iris", targets="0:1", **asked)
    again = critical_radius("iris", targets="0:1", resume=True, **asked)
    assert again.asked == {"targets": "0:1"}
    for other in ({}, {"targets": "0:2"}, {"top_k": 2}):
        with pytest.raises(InputError):
            critical_radius("iris", resume=True, **asked, **other)


@pytest.fixture(scope="module")
def report() -> CriticalRadiusReport:
    return critical_radius("iris", sigma=0.05)


def test_verify_agrees_at_both_ends(report: CriticalRadiusReport) -> None:
    labels = set()
    for each in report.samples[::3]:
        one = (each.index, each.index + 1)
        request = VerifyRequest("iris", samples=one, sigma=each.proven)
        if each.proven > 0:
            assert verify(request).samples[0].certified is True
            # CROWN may fail within; it never knows a counterexample there.
            assert verify(replace(request, sigma=0.7 * each.proven)).samples[0].certified is True
        (beyond,) = verify(replace(request, sigma=each.attacked)).samples
        assert beyond.certified is not True
        labels.add(each.attacked == 0)
    assert labels == {True, False} or False in labels


def test_ends_are_as_near_as_the_method_allows(report: CriticalRadiusReport) -> None:
    assert report.exit_status == 0
    right = [each for each in report.samples if each.attacked > 0]
    assert 25 <= len(right) < 30
    for each in right:
        assert 0 < each.proven < each.attacked < inf
        # Beyond, the same method fails.
        tried = VerifyRequest(
            "iris", samples=(each.index, each.index + 1), sigma=1.03 * each.proven
        )
        if each in right[::7]:
            assert verify(tried).samples[0].certified is not True
    wrong = [each for each in report.samples if each.attacked == 0]
    assert all(each.proven == 0 and each.prediction != each.label for each in wrong)


def test_an_exact_method_leaves_little_between_the_ends() -> None:
    found = critical_radius("iris", samples=(9, 11), method="exact", accuracy=0.05)
    for each in found.samples:
        assert 0 < each.proven < each.attacked <= 1.15 * each.proven
    assert found.guarantee.name == "SOLVER"


def test_shares_are_those_of_the_samples(report: CriticalRadiusReport) -> None:
    summary, count = report.summary, len(report.samples)
    assert report.robust(inf) == (0.0, 0.0)
    assert report.robust(1e-9)[1] == 1 - summary.misclassified / count
    least, most = report.robust(summary.median_proven)
    assert least == 0.5
    assert least <= most
    assert sorted(each.proven for each in report.samples)[count // 2] >= summary.median_proven
    radii = np.linspace(0, 1, 50)
    shares = np.array([report.robust(float(radius)) for radius in radii])
    assert (np.diff(shares, axis=0) <= 0).all()
    assert (shares[:, 0] <= shares[:, 1]).all()


def test_a_radius_of_each_feature_is_the_unit(tmp_path: Path) -> None:
    np.save(tmp_path / "r.npy", np.array([0.1, 0.0, 0.2, 0.05]))
    found = critical_radius("iris", samples=(0, 3), radius=tmp_path / "r.npy")
    for each in found.samples:
        box = {"samples": (each.index, each.index + 1)}
        np.save(tmp_path / "p.npy", each.proven * np.array([0.1, 0.0, 0.2, 0.05]))
        assert verify("iris", radius=tmp_path / "p.npy", **box).samples[0].certified is True
    assert found.unit == f"times the radii in {tmp_path / 'r.npy'}"
    assert found.limits.first == 1.0


def test_the_clip_range_is_never_left() -> None:
    found = critical_radius("digits", samples=(0, 6), radius=0.05, accuracy=0.1)
    assert found.limits.largest == 1.0
    for each in found.samples:
        if each.counterexample is not None:
            assert each.counterexample.min() >= 0
            assert each.counterexample.max() <= 1


def test_counterexamples_are_arrays(report: CriticalRadiusReport) -> None:
    arrays = counterexamples(report.samples)
    known = [each for each in report.samples if each.counterexample is not None]
    assert arrays["x"].shape == (len(known), 4)
    assert arrays["x"].dtype == np.float32
    assert arrays["index"].tolist() == [each.index for each in known]
    assert (arrays["y"] != arrays["becomes"]).all()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"accuracy": 0.0}, BadSetting),
        ({"accuracy": 1.0}, BadSetting),
        ({"accuracy": float("nan")}, BadSetting),
        ({"steps": 0}, BadSetting),
        ({"max_radius": 0.0}, BadSetting),
        ({"max_radius": inf}, BadSetting),
        ({"radius": 0.0}, BadSetting),
        ({"sigma": 0.0}, BadSetting),
        ({"resume": True}, BadSetting),
        ({"rigorous": True}, BadSetting),
        ({"max_width": 1.0}, BadSetting),
        ({"probabilities": True}, BadSetting),
        ({"box": Path("b.npz")}, BadSetting),
        ({"top_k": 0}, BadSetting),
        ({"top_k": 2, "targets": "0:1"}, BadSetting),
        ({"per_class": True}, BadSetting),
        ({"radius": -1.0}, BadBox),
    ],
)
def test_requests_that_cannot_be_met(changes: dict[str, Any], error: type) -> None:
    with pytest.raises(error, match="`"):
        CriticalRadiusRequest("iris", **changes)


def test_a_largest_radius_that_overflows_is_refused_before_any_work() -> None:
    with pytest.raises(BadBox):
        critical_radius("iris", radius=1e36, max_radius=1e39)


def test_one_output_is_two_classes_by_a_threshold(tmp_path: Path) -> None:
    """The output is the sum of both inputs, where they are above 0."""
    one = save(tmp_path / "n.onnx", (np.eye(2), np.zeros(2)), (np.ones((1, 2)), np.zeros(1)))
    np.savez(tmp_path / "d.npz", x=np.array([[1.0, 2.0], [0.5, 0.5], [2.0, 2.0]]), y=[1, 0, 0])
    asked: dict[str, Any] = {"data": str(tmp_path / "d.npz"), "radius": 0.125}
    with pytest.raises(BadSetting, match="`threshold`"):
        critical_radius(str(one), **asked)
    found = critical_radius(str(one), threshold=1.5, **asked)
    for each, true in zip(found.samples, (0.75, 0.25, 0.0), strict=True):
        assert 0.98 * true <= each.proven <= true <= each.attacked <= 1.02 * true
    assert [each.becomes for each in found.samples] == [0, 1, 1]
    assert found.model.output_names == ("at most 1.5", "above 1.5")
    with pytest.raises(BadSetting, match="`threshold`"):
        critical_radius("iris", threshold=1.5)


def test_targets_of_a_regression_are_no_classes(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.zeros((2, 4), np.float32), y=np.array([0.5, 1.25]))
    with pytest.raises(BadSetting, match="classes"):
        critical_radius("iris", data=str(tmp_path / "d.npz"), radius=0.1)


def test_a_bound_that_overflows_is_no_proof(tmp_path: Path) -> None:
    """At large radii the product of both layers leaves float32; at small ones it does not."""
    first, second = (1e25 * np.eye(2), np.zeros(2)), (1e9 * np.eye(2), np.zeros(2))
    model = save(tmp_path / "n.onnx", first, second)
    np.savez(tmp_path / "d.npz", x=np.array([[2.0, 1.0], [1.0, 3.0]], np.float32))
    found = critical_radius(
        str(model), data=str(tmp_path / "d.npz"), radius=0.125, max_radius=1e6, runtime_check=False
    )
    for each, true in zip(found.samples, (0.5, 1.0), strict=True):
        assert 0.98 * true <= each.proven <= true <= each.attacked


def strip(report: CriticalRadiusReport) -> list[tuple[Any, ...]]:
    """Everything about the samples but the times."""
    return [
        (each.index, each.proven, each.attacked, each.becomes, each.steps, each.stopped)
        for each in report.samples
    ]


def test_a_search_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    asked = {"samples": (0, 70), "accuracy": 0.2, "steps": 4, "out": tmp_path / "out"}
    watch = Watch()

    def stop(state: Any) -> None:
        if state.done == 1:
            watch.stop()

    first = critical_radius("digits", progress=stop, watch=watch, **asked)
    assert first.interrupted
    assert first.exit_status == 3
    assert 32 <= len(first.samples) <= 64
    with pytest.raises(InputError, match="already"):
        critical_radius("digits", **asked)
    with pytest.raises(InputError, match="accuracy"):
        critical_radius("digits", **{**asked, "accuracy": 0.1}, resume=True)
    with pytest.raises(InputError, match="clip"):
        critical_radius("digits", **asked, clip=(-1.0, 2.0), resume=True)
    kept = (tmp_path / "out" / JOURNAL).read_bytes()
    resumed = critical_radius("digits", **asked, resume=True)
    assert not resumed.interrupted
    assert (tmp_path / "out" / JOURNAL).read_bytes().startswith(kept)
    whole = critical_radius("digits", **{**asked, "out": None})
    assert strip(resumed) == strip(whole)
    # Everything is there: nothing is searched again.
    again = critical_radius("digits", **asked, resume=True)
    assert strip(again) == strip(whole)
    for one, other in zip(again.samples, whole.samples, strict=True):
        assert np.array_equal(one.counterexample, other.counterexample)


def test_a_search_does_not_go_on_with_other_weights_beside_the_file(tmp_path: Path) -> None:
    made = onnx.load(resolve("iris").path)
    path, asked = tmp_path / "net.onnx", {"radius": 0.1, "out": tmp_path / "out", "steps": 2}
    options = {"save_as_external_data": True, "location": "weights", "size_threshold": 0}
    x = np.full((1, 4), 2.0, dtype=np.float32)
    onnx.save(made, path, **options)
    critical_radius(path, x, **asked)
    before, weights = path.read_bytes(), (tmp_path / "weights").read_bytes()
    critical_radius(path, x, resume=True, **asked)
    (tmp_path / "weights").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    assert path.read_bytes() == before
    with pytest.raises(InputError, match="model is another one"):
        critical_radius(path, x, resume=True, **asked)


def test_rows_of_other_samples_are_searched_again(tmp_path: Path) -> None:
    asked: dict[str, Any] = {"samples": (0, 2), "steps": 2, "out": tmp_path / "out"}
    whole = critical_radius("iris", **asked)
    path = tmp_path / "out" / JOURNAL
    row = json.loads(path.read_text())
    row["samples"].pop()
    path.write_text(json.dumps(row) + "\n")
    assert strip(critical_radius("iris", **asked, resume=True)) == strip(whole)


@pytest.mark.parametrize("key", ["proven", "attacked", "counterexample"])
def test_a_damaged_row_is_refused(tmp_path: Path, key: str) -> None:
    asked: dict[str, Any] = {"samples": (0, 2), "steps": 2, "out": tmp_path / "out"}
    critical_radius("iris", **asked)
    path = tmp_path / "out" / JOURNAL
    row = json.loads(path.read_text())
    odd = {"counterexample": {"dtype": "|O"}, "proven": 1e9, "attacked": -1.0}
    row["samples"][0][key] = odd[key]
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(InputError, match=r"line 1.*critical radii"):
        critical_radius("iris", **asked, resume=True)


def test_time_that_is_up_leaves_what_is_known() -> None:
    found = critical_radius("digits", samples=(0, 64), timeout=1e-6)
    assert found.interrupted
    assert len(found.samples) == 32
    assert all(each.stopped for each in found.samples)
    assert all(each.proven == 0 for each in found.samples)


def test_rows_come_back_as_they_were(report: CriticalRadiusReport, tmp_path: Path) -> None:
    critical_radius("iris", samples=(0, 3), out=tmp_path / "o", steps=3)
    content = (tmp_path / "o" / JOURNAL).read_bytes()
    ((batch, _),) = ROWS.read(tmp_path, content)
    assert ROWS.line(batch) == content
    assert report.total == 30
