"""From a call in Python to a request, and from a request to its model and its method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from math import prod
from typing import Any, TypeVar

import numpy as np

from sensverify.bounds.limits import with_limits, with_seed
from sensverify.bounds.method import METHODS, Method
from sensverify.data import load_data
from sensverify.data.memory import data_beside
from sensverify.data.named import is_named
from sensverify.errors import BadSetting
from sensverify.models.loading import LoadedModel, ModelFacts, given_model, load_model
from sensverify.network import Network
from sensverify.verification.one_output import threshold_names
from sensverify.verification.request import VerifyRequest

Request = TypeVar("Request", bound=VerifyRequest)

_LARGEST_BATCH = 256
_BATCH_NUMBERS = 1 << 25
"""Neurons times objectives times samples that one batch aims at: it paces the progress bar; the
front door's memory budget is what bounds the memory."""


def whole_request(
    kind: type[Request], given: Any, x: Any, y: Any, settings: Mapping[str, Any]
) -> Request:
    """A request that is given whole, or as a model with samples and settings.

    Raises
    ------
    BadSetting
        Something is given twice.
    """
    if isinstance(given, kind):
        beside = {"x": x, "y": y, **settings}
        named = [name for name, value in beside.items() if value is not None]
        if named:
            raise BadSetting(
                f"a request has its settings, got {', '.join(named)} beside it",
                f"give them to {kind.__name__}",
            )
        return given
    data = data_beside(settings.get("data"), x, y)
    return kind(given, **{**settings, "data": data})


def asked_model(request: VerifyRequest) -> LoadedModel:
    """The model of a request, loaded.

    Raises
    ------
    SensverifyError
        There is no such model, or it cannot be used.
    """
    given = given_model(request.model, partial(_input_shape, request))
    return load_model(given, runtime_check=request.runtime_check, ends=request.ends)


def _input_shape(request: VerifyRequest) -> Any:
    """Shape of one sample, for a module, which does not know it; of several inputs of each."""
    if request.input_shape is not None:
        return request.input_shape
    if request.data is None:
        raise BadSetting(
            "a module does not say which shape its inputs have, and no data do",
            "give samples, or `input_shape`",
        )
    if is_named(request.data):
        named = {k: np.shape(values)[1:] for k, values in request.data.items() if k != "y"}
        return {str(name): tuple(map(int, shape)) for name, shape in named.items()}
    return load_data(request.data, data_dir=request.data_dir).x.shape[1:]


def batch_size(network: Network, method: Method) -> int:
    """The number of samples that are bounded at once."""
    neurons = max(prod(node.shape) for node in network.nodes)
    rows = 2 * prod(network.output_shape)
    size = max(1, min(_LARGEST_BATCH, _BATCH_NUMBERS // (neurons * rows)))
    # Exact methods may need long for one sample, and say how many they gain from at once.
    return min(size, method.samples_at_once or size)


def facts_of(model: LoadedModel, request: VerifyRequest, unstable: float | None) -> ModelFacts:
    """The facts about the model; a threshold names its classes."""
    facts = model.facts(unstable=unstable)
    if request.threshold is None:
        return facts
    return replace(facts, output_names=threshold_names(request.threshold))


def method_of(request: VerifyRequest) -> Method:
    """The method that a request names, with its settings and its limits."""
    call, method = METHODS.resolve(request.method, request.settings)
    method = with_limits(
        method,
        seconds=request.timeout,
        objective_seconds=request.objective_timeout,
        gap=request.gap,
        threads=request.threads,
    )
    # torch takes seeds below 2 to the 64.
    own = not isinstance(request.method, str) or "seed" in call.settings
    return method if own else with_seed(method, request.seed % 2**63)
