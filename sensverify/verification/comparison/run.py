"""The comparison itself: batches of boxes through the network of both."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sensverify.bounds import compute_bounds
from sensverify.bounds.forward import forward_pass
from sensverify.bounds.limits import with_limits
from sensverify.bounds.memory import DEFAULT_BUDGET
from sensverify.bounds.method import Method
from sensverify.bounds.tensors import find_device, tensor_box, tensor_network
from sensverify.classification.margins import finite_slack
from sensverify.core.box import Box
from sensverify.core.gates import judge, read_limits
from sensverify.core.provenance import settings_of
from sensverify.core.record import RunRecord, versions
from sensverify.core.results import Bounds, Guarantee
from sensverify.data.memory import data_beside
from sensverify.errors import BadSetting
from sensverify.models.loading import LoadedModel
from sensverify.network import Network
from sensverify.network.joint import Joint, join
from sensverify.runs.watch import Watch
from sensverify.verification.asking import asked_model, batch_size, method_of
from sensverify.verification.certifying import Certifier
from sensverify.verification.comparison.certifying import pair_certifier
from sensverify.verification.comparison.request import LIMITED, DiffRequest
from sensverify.verification.comparison.results import (
    Agreement,
    DiffReport,
    DiffSample,
    Disagreement,
    figures,
)
from sensverify.verification.comparison.search import Found, search
from sensverify.verification.question import Question, make_question
from sensverify.verification.replay import Replay

_SOLVER_SHARE = 1e-7
"""Share of the outputs that a solver's tolerances may hide in what it has proven."""

Progress = Callable[[int, int], None]


def diff(
    old: DiffRequest | str | Path | Network | nn.Module,
    new: str | Path | Network | nn.Module | None = None,
    x: Any = None,
    y: Any = None,
    *,
    progress: Progress | None = None,
    watch: Watch | None = None,
    **settings: Any,
) -> DiffReport:
    """Bound how far two networks differ over boxes around samples, and say where they decide alike.

    Parameters
    ----------
    old, new : str, Path, torch.nn.Module or Network
        Both models; or a whole `DiffRequest` as the first.
    x, y : array, optional
        The samples, and their labels, as of `verify`.
    progress : callable, optional
        Called as ``progress(done, total)`` before the first and after every batch.
    watch : Watch, optional
        Stops the run; what is proven by then is reported.
    **settings
        Further fields of the request: ``radius``, ``method``, ``min_agreement``, ...

    Returns
    -------
    DiffReport
        For every sample an interval for each output that contains every ``new - old`` on its box,
        and whether the two provably have the same largest output on all of it, or have not, with an
        input that both original models decide otherwise.

    Raises
    ------
    SensverifyError
        The two do not fit together, or the request cannot be met; the message says why.

    Examples
    --------
    >>> from sensverify.verification import diff
    >>> report = diff("iris", "iris", samples=(0, 2), radius=0.01)
    >>> report.largest, report.counts["agrees"]
    (0.0, 2)
    """
    began = time.perf_counter()
    request = _whole(old, new, x, y, settings)
    first = request.of(request.old)
    device, method = find_device(request.device), method_of(first)
    models = asked_model(first), asked_model(request.of(request.new))
    joint = join(models[0].network, models[1].network, pair=request.pair)
    question = make_question(first, models[0])
    limits = read_limits(request, LIMITED)
    outputs = joint.outputs
    if outputs < 2 and limits.keys() - {"max_difference"}:
        raise BadSetting(
            "networks with one output make no decision that they could agree on",
            "give `max_difference`",
        )
    watch = (Watch() if watch is None else watch).within(request.timeout)
    certifier = pair_certifier(models, joint) if request.rigorous else None
    run = _Run(request, models, joint, question, method, device, watch, certifier)
    samples: list[DiffSample] = []
    found: list[Bounds] = []
    if progress is not None:
        progress(0, len(question))
    for part, bounds in run.parts():
        samples += part
        found.append(bounds)
        if progress is not None:
            progress(len(samples), len(question))
    every = tuple(samples)
    return DiffReport(
        old=models[0].facts(),
        new=models[1].facts(),
        perturbation=question.facts,
        method=first.method_name,
        settings=settings_of(method),
        guarantee=min(bounds.guarantee for bounds in found),
        paired=joint.paired,
        apart=joint.apart,
        permuted=joint.permuted,
        same=joint.same,
        device=found[0].provenance.device,
        seed=request.seed,
        seconds=time.perf_counter() - began,
        record=RunRecord.now(),
        samples=every,
        asked=len(question),
        samples_sha256=question.digest,
        class_names=models[0].class_names or question.samples.classes,
        gates=judge(figures(every, len(question)), limits),
        interrupted=len(every) < len(question) or (watch.stopped and any(s.stopped for s in every)),
        certificate=None if certifier is None else certifier.finish(run.account(every)),
    )


