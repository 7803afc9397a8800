"""Results show themselves: the same JSON and page as commands write, tables, pictures."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from typing import Any
from xml.etree import ElementTree

import pytest
import torch

import sensverify as sv
from sensverify import evaluation, verification
from sensverify.core.shown import _HOMES, Shown
from sensverify.errors import BadSetting, NotMeasured
from sensverify.evaluation.results import Evaluation
from sensverify.report.verification.json import report_to_json


@pytest.fixture(scope="module")
def report() -> sv.VerifyReport:
    return sv.verify("iris", sigma=0.05, samples=(20, 28))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> sv.TrainResult:
    module = torch.nn.Linear(4, 3)
    data = sv.load_data("iris")
    out = tmp_path_factory.mktemp("run") / "run"
    return sv.train(module, data.x, y=data.y, epochs=3, sigma=0.05, out=out)


def test_renderers_are_there() -> None:
    for kind, home in _HOMES.items():
        assert resolve_name(home).document
        home = next(part for part in (sv, verification, evaluation) if hasattr(part, kind))
        assert issubclass(getattr(home, kind), Shown)


def test_json_is_that_of_the_command(report: sv.VerifyReport) -> None:
    assert report.to_json() == report_to_json(report)


def test_pages_are_written(report: sv.VerifyReport, tmp_path: Path) -> None:
    page = report.to_html(tmp_path / "report.html")
    assert page == (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.lstrip().startswith("<!doctype html>")


def test_a_glance_is_small(report: sv.VerifyReport, make_evaluation: Any) -> None:
    for result in (report, make_evaluation(("one", "two"))):
        found = result._repr_html_()
        assert "<table" in found
        assert "<html" not in found
        assert len(found) < 6000
        assert len(repr(result)) < 400


def test_a_glance_shows_the_verdict() -> None:
    refused = sv.verify("iris", sigma=0.05, samples=(20, 22), max_width=1e-3)
    assert "Threshold exceeded" in refused._repr_html_()
    assert "<script" not in refused._repr_html_()


def test_tables(report: sv.VerifyReport) -> None:
    import pandas

    samples, outputs = report.to_pandas(), report.to_pandas("outputs")
    assert isinstance(samples, pandas.DataFrame)
    assert samples["index"].tolist() == list(range(20, 28))
    assert samples["label_kept"].isin(["certified", "changes", "undecided"]).all()
    assert len(outputs) == 8 * 3
    assert (outputs["lower"] <= outputs["value"]).all()
    assert (outputs["value"] <= outputs["upper"]).all()
    with pytest.raises(BadSetting, match="outputs"):
        report.to_pandas("nothing")


def test_tables_of_an_evaluation(make_evaluation: Callable[..., Evaluation]) -> None:
    evaluation = make_evaluation(("one", "two"))
    summary = evaluation.to_pandas()
    assert summary["model"].tolist() == ["one", "two"]
    assert summary["clean"].between(0, 1).all()
    assert set(evaluation.to_pandas("accuracy")["kind"]) >= {"attack", "certified"}


def test_training(trained: sv.TrainResult) -> None:
    values = json.loads(trained.to_json())
    assert values["epochs"] == 3
    assert set(values["metrics"]) == {"train", "test"}
    assert "ERR" in trained._repr_html_()
    assert "3 epochs" in repr(trained)


def pictures(report: sv.VerifyReport, made: Evaluation, trained: sv.TrainResult) -> list[Any]:
    return [report.plot(), made.plot(), trained.plot()]


def test_pictures_are_files_of_their_own(
    report: sv.VerifyReport,
    make_evaluation: Callable[..., Evaluation],
    trained: sv.TrainResult,
    tmp_path: Path,
) -> None:
    for picture in pictures(report, make_evaluation(), trained):
        picture.save(tmp_path / "picture.svg")
        root = ElementTree.parse(tmp_path / "picture.svg").getroot()
        assert root.tag.endswith("svg")
        assert re.fullmatch(
            r'<img alt="[^"]+" src="data:image/svg\+xml;base64,[\w+/=]+">', (picture._repr_html_())
        )


def test_nothing_to_draw(make_evaluation: Callable[..., Evaluation]) -> None:
    bare = make_evaluation(network={"attacks": {}, "methods": {}})
    with pytest.raises(NotMeasured):
        bare.plot()
    result = sv.train(torch.nn.Linear(4, 3), sv.load_split("iris"), epochs=1, metric_samples=0)
    with pytest.raises(NotMeasured):
        result.plot()


def test_critical_radii_show_themselves() -> None:
    found = verification.critical_radius("iris", sigma=0.05, samples=(0, 3))
    assert json.loads(found.to_json())["schema"].startswith("sensverify.critical-radius/")
    assert "<table" in found._repr_html_()
    assert found.plot().text.startswith("<svg")
    assert "3 samples" in repr(found)
    assert len(repr(found)) < 300
