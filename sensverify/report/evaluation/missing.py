"""What could not be had, gathered by its reason."""

from __future__ import annotations

from dataclasses import dataclass

from sensverify.evaluation.results import Evaluation, Missing
from sensverify.report.evaluation.words import count_of


@dataclass(frozen=True)
class Reason:
    """Why some cells are missing.

    Parameters
    ----------
    text : str
    cells : tuple of (network, Missing)
    """

    text: str
    cells: tuple[tuple[str, Missing], ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the cells, each once."""
        return tuple(dict.fromkeys(missing.key for _, missing in self.cells))

    @property
    def final(self) -> bool:
        """Whether all of them would be missing again."""
        return all(missing.final for _, missing in self.cells)

    def listed(self, most: int) -> str:
        """The first keys and how many more there are; radii or severities of one thing together."""
        per_stem: dict[str, list[str]] = {}
        for key in self.keys:
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
