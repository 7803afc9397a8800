"""Small classifiers with samples, for tests of measures of their loss."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

import sensverify as sv
from sensverify.classification.preparation import prepare
from sensverify.measures.measure import MeasuredClassifier


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def filled(module: nn.Module, seed: int = 0) -> nn.Module:
    """The module with drawn parameters that float32 holds, in double precision."""
    module.double().eval()
    with torch.no_grad():
        for number, parameter in enumerate(module.parameters()):
            values = drawn(*parameter.shape, seed=100 * seed + number)
            parameter.copy_(values.float() / parameter[0].numel() ** 0.5)
    return module


def mlp(activation: type[nn.Module] = nn.ReLU, seed: int = 0) -> nn.Module:
    return filled(
        nn.Sequential(
            nn.Linear(4, 6), activation(), nn.Linear(6, 5), activation(), nn.Linear(5, 3)
        ),
        seed,
    )


def convolutional() -> nn.Module:
    return filled(
        nn.Sequential(
            nn.Conv2d(1, 3, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(3, 2, 2),
            nn.LeakyReLU(0.1),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(2, 3),
        )
    )


def logistic(features: int = 4, classes: int = 3, seed: int = 0) -> nn.Module:
    return filled(nn.Linear(features, classes), seed)


def measured_of(
    module: nn.Module, shape: tuple[int, ...] = (4,), *, samples: int = 12, **changes: Any
) -> MeasuredClassifier:
    """A module, as an evaluation prepares it, with other samples to train and to test on."""
    network = prepare(sv.from_module(module, shape))
    parts = []
    for seed in (1, 2):
        x = drawn(samples, *shape, seed=seed).float()
        y = torch.randint(3, (samples,), generator=torch.Generator().manual_seed(seed))
        parts += [x, y]
    given: dict[str, Any] = dict(zip(("x", "y", "train_x", "train_y"), parts, strict=True))
    return MeasuredClassifier(network, **{**given, "train_size": samples, **changes})


def dense_weight_hessian(module: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Of the mean cross-entropy in all parameters in order, entry by entry, in double precision."""
    names, values = zip(*module.named_parameters(), strict=True)
    shapes = [value.shape for value in values]
    flat = torch.cat([value.detach().flatten() for value in values])

    def loss(point: Tensor) -> Tensor:
        parts = point.split([shape.numel() for shape in shapes])
        tensors = {n: p.reshape(s) for n, p, s in zip(names, parts, shapes, strict=True)}
        outputs = torch.func.functional_call(module, tensors, x.double())
        return functional.cross_entropy(outputs, y)

    hessian: Tensor = torch.autograd.functional.hessian(loss, flat)
    return hessian


def dense_input_hessians(module: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Of every sample's cross-entropy in the sample, ``[samples, features, features]``."""

    def hessian(sample: Tensor, label: Tensor) -> Tensor:
        def loss(point: Tensor) -> Tensor:
            return functional.cross_entropy(module(point.reshape(1, *sample.shape)), label[None])

        whole: Tensor = torch.autograd.functional.hessian(loss, sample.flatten())
        return whole

    return torch.stack([hessian(s, label) for s, label in zip(x.double(), y, strict=True)])
