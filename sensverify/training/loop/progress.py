"""Progress of a training, step by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """A training after a step.

    Attributes
    ----------
    epoch, epochs : int
        The epoch the last step belongs to, from 1, and how many there will be.
    step, steps : int
        Steps done, and how many there will be over all epochs.
    losses : mapping from str to float
        ``loss`` and the terms of the last mini-batch.
    learning_rate : float
    metrics : mapping from str to float, or None
        The last metrics taken, by their column (``test ERR``); None before the first.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    losses: Mapping[str, float] = field(default_factory=dict)
    learning_rate: float = 0.0
    metrics: Mapping[str, float] | None = None


Listener = Callable[[Progress], None]
"""Called after every step, and again when an epoch's metrics are there."""
