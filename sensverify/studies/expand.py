"""Expansions: the standard training, one a shift, one with all shifts, and all but one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sensverify.corruptions import CORRUPTIONS
from sensverify.errors import BadSetting, InputError, UnknownName
from sensverify.registry.calls import Call, parse_call, show_sum
from sensverify.registry.names import did_you_mean
from sensverify.studies.grid import run_name
from sensverify.studies.values import check_keys
from sensverify.training.augment import Augmentation
from sensverify.training.losses.adversarial import ATTACKS
from sensverify.training.losses.loss import Loss
from sensverify.training.losses.recipes import resolve_loss

KINDS = ("standard", "each", "all", "all-but-one")
"""Trainings that an expansion makes."""

ANY = "any"
_KEYS = ("trainings", "corruptions", "attacks", "severity")
_CLEAN, _TERM = "clean", "cross-entropy"


@dataclass(frozen=True)
class Expansion:
    """A training with some of the shifts.

    Parameters
    ----------
    name : str
        ``standard``, the shift's, ``all`` or ``no-`` and the shift's: those that
        `sensverify.scores.transfer.transfer` tells apart.
    corruptions : tuple of str
        Terms of an augmentation.
    attacks : tuple of Call
        Terms of a loss.
    """

    name: str
    corruptions: tuple[str, ...] = ()
    attacks: tuple[Call, ...] = ()

    def apply(self, loss: str, settings: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """The loss, and settings with the augmentation.

        Half of the weight of the cross-entropy goes to the attacks, to each as much.

        Raises
        ------
        BadSetting
            The settings have corruptions of their own, or the loss no single cross-entropy.
        """
        found = {**settings}
        own = settings.get("augment")
        _check_free(own)
        terms = self.corruptions
        if not terms and settings.get("augment_mode", "half") != "half":
            # Seen as often as with the shifts.
            terms = (_CLEAN,)
        if terms:
            found["augment"] = " + ".join(([str(own)] if own else []) + list(terms))
        if self.attacks:
            loss, ramp = _attacked(loss, self.attacks)
            if ramp and found.get("ramp") is None:
                found["ramp"] = ramp
        return loss, found


def read_expansions(expand: Mapping[str, Any], where: str) -> tuple[Expansion, ...]:
    """The trainings of a table ``[expand]``.

    ::

        [expand]
        trainings = ["standard", "each", "all", "all-but-one"]   # the default
        corruptions = ["rotation", "noise"]    # names, groups, calls; or {name = "call"}
        attacks = ["fgsm", "pgd(steps=3)"]     # of the term `adversarial`
        severity = "any"                       # or 3, [1, 3], "2-4"

    Raises
    ------
    UnknownName, BadSetting
        There is no such corruption or attack, or there are too few shifts.

    Notes
    -----
    Of two shifts, all but one is the other one: trainings that are the same are made once
    (`sensverify.studies.study.Study.twins`).

    Source: Laugros 2022, Section 3.2; the trainings with all but one are those of Table 3.3.
    """
    check_keys(expand, _KEYS, where)
    kinds = _texts(expand.get("trainings", list(KINDS)), f"{where}: trainings")
    for kind in kinds:
        if kind not in KINDS:
            raise UnknownName(
                f"{where}: there are no trainings '{kind}'{did_you_mean(kind, KINDS)}",
                f"there are {', '.join(KINDS)}",
            )
    shifts = [*_corruptions(expand, where), *_attacks(expand, where)]
    if not shifts:
        raise BadSetting(f"{where} names no shift", 'give corruptions = ["rotation"] or attacks')
    if len(shifts) < 2 and {"all", "all-but-one"} & set(kinds):
        raise BadSetting(
            f"{where} has one shift, '{shifts[0].name}', of which all and all but one are no "
            "trainings of their own",
            'name another one, or give trainings = ["standard", "each"]',
        )
    found = [Expansion("standard")] if "standard" in kinds else []
    found += shifts if "each" in kinds else []
    found += [_joined("all", shifts)] if "all" in kinds else []
    if "all-but-one" in kinds:
        found += [
            _joined(f"no-{each.name}", [other for other in shifts if other is not each])
            for each in shifts
        ]
    return tuple(found)


def _joined(name: str, shifts: Sequence[Expansion]) -> Expansion:
    return Expansion(
        name,
        tuple(term for each in shifts for term in each.corruptions),
        tuple(term for each in shifts for term in each.attacks),
    )


def _corruptions(expand: Mapping[str, Any], where: str) -> list[Expansion]:
    given, place = expand.get("corruptions", ()), f"{where}: corruptions"
    strength = _severity(expand.get("severity", ANY), where)
    found = []
    for name, text in _named(given, place):
        try:
            call = parse_call(text)
            names = CORRUPTIONS.select((call.name,))
            several = [Call(each, call.settings or strength) for each in names]
            for each in several:
                Augmentation.parse(str(each))
        except InputError as error:
            raise error.about(place) from None
        if name is not None and len(several) > 1:
            raise BadSetting(
                f"{place}: the group '{text}' has {len(several)} members, and one name, '{name}'",
                "name the members",
            )
        found += [Expansion(name or each.name, (str(each),)) for each in several]
    return found


def _attacks(expand: Mapping[str, Any], where: str) -> list[Expansion]:
    place = f"{where}: attacks"
    found = []
    for name, text in _named(expand.get("attacks", ()), place):
        try:
            call = parse_call(text)
            if call.name not in ATTACKS:
                raise UnknownName(
                    f"there is no attack '{call.name}' to train with"
                    f"{did_you_mean(call.name, ATTACKS)}",
                    f"there are {', '.join(ATTACKS)}",
                )
            term = Call("adversarial", {"attack": Call(call.name), **call.settings})
            Loss(((1.0, term),))
        except InputError as error:
            raise error.about(place) from None
        found.append(Expansion(name or call.name, (), (term,)))
    return found


def _named(given: Any, place: str) -> list[tuple[str | None, str]]:
    """Calls with the names that the file gives them, where it does."""
    if isinstance(given, dict):
        names = [run_name(each, f"{place}: the name") for each in given]
        return list(zip(names, _texts(list(given.values()), place), strict=True))
    return [] if given == () else [(None, text) for text in _texts(given, place)]


def _texts(given: Any, place: str) -> list[str]:
    if not isinstance(given, list) or not given or not all(isinstance(e, str) for e in given):
        raise BadSetting(f"{place} needs a list of names, got {given!r}")
    for each in given:
        if given.count(each) > 1:
            raise BadSetting(f"{place} names '{each}' twice", "leave one of them out")
    return given


def _severity(given: Any, where: str) -> dict[str, Any]:
    if given == ANY:
        return {}
    values = given if isinstance(given, list) else [given]
    whole = all(isinstance(each, int) and not isinstance(each, bool) for each in values)
    if not values or not (whole or isinstance(given, str)):
        raise BadSetting(
            f'{where}: severity needs "{ANY}", a number, a list or a range such as "2-4", got '
            f"{given!r}"
        )
    return {"severity": tuple(given) if isinstance(given, list) else given}


def _check_free(own: Any) -> None:
    if own and Augmentation.parse(str(own)).choices:
        raise BadSetting(
            f"`augment` is '{own}', and [expand] says with which corruptions runs are trained",
            "leave them out of one of the two; flips and turns go together with it",
        )


def _attacked(loss: str, attacks: Sequence[Call]) -> tuple[str, float]:
    """The loss with half of the weight of its cross-entropy on attacks, and its ramp."""
    recipe = resolve_loss(loss)
    terms = recipe.stages[0].loss.terms
    clean = [(weight, call) for weight, call in terms if call.name == _TERM]
    if len(recipe.stages) > 1 or recipe.stages[0].dropout or len(clean) != 1:
        raise BadSetting(
            f"the loss '{loss}' has no single {_TERM} half of which could be at attacked inputs",
            f"give a sum such as '{_TERM} + 1e-5*l2'",
        )
    half = clean[0][0] / 2
    kept = [(half if call.name == _TERM else weight, call) for weight, call in terms]
    return show_sum((*kept, *((half / len(attacks), each) for each in attacks))), recipe.ramp
