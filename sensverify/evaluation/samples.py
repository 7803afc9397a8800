"""The samples of an evaluation, which all of its networks are evaluated on."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
from torch import nn

from sensverify.classification.samples import Samples, spread
from sensverify.classification.sources import Source, find_source
from sensverify.data.dataset import check_fits, check_range, image_kind
from sensverify.errors import BadData, BadSetting, BadShape
from sensverify.evaluation.request import COUNT, EvaluateRequest
from sensverify.models.loading import LoadedModel

_USER = "an evaluation"


def load_samples(request: EvaluateRequest, models: list[LoadedModel]) -> Samples:
    """The samples that a request names, with labels, in float32 and as images where they are any.

    Raises
    ------
    SensverifyError
        There are none, they have no labels, or they do not fit a network; says which.
    """
    source = find_source(request.data, models, data_dir=request.data_dir)
    for model in models:
        _check_fits(source, model, named=request.data is not None)
    data, networks = source.data, [model.network for model in models]
    outputs = prod(networks[0].output_shape)
    shapes = [data.x.shape[1:], *(network.input_shape for network in networks)]
    shape = next((shape for shape in shapes if image_kind(shape)), shapes[0])
    samples = Samples.of(data, outputs, needed_by=_USER, shape=shape)
    places, chosen = _chosen(request, len(data), data.name)
    train = None
    if source.train is not None and request.train_samples > 0:
        part = "training part of"
        train = Samples.of(source.train, outputs, part=part, needed_by=_USER, shape=shape)
        train = train[spread(len(train), request.train_samples)]
    return replace(samples[places], classes=source.classes, chosen=chosen, train=train)


def module_shape(request: EvaluateRequest) -> tuple[int, ...]:
    """Shape of a sample of the modules of a request: that of the data; none without a module.

    Raises
    ------
    BadSetting
        There are modules, and no data are named.
    SensverifyError
        There are no such data.
    """
    if not any(isinstance(each, nn.Module) for each in request.models):
        return ()
    if request.input_shape is not None:
        return request.input_shape
    if request.data is None:
        raise BadSetting("a module does not say which inputs it takes", "give `data`")
    return find_source(request.data, [], data_dir=request.data_dir).data.x.shape[1:]


def _chosen(request: EvaluateRequest, count: int, name: str) -> tuple[np.ndarray, str]:
    """Numbers of the samples to take, and in words which these are."""
    if request.samples is not None:
        first, last = check_range(*request.samples, count, f"the test part of data '{name}'")
        return np.arange(first, last), f"numbers {first} to {last - 1} of the test part"
    wanted = COUNT if request.count is None else request.count
    if wanted >= count:
        return np.arange(count), "all of the test part"
    return spread(count, wanted), "evenly spread over the test part"


def _check_fits(source: Source, model: LoadedModel, *, named: bool) -> None:
    """Refuse data that a network cannot take, or, where they are named, of other classes."""
    check_fits(source.data, model.network.input_shape, f"the network '{model.name}'")
    outputs = prod(model.network.output_shape)
    if outputs < 2:
        raise BadShape(
            f"the network '{model.name}' has {outputs} output, and classes are told apart by two "
            "or more",
            "'sensverify verify' bounds what it can give",
        )
    if named and source.classes and len(source.classes) != outputs:
        raise BadData(
            f"data '{source.data.name}' has {len(source.classes)} classes, but the network "
            f"'{model.name}' has {outputs} outputs",
            "give the data it was trained for",
        )
