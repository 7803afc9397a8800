"""The goal of a training that ends when it is reached."""

from __future__ import annotations

from collections.abc import Mapping

from sensverify.training.settings import TrainSettings

COLUMN = "train CE"
"""The metric after epochs that is looked at."""


def is_reached(settings: TrainSettings, row: Mapping[str, float | None]) -> bool:
    """Whether the metrics after an epoch are those that a training should go on until.

    Parameters
    ----------
    settings : TrainSettings
    row : mapping
        The metrics by column; empty after epochs without. What is NaN reaches nothing.
    """
    goal, found = settings.until_cross_entropy, row.get(COLUMN)
    return goal is not None and found is not None and found <= goal
