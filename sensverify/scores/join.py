"""Parts from different files as one table, or the reason why they are none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import isfinite

import numpy as np

from sensverify.errors import BadData
from sensverify.scores.part import CellRow, Part, Reading
from sensverify.scores.table import Kind, Network, Scores, Shift

_COLUMNS = "give all of them the columns network_sha256 and samples_sha256, or write one CSV file"

_MOST = 1 << 53
"""Samples that are counted exactly in all that is made of them."""


def join(parts: Sequence[Part]) -> Scores:
    """One table of the rows of several files.

    Rows belong to the same network where its digest is the same, or, of networks without one, the
    name. A network that has several names is called by the first of them, the others are its
    aliases; a name that several networks have is told apart by the digest's first digits. Rows that
    say the same are one.

    Raises
    ------
    BadData
        There are no rows; the samples are not, or not known to be, the same; so are what the shifts
        are; two rows contradict each other, or one is impossible.
    """
    _check_samples(parts)
    networks = _networks(each for part in parts for each in part.networks)
    if not networks:
        raise BadData("there are no scores in what was given", "give results with rows")
    shifts = list(dict.fromkeys(each.shift for part in parts for each in part.cells))
    shifts.sort(key=lambda shift: shift.kind not in ("clean", "train"))
    measures = list(dict.fromkeys(each.measure for part in parts for each in part.readings))
    rows = {network.key: place for place, network in enumerate(networks)}
    columns = {shift: place for place, shift in enumerate(shifts)}
    right = np.zeros((len(networks), len(shifts)), dtype=np.int64)
    total, origin = right.copy(), np.full_like(right, -1)
    wrong: dict[tuple[int, int], tuple[int, ...]] = {}
    for source, part in enumerate(parts):
        for each in part.cells:
            _check_cell(each, part)
            place = (rows[each.network.key], columns[each.shift])
            before = origin[place]
            known = wrong.get(place)
            if before >= 0 and (
                (right[place], total[place]) != (each.right, each.total)
                or (None not in (known, each.wrong) and known != each.wrong)
            ):
                raise _contradiction(
                    each.network, f"under '{each.shift.label}'", parts[before], part
                )
            if each.wrong is not None:
                wrong[place] = each.wrong
            if before < 0:
                right[place], total[place], origin[place] = each.right, each.total, source
    return Scores(
        networks=tuple(networks),
        shifts=tuple(shifts),
        right=right,
        total=total,
        wrong={place: np.array(each, dtype=np.int64) for place, each in wrong.items()},
        measures=tuple(measures),
        values=_values(parts, rows, measures),
        samples=next((part.samples for part in parts if part.samples), None),
        sources=tuple(part.source for part in parts),
        origin=origin,
    )


def _networks(found: Iterable[Network]) -> list[Network]:
    by_key: dict[str, Network] = {}
    names_of: dict[str, list[str]] = {}
    for each in found:
        by_key.setdefault(each.key, each)
        names_of.setdefault(each.key, []).extend((each.name, *each.aliases))
    for key, each in by_key.items():
        others = dict.fromkeys(name for name in names_of[key] if name != each.name)
        by_key[key] = replace(each, aliases=tuple(others))
    names = [each.name for each in by_key.values()]
    several = {name for name, count in Counter(names).items() if count > 1}
    return [
        replace(each, name=f"{each.name} ({each.sha256[:8]})")
        if each.name in several and each.sha256
        else each
        for each in by_key.values()
    ]


def _check_samples(parts: Sequence[Part]) -> None:
    """Cells of different files are of the same samples, and are known to be."""
    with_cells = [part for part in parts if part.cells]
    for part in with_cells[1:]:
        first = with_cells[0]
        paths = f"'{first.source.path}' and '{part.source.path}'"
        if first.samples is None or part.samples is None:
            raise BadData(f"nothing says that {paths} have the same samples", _COLUMNS)
        if first.samples != part.samples:
            raise BadData(
                f"{paths} have different samples ({first.samples[:12]} and {part.samples[:12]})",
                "evaluate the networks on the same samples, with the same unit of radii",
            )
        for name in first.conditions.keys() & part.conditions.keys():
            if first.conditions[name] != part.conditions[name]:
                raise BadData(
                    f"{paths} differ in the {name}: {first.conditions[name]} and "
                    f"{part.conditions[name]}",
                    "evaluate the networks with the same one",
                )
    bare = {each.name for part in parts for each in part.networks if each.sha256 is None}
    for part in parts:
        for network in part.networks:
            if network.sha256 is not None and network.name in bare:
                raise BadData(
                    f"the network '{network.name}' has a digest in '{part.source.path}' and none "
                    "elsewhere: nothing says that they are the same",
                    _COLUMNS,
                )


def _check_cell(each: CellRow, part: Part) -> None:
    if not 1 <= each.total <= _MOST or not 0 <= each.right <= each.total:
        raise BadData(
            f"'{part.source.path}': network '{each.network.name}' under '{each.shift.label}' has "
            f"{each.right} of {each.total} samples right",
            "counts are at least 0 and at most the total, which is at least 1; leave out the rows "
            "of what was not measured",
        )


def _values(parts: Sequence[Part], rows: dict[str, int], measures: list[str]) -> np.ndarray:
    values = np.full((len(rows), len(measures)), np.nan)
    seen: dict[tuple[int, int], tuple[Reading, Part]] = {}
    for part in parts:
        for each in part.readings:
            if not isfinite(each.value):
                raise BadData(
                    f"'{part.source.path}': the measure '{each.measure}' of the network "
                    f"'{each.network.name}' is {each.value}",
                    "leave its row out, which makes it a hole",
                )
            place = (rows[each.network.key], measures.index(each.measure))
            if place in seen and seen[place][0].value != each.value:
                raise _contradiction(
                    each.network, f"in the measure '{each.measure}'", seen[place][1], part
                )
            seen[place] = each, part
            values[place] = each.value
    return values


def _contradiction(network: Network, where: str, first: Part, second: Part) -> BadData:
    one, other = first.source.path, second.source.path
    places = f"rows of '{one}'" if one == other else f"'{one}' and '{other}'"
    return BadData(
        f"{places} contradict each other about the network '{network.name}' {where}",
        "leave out one of them",
    )


def shift_of(name: str, severity: float | None, kind: Kind) -> Shift:
    """A shift, where the samples as they are have one form alone."""
    if kind in ("clean", "train"):
        return Shift(kind, None, kind)
    return Shift(name, severity, kind)
