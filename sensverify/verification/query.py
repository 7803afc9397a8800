"""Queries in VNN-LIB 2: is there an assignment of the inputs of some networks that meets them?"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sensverify.bounds.method import Decider
from sensverify.core.digests import sha256
from sensverify.core.provenance import settings_of
from sensverify.core.queries import Verdict
from sensverify.core.record import RunRecord, versions
from sensverify.formats.vnnlib import NetworkQuery, load_query
from sensverify.models.loading import ModelFacts
from sensverify.registry.ranges import Above0, Count
from sensverify.registry.settings import check_settings
from sensverify.runs.watch import Watch
from sensverify.verification.certification import Certification
from sensverify.verification.certifying import Certifier
from sensverify.verification.deciding import DEFAULT, decider_name, decider_of
from sensverify.verification.enumerated import enumerated
from sensverify.verification.float32_query import float32_property
from sensverify.verification.joint import JointModel
from sensverify.verification.property_run import PropertyRun
from sensverify.verification.witness import Witness


@dataclass(frozen=True)
class QueryRequest:
    """One query in VNN-LIB 2, and the files of its networks.

    Parameters
    ----------
    query : Path or str
        A ``.vnnlib`` or ``.vnnlib.gz`` file.
    networks : mapping of str to (str or Path)
        For every network that is not said to be equal to another, its file.
    method : str or Decider
        What answers; see `PropertyRequest`.
    settings, timeout, device, seed, threads, runtime_check
        See `PropertyRequest`.
    rigorous : bool
        Call the query unsat only where that was re-derived with rigorous arithmetic; of one network
        with linear constraints on its outputs.
    """

    query: Path
    networks: Mapping[str, Any]
    method: str | Decider = DEFAULT
    settings: Mapping[str, str] = field(default_factory=dict)
    timeout: Above0 | None = None
    device: str = "cpu"
    seed: int | None = None
    threads: Count | None = None
    rigorous: bool = False
    runtime_check: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "query", Path(self.query))
        check_settings(self, only=("timeout", "threads"))


@dataclass(frozen=True, eq=False)
class Assignment:
    """The value of one variable of a query.

    Parameters
    ----------
    name, dtype : str
        As they are declared.
    values : numpy array, float64
        In the declared shape. Inputs as the file took them; others as onnxruntime gave them.
    """

    name: str
    dtype: str
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class QueryReport:
    """The answer to a query.

    Parameters
    ----------
    verdict : Verdict
        UNSAT of a real query holds in real arithmetic, of one about float32 as the files are run:
        bounds on the rounding of float32 are left to every constraint. SAT was replayed through
        onnxruntime, and holds as it stands in the declared type.
    reasons : tuple of str
        Why the query is undecided; or what to know about the answer.
    witness : tuple of Assignment
        Of a SAT: every variable, in the order of the text.
    networks : dict of str to ModelFacts
    point : Witness or None
        The witness as the joint network's inputs and outputs.
    """

    query: str
    query_sha256: str
    types: tuple[str, ...]
    networks: dict[str, ModelFacts]
    method: str
    settings: dict[str, Any]
    device: str
    timeout: float | None
    verdict: Verdict
    reasons: tuple[str, ...]
    witness: tuple[Assignment, ...]
    cases: int
    unsat_cases: int
    explored: int
    seconds: float
    stopped: bool
    record: RunRecord
    certification: Certification | None = None
    point: Witness | None = None


def check_query(request: QueryRequest, *, watch: Watch | None = None) -> QueryReport:
    """Decide whether an assignment of all inputs meets a query.

    Parameters
    ----------
    request : QueryRequest
    watch : Watch, optional
        Stops the work, beside the request's own time limit.

    Raises
    ------
    SensverifyError
        A file cannot be used, the files are not those of the declared networks, a declared type
        is none that can be reasoned about, or the method cannot work on it.
    """
    began = time.perf_counter()
    watch = (watch or Watch()).within(request.timeout)
    decider = decider_of(request)
    asked = load_query(request.query)
    joint = JointModel.load(asked, request.networks, request.query, request.runtime_check)
    certifier = None
    if request.rigorous:
        certifier = Certifier(joint.alone(asked, request.query))
    run, certification = _Answering(asked, joint, decider, watch), None
    answer = run.answer()
    how: dict[str, Any] = {
        "method": decider_name(request.method),
        "settings": settings_of(decider),
    }
    if certifier is not None and answer is Verdict.UNSAT and asked.flat.cases:
        answer = run.run.certified(asked.flat, certifier)
        if answer is Verdict.UNSAT:
            digest = sha256(request.query.read_bytes())
            source = {"path": str(request.query), "sha256": digest}
            provenance = {**how, "property": source, "versions": versions()}
            certification = certifier.finish(provenance, asked=asked.flat)
    return QueryReport(
        query=str(request.query),
        query_sha256=sha256(request.query.read_bytes()),
        types=asked.types,
        networks={name: model.facts() for name, model in joint.models.items()},
        **how,
        device=request.device,
        timeout=request.timeout,
        verdict=answer,
        reasons=run.reasons(answer),
        witness=run.witness(),
        cases=run.run.total,
        unsat_cases=run.run.unsat,
        explored=run.explored,
        seconds=time.perf_counter() - began,
        stopped=watch.stopped and not run.run.replay.failed,
        record=RunRecord.now(),
        certification=certification,
        point=run.run.witness,
    )


class _Answering:
    """A query on its way to an answer."""

    def __init__(
        self, asked: NetworkQuery, joint: JointModel, decider: Decider, watch: Watch
    ) -> None:
        self._asked, self._joint, self._decider, self._watch = asked, joint, decider, watch
        self._margin: float | None = None
        self._reason = ""
        self.explored = 0
        self.run = self._run(confirm=True)

    def answer(self) -> Verdict:
        """The verdict in the declared arithmetic."""
        whole = enumerated(self._asked.flat, self._joint.signature)
        found = self.run.verdict(whole)
        self.explored = self.run.explored
        if found is not Verdict.UNSAT or self._asked.real or not whole.cases:
            return found
        wider, self._margin, self._reason = float32_property(whole, self._asked, self._joint)
        if self._reason:
            return Verdict.UNKNOWN
        again = self._run(confirm=False)
        found = again.verdict(wider)
        self.explored += again.explored
        if found is not Verdict.UNSAT:
            self._reason = (
                f"no assignment meets the query in real arithmetic; float32 may move what is "
                f"compared by up to {self._margin:.2g}, and within that it is not decided"
            )
        return found if found in (Verdict.UNSAT, Verdict.TIMEOUT) else Verdict.UNKNOWN

    def reasons(self, verdict: Verdict) -> tuple[str, ...]:
        """Why the query is undecided, or what to know about the answer."""
        if verdict is Verdict.UNSAT:
            return ()
        own = (self._reason,) if self._reason else ()
        more = self.run.warnings()
        if verdict is not Verdict.SAT and self._joint.unclear:
            more += (
                f"{self._joint.unclear} assignments meet the query when onnxruntime runs the "
                "files, and not by more than rounding in the declared arithmetic",
            )
        return (*own, *more)

    def witness(self) -> tuple[Assignment, ...]:
        """Every variable's value, where there is a witness."""
        found = self.run.witness
        if found is None:
            return ()
        values = self._joint.values(found.inputs, found.outputs)
        return tuple(
            Assignment(tensor.name, tensor.dtype, values[tensor.name].reshape(tensor.shape))
            for network in self._asked.networks
            for tensor in network.tensors
        )

    def _run(self, *, confirm: bool) -> PropertyRun:
        """A run that calls sat what holds in the declared arithmetic, or nothing."""
        also = self._joint.confirmed if confirm else lambda found, case: False
        return PropertyRun(
            self._decider,
            self._joint.model,
            self._watch,
            replay=self._joint.replay(),
            also=also,
        )
