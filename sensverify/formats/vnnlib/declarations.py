"""Networks that a VNN-LIB 2.0 text declares: named inputs, outputs and inner values with types.

Source: the VNN-LIB standard 2, chapters "Query Language" and "Theories and Logics".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from sensverify.errors import BadProperty
from sensverify.formats.vnnlib.names import Shape
from sensverify.formats.vnnlib.parser import Form, Source, quoted

TYPES = (
    "real",
    "float16",
    "float32",
    "float64",
    "bfloat16",
    *(f"{u}int{bits}" for u in ("", "u") for bits in (8, 16, 32, 64)),
)
"""Element types that a query may declare: ``real``, and those of ONNX that are numbers."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*", re.ASCII)
_SHAPE = re.compile(r"\[(?:\d{1,9}(?:,\d{1,9})*)?\]", re.ASCII)
_VERSION = re.compile(r"<(\d{1,4})\.(\d{1,4})>", re.ASCII)
_ENTRIES = 1 << 27
"""Most numbers of all variables together."""

_PARTS = ("declare-input", "declare-hidden", "declare-output")
_LIKE = ("equal-to", "isomorphic-to")


@dataclass(frozen=True)
class Tensor:
    """A declared input, output or inner value.

    Parameters
    ----------
    name : str
    dtype : str
        One of `TYPES`.
    shape : tuple of int
    start : int
        Place of its first number among those of all inputs, or of all other variables.
    onnx_name : str
        Of an inner value: its name in the file.
    """

    name: str
    dtype: str
    shape: Shape
    start: int = 0
    onnx_name: str = ""

    @property
    def size(self) -> int:
        """Number of numbers."""
        return prod(self.shape)

    @property
    def real(self) -> bool:
        """Whether it is declared as real numbers."""
        return self.dtype == "real"

    @property
    def integer(self) -> bool:
        """Whether it holds integers."""
        return "int" in self.dtype


