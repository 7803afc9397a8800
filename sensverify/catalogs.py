"""What there is to name: methods, models, data sets, losses, attacks, corruptions, measures."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

Rows = list[tuple[str, ...]]
Listing = tuple[tuple[str, ...], Rows]


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
        return [
            (("attack", "what it is, who defined it, and its settings"), _attacks()),
            (("grid", "radii, and who attacked at them"), _grids()),
        ]
    if what == "corruptions":
        return [
            (("corruption", "severities", "what it does, and who defined it"), _corruptions()),
            (("group", "corruptions"), _groups("corruptions")),
            (("sequence", "frames", "what it does, and who defined it"), _sequences()),
        ]
    if what == "measures":
        return [
            (("measure", "definition, who gave it, and what it needs"), _measures()),
            (("group", "measures"), _groups("measures")),
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
    from sensverify.training.terms import TERMS

    rows: Rows = []
    for name, term in TERMS.items():
        options = ", ".join(f"{key}={_shown(value)}" for key, value in term.defaults.items())
        lines = [_with_source(term.summary, term.source)]
        lines += [f"{name}({options})"] if options else []
        lines += [f"{key}: {', '.join(words)}" for key, words in term.words.items()]
        rows.append((name, "\n".join(lines)))
    return rows


def _attacks() -> Rows:
    from sensverify.attacks.attack import ATTACKS

    rows: Rows = []
    for name, attack in ATTACKS.items():
        settings = ", ".join(f"{f.name}={_nested(f.default)}" for f in fields(attack))
        line = _with_source(_summary(attack()), attack.source)
        rows.append((name, f"{line}\n{name}({settings})" if settings else line))
    return rows


def _nested(value: Any) -> str:
    """The default of a setting; attacks among them by their names."""
    if isinstance(value, tuple):
        return "+".join(str(each.name) for each in value)
    return _shown(value)


def _grids() -> Rows:
    from sensverify.attacks.grids import GRIDS

    return [
        (name, f"{', '.join(f'{radius:.3g}' for radius in grid.radii)} ({grid.source})")
        for name, grid in GRIDS.items()
    ]


def _corruptions() -> Rows:
    from sensverify.corruptions import CORRUPTIONS

    return [
        (name, str(each.severities), _with_source(each.description, each.source))
        for name, each in CORRUPTIONS.items()
    ]


def _sequences() -> Rows:
    from sensverify.corruptions import SEQUENCES

    return [
        (name, str(each.frames), _with_source(each.description, each.source))
        for name, each in SEQUENCES.items()
    ]


def _measures() -> Rows:
    from sensverify.measures.catalog import MEASURES

    rows: Rows = []
    for name, measure in MEASURES.items():
        needs = f"\nneeds: {', '.join(measure.needs)}" if measure.needs else ""
        rows.append((name, _with_source(measure.definition, measure.source) + needs))
    return rows


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
