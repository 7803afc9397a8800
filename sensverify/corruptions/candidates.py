"""The candidates of table 4.2 of Laugros' thesis, whose strength every image draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

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
from sensverify.corruptions.corruption import Corruption
from sensverify.corruptions.entry import LENGTHS, entry
from sensverify.corruptions.parameters import CANDIDATES as SOURCE


def _entry(name: str, function: Callable[..., Tensor], summary: str, **needs: Any) -> Corruption:
    return entry(f"candidate-{name}", function, summary, SOURCE, **needs)


CANDIDATES = (
    _entry("affine", geometric.scaled, "smaller, black around"),
    _entry("blur", blur.mean_blur, "the mean of a square", smallest=LENGTHS),
    _entry(
        "border",
        geometric.framed,
        "the middle alone, mirrored around it",
        smallest=LENGTHS,
    ),
    _entry(
        "channel-dropout",
        colour.channel_dropout,
        "one channel is black",
        needs_colour=True,
    ),
    _entry(
        "coarse-dropout",
        occlusion.holes,
        "many small black squares",
        smallest=LENGTHS,
    ),
    _entry(
        "cutout",
        occlusion.cutout,
        "eight large black squares",
        smallest=LENGTHS,
    ),
    _entry(
        "downscale",
        digital.downscale,
        "made smaller and larger again, by the nearest pixel",
    ),
    _entry("emboss", digital.emboss, "edges as of a relief"),
    _entry(
        "flip",
        geometric.drawn_flip,
        "mirrored, upside down, or both, as chance has it",
    ),
    _entry(
        "gaussian-blur",
        blur.drawn_gaussian_blur,
        "a Gaussian kernel of some width",
        smallest=LENGTHS,
    ),
    _entry("noise", noise.drawn_noise, "normal noise of some strength is added"),
    _entry(
        "jpeg",
        digital.drawn_jpeg,
        "stored as a JPEG file of some low quality",
    ),
    _entry(
        "median-blur",
        blur.median_blur,
        "the median of a square",
        smallest=LENGTHS,
    ),
    _entry(
        "multiplicative-noise",
        noise.multiplicative_noise,
        "every pixel times a factor",
    ),
    _entry("posterise", digital.posterise, "two bits of every number"),
    _entry("brightness", lighting.added, "some value is added or taken away"),
    _entry("contrast", lighting.multiplied, "every value times some factor"),
    _entry("gamma", lighting.gamma, "every value to some high power"),
    _entry("grid-shuffle", geometric.grid_shuffle, "equal tiles change places"),
    _entry(
        "rgb-shift",
        colour.channel_shift,
        "a value is added to each channel",
        needs_colour=True,
    ),
    _entry(
        "rotation",
        geometric.drawn_rotation,
        "turned by some angle, mirrored behind",
    ),
    _entry("sharpen", digital.sharpen, "mixed with its edges"),
    _entry("solarise", colour.solarise, "a negative of what is bright"),
    _entry(
        "sepia",
        colour.sepia,
        "the brown of old photographs",
        needs_colour=True,
    ),
    _entry(
        "shift",
        geometric.drawn_shift,
        "moved along both axes, mirrored behind",
    ),
    _entry(
        "colour-jitter",
        colour.colour_jitter,
        "brightness, contrast, saturation and hue change in some order",
        needs_colour=True,
    ),
    _entry(
        "elastic", geometric.drawn_elastic, "stretched as by three of its points", smallest=LENGTHS
    ),
    _entry(
        "grid-distortion",
        geometric.grid_distortion,
        "columns and rows of a grid become uneven",
        smallest=LENGTHS,
    ),
    _entry(
        "hue-saturation-value",
        colour.hue_saturation_value,
        "hue, saturation and value move either way",
        needs_colour=True,
    ),
    _entry("iso-noise", noise.sensor_noise, "noise of a camera in the dark", needs_colour=True),
    _entry("motion-blur", blur.line_blur, "the mean along some line", smallest=LENGTHS),
    _entry(
        "optical-distortion",
        geometric.optical_distortion,
        "bent as by a lens, mirrored behind",
    ),
    _entry("perspective", geometric.perspective, "a part of it, seen from aside"),
    _entry("fog", weather.haze, "discs of fog, blurred"),
    _entry("rain", weather.rain, "grey strokes, blurred, and darker", smallest=LENGTHS),
    _entry("shadow", lighting.shadows, "some polygons are half as light"),
    _entry("snow", weather.bleached, "what is dark becomes lighter"),
    _entry(
        "sun-flare", weather.sun_flare, "a white light that fades out, and spots", smallest=LENGTHS
    ),
)
