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
        """The first keys and how many more there are."""
        keys = self.keys
        more = len(keys) - most
        return ", ".join(keys[:most]) + (f" and {count_of(more, 'other')}" if more > 0 else "")


def reasons(evaluation: Evaluation) -> tuple[Reason, ...]:
    """Every reason with its cells, those that most cells share first."""
    found: dict[str, list[tuple[str, Missing]]] = {}
    for model in evaluation.models:
        for missing in model.missing:
            found.setdefault(missing.reason, []).append((model.model.name, missing))
    gathered = [Reason(text, tuple(cells)) for text, cells in found.items()]
    return tuple(sorted(gathered, key=lambda reason: -len(reason.cells)))
