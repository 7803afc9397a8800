"""The corruptions that have a name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sensverify.corruptions import (
    blur,
    colour,
    digital,
    geometric,
    lighting,
    noise,
    occlusion,
    weather,
)
from sensverify.corruptions.candidates import CANDIDATES
from sensverify.corruptions.chosen import choose
from sensverify.corruptions.corruption import Corruption, Table
from sensverify.corruptions.entry import LENGTHS, entry
from sensverify.corruptions.parameters import (
    BUSLAEV,
    HENDRYCKS,
    LAUGROS,
    LAUGROS_CODE,
    SHIFTS,
)
from sensverify.errors import BadSetting
from sensverify.registry.calls import parse_call
from sensverify.registry.catalog import Catalog, Groups, by_group
from sensverify.registry.names import summary_of
from sensverify.registry.settings import REQUIRED, settings_of

_IMAGENET_C = (
    entry("gaussian-noise", noise.gaussian_noise, "normal noise is added", HENDRYCKS),
    entry("shot-noise", noise.shot_noise, "photons are counted one by one", HENDRYCKS),
    entry("impulse-noise", noise.impulse_noise, "some numbers become black or white", HENDRYCKS),
    entry(
        "defocus-blur",
        blur.defocus_blur,
        "every point becomes a disc",
        HENDRYCKS,
        smallest=LENGTHS,
    ),
    entry(
        "glass-blur",
        blur.glass_blur,
        "seen through frosted glass: neighbouring pixels change places",
        HENDRYCKS,
        smallest=LENGTHS,
    ),
    entry(
        "motion-blur",
        blur.motion_blur,
        "smeared along a line, as by a moving camera",
        HENDRYCKS,
        smallest=LENGTHS,
    ),
    entry("zoom-blur", blur.zoom_blur, "smeared towards the middle", HENDRYCKS, smallest=16),
    entry("snow", weather.snow, "falling flakes on a whitened image", HENDRYCKS, smallest=LENGTHS),
    entry("frost", weather.frost, "a photograph of ice over the image", HENDRYCKS, smallest=16),
    entry("fog", weather.fog, "a random cloud over the image", HENDRYCKS),
    entry("brightness", lighting.brightness, "brighter, hue and saturation kept", HENDRYCKS),
    entry("contrast", lighting.contrast, "values closer to their mean", HENDRYCKS),
    entry(
        "elastic", geometric.elastic, "stretched and bent like rubber", HENDRYCKS, smallest=LENGTHS
    ),
    entry("pixelate", digital.pixelate, "fewer and larger pixels", HENDRYCKS),
    entry("jpeg", digital.jpeg, "stored as a JPEG file of low quality", HENDRYCKS),
)
_THESIS = (
    entry("white-noise", noise.gaussian_noise, "normal noise is added", LAUGROS),
    entry("box-blur", blur.box_blur, "mixed with five 3 x 3 means of itself", LAUGROS),
    entry(
        "artifacts",
        occlusion.artifacts,
        "dotted lines of one grey",
        LAUGROS,
        smallest=LENGTHS,
    ),
    entry(
        "obstruction",
        occlusion.obstruction,
        "a square of one grey hides a part",
        LAUGROS,
        smallest=LENGTHS,
    ),
    entry(
        "translation",
        geometric.translation,
        "moved along both axes, black behind",
        LAUGROS,
        smallest=LENGTHS,
    ),
    entry("rotation", geometric.rotation, "turned about the middle, black behind", LAUGROS),
    entry("brightness-shift", lighting.brightness_shift, "a value is added or taken away", LAUGROS),
    entry("contrast-loss", lighting.contrast_loss, "mixed with its mean", LAUGROS),
    entry(
        "colour-distortion",
        colour.colour_distortion,
        "a value is added to one channel",
        LAUGROS,
        needs_colour=True,
    ),
    entry("flip", geometric.flip, "mirrored, upside down, or both", LAUGROS),
)
_ADDITIONS = (
    entry("quantise", digital.quantise, "rounded to few values", LAUGROS_CODE),
    entry("thumbnail", digital.thumbnail, "made smaller and larger again", LAUGROS_CODE),
    entry("border", occlusion.border, "a frame of one grey", LAUGROS_CODE, smallest=LENGTHS),
    entry("shear", geometric.shear, "upright lines lean over, black behind", LAUGROS_CODE),
    entry("backlight", lighting.backlight, "one side brighter, one darker", LAUGROS_CODE),
    entry("greyscale", colour.greyscale, "mixed with its luminance", LAUGROS, needs_colour=True),
    entry("invert", colour.invert, "a negative", BUSLAEV),
    entry("posterise", digital.posterise, "fewer bits for every number", BUSLAEV),
)
_SHIFTS = (
    entry("darken", lighting.brightness_factor, "every value times a factor below 1", SHIFTS),
    entry("brighten", lighting.brightness_factor, "every value times a factor above 1", SHIFTS),
    entry("gaussian-blur", blur.gaussian_blur, "a Gaussian kernel of 5 x 5 pixels", SHIFTS),
)

_FAMILIES = (
    entry(
        "brightness-factor",
        lighting.brightness_factor,
        "every value times a factor on either side of 1",
        SHIFTS,
    ),
)
_SHARED = {"families": ("gaussian-blur",), "candidates": ("invert",)}
"""Members of a group that are at home in another one."""

_SETS = {
    "imagenet-c": _IMAGENET_C,
    "thesis": _THESIS,
    "additions": _ADDITIONS,
    "shifts": _SHIFTS,
    "families": _FAMILIES,
    "candidates": CANDIDATES,
}


def _adapt(name: str, found: Any) -> Corruption | None:
    """A function's parameters have defaults, which make its one severity."""
    if isinstance(found, Corruption):
        return replace(found, name=name)
    if not callable(found):
        return None
    parameters = settings_of(found, 2).values()
    without = [each.name for each in parameters if each.default is REQUIRED]
    if without:
        raise BadSetting(
            f"corruption '{name}': {', '.join(without)} has no default",
            "give one, or a `Corruption` with a table of values",
        )
    table = Table(values={each.name: (each.default,) for each in parameters})
    return Corruption(name=name, function=found, summary=summary_of(found), tables=(table,))


