"""An augmentation: what is done to the images of a mini-batch before a loss sees them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from typing import Literal, get_args

import torch
from torch import Tensor

from sensverify.corruptions import CORRUPTIONS, Corruption, corrupt
from sensverify.corruptions.apply import to_unit
from sensverify.corruptions.draws import Draws
from sensverify.corruptions.strength import Parameters, Strength
from sensverify.errors import BackendMissing, BadSetting, BadShape, SensverifyError, UnknownName
from sensverify.registry.calls import Call, parse_sum
from sensverify.registry.names import did_you_mean
from sensverify.training.augment.catalog import AUGMENTATIONS, CLEAN, Change

Mode = Literal["half", "duplicate", "all"]
MODES: tuple[Mode, ...] = get_args(Mode)
"""Which images are corrupted: every second one of a mini-batch; a second copy of the whole set; or
all. Flips and turns meet every image."""

_PURPOSE = "augmentation"


@dataclass(frozen=True)
class Choice:
    """One of the corruptions that an image may get.

    Parameters
    ----------
    weight : float
        How often, beside the other choices.
    corruption : Corruption or None
        None leaves the image as it is.
    strength : Strength
    """

    weight: float
    corruption: Corruption | None
    strength: Strength = field(default_factory=Strength)


@dataclass(frozen=True)
class Augmentation:
    """Changes that every image gets, and corruptions of which a chosen image gets one.

    What is drawn for an image follows from a seed and from its place in the data set, and from
    nothing else: not from the mini-batch, nor from the number of devices.

    Parameters
    ----------
    changes : tuple of (str, callable)
        Names, and functions of images and `Draws`, in the order in which they are made.
    choices : tuple of Choice
    """

    changes: tuple[tuple[str, Change], ...]
    choices: tuple[Choice, ...]

    @classmethod
    def parse(cls, text: str) -> Augmentation:
        """The augmentation written as ``horizontal-flip + rotation + 2*shear(severity=(1, 3))``.

        A corruption's weight says how often it is chosen beside the others; its severity is drawn
        from all, from those that are named, or from a range, ``severity='2-4'``; or its parameters
        are given, as numbers or as ranges: ``rotation(degrees=(7, 50))``.

        Raises
        ------
        UnknownName, BadSetting
            There is no such augmentation, corruption, severity or parameter.
        """
        changes, choices = [], []
        for weight, call in parse_sum(text):
            if call.name == CLEAN or call.name not in AUGMENTATIONS:
                choices.append(_choice(weight, call))
                continue
            if weight != 1:
                raise BadSetting(
                    f"every image gets '{call}', so it has no weight, got {weight:g}",
                    "leave the weight out; flips have a chance `p`",
                )
            values = AUGMENTATIONS.fitted(call)
            changes.append((call.name, partial(AUGMENTATIONS[call.name], **values)))
        return cls(tuple(changes), tuple(choices))

    @property
    def corruptions(self) -> tuple[Corruption, ...]:
        return tuple(each.corruption for each in self.choices if each.corruption is not None)

    def check(self, images: Tensor, pixels: tuple[float, float]) -> None:
        """Try everything on some images, so that nothing fails in the middle of a training.

        Raises
        ------
        BadShape
            These are no images, or too small ones, or grey ones for a change of colours.
        BadData
            They have values outside of ``pixels``.
        BadSetting
            The parameters are too extreme.
        BackendMissing
            A corruption needs a package that is not installed.
        """
        if not (self.changes or self.corruptions):
            return
        if images.ndim != 4:
            raise BadShape(
                "augmentations are for images of shape [channels, rows, columns]; samples have "
                f"shape {list(images.shape[1:])}",
                "leave the augmentation out, or give images",
            )
        for corruption in self.corruptions:
            corruption.check(tuple(images.shape[1:]))
        for name, change in self.changes:
            _changed(images[:1], name, change, 0, [0])
        if self.corruptions:
            to_unit(images, range(len(images)), pixels=pixels)
        for choice in self.choices:
            if choice.corruption is not None:
                _try(images[:1], choice.corruption, choice.strength, pixels)

    def __call__(
        self,
        images: Tensor,
        places: Tensor,
        chosen: Tensor,
        *,
        seed: int,
        pixels: tuple[float, float] = (0.0, 1.0),
    ) -> Tensor:
        """Augmented images.

        Parameters
        ----------
        images : Tensor, shape ``[n, channels, rows, columns]``
            Not modified.
        places : integer Tensor, shape ``[n]``
            Their numbers in the data set.
        chosen : boolean Tensor, shape ``[n]``, on the CPU
            Those that are corrupted.
        seed : int
            Another one in every epoch.
        pixels : (low, high)
            Values of black and of white.
        """
        numbers = places.tolist()
        for name, change in self.changes:
            images = _changed(images, name, change, seed, numbers)
        if not (self.corruptions and bool(chosen.any())):
            return images
        found = images.clone()
        positions = chosen.nonzero().squeeze(1)
        for group, parameters, corruption in self._groups(positions, places, seed):
            picked = group.to(images.device)
            found[picked] = corrupt(
                images[picked],
                corruption,
                parameters,
                seed=seed,
                places=places[group],
                pixels=pixels,
            )
        return found

    def _groups(
        self, positions: Tensor, places: Tensor, seed: int
    ) -> list[tuple[Tensor, Parameters, Corruption]]:
        """Positions of images that get the same corruption, as strongly."""
        count = 1 + max(choice.strength.draws for choice in self.choices)
        draws = Draws(seed, _PURPOSE, places=places[positions].tolist(), like=torch.empty(0))
        ends = list(accumulate(choice.weight for choice in self.choices))
        groups: dict[tuple[int, str], list[int]] = defaultdict(list)
        known: dict[tuple[int, str], Parameters] = {}
        for position, (first, *shares) in zip(
            positions.tolist(), draws.uniform(count).tolist(), strict=True
        ):
            which = min(sum(end <= first * ends[-1] for end in ends), len(ends) - 1)
            strength = self.choices[which].strength
            if self.choices[which].corruption is None:
                continue
            parameters = strength.at(tuple(shares[: strength.draws]))
            key = which, _text(parameters)
            known[key] = parameters
            groups[key].append(position)
        found = []
        for (which, text), members in groups.items():
            corruption = self.choices[which].corruption
            assert corruption is not None
            found.append((torch.tensor(members), known[which, text], corruption))
        return found


def _choice(weight: float, call: Call) -> Choice:
    if not weight > 0:
        raise BadSetting(f"the weight of '{call}' is a number above 0, got {weight:g}")
    if call.name == CLEAN:
        AUGMENTATIONS.fitted(call)
        return Choice(weight, None)
    if call.name not in CORRUPTIONS:
        names = (*AUGMENTATIONS, *CORRUPTIONS)
        raise UnknownName(
            f"there is no augmentation '{call.name}'{did_you_mean(call.name, names)}",
            f"there are {', '.join(names)}",
        )
    corruption = CORRUPTIONS[call.name]
    return Choice(weight, corruption, Strength.of(corruption, call))


def _try(
    image: Tensor, corruption: Corruption, strength: Strength, pixels: tuple[float, float]
) -> None:
    for parameters in strength.extremes:
        try:
            corrupt(image, corruption, parameters, pixels=pixels)
        except BackendMissing:
            raise
        # What parameters nobody has thought of do to a function.
        except (SensverifyError, ArithmeticError, LookupError, RuntimeError, ValueError) as error:
            raise BadSetting(
                f"augmentation '{corruption.name}' fails with {_text(parameters)}: {error}"
            ) from error


def _changed(images: Tensor, name: str, change: Change, seed: int, places: list[int]) -> Tensor:
    draws = Draws(seed, name, places=places, like=images)
    found = change(images, draws)
    if not isinstance(found, Tensor) or found.shape != images.shape:
        raise BadShape(
            f"augmentation '{name}' gave {getattr(found, 'shape', type(found).__name__)}, "
            f"expected images of shape {list(images.shape)}"
        )
    return found


def _text(parameters: Parameters) -> str:
    if isinstance(parameters, int):
        return f"severity {parameters}"
    return ", ".join(f"{name} {value!r}" for name, value in parameters.items())
