"""Requirements of a specification as gates: what is measured for them, and their verdicts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import nan
from pathlib import Path
from statistics import fmean
from typing import Any, TypeAlias

from sensverify.attacks.attack import ATTACKS
from sensverify.bounds.method import METHODS
from sensverify.classification.rates import Rate
from sensverify.core.gates import Figure, Gate, judge
from sensverify.corruptions import CORRUPTIONS
from sensverify.errors import BadData, BadSetting, InputError, SensverifyError, UnknownName
from sensverify.evaluation.prepared import Prepared
from sensverify.evaluation.request import CERTIFY, EvaluateRequest
from sensverify.evaluation.requirement import AskedRequirement
from sensverify.evaluation.results import Evaluation, ModelEvaluation
from sensverify.evaluation.shift import OtherData
from sensverify.evaluation.specification import Requirement, Specification
from sensverify.evaluation.specification_file import read_specification
from sensverify.registry.names import did_you_mean

Answer: TypeAlias = Callable[[Any, Path, float | None], bool | None]
"""Whether a network (as a request names it) holds a property (a file), in so many seconds; None
where that is not known."""


def with_specification(request: EvaluateRequest) -> EvaluateRequest:
    """The request with all that its specification has to have measured.

    Parts of an evaluation that neither names are left out.

    Raises
    ------
    InputError
        The file cannot be read; it names what is not there, or asks for radii in another unit than
        the request does, or for another reference.
    """
    asked = request.specification
    if asked is None:
        return request
    asked = read_specification(asked) if isinstance(asked, Path) else asked
    return replace(request, specification=asked, **_measured(asked, request))


def _measured(asked: Specification, request: EvaluateRequest) -> dict[str, Any]:
    needs, objects = asked.requirements, CORRUPTIONS.own_objects(request.corruptions or ())
    attacks: list[str] = []
    proofs: list[str] = []
    for each in needs:
        try:
            attacks += _attacks(each)
            proofs += _methods(each)
            if request.corrupted is None:
                CORRUPTIONS.select(each.corruptions, also=objects)
        except InputError as error:
            raise error.about(f"requirement '{each.name}'") from None
    found: dict[str, Any] = {
        "sequences": request.sequences or (),
        "measures": request.measures or (),
        "attacks": _union(request.attacks, attacks),
        "certify": _union(request.certify, proofs),
    }
    found["shifts"] = _shifts(asked, request)
    found["corruptions"] = _union(request.corruptions, (n for e in needs for n in e.corruptions))
    severities = {severity for each in needs for severity in each.severities}
    if request.corruptions or any(e.corruptions and not e.severities for e in needs):
        severities |= set(request.severities)
    found["severities"] = tuple(sorted(severities)) or request.severities
    for unit in ("radius", "sigma"):
        own = [value for each in needs if (value := getattr(each, unit)) is not None]
        plural = {"radius": "radii", "sigma": "sigmas"}[unit]
        if own:
            found[plural] = _union(getattr(request, plural), own)
    if asked.reference is not None:
        if request.reference not in (None, asked.reference):
            raise BadSetting(
                f"the specification is relative to '{asked.reference}', and `reference` is "
                f"'{request.reference}'",
                "leave `reference` out",
            )
        found["reference"] = asked.reference
    return found


def _shifts(asked: Specification, request: EvaluateRequest) -> tuple[OtherData, ...]:
    """The other data sets of both, each name once."""
    found = {each.name: each for each in request.shifts}
    for each in asked.shifts:
        if found.setdefault(each.name, each) != each:
            raise BadSetting(
                f"the specification and `shifts` have different data by the name '{each.name}'",
                "give one of them another name",
            )
    return tuple(found.values())


def _union(given: Iterable[Any] | None, needed: Iterable[Any]) -> tuple[Any, ...]:
    found = list(given or ())
    # Objects of a caller's need not be hashable.
    found += [each for each in dict.fromkeys(needed) if each not in found]
    return tuple(found)


def _attacks(requirement: Requirement) -> tuple[str, ...]:
    """Its attacks with their settings as rows spell them."""
    return tuple(str(ATTACKS.resolve(name)[0]) for name in requirement.attacks)


def _methods(requirement: Requirement) -> tuple[str, ...]:
    """The methods that prove for it, likewise; none where nothing has to be proven."""
    usual = CERTIFY if requirement.by == "certified" else ()
    return tuple(str(METHODS.resolve(name)[0]) for name in requirement.methods or usual)


@dataclass(frozen=True, eq=False)
class AskedRequirements:
    """The specification of a request, checked before any work is done."""

    prepared: Prepared
    asked: tuple[AskedRequirement, ...]
    answers: Mapping[str, tuple[Gate, ...]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, prepared: Prepared, severities: Sequence[int], answer: Answer | None = None
    ) -> AskedRequirements:
        """The requirements of a request.

        Parameters
        ----------
        prepared : Prepared
        severities : sequence of int
            Of corruptions, where a requirement names none.
        answer : callable, optional
            See `Answer`. Properties are answered here, before anything else is done.

        Raises
        ------
        BadSetting
            Nothing of a shift can be had, or the samples are too few for any network to pass.
        BadData
            A class has no sample.
        """
        given = prepared.request.specification
        if given is None:
            return cls(prepared, ())
        assert isinstance(given, Specification)
        _check_reference(given, prepared)
        found = []
        for each in given.requirements:
            try:
                asked = _asked(each, prepared, severities)
                _check_reach(asked)
            except InputError as error:
                raise error.about(f"requirement '{each.name}'") from None
            found.append(asked)
        return cls(prepared, tuple(found), _answers(given, prepared, answer))

    def judged(self, evaluation: Evaluation) -> Evaluation:
        """The evaluation with a gate for every requirement and network behind its other gates."""
        if not (self.asked or self.answers):
            return evaluation
        count = len(self.prepared.request.models)
        name = self.prepared.request.reference
        reference = next((each for each in evaluation.models if each.model.name == name), None)
        gates: list[Gate] = []
        for model in evaluation.models[:count]:
            own = [judge_requirement(asked, model, reference) for asked in self.asked]
            own += self.answers.get(model.model.name, ())
            gates += [replace(gate, model=model.model.name if count > 1 else None) for gate in own]
        return replace(evaluation, gates=(*evaluation.gates, *gates))


def _check_reference(given: Specification, prepared: Prepared) -> None:
    """Refuse a network that would be compared with nothing but itself."""
    judged = prepared.models[: len(prepared.request.models)]
    relative = [each.name for each in given.requirements if each.limit.relative is not None]
    if relative and {each.facts.name for each in judged} == {prepared.request.reference}:
        raise BadSetting(
            f"requirement '{relative[0]}' compares the network '{prepared.request.reference}' with "
            "itself",
            "evaluate another network, or name another one as the reference",
        )


def _answers(
    given: Specification, prepared: Prepared, answer: Answer | None
) -> dict[str, tuple[Gate, ...]]:
    """The gates of properties, by the name of the network."""
    found: dict[str, tuple[Gate, ...]] = {}
    if not given.properties:
        return found
    if answer is None:
        raise BadSetting(
            f"requirement '{given.properties[0].name}' is a property, and nobody answers it",
            "give `answer`, as the command line does",
        )
    for model, named in zip(prepared.request.models, prepared.models, strict=False):
        gates = []
        for each in given.properties:
            try:
                holds = answer(model, each.path, each.timeout)
            except SensverifyError as error:
                raise error.about(f"requirement '{each.name}'") from None
            figure = Figure(float(holds is True), float(holds is not False), 1, share=True)
            gates.append(Gate("min_holds", figure, 1.0, requirement=each.name, by="certified"))
        found[named.facts.name] = tuple(gates)
    return found


def judge_requirement(
    asked: AskedRequirement, model: ModelEvaluation, reference: ModelEvaluation | None
) -> Gate:
    """A requirement beside what is known of a network, and of the reference."""
    needed, name = asked.requirement, asked.requirement.gate
    if needed.limit.relative is None:
        (gate,) = judge({name: asked.figure(model)}, {name: needed.limit})
    else:
        before = None if reference is None else asked.before(reference)
        if before is None:
            # Where there is nothing to compare with, nothing passes.
            gate = Gate(name, Figure(None, None, 0, share=True), nan)
        else:
            figure = asked.figure(model, reference if needed.by == "interval" else None)
            its = Figure(before, before, 1, share=True)
            (gate,) = judge({name: figure}, {name: needed.limit}, {name: its})
    return replace(
        gate, radius=asked.radius, group=needed.group, requirement=needed.name, by=needed.by
    )


def _asked(
    requirement: Requirement, prepared: Prepared, severities: Sequence[int]
) -> AskedRequirement:
    radius = requirement.reach
    if radius is not None:
        radius = prepared.radii.asked[radius]
    asked = AskedRequirement(
        requirement,
        frozenset(_attacks(requirement)),
        frozenset(_methods(requirement)),
        tuple(_corruptions(requirement, prepared, severities)),
        radius,
        _own(requirement, prepared),
        {name: _own_of(name, requirement, prepared) for name in requirement.shifts},
    )
    planned = {(task.kind, task.name) for task in prepared.plan.tasks}
    needed = [("attack", name) for name in asked.attacks]
    needed += [("certified", name) for name in asked.methods]
    needed += [("corruption", name) for name, _ in asked.corruptions]
    needed += [("shift", name) for name in asked.shifts]
    for kind, name in needed:
        if (kind, name) not in planned:
            missing = prepared.plan.missing
            reason = next((m.reason for m in missing if m.key == f"{kind}/{name}"), "")
            words = f": {reason}" if reason else ""
            raise BadSetting(f"{kind} '{name}' cannot be had here{words}")
    return asked


def _corruptions(
    requirement: Requirement, prepared: Prepared, severities: Sequence[int]
) -> Iterable[tuple[str, tuple[int, ...]]]:
    corrupted = prepared.corrupted
    names = CORRUPTIONS.select(requirement.corruptions, also=(*corrupted.here, *corrupted.own))
    if requirement.corruptions and not names:
        raise BadSetting("its shift is empty: there is no corruption of that name")
    for name in names:
        there = tuple(
            int(task.at)
            for task in prepared.plan.tasks
            if task.kind == "corruption" and task.name == name and task.at is not None
        )
        usual = requirement.severities or tuple(severities)
        if not requirement.severities and "(" in name:
            # Levels that somebody chose are all meant.
            usual = there
        kept, lost = (tuple(k for k in usual if (k in there) is own) for own in (True, False))
        # Of the usual severities a corruption may have some alone.
        if there and lost and (requirement.severities or not kept):
            raise BadSetting(
                f"corruption '{name}' is not had at severity {', '.join(map(str, lost))} here",
                f"name some of {', '.join(map(str, there))} as severities",
            )
        yield name, tuple(sorted({*kept})) or (1,)


def _own(requirement: Requirement, prepared: Prepared) -> frozenset[int]:
    labels = prepared.samples.labels.tolist()
    group = requirement.group
    if group is None:
        return frozenset(range(len(labels)))
    return _of_class(labels, _label(group, prepared), group)


def _label(group: str, prepared: Prepared) -> int:
    """The number of a class by its name."""
    classes = tuple(prepared.samples.classes)
    outputs = prepared.models[0].classifier.classes
    names: Sequence[str] = classes if len(classes) == outputs else tuple(map(str, range(outputs)))
    if group not in names:
        raise BadSetting(f"there is no class '{group}'", f"classes are {', '.join(names[:20])}")
    return names.index(group)


def _own_of(name: str, requirement: Requirement, prepared: Prepared) -> frozenset[int]:
    """Positions of the samples of another data set that a requirement is about."""
    other = prepared.shifts.get(name)
    if other is None:
        raise UnknownName(
            f"there is no other data set '{name}'{did_you_mean(name, prepared.shifts)}",
            "describe it in the specification, or give it with `shifts`",
        )
    labels = other.samples.labels.tolist()
    if requirement.group is None:
        return frozenset(range(len(labels)))
    if other.classes is not None:
        raise BadSetting(
            f"the classes of '{name}' are not those of the networks, and it has a class",
            "leave the class out, or give data with the networks' own labels",
        )
    return _of_class(labels, _label(requirement.group, prepared), requirement.group)


def _of_class(labels: Sequence[int], number: int, group: str) -> frozenset[int]:
    own = frozenset(k for k, label in enumerate(labels) if label == number)
    if not own:
        raise BadData(
            f"of class '{group}' there is no sample among the {len(labels)}", "give more samples"
        )
    return own


def _check_reach(asked: AskedRequirement) -> None:
    """Refuse a limit that no network could keep on so few samples."""
    needed = asked.requirement
    if needed.by != "interval" or needed.metric != "accuracy" or needed.limit.relative is not None:
        return
    counts = [len(own) for own in asked.shifts.values()] or [len(asked.own)]
    best = fmean(Rate(count, count).interval[0] for count in counts)
    if needed.limit.value > best:
        told = ", ".join(map(str, counts))
        raise BadSetting(
            f"at least {needed.limit.value:.6g} is out of reach with {told} samples: were all of "
            f"them right, the interval would begin at {best:.4g}",
            'give more samples, a lower limit, or by = "estimate"',
        )
