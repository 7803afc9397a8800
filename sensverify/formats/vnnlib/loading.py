"""A property from a ``.vnnlib`` or ``.vnnlib.gz`` file."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path

from sensverify.errors import BadProperty
from sensverify.formats.files import FileKind, read_bytes
from sensverify.formats.vnnlib.cases import make_cases
from sensverify.formats.vnnlib.formula import Atom, Cases, conjunction
from sensverify.formats.vnnlib.names import BadName, complete_shape
from sensverify.formats.vnnlib.parser import Source, read_forms
from sensverify.formats.vnnlib.property import Property
from sensverify.formats.vnnlib.relations import Undecidable
from sensverify.formats.vnnlib.script import Script

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
        beside: see `parse_property`. 2.0 where the package ``vnnlib`` is installed.

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
    BadProperty, BackendMissing
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
            from sensverify.formats.vnnlib.version2 import read_version2

            shapes, shared, branched = read_version2(source)
            return _property(shapes, shared, branched, source)
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
    try:
        cases = make_cases(prod(inputs), prod(outputs), shared, conjunction(branched))
    except Undecidable as error:
        raise source.error(str(error), error.position) from None
    except BadProperty as error:
        raise error.about(f"'{source.name}'") from None
    return Property(inputs, outputs, cases)
