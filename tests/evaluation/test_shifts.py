"""Other data sets: their own classes, their samples, and what they are refused for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sensverify.errors import BadData, BadSetting, BadShape, SensverifyError
from sensverify.evaluation import EvaluateRequest, evaluate
from sensverify.evaluation.results import ShiftRow
from sensverify.evaluation.rows import from_plain, to_plain
from sensverify.evaluation.shift import OtherData, parse_shift
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
