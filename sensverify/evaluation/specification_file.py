"""Specifications of robustness as files in TOML hold them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_args

from sensverify.core.gates import Limit
from sensverify.core.numbers import RangeShare, parse_radius
from sensverify.data import DATA_SETS
from sensverify.errors import BadSetting, InputError, UnknownName
from sensverify.evaluation.shift import OtherData
from sensverify.evaluation.specification import (
    SMALL_IS_GOOD,
    By,
    Metric,
    PropertyRequirement,
    Requirement,
    Specification,
)
from sensverify.registry.names import did_you_mean
from sensverify.runs.toml_file import read_toml

SCHEMA = "sensverify.specification/1"

_MOST = 1000
"""No corruption has so many severities."""

_PROPERTY = ("name", "property", "timeout")
_SHIFT = ("data", "classes")
_TOP = ("schema", "title", "note", "reference", "left_out", "requirements", "shifts")


_KEYS = (
    *("name", "metric", "attacks", "corruptions", "shifts", "severities"),
    *("methods", "radius", "sigma", "class", "min", "max", "by"),
)


def read_specification(path: Path) -> Specification:
    """Read a specification from a TOML file.

    Parameters
    ----------
    path : Path
        See `parse_specification`.

    Raises
    ------
    InputError
        The file cannot be read or is no TOML.
    BadSetting, UnknownName
        Its contents cannot be a specification; the message says where.
    """
    return read_toml(path, partial(parse_specification, folder=path.parent))


def parse_specification(document: Mapping[str, Any], *, folder: Path = Path()) -> Specification:
    """The specification that the tables of a TOML file describe.

    ::

        title = "..."                  # and note = "..."
        reference = "mnist-conv1"      # a name, or a file beside this one
        left_out = ["colour"]          # families of shifts, on purpose
        [[requirements]]
        name = "noise"
        metric = "accuracy"            # residual, app; by proof also changed and log_volume
        corruptions = ["gaussian-noise", "shot-noise"]   # names or groups; or attacks = ["pgd"]
        severities = [1, 2, 3]
        radius = "8/255"               # of attacks and proofs; or sigma = 0.05
        class = "7"                    # only samples of this class
        min = "80%"                    # max for residual, changed and log_volume;
                                       # or "reference-5%"
        by = "interval"                # estimate, certified
        [[requirements]]
        name = "other photographs"
        shifts = ["sketches"]          # other data sets, by the names below
        min = "60%"
        [[requirements]]
        name = "stays apart"
        property = "apart.vnnlib"      # beside this file; no input may be what it describes
        timeout = 60                   # seconds for its answer
        [shifts.sketches]
        data = "sketches.npz"          # a name, or a file or folder beside this one
        classes = "sketches.json"      # the networks' outputs that stand for its classes

    Raises
    ------
    BadSetting, UnknownName
        A name is none of these, or a value cannot be right.
    """
    _check_keys(document, _TOP, "the file")
    if document.get("schema", SCHEMA) != SCHEMA:
        raise BadSetting(f"its schema is '{document['schema']}'", f"this reads {SCHEMA}")
    tables = document.get("requirements", [])
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        raise BadSetting("`requirements` are tables", "write [[requirements]] above each of them")
    reference = _text(document, "reference", "the file")
    if reference is not None and ("/" in reference or reference.endswith((".onnx", ".onnx.gz"))):
        reference = str(folder / reference)
    named = [(_name(each, number), each) for number, each in enumerate(tables, start=1)]
    requirements = tuple(_requirement(*each) for each in named if "property" not in each[1])
    return Specification(
        requirements=requirements,
        properties=tuple(_property(*each, folder) for each in named if "property" in each[1]),
        title=_text(document, "title", "the file") or "",
        note=_text(document, "note", "the file") or "",
        reference=reference,
        shifts=_shifts(document.get("shifts", {}), folder),
        left_out=_names(document["left_out"], "left_out") if "left_out" in document else (),
    )


def _shifts(tables: Any, folder: Path) -> tuple[OtherData, ...]:
    if not isinstance(tables, dict) or not all(isinstance(e, dict) for e in tables.values()):
        raise BadSetting("shifts are tables by name", "write [shifts.NAME] above each of them")
    found = []
    for name, table in tables.items():
        where = f"shift '{name}'"
        _check_keys(table, _SHIFT, where)
        data, classes = _text(table, "data", where), _text(table, "classes", where)
        if not data:
            raise BadSetting(f"{where} names no data", 'give data = "NAME" or a file')
        file = "/" in data or "." in data or (folder / data).exists()
        if data not in DATA_SETS and file:
            data = str(folder / data)
        listed = folder / classes if classes else None
        found.append(OtherData(name=name, data=data, classes=listed))
    return tuple(found)


def _name(table: Mapping[str, Any], number: int) -> str:
    name = _text(table, "name", f"[[requirements]] number {number}")
    if not name or not name.strip():
        raise BadSetting(f"[[requirements]] number {number} has no name", 'give it: name = "..."')
    return name.strip()


def _property(name: str, table: Mapping[str, Any], folder: Path) -> PropertyRequirement:
    where = f"requirement '{name}'"
    _check_keys(table, _PROPERTY, f"{where}, a property,")
    path, timeout = _text(table, "property", where), None
    if not path:
        raise BadSetting(f"{where} names no file", 'give property = "FILE.vnnlib"')
    if "timeout" in table:
        timeout = _size(table["timeout"], "timeout", where)
    return PropertyRequirement(name=name, path=folder / path, timeout=timeout)


def _requirement(name: str, table: Mapping[str, Any]) -> Requirement:
    where = f"requirement '{name}'"
    _check_keys(table, _KEYS, where)
    values: dict[str, Any] = {"name": name}
    for key, choices in (("metric", get_args(Metric)), ("by", get_args(By))):
        if key in table:
            values[key] = _choice(table[key], choices, f"{where}: {key}")
    for key in ("attacks", "corruptions", "shifts", "methods"):
        if key in table:
            values[key] = _names(table[key], f"{where}: {key}")
    if "severities" in table:
        values["severities"] = _severities(table["severities"], where)
    for key in ("radius", "sigma"):
        if key in table:
            values[key] = _distance(table[key], key, where)
    if "class" in table:
        values["group"] = _class(table["class"], where)
    values["limit"] = _limit(table, values.get("metric", "accuracy"), where)
    try:
        return Requirement(**values)
    except InputError as error:
        raise error.about(where) from None


def _limit(table: Mapping[str, Any], metric: str, where: str) -> Limit:
    side, other = ("max", "min") if metric in SMALL_IS_GOOD else ("min", "max")
    if other in table:
        better = "smaller" if side == "max" else "larger"
        raise BadSetting(f"{where}: a {better} {metric} is better", f"give {side}, not {other}")
    given = table.get(side)
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        raise BadSetting(
            f"{where} has no limit" if given is None else f"{where}: '{given}' is no limit",
            f'give {side} = 0.9, "90%" or "reference-5%"',
        )
    if isinstance(given, str):
        text = given.strip()
        # As gates spell it, whose limits are relative to an earlier result.
        given = "none" if text.startswith("baseline") else text.replace("reference", "baseline", 1)
    try:
        return Limit.parse(given)
    except BadSetting:
        raise BadSetting(
            f"{where}: {side} = '{table[side]}' is no limit",
            f'give {side} = 0.9, "90%" or "reference-5%"',
        ) from None


def _distance(given: Any, key: str, where: str) -> float | RangeShare:
    value: Any = given
    if isinstance(given, str):
        try:
            value = parse_radius(given)
        except InputError as error:
            raise error.about(f"{where}: {key}") from None
    if not isinstance(value, RangeShare):
        return _size(value, key, where)
    share = _size(value.share, key, where)
    return share if key == "sigma" else value


def _size(given: Any, key: str, where: str) -> float:
    known = isinstance(given, int | float) and not isinstance(given, bool)
    # Beyond the largest number a whole one has no counterpart.
    if not known or not 0 < given <= sys.float_info.max:
        raise BadSetting(f"{where}: {key} must be a finite number above 0, got {str(given)[:40]}")
    return float(given)


def _class(given: Any, where: str) -> str:
    if isinstance(given, bool) or not isinstance(given, int | str) or not str(given).strip():
        raise BadSetting(f"{where}: class is a name or a number, got {str(given)[:40]!r}")
    return str(given)


def _severities(given: Any, where: str) -> tuple[int, ...]:
    several = given if isinstance(given, list) else [given]
    if not several or not all(type(each) is int and 0 < each < _MOST for each in several):
        raise BadSetting(f"{where}: severities are whole numbers from 1, such as [1, 3, 5]")
    return tuple(sorted(set(several)))


def _names(given: Any, where: str) -> tuple[str, ...]:
    several = [given] if isinstance(given, str) else given
    if not isinstance(several, list) or not all(isinstance(e, str) and e.strip() for e in several):
        raise BadSetting(f'{where} are names, such as ["pgd", "fgsm"]')
    if not several:
        raise BadSetting(
            f"{where} is an empty shift, which every network would pass",
            "name one or more, or leave the key out",
        )
    return tuple(dict.fromkeys(each.strip() for each in several))


def _choice(given: Any, choices: Sequence[str], where: str) -> str:
    if given not in choices:
        raise UnknownName(
            f"{where} cannot be '{given}'{did_you_mean(given, choices)}",
            f"it is one of {', '.join(choices)}",
        )
    return str(given)


def _text(table: Mapping[str, Any], key: str, where: str) -> str | None:
    value = table.get(key)
    if value is not None and not isinstance(value, str):
        raise BadSetting(f"{where}: `{key}` is text, got {value!r}")
    return value


def _check_keys(table: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise UnknownName(
                f"{where} has no key '{key}'{did_you_mean(key, known)}",
                f"its keys are {', '.join(known)}",
            )