@dataclass(frozen=True)
class Declaration:
    """A declared network.

    Parameters
    ----------
    name : str
    inputs, hidden, outputs : tuple of Tensor
    equal_to, isomorphic_to : str
        Name of an earlier network, or empty.
    """

    name: str
    inputs: tuple[Tensor, ...]
    hidden: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    equal_to: str = ""
    isomorphic_to: str = ""

    @property
    def given(self) -> tuple[Tensor, ...]:
        """The variables that the network computes: outputs, then inner values."""
        return (*self.outputs, *self.hidden)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All variables, in the order in which they are declared."""
        return (*self.inputs, *self.hidden, *self.outputs)


def read_version(form: Form, source: Source) -> tuple[int, int]:
    """The version that a text names first.

    Raises
    ------
    BadProperty
        It is none, or not 2.
    """
    match = _VERSION.fullmatch(form[1]) if len(form) == 2 and isinstance(form[1], str) else None
    if form[0] != "vnnlib-version" or match is None:
        raise source.error(f"expected (vnnlib-version <2.0>), got {quoted(form)}", form.position)
    version = int(match[1]), int(match[2])
    if version[0] != 2:
        raise source.error(
            f"version {version[0]}.{version[1]} of VNN-LIB is not read",
            form.position,
            "versions 1 and 2 are; version 1 is written without a version",
        )
    return version


class Declarations:
    """The networks of a text, one after the other."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.networks: list[Declaration] = []
        self._taken: set[str] = set()
        self._inputs = self._others = 0

    def add(self, form: Form) -> None:
        """Read one ``(declare-network name ...)``.

        Raises
        ------
        BadProperty
        """
        if len(form) < 2 or not _is_name(form[1]):
            raise self._error(f"{quoted(form)} does not name a network", form)
        name = self._free(form[1], form)
        like = {"equal-to": "", "isomorphic-to": ""}
        found: dict[str, list[Tensor]] = {part: [] for part in _PARTS}
        last = -1
        for part in form[2:]:
            head = part[0] if isinstance(part, Form) and part else None
            if head in _LIKE:
                if any(like.values()) or last >= 0:
                    raise self._error(
                        f"network '{name}': one (equal-to ...) or (isomorphic-to ...) may stand "
                        "first",
                        part,
                    )
                like[head] = self._earlier(part, name)
                continue
            if head not in _PARTS:
                raise self._error(f"network '{name}': {quoted(part)} declares nothing", form)
            if _PARTS.index(head) < last:
                raise self._error(
                    f"network '{name}': inputs are declared first, then inner values, then outputs",
                    part,
                )
            last = _PARTS.index(head)
            found[head].append(self._tensor(part, name))
        inputs, hidden, outputs = (tuple(found[part]) for part in _PARTS)
        if not inputs or not outputs:
            what = "no output" if inputs else "no input"
            raise self._error(f"network '{name}' has {what}", form)
        made = Declaration(name, inputs, hidden, outputs, like["equal-to"], like["isomorphic-to"])
        self._check_like(made, form)
        self.networks.append(self._placed(made, form))

    def _tensor(self, form: Form, network: str) -> Tensor:
        parts = joined_brackets(form)
        hidden = form[0] == "declare-hidden"
        if parts[4:] == ["initialized"] and form[0] == "declare-input":
            raise self._error(
                f"{quoted(form)}: an input that takes the value stored in the file is not read",
                form,
                "leave `initialized` out, and bound the input",
            )
        if len(parts) != 4 + hidden or not _is_name(parts[1]):
            value = ' "value"' if hidden else ""
            raise self._error(f"{quoted(form)} is not ({form[0]} name type [n,...]{value})", form)
        name, kind, shape = self._free(parts[1], form), parts[2], parts[3]
        kind = "real" if kind == "Real" else kind
        if kind not in TYPES:
            raise self._error(
                f"'{name}' has the type {quoted(kind)}; there are {', '.join(TYPES)}", form
            )
        if not isinstance(shape, str) or not _SHAPE.fullmatch(shape):
            raise self._error(f"'{name}' has no shape such as [1,3]: {quoted(shape)}", form)
        axes = tuple(int(n) for n in shape[1:-1].split(",") if n)
        if not 0 < prod(axes) <= _ENTRIES:
            raise self._error(f"'{name}' has the shape {axes}, which cannot be used", form)
        given = str(parts[4]) if hidden else ""
        if hidden and not (len(given) > 2 and given[0] == given[-1] == '"'):
            raise self._error(f"'{name}' needs the name of a value of the file, in quotes", form)
        return Tensor(name, kind, axes, onnx_name=given[1:-1])

    def _earlier(self, form: Form, name: str) -> str:
        if len(form) != 2 or not isinstance(form[1], str):
            raise self._error(f"{quoted(form)} does not name a network", form)
        known = {network.name: network for network in self.networks}
        other = known.get(form[1])
        if other is None:
            raise self._error(
                f"network '{name}' is said to be like '{form[1]}', which is not declared before it",
                form,
            )
        if other.equal_to or other.isomorphic_to:
            raise self._error(
                f"network '{name}' is said to be like '{other.name}', which is like another itself",
                form,
                f"name '{other.equal_to or other.isomorphic_to}'",
            )
        return other.name

    def _check_like(self, made: Declaration, form: Form) -> None:
        """Refuse other inputs and outputs than those of the network that it is like."""
        named = made.equal_to or made.isomorphic_to
        if not named:
            return
        other = next(network for network in self.networks if network.name == named)
        for what in ("inputs", "outputs"):
            own, theirs = (
                [(t.shape, t.dtype if made.equal_to else "") for t in getattr(network, what)]
                for network in (made, other)
            )
            if own != theirs:
                raise self._error(
                    f"network '{made.name}' has other {what} than '{named}', which it is like", form
                )

    def _placed(self, made: Declaration, form: Form) -> Declaration:
        def placed(tensors: tuple[Tensor, ...], start: int) -> Iterator[Tensor]:
            for tensor in tensors:
                yield replace(tensor, start=start)
                start += tensor.size

        inputs = tuple(placed(made.inputs, self._inputs))
        self._inputs += sum(t.size for t in inputs)
        outputs = tuple(placed(made.outputs, self._others))
        self._others += sum(t.size for t in outputs)
        hidden = tuple(placed(made.hidden, self._others))
        self._others += sum(t.size for t in hidden)
        if self._inputs + self._others > _ENTRIES:
            raise self._error(f"more than {_ENTRIES:,} numbers in all variables", form)
        return replace(made, inputs=inputs, hidden=hidden, outputs=outputs)

    def _free(self, name: str, form: Form) -> str:
        if name in self._taken:
            raise self._error(f"'{name}' is declared twice", form)
        self._taken.add(name)
        return name

    def _error(self, problem: str, form: Any, remedy: str = "") -> BadProperty:
        position = form.position if isinstance(form, Form) else 0
        return self._source.error(problem, position, remedy)


def joined_brackets(form: Form) -> list[Any]:
    """The items of a form, with the words between a bracket and its end as one: ``[1,3]``."""
    items: list[Any] = []
    open_one: list[str] | None = None
    for item in form:
        if open_one is None and not (isinstance(item, str) and "[" in item and "]" not in item):
            items.append(item)
            continue
        open_one = [*(open_one or []), str(item)]
        if isinstance(item, str) and "]" in item:
            items.append("".join(open_one))
            open_one = None
    if open_one is not None:
        items.append("".join(open_one))
    return items


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None
