"""Learning rates in the course of a training, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import cos, floor, pi
from typing import Annotated, Any, ClassVar, Literal

from sensverify.errors import BadSetting
from sensverify.registry.catalog import Catalog
from sensverify.registry.ranges import Range
from sensverify.registry.settings import Checked

Schedule = Callable[[float], float]
"""The share of the learning rate that is in force after a share of the training."""

Share = Annotated[float, Range(0, 1, above=True)]
Watched = Literal["loss", "error", "held-out-loss", "held-out-error"]

_START, _END = 1 / 25, 1e-4 / 25


def _constant() -> Schedule:
    """The whole rate from beginning to end."""
    return lambda progress: 1.0


def _cosine() -> Schedule:
    """From the whole rate down to nothing, along half a cosine."""
    return lambda progress: _between(1.0, 0.0, progress)


def _one_cycle(*, warmup: Share = 0.25) -> Schedule:
    """Half cosines from 1/25 of the rate up to all of it, and down to 1/250,000.

    The optimiser's momentum stays as it is.
    """

    def factor(progress: float) -> float:
        if progress < warmup:
            return _between(_START, 1.0, progress / warmup)
        return _between(1.0, _END, (progress - warmup) / (1 - warmup) if warmup < 1 else 1.0)

    return factor


def _step(*, every: Share = 0.3, factor: Share = 0.1) -> Schedule:
    """The rate times a factor after every such share of the training."""
    # A hair more, so that 3 x 0.1 counts as 0.3.
    return lambda progress: float(factor ** floor(progress / every + 1e-9))


@dataclass(frozen=True, kw_only=True)
class Milestones(Checked):
    """The rate times a factor after each of some epochs.

    Parameters
    ----------
    at : tuple of float
        Numbers of epochs, as ``(30, 60, 80)``, or shares of the training below 1; in order.
    factor : float

    Raises
    ------
    BadSetting
        They are not in order, or of both kinds.
    """

    name: ClassVar[str] = "milestones"

    at: tuple[Annotated[float, Range(0, above=True)], ...] = (0.5, 0.75)
    factor: Share = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        shares = all(each < 1 for each in self.at)
        epochs = all(each >= 1 and each == floor(each) for each in self.at)
        if not self.at or not (shares or epochs):
            raise BadSetting(
                "milestones: at takes whole numbers of epochs, such as (30, 60, 80), or shares of "
                f"the training below 1, got {_listed(self.at)}"
            )
        if not all(one < other for one, other in pairwise(self.at)):
            raise BadSetting(f"milestones: at is in order, got {_listed(self.at)}")

    def over(self, epochs: int) -> Schedule:
        """The schedule of a training of so many epochs.

        Raises
        ------
        BadSetting
            It ends before a milestone.
        """
        whole = self.at[0] >= 1
        if whole and not self.at[-1] < epochs:
            raise BadSetting(
                f"milestones: the rate is to fall after epoch {self.at[-1]:g}, and the training "
                f"has {epochs}",
                "give more `epochs`, or shares of the training such as (0.5, 0.75)",
            )
        shares = [each / epochs if whole else each for each in self.at]
        # A hair more, so that the step after 30 of 90 epochs counts as one third.
        return lambda progress: float(
            self.factor ** sum(progress + 1e-9 >= share for share in shares)
        )


@dataclass(frozen=True)
class PlateauState:
    """The course of what a plateau is looked for in.

    Parameters
    ----------
    best : float or None
        The smallest value so far.
    waited : int
        Epochs since, or since the rate fell.
    factor : float
        Share of the learning rate in force.
    """

    best: float | None = None
    waited: int = 0
    factor: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Plateau(Checked):
    """The rate times a factor where a value has not fallen for some epochs.

    Parameters
    ----------
    of : str
        ``loss`` or ``error``, those of an epoch's mini-batches; ``held-out-loss`` or
        ``held-out-error``, the CE and ERR of the samples that `hold_out` keeps.
    factor : float
    patience : int
        So many epochs in a row may pass without a better value.
    threshold : float
        A value is better where it is lower by more than this share of the best.
    least : float
        Share of the rate below which it does not fall.
    """

    name: ClassVar[str] = "plateau"

    of: Watched = "loss"
    factor: Share = 0.1
    patience: Annotated[int, Range(0)] = 5
    threshold: Annotated[float, Range(0, 1)] = 1e-3
    least: Annotated[float, Range(0, 1)] = 1e-4

    @property
    def held_out(self) -> bool:
        return self.of.startswith("held-out")

    @property
    def column(self) -> str:
        """Its name among the figures of an epoch."""
        return {
            "loss": "loss",
            "error": "batch error",
            "held-out-loss": "held-out CE",
            "held-out-error": "held-out ERR",
        }[self.of]

    def after(self, state: PlateauState, value: float) -> PlateauState:
        """The state after an epoch with this value."""
        if state.best is None or value < state.best - self.threshold * abs(state.best):
            return PlateauState(value, 0, state.factor)
        if state.waited < self.patience:
            return PlateauState(state.best, state.waited + 1, state.factor)
        return PlateauState(state.best, 0, self.lowered(state.factor))

    def lowered(self, factor: float) -> float:
        """The share of the rate after one fall more."""
        return max(self.factor * factor, min(self.least, factor))


SCHEDULES: Catalog[Callable[..., Any]] = Catalog(
    "schedule",
    {
        "constant": _constant,
        "cosine": _cosine,
        "milestones": Milestones,
        "one-cycle": _one_cycle,
        "plateau": Plateau,
        "step": _step,
    },
    group="sensverify.schedules",
    example="one-cycle(warmup=0.25)",
)
"""Schedules of the learning rate by name: what gives a `Schedule`, `Milestones`, or a `Plateau`."""


def make_schedule(text: str, epochs: int) -> Schedule | Plateau:
    """The schedule of a training of so many epochs.

    Raises
    ------
    UnknownName, BadSetting
        There is none of that name, it has no such setting, or it does not fit the epochs.
    """
    found: Any = SCHEDULES.make(text)
    if isinstance(found, Milestones):
        return found.over(epochs)
    made: Schedule | Plateau = found
    return made


def _between(start: float, end: float, share: float) -> float:
    """From start to end along half a cosine."""
    return end + (start - end) * (1 + cos(pi * share)) / 2


def _listed(values: tuple[float, ...]) -> str:
    return f"({', '.join(f'{each:g}' for each in values)})"
