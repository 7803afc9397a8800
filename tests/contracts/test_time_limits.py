"""Time limits on networks of many kinds: kept wherever the work is, and what is found holds.

The clock is the process's own processor time: it stands still while other processes work.
"""

from __future__ import annotations

from itertools import pairwise
from math import prod
from time import process_time

import numpy as np
import pytest
import torch
from torch import nn

import sensverify as sv
from sensverify.bounds import Method, compute_bounds, forward_pass
from sensverify.bounds.layerwise import LayerBounds
from sensverify.bounds.proofs import layer_proof
from sensverify.bounds.relaxation import Slope
from sensverify.certificates import StoredModel, certify_bounds
from sensverify.certificates.check.program import program_of
from sensverify.core.box import Box, to_numpy
from sensverify.core.queries import Query, Verdict
from sensverify.network import Network
from sensverify.runs.watch import Watch
from sensverify.solvers.branch_and_bound import BranchAndBound

LIMIT = 0.1
"""Seconds: less than most of these networks take, by any method."""

OVERRUN = 3.0
"""Seconds of the last tile, of interval arithmetic over the rest, and of finding no time left."""

METHODS = (
    "alpha-crown",
    "bisection",
    "branch-and-bound",
    "crown",
    "exact",
    "lp",
    "lp-dual",
    "milp",
)


RELU = nn.ReLU()


class Block(nn.Module):
    """A residual block, whose input is added to, or stands beside, what convolutions make of it."""

    def __init__(self, channels: int, act: nn.Module, beside: bool = False) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), act, nn.Conv2d(channels, channels, 3, 1, 1)
        )
        self.act, self.beside = act, beside

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.inner(x)
        return self.act(torch.cat([x, y], 1) if self.beside else x + y)


def dense(act: nn.Module, *widths: int) -> tuple[nn.Module, tuple[int, ...]]:
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), act]
    return nn.Sequential(*layers[:-1]), (widths[0],)


def image(*layers: nn.Module, size: int = 32) -> tuple[nn.Module, tuple[int, ...]]:
    body = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), *layers, nn.Flatten())
    features = body(torch.zeros(1, 3, size, size)).shape[1]
    return nn.Sequential(body, nn.Linear(features, 10)), (3, size, size)


def conv(act: nn.Module, **options: int) -> list[nn.Module]:
    return [act, nn.Conv2d(16, 16, 3, padding=1, **options), act]


def series(length: int) -> tuple[nn.Module, tuple[int, ...]]:
    layers = [nn.Conv1d(4, 32, 9, padding=4)]
    layers += [layer for _ in range(4) for layer in (RELU, nn.Conv1d(32, 32, 9, padding=4))]
    return nn.Sequential(*layers, RELU, nn.Flatten(), nn.Linear(32 * length, 4)), (4, length)


KINDS = {
    "wide": lambda: dense(RELU, 100, 2500, 2500, 2500, 10),
    "deep": lambda: dense(RELU, 200, *[600] * 16, 10),
    "long": lambda: dense(RELU, 50, *[150] * 80, 5),
    "many outputs": lambda: dense(RELU, 100, 1500, 1500, 1500),
    "tanh": lambda: dense(nn.Tanh(), 300, *[1000] * 5, 10),
    "sigmoid": lambda: dense(nn.Sigmoid(), 300, *[1000] * 5, 10),
    "leaky": lambda: dense(nn.LeakyReLU(0.1), 300, *[1000] * 6, 10),
    "clip": lambda: dense(nn.Hardtanh(), 300, *[1000] * 6, 10),
    "convolutions": lambda: image(*conv(RELU), *conv(RELU)),
    "tanh convolutions": lambda: image(*conv(nn.Tanh()), *conv(nn.Tanh())),
    "strided": lambda: image(
        *conv(RELU, stride=2),
        nn.Conv2d(16, 64, 3, 2, 1),
        RELU,
        *[layer for _ in range(4) for layer in (nn.Conv2d(64, 64, 3, padding=1), RELU)],
    ),
    "dilated": lambda: image(*conv(RELU, dilation=2), *conv(RELU, dilation=3)),
    "grouped": lambda: image(*conv(RELU, groups=4), *conv(RELU), *conv(RELU)),
    "max pooling": lambda: image(RELU, nn.MaxPool2d(2), *conv(RELU), *conv(RELU), *conv(RELU)),
    "average pooling": lambda: image(RELU, nn.AvgPool2d(2), *conv(RELU), *conv(RELU), *conv(RELU)),
    "residual": lambda: image(RELU, Block(16, RELU), Block(16, RELU)),
    "dense blocks": lambda: image(RELU, Block(16, RELU, True), Block(32, RELU, True)),
    "batch normalised": lambda: image(
        nn.BatchNorm2d(16), *conv(RELU), *conv(RELU), nn.BatchNorm2d(16), RELU, *conv(RELU)
    ),
    "transposed": lambda: image(
        RELU, nn.Conv2d(16, 16, 4, 2, 1), RELU, nn.ConvTranspose2d(16, 16, 4, 2, 1), RELU
    ),
    "time series": lambda: series(400),
}


