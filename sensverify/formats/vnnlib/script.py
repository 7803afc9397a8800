"""The commands of a VNN-LIB 1.0 text, run one after the other as SMT-LIB says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sensverify.errors import BadProperty
from sensverify.formats.vnnlib.formula import Atom, Cases, Truth
from sensverify.formats.vnnlib.names import (
    BadName,
    Shape,
    declared_shapes,
    places_of,
    variable_of,
)
from sensverify.formats.vnnlib.parser import Form, Source, quoted, read_forms
from sensverify.formats.vnnlib.semantics import (
    Scope,
    Value,
    assertion_cases,
    expression_value,
    is_symbol,
)
from sensverify.formats.vnnlib.terms import Variable

_LARGEST = 2_000_000
"""Most variables, and most assertions, of one file: they are held in memory."""

_LEVELS = 10_000
"""Most levels of assertions, of "push"."""

_WITHOUT_MEANING = (
    "echo",
    "get-assertions",
    "get-assignment",
    "get-info",
    "get-model",
    "get-option",
    "get-proof",
    "get-unsat-assumptions",
    "get-unsat-core",
    "get-value",
    "set-info",
    "set-logic",
    "set-option",
)


@dataclass(frozen=True)
class Question:
    """Assertions of the file: all of ``shared``, and one case of each of ``branched``."""

    variables: Mapping[str, Variable]
    shared: tuple[Atom, ...]
    branched: tuple[Cases, ...]


class Script:
    """State of the commands so far: declarations, assertions, and the question once asked.

    Parameters
    ----------
    source : Source
        Text of the commands.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._variables: dict[str, Variable] = {}
        self._named: dict[str, Value] = {}
        self._shared: list[Atom] = []
        self._branched: list[Cases] = []
        self._levels: list[tuple[int, int, int, int]] = []
        self._shapes: dict[str, Shape] | None = None
        self._question: Question | None = None
        self._closed: str | None = None
        self._changed = False

    def run(self, form: Form) -> None:
        """Obey one command.

        Raises
        ------
        BadProperty
            It cannot be obeyed; says where and why.
        """
        head = form[0] if form else None
        command = _COMMANDS.get(head) if isinstance(head, str) else None
        if command is not None:
            command(self, form)
        elif head not in _WITHOUT_MEANING:
            raise self._error(f"unknown command {quoted(form)}", form)
        held = (self._variables, self._named, self._shared, self._branched)
        if max(len(items) for items in held) > _LARGEST:
            raise self._error(f"more than {_LARGEST:,} variables or constraints", form)

    def question(self) -> Question:
        """The question of the file, once all commands were run.

        Raises
        ------
        BadProperty
            Some assertions were taken back before anything asked about them.
        """
        if self._question is not None:
            return self._question
        if self._changed:
            raise BadProperty(
                f"'{self._source.name}' takes assertions back by (pop), and no (check-sat) asks "
                "about them"
            )
        return self._state()

    def shape(self, kind: str) -> Shape:
        """The shape of the inputs, where ``kind`` is X, or of the outputs, as the names say."""
        if self._shapes is not None and kind in self._shapes:
            return self._shapes[kind]
        places = [v.place for v in self.question().variables.values() if v.kind == kind]
        return (1 + max(places, default=-1),)

    def _state(self) -> Question:
        return Question(dict(self._variables), tuple(self._shared), tuple(self._branched))

    def _error(self, problem: str, form: Form, remedy: str = "") -> BadProperty:
        return self._source.error(problem, form.position, remedy)

    def _check_open(self, form: Form) -> None:
        if self._closed is not None:
            raise self._error(
                f"{quoted(form)} comes after ({self._closed}); a file asks one question, about all "
                "that is asserted before",
                form,
            )

    def _declare(self, form: Form) -> None:
        """``(declare-const X_0 Real)``, or ``(declare-fun X_0 () Real)``."""
        self._check_open(form)
        middle: list[Any] = [] if form[0] == "declare-const" else [[]]
        if len(form) != 3 + len(middle) or form[2:-1] != middle or form[-1] != "Real":
            raise self._error(f"{quoted(form)} does not declare a Real", form)
        name, found = form[1], places_of(form[1])
        if found is None:
            raise self._error(
                f"{quoted(name)} is not a name of an input X_i or an output Y_j", form
            )
        kind, places = found
        shape = self._shape_of(kind, places, form)
        which = variable_of(kind, places, shape)
        if name in self._variables or name in self._named:
            raise self._error(f"{name} is declared twice", form)
        self._variables[name] = which

    def _shape_of(self, kind: str, places: Shape, form: Form) -> Shape:
        """The shape of all that is declared: of names with several numbers only when needed."""
        if self._shapes is None and len(places) == 1:
            return places
        if self._shapes is None:
            try:
                self._shapes = declared_shapes(read_forms(self._source))
            except BadName as error:
                raise self._error(str(error), form) from None
        return self._shapes[kind]

    def _define(self, form: Form) -> None:
        """``(define-fun name () Real value)``, or ``(define-const name Real value)``."""
        self._check_open(form)
        middle: list[Any] = [] if form[0] == "define-const" else [[]]
        if len(form) != 4 + len(middle) or form[2:-2] != middle or not is_symbol(form[1]):
            raise self._error(
                f"{quoted(form)} does not name a value; functions of arguments are not read", form
            )
        name, sort = form[1], form[-2]
        value = expression_value(form[-1], self._scope, form.position)
        if sort != ("Bool" if isinstance(value, Truth) else "Real"):
            raise self._error(f"the value in {quoted(form)} is no {quoted(sort)}", form)
        if name in self._variables or name in self._named:
            raise self._error(f"{name} is declared twice", form)
        self._named[name] = value

    def _assert(self, form: Form) -> None:
        self._check_open(form)
        if len(form) != 2:
            raise self._error(f"{quoted(form)} does not assert one formula", form)
        cases = assertion_cases(form[1], self._scope, form.position)
        if len(cases) == 1:
            self._shared.extend(cases[0])
        else:
            self._branched.append(cases)

    def _push(self, form: Form) -> None:
        count = self._count(form)
        if len(self._levels) + count > _LEVELS:
            raise self._error(f"more than {_LEVELS:,} levels of assertions", form)
        sizes = len(self._variables), len(self._named), len(self._shared), len(self._branched)
        self._levels.extend([sizes] * count)

    def _pop(self, form: Form) -> None:
        count = self._count(form)
        if count > len(self._levels):
            raise self._error(f"{quoted(form)} takes back more than (push) began", form)
        if count == 0:
            return
        variables, named, shared, branched = self._levels[-count]
        del self._levels[-count:]
        self._changed |= len(self._shared) > shared or len(self._branched) > branched
        del self._shared[shared:], self._branched[branched:]
        for name in list(self._variables)[variables:]:
            del self._variables[name]
        for name in list(self._named)[named:]:
            del self._named[name]

    def _count(self, form: Form) -> int:
        """Number of levels that a command pushes or pops."""
        text = form[1] if len(form) == 2 else "1"
        if len(form) > 2 or not isinstance(text, str) or not (text.isdecimal() and len(text) < 9):
            raise self._error(f"{quoted(form)} needs a number of levels", form)
        return int(text)

    def _check_sat(self, form: Form) -> None:
        if self._question is None:
            self._question, self._changed = self._state(), False
        elif self._changed:
            raise self._error(
                "the file asks several questions, with other assertions at this (check-sat) than "
                "before",
                form,
                "split it into one file for each",
            )
        self._closed = self._closed or "check-sat"

    def _exit(self, form: Form) -> None:
        self._closed = "exit"

    @property
    def _scope(self) -> Scope:
        return Scope(self._source, self._variables, self._named)


_COMMANDS: dict[str, Callable[[Script, Form], None]] = {
    "declare-const": Script._declare,
    "declare-fun": Script._declare,
    "define-const": Script._define,
    "define-fun": Script._define,
    "assert": Script._assert,
    "push": Script._push,
    "pop": Script._pop,
    "check-sat": Script._check_sat,
    "exit": Script._exit,
}
