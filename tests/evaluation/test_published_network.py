"""The network of Wong & Kolter in one curve: certified, under attack, clean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sensverify.evaluation.curves import attack_curve, certified_curve, clean_rate, worst_curve
from sensverify.evaluation.results import ModelEvaluation
from sensverify.evaluation.run import evaluate
from sensverify.training.directory.export import export_onnx
from tests.evaluation.networks import request

RADIUS = 0.1


@pytest.fixture(scope="module")
def published(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    conv = [nn.Conv2d(1, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU()]
    module = nn.Sequential(*conv, nn.Flatten(), nn.Linear(1568, 100), nn.ReLU(), nn.Linear(100, 10))
    path = data_dir / "nets/convex_adversarial/models_mnist.pth"
    module.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    file = tmp_path_factory.mktemp("published") / "wong-kolter.onnx"
    export_onnx(module, (1, 28, 28), file)
    return file


def found(published: Path, data_dir: Path, **changes: Any) -> ModelEvaluation:
    asked: dict[str, Any] = {
        "data": "mnist",
        "data_dir": data_dir,
        "radii": (RADIUS,),
        "certify": ("lp-dual",),
        "corruptions": (),
        "sequences": (),
        "measures": (),
        "train_samples": 0,
    }
    (model,) = evaluate(request(published, **(asked | changes))).models
    return model


def errors(model: ModelEvaluation) -> list[float]:
    """Clean, under FGSM, under PGD, under all attacks, not certified."""
    curves = (
        attack_curve(model, "fgsm"),
        attack_curve(model, "pgd"),
        worst_curve(model, (RADIUS,)),
        certified_curve(model, "lp-dual"),
    )
    for curve in curves:
        assert [point.radius for point in curve] == [0, RADIUS]
        assert curve[0].rate == clean_rate(model)
    return [1 - clean_rate(model).share, *(1 - curve[1].rate.share for curve in curves)]


def test_on_three_hundred_images(published: Path, data_dir: Path) -> None:
    """Published for all of the test images: 1.8 % wrong, 3.9, 4.1, 5.8 % not proven."""
    model = found(published, data_dir, count=300, attacks=("fgsm", "pgd"))
    clean, fgsm, pgd, worst, certified = errors(model)
    assert clean <= fgsm <= worst
    assert pgd <= worst <= certified
    assert 0.005 <= clean <= 0.04
    assert certified <= 0.10


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_on_all_images(published: Path, data_dir: Path) -> None:
    """As published, and certified as convex_adversarial 0.4.4 does it with clipped pixels."""
    model = found(published, data_dir, count=10_000, clip=(0.0, 1.0), attacks=("fgsm", "pgd"))
    clean, fgsm, pgd, worst, certified = errors(model)
    assert clean == pytest.approx(0.0180)
    assert fgsm == pytest.approx(0.039, abs=0.001)
    assert pgd == pytest.approx(0.041, abs=0.001)
    assert pgd <= worst <= certified
    assert certified == pytest.approx(0.0564, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist-conv1", "mnist-conv2"])
def test_the_plain_networks_break(data_dir: Path, name: str) -> None:
    """Nearly every image is broken at 0.3 by gradients, and nothing is certified."""
    model = found(Path(name), data_dir, count=500, radii=(0.3,), attacks=("pgd",))
    assert attack_curve(model, "pgd")[1].rate.share <= 0.02
    assert certified_curve(model, "lp-dual")[1].rate.count == 0
