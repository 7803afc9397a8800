"""From what was asked to arrays: the network, the samples and their boxes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sensverify.classification.perturbation import (
    Clip,
    Perturbation,
    clip_range,
    range_unit,
    read_unit,
)
from sensverify.core.box import Box
from sensverify.data import Dataset, load_data, read_dataset
from sensverify.data.dataset import check_range, class_labels, holds_labels, one_column
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
    first : int
        Index of the first sample in its data set.
    dtype : str
        Of the computation.
    x : numpy array, shape ``[samples, *input_shape]``
        Points in the boxes, as the data has them.
    labels : numpy array or None, shape ``[samples]``, int64
    perturbation : Perturbation or Box
        How far the samples move; or the boxes themselves.
    scale : float
        Radius, in the perturbation's unit.
    """

    facts: InputFacts
    first: int
    dtype: str
    x: np.ndarray
    labels: np.ndarray | None
    perturbation: Perturbation | Box
    scale: float = 1.0

    def __len__(self) -> int:
        return len(self.x)

    def box(self, part: slice) -> Box:
        """The boxes of some samples, shape ``[batch, *input_shape]``, in float64.

        Rounded outward, here and where they are narrowed to the computation's dtype: they contain
        the boxes around the samples as the data has them.
        """
        if isinstance(self.perturbation, Box):
            return self.perturbation[part]
        return self.perturbation.box(self.x[part], self.scale)

    def center(self, part: slice) -> np.ndarray:
        """The samples in the dtype of the computation, shape ``[batch, *input_shape]``."""
        return self.x[part].astype(self.dtype)


def make_question(request: VerifyRequest, model: LoadedModel) -> Question:
    """The samples and boxes a request names; its model's card fills what it leaves open.

    Raises
    ------
    SensverifyError
        The data, the perturbation and the network do not fit together; says which.
    """
    if request.box is not None:
        return _question_from_box(request, model.network)
    data = _data(request, model)
    start, stop = request.samples or (None, None)
    first, last = check_range(start, stop, len(data), f"data '{data.name}'")
    data = data.select(first, last).shaped(model.network.input_shape)
    card = model.card
    sigma, radius = request.sigma, request.radius
    if sigma is None and radius is None and card is not None:
        sigma, radius = card.sigma, card.radius
    clip = clip_range(request.clip, None if card is None else card.clip)
    perturbation, scale = _perturbation(radius, sigma, clip, data)
    dtype = request.dtype or "float32"
    if not (np.abs(data.x) <= np.finfo(dtype).max).all():
        raise BadData(f"data '{data.name}': a value does not fit {dtype}")
    labels, note = _labels(data.y, model.network, f"data '{data.name}'")
    shown = str(radius) if isinstance(radius, Path) else radius
    facts = InputFacts(data.name, shown, sigma, clip, None, note)
    perturbation.check(data.x, scale)
    return Question(facts, first, dtype, data.x, labels, perturbation, scale)


def _question_from_box(request: VerifyRequest, network: Network) -> Question:
    arrays = read_npz(str(request.box), required=("lower", "upper"), optional=("y",))
    shape = network.input_shape
    ends = []
    for name in ("lower", "upper"):
        values = arrays[name]
        # A sample may be one number without axes.
        fits = values.ndim >= min(2, 1 + len(shape))
        if not fits or int(np.prod(values.shape[1:])) != int(np.prod(shape)):
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
    labels, note = _labels(y, network, f"'{request.box}'")
    center = np.clip(boxes.center, boxes.lower, boxes.upper)
    facts = InputFacts(None, None, None, None, str(request.box), note)
    return Question(facts, first, request.dtype or "float32", center, labels, boxes)


def _data(request: VerifyRequest, model: LoadedModel) -> Dataset:
    if request.data is not None:
        return load_data(request.data, data_dir=request.data_dir)
    if model.card is None or model.sample is None:
        raise BadData(
            f"model '{model.name}' has no card that names its data",
            "give `data=NAME` or FILE.npz, or `box=FILE.npz`",
        )
    return read_dataset(model.sample, name=f"{model.card.data} (sample shipped with the model)")


def _perturbation(
    radius: float | Path | None, sigma: float | None, clip: Clip | None, data: Dataset
) -> tuple[Perturbation, float]:
    """The perturbation of a request, and its radius in the perturbation's unit."""
    if isinstance(radius, Path):
        return Perturbation(read_unit(radius, data.x.shape[1:]), clip), 1.0
    if radius is not None:
        return Perturbation(np.ones(()), clip), radius
    if sigma is None:
        raise BadSetting("the size of the perturbation is missing", "give `radius` or `sigma`")
    return Perturbation(range_unit(data.feature_range, data.name), clip), sigma


def _labels(
    y: np.ndarray | None, network: Network, what: str
) -> tuple[np.ndarray | None, str | None]:
    """The labels, where there are any; and what to say of a y that holds none."""
    outputs = int(np.prod(network.output_shape))
    # With one output there is nothing to be the largest of: y is the target of a regression.
    if y is None or outputs < 2:
        return None, None
    if not holds_labels(y):
        kind = f"{y.dtype} of shape {y.shape}"
        return None, f"y of {what} ({kind}) holds targets and no labels; it is left out"
    return class_labels(y, outputs, what), None
