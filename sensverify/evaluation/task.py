"""One question to one network, and its key."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EvaluationTask:
    """One question to one network.

    Parameters
    ----------
    kind : str
        ``clean``, ``attack``, ``certified``, ``corruption``, ``shift``, ``sequence`` or
        ``measure``.
    name : str
        Of the part, the attack, the method, the corruption, the other data set, the
        sequence or the measure.
    at : float or int or None
        Radius or severity.
    """

    kind: str
    name: str
    at: float | int | None = None

    @property
    def key(self) -> str:
        """Such as ``attack/pgd(steps=40)/0.1``."""
        return f"{self.kind}/{self.name}" + ("" if self.at is None else f"/{self.at!r}")
