"""Samples that are searched together for their critical radii."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import inf, prod

import numpy as np
import torch
from torch import Tensor

from sensverify.bounds import compute_bounds, forward_pass
from sensverify.bounds.method import Method
from sensverify.bounds.tensors import flattened, tensor_box
from sensverify.classification.margins import changes, refuted, with_margins
from sensverify.classification.perturbation import Perturbation
from sensverify.core.results import Bounds
from sensverify.errors import BadSetting, Unbounded
from sensverify.models.loading import LoadedModel
from sensverify.runs.watch import Watch
from sensverify.verification.labels import LabelJudge, LabelledBoxes
from sensverify.verification.question import Question
from sensverify.verification.radius_results import FinishedBatch, SampleRadius
from sensverify.verification.radius_search import Findings, RadiusSearch, SearchLimits
from sensverify.verification.replay import Replay


@dataclass(frozen=True, eq=False)
class Asked:
    """The model, the samples, and how they are searched.

    Raises
    ------
    BadSetting, BadBox
        The model has no classes, or a box of the largest radius is not finite.
    """

    model: LoadedModel
    question: Question
    method: Method
    device: torch.device
    watch: Watch
    limits: SearchLimits
    seed: int
    memory: int
    threshold: float | None = None

    def __post_init__(self) -> None:
        if self.outputs < 2:
            raise BadSetting(
                f"'{self.model.name}' has one output, and a critical radius is about classes",
                "give `threshold`, above which it is class 1",
            )
        if self.question.judged == "nothing":
            raise BadSetting(
                "a critical radius is about classes, and nothing says which the samples are of",
                "give data with labels y, or without any y for the predictions",
            )
        # The outermost samples stand for all.
        x = self.question.samples.x
        outermost = np.stack([x.min(axis=0), x.max(axis=0)])
        widest = self.perturbation.box(outermost, self.limits.largest)
        tensor_box(widest, dtype=self.dtype, device=self.device)

    @property
    def outputs(self) -> int:
        return prod(self.model.network.output_shape)

    @property
    def dtype(self) -> torch.dtype:
        found: torch.dtype = getattr(torch, self.question.dtype)
        return found

    @property
    def perturbation(self) -> Perturbation:
        assert isinstance(self.question.perturbation, Perturbation), "boxes are refused"
        return self.question.perturbation

    @cached_property
    def judge(self) -> LabelJudge:
        model = self.model
        return LabelJudge(model.network, Replay.of(model, self.threshold), self.memory)


class Batch:
    """Samples that are searched together, each at a radius of its own."""

    def __init__(self, asked: Asked, part: slice) -> None:
        self._asked, self._part = asked, part
        self._network, self._x = asked.model.network, asked.question.samples.x[part]
        self._center = torch.from_numpy(asked.question.center(part)).to(asked.device)
        with torch.no_grad():
            self._output = flattened(forward_pass(self._network, self._center))
        self._prediction = self._output.argmax(dim=1)
        rivals = asked.question.rivals(part, self._output)
        assert rivals is not None, "what is about no classes is refused"
        self._rivals = rivals
        self._guarantee, self._looks = asked.method.guarantee, 0
        self._nearest = np.full(len(self._x), inf)
        self._inputs: dict[int, tuple[np.ndarray, int]] = {}

    def searched(self, tell: Callable[[float], None]) -> FinishedBatch:
        """Both ends of all samples; ``tell`` is called with the share of them that is done."""
        began, count, watch = time.perf_counter(), len(self._x), self._asked.watch
        labels, places = self._asked.question.labels, self._asked.question.samples.places
        search = RadiusSearch(places[self._part], self._asked.limits)
        search.run(self._look, watch, lambda: tell(1 - float(search.open.mean())))
        left, start = search.open, self._part.start
        samples = []
        for i in range(count):
            point, becomes = self._inputs.get(i, (None, None))
            samples.append(
                SampleRadius(
                    index=int(places[start + i]),
                    label=None if labels is None else int(labels[start + i]),
                    prediction=int(self._prediction[i]),
                    proven=float(search.proven[i]),
                    attacked=float(search.attacked[i]),
                    steps=int(search.steps[i]),
                    seconds=(time.perf_counter() - began) / count,
                    becomes=becomes,
                    counterexample=point,
                    stopped=bool(left[i]),
                )
            )
        return FinishedBatch(start, self._guarantee, tuple(samples))

    def _look(self, places: np.ndarray, radii: np.ndarray, prove: bool) -> Findings:
        """Try to prove the labels, where that is asked for, and attack those that are not."""
        self._looks += 1
        boxes = self._boxes(places, radii)
        proven = torch.zeros(len(places), dtype=torch.bool, device=self._center.device)
        attained = self._center[places[:0]]
        if prove:
            proven, attained = self._proved(boxes)
        reach = np.full(len(places), inf)
        if not radii.any():
            # The samples themselves, as the file takes them.
            for i in (~proven).nonzero().squeeze(1).tolist():
                reach[i] = self._misclassified(i)
            return Findings(proven.cpu().numpy(), reach)
        rows = (~proven).nonzero().squeeze(1)
        if len(rows) and not (prove and self._asked.watch.over):
            reach[rows.cpu().numpy()] = self._attacked(places, boxes, rows, attained)
        return Findings(proven.cpu().numpy(), reach)

    def _boxes(self, places: np.ndarray, radii: np.ndarray) -> LabelledBoxes:
        asked = self._asked.perturbation.box(self._x[places], radii)
        box = tensor_box(asked, dtype=self._asked.dtype, device=self._asked.device)
        rows = torch.from_numpy(places).to(self._center.device)
        rivals, center = self._rivals[rows], self._center[rows]
        return LabelledBoxes(rivals.labels, center, self._output[rows], box, asked, rivals)

    def _proved(self, boxes: LabelledBoxes) -> tuple[Tensor, Tensor]:
        """Mask of the labels that are proven, and inputs that a method has found on its way.

        What is unbounded is not proven.
        """
        asked, method, count = self._asked, self._asked.method, len(boxes.labels)
        try:
            with torch.no_grad():
                bounds = compute_bounds(
                    self._network,
                    boxes.box,
                    method,
                    with_margins(boxes.labels, asked.outputs, asked.dtype),
                    memory_budget=asked.memory,
                    watch=asked.watch,
                )
                proven = asked.judge.certified(boxes, bounds, method)
        except Unbounded:
            if count == 1:
                return torch.zeros_like(boxes.labels, dtype=torch.bool), boxes.center
            halves = slice(0, count // 2), slice(count // 2, count)
            pairs = [self._proved(boxes[half]) for half in halves]
            return torch.cat([pair[0] for pair in pairs]), torch.cat([pair[1] for pair in pairs])
        self._guarantee = min(self._guarantee, bounds.guarantee)
        return proven, _attained(bounds, boxes)

    def _misclassified(self, place: int) -> float:
        """0 where a sample's class has lost its place by itself, else infinity."""
        rivals = self._rivals[slice(place, place + 1)]
        if bool(rivals.kept(self._output[place : place + 1])[0]):
            return inf
        point = self._x[place].astype(np.float64)
        found = self._asked.judge.replay.outputs(point, point, point, nearest=True)
        if found is None or not found.differs(rivals.cpu()):
            return inf
        self._inputs[place] = found.point, int(found.outputs.argmax())
        return 0.0

    def _attacked(
        self, places: np.ndarray, boxes: LabelledBoxes, rows: Tensor, attained: Tensor
    ) -> np.ndarray:
        """Radii of the counterexamples that are found in some of the boxes; infinite without."""
        judge, seed = self._asked.judge, self._asked.seed
        some = boxes[rows.cpu().numpy()]
        rivals = some.rivals
        # torch takes seeds below 2 to the 64.
        seed = (seed + self._part.start + 7919 * self._looks) % 2**63
        found, points = refuted(self._network, some.box, some.center, rivals, seed=seed)
        if len(attained):
            self._add_attained(found, points, attained[rows], some)
        reach = np.full(len(rows), inf)
        chosen = found.nonzero().squeeze(1)
        which = chosen.cpu().numpy()
        if len(which) == 0:
            return reach
        inputs = points[chosen].cpu().numpy()
        replayed = judge.replay.counterexamples(inputs, some.asked[which], rivals[chosen])
        for i, each in zip(which.tolist(), replayed, strict=True):
            place = int(places[rows[i]])
            if each is not None:
                reach[i] = self._reach(place, each.point)
                if reach[i] < self._nearest[place]:
                    self._nearest[place] = reach[i]
                    self._inputs[place] = each.point, int(each.outputs.argmax())
        return reach

    def _add_attained(
        self, found: Tensor, points: Tensor, attained: Tensor, boxes: LabelledBoxes
    ) -> None:
        """Add inputs of the method's own to what is found, where they have other labels."""
        moved = flattened(attained != boxes.center).any(dim=1)
        open_still = (moved & ~found).nonzero().squeeze(1)
        other = changes(self._network, attained[open_still], boxes.rivals[open_still])
        more = open_still[other]
        points[more] = attained[more].to(points)
        found[more] = True

    def _reach(self, place: int, point: np.ndarray) -> float:
        """The smallest radius whose box holds an input, rounded up."""
        perturbation, x = self._asked.perturbation, self._x[place : place + 1]
        pair = torch.from_numpy(x.astype(np.float64)), torch.from_numpy(point.astype(np.float64))
        found = float(perturbation.reaches(pair[0], pair[1][None])[0])
        while not bool(perturbation.box(x, found).contains(point[None]).all()):
            found = float(np.nextafter(found, inf))
        return found


def _attained(bounds: Bounds, boxes: LabelledBoxes) -> Tensor:
    """Of every sample the input with the least margin that a method has met; none of most."""
    if bounds.inner is None or bounds.witness_lower is None:
        return boxes.center
    outputs, rivals = boxes.output.shape[1], boxes.rivals
    least = bounds.inner.lower[:, outputs:].masked_fill(~rivals.beside, inf).argmin(dim=1)
    every = torch.arange(len(least), device=least.device)
    found: Tensor = bounds.witness_lower[every, outputs + least]
    return found
