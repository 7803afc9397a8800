"""Rows of the JSON that an evaluation has written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sensverify.core.digests import sha256_of_file
from sensverify.errors import BadData
from sensverify.runs.json_text import read_result
from sensverify.scores.part import CellRow, Part, Reading
from sensverify.scores.table import CLEAN, Kind, Network, Shift, Source

SCHEMA = "sensverify.evaluate/2"

_TRAIN = Shift("train", None, "train")


def read_evaluation(path: Path) -> Part:
    """The rows of ``evaluation.json``.

    A sample counts as right under an attack where it is right by itself and at the attack's point,
    and as right under a method where its label is proven. Flip rates are measures, called
    ``flip_rate/NAME``. What is missing is a hole.

    Raises
    ------
    BadData
        The file cannot be read, is of another schema, or is damaged.
    """
    values = read_result(path, SCHEMA)
    try:
        rows = [_rows(model, values["data"]) for model in values["models"]]
        conditions = {
            "unit of radii": str(values["radius_unit"]),
            "range of inputs": str(values["clip"]),
            "seed": str(values["seed"]),
        }
        for model in values["models"]:
            for row in model.get("shifts", ()):
                conditions[f"samples of {row['shift']}"] = _digest(row["samples_sha256"])
        samples = _digest(values["data"]["samples_sha256"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadData(
            f"the result '{path}' is damaged: {type(error).__name__}: {error}",
            "make the file anew with `json` of the same command",
        ) from None
    return Part(
        source=Source(str(path), "evaluation", sha256_of_file(path)),
        cells=[each for cells, _ in rows for each in cells],
        readings=[each for _, readings in rows for each in readings],
        samples=samples,
        conditions=conditions,
    )


def _rows(model: Mapping[str, Any], data: Mapping[str, Any]) -> tuple[list[CellRow], list[Reading]]:
    sha256 = model["model"]["sha256"]
    network = Network(str(model["model"]["name"]), None if sha256 is None else _digest(sha256))
    cells = list(_cells(model, network, int(data["samples"])))
    readings = [
        Reading(network, str(row["measure"]), float(row["value"])) for row in model["measures"]
    ]
    readings += [
        Reading(network, f"flip_rate/{row['sequence']}", float(row["flip_rate"]))
        for row in model["sequences"]
    ]
    return cells, readings


def _cells(model: Mapping[str, Any], network: Network, samples: int) -> Iterator[CellRow]:
    for row in model["clean"]:
        shift = CLEAN if row["part"] == "test" else _TRAIN
        yield _counted(network, shift, row)
    for row in model["attacks"]:
        broken = _places(row["broken"])
        yield CellRow(
            network, _shift(row, "attack", "radius"), samples - len(broken), samples, broken
        )
    for row in model["certified"]:
        kept = {*_places(row["certified"])}
        open_ = tuple(place for place in range(samples) if place not in kept)
        yield CellRow(
            network, _shift(row, "certified", "radius", "method"), len(kept), samples, open_
        )
    for row in model["corruptions"]:
        yield _counted(network, _shift(row, "corruption", "severity"), row)
    # Earlier versions had no other data sets.
    for row in model.get("shifts", ()):
        yield _counted(network, Shift(str(row["shift"]), None, "shift"), row)


def _shift(row: Mapping[str, Any], kind: Kind, severity: str, name: str = "") -> Shift:
    found = row[severity]
    return Shift(str(row[name or kind]), None if found is None else float(found), kind)


def _counted(network: Network, shift: Shift, row: Mapping[str, Any]) -> CellRow:
    rate = row["classified"]["accuracy"]
    wrong = None if row["wrong"] is None else _places(row["wrong"])
    return CellRow(network, shift, int(rate["count"]), int(rate["samples"]), wrong)


def _digest(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{value!r} is no digest")
    return value


def _places(values: Sequence[Any]) -> tuple[int, ...]:
    return tuple(sorted(map(int, values)))
