"""Rows of the published robustness of all architectures of NAS-Bench-201.

Source: Jung, Lukasik & Keuper 2023, *Neural architecture design and robustness: a dataset*.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from sensverify.core.digests import sha256_of_file
from sensverify.errors import BadData, BadSetting
from sensverify.models.nas201 import cell_at
from sensverify.runs.files import reading
from sensverify.runs.json_text import parse_json
from sensverify.scores.part import CellRow, Part
from sensverify.scores.table import CLEAN, Network, Shift, Source

TOTALS = {"cifar10": 10_000, "cifar100": 10_000, "ImageNet16-120": 6_000}
"""Test samples of each data set."""

META = "meta.json"
"""Beside the files or a folder above: ``epsilons`` by attack, ``ids`` of architectures."""

_ENDING = "_accuracy.json"


def is_published(path: Path) -> bool:
    """Whether a file has a name of that data set, such as ``fgsm@Linf_accuracy.json``."""
    return path.name.endswith(_ENDING)


def read_published(path: Path) -> Part:
    """The rows of one file such as ``cifar10/fgsm@Linf_accuracy.json``.

    It holds ``{data: {key: {"accuracy": {architecture: value or list}}}}``: one number without a
    shift, a list over the radii that ``meta.json`` names, or over the severities of a corruption.
    Accuracies are turned into counts of the test samples. Architectures are called
    ``nas201:INDEX``, and where ``meta.json`` says which cells these are, they are compared with
    those of the bench.

    Raises
    ------
    BadData
        The file or ``meta.json`` cannot be read or is something else; an accuracy is no share, or
        stands for no whole number of samples; or an index is another cell's in the bench.
    """
    values = _read(path)
    try:
        ((data, inner),) = values.items()
        ((key, quantities),) = inner.items()
        table = dict(quantities["accuracy"].items())
    except (AttributeError, KeyError, TypeError, ValueError):
        raise BadData(
            f"'{path}' is no file of accuracies of architectures",
            'it holds {data: {key: {"accuracy": {architecture: accuracies}}}}',
        ) from None
    if data not in TOTALS:
        raise BadData(f"'{path}' is of the data '{data}'", f"data are {', '.join(TOTALS)}")
    shifts = _shifts(path, str(key))
    _check_cells(path, table)
    return Part(
        source=Source(str(path), "published", sha256_of_file(path)),
        cells=list(_cells(path, table, shifts, TOTALS[data])),
        samples=f"test part of {data}",
    )


def _shifts(path: Path, key: str) -> list[Shift]:
    if key == "clean":
        return [CLEAN]
    if "@" not in key:
        return [Shift(key, float(severity), "corruption") for severity in range(1, 6)]
    meta = _meta(path)
    if meta is None:
        raise BadData(
            f"beside '{path}' there is no '{META}', which names the radii", "put it there"
        )
    try:
        radii = [float(value) for value in _read(meta)["epsilons"][key]]
        if not all(map(isfinite, radii)):
            raise ValueError("a radius is no number")
    except (KeyError, TypeError, ValueError):
        raise BadData(
            f"'{meta}' names no radii of '{key}'", "put it beside its own files"
        ) from None
    return [Shift(key, radius, "attack") for radius in radii]


def _meta(path: Path) -> Path | None:
    """The file that says what is what: beside this one, or a folder above."""
    return next((up / META for up in path.absolute().parents[:2] if (up / META).exists()), None)


def _check_cells(path: Path, table: Mapping[str, Any]) -> None:
    """Refuse indices that are other cells, or isomorphic to others, than in the bench."""
    meta = _meta(path)
    if meta is None:
        return
    ids = _read(meta).get("ids", {})
    try:
        others = [index for index in ids.keys() & table.keys() if not _is_cell(index, ids[index])]
    except BadSetting as error:
        raise BadData(f"'{meta}': {error.problem}", error.remedy) from None
    except (AttributeError, KeyError, TypeError, ValueError):
        raise BadData(
            f"'{meta}' does not say which cells there are",
            'it holds {"ids": {index: {"nb201-string": cell, "isomorph": index}}}',
        ) from None
    if others:
        raise BadData(
            f"'{meta}' has another cell than NAS-Bench-201 as {min(others)}, or says that it is "
            "isomorphic to one that it is not",
            f"give the '{META}' of the same data set",
        )


def _is_cell(index: str, said: Mapping[str, Any]) -> bool:
    cell, same = cell_at(int(index)), cell_at(int(said["isomorph"]))
    return bool(said["nb201-string"] == str(cell)) and cell.representative == same.representative


def _cells(
    path: Path, table: Mapping[str, Any], shifts: list[Shift], total: int
) -> Iterator[CellRow]:
    for index, found in table.items():
        listed = found if isinstance(found, list) else [found]
        if len(listed) != len(shifts):
            raise BadData(
                f"'{path}': architecture {index} has {len(listed)} accuracies, and there are "
                f"{len(shifts)} shifts",
                f"give the '{META}' of the same data set",
            )
        for shift, value in zip(shifts, listed, strict=True):
            yield CellRow(
                Network(f"nas201:{index}"), shift, _count(path, str(index), value, total), total
            )


def _count(path: Path, index: str, value: Any, total: int) -> int:
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    # NaN fails the comparison.
    if number is None or not 0 <= number <= 1:
        raise BadData(
            f"'{path}': an accuracy of architecture {index} is {value!r}",
            "accuracies are shares from 0 to 1",
        )
    count = round(number * total)
    if abs(number * total - count) > 0.05:
        raise BadData(
            f"'{path}': the accuracy {number} of architecture {index} is that of no whole number "
            f"of {total} samples"
        )
    return count


def _read(path: Path) -> Mapping[str, Any]:
    with reading(path, BadData):
        text = path.read_bytes()
    try:
        values = parse_json(text.decode())
    except (ValueError, RecursionError) as error:
        raise BadData(f"'{path}' is no JSON: {error}") from None
    if not isinstance(values, dict):
        raise BadData(f"'{path}' is no file of accuracies of architectures")
    return values
