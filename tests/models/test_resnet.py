"""Residual networks: their published sizes, settings, and bounds."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sensverify.bounds import Crown, compute_bounds, forward_pass
from sensverify.core.box import Box
from sensverify.errors import BadSetting, BadShape
from sensverify.formats.modules import from_module
from sensverify.models.architectures import build, build_for

TINY = "resnet(blocks=(1, 1), width=4, dropout=0.5)"


def parameters(module: nn.Module) -> int:
    return sum(part.numel() for part in module.parameters())


# torchvision 0.20 for images of 224 x 224 and 1000 classes; for CIFAR, whose first convolution is
# 3x3, the program of Liu Kuang (pytorch-cifar).
@pytest.mark.parametrize(
    ("name", "shape", "classes", "expected"),
    [
        ("resnet-18", (3, 224, 224), 1000, 11_689_512),
        ("resnet-34", (3, 224, 224), 1000, 21_797_672),
        ("resnet-50", (3, 224, 224), 1000, 25_557_032),
        ("resnet-18", (3, 32, 32), 10, 11_173_962),
    ],
)
def test_published_numbers_of_parameters(
    name: str, shape: tuple[int, ...], classes: int, expected: int
) -> None:
    assert parameters(build_for(name, shape, classes)) == expected


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 9), (2, 64, 64)])
@pytest.mark.parametrize("kind", ["basic", "bottleneck"])
def test_any_image_will_do(kind: str, shape: tuple[int, ...]) -> None:
    module = build_for(f"resnet(blocks=(1, 2), width=4, kind={kind})", shape, 3)
    assert module(torch.zeros(2, *shape)).shape == (2, 3)


def test_width_and_stages() -> None:
    module = build_for("resnet(blocks=(1, 1, 1), width=4)", (1, 32, 32), 3)
    *_, last = (part for part in module.modules() if isinstance(part, nn.Linear))
    assert last.in_features == 16
    module[-1] = nn.Identity()
    module[-2] = nn.Identity()
    module[-3] = nn.Identity()
    assert module(torch.zeros(2, 1, 32, 32)).shape == (2, 16, 8, 8)


def test_dropout_is_of_training_alone() -> None:
    module, x = build_for(TINY, (1, 8, 8), 3, seed=0), torch.rand(4, 1, 8, 8)
    module.eval()
    assert torch.equal(module(x), module(x))
    dropped = [part for part in module if isinstance(part, nn.Dropout)]
    assert [part.p for part in dropped] == [0.5]
    dropped[0].train()
    assert not torch.equal(module(x), module(x))


def test_outputs_are_bounded() -> None:
    module = build_for(TINY, (1, 8, 8), 3, seed=0).eval().double()
    network = from_module(module, (1, 8, 8))
    x = torch.rand(8, 1, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(forward_pass(network, x), module(x))
    outer = compute_bounds(network, Box(x[:1] - 0.01, x[:1] + 0.01), Crown()).outer
    for _ in range(20):
        inside = x[:1] + 0.02 * (torch.rand_like(x[:1]) - 0.5)
        outputs = module(inside).detach()
        assert (outer.lower <= outputs + 1e-9).all()
        assert (outer.upper >= outputs - 1e-9).all()


def test_without_data_there_is_none() -> None:
    with pytest.raises(BadShape, match="fits any images"):
        build("resnet-18")


def test_what_is_no_residual_network() -> None:
    with pytest.raises(BadShape, match="takes images"):
        build_for("resnet-18", (4,), 3)
    with pytest.raises(BadShape, match="channels last"):
        build_for("resnet-18", (32, 32, 3), 3)
    for wrong in ("resnet(blocks=())", "resnet(blocks=(0,))", "resnet(width=0)",
                  "resnet-18(dropout=1)", "resnet(kind=wide)"):  # fmt: skip
        with pytest.raises(BadSetting):
            build_for(wrong, (1, 8, 8), 3)
