"""Grids: products over settings, models, data, losses and seeds, with a name for every point."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import product
from math import prod
from typing import Any

from sensverify.errors import BadSetting
from sensverify.studies.values import check_keys, table
from sensverify.training.settings import TrainSettings

SEED = "seed"
PLAIN = ("data", "model", "loss")
"""Axes that are no settings of a training."""

AXES = (*PLAIN, SEED, *(each.name for each in fields(TrainSettings) if each.name != SEED))
"""Everything that a grid may go over."""

LIMIT = 1000
"""Trainings of a study, at most, where its file does not say how many."""

_DEFAULTS = {each.name: each.default for each in fields(TrainSettings)}
_NAME = re.compile(r"[A-Za-z0-9](?:[\w&+.-]{0,60}[\w&+])?")
_OTHERS = re.compile(r"[^A-Za-z0-9&+.]+")


@dataclass(frozen=True)
class Axis:
    """One thing that differs between the points of a grid.

    Parameters
    ----------
    name : str
        One of `AXES`.
    values : mapping from str
        By the names that they have in the names of runs.
    """

    name: str
    values: Mapping[str, Any]

    @property
    def varies(self) -> bool:
        return len(self.values) > 1


@dataclass(frozen=True)
class Point:
    """One choice of every axis.

    Parameters
    ----------
    parts : tuple of str
        Names of the values of those axes that have several.
    values : mapping from str
        By axis.
    """

    parts: tuple[str, ...]
    values: Mapping[str, Any]


def read_axes(grid: Mapping[str, Any], where: str) -> tuple[Axis, ...]:
    """The axes of a table ``[grid]``, in its order.

    An axis is a list of values, ``epochs = [5, 10]``, or a table of values by names of the
    file's own, ``loss = {short = "cross-entropy + 0.02*sensitivity"}``.

    Raises
    ------
    UnknownName, BadSetting
        There is no such setting; an axis has no values, or one twice; or two have one name.
    """
    check_keys(grid, AXES, where)
    return tuple(_axis(name, grid, where) for name in grid)


def points(axes: Iterable[Axis]) -> tuple[Point, ...]:
    """All choices of values, the last axis fastest; without axes there is one."""
    axes = tuple(axes)
    return tuple(
        Point(
            tuple(name for axis, (name, _) in zip(axes, chosen, strict=True) if axis.varies),
            {axis.name: value for axis, (_, value) in zip(axes, chosen, strict=True)},
        )
        for chosen in product(*(axis.values.items() for axis in axes))
    )


def check_size(sizes: Mapping[str, int], limit: Any) -> None:
    """Refuse more trainings than the limit, before they are made.

    Parameters
    ----------
    sizes : mapping from str to int
        Factors of the number of trainings, by what they count.
    limit : object
        As the file says it.

    Raises
    ------
    BadSetting
    """
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise BadSetting(f"[study]: limit needs a whole number of at least 1, got {limit!r}")
    count = prod(sizes.values())
    if count > limit:
        factors = " x ".join(f"{size:,} {name}" for name, size in sizes.items() if size > 1)
        raise BadSetting(
            f"the study has {count:,} trainings ({factors}), and its limit is {limit:,}",
            f"leave values out, or give limit = {count} in [study]",
        )


def setting_value(name: str, value: Any) -> Any:
    """The value of a setting, whose ``none`` is None where the setting may be left out."""
    # TOML has no null; and there are no `metric_bounds` that are none, but by that word.
    return None if value == "none" and _DEFAULTS.get(name, 0) is None else value


def run_name(name: str, where: str) -> str:
    """A name that can be that of a folder.

    Raises
    ------
    BadSetting
    """
    if not _NAME.fullmatch(name):
        raise BadSetting(
            f"{where} '{name}' cannot be that of a folder",
            "use letters, digits and - _ & . +, up to 62; long values of a grid are named as in "
            'loss = {short = "cross-entropy + ..."}',
        )
    return name


def check_names(names: Sequence[str]) -> None:
    """Refuse two runs of one name.

    Raises
    ------
    BadSetting
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise BadSetting(f"two runs are called '{name}'", "their names are their folders")
        seen.add(name)


def slug(value: Any) -> str:
    """A value as a part of a name: ``adam(lr=0.01)`` is ``adam-lr-0.01``."""
    if isinstance(value, list | tuple):
        return "-".join(map(slug, value))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        # A sign would be lost among the hyphens.
        return f"m{-value!r}" if value < 0 else repr(value)
    text = re.sub(r"\s*\+\s*", "+", str(value).strip())
    return _OTHERS.sub("-", text).strip("-+.")


def _axis(name: str, grid: Mapping[str, Any], where: str) -> Axis:
    given, place = grid[name], f"{where}: {name}"
    if not isinstance(given, list | dict) or not given:
        got = "an empty one" if given in ([], {}) else repr(given)
        raise BadSetting(f"{place} needs a list of values, got {got}", f"leave {name} out of it")
    if isinstance(given, dict):
        named = table(grid, name, where)
        values = {run_name(each, f"{place}: the name"): value for each, value in named.items()}
    else:
        values = _named(name, given, place)
    found = [_value(name, value, place) for value in values.values()]
    for number, value in enumerate(found):
        if value in found[:number]:
            raise BadSetting(f"{place} has {value!r} twice", "leave one of them out")
    return Axis(name, dict(zip(values, found, strict=True)))


def _named(axis: str, given: Sequence[Any], place: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for value in given:
        part = slug(value)
        if axis not in PLAIN and (not isinstance(value, str) or value == "none"):
            part = f"{axis.replace('_', '-')}-{part}"
        if part in values and values[part] == value:
            raise BadSetting(f"{place} has {value!r} twice", "leave one of them out")
        if part in values or (len(given) > 1 and not _NAME.fullmatch(part)):
            why = "would have the name of another value" if part in values else "makes no name"
            raise BadSetting(
                f"{place}: {value!r} {why}: '{part}'",
                f"name the values: {axis} = {{short = {value!r}, ...}}",
            )
        values[part] = value
    return values


def _value(axis: str, value: Any, place: str) -> Any:
    if isinstance(value, dict):
        raise BadSetting(f"{place} has the table {value!r}", "its values are text and numbers")
    if axis in PLAIN:
        if not isinstance(value, str) or not value.strip():
            raise BadSetting(f"{place} needs text, got {value!r}")
        return value
    return setting_value(axis, value)
