"""Other data sets: their own classes, their samples, and what they are refused for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sensverify.core.gates import GateVerdict, Limit
from sensverify.errors import BadData, BadSetting, BadShape, SensverifyError, UnknownName
from sensverify.evaluation import EvaluateRequest, compare_pairs, evaluate
from sensverify.evaluation.figures import figures
from sensverify.evaluation.results import Missing, ShiftRow
from sensverify.evaluation.rows import from_plain, to_plain
from sensverify.evaluation.shift import OtherData, parse_shift
from sensverify.evaluation.specification import Requirement, Specification
from sensverify.report.evaluation.document import evaluation_document
from sensverify.report.evaluation.json import evaluation_to_json
from sensverify.report.html import document_to_html
from sensverify.scores import read_scores

# The outputs of the identity are its inputs: every prediction is known by hand.
CLEAN_X = np.array([[9, 1, 0, 0], [0, 9, 8, 0], [1, 8, 2, 7], [0, 0, 1, 3]], np.float32)
CLEAN_Y = np.array([0, 1, 3, 3])
OTHER_X = np.array([[9, 1, 2, 0], [0, 1, 9, 2], [0, 3, 0, 1]], np.float32)


def save(path: Path, x: np.ndarray, y: Any) -> Path:
    np.savez(path, x=x, y=np.asarray(y))
    return path


def row(tmp_path: Path, labels: Any, classes: Any = None, **settings: Any) -> ShiftRow:
    listed = None
    if classes is not None:
        listed = tmp_path / "classes.json"
        listed.write_text(json.dumps(classes))
    other = OtherData(name="A", data=save(tmp_path / "a.npz", OTHER_X, labels), classes=listed)
    (found,) = run(tmp_path, (other,), **settings).models[0].shifts
    return found


def run(tmp_path: Path, shifts: tuple[OtherData, ...], **settings: Any) -> Any:
    plain = {"attacks": (), "certify": (), "corruptions": (), "sequences": (), "measures": ()}
    module = torch.nn.Sequential(torch.nn.Linear(4, 4, bias=False))
    module[0].weight.data = torch.eye(4)
    data = save(tmp_path / "clean.npz", CLEAN_X, CLEAN_Y)
    request = EvaluateRequest(models=(module,), data=data, shifts=shifts, **plain, **settings)
    return evaluate(request)


def test_labels_are_the_networks_own_without_classes(tmp_path: Path) -> None:
    found = row(tmp_path, [0, 3, 1])
    assert (found.classified.accuracy.count, found.samples, found.wrong) == (2, 3, (1,))
    assert found.classes is found.clean_right is found.clean_samples is None


def test_predictions_are_restricted_to_the_listed_classes(tmp_path: Path) -> None:
    # Class 0 of the data is output 3 and class 1 output 1: output 2 and output 0 do not count.
    found = row(tmp_path, [1, 0, 1], [3, 1])
    assert (found.classified.accuracy.count, found.wrong, found.classes) == (3, (), 2)
    assert found.classified.confusion == ((1, 0), (0, 2))
    # Of the clean samples with labels 1, 3 and 3, the second takes output 1 for its own.
    assert (found.clean_right, found.clean_samples) == (2, 3)


def test_several_outputs_may_stand_for_a_class(tmp_path: Path) -> None:
    found = row(tmp_path, [0, 0, 1], [[0, 2], 3])
    assert found.classified.accuracy.count == 3
    assert (found.clean_right, found.clean_samples) == (3, 3)


def test_classes_by_name(tmp_path: Path) -> None:
    found = row(tmp_path, ["cat", "ant", "cat"], {"ant": 3, "cat": 1})
    assert found.classified.accuracy.count == 3


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        ('{"ant": 3, "cat": 1, "ant": 2}', "'ant' twice"),
        ("[3, 1, 2]", "lists 3 classes, and the data have 2"),
        ('{"ant": 3}', "classes by name"),
    ],
)
def test_a_mask_that_does_not_fit_the_classes_is_refused(
    tmp_path: Path, classes: str, said: str
) -> None:
    listed = tmp_path / "classes.json"
    listed.write_text(classes)
    data = save(tmp_path / "a.npz", OTHER_X, ["cat", "ant", "cat"])
    with pytest.raises(BadData, match=said):
        run(tmp_path, (OtherData(name="A", data=data, classes=listed),))


def test_no_clean_sample_of_the_classes_is_said(tmp_path: Path) -> None:
    other = save(tmp_path / "a.npz", OTHER_X, [0, 1, 1])
    (tmp_path / "c.json").write_text("[2, [1]]")
    data = OtherData(name="A", data=other, classes=tmp_path / "c.json")
    module = torch.nn.Linear(4, 4)
    clean = save(tmp_path / "clean.npz", CLEAN_X[:1], [0])
    plain = {"attacks": (), "certify": (), "corruptions": (), "sequences": (), "measures": ()}
    found = evaluate(EvaluateRequest(models=(module,), data=clean, shifts=(data,), **plain))
    assert found.models[0].shifts[0].clean_samples == 0
    page = document_to_html(evaluation_document(found))
    assert "Other data sets" in page
    assert "of the same classes 0" not in page


def test_count_takes_as_many(tmp_path: Path) -> None:
    found = row(tmp_path, [0, 3, 1], count=2)
    assert (found.samples, found.available) == (2, 3)


def test_rows_are_kept_and_other_samples_are_other_tasks(tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = row(tmp_path, [0, 3, 1], out=out)
    assert from_plain(json.loads(json.dumps(to_plain(found)))) == found
    again = row(tmp_path, [0, 3, 1], out=out, resume=True)
    assert again == found
    assert row(tmp_path, [0, 2, 1], out=out, resume=True).wrong == ()


def test_it_is_in_the_json_on_the_page_and_in_scores(tmp_path: Path) -> None:
    hostile = "A<script>"
    data = save(tmp_path / "a.npz", OTHER_X, [0, 3, 1])
    found = run(tmp_path, (OtherData(name=hostile, data=data),))
    page = document_to_html(evaluation_document(found))
    assert "A&lt;script&gt;" in page
    assert hostile not in page
    text = evaluation_to_json(found)
    (shift,) = json.loads(text)["models"][0]["shifts"]
    assert shift["classified"]["accuracy"]["count"] == 2
    (tmp_path / "evaluation.json").write_text(text)
    scores = read_scores([tmp_path / "evaluation.json"])
    place = [each.name for each in scores.shifts].index(hostile)
    assert scores.shifts[place].kind == "shift"
    assert (int(scores.right[0, place]), int(scores.total[0, place])) == (2, 3)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ([0, 3, 4], None),
        ([0, 1, 2], [3, 1]),
        ([0, 1, 1], [3]),
        ([0, 1, 1], []),
        ([0, 1, 1], [3, 3]),
        ([0, 1, 1], [3, []]),
        ([0, 1, 1], [3, 4]),
        ([0, 1, 1], [3, -1]),
        ([0, 1, 1], [3, True]),
        ([0, 1, 1], [3, 1.5]),
        ([0, 1, 1], {"a": 1, "b": 2}),
        (["a", "b", "b"], {"a": 1}),
        ([0, 1, 1], "classes"),
    ],
    ids=str,
)
def test_classes_that_cannot_be(tmp_path: Path, labels: Any, classes: Any) -> None:
    with pytest.raises(BadData):
        row(tmp_path, labels, classes)


def test_other_data_that_cannot_be(tmp_path: Path) -> None:
    narrow = save(tmp_path / "narrow.npz", OTHER_X[:, :3], [0, 1, 1])
    with pytest.raises(BadShape):
        run(tmp_path, (OtherData(name="A", data=narrow),))
    bare = tmp_path / "bare.npz"
    np.savez(bare, x=OTHER_X)
    with pytest.raises(BadData, match="bare"):
        run(tmp_path, (OtherData(name="A", data=bare),))
    for content in (None, b"{", b"\xff"):
        damaged = tmp_path / "damaged.json"
        if content is not None:
            damaged.write_bytes(content)
        other = save(tmp_path / "a.npz", OTHER_X, [0, 1, 1])
        with pytest.raises(SensverifyError, match="damaged"):
            run(tmp_path, (OtherData(name="A", data=other, classes=damaged),))
    with pytest.raises(BadSetting, match="twice"):
        run(tmp_path, (OtherData(name="A", data=narrow), OtherData(name="A", data=narrow)))
    with pytest.raises(BadSetting, match="name"):
        OtherData(name=" ", data=narrow)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("A=a.npz", ("A", "a.npz", None)),
        ("R=folder:r.json", ("R", "folder", Path("r.json"))),
        ("S=C:\\s.npz", ("S", "C:\\s.npz", None)),
        ("L=t.csv(label=last):c.json", ("L", "t.csv(label=last)", Path("c.json"))),
    ],
)
def test_texts(text: str, wanted: tuple[Any, ...]) -> None:
    found = parse_shift(text)
    assert (found.name, found.data, found.classes) == wanted


@pytest.mark.parametrize("text", ["", "A", "A=", "=a.npz"])
def test_texts_that_name_nothing(text: str) -> None:
    with pytest.raises(BadSetting):
        parse_shift(text)


def spec(**changes: Any) -> Specification:
    other = {"name": "A", "data": None, **changes.pop("other", {})}
    requirement = {"name": "r", "shifts": ("A",), "limit": Limit(0.5), "by": "estimate", **changes}
    described = () if other["data"] is None else (OtherData(**other),)
    return Specification(requirements=(Requirement(**requirement),), shifts=described)


def test_a_requirement_is_judged_on_the_samples_of_other_data(tmp_path: Path) -> None:
    listed = tmp_path / "classes.json"
    listed.write_text("[3, 1]")
    data = {"data": save(tmp_path / "a.npz", OTHER_X, [1, 0, 1]), "classes": listed}
    asked = spec(other=data)
    # All three are right among the classes, and two of the three clean ones.
    (gate,) = run(tmp_path, (), specification=asked).gates
    assert (gate.name, gate.figure.least, gate.figure.count) == ("min_shifted", 1.0, 3)
    assert gate.verdict is GateVerdict.PASSED
    residual = spec(other=data, metric="residual", limit=Limit(0.0))
    (gate,) = run(tmp_path, (), specification=residual).gates
    assert gate.figure.least == gate.figure.most == pytest.approx(2 / 3 - 1)
    # Described there, or given with the request: the same.
    given = OtherData(name="A", **data)
    (again,) = run(tmp_path, (given,), specification=spec()).gates
    assert again.figure.least == 1.0
    assert run(tmp_path, (given,), specification=asked).gates[0].figure.least == 1.0


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({}, UnknownName, "no other data set 'A'"),
        ({"shifts": ("B",), "other": {}}, UnknownName, "no other data set 'B'"),
        ({"group": "7"}, BadSetting, "no class '7'"),
        ({"group": "2"}, BadData, "class '2'"),
        ({"by": "interval", "limit": Limit(0.9)}, BadSetting, "out of reach with 3 samples"),
    ],
)
def test_a_shift_that_says_nothing_is_refused_before_any_work(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception], said: str
) -> None:
    shifts = ()
    if changes and "other" not in changes:
        shifts = (OtherData(name="A", data=save(tmp_path / "a.npz", OTHER_X, [0, 3, 1])),)
    changes.pop("other", None)
    with pytest.raises(error, match=said):
        run(tmp_path, shifts, specification=spec(**changes))


def test_two_shifts_by_one_name_are_refused(tmp_path: Path) -> None:
    data = save(tmp_path / "a.npz", OTHER_X, [0, 3, 1])
    other = OtherData(name="A", data=save(tmp_path / "b.npz", OTHER_X, [0, 3, 1]))
    with pytest.raises(BadSetting, match="different data"):
        run(tmp_path, (other,), specification=spec(other={"data": data}))


def test_a_class_is_that_of_the_networks(tmp_path: Path) -> None:
    data = {"data": save(tmp_path / "a.npz", OTHER_X, [0, 3, 3])}
    (gate,) = run(tmp_path, (), specification=spec(other=data, group="3")).gates
    assert (gate.figure.least, gate.figure.count) == (0.0, 2)
    listed = tmp_path / "classes.json"
    listed.write_text("[3, 1, 0, 2]")
    masked = spec(other={**data, "classes": listed}, group="3")
    with pytest.raises(BadSetting, match="are not those of the networks"):
        run(tmp_path, (), specification=masked)


def test_a_gate_is_about_the_mean_over_other_data(tmp_path: Path) -> None:
    first = OtherData(name="A", data=save(tmp_path / "a.npz", OTHER_X, [0, 3, 1]))
    second = OtherData(name="B", data=save(tmp_path / "b.npz", OTHER_X[:2], [0, 2]))
    found = run(tmp_path, (first, second), min_shifted=0.8)
    (gate,) = found.gates
    assert gate.figure.least == gate.figure.most == pytest.approx((2 / 3 + 1) / 2)
    assert (gate.figure.count, gate.verdict) == (5, GateVerdict.PASSED)
    with pytest.raises(BadSetting, match="`min_shifted`"):
        run(tmp_path, (), min_shifted=0.8)
    row, model = found.models[0].shifts[0], found.models[0]
    part = replace(model, shifts=(row,), missing=(Missing(key="shift/B", reason="lost"),))
    figure = figures(part, None, frozenset())["min_shifted"]
    assert (figure.least, figure.most) == pytest.approx((1 / 3, 5 / 6))
    assert "min_shifted" not in figures(replace(model, shifts=()), None, frozenset())


def test_a_kept_result_is_about_the_same_other_data(tmp_path: Path) -> None:
    listed = tmp_path / "classes.json"
    listed.write_text("[3, 1]")
    data = save(tmp_path / "a.npz", OTHER_X, [1, 0, 1])
    other = OtherData(name="A", data=data, classes=listed)
    kept = tmp_path / "kept.json"
    kept.write_text(evaluation_to_json(run(tmp_path, (other,))))
    asked = {"min_shifted": "baseline", "baseline": kept}
    (gate,) = run(tmp_path, (other,), **asked).gates
    assert (gate.baseline, gate.verdict) == (1.0, GateVerdict.PASSED)
    # As many other classes, other samples, another name.
    listed.write_text("[1, 3]")
    for changed in (
        other,
        OtherData(name="B", data=data),
        OtherData(name="A", data=save(tmp_path / "b.npz", OTHER_X, [0, 0, 1])),
    ):
        with pytest.raises(BadSetting, match="its shifts is"):
            run(tmp_path, (changed,), **asked)


def test_gates_of_each_class_need_the_networks_classes(tmp_path: Path) -> None:
    clean = save(tmp_path / "c.npz", CLEAN_X, [0, 1, 2, 3])
    other = OtherData(name="A", data=save(tmp_path / "a.npz", CLEAN_X, [0, 1, 1, 3]))
    plain = {"attacks": (), "certify": (), "corruptions": (), "sequences": (), "measures": ()}
    module = torch.nn.Linear(4, 4, bias=False)
    module.weight.data = torch.eye(4)
    settings = {"models": (module,), "data": clean, "min_shifted": 0.5, "per_class": True}
    with pytest.raises(BadData, match="the data 'A'"):
        evaluate(EvaluateRequest(shifts=(other,), **settings, **plain))
    listed = tmp_path / "classes.json"
    listed.write_text("[0, 1, 2, 3]")
    masked = replace(other, classes=listed)
    with pytest.raises(BadSetting, match="have others"):
        evaluate(EvaluateRequest(shifts=(masked,), **settings, **plain))
    whole = replace(other, data=save(tmp_path / "a.npz", CLEAN_X, [0, 2, 1, 3]))
    found = evaluate(EvaluateRequest(shifts=(whole,), **settings, **plain))
    shares = {gate.group: gate.figure.least for gate in found.gates}
    assert shares == {None: 0.75, "0": 1.0, "1": 1.0, "2": 0.0, "3": 1.0}


def test_networks_are_compared_on_other_data(tmp_path: Path) -> None:
    data = save(tmp_path / "a.npz", OTHER_X, [0, 3, 1])
    found = run(tmp_path, (OtherData(name="A<b>", data=data),))
    model = found.models[0]
    worse = replace(model.shifts[0], wrong=(0, 1, 2))
    other = replace(model, model=replace(model.model, name="b"), shifts=(worse,))
    (each,) = [e for e in compare_pairs(replace(found, models=(model, other))) if e.kind == "shift"]
    assert each.paired is not None
    assert (each.name, each.paired.samples, each.paired.only_first) == ("A<b>", 3, 2)
    page = document_to_html(evaluation_document(replace(found, models=(model, other))))
    assert "on A&lt;b&gt;" in page
    for changes in ({"samples_sha256": "0" * 64}, {"classes_sha256": "0" * 64}):
        elsewhere = replace(other, shifts=(replace(worse, **changes),))
        pairs = compare_pairs(replace(found, models=(model, elsewhere)))
        (each,) = [e for e in pairs if e.kind == "shift"]
        assert each.paired is None
        assert "same samples" in each.untested
    without = compare_pairs(replace(found, models=(model, replace(other, shifts=()))))
    assert [e.kind for e in without] == ["clean"]
