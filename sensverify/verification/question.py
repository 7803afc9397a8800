"""From what was asked to arrays: the network, the samples and their boxes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from sensverify.classification.perturbation import (
    Clip,
    Perturbation,
    array_words,
    clip_range,
    fitted_unit,
    range_unit,
    read_unit,
)
from sensverify.classification.rivals import Rivals
from sensverify.classification.samples import Samples, find_labels
from sensverify.classification.sources import find_source
from sensverify.core.box import Box
from sensverify.core.digests import sha256_of_arrays
from sensverify.core.numbers import RangeShare
from sensverify.core.sets import InputSet
from sensverify.data.dataset import check_range
from sensverify.data.labels import one_column
from sensverify.data.named import named_data, read_box
from sensverify.errors import BadBox, BadData, BadSetting, BadShape
from sensverify.models.loading import LoadedModel
from sensverify.network import Network
from sensverify.network.operators import Operator, Reshape, Sigmoid
from sensverify.network.signature import Port, listed
from sensverify.verification.confusions import costly, pairs
from sensverify.verification.input_sets import AskedSet
from sensverify.verification.request import VerifyRequest
from sensverify.verification.results import InputFacts
from sensverify.verification.sample_result import Judged

_CHECKED_AT_ONCE = 256
"""Samples whose input sets are made at a time."""

SIGMOIDS = (
    "each output is a sigmoid of its own, so that several classes may hold at once: a class counts "
    "as kept where its output stays the largest"
)


class _Numbered(Protocol):
    """The result of a sample, which has a position in the data set."""

    @property
    def index(self) -> int: ...


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
    judged : str
        Whether a sample's label is asked to keep its place among the outputs, or its prediction.
    confusions : numpy array or None, shape ``[outputs, outputs]``, boolean
        By class, what it may not be taken for; None: any other.
    places : int
        The class is asked to stay among so many largest outputs.
    inside : AskedSet or None
        The part of the boxes that is asked about, or the images that are; None: whole boxes.
    """

    facts: InputFacts
    samples: Samples
    dtype: str
    perturbation: Perturbation | Box
    scale: float = 1.0
    judged: Judged = "nothing"
    confusions: np.ndarray | None = None
    places: int = 1
    inside: AskedSet | None = None

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def labels(self) -> np.ndarray | None:
        """The samples' labels, where there are any, ``[samples]``."""
        return self.samples.y

    @property
    def pixels(self) -> Clip | None:
        """Values of black and white where samples are images; None where they are none.

        Those of the clip range, of the data or, where neither has one, 0 and 1, if the samples
        keep to them.
        """
        if self.samples.image_shape is None:
            return None
        own, clip = self.perturbation, self.samples.clip
        if isinstance(own, Perturbation) and own.bounded:
            clip = own.clip
        low, high = clip or (0.0, 1.0)
        x = self.samples.x
        known = np.isfinite([low, high]).all() and low < high
        return (low, high) if known and low <= x.min() and x.max() <= high else None

    @property
    def digest(self) -> str:
        """SHA-256 of the samples, of their labels, and of how far each feature moves.

        Not of a radius that is one number for all features.
        """
        moves = self.perturbation
        if isinstance(moves, Box):
            ends = [moves.lower, moves.upper]
        else:
            ends = [moves.unit] if moves.unit.ndim else []
        return sha256_of_arrays(self.samples.x, self.samples.y, *ends)

    def inputs(
        self, every: Sequence[_Numbered], some: Iterable[_Numbered]
    ) -> dict[int, np.ndarray]:
        """The inputs of some samples by their index, as copies: nothing keeps all of the data.

        Parameters
        ----------
        every : sequence
            Results of the first samples, in their order.
        some : iterable
            Those of them whose inputs are wanted.
        """
        places = {each.index: place for place, each in enumerate(every)}
        return {each.index: self.samples.x[places[each.index]].copy() for each in some}

    @property
    def confusions_sha256(self) -> str | None:
        """SHA-256 of which confusions are asked about; None where that is any."""
        return None if self.confusions is None else sha256_of_arrays(self.confusions)

    def rivals(self, part: slice, output: Tensor) -> Rivals | None:
        """The classes that are asked to keep their places, and the outputs that may not take them.

        Parameters
        ----------
        part : slice
        output : Tensor, shape ``[batch, outputs]``
            At the samples; the predictions are judged where there are no labels.
        """
        if self.judged == "nothing":
            return None
        labels = output.argmax(dim=1)
        if self.labels is not None:
            labels = torch.from_numpy(self.labels[part]).to(output.device)
        if self.confusions is None:
            return Rivals.of(labels, output.shape[1], self.places)
        return Rivals(labels, torch.from_numpy(self.confusions).to(labels.device)[labels])

    def box(self, part: slice) -> Box:
        """The boxes of some samples, shape ``[batch, *input_shape]``, in float64.

        An `InputSet` where less than the boxes is asked about.
        Rounded outward, here and where they are narrowed to the computation's dtype: they contain
        the boxes around the samples as the data has them.
        """
        if isinstance(self.perturbation, Box):
            box = self.perturbation[part]
        else:
            box = self.perturbation.box(self.samples.x[part], self.scale)
        if self.inside is None:
            return box
        return self.inside.around(self.samples.x[part], box, self.scale)

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
        return _judging(_question_from_box(request, model), request, model)
    source = find_source(
        named_data(request.data, model.signature),
        [model],
        data_dir=request.data_dir,
        part=request.part,
        beside="sample shipped with the model",
        remedy="give `data=NAME` or a file, or `box=FILE.npz`",
    )
    whole, what = source.data, f"data '{source.data.name}'"
    if source.part not in (None, "all"):
        what = f"the {source.part} part of {what}"
    first, last = check_range(*(request.samples or (None, None)), len(whole), what)
    data = whole.select(first, last).shaped(model.network.input_shape)
    card = model.card
    sigma, radius = request.sigma, request.radius
    assert not isinstance(sigma, str), "a request has read its texts"
    assert not isinstance(radius, str), "a request has read its texts"
    if sigma is None and radius is None and card is not None:
        sigma, radius = card.sigma, card.radius
    on_card = None if card is None else card.clip
    clip = clip_range(request.clip, on_card, data.clip)
    if isinstance(radius, RangeShare):
        radius = radius.of(data.clip, on_card, clip, data=data.name)
    inside = AskedSet.of(request)
    if inside is not None:
        radius, sigma, clip = _of_set(inside, request, radius, sigma, clip)
    dtype = request.dtype or "float32"
    if not (np.abs(data.x) <= np.finfo(dtype).max).all():
        raise BadData(f"{what}: a value does not fit {dtype}")
    samples = Samples.of(data, prod(model.network.output_shape))
    places, classes = np.arange(first, last), source.classes
    samples = replace(samples, places=places, available=len(whole), classes=classes)
    perturbation, scale = _perturbation(radius, sigma, clip, samples)
    shown = str(radius) if isinstance(radius, Path) else radius
    if isinstance(radius, np.ndarray):
        shown = array_words(radius)
    facts = InputFacts(data.name, shown, sigma, clip, None, samples.note, source.part)
    perturbation.check(data.x, scale)
    question = Question(facts, samples, dtype, perturbation, scale)
    if inside is not None:
        question = _about_set(question, inside)
    return _judging(question, request, model)


