"""The run itself: batches of boxes through the front door."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sensverify.bounds import compute_bounds, forward_pass
from sensverify.bounds.limits import with_limits
from sensverify.bounds.memory import DEFAULT_BUDGET
from sensverify.bounds.method import Decider, Method
from sensverify.bounds.tensors import find_device, flattened, tensor_box
from sensverify.classification.margins import with_margins
from sensverify.classification.probabilities import probability_box
from sensverify.core.box import Box
from sensverify.core.provenance import settings_of
from sensverify.core.record import RunRecord, versions
from sensverify.core.results import Bounds, Guarantee, Status
from sensverify.errors import Unbounded
from sensverify.models.loading import LoadedModel
from sensverify.network import Network
from sensverify.runs.watch import Watch
from sensverify.verification.asking import (
    asked_model,
    batch_size,
    facts_of,
    method_of,
    whole_request,
)
from sensverify.verification.certifying import Certifier
from sensverify.verification.containing import containing
from sensverify.verification.deciding import decider_of
from sensverify.verification.gates import AskedGates
from sensverify.verification.heads import check_samples
from sensverify.verification.labels import LabelJudge, LabelledBoxes, LabelVerdict
from sensverify.verification.one_output import with_threshold
from sensverify.verification.question import Question, make_question
from sensverify.verification.replay import Replay
from sensverify.verification.request import VerifyRequest
from sensverify.verification.results import VerifyReport, notable
from sensverify.verification.sample_result import Judged, SampleResult

Progress = Callable[[int, int], None]
"""Called with the samples done and the samples in all."""


def verify(
    request: VerifyRequest | str | Path | Network | nn.Module,
    x: Any = None,
    y: Any = None,
    *,
    progress: Progress | None = None,
    watch: Watch | None = None,
    **settings: Any,
) -> VerifyReport:
    """Bound a model's outputs over boxes around samples, and say which labels are kept there.

    Parameters
    ----------
    request : str, Path, torch.nn.Module, Network or VerifyRequest
        A model, by its name, by the path of its file, or as an object; or a whole request.
    x : array, tensor, table, pair, loader, str or Dataset, optional
        The samples, ``[samples, *features]``, also with their labels: a pair ``(x, y)``, a
        ``DataLoader``, a `Dataset`, the name of a data set or the path of its file. Default: those
        that ship with the model.
    y : array, tensor or column, optional
        Their labels, ``[samples]``, counted from 0.
    progress : callable, optional
        Called as ``progress(done, total)`` before the first and after every batch.
    watch : Watch, optional
        Stops the run: methods that can be stopped return what they have proven, no further batch
        begins, and the report says that it was interrupted. Its listener hears how far they are.
        A time limit for the whole run is ``request.timeout``.
    **settings
        Further fields of the request, where only its model was given: ``radius`` or ``sigma``,
        ``clip``, ``method``, ``samples``, ...

    Returns
    -------
    VerifyReport
        Its guarantee is the weakest one of all batches. ``certified`` is True by margins
        ``f_label - f_j`` bounded by the same method (see `proven`), not by the output box, and
        False by an input that onnxruntime, too, gives another label in the original file; an
        object without a file gives it itself, in double precision; every sample has the evidence,
        its ``margins`` and, where it changes, its ``counterexample``.
        With ``request.rigorous`` the outer boxes and the margins are those that are left after
        rigorous arithmetic, and its certificate has passed the independent check.

    Raises
    ------
    SensverifyError
        The request cannot be met; the message says why.

    Examples
    --------
    >>> import sensverify as sv
    >>> report = sv.verify("iris", samples=(22, 24), sigma=0.05)
    >>> [sample.certified for sample in report.samples]
    [True, False]
    >>> print(report.guarantee)
    SOUND

    A module and arrays:

    >>> import torch
    >>> module = torch.nn.Linear(2, 2)
    >>> with torch.no_grad():
    ...     _ = module.weight.copy_(torch.eye(2)), module.bias.zero_()
    >>> sv.verify(module, [[0.9, 0.1], [0.6, 0.5]], [0, 0], radius=0.1)
    VerifyReport(Linear, 2 samples, 1 certified, 1 changes, largest width 0.2, SOUND by crown)
    """
    began = time.perf_counter()
    request = whole_request(VerifyRequest, request, x, y, settings)
    device = find_device(request.device)
    method = method_of(request)
    request = replace(request, dtype=request.dtype or method.dtype or "float32")
    model = asked_model(request)
    check_samples(request, model)
    certifier = Certifier(model) if request.rigorous else None
    if certifier is not None:
        model = replace(model, network=certifier.bounded(model.network))
    file = model
    if request.threshold is not None:
        model = with_threshold(model, request.threshold)
    question = make_question(request, model)
    names = facts_of(file, request, None).output_names or question.samples.classes
    gates = AskedGates.of(request, question, model, names)
    watch = Watch() if watch is None else watch
    decider = None if request.decide is None else decider_of(request, request.decide)
    run = _Run(request, model, question, method, device, watch, certifier, decider)
    parts: list[_Part] = []
    if progress is not None:
        progress(0, len(question))
    for part in run.parts():
        parts.append(part)
        if progress is not None:
            progress(sum(len(p.samples) for p in parts), len(question))
    samples = tuple(sample for part in parts for sample in part.samples)
    first = parts[0].bounds
    counts = [part.unstable for part in parts if part.unstable is not None]
    unstable = sum(counts) / len(samples) if len(counts) == len(parts) else None
    certification = None
    if certifier is not None:
        watch.say("checking the certificate")
        certification = certifier.finish(_provenance(run, samples))
    report = VerifyReport(
        model=facts_of(file, request, unstable),
        perturbation=question.facts,
        method=request.method_name,
        settings=settings_of(method),
        guarantee=min((*(part.bounds.guarantee for part in parts), *run.searched(samples))),
        device=first.provenance.device,
        dtype=question.dtype,
        seed=request.seed,
        seconds=time.perf_counter() - began,
        record=RunRecord.now(),
        samples=samples,
        max_deviation=request.deviations,
        output_range=request.ranges,
        asked=request.asked,
        confusions_sha256=None if request.costs is None else question.confusions_sha256,
        class_names=names,
        per_class=request.per_class,
        samples_sha256=question.digest,
        interrupted=watch.stopped
        and (len(samples) < len(question) or any(part.unfinished for part in parts)),
        certification=certification,
        pixels=question.pixels,
        inputs=question.inputs(samples, notable(samples)),
    )
    return gates.judged(report)


@dataclass(frozen=True, eq=False)
class _Part:
    """One finished batch; ``unstable`` is summed over its samples."""

    samples: list[SampleResult]
    bounds: Bounds
    unstable: float | None
    searching: bool = False

    @property
    def unfinished(self) -> bool:
        """True where more time could have made bounds tighter, or decided labels."""
        optimal = self.bounds.optimal
        open_ends = optimal is not None and not bool(optimal.all())
        open_labels = self.searching and any(
            sample.judged_class is not None and sample.kept is None for sample in self.samples
        )
        return self.bounds.stopped or open_ends or open_labels


@dataclass(frozen=True, eq=False)
class _Run:
    request: VerifyRequest
    model: LoadedModel
    question: Question
    method: Method
    device: torch.device
    watch: Watch
    certifier: Certifier | None = None
    decider: Decider | None = None

    @property
    def network(self) -> Network:
        return self.model.network

    @cached_property
    def judge(self) -> LabelJudge:
        budget = self.request.memory or DEFAULT_BUDGET
        replay = Replay.of(self.model, self.request.threshold)
        return LabelJudge(self.network, replay, budget, self.decider)

    @property
    def outputs(self) -> int:
        return prod(self.network.output_shape)

    def searched(self, samples: Sequence[SampleResult]) -> Iterator[Guarantee]:
        """The guarantee of proofs by search, where a label has one."""
        proven = any(each.kept and each.explored is not None for each in samples)
        if proven and self.decider is not None and self.decider.guarantee is not None:
            yield self.decider.guarantee

    def parts(self) -> Iterator[_Part]:
        """Every batch in turn, until the watch stops; the first one always.

        A time limit is shared out by the samples left: what a batch does not need, later ones get.
        """
        size, total = batch_size(self.network, self.method), len(self.question)
        whole = self.watch.within(self.request.timeout)
        for start in range(0, total, size):
            if start and self.watch.stopped:
                return
            part = slice(start, min(start + size, total))
            method, watch = self.method, whole
            if self.request.timeout is not None:
                share = max(whole.left * (part.stop - part.start) / (total - start), 1e-3)
                method, watch = with_limits(method, seconds=share), whole.within(share)
            yield self._batch(part, method, watch)

    def _batch(self, part: slice, method: Method, watch: Watch) -> _Part:
        began = time.perf_counter()
        dtype = getattr(torch, self.question.dtype)
        box = tensor_box(self.question.box(part), dtype=dtype, device=self.device)
        center = torch.from_numpy(self.question.center(part)).to(self.device)
        with torch.no_grad():
            output = flattened(forward_pass(self.network, center))
        rivals, objectives = self.question.rivals(part, output), None
        if rivals is not None:
            objectives = with_margins(rivals.labels, self.outputs, dtype)
        # What is found has to be proven again in the time, or to be decided.
        halved = self.certifier is not None or self.decider is not None
        finding = watch.within(watch.left / 2) if halved else watch
        bounds, checked = self._bounds(box, method, objectives, part, finding), None
        if self.certifier is not None:
            # The boxes as asked about: those of the computation are rounded outward.
            asked, gap = self.question.box(part), method.gap
            checked = self.certifier.bounds(bounds, asked, objectives, gap=gap, watch=watch)
            bounds = replace(checked.bounds, stopped=bounds.stopped or watch.over)
        bounds = containing(self.network, box, bounds, output)
        verdicts: list[LabelVerdict | None] = [None] * len(center)
        if rivals is not None:
            asked = self.question.box(part)
            samples = LabelledBoxes(rivals.labels, center, output, box, asked, rivals)
            # torch takes seeds below 2 to the 64.
            seed = (self.request.seed + part.start) % 2**63
            found = self.judge.judge(samples, bounds, method, seed=seed, watch=watch)
            some = rivals.against.any(dim=1).tolist()
            verdicts = [
                each if any_rival else None for each, any_rival in zip(found, some, strict=True)
            ]
        seconds = (time.perf_counter() - began) / len(center)
        results = [
            self._sample(bounds, i, part.start + i, output[i], verdicts[i], seconds)
            for i in range(len(center))
        ]
        if checked is not None:
            results = [replace(s, **checked.beside(i)) for i, s in enumerate(results)]
        unstable = bounds.unstable
        count = None if unstable is None else float(unstable.sum())
        return _Part(results, bounds, count, searching=self.decider is not None)

    def _bounds(
        self, box: Box, method: Method, objectives: Tensor | None, part: slice, watch: Watch
    ) -> Bounds:
        budget = self.request.memory or DEFAULT_BUDGET
        try:
            # Nobody differentiates these bounds; without history they are faster and smaller.
            with torch.no_grad():
                return compute_bounds(
                    self.network,
                    box,
                    method,
                    objectives,
                    memory_budget=budget,
                    watch=watch,
                    proof=self.certifier is not None,
                )
        except Unbounded as error:
            first = int(self.question.samples.places[part.start])
            where = f"in the batch that starts at sample {first}: " if first else ""
            raise Unbounded(f"{where}{error}") from None

    def _sample(
        self,
        bounds: Bounds,
        row: int,
        position: int,
        output: Tensor,
        verdict: LabelVerdict | None,
        seconds: float,
    ) -> SampleResult:
        judged: Judged = "nothing" if verdict is None else self.question.judged
        kept = None if verdict is None else verdict.kept
        example = None if verdict is None else verdict.counterexample
        if example is not None:
            # A copy, so that a report does not keep all of the data.
            example = replace(example, sample=self.question.samples.x[position].copy())
        labels, inner, optimal = self.question.labels, bounds.inner, bounds.optimal
        # The margins are left out: the status is that of the output box.
        exact = optimal is not None and bool(optimal[row, : self.outputs].all())

        def numbers(ends: Tensor) -> np.ndarray:
            return ends[row, : self.outputs].detach().cpu().double().numpy()

        probable = None
        if self.request.probabilities:
            head, ends = self.model.head, (bounds.outer.lower, bounds.outer.upper)
            logits = Box(*(numbers(end)[None] for end in ends))
            probable = probability_box(logits, None if head is None else head.function)
        return SampleResult(
            index=int(self.question.samples.places[position]),
            label=None if labels is None else int(labels[position]),
            prediction=int(output.argmax()),
            output=output.cpu().double().numpy(),
            status=Status.OPTIMAL if exact else Status.BOUNDED,
            lower=numbers(bounds.outer.lower),
            upper=numbers(bounds.outer.upper),
            inner_lower=None if inner is None else numbers(inner.lower),
            inner_upper=None if inner is None else numbers(inner.upper),
            stopped=bounds.stopped,
            probability_lower=None if probable is None else probable.lower[0],
            probability_upper=None if probable is None else probable.upper[0],
            certified=kept if judged == "label" else None,
            seconds=seconds,
            judged=judged,
            prediction_kept=kept if judged == "prediction" else None,
            margins=None if verdict is None else verdict.margins,
            explored=None if verdict is None else verdict.explored,
            places=self.question.places,
            counterexample=example,
        )


def _provenance(run: _Run, samples: tuple[SampleResult, ...]) -> dict[str, Any]:
    """Provenance that stands beside the claims of a certificate."""
    margins = (
        ""
        if run.question.judged == "nothing"
        else f", then the {run.question.judged}'s minus every other one"
    )
    own = {"predictions": [sample.prediction for sample in samples]}
    return {
        "method": run.request.method_name,
        "settings": settings_of(run.method),
        "guarantee": run.method.guarantee.name,
        "input": run.question.facts.as_dict(),
        "samples": [sample.index for sample in samples],
        "labels": [sample.label for sample in samples],
        **(own if run.question.judged == "prediction" else {}),
        "rows": f"the outputs{margins}; then all of these negated",
        "dtype": run.question.dtype,
        "seed": run.request.seed,
        "versions": versions(),
    }
