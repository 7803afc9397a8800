"""What there is to name: methods, models, data sets, losses, attacks, corruptions, measures."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

Rows = list[tuple[str, ...]]
Listing = tuple[tuple[str, ...], Rows]

_SOURCES = ("source", "title")
_DOES = "what it does, and who defined it"


def list_tables(what: str, *, data_dir: str | Path | None = None) -> list[Listing]:
    """Tables, each of a header and one row for each name.

    Parameters
    ----------
    what : str
        ``methods``, ``models``, ``architectures``, ``data``, ``losses``, ``attacks``,
        ``corruptions`` or ``measures``.
    data_dir : str or Path, optional
        Folder searched first for data sets.
    """
    if what == "methods":
        return [(("method", "guarantee", "settings", "description"), _methods())]
    if what == "models":
        header = ("model", "inputs", "outputs", "parameters", "accuracy", "description")
        return [(header, _models())]
    if what == "architectures":
        return [(("architecture", "inputs", "outputs", "layers"), _architectures())]
    if what == "losses":
        return [
            (("recipe", "what it is, who defined it, and the sum it stands for"), _recipes()),
            (("term", "what it is, who defined it, and its options"), _terms()),
        ]
    if what == "attacks":
        cited, rows = _attacks()
        return [
            (("attack", "what it is, who defined it, and its settings"), rows),
            (("grid", "radii, and who attacked at them"), _grids()),
            (_SOURCES, cited.rows),
        ]
    if what == "corruptions":
        from sensverify.corruptions import CORRUPTIONS, SEQUENCES

        sources = [each.source for each in CORRUPTIONS.values()]
        cited = _Cited(sources + [each.source for each in SEQUENCES.values()])
        return [
            (("corruption", "severities", _DOES), _corruptions(cited)),
            (("group", "corruptions"), _groups("corruptions")),
            (("sequence", "frames", _DOES), _sequences(cited)),
            (_SOURCES, cited.rows),
        ]
    if what == "measures":
        cited, rows = _measures()
        return [
            (("measure", "definition, who gave it, and what it needs"), rows),
            (("group", "measures"), _groups("measures")),
            (_SOURCES, cited.rows),
        ]
    return [(("data", "here", "description"), _data(data_dir))]


def _methods() -> Rows:
    from sensverify.bounds.method import make_method, method_names
    from sensverify.errors import SensverifyError

    rows: Rows = []
    for name in method_names():
        try:
            method = make_method(name)
        except (SensverifyError, ImportError) as error:
            rows.append((name, "-", "-", f"cannot be loaded: {error}"))
            continue
        settings = [f"{f.name}={_shown(getattr(method, f.name))}" for f in _settings(method)]
        rows.append((name, method.guarantee.name, ", ".join(settings) or "-", _summary(method)))
    return rows


def _models() -> Rows:
    from sensverify import models

    rows: Rows = []
    for name in models.names():
        card = models.card(name)
        inputs = "x".join(str(n) for n in card.input_shape)
        accuracy = f"{100 * card.accuracy['test']:.1f} %"
        counts = (str(card.outputs), f"{card.parameters:,}", accuracy)
        rows.append((name, inputs, *counts, card.description))
    return rows


def _architectures() -> Rows:
    from sensverify.models.architectures import ARCHITECTURES, FAMILIES, SHAPES

    rows: Rows = []
    for name, build in ARCHITECTURES.items():
        shape, outputs = SHAPES[name]
        layers = _summary(build).split(":")[0]
        rows.append((name, "x".join(map(str, shape)), str(outputs), layers))
    for name, description in FAMILIES.items():
        inputs = "images" if name.startswith("conv") else "any"
        rows.append((name, inputs, "any", description))
    return rows


def _recipes() -> Rows:
    from sensverify.training.recipes import RECIPES

    return [
        (name, f"{_with_source(recipe.summary, recipe.source)}\n{recipe}")
        for name, recipe in RECIPES.items()
    ]


def _terms() -> Rows:
    from sensverify.registry.hints import words_of
    from sensverify.training.terms import TERMS

    rows: Rows = []
    for name, term in TERMS.items():
        settings = TERMS.settings(term).values()
        options = ", ".join(f"{each.name}={_shown(each.default)}" for each in settings)
        lines = [_with_source(term.summary, term.source)]
        lines += [f"{name}({options})"] if options else []
        lines += [f"{s.name}: {', '.join(words)}" for s in settings if (words := words_of(s.hint))]
        rows.append((name, "\n".join(lines)))
    return rows


def _attacks() -> tuple[_Cited, Rows]:
    from sensverify.attacks.attack import ATTACKS

    cited = _Cited(attack.source for attack in ATTACKS.values())
    rows: Rows = []
    for name, attack in ATTACKS.items():
        settings = ", ".join(f"{f.name}={_nested(f.default)}" for f in fields(attack))
        line = _with_source(_summary(attack()), cited.short(attack.source))
        rows.append((name, f"{line}\n{name}({settings})" if settings else line))
    return cited, rows


def _nested(value: Any) -> str:
    """The default of a setting; attacks among them by their names."""
    if isinstance(value, tuple):
        return "+".join(str(each.name) for each in value)
    return _shown(value)


def _grids() -> Rows:
    from sensverify.attacks.grids import GRIDS

    return [
        (name, f"{', '.join(map(_level, grid.radii))} ({grid.source})")
        for name, grid in GRIDS.items()
    ]


def _level(radius: float) -> str:
    """A radius as ``--radii`` reads it: ``0.1``, or ``8/255`` where it is made of grey levels."""
    levels = f"{255 * radius:.10g}"
    decimal = f"{radius:.10g}"
    return f"{levels}/255" if len(levels) < len(decimal) - 4 else decimal


def _corruptions(cited: _Cited) -> Rows:
    from sensverify.corruptions import CORRUPTIONS

    return [
        (name, str(each.severities), _with_source(each.description, cited.short(each.source)))
        for name, each in CORRUPTIONS.items()
    ]


def _sequences(cited: _Cited) -> Rows:
    from sensverify.corruptions import SEQUENCES

    return [
        (name, each.frames_text, _with_source(each.description, cited.short(each.source)))
        for name, each in SEQUENCES.items()
    ]


def _measures() -> tuple[_Cited, Rows]:
    from sensverify.measures.catalog import MEASURES

    cited = _Cited(measure.source for measure in MEASURES.values())
    rows: Rows = []
    for name, measure in MEASURES.items():
        needs = f"\nneeds: {', '.join(measure.needs)}" if measure.needs else ""
        rows.append((name, _with_source(measure.definition, cited.short(measure.source)) + needs))
    return cited, rows


def _groups(what: str) -> Rows:
    groups: Mapping[str, tuple[str, ...]]
    if what == "corruptions":
        from sensverify.corruptions import GROUPS as groups
    else:
        from sensverify.measures.catalog import MEASURE_GROUPS as groups
    return [
        (name, "all of them" if name == "all" else ", ".join(names))
        for name, names in groups.items()
    ]


class _Cited:
    """Sources by author and year in the rows, and by title once, in a table of their own.

    Parameters
    ----------
    sources : iterable of str
        ``Who 2020, Title``, ``Who, Title`` or a title alone, and after a semicolon a remark.
    """

    def __init__(self, sources: Iterable[str]) -> None:
        titles: dict[str, list[str]] = {}
        for source in sources:
            who, title, _ = _cut(source)
            if title and title not in titles.setdefault(who, []):
                titles[who].append(title)
        # Two papers of one year are told apart by a letter, as usual.
        self._keys = {
            (who, title): f"{who}{letter if len(each) > 1 else ''}"
            for who, each in titles.items()
            for letter, title in zip("abcdefghij", each, strict=False)
        }

    def short(self, source: str) -> str:
        """A source without its title, where it has an author."""
        who, title, remark = _cut(source)
        return self._keys.get((who, title), who) + remark

    @property
    def rows(self) -> Rows:
        """Authors and titles, in alphabetical order."""
        return sorted((key, title) for (_, title), key in self._keys.items())


_AUTHORS = re.compile(r"(.+? \d{4}|\S+(?: et al\.)?), (.+)")


def _cut(source: str) -> tuple[str, str, str]:
    """Authors and year, title, and a remark with its semicolon; a title alone stands first."""
    work, semicolon, remark = source.partition("; ")
    found = _AUTHORS.fullmatch(work)
    who, title = found.groups() if found is not None else (work, "")
    return who, title, semicolon + remark


def _with_source(summary: str, source: str) -> str:
    return f"{summary} ({source})" if source else summary


def _data(data_dir: str | Path | None) -> Rows:
    from sensverify.data import DATA_SETS

    return [
        (name, "yes" if entry.available(data_dir) else "no", entry.description)
        for name, entry in DATA_SETS.items()
    ]


def _settings(method: Any) -> tuple[Any, ...]:
    return fields(method) if is_dataclass(method) else ()


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return str(getattr(value, "name", value))


def _summary(what: Any) -> str:
    """The first sentence of a function's docstring, or of an object's class."""
    documented = what if inspect.isroutine(what) else type(what)
    text = " ".join((inspect.getdoc(documented) or "").split("\n\n")[0].split())
    return text.split(". ")[0].rstrip(".")