def _of_set(
    inside: AskedSet,
    request: VerifyRequest,
    radius: float | Path | np.ndarray | None,
    sigma: float | None,
    clip: Clip | None,
) -> tuple[Any, float | None, Clip | None]:
    """The radius of the boxes around an input set, a sigma and the clip range."""
    if inside.name == "vary":
        return 0.0, None, clip
    if inside.name == "norm" and not isinstance(radius, float | int):
        raise BadSetting("`norm` needs a radius that is one number for all features")
    if inside.wants_range and request.radius is None and request.sigma is None:
        if clip is None or not np.isfinite(clip).all():
            raise BadSetting(
                f"`{inside.name}` needs to know how far a pixel may move",
                "give `clip` or `radius`",
            )
        return clip[1] - clip[0], None, clip
    return radius, sigma, clip


def _about_set(question: Question, inside: AskedSet) -> Question:
    """The question about an input set, after a look at whether every sample is in its own."""
    inside = replace(inside, clip=question.facts.clip)
    question = replace(question, inside=inside)
    facts, x = question.facts, question.samples.x
    for first in range(0, len(x), _CHECKED_AT_ONCE):
        question.box(slice(first, first + _CHECKED_AT_ONCE))
    box = question.box(slice(0, 1))
    assert isinstance(box, InputSet)
    told = inside.facts(x, box.enclosing, question.scale)
    own = None if inside.name == "vary" else facts.radius
    return replace(question, facts=replace(facts, radius=own, set=told))


