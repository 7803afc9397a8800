"""Critical radii: how far inputs may move until a label changes, between two ends."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sensverify.bounds import forward_pass
from sensverify.bounds.memory import DEFAULT_BUDGET
from sensverify.bounds.tensors import find_device, flattened
from sensverify.classification.perturbation import Perturbation
from sensverify.core.digests import sha256_of_arrays
from sensverify.core.provenance import settings_of
from sensverify.core.record import RunRecord, versions
from sensverify.core.results import Guarantee
from sensverify.errors import BadData, BadSetting
from sensverify.models.loading import LoadedModel
from sensverify.network import Network
from sensverify.runs.folder import RunFolder
from sensverify.runs.journal import Journal
from sensverify.runs.progress import Listener, Pace
from sensverify.runs.watch import Watch
from sensverify.verification.asking import (
    asked_model,
    batch_size,
    facts_of,
    method_of,
    whole_request,
)
from sensverify.verification.heads import check_samples
from sensverify.verification.one_output import with_threshold
from sensverify.verification.question import Question, make_question
from sensverify.verification.radius_batch import Asked, Batch
from sensverify.verification.radius_request import CriticalRadiusRequest
from sensverify.verification.radius_results import (
    ROWS,
    CriticalRadiusReport,
    FinishedBatch,
    weakest,
)
from sensverify.verification.radius_search import SearchLimits

SCHEMA = "sensverify.critical-radius/1"
ASKED, JOURNAL = "asked.json", "journal.jsonl"
RESULTS = ("critical-radius.json", "counterexamples.npz", "report.html")
"""Files that whoever shows a report writes into the folder, beside the record and the journal."""

_FARTHEST = 100.0
"""The largest radius looked at, in first ones."""

_BATCH = 32
"""Most samples that are searched together: what a kill loses."""


def critical_radius(
    request: CriticalRadiusRequest | str | Path | Network | nn.Module,
    x: Any = None,
    y: Any = None,
    *,
    progress: Listener | None = None,
    watch: Watch | None = None,
    **settings: Any,
) -> CriticalRadiusReport:
    """Find the least radius at which samples lose their label, between two ends.

    Parameters
    ----------
    request : str, Path, torch.nn.Module, Network or CriticalRadiusRequest
        A model, or a whole request.
    x, y : optional
        Samples and their labels, as for `verify`.
    progress : callable, optional
        Called as batches of samples begin, go on and end.
    watch : Watch, optional
        Ends the search; the ends that the samples in hand have by then are reported.
    **settings
        Further fields of the request, where only its model was given.

    Returns
    -------
    CriticalRadiusReport
        ``proven <= critical radius <= attacked`` for every sample: within ``proven`` the label is
        certified as by `verify`, with the guarantee of the method; within ``attacked`` there is an
        input that onnxruntime, too, gives another label in the original file. With ``top_k``,
        ``targets`` or ``costs`` a label changes where it loses its place, as of `verify`, and
        samples that nothing is asked of are left out.

    Raises
    ------
    SensverifyError
        The request cannot be met; the message says why.
    UnsoundResult
        A counterexample lies where the label was certified.

    Examples
    --------
    >>> from sensverify.verification import critical_radius
    >>> report = critical_radius("iris", samples=(22, 24), sigma=0.05)
    >>> all(sample.proven <= sample.attacked for sample in report.samples)
    True
    """
    began = time.perf_counter()
    request = whole_request(CriticalRadiusRequest, request, x, y, settings)
    device = find_device(request.device)
    # The time limit is that of everything, and kept between two looks.
    method = method_of(replace(request, timeout=None))
    if method.guarantee < Guarantee.SOLVER:
        raise BadSetting(
            f"method '{method.name}' proves nothing ({method.guarantee.name}), and a critical "
            "radius lies above what is proven",
            "give another `method`",
        )
    request = replace(request, dtype=request.dtype or method.dtype or "float32")
    model = asked_model(request)
    check_samples(request, model)
    facts = facts_of(model, request, None)
    if request.threshold is not None:
        model = with_threshold(model, request.threshold)
    question = _about_rivals(make_question(request, model), model, device)
    watch = (Watch() if watch is None else watch).within(request.timeout)
    asked = Asked(
        model,
        question,
        method,
        device,
        watch,
        _limits(request, question),
        seed=request.seed,
        memory=request.memory or DEFAULT_BUDGET,
        threshold=request.threshold,
    )
    search = _Search(request, asked)
    with _kept(request, search) as (journal, begun_with):
        batches = list(search.batches(journal, progress or (lambda state: None)))
    samples = tuple(sample for batch in batches for sample in batch.samples)
    return CriticalRadiusReport(
        model=replace(facts, output_names=facts.output_names or question.samples.classes),
        perturbation=question.facts,
        unit=search.unit,
        limits=asked.limits,
        method=request.method_name,
        settings=settings_of(method),
        guarantee=min(batch.guarantee for batch in batches),
        device=str(device),
        dtype=question.dtype,
        seed=request.seed,
        seconds=time.perf_counter() - began,
        record=RunRecord.now(),
        samples=samples,
        total=len(question),
        interrupted=len(samples) < len(question) or any(sample.stopped for sample in samples),
        asked=request.asked,
        samples_sha256=question.digest,
        pixels=question.pixels,
        inputs=question.inputs(samples, weakest(samples)),
        others={k: v for k, v in begun_with.items() if versions().get(k) != v},
    )


@contextmanager
def _kept(
    request: CriticalRadiusRequest, search: _Search
) -> Iterator[tuple[Journal[FinishedBatch] | None, Mapping[str, str]]]:
    """The journal of finished batches, and the versions that the first were found with."""
    if request.out is None:
        yield None, {}
        return
    wanted = json.loads(json.dumps(search.deciding))
    folder = RunFolder(request.out, ROWS.kind, ASKED, SCHEMA, RESULTS)
    with folder.open(resume=request.resume) as kept:
        if kept is None:
            kept = {**wanted, "versions": versions()}
            folder.write(kept)
        folder.compare(kept, wanted)
        with Journal(Path(request.out) / JOURNAL, ROWS) as journal:
            yield journal, kept.get("versions") or {}


def _about_rivals(question: Question, model: LoadedModel, device: torch.device) -> Question:
    """The question without the samples of classes that nothing is asked of.

    Raises
    ------
    BadData
        No sample is left.
    """
    if question.confusions is None:
        return question
    asked: list[np.ndarray] = []
    for first in range(0, len(question), _BATCH):
        part = slice(first, min(first + _BATCH, len(question)))
        center = torch.from_numpy(question.center(part)).to(device)
        with torch.no_grad():
            output = flattened(forward_pass(model.network, center))
        rivals = question.rivals(part, output)
        assert rivals is not None, "confusions are those of classes"
        asked.append(rivals.against.any(dim=1).cpu().numpy())
    some = np.concatenate(asked)
    if not some.any():
        raise BadData(
            "`targets` and `costs` ask nothing of any sample: none is of a class that they are "
            "about",
            "take other samples",
        )
    return replace(question, samples=question.samples[np.flatnonzero(some)])


def _limits(request: CriticalRadiusRequest, question: Question) -> SearchLimits:
    """The limits of the search; see `CriticalRadiusRequest`."""
    first, largest = question.scale, request.max_radius
    perturbation = question.perturbation
    if largest is None:
        largest = _FARTHEST * first
        assert isinstance(perturbation, Perturbation), "boxes are refused"
        clip, unit = perturbation.clip, perturbation.unit
        if clip is not None and perturbation.bounded and bool((unit > 0).any()):
            # Beyond, all boxes are the clip range.
            fills = (clip[1] - clip[0]) / float(unit[unit > 0].min())
            largest = min(largest, fills) or largest
    return SearchLimits(min(first, largest), largest, request.accuracy, request.steps)


@dataclass(frozen=True, eq=False)
class _Search:
    """Samples that are searched batch by batch."""

    request: CriticalRadiusRequest
    asked: Asked

    @property
    def unit(self) -> str:
        """The unit of radii, in words."""
        facts = self.asked.question.facts
        if facts.sigma is not None:
            return "shares of each feature's range"
        named = isinstance(facts.radius, str)
        return f"times the radii in {facts.radius}" if named else "the units of the features"

    @property
    def deciding(self) -> dict[str, Any]:
        """Plain values of everything that decides what is found."""
        request, ends, question = self.request, self.request.ends, self.asked.question
        unit, samples = self.asked.perturbation.unit, question.samples
        rivals: dict[str, Any] | None = None
        if question.confusions is not None:
            rivals = {"confusions": {"sha256": question.confusions_sha256}}
        elif question.places > 1:
            rivals = {"top_k": question.places}
        return {
            "model": {
                "sha256": self.asked.model.facts().digest,
                "input": ends.input,
                "output": ends.output,
            },
            "data": {"name": samples.name, "sha256": samples.digest},
            "samples": [int(place) for place in samples.places[[0, -1]]],
            "unit": {"in": self.unit, "sha256": sha256_of_arrays(unit)},
            "clip": self.asked.perturbation.clip,
            "threshold": request.threshold,
            "asked": rivals,
            "search": asdict(self.asked.limits),
            "method": {"name": request.method_name, "settings": settings_of(self.asked.method)},
            "dtype": self.asked.question.dtype,
            "device": self.asked.device.type,
            "seed": request.seed,
        }

    def batches(
        self, journal: Journal[FinishedBatch] | None, tell: Listener
    ) -> Iterator[FinishedBatch]:
        """Every batch in turn, those of earlier runs included; when the watch is over, no more.

        The first one always, with what is known of it by then.
        """
        asked, total = self.asked, len(self.asked.question)
        size = min(_BATCH, batch_size(asked.model.network, asked.method))
        parts = [slice(first, min(first + size, total)) for first in range(0, total, size)]
        known = self._known(parts, () if journal is None else journal.rows)
        names = {part.start: _name(asked.question.samples.places[part]) for part in parts}
        pace = Pace({name: () for name in names.values()})
        for part in parts:
            if part.start in known:
                pace.end(names[part.start], None)
        some = False
        for part in parts:
            name, batch = names[part.start], known.get(part.start)
            if batch is None:
                if asked.watch.over and some:
                    continue
                tell(pace.go_on(name))
                batch = Batch(asked, part).searched(partial(_tell_share, tell, pace, name))
                if any(each.stopped for each in batch.samples):
                    pace.leave(name)
                else:
                    if journal is not None:
                        journal.add(batch)
                    pace.end(name, sum(each.seconds for each in batch.samples))
            some = True
            yield batch
        tell(pace.state())

    def _known(
        self, parts: Sequence[slice], rows: Iterable[FinishedBatch]
    ) -> dict[int, FinishedBatch]:
        """The finished batches by where they begin: those of these very samples."""
        places = self.asked.question.samples.places
        wanted = {part.start: places[part].tolist() for part in parts}
        return {
            batch.first: batch
            for batch in rows
            if [sample.index for sample in batch.samples] == wanted.get(batch.first)
        }


def _tell_share(tell: Listener, pace: Pace, name: str, share: float) -> None:
    tell(pace.go_on(name, share))


def _name(places: np.ndarray) -> str:
    first, last = int(places[0]), int(places[-1])
    return f"sample {first}" if first == last else f"samples {first} to {last}"
