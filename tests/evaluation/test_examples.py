"""Pictures in a report: the first sample, as networks see it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sensverify.corruptions import corrupt
from sensverify.evaluation.examples import _example
from sensverify.evaluation.results import Example
from sensverify.evaluation.run import evaluate
from tests.evaluation.networks import mlp, request


def values(example: Example) -> torch.Tensor:
    """From 0 to 1."""
    pixels = np.frombuffer(example.pixels, dtype=np.uint8).reshape(example.shape)
    return torch.from_numpy(pixels.copy()).float() / 255


def test_pictures_are_of_the_first_sample_and_of_its_place(tmp_path: Path) -> None:
    x = np.random.default_rng(0).uniform(-2, 6, size=(9, 3, 24, 24)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x, y=np.arange(9) % 2)
    net = mlp(tmp_path / "net.onnx", inputs=1728, classes=2)
    found = evaluate(
        request(
            net,
            data=str(tmp_path / "data.npz"),
            clip=(-2.0, 6.0),
            samples=(4, 7),
            count=None,
            corruptions=("gaussian-noise", "invert"),
            severities=(1, 3),
            attacks=(),
            measures=(),
            sequences=(),
        )
    )
    first = torch.from_numpy(x[4:5])
    noisy = corrupt(first, "gaussian-noise", 3, places=[4], pixels=(-2.0, 6.0))[0]
    half = 0.5 / 255 + 1e-5
    for example, wanted in (
        (found.examples["clean"][0], first[0]),
        (found.examples["gaussian-noise"][1], noisy),
        (found.examples["invert"][0], 4 - first[0]),
    ):
        torch.testing.assert_close(values(example), (wanted + 2) / 8, atol=half, rtol=0)
    assert [each.title for each in found.examples["gaussian-noise"]] == ["severity 1", "severity 3"]
    assert [each.title for each in found.examples["clean"]] == ["as it is"]


@pytest.mark.parametrize(
    ("shape", "shown"),
    [
        ((1, 28, 28), (1, 28, 28)),
        ((3, 64, 64), (3, 64, 64)),
        ((3, 128, 32), (3, 64, 16)),
        ((1, 40, 6400), (1, 1, 64)),
    ],
    ids=str,
)
def test_large_pictures_become_smaller(shape: tuple[int, ...], shown: tuple[int, ...]) -> None:
    image = torch.zeros(shape)
    image[:, shape[1] // 2 :] = 1
    example = _example("half", image)
    assert example.shape == shown
    assert float(values(example).mean()) == pytest.approx(0.5, abs=0.01)
