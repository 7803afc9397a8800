"""From a call in Python to a request, and from a request to its model."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, TypeVar

import numpy as np

from sensverify.data import load_data
from sensverify.data.memory import data_beside
from sensverify.data.named import is_named
from sensverify.errors import BadSetting
from sensverify.models.loading import LoadedModel, given_model, load_model
from sensverify.verification.request import VerifyRequest

Request = TypeVar("Request", bound=VerifyRequest)


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
