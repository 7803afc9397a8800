"""From what was asked to arrays: the network, the samples and their boxes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

import numpy as np

from sensverify.classification.perturbation import (
    Clip,
    Perturbation,
    clip_range,
    range_unit,
    read_unit,
)
from sensverify.classification.samples import Samples, find_labels, find_source
from sensverify.core.box import Box
from sensverify.data.dataset import check_range, one_column
from sensverify.errors import BadBox, BadData, BadSetting, BadShape
from sensverify.formats.arrays import read_npz
from sensverify.models.loading import LoadedModel
from sensverify.network import Network
from sensverify.verification.request import VerifyRequest
from sensverify.verification.results import InputFacts


@dataclass(frozen=True, eq=False)
class Question:
    """The boxes to bound, made batch by batch so that many samples do not fill the memory.

    Parameters
    ----------
    facts : InputFacts
    samples : Samples
        Points in the boxes, as the data has them, in the network's shape.
    dtype : str
        Of the computation.
    perturbation : Perturbation or Box
        How far the samples move; or the boxes themselves.
    scale : float
        Radius, in the perturbation's unit.
    """

    facts: InputFacts
    samples: Samples
    dtype: str
    perturbation: Perturbation | Box
    scale: float = 1.0

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def labels(self) -> np.ndarray | None:
        """The samples' labels, where there are any, ``[samples]``."""
        return self.samples.y

    def box(self, part: slice) -> Box:
        """The boxes of some samples, shape ``[batch, *input_shape]``, in float64.

        Rounded outward, here and where they are narrowed to the computation's dtype: they contain
        the boxes around the samples as the data has them.
        """
        if isinstance(self.perturbation, Box):
            return self.perturbation[part]
        return self.perturbation.box(self.samples.x[part], self.scale)

    def center(self, part: slice) -> np.ndarray:
        """The samples in the dtype of the computation, shape ``[batch, *input_shape]``."""
        return self.samples.x[part].astype(self.dtype)


def make_question(request: VerifyRequest, model: LoadedModel) -> Question:
    """The samples and boxes a request names; its model's card fills what it leaves open.

    Raises
    ------
    SensverifyError
        The data, the perturbation and the network do not fit together; says which.
    """
    if request.box is not None:
        return _question_from_box(request, model.network)
    source = find_source(
        request.data,
        [model],
        data_dir=request.data_dir,
        parts=False,
        beside="sample shipped with the model",
        remedy="give `data=NAME` or FILE.npz, or `box=FILE.npz`",
    )
    whole, what = source.data, f"data '{source.data.name}'"
    first, last = check_range(*(request.samples or (None, None)), len(whole), what)
    data = whole.select(first, last).shaped(model.network.input_shape)
    card = model.card
    sigma, radius = request.sigma, request.radius
    if sigma is None and radius is None and card is not None:
        sigma, radius = card.sigma, card.radius
    clip = clip_range(request.clip, None if card is None else card.clip)
    dtype = request.dtype or "float32"
    if not (np.abs(data.x) <= np.finfo(dtype).max).all():
        raise BadData(f"{what}: a value does not fit {dtype}")
    samples = Samples.of(data, prod(model.network.output_shape))
    samples = replace(samples, places=np.arange(first, last), available=len(whole))
    perturbation, scale = _perturbation(radius, sigma, clip, samples)
    shown = str(radius) if isinstance(radius, Path) else radius
    facts = InputFacts(data.name, shown, sigma, clip, None, samples.note)
    perturbation.check(data.x, scale)
    return Question(facts, samples, dtype, perturbation, scale)


def _question_from_box(request: VerifyRequest, network: Network) -> Question:
    arrays = read_npz(str(request.box), required=("lower", "upper"), optional=("y",))
    shape = network.input_shape
    ends = []
    for name in ("lower", "upper"):
        values = arrays[name]
        # A sample may be one number without axes.
        fits = values.ndim >= min(2, 1 + len(shape))
        if not fits or prod(values.shape[1:]) != prod(shape):
            raise BadShape(
                f"'{request.box}': {name} has shape {values.shape}; expected a batch axis and "
                f"then the input shape {shape} of the network"
            )
        # float64 holds every integer below 2 to the 53, float32 would round ends inward.
        ends.append(values.astype(np.float64).reshape(len(values), *shape))
    if ends[0].shape != ends[1].shape or len(ends[0]) == 0:
        raise BadShape(
            f"'{request.box}' needs lower and upper for the same samples, at least one; got "
            f"{len(ends[0])} and {len(ends[1])}"
        )
    try:
        boxes = Box(*ends)
    except BadBox as error:
        raise error.about(f"'{request.box}'") from None
    start, stop = request.samples or (None, None)
    first, last = check_range(start, stop, boxes.batch, f"'{request.box}'")
    boxes = boxes[first:last]
    y = arrays.get("y")
    if y is not None:
        y = one_column(y)
        if y.ndim not in (1, 2) or len(y) != len(ends[0]):
            raise BadShape(f"'{request.box}': y needs one label for each box, got shape {y.shape}")
        y = y[first:last]
    labels, note = find_labels(y, prod(network.output_shape), f"'{request.box}'")
    center = np.clip(boxes.center, boxes.lower, boxes.upper)
    samples = Samples(str(request.box), center, labels, np.arange(first, last), len(ends[0]))
    facts = InputFacts(None, None, None, None, str(request.box), note)
    return Question(facts, samples, request.dtype or "float32", boxes)


def _perturbation(
    radius: float | Path | None, sigma: float | None, clip: Clip | None, samples: Samples
) -> tuple[Perturbation, float]:
    """The perturbation of a request, and its radius in the perturbation's unit."""
    if isinstance(radius, Path):
        return Perturbation(read_unit(radius, samples.x.shape[1:]), clip), 1.0
    if radius is not None:
        return Perturbation(np.ones(()), clip), radius
    if sigma is None:
        raise BadSetting("the size of the perturbation is missing", "give `radius` or `sigma`")
    return Perturbation(range_unit(samples.feature_range, samples.name), clip), sigma
