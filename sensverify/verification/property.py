"""One property of one model: is there an input that meets it?"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sensverify.bounds import forward_pass
from sensverify.bounds.method import DECIDERS, Decider
from sensverify.bounds.rounding import query_slack
from sensverify.core.box import Box
from sensverify.core.provenance import settings_of, versions
from sensverify.core.queries import Decision, Verdict
from sensverify.core.results import Guarantee
from sensverify.errors import BadProperty, BadSetting, SensverifyError
from sensverify.formats.vnnlib import Case, Property, load_property
from sensverify.models.loading import LoadedModel, ModelFacts, load_model
from sensverify.registry.calls import Call, parse_call
from sensverify.registry.names import name_of
from sensverify.runs.watch import Watch
from sensverify.verification.certifying import Certification, Certifier, shaped
from sensverify.verification.replay import Replay, Replayed
from sensverify.verification.runtime import RuntimeFacts, check_runtimes
from sensverify.verification.softmax import check_comparisons
from sensverify.verification.witness import Witness

DEFAULT = "branch-and-bound"
"""What answers unless another name is given."""

_ALSO = {"exact": DEFAULT, "milp": "highs"}
"""Names of methods, and what answers queries in the same way."""


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
    timeout: float | None = None
    device: str = "cpu"
    seed: int | None = None
    threads: int | None = None
    rigorous: bool = False
    runtime_check: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "property", Path(self.property))
        if self.timeout is not None and not 0 < self.timeout < math.inf:
            raise BadSetting(f"`timeout` must be a number of seconds above 0, got {self.timeout:g}")
        if self.threads is not None and not self.threads >= 1:
            raise BadSetting(f"`threads` must be at least 1, got {self.threads}")


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
    versions: dict[str, str]
    certification: Certification | None = None
    runtime: RuntimeFacts | None = None


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
    digest = hashlib.sha256(request.property.read_bytes()).hexdigest()
    if model is None:
        model = load_model(request.model, runtime_check=request.runtime_check, order_only=True)
    _check_fits(asked, model, request.property)
    check_comparisons(asked, model, request.property, rigorous=request.rigorous)
    # Made before any work is done: what cannot be certified at all is said at once.
    certifier = Certifier(model) if request.rigorous else None
    run = _Run(decider, model, watch)
    verdict, certification = run.verdict(asked), None
    guarantee = decider.guarantee
    how: dict[str, Any] = {"method": _name(request), "settings": settings_of(decider)}
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
        versions=versions(),
        certification=certification,
        runtime=run.runtime,
    )


class _Run:
    """The queries of a property in turn, and what became of them."""

    def __init__(self, decider: Decider, model: LoadedModel, watch: Watch) -> None:
        self.decider, self.network, self.watch = decider, model.network, watch
        self.model = model
        self.replay = Replay(model.path)
        self.witness: Witness | None = None
        self.contradicted = self.cancelled = False
        self.tied = ""
        self.runtime: RuntimeFacts | None = None
        self.proofs: dict[int, Any] = {}
        self.uncertified: tuple[str, ...] = ()
        self.total = self.unsat = self.explored = self.refused = self.without_number = 0

    def verdict(self, asked: Property) -> Verdict:
        """Look at every case; those that ran out of their share of the time get what is left."""
        cases = list(enumerate(asked.cases))
        self.total = len(cases)
        answers = self._answers(cases)
        again = [case for case in cases if answers.get(case[0]) is Verdict.TIMEOUT]
        if len(cases) > 1 and again and self.witness is None and self.watch.left < math.inf:
            answers |= self._answers(again)
        if self.witness is not None:
            return Verdict.SAT
        if all(answers.get(number) is Verdict.UNSAT for number, _ in cases):
            return Verdict.UNSAT
        # What could not be replayed stopped the watch; that is no matter of time.
        late = self.watch.over or Verdict.TIMEOUT in answers.values()
        return Verdict.TIMEOUT if late and not self.replay.failed else Verdict.UNKNOWN

    def beside_runtime(self, asked: Property, certifier: Certifier | None) -> Verdict:
        """UNSAT, or UNKNOWN where the file meets the property as onnxruntime runs it."""
        margins = None if certifier is None else certifier.float32_margins
        self.runtime = check_runtimes(
            self.network, asked.cases, self.replay, self.watch, margins=margins
        )
        violation = self.runtime.violation
        return Verdict.UNSAT if violation is None else Verdict.UNKNOWN

    def certified(self, asked: Property, certifier: Certifier) -> Verdict:
        """UNSAT if every case that the method calls so is certified, else UNKNOWN or TIMEOUT."""
        self.unsat, lines = 0, []
        for number, case in enumerate(asked.cases):
            left = self.watch.left / (self.total - number)
            watch = self.watch.within(None if left == math.inf else left)
            self.watch.say(f"certifying input box {number + 1} of {self.total}")
            why = certifier.refute(case, self.proofs[number], self.network, watch=watch)
            if why is not None:
                lines.append(
                    f"the method calls input box {number + 1} of {self.total} unsat, but that "
                    f"could not be certified: {why}"
                )
                # One is enough to leave the property undecided.
                break
            self.unsat += 1
        self.uncertified = tuple(lines)
        if not lines:
            return Verdict.UNSAT
        return Verdict.TIMEOUT if self.watch.over else Verdict.UNKNOWN

    def _answers(self, cases: list[tuple[int, Case]]) -> dict[int, Verdict]:
        """The answers by case, up to the first SAT or the end of the time."""
        answers: dict[int, Verdict] = {}
        for done, (number, case) in enumerate(cases):
            if self.watch.over:
                break
            if len(cases) > 1:
                self.watch.say(f"input box {number + 1}, {len(cases) - done} to go")
            answers[number] = self._decide(number, case, self.watch.left / (len(cases) - done))
            if answers[number] is Verdict.SAT:
                break
        return answers

    def _decide(self, number: int, case: Case, seconds: float) -> Verdict:
        refused: list[np.ndarray] = []

        def accept(point: np.ndarray) -> bool:
            found = self._confirmed(point, case)
            if found is None and not refused:
                refused.append(np.array(point, dtype=np.float64))
            if found is not None and self.witness is None:
                self.witness = Witness.of(found, number)
            return found is not None

        query = shaped(case.query, self.network)
        watch = self.watch.within(None if seconds == math.inf else seconds)
        decision = self.decider.decide(self.network, query, watch=watch, accept=accept)
        self.explored += decision.explored
        if decision.witness is not None and self.witness is None:
            accept(decision.witness)
        # A replayed witness speaks for itself, whatever the method made of it.
        if self.witness is not None:
            return Verdict.SAT
        verdict = decision.verdict
        if decision.tied and verdict is Verdict.UNKNOWN:
            # What exact arithmetic proves, no point that float64 has evaluated contradicts.
            verdict = self._untied(number, case, decision, watch)
            self.unsat += verdict is Verdict.UNSAT
        elif verdict is Verdict.UNSAT:
            met = [clear for point in refused if (clear := self._meets(point, case)) is not None]
            if met:
                # It met the property in float64, and only the replay refused it: no proof of the
                # opposite can be right, unless rounding explains it.
                self.contradicted, self.cancelled = any(met), not any(met)
                return Verdict.UNKNOWN
            self.unsat += 1
            self.proofs[number] = decision.certificate
        # Without a replay "sat" is no more than a claim.
        return Verdict.UNKNOWN if verdict is Verdict.SAT else verdict

    def _untied(self, number: int, case: Case, decision: Decision, watch: Watch) -> Verdict:
        """UNSAT where exact arithmetic shows that strict limits are reached at most."""
        try:
            certifier = Certifier(self.model)
        except SensverifyError as error:
            self.tied = f"{error}"
            return Verdict.UNKNOWN
        watch.say(f"input box {number + 1}: equality decides, in exact arithmetic")
        found = certifier.settle(case, decision.certificate, self.network, watch=watch)
        if isinstance(found, str):
            self.tied = found
            return Verdict.TIMEOUT if watch.over else Verdict.UNKNOWN
        self.proofs[number] = found
        return Verdict.UNSAT

    def _meets(self, point: np.ndarray, case: Case) -> bool | None:
        """Whether a point of the box meets the property by more than rounding, in float64.

        None where it does not meet it at all.
        """
        point = point.reshape(1, *self.network.input_shape)
        flat = point.ravel()
        if not ((flat >= case.lower) & (flat <= case.upper)).all():
            return None
        at = torch.from_numpy(point)
        with torch.no_grad():
            outputs = forward_pass(self.network, at).numpy().ravel()
        if not case.met_by(outputs):
            return None
        allowed = query_slack(self.network, Box(at, at), case.query)[0].numpy()
        below = case.query.rows @ outputs <= case.query.limits - allowed
        return any(below[list(part)].all() for part in case.query.alternatives)

    def _confirmed(self, point: np.ndarray, case: Case) -> Replayed | None:
        """The point as the original file took it, if it meets the file's own constraints there."""
        shape = self.network.input_shape
        lower, upper = case.lower.reshape(shape), case.upper.reshape(shape)
        point = np.asarray(point).reshape(shape)
        found = self.replay.outputs(point, lower, upper, nearest=True)
        if self.replay.failed:
            # No other point will do better.
            self.watch.stop()
        elif found is None:
            self.without_number += 1
        elif case.met_by(found.outputs):
            return found
        else:
            self.refused += 1
        return None

    def warnings(self) -> tuple[str, ...]:
        """Warnings about the witness, or why inputs that meet the property are none."""
        if self.witness is not None:
            outside = self.witness.outside
            few = f"for {outside} inputs the property allows no number of the model's input type"
            return (f"{few}; the nearest one was taken",) if outside else ()
        if self.runtime is not None and self.runtime.violation is not None:
            return (self.runtime.words(self.total),)
        if self.unsat == self.total:
            return ()
        lines = list(self.uncertified)
        if self.replay.failed:
            lines.append(
                "an input meets the property, but onnxruntime cannot run the model, and nothing "
                "is called sat without a replay"
            )
        if self.without_number:
            lines.append(
                "an input meets the property, but its strict bounds leave no number that could be "
                "replayed"
            )
        if self.contradicted:
            lines.append(
                "the method calls an input box unsat although an input in it meets the property "
                "in float64; please report it"
            )
        if self.tied:
            lines.append(
                "strict constraints are as close to their limits as rounding can tell, and exact "
                f"arithmetic has not shown that these are not passed: {self.tied}"
            )
        if self.cancelled:
            lines.append(
                "the method calls an input box unsat, and an input in it meets the property in "
                "float64 by less than rounding: products in the network cancel; `rigorous` decides "
                "what real arithmetic can"
            )
        if self.refused:
            lines.append(
                f"{self.refused} inputs meet the property here, but not when onnxruntime runs the "
                "model in its own arithmetic"
            )
        return tuple(lines)


