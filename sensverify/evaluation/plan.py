"""The cells of an evaluation: what is asked of every network, in which order, under which key."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sensverify.attacks.attack import make_attack
from sensverify.attacks.protocol import Attack
from sensverify.bounds.limits import with_seed
from sensverify.bounds.method import METHODS, Method
from sensverify.corruptions import CORRUPTIONS, GROUPS, SEQUENCES
from sensverify.errors import BadSetting, UnknownName
from sensverify.evaluation.cell import Cell
from sensverify.evaluation.corrupted import CorruptedSamples
from sensverify.evaluation.radii import Radii
from sensverify.evaluation.request import ATTACKS, CERTIFY, EvaluateRequest
from sensverify.evaluation.results import Missing
from sensverify.evaluation.samples import Samples
from sensverify.measures.catalog import MEASURES, find_measures
from sensverify.registry.calls import Call, parse_call, parse_sum, show_sum
from sensverify.registry.names import did_you_mean

DEFAULT_CORRUPTIONS: tuple[str, ...] = ("imagenet-c",)
DEFAULT_SEQUENCES = ("all",)
QUICK_GROUPS = frozenset({"complexity"})
"""Groups of measures that look at weights more than at samples."""

_TOGETHER = re.compile(r"\s*worst\s*\(\s*attacks\s*=(.*)\)\s*", re.DOTALL)
"""Several attacks as one: the only one whose setting is a sum of calls."""

_CLEAN = "identity"
"""What MNIST-C calls the samples without a corruption: no part of any mean over corruptions."""

_NO_RANGE = (
    "it looks for the nearest input in the whole range of inputs, and none is known; give `clip=LO "
    "HI`"
)


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything that is asked, the same of every network.

    Parameters
    ----------
    cells : tuple of Cell
        Cheap and telling ones first: where time is short, the last ones are missed.
    missing : tuple of Missing
        What is known not to be had before anything is begun.
    attacks : mapping from str to Attack
        By the name in `Cell`.
    transferred : frozenset of str
        Those whose gradients come from the surrogate.
    methods : mapping from str to Method
    """

    cells: tuple[Cell, ...]
    missing: tuple[Missing, ...]
    attacks: Mapping[str, Attack]
    transferred: frozenset[str]
    methods: Mapping[str, Method]


def make_plan(
    request: EvaluateRequest,
    samples: Samples,
    radii: Radii,
    corrupted: CorruptedSamples,
    *,
    surrogate: str | None = None,
) -> Plan:
    """What a request comes down to.

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
    attacks = dict(map(_attack, ATTACKS if request.attacks is None else request.attacks))
    transferred: dict[str, Attack] = {}
    if surrogate is not None:
        transferred = {
            f"{name} through {surrogate}": attack
            for name, attack in attacks.items()
            if attack.gradients
        }
        attacks |= transferred
    proofs = map(parse_call, CERTIFY if request.certify is None else request.certify)
    methods = {str(call): _method(call, request.seed) for call in proofs}
    missing: list[Missing] = []
    cells = [Cell("clean", "test")]
    if samples.train is not None:
        cells.append(Cell("clean", "train"))
    quick, slow = _measures(request.measures)
    cells += [Cell("measure", name) for name in quick]
    for name in methods:
        cells += _at_radii("certified", name, radii, missing)
    for name, attack in attacks.items():
        if not attack.nearest:
            cells += _at_radii("attack", name, radii, missing)
        elif radii.perturbation.bounded:
            cells.append(Cell("attack", name))
        else:
            missing.append(Missing(key=Cell("attack", name).key, reason=_NO_RANGE))
    cells += _corruptions(request, corrupted, missing)
    cells += [Cell("measure", name) for name in slow]
    cells += _sequences(request, corrupted, missing)
    return Plan(tuple(cells), tuple(missing), attacks, frozenset(transferred), methods)


def _attack(text: str) -> tuple[str, Attack]:
    """An attack, and its name with its settings as they were given."""
    together = _TOGETHER.fullmatch(text)
    if together is None:
        call = parse_call(text)
        nested = {key: str(v) if isinstance(v, Call) else v for key, v in call.settings.items()}
        return str(call), make_attack(call.name, **nested)
    terms = parse_sum(together[1])
    if any(weight != 1 for weight, _ in terms):
        raise BadSetting(f"'{text}': attacks have no weights", "write fgsm + pgd(steps=10)")
    members = tuple(_attack(str(call))[1] for _, call in terms)
    return f"worst(attacks={show_sum(terms)})", make_attack("worst", attacks=members)


def _method(call: Call, seed: int) -> Method:
    method: Method = METHODS.make(call)
    return method if "seed" in call.settings else with_seed(method, seed % 2**63)


def _at_radii(kind: str, name: str, radii: Radii, missing: list[Missing]) -> list[Cell]:
    if radii.missing:
        missing.append(Missing(key=Cell(kind, name).key, reason=radii.missing))
    return [Cell(kind, name, radius) for radius in radii.values]


def _corruptions(
    request: EvaluateRequest, corrupted: CorruptedSamples, missing: list[Missing]
) -> list[Cell]:
    found = []
    default = DEFAULT_CORRUPTIONS
    if corrupted.premade is not None:
        default = tuple(name for name in corrupted.premade.corruptions if name != _CLEAN)
    known = {**CORRUPTIONS, **dict.fromkeys(corrupted.here)}
    for name in _named("corruption", request.corruptions, default, known, GROUPS):
        reason = corrupted.why_not(name)
        if reason is not None:
            missing.append(Missing(key=Cell("corruption", name).key, reason=reason))
            continue
        last = corrupted.severities(name)
        there = [severity for severity in sorted(set(request.severities)) if severity <= last]
        found += [Cell("corruption", name, severity) for severity in there]
        if not there:
            reason = f"its severities are 1 to {last}" if last > 1 else "its only severity is 1"
            missing.append(Missing(key=Cell("corruption", name).key, reason=reason))
    return found


def _sequences(
    request: EvaluateRequest, corrupted: CorruptedSamples, missing: list[Missing]
) -> list[Cell]:
    names = _named("sequence", request.sequences, DEFAULT_SEQUENCES, SEQUENCES, {})
    found = []
    for name in names:
        cell = Cell("sequence", name)
        if corrupted.why_no_images is None:
            found.append(cell)
        else:
            missing.append(Missing(key=cell.key, reason=corrupted.why_no_images))
    return found


def _named(
    what: str,
    given: Sequence[str] | None,
    default: Sequence[str],
    known: Mapping[str, Any],
    groups: Mapping[str, Sequence[str]],
) -> list[str]:
    """The names behind names and groups, once each, in their order."""
    found: dict[str, None] = {}
    for name in default if given is None else given:
        if name == "all":
            found |= dict.fromkeys(known)
        elif name in groups:
            found |= dict.fromkeys(groups[name])
        elif name in known:
            found[name] = None
        else:
            words = list(dict.fromkeys([*known, *groups, "all"]))
            hint = did_you_mean(name, words)
            raise UnknownName(f"there is no {what} '{name}'{hint}; there are {', '.join(words)}")
    return list(found)


def _measures(given: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """Names of the measures asked for: those that take no time, then the others."""
    if given is not None and not given:
        return [], []
    names = find_measures("default" if given is None else given)
    quick = [name for name in names if MEASURES[name].group in QUICK_GROUPS]
    return quick, [name for name in names if name not in quick]
