"""Modules with several inputs and outputs."""

from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch
from torch import nn

import sensverify as sv
from sensverify.bounds import forward_pass
from sensverify.errors import BadShape, UnsupportedOperator
from sensverify.formats.modules.importing import import_module

Pair = namedtuple("Pair", "u v")


@dataclass
class Both:
    u: torch.Tensor
    v: torch.Tensor


class Two(nn.Module):
    """Two inputs, and outputs in some container."""

    def __init__(self, container):
        super().__init__()
        self.a, self.b, self.container = nn.Linear(4, 3), nn.Linear(2, 3), container

    def forward(self, image, pose, scale=None):
        inner = torch.relu(self.a(image.flatten(1)) + self.b(pose))
        return self.container(inner, inner.sum(1))


@pytest.mark.parametrize(
    ("container", "names"),
    [
        (lambda u, v: (u, v), ["output_0", "output_1"]),
        (lambda u, v: {"first": u, "second": v}, ["first", "second"]),
        (Pair, ["u", "v"]),
        (Both, ["u", "v"]),
        (lambda u, v: u, ["output"]),
    ],
    ids=["tuple", "dict", "namedtuple", "dataclass", "tensor"],
)
@pytest.mark.parametrize("shapes", [((2, 2), (2,)), {"pose": (2,), "image": (2, 2)}])
def test_inputs_and_outputs(container, names, shapes):
    module = Two(container)
    joined, network = import_module(module, shapes)
    assert [port.name for port in joined.signature.outputs] == names
    order = [port.name for port in joined.signature.inputs]
    assert order == (list(shapes) if isinstance(shapes, dict) else ["image", "pose"])
    parts = {"image": torch.randn(5, 2, 2), "pose": torch.randn(5, 2)}
    x = torch.cat([parts[name].flatten(1) for name in order], 1)
    inner = torch.relu(module.a(parts["image"].flatten(1)) + module.b(parts["pose"]))
    wanted = inner if len(names) == 1 else torch.cat([inner, inner.sum(1, keepdim=True)], 1)
    torch.testing.assert_close(forward_pass(network, x), wanted)


def test_parameters_stay_live():
    module = Two(lambda u, v: (u, v))
    network = sv.from_module(module, {"image": (2, 2), "pose": (2,)})
    x = torch.randn(1, 6)
    before = forward_pass(network, x)
    with torch.no_grad():
        module.a.bias.add_(1.0)
    assert not torch.equal(forward_pass(network, x), before)


@pytest.mark.parametrize(
    ("shapes", "error", "words"),
    [
        ({"image": (2, 2), "poze": (2,)}, BadShape, "'poze' .did you mean 'pose'"),
        ({"image": (2, 2)}, BadShape, "also takes pose"),
        (((2, 2), (2,), (1,), (1,)), BadShape, "takes 3 inputs"),
        ({"image": (2, 0), "pose": (2,)}, BadShape, "'image' needs positive sizes"),
        ({"image": (2, 2), "pose": (3,)}, UnsupportedOperator, "cannot be run on inputs"),
        ({}, BadShape, "also takes image, pose"),
    ],
)
def test_shapes_that_are_not_the_module_s(shapes, error, words):
    with pytest.raises(error, match=words):
        sv.from_module(Two(lambda u, v: u), shapes)


def test_outputs_that_are_no_tensors():
    with pytest.raises(UnsupportedOperator, match="something else than tensors"):
        sv.from_module(Two(lambda u, v: (u, "v")), ((2, 2), (2,)))
