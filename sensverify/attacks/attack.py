"""Attacks by name."""

from __future__ import annotations

from typing import Any

from sensverify.attacks.apgd import ApgdCe, ApgdDlr
from sensverify.attacks.carlini_wagner import CarliniWagner
from sensverify.attacks.fgsm import Fgsm, LlFgsm
from sensverify.attacks.mi_fgsm import MiFgsm
from sensverify.attacks.pgd import LlPgd, Pgd
from sensverify.attacks.protocol import Attack
from sensverify.attacks.square import Square
from sensverify.attacks.worst import Worst
from sensverify.registry.catalog import Catalog

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

ATTACKS: Catalog[type[Any]] = Catalog(
    "attack",
    {attack.name: attack for attack in _CLASSES},
    group="sensverify.attacks",
    types=(Attack,),
    example="pgd(steps=100)",
)
"""Every attack by its name: frozen dataclasses whose fields are their settings."""


def make_attack(name: str, /, **settings: Any) -> Attack:
    """The attack of a name or of a call, with its settings.

    Parameters
    ----------
    name : str
        A key of `ATTACKS`, or one with settings: ``worst(attacks=fgsm + pgd(steps=10))``.
    **settings
        Fields of the attack's dataclass. ``attacks`` of ``worst`` takes names and calls, too.

    Raises
    ------
    UnknownName
        There is no attack of that name.
    BadSetting
        The attack has no such setting, or refuses the value.
    """
    made: Attack = ATTACKS.make(name, **settings)
    return made
