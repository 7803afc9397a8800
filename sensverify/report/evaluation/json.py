"""The schema ``sensverify.evaluate/2``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any

from sensverify.classification.predictions import Classified
from sensverify.classification.rates import Rate
from sensverify.core.plain import finite_ends
from sensverify.evaluation.curves import middle_radius, success_rate
from sensverify.evaluation.lines import accuracy_lines
from sensverify.evaluation.pairs import Comparison, compare_pairs
from sensverify.evaluation.results import Evaluation, ModelEvaluation
from sensverify.evaluation.scores import (
    Summary,
    corruption_scores,
    reference_of,
    sequence_scores,
    summarise,
)
from sensverify.report.evaluation.common import RATE, rate_values
from sensverify.report.gates import gate_dict
from sensverify.report.record import header, result_text
from sensverify.report.verification.json import model_dict

SCHEMA = "sensverify.evaluate/2"

_CLASSIFIED = (
    *("accuracy", "confidence", "rms_calibration_error", "expected_calibration_error"),
    *("maximum_calibration_error", "confusion", "bins"),
)
_LEAF = int | float | str | None


def evaluation_to_json(
    evaluation: Evaluation, comparisons: Sequence[Comparison] | None = None
) -> str:
    """An evaluation as one JSON object and a newline; lists of numbers stand on one line.

    Every number is finite; shares are from 0 to 1 and radii are in ``radius_unit``. A rate is an
    object: ``count`` of ``samples``, their ``share``, and Wilson's 95 % interval from ``lower`` to
    ``upper``. Positions of samples count from 0 in the samples that were used.
    `sensverify.report.schemas.result_schema` describes every key.

    * ``data``: its ``name``, the ``samples`` used of those ``available`` and how they were
      ``chosen``, ``train_samples`` that measures were taken on, and the digest of the samples, of
      their labels, and of the unit of radii of each feature.
    * ``class_names``, ``labels`` of the samples, ``seed``, ``radii``, ``radius_unit``,
      ``middle_radius`` (of the summaries), ``clip``, ``settings``, ``reference`` (of CE),
      ``machine``, ``device``, ``seconds``, ``interrupted``.
    * ``models``, each with its ``model`` (name, path, digest, shapes) and the rows ``clean``,
      ``attacks``, ``certified``, ``corruptions``, ``shifts`` (other data sets), ``sequences``,
      ``measures`` and ``missing``, with the fields of `sensverify.evaluation.results`. What was
      ``classified`` is ``confusion`` (labels down, predictions across), ``bins`` of confidence, and
      what follows from them: the rate ``accuracy``, mean ``confidence`` and three calibration
      errors. ``success`` of an attack is its rate over the samples that were right, or over all
      where ``settings`` say so; ``blind`` are the samples that it says nothing of, as no gradient
      could be followed.
    * ``scores`` of each model: its ``summary``, ``lines`` (accuracy against radius for every
      attack, the worst of them, and certified), ``corruptions`` (residual robustness, APP, CE and
      relative CE) and ``sequences`` (flip rates beside the reference's).
    * ``comparisons``: every two networks in every question that both have answered, see
      `sensverify.evaluation.compare_pairs`; ``untested`` says why two are not compared.
    * ``gates``: every limit that was asked for, the figure that was found, by what is known from
      ``least`` to ``most`` (null: nothing), and the verdict; ``baseline`` in words.

    Pictures of examples are only on the page.

    Parameters
    ----------
    evaluation : Evaluation
    comparisons : sequence of Comparison, optional
        Those of `compare_pairs`, where they are known already.

    Raises
    ------
    ValueError
        A number is not finite; this is a defect, and nothing is written.
    """
    pairs = compare_pairs(evaluation) if comparisons is None else comparisons
    return result_text(_values(evaluation, pairs))


def _values(evaluation: Evaluation, comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """An evaluation as the values of the schema."""

    def own(*names: str) -> dict[str, Any]:
        return {name: _plain(getattr(evaluation, name)) for name in names}

    pairs = zip(evaluation.models, summarise(evaluation), strict=True)
    return {
        **header(SCHEMA, evaluation.record),
        "data": {
            "name": evaluation.data,
            **own("samples", "available", "chosen", "train_samples", "samples_sha256"),
        },
        "class_names": list(evaluation.classes),
        **own("labels", "seed", "radii", "radius_unit"),
        "middle_radius": middle_radius(evaluation),
        "clip": finite_ends(evaluation.clip),
        **own("settings", "reference"),
        "models": [_model(evaluation, model, summary) for model, summary in pairs],
        "comparisons": [_comparison(each) for each in comparisons],
        "gates": [gate_dict(gate) for gate in evaluation.gates],
        **own("baseline", "machine", "device", "seconds", "interrupted"),
    }


def _comparison(each: Comparison) -> dict[str, Any]:
    pair, paired = each.paired, None
    if pair is not None:
        lower, upper = pair.interval
        paired = {
            "samples": pair.samples,
            **_plain(pair),
            "difference": pair.difference,
            "lower": lower,
            "upper": upper,
            "p_value": pair.p_value,
            "adjusted": each.adjusted,
        }
    return {
        **{name: getattr(each, name) for name in ("first", "second", "kind", "name", "at")},
        "paired": paired,
        "better": each.better,
        "untested": each.untested or None,
    }


def _model(evaluation: Evaluation, model: ModelEvaluation, summary: Summary) -> dict[str, Any]:
    # Every kind of row is a field.
    rows = {name: _plain(rows) for name, rows in vars(model).items() if name != "model"}
    for row, values in zip(model.attacks, rows["attacks"], strict=True):
        values["success"] = _plain(success_rate(model, row, of_all=evaluation.success_of_all))
    return {
        "model": model_dict(model.model),
        "scores": {
            "summary": _plain(summary),
            "lines": _plain(accuracy_lines(evaluation, model)),
            "corruptions": _plain(corruption_scores(model, reference_of(evaluation))),
            "sequences": _plain(sequence_scores(model, reference_of(evaluation))),
        },
        **rows,
    }


def classified_dict(found: Classified) -> dict[str, Any]:
    """Predictions, counted, and what follows from them."""
    return {name: _plain(getattr(found, name)) for name in _CLASSIFIED}


def _plain(value: Any) -> Any:
    """The values of JSON: fields of a row by their names, tuples as lists."""
    if isinstance(value, Rate):
        return dict(zip(RATE, rate_values(value), strict=True))
    if isinstance(value, Classified):
        return classified_dict(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple | list):
        return [each if isinstance(each, _LEAF) else _plain(each) for each in value]
    return {n: _plain(v) for n, v in vars(value).items()} if is_dataclass(value) else value
