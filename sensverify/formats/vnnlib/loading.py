"""A property from a ``.vnnlib`` or ``.vnnlib.gz`` file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path

from sensverify.errors import BadProperty
from sensverify.formats.files import FileKind, read_bytes
from sensverify.formats.vnnlib.cases import make_cases
from sensverify.formats.vnnlib.formula import Atom, Cases, conjunction
from sensverify.formats.vnnlib.names import BadName, complete_shape
from sensverify.formats.vnnlib.parser import Source, read_forms
from sensverify.formats.vnnlib.property import Property
from sensverify.formats.vnnlib.query import NetworkQuery, flat_property, make_query
from sensverify.formats.vnnlib.relations import Undecidable
from sensverify.formats.vnnlib.script import Script
from sensverify.formats.vnnlib.version2 import read_version2

SIZE_LIMIT = 1 << 28
"""Largest text that is read, in bytes, counted after unpacking."""

_KIND = FileKind(
    name="property file",
    expected="a .vnnlib or .vnnlib.gz file",
    too_large="",
    error=BadProperty,
)
_VERSION_2 = ("vnnlib-version", "declare-network")


def load_property(path: str | Path) -> Property:
    """A property from a file.

    Parameters
    ----------
    path : str or Path
        ``.vnnlib``, or ``.vnnlib.gz``. VNN-LIB 1.0 as VNN-COMP uses it, with what SMT-LIB has
        beside: see `parse_property`. Of 2.0, one network with linear constraints; all of it is read
        by `load_query`.

    Raises
    ------
    BadProperty
        The file cannot be read, or asks something that cannot be asked here; says what and where.
    """
    contents = read_bytes(Path(path), SIZE_LIMIT, kind=_KIND)
    # Only comments hold anything but ASCII.
    return parse_property(contents.decode("utf-8-sig", errors="replace"), name=str(path))


def parse_property(text: str, *, name: str = "property") -> Property:
    """A property from the text of a file.
    Formulas are joined by ``and``, ``or``, ``not``, ``=>``, ``xor`` and ``ite``, and may name parts
    by ``let``. Comparisons of linear terms are taken exactly, with any numbers of the text. They
    bound one input each, or the outputs; what relates inputs is read where enough of these are
    fixed to a number, and refused elsewhere. The question is the one at the first ``(check-sat)``,
    or at the end of a text without one.

    Parameters
    ----------
    text : str
    name : str
        Name of the text in messages.

    Raises
    ------
    BadProperty
        See `load_property`.

    Examples
    --------
    >>> prop = parse_property('''
    ... (declare-const X_0 Real) (declare-const Y_0 Real)
    ... (assert (>= X_0 -1)) (assert (<= X_0 1))
    ... (assert (or (<= Y_0 -2) (>= Y_0 2)))
    ... ''')
    >>> prop.queries[0].alternatives
    ((0,), (1,))
    """
    source = Source(text, name)
    script = Script(source)
    for number, form in enumerate(read_forms(source)):
        if number == 0 and form and form[0] in _VERSION_2:
            return _decidable(lambda: flat_property(read_version2(source), source), source)
        script.run(form)
    question = script.question()
    try:
        shapes = tuple(
            complete_shape(script.shape(kind), kind, question.variables) for kind in "XY"
        )
    except BadName as error:
        raise BadProperty(f"'{name}' {error}") from None
    return _property(shapes, question.shared, question.branched, source)


def _property(
    shapes: tuple[tuple[int, ...], ...],
    shared: Sequence[Atom],
    branched: Sequence[Cases],
    source: Source,
) -> Property:
    inputs, outputs = shapes

    def made() -> Property:
        cases = make_cases(prod(inputs), prod(outputs), shared, conjunction(branched))
        return Property(inputs, outputs, cases)

    return _decidable(made, source)


def _decidable(made: Callable[[], Property], source: Source) -> Property:
    try:
        return made()
    except Undecidable as error:
        raise source.error(str(error), error.position) from None
    except BadProperty as error:
        raise error if source.name in error.problem else error.about(f"'{source.name}'") from None


def load_query(path: str | Path) -> NetworkQuery:
    """A query of VNN-LIB 2 from a file: about several networks, with named inputs and outputs.

    Parameters
    ----------
    path : str or Path
        ``.vnnlib``, or ``.vnnlib.gz``.

    Raises
    ------
    BadProperty
        The file cannot be read, or is no query of version 2; says what and where.
    """
    contents = read_bytes(Path(path), SIZE_LIMIT, kind=_KIND)
    return parse_query(contents.decode("utf-8-sig", errors="replace"), name=str(path))


def parse_query(text: str, *, name: str = "query") -> NetworkQuery:
    """`load_query`, of a text; ``name`` is its name in messages."""
    source = Source(text, name)
    return make_query(read_version2(source), source)
