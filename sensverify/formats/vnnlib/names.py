"""Names of inputs and outputs: ``X_3``, ``x_3``, or ``X_0_1_1`` with a place on every axis."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from math import prod
from typing import Any

import numpy as np

from sensverify.formats.vnnlib.parser import Form
from sensverify.formats.vnnlib.terms import Variable

_NAME = re.compile(r"([XxYy])((?:_(?:0|[1-9]\d{0,8}))+)", re.ASCII)
_AXES = 16
DECLARING = ("declare-const", "declare-fun")

Shape = tuple[int, ...]


class BadName(Exception):
    """The names that are declared leave places out, or are of different kinds; says which."""


def places_of(name: Any) -> tuple[str, Shape] | None:
    """``X`` or ``Y``, and a place on every axis; None where it is no such name."""
    match = _NAME.fullmatch(name) if isinstance(name, str) else None
    if match is None:
        return None
    places = tuple(int(part) for part in match[2][1:].split("_"))
    return (match[1].upper(), places) if len(places) <= _AXES else None


def declared_shapes(forms: Iterable[Form]) -> dict[str, Shape]:
    """The shape of the inputs and of the outputs that declarations of such names come to.

    Raises
    ------
    BadName
        Some names have more places than others.
    """
    shapes: dict[str, Shape] = {}
    for form in forms:
        found = places_of(form[1]) if len(form) > 1 and form[0] in DECLARING else None
        if found is None:
            continue
        kind, places = found
        known = shapes.get(kind, (0,) * len(places))
        if len(known) != len(places):
            raise BadName(
                f"{form[1]} has {len(places)} numbers, other names of {kind} have {len(known)}"
            )
        shapes[kind] = tuple(max(a, b + 1) for a, b in zip(known, places, strict=True))
    return shapes


def variable_of(kind: str, places: Shape, shape: Shape) -> Variable:
    """The entry at some place of an array of a shape, counted in row-major order."""
    place = 0
    for length, own in zip(shape, places, strict=True):
        place = place * length + own
    return Variable(kind, place)


def complete_shape(shape: Shape, kind: str, variables: Mapping[str, Variable]) -> Shape:
    """The shape, where there is a name for each of its places.

    Raises
    ------
    BadName
        There is not; says which is missing.
    """
    what = "input" if kind == "X" else "output"
    found = {which.place for which in variables.values() if which.kind == kind}
    if not found:
        raise BadName(f"declares no {what} {kind}_0")
    if len(found) < prod(shape):
        missing = next(place for place in range(prod(shape)) if place not in found)
        name = "_".join(map(str, (kind, *np.unravel_index(missing, shape))))
        raise BadName(
            f"declares {len(found)} {what}s {kind}_i, but not {name}; they are counted from 0"
        )
    return shape
