"""Cells of NAS-Bench-201 in a study file: which are trained, and how large their networks are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sensverify.errors import BadSetting, InputError
from sensverify.models.nas201 import Cell, all_cells, read_cell, unique_cells
from sensverify.studies.values import check_keys, table

CELLS = "cells"
"""The table of a study file."""

_CHOICE = ("which", "draw", "seed")
_SIZES = ("channels", "repeats", "stages")
_WORDS = ("unique", "all")


def cells_table(
    which: str | None, draw: int | None, seed: int | None = None
) -> Mapping[str, Any] | None:
    """The choice of cells that a command makes, as a table ``[cells]``; None for none.

    Raises
    ------
    BadSetting
        It says it twice, or it is no list.
    """
    if which is not None and draw is not None:
        raise BadSetting("`cells` and `draw` both say which cells are trained", "give one of them")
    if seed is not None and draw is None:
        raise BadSetting("there is a seed for drawing cells, and `draw` does not say how many")
    if draw is not None:
        return {"draw": draw, "seed": seed or 0}
    if which is None:
        return None
    return {"which": which if which in _WORDS else [part.strip() for part in which.split(",")]}


def with_cells(
    document: Mapping[str, Any], asked: Mapping[str, Any] | None, variant: str | None = None
) -> Mapping[str, Any]:
    """A study file whose cells are the values of an axis of its grid.

    ::

        [cells]
        draw = 16             # so many of the 6,466 unique ones; or which = [0, 7, "|none~0|..."],
        seed = 0              # which = "unique", which = "all"
        channels = 4          # and repeats, stages: settings of the architecture nas201
        repeats = 1
        [variants.NAME.cells] # wins over these

    Parameters
    ----------
    document : mapping
        Tables of the file.
    asked : mapping or None
        Which cells, instead of those that the file names.
    variant : str or None
        Of the file.

    Returns
    -------
    mapping
        The same where there is no table ``[cells]`` and none is asked for.

    Raises
    ------
    UnknownName, BadSetting
        There are no such cells, or models are given elsewhere, too.
    """
    of_variant = table(table(document, "variants"), variant, "[variants]") if variant else {}
    if asked is None and CELLS not in document and CELLS not in of_variant:
        return document
    name = f"[variants.{variant}"
    given = _merged(
        (table(document, CELLS), f"[{CELLS}]"),
        (table(of_variant, CELLS, f"{name}]"), f"{name}.{CELLS}]"),
        (asked or {}, ""),
    )
    for values, where in (
        (table(document, "study"), "[study]"),
        (table(document, "grid"), "[grid]"),
        (table(of_variant, "grid", f"{name}]"), f"{name}.grid]"),
    ):
        if "model" in values:
            raise BadSetting(f"[{CELLS}] and {where} both give models", f"leave it out of {where}")
    if not (table(document, "evaluate") or table(of_variant, "evaluate", f"{name}]")):
        raise BadSetting(
            f"a study with [{CELLS}] evaluates them, and nothing says how",
            'add a table [evaluate], such as attacks = ["fgsm"]',
        )
    rest = {name: each for name, each in document.items() if name != CELLS}
    return {**rest, "grid": {"model": _models(given), **table(document, "grid")}}


def _merged(*tables: tuple[Mapping[str, Any], str]) -> dict[str, Any]:
    """Tables of which later ones win; the last that says which cells says it alone."""
    given: dict[str, Any] = {}
    for values, where in tables:
        check_keys(values, (*_CHOICE, *_SIZES), where)
        again = values.keys() & {"which", "draw"}
        given = {k: v for k, v in given.items() if not (again and k in _CHOICE)} | dict(values)
    return given


def _models(given: Mapping[str, Any]) -> dict[str, str]:
    """Architectures by the names of their cells."""
    for name in _SIZES:
        if not _whole(given.get(name, 1)):
            raise BadSetting(f"[{CELLS}]: {name} needs a whole number, got {given[name]!r}")
    sizes = ", ".join(f"{name}={given[name]!r}" for name in _SIZES if name in given)
    ending = f"({sizes})" if sizes else ""
    return {f"nas201-{cell.index}": cell.name + ending for cell in _chosen(given)}


def _chosen(given: Mapping[str, Any]) -> Sequence[Cell]:
    which, draw = given.get("which"), given.get("draw")
    if (which is None) == (draw is None):
        raise BadSetting(
            f"[{CELLS}] needs either which or draw",
            'give which = [0, 7], which = "unique", which = "all", or draw = 16',
        )
    if "seed" in given and draw is None:
        raise BadSetting(f"[{CELLS}] has a seed, and draws no cells", "give draw = 16")
    found = _drawn(draw, given.get("seed", 0)) if which is None else _named(which)
    if len(set(found)) < len(found) or len(found) < 2:
        raise BadSetting(f"[{CELLS}] needs two or more different cells, got {len(found)}")
    return found


def _drawn(draw: Any, seed: Any) -> Sequence[Cell]:
    unique = unique_cells()
    for name, value, most in (("draw", draw, len(unique)), ("seed", seed, 2**63)):
        if not _whole(value) or not 0 <= value <= most:
            raise BadSetting(
                f"[{CELLS}]: {name} needs a whole number up to {most:,}, got {value!r}"
            )
    places = np.random.default_rng(seed).choice(len(unique), size=draw, replace=False)
    return [unique[place] for place in sorted(places)]


def _named(which: Any) -> Sequence[Cell]:
    if which in _WORDS:
        return unique_cells() if which == "unique" else all_cells()
    if not isinstance(which, list) or not all(
        _whole(each) or isinstance(each, str) for each in which
    ):
        raise BadSetting(
            f"[{CELLS}]: which needs a list of indices and strings, or one of "
            f"{', '.join(_WORDS)}, got {which!r}"
        )
    try:
        return [read_cell(each) for each in which]
    except InputError as error:
        raise error.about(f"[{CELLS}]") from None


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
