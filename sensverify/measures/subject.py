"""What a measure is, what it is taken of, and what it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite
from typing import Any

from torch import Tensor

from sensverify.bounds.memory import DEFAULT_BUDGET
from sensverify.classification.classifier import Classifier
from sensverify.errors import NotMeasured
from sensverify.network import Network
from sensverify.runs.watch import Watch

NEEDS = {
    "training samples": "the data have no training part here; give `data` a set that has one",
    "initial weights": "the weights before training are not known; give `initial=FILE.onnx`, or "
    "the folder of a training run",
    "radius": "there is no radius; give `radii` or `sigmas`",
}
"""What a measure may need beside a network and labelled test samples, and how to give it."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A classifier with the samples that measures are taken on.

    Parameters
    ----------
    network : Network
        With float32 tensors without history, all finite, on the device of the computation.
    x, y : Tensor, shapes ``[samples, *network.input_shape]`` (float32) and ``[samples]`` (int64)
        Test samples.
    train_x, train_y : Tensor or None
        Training samples, as many of them as measures are to be taken on.
    train_size : int or None
        How many training samples there were in all: the m of bounds on generalisation.
    initial : Network or None
        The network as it was before training, prepared as ``network`` is.
    radius : Tensor or None, shape ``[*network.input_shape]``
        How far every feature may move, in the units of x.
    clip : (low, high) or None
        The range that perturbed inputs keep to.
    seed : int
        Of everything that a measure draws.
    memory_budget : int
        Bytes that a measure may take beside the network and the samples.
    watch : Watch
        When it is over, a measure raises `NotMeasured` where it cannot give a whole answer.
    """

    network: Network
    x: Tensor
    y: Tensor
    train_x: Tensor | None = None
    train_y: Tensor | None = None
    train_size: int | None = None
    initial: Network | None = None
    radius: Tensor | None = None
    clip: tuple[float, float] | None = None
    seed: int = 0
    memory_budget: int = DEFAULT_BUDGET
    watch: Watch = field(default_factory=Watch)

    @cached_property
    def classifier(self) -> Classifier:
        """The network as a function of its inputs, simplified once."""
        return Classifier(self.network, self.x.device)


@dataclass(frozen=True)
class Reading:
    """What a measure says.

    Parameters
    ----------
    value : float
        Finite.
    error : float or None
        One standard error of an estimate from drawn numbers, or a bound on the distance of an
        iteration from its limit; None where the value is exact but for rounding.
    samples : int or None
        How many samples it was taken on; None where it looks at none.
    note : str
        What else there is to know about this number.
    cut : bool
        Whether more time would have made it another number: it is an estimate that was stopped.
    """

    value: float
    error: float | None = None
    samples: int | None = None
    note: str = ""
    cut: bool = False

    def __post_init__(self) -> None:
        for what, number in (("value", self.value), ("error", self.error)):
            if number is not None and not isfinite(number):
                raise NotMeasured(f"its {what} is {number}, which is no finite number")


@dataclass(frozen=True)
class Measure:
    """A number that is taken of a classifier.

    Parameters
    ----------
    definition : str
        Its formula in words and signs, one or two sentences without a full stop at the end.
    source : str
        Who defined it.
    group : str
        ``complexity``, ``decision boundary``, ``sharpness``, ``gradient`` or ``sensitivity``.
    function : callable
        Takes a `Subject`, gives a `Reading` or a number; raises `NotMeasured` where there is none.
    needs : tuple of str
        Keys of `NEEDS`.
    unit : str
        Of the value; empty for a plain number.
    """

    definition: str
    source: str
    group: str
    function: Callable[[Subject], Reading | float]
    needs: tuple[str, ...] = ()
    unit: str = ""

    @property
    def summary(self) -> str:
        """The definition."""
        return self.definition

    def take(self, subject: Subject) -> Reading:
        """The measure of a subject.

        Raises
        ------
        NotMeasured
            Something that it needs is not there, time was up, or the number is not finite.
        """
        given: dict[str, Any] = {
            "training samples": subject.train_x,
            "initial weights": subject.initial,
            "radius": subject.radius,
        }
        for need in self.needs:
            if given[need] is None:
                raise NotMeasured(NEEDS[need])
        found = self.function(subject)
        return found if isinstance(found, Reading) else Reading(float(found))