def case(kind: str) -> tuple[Network, Box]:
    torch.manual_seed(0)
    module, shape = KINDS[kind]()
    network = sv.from_module(module.eval().requires_grad_(False), shape)
    center = torch.rand(1, *shape)
    return network, Box(center - 0.05, center + 0.05)


@pytest.mark.parametrize("number", range(len(KINDS)), ids=list(KINDS))
def test_a_time_limit_is_kept(number: int) -> None:
    """Each network with two of the methods; all of them with all, marked slow, below."""
    network, box = case(list(KINDS)[number])
    for name in ("crown", METHODS[number % len(METHODS)]):
        assert_kept(network, box, sv.make_method(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_time_limit_is_kept_by_every_method(kind: str, name: str) -> None:
    assert_kept(*case(kind), sv.make_method(name))


@pytest.mark.parametrize("kind", ["tanh", "residual"])
def test_a_time_limit_on_certifying_is_kept(kind: str) -> None:
    """Level lines prove what interval arithmetic does, whatever was hoped for."""
    network, box = case(kind)
    plain = network.map_arrays(to_numpy)
    model = StoredModel(plain, program_of(plain), "", {})
    ends = [end.double().numpy().reshape(1, -1) for end in (box.lower, box.upper)]
    rows = np.eye(prod(network.output_shape))[None]
    crown = layer_proof(LayerBounds(network, box, Slope.ADAPTIVE, over()).fill(), None).proof()
    began = process_time()
    found = certify_bounds(model, *ends, rows, crown, watch=Watch(LIMIT, clock=process_time))
    assert process_time() - began <= LIMIT + 2 * OVERRUN
    attained = forward_pass(network, box.center).double().flatten(1).numpy()
    assert (found.lower <= attained + 1e-6 * (1 + abs(attained))).all()


def over() -> Watch:
    watch = Watch()
    watch.stop()
    return watch


@pytest.mark.parametrize("kind", ["deep", "long", "tanh", "residual", "dense blocks", "strided"])
def test_a_time_limit_on_a_question_is_kept(kind: str) -> None:
    network, box = case(kind)
    rows = np.eye(prod(network.output_shape))[:2]
    ends = Box(box.lower.double().numpy(), box.upper.double().numpy())
    # Between what is attained and what CROWN proves.
    asked = Query(ends, rows, np.full(2, -1.0), ((0, 1),))
    began = process_time()
    decision = BranchAndBound().decide(network, asked, watch=Watch(LIMIT, clock=process_time))
    assert process_time() - began <= LIMIT + OVERRUN
    # A fast machine may decide it in the time.
    assert decision.verdict is not Verdict.UNKNOWN


def assert_kept(network: Network, box: Box, method: Method) -> None:
    began = process_time()
    with torch.no_grad():
        found = compute_bounds(network, box, method, watch=Watch(LIMIT, clock=process_time))
        spent = process_time() - began
        points = [box.center, box.lower, box.upper]
        attained = torch.cat([forward_pass(network, point).flatten(1) for point in points])
    assert spent <= LIMIT + OVERRUN
    slack = 1e-4 * (1 + attained.abs().amax())
    assert bool((attained >= found.outer.lower - slack).all())
    assert bool((attained <= found.outer.upper + slack).all())
