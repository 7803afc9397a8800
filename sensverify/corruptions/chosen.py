"""Corruptions with strengths of one's own: levels of a parameter, or what every image draws."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from sensverify.corruptions.corruption import Corruption, Table, Value
from sensverify.corruptions.draws import Draws
from sensverify.corruptions.strength import Parameters, Strength, values_of
from sensverify.errors import BadSetting, SensverifyError
from sensverify.registry.calls import Call
from sensverify.registry.settings import settings_of, shown

LEVELS = "levels"

_SIDE = 64
"""Of the image that everything is tried on."""

Function = Callable[..., Tensor]


def choose(corruption: Corruption, call: Call) -> Corruption:
    """A corruption with the strengths that a call asks for.

    ``gaussian-blur(levels=(0.3, 0.5))``
        Every level is a severity; of corruptions with one parameter.
    ``rotation(degrees=(7, 50))``, ``rotation(degrees=20)``
        Every image draws its own value of each parameter, evenly from a range; the one severity.
    ``rotation(severity=any)``, ``rotation(severity=(1, 3))``, ``rotation(severity='2-4')``
        Every image draws one of these severities, each as often.

    Values are as they are given: lengths are in pixels of the images at hand.

    Raises
    ------
    BadSetting
        There is no such parameter or severity, a value is none for it, or none that the corruption
        can be made with.
    """
    made = _levelled(corruption, call) if LEVELS in call.settings else _drawn(corruption, call)
    channels = 3
    image = torch.linspace(0, 1, channels * _SIDE**2).reshape(1, channels, _SIDE, _SIDE)
    for severity in range(1, made.severities + 1):
        parameters = made.parameters(severity, (_SIDE, _SIDE))
        made.function(image, Draws(0, made.name, places=[0], like=image), **parameters)
    return made


def _levelled(corruption: Corruption, call: Call) -> Corruption:
    known = settings_of(corruption.function, 2)
    if len(call.settings) > 1 or len(known) != 1:
        raise BadSetting(
            f"'{call}': levels are values of the one parameter, and alone",
            f"'{corruption.name}' has {', '.join(known) or 'none'}",
        )
    ((name, setting),) = known.items()
    levels = values_of(call, LEVELS, setting.hint, call.settings[LEVELS])
    if len(set(levels)) < len(levels):
        raise BadSetting(f"'{call}' has a level twice, got {shown(call.settings[LEVELS])}")
    return replace(
        corruption,
        name=str(call),
        function=_guarded(corruption, call),
        tables=(Table(values={name: levels}),),
        chosen=True,
    )


def _drawn(corruption: Corruption, call: Call) -> Corruption:
    strength = Strength.of(corruption, call)
    guarded = _guarded(corruption, call)

    def function(images: Tensor, draws: Draws, *, drawn: str) -> Tensor:
        groups: dict[tuple[tuple[str, Value], ...], list[int]] = defaultdict(list)
        for place, shares in enumerate(draws.uniform(strength.draws).tolist()):
            groups[_plain(strength.at(tuple(shares)), corruption, images)].append(place)
        result = torch.empty_like(images)
        for parameters, members in groups.items():
            result[members] = guarded(images[members], draws.only(members), **dict(parameters))
        return result

    function.__module__ = corruption.function.__module__
    image = torch.full((1, 3, _SIDE, _SIDE), 0.5)
    for extreme in strength.extremes:
        parameters = dict(_plain(extreme, corruption, image))
        guarded(image, Draws(0, corruption.name, places=[0], like=image), **parameters)
    table = Table(values={"drawn": (_told(strength),)})
    return replace(corruption, name=str(call), function=function, tables=(table,), chosen=True)


def _plain(
    strength: Parameters, corruption: Corruption, images: Tensor
) -> tuple[tuple[str, Value], ...]:
    if isinstance(strength, int):
        rows, columns = images.shape[-2:]
        strength = corruption.parameters(strength, (rows, columns))
    return tuple(strength.items())


def _told(strength: Strength) -> str:
    if strength.ranges is None:
        return f"of severities {', '.join(map(str, strength.levels))}"
    parts = []
    for name, values in strength.ranges.items():
        words = [each if isinstance(each, str) else f"{each:.3g}" for each in values]
        joint = ", " if isinstance(values[0], str) else " to "
        parts.append(f"{name} {joint.join(words)}")
    return ", ".join(parts)


def _guarded(corruption: Corruption, call: Call) -> Function:
    """The function of a corruption, whose failures are those of the values chosen for it."""

    def function(images: Tensor, draws: Draws, **parameters: Any) -> Tensor:
        try:
            found = corruption.function(images, draws, **parameters)
        except SensverifyError:
            raise
        # What parameters nobody has thought of do to a function.
        except (ArithmeticError, LookupError, RuntimeError, ValueError) as error:
            why = next(iter(str(error).splitlines()), "") or type(error).__name__
            raise BadSetting(f"'{call}' cannot be made: {why}") from error
        if found.shape != images.shape or bool(found.isnan().any()):
            raise BadSetting(f"'{call}' gives no images", "choose values that are less extreme")
        return found

    function.__module__ = corruption.function.__module__
    return function
