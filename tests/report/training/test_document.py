"""A training in words, as a page, as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from sensverify.core.digests import sha256_of_file
from sensverify.report.chart import svg
from sensverify.report.document import Group, Table, plain
from sensverify.report.html import document_to_html
from sensverify.report.tabular import document_to_csv
from sensverify.report.training import document as shown_training
from sensverify.report.training.charts import CARD, chart, course_charts
from sensverify.report.training.document import metric_text, training_document
from sensverify.report.training.json import training_to_json
from sensverify.runs.watch import Watch
from sensverify.training import TrainResult, fit
from tests.report.shown import printed
from tests.training.trainings import blobs, plain_model, quick

EVIL = "<script>alert(1)</script>\"'&"
SMALL = quick(epochs=3, metric_samples=12, checkpoint_seconds=60.0)
LOSS = "cross-entropy + 1e-5*l2"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """A finished training in a folder."""
    return fit(plain_model(), blobs(), LOSS, SMALL, out=tmp_path_factory.mktemp("run") / "run")


def page(result: TrainResult) -> str:
    return document_to_html(training_document(result))


def stopping(watch: Watch, step: int) -> Callable[[Any], None]:
    return lambda now: watch.stop() if now.step == step else None


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("ERR", 0.0226, "2.26 %"),
        ("PGD_ERR", 1.0, "100.00 %"),
        ("SENSE", 5530.0, "5.53e3"),
        ("SENSE", 4.58e12, "4.58e12"),
        ("SENSE", 2.9e-5, "2.90e-5"),
        ("SENSE", 0.0, "0.00e0"),
        ("SENSE", None, "-"),
        ("SENSE", math.inf, "inf"),
        ("LOG_VOLUME", -math.inf, "-inf"),
        ("CE", 0.0789, "0.0789"),
    ],
)
def test_metrics_in_words(name: str, value: float | None, text: str) -> None:
    assert metric_text(name, value) == text


def test_a_page_says_what_was_trained_and_how_it_went(run: TrainResult) -> None:
    text, directory = page(run), run.directory
    assert directory is not None
    for words in ("Course", "Final metrics", "Layers", "sensverify verify", LOSS[:10]):
        assert words in text
    for word in ("Interrupted", "Resumed", "went on"):
        assert word not in text
    assert sha256_of_file(directory / "model.onnx") in text
    titles = [title for title, _, _ in course_charts(run.course)]
    assert titles[:4] == ["Loss", "Terms of the loss", "CE", "ERR"]
    assert run.to_html() == text
    lines = document_to_csv(training_document(run))["epochs"].splitlines()
    assert len(lines) == 4
    assert "test ERR" in lines[0]
    assert "test ERR" in " ".join(map(str, run.to_pandas("epochs").columns))


def test_a_training_without_a_folder_has_the_same_course(run: TrainResult) -> None:
    found = fit(plain_model(), blobs(), LOSS, SMALL)
    assert [row["test ERR"] for row in found.course] == [row["test ERR"] for row in run.course]
    assert {*found.course[0]} == {*run.course[0]}
    assert "Folder" not in page(found)
    assert found.plot().text.count("<polyline") >= 2
    values = json.loads(training_to_json(found))
    assert (values["directory"], values["weights_sha256"], values["model"]) == (None, None, None)
    assert values["config"]["data"]["name"] == "blobs"


def test_an_interrupted_and_a_resumed_training_say_so(tmp_path: Path) -> None:
    watch = Watch()
    stopped = fit(
        *(plain_model(), blobs(), LOSS, SMALL),
        out=tmp_path,
        watch=watch,
        progress=stopping(watch, 5),
    )
    text = page(stopped)
    assert "Interrupted" in text
    assert "1 of 3 epochs are done" in text
    assert f"Resumed in <code>{tmp_path}</code>, it goes on" in text
    assert "sensverify verify" not in text
    assert len(stopped.course) == 1
    values = json.loads(training_to_json(stopped))
    assert (values["interrupted"], values["metrics"], values["model_sha256"]) == (True, {}, None)
    resumed = fit(plain_model(), blobs(), LOSS, SMALL, out=tmp_path, resume=True)
    again = fit(plain_model(), blobs(), LOSS, SMALL, out=tmp_path, resume=True)
    for found in (resumed, again):
        assert found.resumed == (5,)
        assert "went on after step 5" in page(found)
        assert json.loads(training_to_json(found))["resumed"] == [5]
        assert len(found.course) == 3


def test_json_is_that_of_the_folder_and_more(run: TrainResult) -> None:
    values = json.loads(run.to_json())
    assert run.directory is not None
    kept = json.loads((run.directory / "result.json").read_text())
    for name in ("epochs", "steps", "seconds", "metrics", "weights_sha256", "model"):
        assert values[name] == kept[name]
    assert values["schema"] == "sensverify.train-result/2"
    # What reads it back knows version 1.
    assert kept["schema"] == "sensverify.train-result/1"
    assert values["model_sha256"] == sha256_of_file(run.directory / "model.onnx")
    assert [row["epoch"] for row in values["course"]] == [1, 2, 3]


def test_numbers_that_are_none_are_drawn_and_written_as_such(run: TrainResult) -> None:
    odd = {"epoch": 2.0, "loss": math.nan, "test LOG_SENSE": -math.inf, "test ERR": 0.5}
    found = replace(run, course=(run.course[0], odd))
    for _, _, drawing in course_charts(found.course):
        assert "nan" not in svg(drawing)
        assert "inf" not in svg(drawing)
    page(found)
    values = json.loads(training_to_json(found))["course"][1]
    assert (values["loss"], values["test LOG_SENSE"]) == (None, "-inf")


@pytest.mark.parametrize("line", [[(1.0, 0.0)], [(1.0, 5e-9), (2.0, 3e12)], [(3.0, -1.0)] * 2])
def test_extreme_courses_are_drawn(line: list[tuple[float, float]]) -> None:
    for share in (False, True):
        assert "nan" not in svg(chart({"test": line}, CARD, "ERR", share=share))


def test_long_courses_are_cut(run: TrainResult, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown_training, "EPOCHS", 2)
    sections = {s.anchor: s for s in training_document(run).sections}
    details = next(b for b in sections["course"].blocks if getattr(b, "look", "") == "details")
    assert isinstance(details, Group)
    table = details.blocks[0]
    assert isinstance(table, Table)
    assert [plain(row.name) for row in table.rows] == ["2", "3"]
    assert "the last 2 of 3 epochs" in page(run)


def test_texts_are_escaped(run: TrainResult) -> None:
    config = json.loads(json.dumps(run.config))
    config["model"] |= {"name": EVIL, "text": EVIL}
    config["data"] |= {"name": EVIL}
    config |= {"loss": EVIL, "recipe": EVIL}
    course = ({**run.course[0], EVIL: 1.0, "other": 2.0},)
    text = page(replace(run, config=config, course=course, parts=EVIL))
    assert "<script>alert" not in text
    assert EVIL in unescape(text)


def test_a_result_that_knows_little_is_shown_all_the_same(run: TrainResult) -> None:
    bare = replace(run, config={}, course=(), parts="")
    text = page(bare)
    assert "Sequential" in text
    assert "Course" not in text
    assert "training" in printed(training_document(bare))
