"""Wong and Kolter's robust MNIST network on all test images: who is provably robust, how fast.

Run as a script for one method, it prints one line of JSON:
    python tests/benchmarks/mnist_robust_error.py lp-dual
    python tests/benchmarks/mnist_robust_error.py branch-and-bound 500
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from contenders import METHODS
from machine import high_water, now
from torch import Tensor, nn

from sensverify.bounds import compute_bounds
from sensverify.core.box import Box
from sensverify.data import load_data
from sensverify.data.places import ENVIRONMENT
from sensverify.formats.modules import from_module
from sensverify.verification import certified_accuracy

RADIUS = 0.1
CLIP = (0.0, 1.0)


@dataclass(frozen=True)
class Result:
    """``robust_error`` is the share of images that are misclassified or not proven robust.

    Times are wall times, or with one thread (``OMP_NUM_THREADS=1``) processor times.
    """

    method: str
    images: int
    error: float
    robust_error: float
    seconds: float
    peak_bytes: int


def load(images: int | None = None) -> tuple[nn.Sequential, Tensor, Tensor]:
    """The network, the first test images ``[images, 1, 28, 28]`` in [0, 1] and their labels."""
    module = nn.Sequential(
        nn.Conv2d(1, 16, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 7 * 7, 100),
        nn.ReLU(),
        nn.Linear(100, 10),
    )
    path = Path(os.environ[ENVIRONMENT]) / "nets" / "convex_adversarial" / "models_mnist.pth"
    stored = torch.load(path, map_location="cpu", weights_only=True)
    state = stored.get("state_dict", stored)
    module.load_state_dict(state[0] if isinstance(state, list) else state)
    data = load_data("mnist")
    if data.y is None:
        raise RuntimeError("the MNIST data has no labels")
    x, y = torch.tensor(data.x[:images]), torch.tensor(data.y[:images], dtype=torch.int64)
    return module.eval(), x, y


def margins(y: Tensor) -> Tensor:
    """Rows ``e_y - e_j`` for every class j but y, ``[images, 9, 10]``."""
    identity = torch.eye(10)
    rows = identity[y].unsqueeze(1) - identity
    return rows[torch.arange(10) != y[:, None]].reshape(len(y), 9, 10)


def robust_error(method: str, images: int | None = None) -> Result:
    """The robust error as convex_adversarial counts it, in one call of `compute_bounds`."""
    module, x, y = load(images)
    network, rows = from_module(module, (1, 28, 28)), margins(y)
    box = Box.around(x, RADIUS, clip=CLIP)
    start = now()
    with torch.no_grad():
        outer = compute_bounds(network, box, METHODS[method], rows).outer
        seconds = now() - start
        error = (module(x).argmax(1) != y).float().mean()
    proven = (outer.lower > 0).all(dim=1)
    return Result(
        method=method,
        images=len(x),
        error=float(error),
        robust_error=float((~proven).float().mean()),
        seconds=seconds,
        peak_bytes=high_water(),
    )


def exact_error(decider: str, images: int | None = None) -> Result:
    """The error under the worst attack: every label that CROWN leaves open is decided."""
    module, x, y = load(images)
    start = now()
    found = certified_accuracy(module, x, y, radius=RADIUS, clip=CLIP, decide=decider)
    seconds = now() - start
    low, high = found.interval
    if low != high:
        raise RuntimeError(f"open still: {found!r}")
    return Result(
        method=decider,
        images=len(x),
        error=1.0 - float(found.report.summary.accuracy or 0.0),
        robust_error=1.0 - low,
        seconds=seconds,
        peak_bytes=high_water(),
    )


def reference_seconds(images: int) -> float:
    """How long convex_adversarial takes for the first images, ten at a time."""
    from convex_adversarial import robust_loss

    module, x, y = load(images)
    start = now()
    with torch.no_grad():
        for first in range(0, images, 10):
            part = slice(first, first + 10)
            robust_loss(module, RADIUS, x[part], y[part], bounded_input=True)
    return now() - start


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    count = int(sys.argv[2]) if len(sys.argv) > 2 else None
    measure = robust_error if sys.argv[1] in METHODS else exact_error
    print(json.dumps(asdict(measure(sys.argv[1], count))))
