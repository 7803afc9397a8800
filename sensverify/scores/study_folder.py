"""Rows of a study: the final metrics of every training as measures of its network."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sensverify.core.digests import sha256_of_file
from sensverify.errors import BadData
from sensverify.runs.files import reading
from sensverify.runs.journal import RowType, read_journal
from sensverify.runs.shards import digest as digest_of
from sensverify.runs.shards import each_once, journals
from sensverify.scores.part import Part, Reading
from sensverify.scores.table import Network, Source

JOURNAL, STUDY = "journal.jsonl", "study.json"

_MODEL = "model.onnx"

_ROWS: RowType[Mapping[str, Any]] = RowType("study", dict, dict)


def read_study_folder(folder: Path) -> Part:
    """The final metrics of every training that is done, ``test/ERR`` and the like.

    Networks are called ``LOSS-seedN``, and have the digests of their exported files, so that
    evaluations of these files are joined. Runs that are one training are names of one network.
    Failed trainings and unknown metrics are holes.

    Raises
    ------
    BadData
        The folder cannot be read or is damaged.
    """
    paths = journals(folder, JOURNAL)
    with reading(folder, BadData):
        digests = [sha256_of_file(path) for path in paths]
    digest = digests[0] if len(digests) == 1 else digest_of(digests)
    try:
        rows = ((path, row) for path in paths for row in read_journal(path, _ROWS))
        once = each_once(rows, lambda row: f"{row['run']}-seed{row['seed']}", "study")
        asked = _asked(folder)
        places = {name: place for place, name in enumerate(_names(asked))}
        ordered = sorted(once.items(), key=lambda each: places.get(each[0], len(places)))
        twins = _twins(asked)
        readings = [each for _, row in ordered for each in _readings(folder, row, twins)]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadData(f"the study '{folder}' is damaged: {error}", "run it anew") from None
    if not readings:
        raise BadData(f"the study '{folder}' has finished no training", "wait for one")
    return Part(source=Source(str(folder), "study", digest), readings=readings)


def _asked(folder: Path) -> Mapping[str, Any]:
    """The study as it was asked for."""
    with reading(folder, BadData):
        asked = json.loads((folder / STUDY).read_text(encoding="utf-8"))
    return dict(asked)


def _twins(asked: Mapping[str, Any]) -> dict[str, list[str]]:
    """By the names of runs: later runs with the same training, which has been made once."""
    found: dict[str, list[str]] = {}
    first: dict[str, str] = {}
    for run in asked.get("runs", ()):
        place = {name: run.get(name) or asked[name] for name in ("data", "model")}
        same = {**place, "terms": run["terms"], "settings": run["settings"]}
        name = first.setdefault(json.dumps(same, sort_keys=True), run["name"])
        if name != run["name"]:
            found.setdefault(name, []).append(run["name"])
    return found


def _names(asked: Mapping[str, Any]) -> list[str]:
    """The trainings in the order of the study, whatever was done first."""
    runs = [run["name"] for run in asked.get("runs", ())]
    return [f"{name}-seed{seed}" for seed in asked.get("seeds", ()) for name in runs]


def _readings(
    folder: Path, row: Mapping[str, Any], twins: Mapping[str, list[str]]
) -> Iterator[Reading]:
    if row["status"] != "done":
        return
    name = f"{row['run']}-seed{int(row['seed'])}"
    model = folder / "runs" / name / _MODEL
    with reading(model, BadData):
        network = Network(name, sha256_of_file(model) if model.exists() else None)
    others = tuple(f"{twin}-seed{int(row['seed'])}" for twin in twins.get(row["run"], ()))
    if network.sha256 is not None:
        network = replace(network, aliases=others)
    for part, metrics in row["metrics"].items():
        for metric, value in metrics.items():
            if value is not None:
                yield Reading(network, f"{part}/{metric}", float(value))
