"""The goals of a training that ends when they are reached."""

from __future__ import annotations

from collections.abc import Mapping

from sensverify.training.settings import TrainSettings


def goals(settings: TrainSettings) -> dict[str, float]:
    """The values that a training goes on until, by the metric after epochs that has them."""
    asked = {"train CE": settings.until_cross_entropy, "train ERR": settings.until_error}
    return {column: goal for column, goal in asked.items() if goal is not None}


def is_reached(settings: TrainSettings, row: Mapping[str, float | None]) -> bool:
    """Whether the metrics after an epoch are those that a training should go on until: all of them.

    Parameters
    ----------
    settings : TrainSettings
    row : mapping
        The metrics by column; empty after epochs without. What is NaN reaches nothing.
    """
    asked = goals(settings)
    found = {column: row.get(column) for column in asked}
    return bool(asked) and all(
        value is not None and value <= asked[column] for column, value in found.items()
    )
