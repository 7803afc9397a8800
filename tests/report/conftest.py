"""Reports made by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sensverify.results import Guarantee, Status
from sensverify.verification import ModelFacts, Perturbation, SampleResult, VerifyReport

Make = Callable[..., VerifyReport]


def _sample(index: int, lower: Any, upper: Any, **changes: Any) -> SampleResult:
    lower, upper = np.asarray(lower, dtype=np.float64), np.asarray(upper, dtype=np.float64)
    output = lower / 2 + upper / 2
    values: dict[str, Any] = {
        "index": index,
        "label": 0,
        "prediction": int(output.argmax()),
        "output": output,
        "status": Status.BOUNDED,
        "lower": lower,
        "upper": upper,
        "inner_lower": None,
        "inner_upper": None,
        "certified": None,
        "seconds": 0.5,
    }
    return SampleResult(**{**values, **changes})


@pytest.fixture
def make_sample() -> Callable[..., SampleResult]:
    """``make_sample(index, lower, upper, **changes)``."""
    return _sample


@pytest.fixture
def make_report() -> Make:
    """``make_report(samples, **changes)``; changes of ``model`` go to its facts."""

    def make(samples: list[SampleResult], **changes: Any) -> VerifyReport:
        outputs = len(samples[0].widths)
        facts: dict[str, Any] = {
            "name": "net",
            "output_names": (),
            "path": "net.onnx",
            "sha256": "0" * 64,
            "inputs": (4,),
            "outputs": (outputs,),
            "parameters": 10,
            "unstable": 1.5,
        }
        values: dict[str, Any] = {
            "model": ModelFacts(**{**facts, **changes.pop("model", {})}),
            "perturbation": Perturbation("iris", None, 0.05, (0.0, 1.0), None),
            "method": "crown",
            "settings": {"intermediate": None},
            "guarantee": Guarantee.SOUND,
            "device": "cpu",
            "dtype": "float32",
            "seed": 0,
            "seconds": 1.25,
            "versions": {"sensverify": "0"},
            "samples": tuple(samples),
        }
        return VerifyReport(**{**values, **changes})

    return make