def _whole(old: Any, new: Any, x: Any, y: Any, settings: dict[str, Any]) -> DiffRequest:
    if isinstance(old, DiffRequest):
        if new is not None or x is not None or y is not None or settings:
            raise BadSetting("a request has its settings", "give them to DiffRequest")
        return old
    if new is None:
        raise BadSetting("a comparison needs two networks", "give the new one, too")
    return DiffRequest(
        old=old, new=new, **{**settings, "data": data_beside(settings.get("data"), x, y)}
    )


@dataclass(frozen=True, eq=False)
class _Run:
    request: DiffRequest
    models: tuple[LoadedModel, LoadedModel]
    joint: Joint
    question: Question
    method: Method
    device: torch.device
    watch: Watch
    certifier: Certifier | None

    def account(self, samples: tuple[DiffSample, ...]) -> dict[str, Any]:
        """Provenance that stands beside the claims of a certificate."""
        margins = ""
        if self.joint.outputs > 1:
            margins = ", then the old decision minus every other output, of the old and of the new"
        return {
            "method": self.request.of(self.request.old).method_name,
            "settings": settings_of(self.method),
            "input": self.question.facts.as_dict(),
            "samples": [sample.index for sample in samples],
            "decisions": [sample.old for sample in samples],
            "rows": f"the differences{margins}; then all of these negated",
            "seed": self.request.seed,
            "versions": versions(),
        }

    def parts(self) -> Iterator[tuple[list[DiffSample], Bounds]]:
        """Every batch in turn, until the watch stops; the first one always."""
        size, total = batch_size(self.joint.network, self.method), len(self.question)
        live = tensor_network(self.joint.network, dtype=torch.float64, device=self.device)
        beside = None
        if self.joint.paired and self.certifier is None:
            beside = join(*(model.network for model in self.models), pair=False)
        replays = tuple(Replay.of(model) for model in self.models)
        for start in range(0, total, size):
            if start and self.watch.over:
                return
            part = slice(start, min(start + size, total))
            yield self._batch(part, live, beside, replays)

    def _batch(
        self, part: slice, live: Network, beside: Joint | None, replays: tuple[Replay, ...]
    ) -> tuple[list[DiffSample], Bounds]:
        began = time.perf_counter()
        asked = self.question.box(part)
        box = tensor_box(asked, dtype=torch.float64, device=self.device)
        center = torch.from_numpy(self.question.center(part)).to(self.device)
        with torch.no_grad():
            old, new = (forward_pass(model.network, center).flatten(1) for model in self.models)
        rows = _rows(old.argmax(dim=1), self.joint.outputs)
        bounds = self._bounds(self.joint, box, rows, part)
        checked, apart = None, None
        if self.certifier is None:
            lower, upper, apart = self._proven(bounds, beside, box, rows, part)
        else:
            checked = self.certifier.bounds(
                bounds, asked, rows, gap=self.method.gap, watch=self.watch
            )
            bounds = replace(checked.bounds, stopped=bounds.stopped or self.watch.over)
            lower, upper = bounds.outer.lower, bounds.outer.upper
        proven = lower.cpu(), upper.cpu()
        seconds = (time.perf_counter() - began) / len(center)
        results = []
        for i in range(len(center)):
            start = time.perf_counter()
            ends = box.lower[i], box.upper[i], center[i].clamp(box.lower[i], box.upper[i])
            place = part.start + i
            found = search(live, self.joint.outputs, ends, (self.request.seed + place) % 2**63)
            agreement, example = self._decided(proven[0][i], found, asked, i, replays)
            sample = self._sample(place, (old[i], new[i]), (proven[0][i], proven[1][i]), found)
            exact = self.joint.same or (
                bounds.optimal is not None and bool(bounds.optimal[i, : self.joint.outputs].all())
            )
            spent = seconds + time.perf_counter() - start
            results.append(
                replace(
                    sample,
                    apart=None if apart is None else float(apart[i]),
                    agreement=agreement,
                    disagreement=example,
                    exact=exact,
                    stopped=bounds.stopped,
                    seconds=spent,
                    float32_margin=None if checked is None else checked.float32[i],
                )
            )
        return results, bounds

    def _proven(
        self, bounds: Bounds, beside: Joint | None, box: Box, rows: Tensor, part: slice
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Ends with room for rounding, and the width of the widest interval of both apart."""
        lower, upper, apart = bounds.outer.lower, bounds.outer.upper, None
        if beside is not None and bounds.optimal is None and not self.watch.over:
            others = self._bounds(beside, box, rows, part)
            own = self.joint.outputs
            apart = (others.outer.upper - others.outer.lower)[:, :own].amax(dim=1)
            off = finite_slack(beside.network, box, rows)
            lower = torch.maximum(lower, others.outer.lower - off)
            upper = torch.minimum(upper, others.outer.upper + off)
            # Where both are right, they meet.
            lower, upper = torch.minimum(lower, upper), torch.maximum(lower, upper)
        off = finite_slack(self.joint.network, box, rows)
        if bounds.guarantee < Guarantee.SOUND:
            off = off + _SOLVER_SHARE * torch.maximum(lower.abs(), upper.abs())
        lower, upper = lower - off, upper + off
        if self.joint.same:
            # No number of the input enters it.
            lower[:, : self.joint.outputs] = upper[:, : self.joint.outputs] = 0.0
        return lower, upper, apart

    def _bounds(self, joint: Joint, box: Box, rows: Tensor, part: slice) -> Bounds:
        method, watch = self.method, self.watch
        if self.request.timeout is not None:
            left = len(self.question) - part.start
            share = max(watch.left * (part.stop - part.start) / left, 1e-3)
            method, watch = with_limits(method, seconds=share), watch.within(share)
        # What is found has to be proven again in the time.
        watch = watch if self.certifier is None else watch.within(watch.left / 2)
        budget = self.request.memory or DEFAULT_BUDGET
        with torch.no_grad():
            return compute_bounds(
                joint.network,
                box,
                method,
                rows,
                memory_budget=budget,
                watch=watch,
                proof=self.certifier is not None,
            )

    def _decided(
        self, lower: Tensor, found: Found, asked: Box, i: int, replays: tuple[Replay, ...]
    ) -> tuple[Agreement, Disagreement | None]:
        """Whether both decide alike on all of the box; where not, an input."""
        if self.joint.outputs < 2:
            return "unasked", None
        same = self.joint.same and self.certifier is None
        if same or bool((lower[self.joint.outputs :] > 0).all()):
            return "agrees", None
        for point in found.candidates.cpu().numpy():
            example = _replayed(point, asked, i, replays)
            if example is not None:
                return "differs", example
        return "undecided", None

    def _sample(
        self,
        place: int,
        outputs: tuple[Tensor, Tensor],
        proven: tuple[Tensor, Tensor],
        found: Found,
    ) -> DiffSample:
        count, labels = self.joint.outputs, self.question.labels
        lower, upper = (end[:count].numpy() for end in proven)
        # What was found lies within what is proven, but for the rounding of its own evaluation.
        attained = (end.cpu().numpy().clip(lower, upper) for end in (found.lower, found.upper))
        low, high = attained
        return DiffSample(
            index=int(self.question.samples.places[place]),
            label=None if labels is None else int(labels[place]),
            old=int(outputs[0].argmax()),
            new=int(outputs[1].argmax()),
            lower=lower,
            upper=upper,
            attained_lower=low,
            attained_upper=high,
            apart=None,
            agreement="unasked",
            disagreement=None,
            exact=False,
            stopped=False,
            seconds=0.0,
        )


def _rows(labels: Tensor, outputs: int) -> Tensor:
    """Objectives on the outputs and the differences: differences, then both networks' margins.

    Shape ``[batch, 3 * outputs - 2, 2 * outputs]``, or of single outputs ``[batch, 1, 2]``.
    """
    eye = torch.eye(outputs, dtype=torch.float64, device=labels.device)
    none = torch.zeros_like(eye)
    rows = [torch.cat([none, eye], dim=1).expand(len(labels), -1, -1)]
    if outputs > 1:
        own = eye[labels].unsqueeze(1) - eye
        others = torch.ones(len(labels), outputs, dtype=torch.bool, device=labels.device)
        others[torch.arange(len(labels)), labels] = False
        margins = own[others].reshape(len(labels), outputs - 1, outputs)
        rows += [torch.cat([margins, torch.zeros_like(margins)], dim=2)]
        rows += [torch.cat([margins, margins], dim=2)]
    return torch.cat(rows, dim=1)


def _replayed(
    point: np.ndarray, asked: Box, i: int, replays: tuple[Replay, ...]
) -> Disagreement | None:
    """The input in both original models, where they decide otherwise on the very same numbers."""
    ends = asked.lower[i], asked.upper[i]
    first = replays[0].outputs(point, *ends)
    if first is None:
        return None
    second = replays[1].outputs(first.point.astype(np.float64), *ends)
    if second is None or not np.array_equal(first.point, second.point):
        return None
    if prod(first.outputs.shape) != prod(second.outputs.shape):
        return None
    values = [each.outputs.astype(np.float64) for each in (first, second)]
    if not all(np.isfinite(each).all() for each in values):
        return None
    old, new = (int(each.argmax()) for each in values)
    if not (values[0][old] > values[0][new] and values[1][new] > values[1][old]):
        return None
    return Disagreement(first.point, first.outputs, second.outputs, old, new)
