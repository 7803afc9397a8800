"""Findings about a specification before anything is measured: gaps, and limits without a use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sensverify.attacks.attack import ATTACKS
from sensverify.bounds.method import METHODS
from sensverify.core.brief import count_of
from sensverify.corruptions import CORRUPTIONS
from sensverify.errors import InputError, UnknownName
from sensverify.evaluation.specification import Requirement, Specification
from sensverify.registry.names import did_you_mean

ADVERSARIAL = "adversarial"
FAMILIES = (
    *("noise", "blur", "weather", "lighting"),
    *("geometric", "digital", "colour", "occlusion"),
)
"""Corruptions by what they do: the modules that their functions stand in."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Facts that measured overlaps tell about a specification's corruptions.

    Parameters
    ----------
    uncovered : tuple of str
        Shifts that overlap with none of them.
    members : mapping from str to float or None
        Of each of them, the mean overlap with the others; None where it is not measured.
    categories : tuple of tuple of str
        Of all shifts that have overlaps.
    unknown : tuple of str
        A line for each thing that the overlaps do not tell.
    """

    uncovered: tuple[str, ...] = ()
    members: Mapping[str, float | None] = field(default_factory=dict)
    categories: tuple[tuple[str, ...], ...] = ()
    unknown: tuple[str, ...] = ()


def corruptions_of(specification: Specification) -> tuple[str, ...]:
    """The corruptions that requirements name, by themselves or as groups.

    Raises
    ------
    UnknownName
        There is no such corruption or group.
    """
    found: dict[str, None] = {}
    for each in specification.requirements:
        try:
            found |= dict.fromkeys(CORRUPTIONS.select(each.corruptions))
        except InputError as error:
            raise error.about(f"requirement '{each.name}'") from None
    return tuple(found)


def lint(specification: Specification, measured: Measured | None = None) -> tuple[str, ...]:
    """Findings about a specification: what it leaves out, or asks for in vain.

    * residual robustness or APP, and no requirement on the accuracy on samples as they are: a
      network that guesses loses nothing;
    * neither attacks nor proofs, or no corruptions of a family: robustness to one shift says little
      of that to others;
    * families with more corruptions than others, which count for more;
    * a limit that every network keeps;
    * another data set that it does not describe, and the evaluation has to;
    * by overlaps that were measured: shifts that nothing covers, categories without a member, and
      members that overlap with the others more than twice as much as others do.

    What `Specification.left_out` names is left out on purpose.

    Parameters
    ----------
    specification : Specification
    measured : Measured, optional
        Its categories stand in for families.

    Returns
    -------
    tuple of str
        A line each; empty where nothing was found.

    Raises
    ------
    UnknownName, BadSetting
        There is no such attack, corruption or method, or nothing that could be left out has such a
        name.

    Notes
    -----
    Source: Laugros 2022, Sections 1.3, 3.6, 4.2 and 4.3.
    """
    _check_names(specification)
    corruptions = corruptions_of(specification)
    found = [*_clean(specification), *_kinds(specification, corruptions)]
    found += _families(specification, corruptions) if measured is None else _overlaps(measured)
    found += [
        f"requirement '{each.name}': every network keeps a limit of {each.limit.value:g}"
        for each in specification.requirements
        if _always(each)
    ]
    described = [each.name for each in specification.shifts]
    found += [
        f"requirement '{each.name}' is about the data set '{name}', which it does not describe"
        for each in specification.requirements
        for name in each.shifts
        if name not in described
    ]
    return tuple(found)


def _check_names(specification: Specification) -> None:
    for each in specification.requirements:
        try:
            for name in each.attacks:
                ATTACKS.resolve(name)
            for name in each.methods:
                METHODS.resolve(name)
        except InputError as error:
            raise error.about(f"requirement '{each.name}'") from None
    known = (ADVERSARIAL, *FAMILIES)
    for name in specification.left_out:
        if name not in known:
            raise UnknownName(
                f"left_out: there is no family '{name}'{did_you_mean(name, known)}",
                f"there are {', '.join(known)}",
            )


def _clean(specification: Specification) -> list[str]:
    plain = any(each.gate == "min_accuracy" for each in specification.requirements)
    used = [each for each in specification.requirements if each.metric in ("residual", "app")]
    if plain or not used:
        return []
    return [
        f"requirement '{used[0].name}' is about {used[0].metric}, and none is about samples as "
        "they are: a network that guesses would pass; add one with min and no shift"
    ]


def _kinds(specification: Specification, corruptions: Sequence[str]) -> list[str]:
    found = []
    tried = any(each.attacks or each.by == "certified" for each in specification.requirements)
    tried = tried or bool(specification.properties)
    if not tried and ADVERSARIAL not in specification.left_out:
        found.append("nothing is adversarial: add a requirement with attacks, or one by proof")
    if not corruptions and not {*FAMILIES} <= {*specification.left_out}:
        found.append("nothing is about corruptions: add a requirement with corruptions")
    return found


def _families(specification: Specification, corruptions: Sequence[str]) -> list[str]:
    if not corruptions:
        return []
    counts = dict.fromkeys(FAMILIES, 0)
    for name in corruptions:
        family = CORRUPTIONS[name].family
        if family in counts:
            counts[family] += 1
    absent = [name for name, count in counts.items() if not count]
    found = [
        f"no corruption is of the family {name}"
        for name in absent
        if name not in specification.left_out
    ]
    there = {name: count for name, count in counts.items() if count}
    if len({*there.values()}) > 1:
        told = ", ".join(f"{name} {count}" for name, count in there.items())
        found.append(f"unbalanced: families with more corruptions count for more ({told})")
    return found


def _overlaps(measured: Measured) -> list[str]:
    found = [f"'{name}' overlaps with no corruption of it" for name in measured.uncovered]
    for each in measured.categories:
        if not any(name in measured.members for name in each):
            found.append(f"no corruption is of the category of {', '.join(each)}")
    known = {name: value for name, value in measured.members.items() if value is not None}
    if len(known) > 1 and max(known.values()) > 2 * min(known.values()):
        most, least = max(known, key=lambda n: known[n]), min(known, key=lambda n: known[n])
        found.append(
            f"unbalanced: '{most}' overlaps with the others by {known[most]:.2f} on average, "
            f"'{least}' by {known[least]:.2f}"
        )
    unknown = [name for name, value in measured.members.items() if value is None]
    if unknown and len(measured.members) > 1:
        found.append(
            f"balance is not known of {count_of(len(unknown), 'corruption')}: the overlaps of "
            f"{', '.join(unknown)} are not measured"
        )
    return [*found, *measured.unknown]


def _always(requirement: Requirement) -> bool:
    limit, smallest = requirement.limit, requirement.gate.startswith("min")
    if limit.relative is not None:
        return smallest and limit.relative == "*" and limit.value <= 0
    if smallest:
        return limit.value <= 0
    return requirement.metric in ("residual", "changed") and limit.value >= 1
