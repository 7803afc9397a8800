"""Cells of an evaluation that could not be had, gathered by their reason."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sensverify.evaluation.results import Evaluation, Missing
from sensverify.evaluation.scores import Summary
from sensverify.report.document import Facts, Line, Medium, Section, Span
from sensverify.report.evaluation.common import model_data
from sensverify.report.formatting import count_of


@dataclass(frozen=True)
class Reason:
    """The reason that some cells, each of a network, share."""

    text: str
    cells: tuple[tuple[str, Missing], ...]

    def listed(self, most: int) -> str:
        """The first keys and how many more there are; radii or severities of one thing together."""
        per_stem: dict[str, list[str]] = {}
        for key in dict.fromkeys(missing.key for _, missing in self.cells):
            per_stem.setdefault("/".join(key.split("/")[:2]), []).append(key)
        names = [
            keys[0] if len(keys) == 1 else f"{stem} ({len(keys)} times)"
            for stem, keys in per_stem.items()
        ]
        more = len(names) - most
        return ", ".join(names[:most]) + (f" and {count_of(more, 'other')}" if more > 0 else "")


def reasons(evaluation: Evaluation) -> tuple[Reason, ...]:
    """Every reason with its cells, those that most cells share first."""
    found: dict[str, list[tuple[str, Missing]]] = {}
    for model in evaluation.models:
        for missing in model.missing:
            found.setdefault(_common(missing), []).append((model.model.name, missing))
    gathered = [Reason(text, tuple(cells)) for text, cells in found.items()]
    return tuple(sorted(gathered, key=lambda reason: -len(reason.cells)))


def _common(missing: Missing) -> str:
    """The reason without the name of what is missing, so that several can share it."""
    name = f"'{missing.key.split('/')[1]}' " if "/" in missing.key else ""
    if name and missing.reason.startswith(name):
        return "it " + missing.reason.removeprefix(name)
    return missing.reason


def reason_line(text: str) -> tuple[str | Span, ...]:
    """A reason in which options of the command line stay in one piece."""
    parts = re.split(r"(?<!\S)(--[a-z-]+)", text)
    return tuple(Span(part, "option") if k % 2 else part for k, part in enumerate(parts))


def missing_section(evaluation: Evaluation, summaries: Sequence[Summary]) -> Section:
    """The cells that are missing by reason."""
    items = [_item(reason, len(evaluation.models)) for reason in reasons(evaluation)]
    return Section(
        "missing",
        "What could not be had",
        (Facts(items, "reasons", on=Medium.PAGE),) if items else (),
        data=(model_data("missing", ("key", "reason", "final"), evaluation),),
    )


def _item(reason: Reason, networks: int) -> tuple[Line, Line]:
    per_key: dict[str, list[str]] = {}
    for network, missing in reason.cells:
        per_key.setdefault(missing.key, []).append(network)
    keys: list[str | Span] = []
    for key, names in per_key.items():
        whose = f" ({', '.join(names)})" if len(names) < networks else ""
        keys += [", " if keys else "", Span(key, "code"), whose]
    text = reason_line(reason.text)
    if not all(missing.final for _, missing in reason.cells):
        text = (*text, Span(" (another run may have it)", "note"))
    return text, tuple(keys)
