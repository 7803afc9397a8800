"""The same bounds by this package and by the reference implementations, ready to be timed.

One setting for all: the seed's MNIST network, random weights, images in [0, 1], one radius, both
ends of every output.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from sensverify.bounds import Crown, Ibp, LpDual, Method, compute_bounds
from sensverify.core.box import Box
from sensverify.formats.modules import from_module
from sensverify.network import Network

Run = Callable[[], object]

CLASSES = 10
METHODS: dict[str, Method] = {"ibp": Ibp(), "lp-dual": LpDual(), "crown": Crown()}
REFERENCES = {"lp-dual": "convex_adversarial", "crown": "auto_LiRPA"}
LIRPA_FOLDER = "SENSVERIFY_AUTO_LIRPA"
"""Environment variable: a folder with another auto_LiRPA than the installed one."""


@dataclass(frozen=True)
class Setting:
    """What everyone is asked: ``images`` samples, one radius, on one device."""

    images: int = 64
    radius: float = 0.05
    device: str = "cpu"

    @cached_property
    def module(self) -> nn.Sequential:
        """Conv 16 4x4 s2 p1, ReLU, Conv 32 4x4 s2 p1, ReLU, fully connected 10."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return nn.Sequential(
                nn.Conv2d(1, 16, 4, stride=2, padding=1),
                nn.ReLU(),
                nn.Conv2d(16, 32, 4, stride=2, padding=1),
                nn.ReLU(),
                nn.Flatten(),
                nn.Linear(32 * 7 * 7, CLASSES),
            ).to(self.device)

    @cached_property
    def network(self) -> Network:
        return from_module(self.module, (1, 28, 28))

    @cached_property
    def x(self) -> Tensor:
        generator = torch.Generator().manual_seed(1)
        return torch.rand(self.images, 1, 28, 28, generator=generator).to(self.device)

    def operations(self, method: str) -> float:
        """Multiply-adds, counted as two, that the method cannot do without.

        Of the 1568 neurons of the second convolution: through the 4x4x16 = 256 neurons of the
        first that each one sees to their 10x10 = 100 pixels. Of the outputs: back through both
        convolutions. CROWN's lower and upper bounds have coefficients of their own.
        """
        hidden = 49 * 32 * 256 * 100
        outputs = CLASSES * (49 * 32 * 256 + 14 * 14 * 16 * 16)
        sides = {"lp-dual": 1, "crown": 2}[method]
        return 2.0 * self.images * sides * (hidden + outputs)


def forward(setting: Setting) -> Run:
    """A plain forward pass."""

    def run() -> Tensor:
        with torch.no_grad():
            return setting.module(setting.x)

    return run


def ours(setting: Setting, method: str, *, training: bool = False) -> Run:
    """This package; with ``training``, the gradient of the mean log-volume in the weights too."""
    box = Box.around(setting.x, setting.radius)
    network = setting.network

    def run() -> object:
        with nullcontext() if training else torch.no_grad():
            outer = compute_bounds(network, box, METHODS[method]).outer
            return _step(setting.module, outer.lower, outer.upper) if training else outer

    return run


def convex_adversarial(setting: Setting, *, training: bool = False) -> Run:
    """LP-dual by its authors. Raises ImportError where it is not installed."""
    from convex_adversarial import DualNetwork

    warnings.filterwarnings("ignore", module="convex_adversarial")
    rows = torch.eye(CLASSES, device=setting.device).expand(setting.images, -1, -1)

    def run() -> object:
        with nullcontext() if training else torch.no_grad():
            dual = DualNetwork(setting.module, setting.x, setting.radius)
            lower, upper = dual(rows), -dual(-rows)
            return _step(setting.module, lower, upper) if training else (lower, upper)

    return run


def auto_lirpa(setting: Setting, *, training: bool = False, method: str = "CROWN") -> Run:
    """Bounds by auto_LiRPA with its own default options. Raises where it is not installed."""
    bounded, inputs = auto_lirpa_module(setting)

    def run() -> object:
        with nullcontext() if training else torch.no_grad():
            lower, upper = bounded.compute_bounds(x=(inputs(),), method=method)
            return _step(bounded, lower, upper) if training else (lower, upper)

    return run


def auto_lirpa_module(
    setting: Setting, options: dict[str, str] | None = None
) -> tuple[Any, Callable[[], Any]]:
    """The network as auto_LiRPA sees it, with options of its own, and what makes its inputs."""
    folder = os.environ.get(LIRPA_FOLDER)
    if folder and folder not in sys.path:
        sys.path.insert(0, folder)
    from sensverify.bounds.lirpa_compat import graph_indexing, import_auto_lirpa, quiet

    package = import_auto_lirpa()
    with quiet(), graph_indexing():
        bounded = package.BoundedModule(
            setting.module, setting.x[:1], bound_opts=options or {}, device=setting.device
        )
    perturbation = package.PerturbationLpNorm(norm=float("inf"), eps=setting.radius)
    return bounded, lambda: package.BoundedTensor(setting.x, perturbation)


def reference(setting: Setting, method: str, *, training: bool = False) -> Run:
    """The other implementation of ``lp-dual``, ``crown`` or ``ibp``."""
    if method == "lp-dual":
        return convex_adversarial(setting, training=training)
    return auto_lirpa(setting, training=training, method=method.upper())


def reference_version(method: str) -> str:
    """Name and version of the other implementation, which has been used before."""
    from importlib.metadata import version

    if method == "lp-dual":
        return f"convex_adversarial {version('convex_adversarial')}"
    return f"auto_LiRPA {sys.modules['auto_LiRPA'].__version__}"


def _step(module: nn.Module, lower: Tensor, upper: Tensor) -> Tensor:
    """The backward pass of one training step on the mean log-volume."""
    module.zero_grad()
    loss = (upper - lower).log().sum(1).mean()
    loss.backward()
    return loss.detach()
