"""How far inputs may move: radii, what a radius of 1 means for each feature, and the clip range."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sensverify.bounds.tensors import flattened, tensor_box
from sensverify.core.box import Box, scaled_up
from sensverify.errors import BadData
from sensverify.evaluation.request import MULTIPLES, EvaluateRequest
from sensverify.evaluation.samples import Samples, read_factors
from sensverify.models.loading import LoadedModel

_AT_ONCE = 64

PLAIN_UNIT = "in the units of the features"
RANGE_UNIT = "shares of each feature's range over the training samples"


@dataclass(frozen=True, eq=False)
class Perturbation:
    """The boxes around samples.

    Parameters
    ----------
    radii : tuple of float
        Ascending and above 0; none where nobody says how far inputs may move.
    unit : numpy array, shape ``[*shape]``, float64
        What a radius is multiplied with, feature by feature.
    words : str
        The same in words.
    clip : (low, high) or None
    usual : float or None
        The radius that measures are taken at: the card's, else the middle one.
    missing : str
        Why there are no radii; empty where there are.
    """

    radii: tuple[float, ...]
    unit: np.ndarray
    words: str
    clip: tuple[float, float] | None
    usual: float | None
    missing: str = ""

    @property
    def bounded(self) -> bool:
        """Whether inputs have a finite range."""
        return self.clip is not None and not {-inf, inf} & set(self.clip)

    def box(self, x: Tensor, radius: float) -> Box:
        """Boxes of tensors around samples, on their device, in float32.

        Rounded outward, once: what is certified on such a box and what an attack finds in it are
        about the same inputs, and the box of a larger radius contains that of a smaller one.

        Parameters
        ----------
        x : Tensor, shape ``[samples, *input_shape]``, float32
        radius : float
        """
        reach = scaled_up(radius, self.unit).reshape(x.shape[1:])
        parts = []
        for part in x.detach().split(_AT_ONCE):
            # In double precision some samples at a time: there may be many, and large ones.
            ends = Box.around(part.cpu().double().numpy(), reach, clip=self.clip)
            parts.append(tensor_box(ends, dtype=torch.float32, device=x.device))
        return Box(
            torch.cat([part.lower for part in parts]), torch.cat([part.upper for part in parts])
        )

    def whole_range(self, x: Tensor) -> Box:
        """The clip range, which is finite, for every sample; features of unit 0 do not move."""
        assert self.clip is not None
        moves = torch.from_numpy(self.unit.reshape(x.shape[1:]) > 0).to(x.device)
        low, high = (torch.where(moves, torch.full_like(x, end), x) for end in self.clip)
        # The sample is inside where the ends have been rounded to float32, too.
        return Box(torch.minimum(low, x), torch.maximum(high, x))

    def reaches(self, x: Tensor, points: Tensor) -> Tensor:
        """The smallest radius whose box holds a point, ``[samples]`` in float64, rounded up.

        Infinite where a feature has moved that has the unit 0.
        """
        moved = flattened((points.double() - x.double()).abs())
        unit = torch.from_numpy(self.unit).to(moved).flatten()
        share = torch.where(moved > 0, moved / unit, 0.0)
        farthest = share.amax(dim=1)
        up = torch.nextafter(farthest, torch.full_like(farthest, inf))
        return torch.where(farthest > 0, up, 0.0)

    @property
    def plain(self) -> dict[str, Any]:
        """Everything that decides what a radius means, as plain values."""
        clip = None if self.clip is None else [_plain_end(end) for end in self.clip]
        digest = hashlib.sha256(np.ascontiguousarray(self.unit).tobytes()).hexdigest()
        return {"unit": self.words, "unit_sha256": digest, "clip": clip}


def find_perturbation(
    request: EvaluateRequest, models: list[LoadedModel], samples: Samples
) -> Perturbation:
    """What the request says, and where it says nothing, the first card that does.

    Raises
    ------
    BadData
        Shares of each feature's range are asked for, and the data have no such range.
    BadBox
        A sample lies outside of the clip range.
    BadShape
        The factors for the features do not fit.
    """
    asked = _asked(request, models, samples)
    unit, words = np.ones(samples.x.shape[1:]), PLAIN_UNIT
    if asked.shares:
        assert samples.feature_range is not None
        unit, words = samples.feature_range.astype(np.float64), RANGE_UNIT
    if request.per_feature is not None:
        unit = unit * read_factors(request.per_feature, unit.shape)
        words += f", times the factors in {request.per_feature.name}"
    radii = tuple(sorted({radius for radius in asked.radii if radius > 0}))
    usual, missing = asked.usual, asked.missing
    if usual is None and radii:
        usual = radii[(len(radii) - 1) // 2]
    if not radii and not missing:
        missing = "there is no radius above 0 in --radii or --sigmas"
    found = Perturbation(radii, unit, words, _clip(request, models, samples), usual, missing)
    # The outermost samples stand for all: what is wrong with the clip range is said before any
    # work is done.
    extremes = np.stack([samples.x.min(axis=0), samples.x.max(axis=0)])
    found.box(torch.from_numpy(extremes), radii[-1] if radii else 0.0)
    return found


@dataclass(frozen=True)
class _Asked:
    """Radii, or shares of each feature's range; the one on a card; or why there are none."""

    radii: tuple[float, ...] = ()
    shares: bool = False
    usual: float | None = None
    missing: str = ""


def _asked(request: EvaluateRequest, models: list[LoadedModel], samples: Samples) -> _Asked:
    """What the request says, else the first card."""
    if request.radii is not None:
        return _Asked(request.radii)
    if request.sigmas is not None:
        if samples.feature_range is None:
            raise BadData(
                f"data '{samples.name}' has no feature_range, which --sigmas needs; add that array "
                "to the file, or give --radii"
            )
        return _Asked(request.sigmas, shares=True)
    card = next((model.card for model in models if model.card is not None), None)
    if card is None:
        return _Asked(missing="nobody says how far inputs may move; give --radii or --sigmas")
    if card.sigma is not None and samples.feature_range is None:
        return _Asked(
            missing="the card says how far inputs may move as a share of each feature's range, and "
            "the data have no feature_range; give --radii, or add that array to the file"
        )
    usual = card.radius if card.sigma is None else card.sigma
    assert usual is not None, "a card has one of the two"
    radii = tuple(_tidy(usual * multiple) for multiple in MULTIPLES)
    return _Asked(radii, shares=card.sigma is not None, usual=usual)


def _clip(
    request: EvaluateRequest, models: list[LoadedModel], samples: Samples
) -> tuple[float, float] | None:
    clip = request.clip
    if clip is None:
        cards = [model.card.clip for model in models if model.card is not None]
        given = next((each for each in cards if each is not None), samples.clip)
        clip = None if given is None else (float(given[0]), float(given[1]))
    return None if clip == (-inf, inf) else clip


def _tidy(radius: float) -> float:
    """Without the last digits that a multiplication leaves."""
    return float(f"{radius:.12g}")


def _plain_end(end: float) -> float | str:
    return str(end) if abs(end) == inf else end
