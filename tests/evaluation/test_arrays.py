"""Evaluations of samples in memory."""

from __future__ import annotations

import numpy as np
import pytest

import sensverify as sv
from sensverify.errors import BadSetting

QUICK = {"sigmas": None, "corruptions": (), "sequences": (), "measures": (), "attacks": ("fgsm",)}
DATA = sv.load_data("iris")


def test_arrays_are_evaluated_as_a_request_is() -> None:
    asked = {**QUICK, "radii": (0.1,), "certify": ("crown",)}
    found = sv.evaluate("iris", DATA.x, DATA.y, **asked)
    data = sv.Dataset("own", DATA.x, DATA.y)
    whole = sv.evaluate(sv.EvaluateRequest(models=("iris",), data=data, **asked))
    one, other = found.models[0], whole.models[0]
    assert one.clean[0].wrong == other.clean[0].wrong
    assert one.certified[0].certified == other.certified[0].certified
    assert found.samples == len(DATA.x)


def test_samples_are_given_once() -> None:
    with pytest.raises(BadSetting):
        sv.evaluate("iris", DATA.x, DATA.y, data="iris", **QUICK)
    with pytest.raises(BadSetting):
        sv.evaluate("iris", None, DATA.y, **QUICK)
    with pytest.raises(BadSetting):
        sv.evaluate(sv.EvaluateRequest(models=("iris",)), np.zeros((1, 4)), [0])
