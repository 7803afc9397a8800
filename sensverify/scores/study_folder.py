"""Rows of a study: the final metrics of every training as measures of its network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sensverify.core.digests import sha256_of_file
from sensverify.errors import BadData
from sensverify.runs.files import reading
from sensverify.runs.journal import RowType, read_journal
from sensverify.scores.part import Part, Reading
from sensverify.scores.table import Network, Source

JOURNAL = "journal.jsonl"

_MODEL = "model.onnx"

_ROWS: RowType[Mapping[str, Any]] = RowType("study", dict, dict)


def read_study_folder(folder: Path) -> Part:
    """The final metrics of every training that is done, ``test/ERR`` and the like.

    Networks are called ``LOSS-seedN``, and have the digests of their exported files, so that
    evaluations of these files are joined. Failed trainings and unknown metrics are holes.

    Raises
    ------
    BadData
        The folder cannot be read or is damaged.
    """
    path = folder / JOURNAL
    with reading(path, BadData):
        digest = sha256_of_file(path)
    try:
        readings = [each for row in read_journal(path, _ROWS) for each in _readings(folder, row)]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadData(f"the study '{folder}' is damaged: {error}", "run it anew") from None
    if not readings:
        raise BadData(f"the study '{folder}' has finished no training", "wait for one")
    return Part(source=Source(str(folder), "study", digest), readings=readings)


def _readings(folder: Path, row: Mapping[str, Any]) -> Iterator[Reading]:
    if row["status"] != "done":
        return
    name = f"{row['run']}-seed{int(row['seed'])}"
    model = folder / "runs" / name / _MODEL
    with reading(model, BadData):
        network = Network(name, sha256_of_file(model) if model.exists() else None)
    for part, metrics in row["metrics"].items():
        for metric, value in metrics.items():
            if value is not None:
                yield Reading(network, f"{part}/{metric}", float(value))
