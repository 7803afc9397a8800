"""Reports made by hand."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from sensverify.classification.predictions import BINS, Bin, Classified
from sensverify.core.results import Guarantee, Status
from sensverify.evaluation.results import (
    AttackRow,
    CertifiedRow,
    CleanRow,
    CorruptionRow,
    Evaluation,
    Example,
    MeasureRow,
    Missing,
    ModelEvaluation,
    SequenceRow,
)
from sensverify.verification import InputFacts, ModelFacts, SampleResult, VerifyReport
from tests.browser import NAMES, Browser, find_browser
from tests.report.shown import RECORD

Make = Callable[..., VerifyReport]


@pytest.fixture
def browser(chromium: Browser) -> Browser:
    """The browser, which has not complained yet."""
    chromium.complaints.clear()
    return chromium


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Without a browser a test is skipped, and fails where ``$CI`` is set."""
    path = find_browser()
    if path is None:
        reason = f"no browser found; looked for {', '.join(NAMES)}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with Browser(path) as found:
        yield found


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
            "perturbation": InputFacts("iris", None, 0.05, (0.0, 1.0), None),
            "method": "crown",
            "settings": {"intermediate": None},
            "guarantee": Guarantee.SOUND,
            "device": "cpu",
            "dtype": "float32",
            "seed": 0,
            "seconds": 1.25,
            "record": RECORD,
            "samples": tuple(samples),
        }
        return VerifyReport(**{**values, **changes})

    return make


class _Draw:
    """Rows of one simulated network: every sample breaks at a radius of its own."""

    def __init__(self, seed: int, samples: int, classes: int, accuracy: float) -> None:
        self.random = np.random.default_rng(seed)
        self.samples, self.classes = samples, classes
        self.labels = self.random.integers(0, classes, samples)
        self.right = self.random.random(samples) < accuracy
        self.breaks = np.where(self.right, self.random.gamma(3.0, 0.08, samples), 0.0)

    def classified(self, right: Any) -> Classified:
        """Predictions with these samples right, and confidences that are too high."""
        wrong = (self.labels + self.random.integers(1, max(self.classes, 2), self.samples)) % (
            self.classes
        )
        said = np.where(right, self.labels, wrong)
        confusion = np.zeros((self.classes, self.classes), dtype=int)
        np.add.at(confusion, (self.labels, said), 1)
        least = 1 / self.classes
        sure = least + (1 - least) * self.random.beta(5, np.where(right, 1.2, 3.0))
        places = np.minimum((sure * BINS).astype(int), BINS - 1)
        bins = tuple(
            Bin(
                int((places == k).sum()),
                int(right[places == k].sum()),
                float(sure[places == k].sum()),
            )
            for k in range(BINS)
        )
        return Classified(tuple(map(tuple, confusion.tolist())), bins)

    def clean(self, part: str = "test") -> CleanRow:
        return CleanRow(
            part=part,
            classified=self.classified(self.right),
            wrong=tuple(np.flatnonzero(~self.right).tolist()),
            seconds=0.1,
        )

    def attack(self, name: str, radius: float | None, strength: float) -> AttackRow:
        known = self.breaks * strength
        hit = known <= (np.inf if radius is None else radius)
        reach = [float(r) if h else None for r, h in zip(known, hit, strict=True)]
        return AttackRow(
            attack=name,
            radius=radius,
            classified=self.classified(~hit),
            broken=tuple(np.flatnonzero(hit).tolist()),
            reach=tuple(reach),
            l2=tuple(None if r is None else 8 * r for r in reach),
            linf=tuple(reach),
            seconds=1.0,
        )

    def certified(self, method: str, radius: float, looseness: float) -> CertifiedRow:
        kept = self.right & (self.breaks / looseness > radius)
        return CertifiedRow(
            method=method,
            radius=radius,
            guarantee="SOUND",
            certified=tuple(np.flatnonzero(kept).tolist()),
            log_volumes=tuple(self.random.normal(3 * radius, 1, self.samples).tolist()),
            seconds=2.0,
        )

    def corruption(self, name: str, severity: int, harm: float) -> CorruptionRow:
        right = self.right & (self.random.random(self.samples) > harm * severity)
        return CorruptionRow(
            corruption=name,
            severity=severity,
            parameter=f"sigma {0.04 * severity:.2g}",
            classified=self.classified(right),
            msd=1.5 * severity,
            source="computed",
            seconds=0.3,
            wrong=tuple(np.flatnonzero(~right).tolist()),
        )


ATTACKS = {"fgsm": 1.5, "pgd(steps=40)": 1.08, "apgd-ce(steps=100)": 1.0, "square": 1.25}
HARMS = {
    **{"gaussian_noise": 0.02, "shot_noise": 0.03, "impulse_noise": 0.05},
    **{"defocus_blur": 0.06, "glass_blur": 0.08, "motion_blur": 0.07, "zoom_blur": 0.09},
    **{"snow": 0.1, "frost": 0.12, "fog": 0.15, "brightness": 0.01},
    **{"contrast": 0.19, "elastic_transform": 0.04, "pixelate": 0.05, "jpeg_compression": 0.02},
}
"""Share of samples that one step of severity makes wrong."""


