"""Architectures by name, for any data."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sensverify.errors import BadShape, UnknownName
from sensverify.models import names
from sensverify.models.architectures import ARCHITECTURES, FAMILIES, build, build_for


def sizes(module: nn.Module) -> list[tuple[int, ...]]:
    return [tuple(p.shape) for p in module.parameters() if p.ndim > 1]


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("linear", (5,), [(3, 5)]),
        ("linear", (2, 3), [(3, 6)]),
        ("mlp-7", (5,), [(7, 5), (3, 7)]),
        ("mlp-7-6-5", (1, 2, 2), [(7, 4), (6, 7), (5, 6), (3, 5)]),
        ("conv-2", (1, 4, 4), [(2, 1, 4, 4), (3, 8)]),
        ("conv-2-4", (3, 7, 9), [(2, 3, 4, 4), (4, 2, 4, 4), (3, 8)]),
        ("conv-2-fc-6-5", (1, 8, 8), [(2, 1, 4, 4), (6, 32), (5, 6), (3, 5)]),
    ],
)
def test_families(name: str, shape: tuple[int, ...], expected: list[tuple[int, ...]]) -> None:
    module = build_for(name, shape, 3)
    assert sizes(module) == expected
    assert module(torch.zeros(2, *shape)).shape == (2, 3)
    # ReLU after every layer with weights but the last.
    assert sum(isinstance(part, nn.ReLU) for part in module) == len(expected) - 1
    assert isinstance(module[-1], nn.Linear)


def test_shipped_names_are_the_shipped_models() -> None:
    shipped = [name for name in ARCHITECTURES if ARCHITECTURES[name].shape is not None]
    assert tuple(sorted(shipped)) == names()
    assert sorted({*ARCHITECTURES} - {*shipped}) == [
        "nas201",
        "resnet",
        "resnet-18",
        "resnet-34",
        "resnet-50",
    ]
    for name in shipped:
        shape, outputs = ARCHITECTURES[name].shape, ARCHITECTURES[name].outputs
        assert sizes(build_for(name, shape, outputs)) == sizes(build(name))


def test_general_names_cover_the_shipped_ones() -> None:
    for name, same in (
        ("iris", "mlp-25-25-25"),
        ("digits", "mlp-48-24"),
        ("mnist-conv1", "conv-16"),
        ("mnist-conv2", "conv-16-32"),
    ):
        shape, outputs = ARCHITECTURES[name].shape, ARCHITECTURES[name].outputs
        assert sizes(build_for(same, shape, outputs)) == sizes(build_for(name, shape, outputs))


def test_a_seed_decides_the_weights_and_nothing_else() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first, again, other = (build_for("mlp-4", (2,), 2, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(first[0].weight, again[0].weight)
    assert not torch.equal(first[0].weight, other[0].weight)


NONE = (
    *("mlp", "mlp-", "mlp-0", "mlp-04", "mlp--4", "mlp-4-", "mlp-4x", "mlp-1000000"),
    *("conv", "conv-4-fc", "fc-4", "linear-4", "resnet-19", "conv-4-fc-2-conv-3"),
    *("mlp-4\n", "mlp-٤", ""),
)


def test_names_that_are_none() -> None:
    assert [name for name in NONE if is_one(name)] == []


def is_one(name: str) -> bool:
    try:
        build_for(name, (4,), 3)
    except UnknownName:
        return False
    return True


def test_unknown_names_get_a_hint() -> None:
    with pytest.raises(UnknownName, match=r"did you mean 'mnist-conv\d'.*mlp-100-50"):
        build_for("mnist-conv", (4,), 3)


@pytest.mark.parametrize(
    ("name", "shape", "classes", "message"),
    [
        ("iris", (5,), 3, r"'iris' takes inputs of shape \(4,\).*mlp-100-50"),
        ("iris", (4,), 2, "in 2 classes"),
        ("mnist-conv1", (3, 32, 32), 10, "conv-16-32"),
        ("conv-4", (4,), 3, "takes images"),
        ("conv-4-4-4", (1, 8, 7), 3, "at least 8 rows"),
    ],
)
def test_data_that_do_not_fit(
    name: str, shape: tuple[int, ...], classes: int, message: str
) -> None:
    with pytest.raises(BadShape, match=message):
        build_for(name, shape, classes)


def test_every_family_is_one() -> None:
    for pattern in FAMILIES:
        name = pattern.replace("A", "4").replace("B", "3").replace("-...", "")
        assert build_for(name, (1, 8, 8), 2)(torch.zeros(1, 1, 8, 8)).shape == (1, 2)


@pytest.mark.parametrize("shape", [(12, 12, 3), (28, 28, 1), (32, 24, 4)])
def test_channels_that_come_last_are_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(BadShape, match=r"channels last; .*x\.transpose\(0, 3, 1, 2\)"):
        build_for("conv-4", shape, 3)
    # Layers that look at all numbers alike do not mind.
    assert build_for("mlp-4", shape, 3)(torch.zeros(2, *shape)).shape == (2, 3)
    assert build_for("conv-4", (shape[2], *shape[:2]), 3)(torch.zeros(2, *shape).movedim(3, 1)).ndim


@pytest.mark.parametrize("shape", [(3, 12, 12), (1, 4, 4), (3, 12, 3), (4, 4, 4), (12, 12, 12)])
def test_channels_that_come_first_are_taken(shape: tuple[int, int, int]) -> None:
    assert build_for("conv-4", shape, 3)(torch.zeros(2, *shape)).shape == (2, 3)
