"""Training of modules that lack what others have, by losses with and without bounds."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import sensverify as sv
from sensverify.errors import SensverifyError
from sensverify.training import fit
from tests.training.trainings import blobs, quick

LOSSES = ("base", "ibp", "crown-ibp", "k&w", "sm", "overlap", "jacob-m", "pgd")
SMALL = quick(epochs=1, metric_samples=6)


class Net(nn.Module):
    """A hidden layer h, or none, and what a case makes of it."""

    def __init__(
        self, tail: Callable[[nn.Module, Tensor], Tensor], *, hidden: int = 6, read: int = 6
    ) -> None:
        super().__init__()
        self.tail = tail
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.first = nn.Linear(4, hidden)
            self.last = nn.Linear(read, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.tail(self, x)


def hidden(net: nn.Module, x: Tensor) -> Tensor:
    return torch.relu(net.first(x))


def twice(net: nn.Module, x: Tensor) -> Tensor:
    h = hidden(net, x)
    return net.last(h + h)


def thrice(net: nn.Module, x: Tensor) -> Tensor:
    h = hidden(net, x)
    return net.last(torch.cat((h, h, h), dim=1))


def outputs_twice(net: nn.Module, x: Tensor) -> Tensor:
    y = net.last(hidden(net, x))
    return y + y


def before_and_behind(net: nn.Module, x: Tensor) -> Tensor:
    h = net.first(x)
    return net.last(torch.relu(h) + h)


def dead(net: nn.Module, x: Tensor) -> Tensor:
    return net.last(torch.relu(net.first(x) - 100.0))


CASES = {
    "twice": lambda: Net(twice),
    "thrice": lambda: Net(thrice, read=18),
    "outputs twice": lambda: Net(outputs_twice),
    "before and behind": lambda: Net(before_and_behind),
    "dead": lambda: Net(dead),
    "width one": lambda: Net(lambda net, x: net.last(hidden(net, x)), hidden=1, read=1),
    "affine": lambda: nn.Sequential(nn.Linear(4, 5, bias=False), nn.Linear(5, 3)),
    "one layer": lambda: nn.Linear(4, 3),
}
PAIRS = [(n, loss) for i, n in enumerate(CASES) for loss in (LOSSES * 2)[i : i + 2]]


@pytest.mark.parametrize(("name", "loss"), PAIRS)
def test_it_trains(name: str, loss: str) -> None:
    split = blobs()
    found = fit(CASES[name](), split, loss, SMALL)
    assert found.metrics_test is not None
    x = torch.as_tensor(split.test.x)
    with torch.no_grad():
        torch.testing.assert_close(sv.forward_pass(found.network, x), found.module(x))


@pytest.mark.parametrize("loss", ["base", "ibp"])
def test_nothing_to_train_is_refused(loss: str) -> None:
    with pytest.raises(SensverifyError, match="parameter"):
        fit(nn.Flatten(), blobs(classes=4), loss, SMALL)
