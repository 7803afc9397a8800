"""What there is to name: the methods, the models that ship and the data sets."""

from __future__ import annotations

import inspect
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

Rows = list[tuple[str, ...]]


def list_rows(what: str, *, data_dir: str | Path | None = None) -> tuple[tuple[str, ...], Rows]:
    """A header and one row for each name.

    Parameters
    ----------
    what : str
        ``methods``, ``models`` or ``data``.
    data_dir : str or Path, optional
        Folder searched first for data sets.
    """
    if what == "methods":
        return ("method", "guarantee", "settings", "description"), _methods()
    if what == "models":
        return ("model", "inputs", "outputs", "parameters", "accuracy", "description"), _models()
    return ("data", "here", "description"), _data(data_dir)


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
    return str(getattr(value, "name", value))


def _summary(method: Any) -> str:
    """The first sentence of the method's docstring."""
    text = " ".join((inspect.getdoc(type(method)) or "").split("\n\n")[0].split())
    return text.split(". ")[0].rstrip(".")