def decider_of(request: PropertyRequest) -> Decider:
    """The decider that a request names.

    Raises
    ------
    UnknownName, BadSetting
        There is none of that name, or it does not have what is set.
    """
    asked = request.method if isinstance(request.method, Decider) else _call(request.method)
    call, decider = DECIDERS.resolve(asked, request.settings)
    own: list[str] = []
    if is_dataclass(decider):
        own = [item.name for item in fields(decider)]
    given: dict[str, Any] = {}
    if request.device != "cpu":
        given["device"] = request.device
    if request.threads is not None:
        given["threads"] = request.threads
    for key in given:
        if key not in own:
            raise BadSetting(
                f"'{call.name}' answers queries without a choice of `{key}`", "leave it out"
            )
    if request.seed is not None and "seed" in own and "seed" not in call.settings:
        given["seed"] = request.seed
    if request.rigorous and "proof" in own:
        given["proof"] = True
    return replace(decider, **given) if given else decider


def _call(method: str) -> Call:
    asked = parse_call(method)
    return Call(_ALSO.get(asked.name, asked.name), asked.settings)


def _name(request: PropertyRequest) -> str:
    method = request.method
    return name_of(method) if isinstance(method, Decider) else _call(method).name


def _check_fits(asked: Property, model: LoadedModel, path: Path) -> None:
    network = model.network
    misfit = asked.shape_mismatch(
        network.input_shape, network.output_shape, f"model '{model.name}'"
    )
    if misfit is not None:
        raise BadProperty(f"'{path}' {misfit}", "is it a property of another model?")
