"""VNN-LIB 2: several networks with named inputs and outputs, and assertions about all of them.

A text becomes the constraints that one of version 1 becomes: its inputs X are those of all networks
one after the other, its outputs Y all outputs and inner values, and monomials behind them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sensverify.formats.vnnlib.assertions import ENTRY, Assertions, Variables
from sensverify.formats.vnnlib.declarations import (
    Declaration,
    Declarations,
    Tensor,
    joined_brackets,
    read_version,
)
from sensverify.formats.vnnlib.formula import Atom, Cases
from sensverify.formats.vnnlib.monomials import Monomials
from sensverify.formats.vnnlib.parser import Form, Source, quoted, read_forms
from sensverify.formats.vnnlib.semantics import Scope, assertion_cases
from sensverify.formats.vnnlib.terms import Variable, number

_WHOLE = re.compile(r"-?\d+")

_COMPARISONS = {"<=": "<=", ">=": ">=", "<": "<", ">": ">", "==": "=", "=": "=", "!=": "!="}
_ARITHMETIC = ("+", "-", "*")
_JUNCTIONS = ("and", "or")


@dataclass(frozen=True)
class Text:
    """A text of version 2, read.

    Parameters
    ----------
    version : (int, int)
    networks : tuple of Declaration
    shared : list of Atom
        Constraints of all cases, over all inputs X and all outputs and inner values Y.
    branched : list of Cases
        Of each, one case has to hold.
    assertions : Assertions
        As they stand in the text, for whoever evaluates them.
    monomials : tuple of tuple of Variable
        Products of variables, which the constraints name as further outputs Y.
    """

    version: tuple[int, int]
    networks: tuple[Declaration, ...]
    shared: list[Atom] = field(default_factory=list)
    branched: list[Cases] = field(default_factory=list)
    assertions: Assertions = field(default_factory=lambda: Assertions((), Variables([])))
    monomials: tuple[tuple[Variable, ...], ...] = ()

    @property
    def inputs(self) -> list[Tensor]:
        """All inputs, in order."""
        return [tensor for network in self.networks for tensor in network.inputs]

    @property
    def given(self) -> list[Tensor]:
        """All outputs and inner values, in order of their places."""
        return [tensor for network in self.networks for tensor in network.given]


def read_version2(source: Source) -> Text:
    """A text of VNN-LIB 2.

    Numbers are taken from the text, exactly.

    Raises
    ------
    BadProperty
        It is none; says where and why.
    """
    forms = read_forms(source)
    version = read_version(next(forms, Form()), source)
    declared = Declarations(source)
    reader: _Assertions | None = None
    for form in forms:
        head = form[0] if form else None
        if head == "declare-network":
            if reader is not None:
                raise source.error(
                    "networks are declared before everything that is asserted", form.position
                )
            declared.add(form)
        elif head == "assert":
            if reader is None:
                reader = _Assertions(source, declared.networks)
            reader.add(form)
        else:
            raise source.error(
                f"unknown command {quoted(form)}; there are declare-network and assert",
                form.position,
            )
    if not declared.networks:
        raise source.error("no network is declared", len(source.text))
    if reader is None:
        raise source.error("nothing is asserted", len(source.text))
    if len({tensor.real for network in declared.networks for tensor in network.tensors}) > 1:
        raise source.error(
            "some variables are real, and others have a type of ONNX",
            0,
            "declare all of them as real, or none",
        )
    return Text(
        version,
        tuple(declared.networks),
        reader.shared,
        reader.branched,
        Assertions(tuple(reader.formulas), reader.variables),
        reader.monomials.factors,
    )


class _Assertions:
    """The assertions of a text, read one after the other."""

    def __init__(self, source: Source, networks: list[Declaration]) -> None:
        self._source = source
        self.variables = self._variables = Variables(networks)
        self.formulas: list[Form] = []
        self.monomials = Monomials(sum(t.size for n in networks for t in n.given))
        self._scope = Scope(source, self._variables, multiply=self.monomials.multiply)
        self.shared: list[Atom] = []
        self.branched: list[Cases] = []

    def add(self, form: Form) -> None:
        """Read one ``(assert formula)``."""
        if len(form) != 2 or not isinstance(form[1], Form):
            raise self._source.error(f"{quoted(form)} does not assert one formula", form.position)
        self.formulas.append(self._formula(form[1]))
        cases = assertion_cases(self.formulas[-1], self._scope, form.position)
        if len(cases) == 1:
            self.shared.extend(cases[0])
        else:
            self.branched.append(cases)

    def _formula(self, form: Any) -> Form:
        """A formula as version 1 writes it, with its names and types checked."""
        head = form[0] if isinstance(form, Form) and form else None
        if head in _JUNCTIONS:
            if len(form) < 2:
                raise self._source.error(f"{quoted(form)} joins nothing", form.position)
            parts = [self._formula(part) for part in form[1:]]
            return Form((head, *parts), position=form.position)
        if head not in _COMPARISONS:
            position = form.position if isinstance(form, Form) else 0
            known = ", ".join((*_JUNCTIONS, *_COMPARISONS))
            raise self._source.error(
                f"expected a formula, got {quoted(form)}; there are {known}", position
            )
        sides = joined_indices(form)[1:]
        if len(sides) != 2:
            raise self._source.error(f"{quoted(form)} does not compare two terms", form.position)
        types: set[str] = set()
        terms = [self._term(side, form, types) for side in sides]
        self._check_types(types, terms, form)
        return Form((_COMPARISONS[head], *terms), position=form.position)

    def _term(self, term: Any, around: Form, types: set[str]) -> Any:
        if not isinstance(term, Form):
            return self._atom(str(term), around, types)
        head = term[0] if term else None
        if head not in _ARITHMETIC:
            raise self._source.error(
                f"expected a term, got {quoted(term)}; there are {', '.join(_ARITHMETIC)}",
                term.position,
            )
        parts = joined_indices(term)[1:]
        if not parts:
            raise self._source.error(f"{quoted(term)} computes nothing", term.position)
        return Form((head, *(self._term(p, term, types) for p in parts)), position=term.position)

    def _atom(self, token: str, around: Form, types: set[str]) -> str:
        try:
            if number(token) is not None:
                return token
        except ValueError:
            raise self._source.error(
                f"{quoted(token)} is no number that can be read", around.position
            ) from None
        match = ENTRY.fullmatch(token)
        if match is None or match[1] not in self._variables.tensors:
            raise self._source.error(
                f"unknown name {quoted(token)}",
                around.position,
                "declare it as an input or output of a network, and give its places, X[0,2]",
            )
        tensor = self._variables.tensors[match[1]][1]
        if self._variables.get(token) is None:
            raise self._source.error(
                f"{quoted(token)} is no entry of '{tensor.name}', which has the shape "
                f"{list(tensor.shape)}; places are counted from 0",
                around.position,
            )
        types.add(tensor.dtype)
        return token

    def _check_types(self, types: set[str], terms: list[Any], form: Form) -> None:
        if not types:
            raise self._source.error(
                f"{quoted(form)} holds no variable, so that its numbers have no type", form.position
            )
        if len(types) > 1:
            raise self._source.error(
                f"{quoted(form)} mixes the types {' and '.join(sorted(types))}", form.position
            )
        (kind,) = types
        if "int" not in kind:
            return
        for token in _tokens(terms):
            if self._variables.get(token) is None and not _WHOLE.fullmatch(token):
                raise self._source.error(
                    f"{quoted(token)} is no {kind}, which {quoted(form)} compares", form.position
                )


def joined_indices(form: Form) -> list[Any]:
    """The items of a form, with the places behind a name as part of it: ``X[0,2]``."""
    items: list[Any] = []
    for item in joined_brackets(form):
        if isinstance(item, str) and item.startswith("[") and items and isinstance(items[-1], str):
            items[-1] += item
        else:
            items.append(item)
    return items


def _tokens(terms: list[Any]) -> Iterator[str]:
    for term in terms:
        if isinstance(term, Form):
            yield from _tokens(list(term[1:]))
        else:
            yield str(term)
