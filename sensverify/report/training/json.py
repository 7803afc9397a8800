"""The schema ``sensverify.train-result/2``."""

from __future__ import annotations

from dataclasses import asdict
from math import isfinite
from typing import Any

from sensverify.report.record import header, result_text
from sensverify.report.training.document import model_sha256
from sensverify.training.directory.run_directory import RunDirectory
from sensverify.training.result import TrainResult

SCHEMA = "sensverify.train-result/2"


def training_to_json(result: TrainResult) -> str:
    """A training as one JSON object, and a newline.

    Rates are shares from 0 to 1; infinities are the texts ``inf`` and ``-inf``, NaN is null.

    * ``interrupted``, ``resumed`` (steps after which a later run went on), ``epochs``, ``steps``,
      ``seconds``, ``directory``.
    * ``request``: what ``sensverify train`` was asked; null from Python. ``config``: everything
      that decided it.
    * ``metrics`` at the end, of each part; empty where the training was interrupted. ``course``:
      a row for every epoch.
    * Of a finished training in a folder also what its ``result.json`` holds: ``model`` and why
      there is none, ``weights_sha256``, ``peak_memory_bytes``; and ``model_sha256``.
    """
    return result_text(_spelt(training_to_dict(result)))


def training_to_dict(result: TrainResult) -> dict[str, Any]:
    """A training as the values of the schema."""
    config = dict(result.config)
    request = config.pop("request", None)
    # Those of the header; a training that goes on may have been begun with others.
    config.pop("versions", None)
    parts = {"train": result.metrics_train, "test": result.metrics_test}
    directory = result.directory
    kept = None if directory is None or result.interrupted else RunDirectory(directory).result
    return {
        **header(SCHEMA, result.record),
        "interrupted": result.interrupted,
        "resumed": list(result.resumed),
        "epochs": result.epochs,
        "steps": result.steps,
        "seconds": result.seconds,
        "directory": None if directory is None else str(directory),
        "request": request,
        "config": config,
        "metrics": {part: asdict(found) for part, found in parts.items() if found is not None},
        "course": list(map(dict, result.course)),
        **{
            name: (kept or {}).get(name)
            for name in ("model", "model_failure", "weights_sha256", "peak_memory_bytes")
        },
        "model_sha256": None if result.interrupted else model_sha256(directory),
        "unverifiable": result.unverifiable,
    }


def _spelt(value: Any) -> Any:
    """Infinities as text, NaN as None."""
    if isinstance(value, dict):
        return {key: _spelt(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_spelt(item) for item in value]
    if not isinstance(value, float) or isfinite(value):
        return value
    return None if value != value else str(value)
