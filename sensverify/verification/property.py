"""One property of one model: is there an input that meets it?"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from sensverify.bounds.method import Decider
from sensverify.core.digests import sha256
from sensverify.core.provenance import settings_of
from sensverify.core.queries import Verdict
from sensverify.core.record import RunRecord, versions
from sensverify.core.results import Guarantee
from sensverify.errors import BadProperty
from sensverify.formats.onnx import Ends
from sensverify.formats.vnnlib import Property, load_property, load_query
from sensverify.models.loading import LoadedModel, ModelFacts, load_model
from sensverify.registry.ranges import Above0, Count
from sensverify.registry.settings import check_settings
from sensverify.runs.watch import Watch
from sensverify.verification.certification import Certification
from sensverify.verification.certifying import Certifier
from sensverify.verification.deciding import DEFAULT, decider_name, decider_of
from sensverify.verification.enumerated import enumerated
from sensverify.verification.heads import check_comparisons
from sensverify.verification.property_run import PropertyRun
from sensverify.verification.query import QueryRequest, check_query
from sensverify.verification.runtime import RuntimeFacts
from sensverify.verification.witness import Witness


@dataclass(frozen=True)
class PropertyRequest:
    """One property of one model.

    Parameters
    ----------
    model : str
        Name of a shipped model, or path of an ``.onnx`` or ``.onnx.gz`` file.
    property : Path or str
        A ``.vnnlib`` or ``.vnnlib.gz`` file.
    method : str or Decider
        What answers: a name from `decider_names`, or a call with settings, or an object; ``milp``
        and ``exact`` are understood too.
    settings : mapping of str to str
        Fields of its dataclass, as text.
    timeout : float, optional
        Seconds for everything, reading the files included.
    device : str
        ``cpu`` or ``cuda``; the latter only where the method has a setting ``device``.
    seed, threads : int, optional
        Settings of the method, where it has them; ``threads`` is refused where it has not.
    rigorous : bool
        Call the property unsat only where that was re-derived with rigorous arithmetic; the
        report then holds a certificate.
    runtime_check : bool
        Compare the model with onnxruntime when it is read; see ``load_onnx``.

    Raises
    ------
    BadSetting
        A number that cannot be one.
    """

    model: str
    property: Path
    method: str | Decider = DEFAULT
    settings: Mapping[str, str] = field(default_factory=dict)
    timeout: Above0 | None = None
    device: str = "cpu"
    seed: int | None = None
    threads: Count | None = None
    rigorous: bool = False
    runtime_check: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "property", Path(self.property))
        check_settings(self, only=("timeout", "threads"))


@dataclass(frozen=True, eq=False)
class PropertyReport:
    """The answer, and everything needed to repeat it.

    Parameters
    ----------
    verdict : Verdict
        SAT only with a witness that was replayed; UNSAT only where every query is proven unsat,
        and no input is known at which onnxruntime's rounding says otherwise.
    guarantee : Guarantee or None
        Of an UNSAT: the method's, or CERTIFIED with a certificate. None for another verdict, or
        where the method names none.
    witness : Witness or None
    cases, unsat_cases : int
        Input boxes, and those in which no input meets the property, proven; where certifying was
        begun, certified.
    explored : int
        Sub-boxes or nodes that were bounded, in all cases.
    shortfall : float or None
        Of what is undecided: see `Decision`; the largest of all cases.
    phases : dict of str to float
        Seconds by phase, of all cases; see `Decision`.
    stopped : bool
        Somebody stopped the work, rather than the time being up.
    warnings : tuple of str
        Why no input could be confirmed, or no proof certified, where that left the property
        undecided; or what to know about the witness.
    runtime : RuntimeFacts or None
        Where every case is unsat in real arithmetic: what is known about the file as it is run.
    certification : Certification or None
        The certificate that refutes every case, where one was asked for; it has passed the
        independent check.
    """

    model: ModelFacts
    property: str
    property_sha256: str
    method: str
    settings: dict[str, Any]
    device: str
    timeout: float | None
    verdict: Verdict
    guarantee: Guarantee | None
    witness: Witness | None
    cases: int
    unsat_cases: int
    explored: int
    seconds: float
    stopped: bool
    warnings: tuple[str, ...]
    record: RunRecord
    certification: Certification | None = None
    runtime: RuntimeFacts | None = None
    shortfall: float | None = None
    phases: dict[str, float] = field(default_factory=dict)


def check_property(
    request: PropertyRequest, *, watch: Watch | None = None, model: LoadedModel | None = None
) -> PropertyReport:
    """Decide whether an input of the model meets a property.

    Parameters
    ----------
    request : PropertyRequest
    watch : Watch, optional
        Stops the work, beside the request's own time limit.
    model : LoadedModel, optional
        What ``request.model`` names, where it is loaded already.

    Raises
    ------
    SensverifyError
        A file cannot be used, the property does not fit the model, or the method cannot work on
        it; the message says why.
    """
    began = time.perf_counter()
    watch = (watch or Watch()).within(request.timeout)
    decider = decider_of(request)
    asked = load_property(request.property)
    if asked.version == 2:
        return _as_declared(request, decider, watch)
    digest = sha256(request.property.read_bytes())
    if model is None:
        model = load_model(
            request.model, runtime_check=request.runtime_check, ends=Ends(head="order")
        )
    _check_fits(asked, model, request.property)
    check_comparisons(asked, model, request.property)
    if not request.rigorous:
        # A certificate is about the file's own boxes.
        asked = enumerated(asked, model.signature)
    # Made before any work is done: what cannot be certified at all is said at once.
    certifier = Certifier(model) if request.rigorous else None
    if certifier is not None:
        model = replace(model, network=certifier.bounded(model.network))
    run = PropertyRun(decider, model, watch)
    verdict, certification = run.verdict(asked), None
    guarantee = decider.guarantee
    how: dict[str, Any] = {"method": decider_name(request.method), "settings": settings_of(decider)}
    if verdict is Verdict.UNSAT and asked.cases:
        verdict = run.beside_runtime(asked, certifier)
    # A property without any case is unsat by its text alone, and no certificate is about that.
    if certifier is not None and verdict is Verdict.UNSAT and asked.cases:
        verdict, guarantee = run.certified(asked, certifier), Guarantee.CERTIFIED
        if verdict is Verdict.UNSAT:
            source = {"path": str(request.property), "sha256": digest}
            provenance = {**how, "property": source, "versions": versions()}
            certification = certifier.finish(provenance, asked=asked)
    return PropertyReport(
        model=model.facts(),
        property=str(request.property),
        property_sha256=digest,
        **how,
        device=request.device,
        timeout=request.timeout,
        verdict=verdict,
        guarantee=guarantee if verdict is Verdict.UNSAT else None,
        witness=run.witness,
        cases=len(asked.cases),
        unsat_cases=run.unsat,
        explored=run.explored,
        seconds=time.perf_counter() - began,
        stopped=watch.stopped and not run.replay.failed,
        warnings=run.warnings(),
        record=RunRecord.now(),
        certification=certification,
        runtime=run.runtime,
        shortfall=None if verdict in (Verdict.SAT, Verdict.UNSAT) else run.shortfall,
        phases=dict(run.phases),
    )


def _as_declared(request: PropertyRequest, decider: Decider, watch: Watch) -> PropertyReport:
    """The answer to a text of version 2, which says in which arithmetic it is meant."""
    (network,) = load_query(request.property).networks
    query = QueryRequest(
        request.property,
        {network.name: request.model},
        **{item.name: getattr(request, item.name) for item in fields(QueryRequest)[2:]},
    )
    found = check_query(query, watch=watch)
    unsat = found.verdict is Verdict.UNSAT
    guarantee = decider.guarantee if found.certification is None else Guarantee.CERTIFIED
    return PropertyReport(
        model=found.networks[network.name],
        property=found.query,
        property_sha256=found.query_sha256,
        method=found.method,
        settings=found.settings,
        device=found.device,
        timeout=found.timeout,
        verdict=found.verdict,
        guarantee=guarantee if unsat else None,
        witness=found.point,
        cases=found.cases,
        unsat_cases=found.unsat_cases,
        explored=found.explored,
        seconds=found.seconds,
        stopped=found.stopped,
        warnings=found.reasons,
        record=found.record,
        certification=found.certification,
    )


def _check_fits(asked: Property, model: LoadedModel, path: Path) -> None:
    network = model.network
    misfit = asked.shape_mismatch(
        network.input_shape, network.output_shape, f"model '{model.name}'"
    )
    if misfit is not None:
        raise BadProperty(f"'{path}' {misfit}", "is it a property of another model?")
