"""A property from a ``.vnnlib`` or ``.vnnlib.gz`` file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sensverify.errors import BadProperty
from sensverify.formats.onnx.files import Kind, read_bytes
from sensverify.formats.vnnlib.cases import UnboundedInput, make_cases
from sensverify.formats.vnnlib.formula import Atom, Cases, cases_of, conjunction
from sensverify.formats.vnnlib.property import Property
from sensverify.formats.vnnlib.reader import Form, Source, read_forms, shown
from sensverify.formats.vnnlib.terms import Scope, Variable

SIZE_LIMIT = 1 << 28
"""Largest text that is read, in bytes, counted after unpacking."""

_LARGEST = 2_000_000
"""Most variables, and most assertions, of one file: they are held in memory."""

_KIND = Kind(
    name="property file",
    expected="a .vnnlib or .vnnlib.gz file",
    too_large="",
    error=BadProperty,
)
_NAME = re.compile(r"([XY])_(0|[1-9]\d{0,8})")
_WITHOUT_MEANING = (
    "check-sat",
    "exit",
    "get-model",
    "set-info",
    "set-logic",
    "set-option",
)
_VERSION_2 = ("vnnlib-version", "declare-network")


def load_property(path: str | Path) -> Property:
    """A property from a file.

    Parameters
    ----------
    path : str or Path
        ``.vnnlib``, or ``.vnnlib.gz``. VNN-LIB 1.0 as VNN-COMP uses it; 2.0 where the package
        ``vnnlib`` is installed.

    Raises
    ------
    BadProperty
        The file cannot be read, or asks something that cannot be asked here; says what and where.
    BackendMissing
        The file is VNN-LIB 2.0 and the package that reads it is not installed.
    """
    contents = read_bytes(Path(path), SIZE_LIMIT, kind=_KIND)
    # Only comments hold anything but ASCII.
    return parse_property(contents.decode("utf-8-sig", errors="replace"), name=str(path))


def parse_property(text: str, *, name: str = "property") -> Property:
    """A property from the text of a file; ``name`` is what messages call it. See `load_property`.

    Examples
    --------
    >>> asked = parse_property('''
    ... (declare-const X_0 Real) (declare-const Y_0 Real)
    ... (assert (>= X_0 -1)) (assert (<= X_0 1))
    ... (assert (or (<= Y_0 -2) (>= Y_0 2)))
    ... ''')
    >>> asked.queries[0].alternatives
    ((0,), (1,))
    """
    source = Source(text, name)
    variables: dict[str, Variable] = {}
    scope = Scope(source, variables)
    shared: list[Atom] = []
    branched: list[Cases] = []
    for number, form in enumerate(read_forms(source)):
        head = form[0] if form else None
        if number == 0 and head in _VERSION_2:
            from sensverify.formats.vnnlib.version2 import read_version2

            return _property(*read_version2(source), source)
        if head in ("declare-const", "declare-fun"):
            _declare(form, source, variables)
        elif head == "assert":
            if len(form) != 2:
                raise source.error(f"{shown(form)} does not assert one formula", form.position)
            _add(cases_of(form[1], scope, form.position), shared, branched)
        elif head not in _WITHOUT_MEANING:
            raise source.error(f"unknown command {shown(form)}", form.position)
        if max(len(variables), len(shared), len(branched)) > _LARGEST:
            raise source.error(f"more than {_LARGEST:,} variables or constraints", form.position)
    counts = [sum(v.kind == kind for v in variables.values()) for kind in "XY"]
    _check_counts(variables, counts, name)
    return _property(counts[0], counts[1], shared, branched, source)


def _property(
    inputs: int, outputs: int, shared: Sequence[Atom], branched: Sequence[Cases], source: Source
) -> Property:
    try:
        cases = make_cases(inputs, outputs, shared, conjunction(branched))
    except (OverflowError, UnboundedInput) as error:
        raise BadProperty(f"'{source.name}': {error}") from None
    return Property(inputs, outputs, cases)


def _add(cases: Cases, shared: list[Atom], branched: list[Cases]) -> None:
    if len(cases) == 1:
        shared.extend(cases[0])
    else:
        branched.append(cases)


def _declare(form: Form, source: Source, variables: dict[str, Variable]) -> None:
    """``(declare-const X_0 Real)``, or ``(declare-fun X_0 () Real)``."""
    middle: list[Any] = [] if form[0] == "declare-const" else [[]]
    if len(form) != 3 + len(middle) or form[2:-1] != middle or form[-1] != "Real":
        raise source.error(f"{shown(form)} does not declare a Real", form.position)
    match = _NAME.fullmatch(form[1]) if isinstance(form[1], str) else None
    if match is None:
        raise source.error(
            f"{shown(form[1])} is not a name of an input X_i or an output Y_j", form.position
        )
    if form[1] in variables:
        raise source.error(f"{form[1]} is declared twice", form.position)
    variables[form[1]] = Variable(match[1], int(match[2]))


def _check_counts(variables: dict[str, Variable], counts: Sequence[int], name: str) -> None:
    for kind, count, what in zip("XY", counts, ("input", "output"), strict=True):
        if count == 0:
            raise BadProperty(f"'{name}' declares no {what} {kind}_0")
        for index in range(count):
            if f"{kind}_{index}" not in variables:
                raise BadProperty(
                    f"'{name}' declares {count} {what}s {kind}_i, but not {kind}_{index}; they "
                    "are counted from 0"
                )
