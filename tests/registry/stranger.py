"""One thing of every kind that has a name, as somebody else's package holds them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from sensverify.attacks import Attack, SampleGenerator
from sensverify.attacks.grids import Grid
from sensverify.bounds import Ibp
from sensverify.bounds.method import Decider, Method
from sensverify.core.box import Box
from sensverify.core.queries import Accept, Decision, Query, Verdict
from sensverify.core.results import Enclosure, Guarantee
from sensverify.corruptions import Sequence
from sensverify.data import Dataset
from sensverify.measures import MeasuredClassifier
from sensverify.network import Network
from sensverify.report.document import Data, Facts, Section
from sensverify.report.study.contents import StudyReport
from sensverify.runs.watch import Watch
from sensverify.scores import Scores
from sensverify.studies.analyses import Findings
from sensverify.training.losses.step import Step


@dataclass(frozen=True)
class Wider(Method):
    """Bounds of another method, and a margin on either side."""

    inner: Method = field(default_factory=Ibp)
    by: float = 0.0
    name: ClassVar[str] = "wider"
    guarantee: ClassVar[Guarantee] = Guarantee.SOUND

    def bound(self, network: Network, box: Box, objectives: Tensor) -> Enclosure:
        found = self.inner.bound(network, box, objectives)
        return Enclosure(found.lower - self.by, found.upper + self.by)


@dataclass(frozen=True)
class Shrug(Decider):
    """No answer to any query."""

    name: ClassVar[str] = "shrug"
    guarantee: ClassVar[Guarantee] = Guarantee.SOUND

    def decide(
        self,
        network: Network,
        query: Query,
        *,
        watch: Watch | None = None,
        accept: Accept | None = None,
    ) -> Decision:
        return Decision(Verdict.UNKNOWN)


@dataclass(frozen=True, kw_only=True)
class Corner:
    """A share of the way to the upper corner, and on from where another attack stopped."""

    share: float = 1.0
    after: Attack | None = None
    name: ClassVar[str] = "corner"
    nearest: ClassVar[bool] = False
    gradients: ClassVar[bool] = False
    source: ClassVar[str] = "Stranger 2026, An attack that hardly anybody would call one"

    def points(
        self,
        function: Callable[[Tensor], Tensor],
        x: Tensor,
        y: Tensor,
        box: Box,
        *,
        generator: SampleGenerator,
    ) -> Tensor:
        start = x
        if self.after is not None:
            start = self.after.points(function, x, y, box, generator=generator)
        return start + self.share * (box.upper - start)


def fade(images: Tensor, draws: object, *, factor: float = 0.5) -> Tensor:
    """Every value times a factor."""
    return images * factor


def _fading(images: Tensor, draws: object, frames: int) -> Iterator[Tensor]:
    for number in range(frames):
        yield images * (1 - number / frames)


fading = Sequence(function=_fading, summary="darker and darker")


def largest_weight(measured: MeasuredClassifier) -> float:
    """Largest absolute value of all weights."""
    constants = [node.operator for node in measured.network.nodes]
    weights = [op.weight for op in constants if hasattr(op, "weight")]
    return max(float(weight.abs().max()) for weight in weights)


def spread(step: Step, *, power: int = 2) -> Tensor:
    """Mean power of the outputs' distance from their mean."""
    return (step.outputs - step.outputs.mean()).abs().pow(power).mean()


class Slow(torch.optim.SGD):
    """Steepest descent at a fixed small rate."""

    def __init__(self, params: Iterable[Tensor], lr: float = 1e-3) -> None:
        super().__init__(params, lr)


def falling(*, to: float = 0.5) -> Callable[[float], float]:
    """A straight line down to a share of the rate."""
    return lambda progress: 1 + (to - 1) * progress


@dataclass(frozen=True)
class Still:
    """No step at all."""

    name: ClassVar[str] = "still"

    def perturb(self, module: nn.Module) -> None:
        pass

    def restore(self, module: nn.Module) -> None:
        pass


def narrow(input_shape: tuple[int, ...], outputs: int, *, width: int = 3) -> nn.Module:
    """One narrow hidden layer."""
    inputs = int(np.prod(input_shape))
    return nn.Sequential(
        nn.Flatten(), nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, outputs)
    )


def corners() -> Dataset:
    """40 points near the corners of a square, in four classes."""
    y = np.arange(40) % 4
    x = np.stack([y // 2, y % 2], axis=1) + 0.1 * np.random.default_rng(0).random((40, 2))
    return Dataset("corners", x.astype(np.float32), y.astype(np.int64))


def tally(report: StudyReport, findings: Findings, *, title: str = "Tally") -> Section:
    """Trainings of every loss."""
    counts = Counter(entry.run for entry in findings.entries)
    facts = [(name, str(count)) for name, count in counts.items()]
    data = Data("tally", ("loss", "trainings"), lambda: list(counts.items()))
    return Section("tally", title, [Facts(facts)], data=[data])


def holes(scores: Scores, *, title: str = "Holes") -> Section:
    """Cells that nobody has measured."""
    count = int((~scores.measured).sum())
    data = Data("holes", ("holes",), lambda: [(count,)])
    return Section("holes", title, [Facts([("holes", str(count))])], data=[data])


recipe = "cross-entropy + 0.01*l2"
radii = Grid((0.01, 0.02), "Stranger 2026, Two radii and what can be said about them")


ENTRY_POINTS = {
    "sensverify.methods": {"wider": "Wider"},
    "sensverify.deciders": {"shrug": "Shrug"},
    "sensverify.attacks": {"corner": "Corner"},
    "sensverify.grids": {"two-radii": "radii"},
    "sensverify.corruptions": {"fade": "fade"},
    "sensverify.sequences": {"fading": "fading"},
    "sensverify.measures": {"largest-weight": "largest_weight"},
    "sensverify.losses": {"spread": "spread"},
    "sensverify.recipes": {"stranger": "recipe"},
    "sensverify.optimisers": {"slow": "Slow"},
    "sensverify.schedules": {"falling": "falling"},
    "sensverify.sharpness": {"still": "Still"},
    "sensverify.architectures": {"narrow": "narrow"},
    "sensverify.data": {"corners": "corners"},
    "sensverify.analyses": {"tally": "tally"},
    "sensverify.scores": {"holes": "holes"},
}
"""Names by entry-point group, and what stands in this module for each."""
