"""The radii of an evaluation: how far inputs may move, at each step of a curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from sensverify.classification.perturbation import (
    Clip,
    Perturbation,
    array_words,
    clip_range,
    fitted_unit,
    range_unit,
    read_unit,
)
from sensverify.classification.samples import Samples
from sensverify.core.digests import sha256
from sensverify.core.numbers import RangeShare
from sensverify.evaluation.request import MULTIPLES, EvaluateRequest
from sensverify.models.loading import LoadedModel

PLAIN_UNIT = "in the units of the features"
RANGE_UNIT = "shares of each feature's range over the training samples"


@dataclass(frozen=True, eq=False)
class Radii:
    """The radii of an evaluation.

    Parameters
    ----------
    values : tuple of float
        Ascending and above 0; none where nobody says how far inputs may move.
    perturbation : Perturbation
        The unit of a radius in every feature, and the clip range.
    unit : str
        That unit, as reports name it.
    usual : float or None
        The radius that measures are taken at: the card's, else the middle one.
    missing : str
        Why there are no radii; empty where there are.
    asked : mapping to float
        The radii by what the request calls them, such as `RangeShare`.
    """

    values: tuple[float, ...]
    perturbation: Perturbation
    unit: str
    usual: float | None
    missing: str = ""
    asked: Mapping[Any, float] = field(default_factory=dict)

    @property
    def plain(self) -> dict[str, Any]:
        """Everything that decides what a radius means, as plain values."""
        clip = self.perturbation.clip
        unit = np.ascontiguousarray(self.perturbation.unit).tobytes()
        return {
            "unit": self.unit,
            "unit_sha256": sha256(unit),
            "clip": None if clip is None else [str(e) if abs(e) == inf else e for e in clip],
        }


def find_radii(request: EvaluateRequest, models: list[LoadedModel], samples: Samples) -> Radii:
    """The radii of a request, or where it names none, of the first card that does.

    Raises
    ------
    BadData
        Shares of each feature's range are asked for, and the data have no such range.
    BadBox
        A sample lies outside of the clip range.
    BadShape
        The factors for the features do not fit.
    """
    cards = [model.card for model in models if model.card is not None]
    clip = clip_range(request.clip, *(card.clip for card in cards), samples.clip)
    own = samples.clip, *(card.clip for card in cards), clip
    asked, shape = _asked(request, models, samples, own), samples.x.shape[1:]
    unit, name = np.ones(shape), PLAIN_UNIT
    if asked.shares:
        unit = range_unit(samples.feature_range, samples.name, sigma="sigmas", radius="radii")
        name = RANGE_UNIT
    if request.per_feature is not None:
        given = request.per_feature
        if isinstance(given, Path):
            unit, words = unit * read_unit(given, shape), given.name
        else:
            unit = unit * fitted_unit(given, shape, "`per_feature`")
            words = array_words(given)
        name += f", times the factors in {words}"
    perturbation = Perturbation(unit, clip)
    radii = tuple(sorted({radius for radius in asked.radii if radius > 0}))
    usual, missing = asked.usual, asked.missing
    if usual is None and radii:
        usual = radii[(len(radii) - 1) // 2]
    if not radii and not missing:
        missing = "there is no radius above 0 in `radii` or `sigmas`"
    perturbation.check(samples.x, radii[-1] if radii else 0.0)
    named = request.sigmas if request.radii is None else request.radii
    known = dict(zip(named or (), asked.radii, strict=False))
    return Radii(radii, perturbation, name, usual, missing, known)


@dataclass(frozen=True)
class _Asked:
    """Radii, or shares of each feature's range; the one on a card; or why there are none."""

    radii: tuple[float, ...] = ()
    shares: bool = False
    usual: float | None = None
    missing: str = ""


def _asked(
    request: EvaluateRequest,
    models: list[LoadedModel],
    samples: Samples,
    own: Sequence[Clip | None],
) -> _Asked:
    if request.radii is not None:
        return _Asked(
            tuple(
                each.of(*own, data=samples.name) if isinstance(each, RangeShare) else each
                for each in request.radii
            )
        )
    if request.sigmas is not None:
        return _Asked(request.sigmas, shares=True)
    card = next((model.card for model in models if model.card is not None), None)
    if card is None:
        return _Asked(missing="nobody says how far inputs may move; give `radii` or `sigmas`")
    if card.sigma is not None and samples.feature_range is None:
        return _Asked(
            missing="the card says how far inputs may move as a share of each feature's range, and "
            "the data have no feature_range; give `radii`, or an .npz file that holds that array"
        )
    usual = card.radius if card.sigma is None else card.sigma
    assert usual is not None, "a card has one of the two"
    # Without the last digits that a multiplication leaves.
    radii = tuple(float(f"{usual * multiple:.12g}") for multiple in MULTIPLES)
    return _Asked(radii, shares=card.sigma is not None, usual=usual)
