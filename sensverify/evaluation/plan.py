"""The tasks of an evaluation: what is asked of every network, in which order, under which key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sensverify.attacks.attack import ATTACKS
from sensverify.attacks.protocol import Attack
from sensverify.bounds.limits import with_seed
from sensverify.bounds.method import METHODS, Method
from sensverify.classification.samples import Samples
from sensverify.corruptions import CORRUPTIONS, SEQUENCES
from sensverify.evaluation.corrupted import CorruptedSamples
from sensverify.evaluation.radii import Radii
from sensverify.evaluation.request import CERTIFY, DEFAULT_ATTACKS, EvaluateRequest
from sensverify.evaluation.results import Missing
from sensverify.evaluation.task import EvaluationTask
from sensverify.measures.catalog import MEASURES, find_measures
from sensverify.measures.measure import Measure
from sensverify.registry.names import named

DEFAULT_CORRUPTIONS: tuple[str, ...] = ("imagenet-c",)
DEFAULT_SEQUENCES = ("all",)
QUICK_GROUPS = frozenset({"complexity"})
"""Groups of measures that look at weights more than at samples."""

_CLEAN = "identity"
"""Name in MNIST-C of samples without a corruption: no part of any mean over corruptions."""

_NO_RANGE = (
    "it looks for the nearest input in the whole range of inputs, and none is known; give `clip=LO "
    "HI`"
)


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything that is asked, the same of every network.

    Parameters
    ----------
    tasks : tuple of EvaluationTask
        Cheap and telling ones first: where time is short, the last ones are missed.
    missing : tuple of Missing
        What is known not to be had before anything is begun.
    attacks : mapping from str to Attack
        By the name in `EvaluationTask`.
    transferred : frozenset of str
        Those whose gradients come from the surrogate.
    methods : mapping from str to Method
    measures : mapping from str to Measure
    """

    tasks: tuple[EvaluationTask, ...]
    missing: tuple[Missing, ...]
    attacks: Mapping[str, Attack]
    transferred: frozenset[str]
    methods: Mapping[str, Method]
    measures: Mapping[str, Measure]

    def named(self, kind: str) -> str:
        """The names of what tasks of a kind are about, in words."""
        return ", ".join(dict.fromkeys(t.name for t in self.tasks if t.kind == kind)) or "none"


def make_plan(
    request: EvaluateRequest,
    samples: Samples,
    radii: Radii,
    corrupted: CorruptedSamples,
    *,
    surrogate: str | None = None,
) -> Plan:
    """The tasks of a request, and everything that they name.

    Parameters
    ----------
    request : EvaluateRequest
    samples : Samples
    radii : Radii
    corrupted : CorruptedSamples
    surrogate : str, optional
        Name of the network that attacks take gradients from.

    Raises
    ------
    UnknownName, BadSetting
        There is no such attack, method, corruption, sequence or measure, or it refuses its
        settings.
    """
    asked = DEFAULT_ATTACKS if request.attacks is None else request.attacks
    attacks = dict(map(_attack, asked))
    transferred: dict[str, Attack] = {}
    if surrogate is not None:
        transferred = {
            f"{name} through {surrogate}": attack
            for name, attack in attacks.items()
            if attack.gradients
        }
        attacks |= transferred
    proofs = CERTIFY if request.certify is None else request.certify
    methods = dict(_method(each, request.seed) for each in proofs)
    missing: list[Missing] = []
    tasks = [EvaluationTask("clean", "test")]
    if samples.train is not None:
        tasks.append(EvaluationTask("clean", "train"))
    measures = _measures(request.measures)
    quick = [name for name, each in measures.items() if each.group in QUICK_GROUPS]
    tasks += [EvaluationTask("measure", name) for name in quick]
    for name in methods:
        tasks += _at_radii("certified", name, radii, missing)
    for name, attack in attacks.items():
        if not attack.nearest:
            tasks += _at_radii("attack", name, radii, missing)
        elif radii.perturbation.bounded:
            tasks.append(EvaluationTask("attack", name))
        else:
            missing.append(Missing(key=EvaluationTask("attack", name).key, reason=_NO_RANGE))
    tasks += [EvaluationTask("shift", each.name) for each in request.shifts]
    tasks += _corruptions(request, corrupted, missing)
    tasks += [EvaluationTask("measure", name) for name in measures if name not in quick]
    tasks += _sequences(request, corrupted, missing)
    return Plan(tuple(tasks), tuple(missing), attacks, frozenset(transferred), methods, measures)


def _attack(asked: str | Attack) -> tuple[str, Attack]:
    """An attack, and its name with its settings as they were given."""
    call, attack = ATTACKS.resolve(asked)
    return str(call), attack


def _method(asked: str | Method, seed: int) -> tuple[str, Method]:
    """A method with the seed of the request, and its name with its settings."""
    call, method = METHODS.resolve(asked)
    given = not isinstance(asked, str) or "seed" in call.settings
    return str(call), method if given else with_seed(method, seed % 2**63)


def _at_radii(kind: str, name: str, radii: Radii, missing: list[Missing]) -> list[EvaluationTask]:
    if radii.missing:
        missing.append(Missing(key=EvaluationTask(kind, name).key, reason=radii.missing))
    return [EvaluationTask(kind, name, radius) for radius in radii.values]


def _corruptions(
    request: EvaluateRequest, corrupted: CorruptedSamples, missing: list[Missing]
) -> list[EvaluationTask]:
    found = []
    default = DEFAULT_CORRUPTIONS
    if corrupted.premade is not None:
        default = tuple(name for name in corrupted.premade.corruptions if name != _CLEAN)
    asked = default if request.corruptions is None else map(named, request.corruptions)
    for name in CORRUPTIONS.select(asked, also=(*corrupted.here, *corrupted.own)):
        reason = corrupted.why_not(name)
        if reason is not None:
            missing.append(Missing(key=EvaluationTask("corruption", name).key, reason=reason))
            continue
        last = corrupted.severities(name)
        wanted = sorted(set(request.severities))
        if name not in corrupted.here and corrupted.find(name).chosen:
            # Whoever chooses levels means all of them.
            wanted = list(range(1, last + 1))
        there = [severity for severity in wanted if severity <= last]
        found += [EvaluationTask("corruption", name, severity) for severity in there]
        if not there:
            reason = f"its severities are 1 to {last}" if last > 1 else "its only severity is 1"
            missing.append(Missing(key=EvaluationTask("corruption", name).key, reason=reason))
    return found


def _sequences(
    request: EvaluateRequest, corrupted: CorruptedSamples, missing: list[Missing]
) -> list[EvaluationTask]:
    asked = DEFAULT_SEQUENCES if request.sequences is None else request.sequences
    found = []
    for name in SEQUENCES.select(asked):
        task = EvaluationTask("sequence", name)
        if corrupted.why_no_images is None:
            found.append(task)
        else:
            missing.append(Missing(key=task.key, reason=corrupted.why_no_images))
    return found


def _measures(asked: Sequence[Any] | None) -> dict[str, Measure]:
    """The measures asked for, by name."""
    if asked is not None and not asked:
        return {}
    names = ["default"] if asked is None else [each for each in asked if isinstance(each, str)]
    found = {name: MEASURES[name] for name in find_measures(names)} if names else {}
    return found | MEASURES.own_objects(asked or ())