def _judging(question: Question, request: VerifyRequest, model: LoadedModel) -> Question:
    """The question with what is asked of classes.

    Boxes without labels have no sample to predict a class at, and samples with the targets of a
    regression no class, unless a threshold makes two.
    """
    outputs, labels = prod(model.network.output_shape), question.labels
    regression = (
        isinstance(question.perturbation, Box)
        or (question.facts.note is not None and request.threshold is None)
        or (labels is None and (request.max_deviation, request.output_range) != (None, None))
    )
    several = () if model.signature is None else model.signature.outputs
    judged: Judged = "label"
    if len(several) > 1:
        question = _without_classes(question, several)
        judged = "nothing"
    elif labels is None:
        judged = "nothing" if regression or outputs < 2 else "prediction"
    named = ("top_k", "targets", "costs", "per_class")
    asked = [f"`{name}`" for name in named if getattr(request, name) not in (None, False)]
    if judged == "nothing":
        if asked:
            if len(several) > 1:
                raise BadSetting(
                    f"{asked[0]} is about classes, and '{model.name}' has the outputs "
                    f"{listed(several)}",
                    "choose the one with the classes by `output`",
                )
            raise BadSetting(
                f"{asked[0]} is about classes, and nothing says which the samples are of",
                "give data with labels y" if outputs > 1 else "give `threshold`",
            )
        return question
    if request.top_k is not None and request.top_k >= outputs:
        raise BadSetting(
            f"`top_k={request.top_k}` of {outputs} outputs asks nothing",
            f"give a number below {outputs}",
        )
    confusions = None
    if request.targets is not None:
        names = model.class_names or question.samples.classes
        confusions = pairs(request.targets, outputs, names)
    if request.costs is not None:
        confusions = costly(request.costs, outputs)
    if model.head is None and _last(model.network) is Sigmoid:
        note = "; ".join(filter(None, (question.facts.note, SIGMOIDS)))
        question = replace(question, facts=replace(question.facts, note=note))
    if confusions is not None and labels is not None and not confusions[labels].any():
        raise BadData(
            f"{asked[0]} asks nothing of any sample: none has a label that it is about",
            "take other samples",
        )
    return replace(question, judged=judged, confusions=confusions, places=request.top_k or 1)


def _without_classes(question: Question, outputs: Sequence[Port]) -> Question:
    """The question of a network with several outputs, where no label says of which it is one."""
    note = (
        f"there are the outputs {listed(outputs)}, and nothing is asked of classes; `output` "
        "chooses one of them"
    )
    note = "; ".join(filter(None, (question.facts.note, note)))
    samples = replace(question.samples, y=None)
    return replace(question, samples=samples, facts=replace(question.facts, note=note))


def _last(network: Network) -> type[Operator]:
    """The last operator that does more than move numbers."""
    last = network.nodes[-1]
    while isinstance(last.operator, Reshape):
        last = network.nodes[last.inputs[0]]
    return type(last.operator)


def _question_from_box(request: VerifyRequest, model: LoadedModel) -> Question:
    network = model.network
    arrays = read_box(str(request.box), model.signature)
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
    inside = AskedSet.of(request)
    if inside is not None:
        center = inside.points(boxes)
    samples = Samples(str(request.box), center, labels, np.arange(first, last), len(ends[0]))
    facts = InputFacts(None, None, None, None, str(request.box), note)
    question = Question(facts, samples, request.dtype or "float32", boxes)
    return question if inside is None else _about_set(question, inside)


def _perturbation(
    radius: float | Path | np.ndarray | None,
    sigma: float | None,
    clip: Clip | None,
    samples: Samples,
) -> tuple[Perturbation, float]:
    """The perturbation of a request, and its radius in the perturbation's unit."""
    if isinstance(radius, np.ndarray):
        unit = fitted_unit(radius, samples.x.shape[1:], "`radius`")
        return Perturbation(unit, clip), 1.0
    if isinstance(radius, Path):
        return Perturbation(read_unit(radius, samples.x.shape[1:]), clip), 1.0
    if radius is not None:
        return Perturbation(np.ones(()), clip), radius
    if sigma is None:
        raise BadSetting("the size of the perturbation is missing", "give `radius` or `sigma`")
    return Perturbation(range_unit(samples.feature_range, samples.name), clip), sigma