def _groups(items: Mapping[str, Corruption]) -> Groups:
    found = by_group(items)
    shared = {name: (*found[name], *others) for name, others in _SHARED.items() if name in found}
    return found | shared


@dataclass(eq=False, repr=False)
class Corruptions(Catalog[Corruption]):
    """Corruptions by name, also with strengths of one's own: ``rotation(degrees=(7, 50))``."""

    _chosen: dict[str, Corruption] = field(default_factory=dict, init=False)

    def __getitem__(self, name: str) -> Corruption:
        """The corruption of a name, or of a call; see `sensverify.corruptions.chosen`.

        Raises
        ------
        UnknownName, BackendFailure, BadSetting
            As of other catalogs; or the strengths are none of it.
        """
        if not _is_call(name) or name in self.own:
            return super().__getitem__(name)
        if name not in self._chosen:
            call = parse_call(name)
            self._chosen[name] = choose(super().__getitem__(call.name), call)
        return self._chosen[name]

    def __contains__(self, name: object) -> bool:
        if isinstance(name, str) and _is_call(name):
            name = name.partition("(")[0].strip()
        return super().__contains__(name)

    def select(self, asked: Iterable[str], also: Iterable[str] = ()) -> tuple[str, ...]:
        """The names behind names, calls and groups; calls as `sensverify.registry` spells them.

        Raises
        ------
        UnknownName, BadSetting
            Something is neither; or a call cannot be read.
        """
        also = tuple(also)
        spelled = [
            str(parse_call(name)) if _is_call(name) and name not in also else name for name in asked
        ]
        for name in spelled:
            if _is_call(name) and name not in also:
                self[name]
        return super().select(spelled, also)


def _is_call(name: str) -> bool:
    return "(" in name


CORRUPTIONS: Catalog[Corruption] = Corruptions(
    "corruption",
    {e.name: replace(e, group=group) for group, entries in _SETS.items() for e in entries},
    group="sensverify.corruptions",
    adapt=_adapt,
    takes="a function of images, `Draws` and parameters with defaults, or a `Corruption`",
    arguments=2,
    plain=True,
    grouping=_groups,
    columns={"severities": lambda each: str(each.severities)},
)
"""Every corruption by its name."""
