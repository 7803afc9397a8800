"""Attacks by name."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import Any

from sensverify.attacks.apgd import ApgdCe, ApgdDlr
from sensverify.attacks.carlini_wagner import CarliniWagner
from sensverify.attacks.fgsm import Fgsm, LlFgsm
from sensverify.attacks.mi_fgsm import MiFgsm
from sensverify.attacks.pgd import LlPgd, Pgd
from sensverify.attacks.protocol import Attack
from sensverify.attacks.square import Square
from sensverify.attacks.worst import Worst
from sensverify.errors import BadSetting, UnknownName
from sensverify.registry.names import closest

_CLASSES: tuple[type[Any], ...] = (
    Fgsm,
    LlFgsm,
    Pgd,
    LlPgd,
    MiFgsm,
    ApgdCe,
    ApgdDlr,
    Square,
    CarliniWagner,
    Worst,
)

ATTACKS: dict[str, type[Any]] = {attack.name: attack for attack in _CLASSES}
"""Every attack by its name: frozen dataclasses whose fields are their settings."""


def make_attack(name: str, /, **settings: Any) -> Attack:
    """An attack by its name, with its settings.

    Parameters
    ----------
    name : str
        A key of `ATTACKS`.
    **settings
        Fields of the attack's dataclass. ``attacks`` of ``worst`` takes names, too.

    Raises
    ------
    UnknownName
        There is no attack of that name.
    BadSetting
        The attack has no such setting, or refuses the value.
    """
    if name not in ATTACKS:
        close = closest(name, ATTACKS)
        hint = f"did you mean '{close}'?" if close else f"there are {', '.join(ATTACKS)}"
        raise UnknownName(f"unknown attack '{name}'; {hint}")
    known = [field.name for field in fields(ATTACKS[name])]
    for key in settings:
        if key not in known:
            has = f"it has {', '.join(known)}" if known else "it has none"
            raise BadSetting(f"attack '{name}' has no setting '{key}'; {has}")
    if name == Worst.name and "attacks" in settings:
        members = settings["attacks"]
        names = members.split("+") if isinstance(members, str) else members
        settings["attacks"] = tuple(make_attack(n) if isinstance(n, str) else n for n in names)
    made: Attack = ATTACKS[name](**settings)
    return made


def settings_of(attack: Attack) -> dict[str, Any]:
    """Every setting of an attack and its value, in the order of its fields."""
    return {field.name: getattr(attack, field.name) for field in fields(attack)}  # type: ignore[arg-type]


def summary(attack: type[Any]) -> str:
    """Description of an attack: the first sentence of its docstring, without a full stop."""
    first = (inspect.getdoc(attack) or "").split("\n\n")[0]
    return " ".join(first.split()).split(". ")[0].rstrip(".")
