"""The schema ``sensverify.evaluate/1``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sensverify.classification.predictions import Classified
from sensverify.classification.rates import Rate
from sensverify.evaluation.lines import accuracy_lines
from sensverify.evaluation.results import Evaluation, ModelEvaluation
from sensverify.evaluation.scores import (
    CurvePoint,
    Summary,
    corruption_scores,
    middle_radius,
    reference_of,
    success_rate,
    summarise,
)
from sensverify.report.json import model_dict

SCHEMA = "sensverify.evaluate/1"


def evaluation_to_json(evaluation: Evaluation) -> str:
    """An evaluation as one JSON object and a newline; lists of numbers stand on one line.

    Every number is finite; shares are from 0 to 1 and radii are in ``radius_unit``. A rate is an
    object: ``count`` of ``samples``, their ``share``, and Wilson's 95 % interval from ``lower`` to
    ``upper``. Positions of samples count from 0 in the samples that were used.

    * ``data``: its ``name``, the ``samples`` used of those ``available`` and how they were
      ``chosen``, ``train_samples`` that measures were taken on, what ``classes`` are called.
    * ``radii``, ``radius_unit``, ``middle_radius`` (of the summaries), ``clip``, ``settings``,
      ``reference`` (of CE), ``versions``, ``machine``, ``device``, ``seconds``, ``interrupted``.
    * ``models``, each with its ``model`` (name, path, digest, shapes) and the rows ``clean``,
      ``attacks``, ``certified``, ``corruptions``, ``sequences``, ``measures`` and ``missing``, with
      the fields of `sensverify.evaluation.results`. What was ``classified`` is ``confusion``
      (labels down, predictions across), ``bins`` of confidence, and what follows from them: the
      rate ``accuracy``, mean ``confidence`` and three calibration errors. ``success`` of an attack
      is its rate over the samples that were right; ``blind`` are the samples that it says nothing
      of, as no gradient could be followed.
    * ``scores`` of each model: its ``summary``, ``lines`` (accuracy against radius for every
      attack, the worst of them, and certified) and ``corruptions`` (residual robustness, APP, CE
      and relative CE).

    Pictures of examples are only on the page.

    Raises
    ------
    ValueError
        A number is not finite; this is a defect, and nothing is written.
    """
    return _text(evaluation_to_dict(evaluation), "") + "\n"


def evaluation_to_dict(evaluation: Evaluation) -> dict[str, Any]:
    """An evaluation as the values of the schema."""
    summaries = summarise(evaluation)
    return {
        "schema": SCHEMA,
        "data": {
            "name": evaluation.data,
            "samples": evaluation.samples,
            "available": evaluation.available,
            "chosen": evaluation.chosen,
            "train_samples": evaluation.train_samples,
            "classes": list(evaluation.classes),
        },
        "radii": list(evaluation.radii),
        "radius_unit": evaluation.radius_unit,
        "middle_radius": middle_radius(evaluation),
        "clip": None if evaluation.clip is None else list(evaluation.clip),
        "settings": dict(evaluation.settings),
        "reference": evaluation.reference,
        "models": [
            _model(evaluation, model, summary)
            for model, summary in zip(evaluation.models, summaries, strict=True)
        ],
        "versions": dict(evaluation.versions),
        "machine": evaluation.machine,
        "device": evaluation.device,
        "seconds": evaluation.seconds,
        "interrupted": evaluation.interrupted,
    }


def _model(evaluation: Evaluation, model: ModelEvaluation, summary: Summary) -> dict[str, Any]:
    scores = corruption_scores(model, reference_of(evaluation))
    return {
        "model": {"name": model.model.name, **model_dict(model.model)},
        "scores": {
            "summary": {name: _plain(value) for name, value in vars(summary).items()},
            "lines": [
                {"kind": line.kind, "name": line.name, "points": [_point(p) for p in line.points]}
                for line in accuracy_lines(evaluation, model)
            ],
            "corruptions": [asdict(score) for score in scores],
        },
        # Every kind of row is a field.
        **{
            name: [_row(row) for row in rows]
            for name, rows in vars(model).items()
            if name != "model"
        },
        "attacks": [
            {**_row(row), "success": _plain(success_rate(model, row))} for row in model.attacks
        ],
    }


def _row(row: Any) -> dict[str, Any]:
    return {name: _plain(value) for name, value in vars(row).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Classified):
        return _classified(value)
    if isinstance(value, Rate):
        return _rate(value)
    if isinstance(value, CurvePoint):
        return _point(value)
    return list(value) if isinstance(value, tuple) else value


def _classified(found: Classified) -> dict[str, Any]:
    return {
        "accuracy": _rate(found.accuracy),
        "confidence": found.confidence,
        "rms_calibration_error": found.rms_calibration_error,
        "expected_calibration_error": found.expected_calibration_error,
        "maximum_calibration_error": found.maximum_calibration_error,
        "confusion": [list(row) for row in found.confusion],
        "bins": [asdict(each) for each in found.bins],
    }


def _rate(rate: Rate) -> dict[str, Any]:
    lower, upper = rate.interval
    return {
        "count": rate.count,
        "samples": rate.total,
        "share": rate.share,
        "lower": lower,
        "upper": upper,
    }


def _point(point: CurvePoint) -> dict[str, Any]:
    return {"radius": point.radius, "rate": _rate(point.rate)}


def _text(value: Any, indent: str) -> str:
    """JSON, indented, but for lists and objects of plain values, which stand on one line."""
    inner = value.values() if isinstance(value, dict) else value
    if not isinstance(value, dict | list) or not any(isinstance(v, dict | list) for v in inner):
        return json.dumps(value, allow_nan=False)
    deeper = indent + " "
    if isinstance(value, dict):
        lines = [f"{json.dumps(name)}: {_text(v, deeper)}" for name, v in value.items()]
        return _block("{", lines, "}", indent)
    return _block("[", [_text(v, deeper) for v in value], "]", indent)


def _block(start: str, lines: Sequence[str], end: str, indent: str) -> str:
    inside = f",\n{indent} ".join(lines)
    return f"{start}\n{indent} {inside}\n{indent}{end}"
