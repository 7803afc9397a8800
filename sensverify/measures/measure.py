"""A measure of a classifier: its definition, the classifier with its samples, and its reading."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite

import torch
from torch import Tensor

from sensverify.bounds import Method
from sensverify.bounds.forward import check_finite
from sensverify.bounds.memory import DEFAULT_BUDGET, samples_that_fit, samples_within
from sensverify.classification.classifier import MOST_AT_ONCE, Classifier
from sensverify.errors import NotMeasured
from sensverify.network import Network
from sensverify.runs.watch import Watch

TRAINING, INITIAL, RADIUS = "training samples", "initial weights", "radius"

NEEDS = {
    TRAINING: "the data have no training part here; give `data` a set that has one",
    INITIAL: "the weights before training are not known; give `initial=FILE.onnx`, or "
    "the folder of a training run",
    RADIUS: "there is no radius; give `radii` or `sigmas`",
}
"""Needs of a measure beside a network and labelled test samples, and how to meet them."""


@dataclass(frozen=True, eq=False)
class MeasuredClassifier:
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
        return Classifier.within(self.network, self.x.device, self.memory_budget)

    def require_training(self) -> Tensor:
        """The training samples.

        Raises
        ------
        NotMeasured
            There are none; so too below.
        """
        if self.train_x is None:
            raise NotMeasured(NEEDS[TRAINING])
        return self.train_x

    def require_labelled(self) -> tuple[Tensor, Tensor]:
        """The training samples and their labels."""
        if self.train_y is None:
            raise NotMeasured(NEEDS[TRAINING])
        return self.require_training(), self.train_y

    def require_train_size(self) -> int:
        """Number of training samples in all: of those that are there, where it is not known."""
        return len(self.require_training()) if self.train_size is None else self.train_size

    def require_initial(self) -> Network:
        """The network before training."""
        if self.initial is None:
            raise NotMeasured(NEEDS[INITIAL])
        return self.initial

    def require_radius(self) -> Tensor:
        """Radius of every feature, on the samples' device."""
        if self.radius is None:
            raise NotMeasured(NEEDS[RADIUS])
        return self.radius.to(self.x.device)

    def parts(
        self, samples: int, *, method: Method | None = None, points: int = 1
    ) -> Iterator[slice]:
        """Slices of so many samples that fit the memory, one after the other.

        Parameters
        ----------
        samples : int
        method : Method, optional
            Of the bounds that are computed, one for every output; None is a pass forward or back.
        points : int
            Inputs that are looked at together for each sample.

        Raises
        ------
        NotMeasured
            Time is up before the last one.
        """
        outputs, budget = self.classifier.classes, self.memory_budget
        if method is None:
            size = samples_that_fit(budget, self.network, outputs, 4)
        else:
            size = samples_within(budget, self.network, method, outputs, 4)
        size = max(1, min(size, MOST_AT_ONCE) // points)
        for first in range(0, samples, size):
            if self.watch.over:
                raise NotMeasured(f"time was up after {first} of {samples} samples")
            yield slice(first, min(first + size, samples))

    def outputs_at(self, x: Tensor) -> Tensor:
        """The network's outputs at samples, ``[samples, outputs]``.

        Raises
        ------
        Unbounded
            One is not finite.
        NotMeasured
            Time is up.
        """
        found = []
        with torch.no_grad():
            for part in self.parts(len(x)):
                found.append(self.classifier(x[part]))
                check_finite(found[-1], part.start)
        return torch.cat(found)


@dataclass(frozen=True)
class Reading:
    """The value of a measure, and how far to trust it.

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
        Takes a `MeasuredClassifier`, gives a `Reading` or a number; raises `NotMeasured` where
        there is none.
    needs : tuple of str
        Keys of `NEEDS`.
    unit : str
        Of the value; empty for a plain number.
    """

    definition: str
    source: str
    group: str
    function: Callable[[MeasuredClassifier], Reading | float]
    needs: tuple[str, ...] = ()
    unit: str = ""

    @property
    def summary(self) -> str:
        """The definition."""
        return self.definition

    def take(self, measured: MeasuredClassifier) -> Reading:
        """The measure of a classifier.

        Raises
        ------
        NotMeasured
            Something that it needs is not there, time was up, or the number is not finite.
        """
        known = {TRAINING: measured.train_x, INITIAL: measured.initial, RADIUS: measured.radius}
        for need in self.needs:
            if known[need] is None:
                raise NotMeasured(NEEDS[need])
        found = self.function(measured)
        return found if isinstance(found, Reading) else Reading(float(found))