def _network(name: str, seed: int, changes: dict[str, Any]) -> ModelEvaluation:
    ask = {
        "samples": 200,
        "classes": 10,
        "accuracy": 0.97,
        "radii": (0.05, 0.1, 0.15, 0.2, 0.3),
        "attacks": ATTACKS,
        "methods": {"ibp": 4.0, "crown": 2.0},
        "corruptions": HARMS,
        "severities": 5,
        **changes,
    }
    draw = _Draw(seed, ask["samples"], ask["classes"], ask["accuracy"])
    radii = ask["radii"]
    return ModelEvaluation(
        model=ModelFacts(
            name, (), f"models/{name}.onnx", "0" * 64, (1, 28, 28), (ask["classes"],), 51_284, None
        ),
        clean=(draw.clean(), draw.clean("train")),
        attacks=tuple(draw.attack(a, r, s) for a, s in ask["attacks"].items() for r in radii),
        certified=tuple(draw.certified(m, r, s) for m, s in ask["methods"].items() for r in radii),
        corruptions=tuple(
            draw.corruption(c, severity, harm)
            for c, harm in ask["corruptions"].items()
            for severity in range(1, ask["severities"] + 1)
        ),
        sequences=ask.get(
            "sequences",
            (
                SequenceRow(
                    sequence="gaussian_noise",
                    frames=10,
                    samples=100,
                    flip_rate=0.043,
                    against="first",
                    seconds=1.0,
                ),
                SequenceRow(
                    sequence="brightness",
                    frames=10,
                    samples=100,
                    flip_rate=0.012,
                    against="previous",
                    seconds=1.0,
                ),
            ),
        ),
        measures=ask.get(
            "measures",
            tuple(
                MeasureRow(
                    measure=measure,
                    value=value * (1 + 0.1 * seed),
                    error=error,
                    samples=count,
                    note=note,
                    seconds=0.1,
                )
                for measure, value, error, count, note in (
                    ("parameters", 51_284.0, None, None, ""),
                    ("l2", 812.31, None, None, ""),
                    ("log-product-spectral", 7.214, 0.0021, None, ""),
                    ("hessian-largest", 14.2, 0.31, 500, "stopped after 40 of 100 steps"),
                    ("jacobian", 0.0721, 0.0008, 500, ""),
                    ("sensitivity-crown", -12.74, None, 500, "log of the mean volume"),
                )
            ),
        ),
        missing=ask.get(
            "missing",
            (
                Missing(key="measure/l2-init", reason="the weights before training are not known"),
                Missing(key="measure/hessian-trace", reason="time was up", final=False),
                Missing(key="attack/cw", reason="foolbox is not installed"),
            ),
        ),
    )


def _examples(severities: int, names: Any, shape: tuple[int, int, int]) -> dict[str, Any]:
    channels, rows, columns = shape
    y, x = np.mgrid[0:rows, 0:columns]
    ring = np.abs(np.hypot(y - rows / 2, x - columns / 2) - rows / 4) < rows / 12
    image = np.repeat(np.where(ring, 230.0, 12.0)[None], channels, axis=0)
    random = np.random.default_rng(0)

    def example(noise: float, title: str) -> Example:
        pixels = np.clip(image + noise * random.normal(size=shape), 0, 255).astype(np.uint8)
        return Example(title=title, shape=shape, pixels=pixels.tobytes())

    steps = range(1, severities + 1)
    return {
        "clean": (example(0, "sample 7, label 0"),),
        **{name: tuple(example(18 * s, f"severity {s}") for s in steps) for name in names},
    }


@pytest.fixture(scope="session")
def make_evaluation() -> Callable[..., Evaluation]:
    """``make_evaluation(names=("net",), network={...}, **changes)``: simulated, in order."""

    def make(names: tuple[str, ...] = ("net",), network: Any = None, **changes: Any) -> Evaluation:
        ask = dict(network or {})
        models = tuple(_network(name, k, ask) for k, name in enumerate(names))
        classes = len(models[0].clean[0].classified.confusion)
        samples = models[0].clean[0].classified.samples
        values: dict[str, Any] = {
            "models": models,
            "data": "mnist",
            "samples": samples,
            "available": 20 * samples,
            "chosen": "evenly spread over the test part",
            "train_samples": samples,
            "classes": tuple(str(k) for k in range(classes)),
            "radii": ask.get("radii", (0.05, 0.1, 0.15, 0.2, 0.3)),
            "radius_unit": "in the units of the features",
            "clip": (0.0, 1.0),
            "examples": _examples(
                ask.get("severities", 5), ask.get("corruptions", HARMS), (1, 28, 28)
            ),
            "settings": {"attacks": "fgsm + pgd(steps=40)", "seed": "0"},
            "reference": names[0] if len(names) > 1 else None,
            "record": RECORD,
            "machine": "x86-64, 2 cores",
            "seconds": 123.4,
            "samples_sha256": "0" * 64,
            "labels": (0,) * samples,
        }
        return Evaluation(**{**values, **changes})

    return make
