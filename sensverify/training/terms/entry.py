"""What the list of terms says about each."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from torch import Tensor

from sensverify.bounds.method import Method
from sensverify.errors import BadSetting, SensverifyError
from sensverify.registry.calls import Call
from sensverify.training.ranges import Range
from sensverify.verification.settings import parse_method


@dataclass(frozen=True)
class Term:
    """One term of a loss.

    Parameters
    ----------
    function : callable
        Takes a `Step` and keyword-only options with defaults, each a number (of the `Range` that
        it is `Annotated` with), a word (of those that its `Literal` lists) or a bound propagation
        method, and returns a scalar Tensor with gradients.
    source : str
        Who defined it.
    asks : frozenset of str
        What it wants bounds of; see `Step`.
    perturbs : bool
        Whether it needs a radius.
    """

    function: Callable[..., Tensor]
    source: str
    asks: frozenset[str] = frozenset()
    perturbs: bool = False

    @property
    def summary(self) -> str:
        """The first sentence of the function's docstring."""
        text = " ".join((inspect.getdoc(self.function) or "").split("\n\n")[0].split())
        return text.split(". ")[0].rstrip(".")

    @property
    def defaults(self) -> dict[str, Any]:
        """Every option and the value it has when it is not given."""
        parameters = list(inspect.signature(self.function).parameters.values())
        return {p.name: p.default for p in parameters[1:]}

    def options(self, call: Call) -> dict[str, Any]:
        """The options of a call as the function takes them.

        Raises
        ------
        UnknownName, BadSetting
            There is no such option or method, or a value does not fit.
        """
        defaults = self.defaults
        for key in call.options:
            if key not in defaults:
                raise BadSetting(
                    f"'{call}': {call.name} has no option {key}; "
                    f"it has {', '.join(defaults) or 'none'}"
                )
        ranges = self.ranges
        values = {
            key: _value(f"'{call}': {key}", value, defaults[key], ranges.get(key))
            for key, value in call.options.items()
        }
        for key, words in self.words.items():
            if key in values and values[key] not in words:
                raise BadSetting(
                    f"'{call}': {key} is one of {', '.join(words)}; got '{values[key]}'"
                )
        return values

    @property
    def ranges(self) -> dict[str, Range]:
        """The range of every option that has one."""
        hints = get_type_hints(self.function, include_extras=True)
        notes = {
            key: get_args(kind) for key, kind in hints.items() if get_origin(kind) is Annotated
        }
        found = ((key, note) for key, all_ in notes.items() for note in all_)
        return {key: note for key, note in found if isinstance(note, Range)}

    @property
    def words(self) -> dict[str, tuple[str, ...]]:
        """The words there are for every option that takes one."""
        hints = get_type_hints(self.function)
        return {key: get_args(kind) for key, kind in hints.items() if get_origin(kind) is Literal}


def _value(what: str, value: Any, default: Any, range_: Range | None) -> Any:
    """The value as the kind of thing the default is."""
    if isinstance(default, Method):
        return _method(what, value)
    if isinstance(value, Call):
        if value.options or not (isinstance(default, str) or default is None):
            raise BadSetting(f"{what} takes {_kind(default)}, got '{value}'")
        return value.name
    if default is None:
        return value
    if isinstance(default, bool) or isinstance(value, bool):
        fits = isinstance(default, bool) and isinstance(value, bool)
    else:
        wanted = int if isinstance(default, int) else float | int
        fits = isinstance(default, float | int) and isinstance(value, wanted)
    if not fits:
        raise BadSetting(f"{what} takes {_kind(default)}, got '{value}'")
    if range_ is not None and value not in range_:
        raise BadSetting(f"{what} takes {_kind(default)} {range_}, got '{value}'")
    return type(default)(value)


def _method(what: str, value: Any) -> Method:
    if not isinstance(value, Call):
        raise BadSetting(f"{what} takes a method such as lp-dual or crown(intermediate=ibp)")
    settings = {key: "none" if v is None else str(v) for key, v in value.options.items()}
    try:
        method = parse_method(value.name, settings)
    except SensverifyError as error:
        raise BadSetting(f"{what}: {error}") from None
    # Where a method that says nothing gives bounds without gradients, the first step says so.
    if not getattr(method, "differentiable", True):
        raise BadSetting(
            f"{what}: method {method.name} gives bounds without gradients, so nothing can be "
            "trained with it; use lp-dual, crown, alpha-crown or ibp"
        )
    return method


def _kind(default: Any) -> str:
    if isinstance(default, bool):
        return "true or false"
    if isinstance(default, str):
        return "a word"
    return "a whole number" if isinstance(default, int) else "a number"
