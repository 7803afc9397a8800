"""CROWN around one layer of functions beside auto_LiRPA's: widths and time, as a Markdown table.

    SENSVERIFY_AUTO_LIRPA=FOLDER python tests/benchmarks/relaxations.py

Random weights, 32 inputs, 128 numbers that enter the functions, 10 outputs, 16 samples, three
seeds, one thread: the bounds on what enters the functions are the same for both. Columns are the
mean width of an output's interval as a share of auto_LiRPA's for three radii, the largest share of
any interval, and both processor times.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from time import process_time

import torch
from contenders import LIRPA_FOLDER
from torch import Tensor, nn
from torch.nn import functional

from sensverify.bounds import Crown, compute_bounds
from sensverify.bounds.lirpa_compat import graph_indexing, import_auto_lirpa, quiet
from sensverify.core.box import Box
from sensverify.formats.modules import from_module

RADII = (0.02, 0.1, 0.4)
SEEDS, SAMPLES, INPUTS, NUMBERS, OUTPUTS = 3, 16, 32, 128, 10
Ends = tuple[Tensor, Tensor]


def eights(x: Tensor) -> Tensor:
    return x.view(-1, NUMBERS // 8, 8)


def squares(x: Tensor) -> Tensor:
    return x.view(-1, NUMBERS // 16, 4, 4)


FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "ReLU": torch.relu,
    "leaky ReLU": lambda x: functional.leaky_relu(x, 0.1),
    "absolute value": torch.abs,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "arc tangent": torch.atan,
    "exponential": torch.exp,
    "logarithm": lambda x: torch.log(x + 4),
    "square root": lambda x: torch.sqrt(x + 4),
    "reciprocal": lambda x: 1 / (x + 4),
    "square": lambda x: x**2,
    "cube": lambda x: x**3,
    "sine": torch.sin,
    "cosine": torch.cos,
    "GELU by tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "SiLU": functional.silu,
    "sign": torch.sign,
    "floor": torch.floor,
    "softmax of 8": lambda x: torch.softmax(eights(x), -1).flatten(1),
    "layer norm of 8": lambda x: functional.layer_norm(eights(x), (8,), eps=0.01).flatten(1),
}
PAIRS: dict[str, Callable[..., Tensor]] = {
    "product": lambda x, y: x * y,
    "quotient": lambda x, y: x / (y + 4),
    "larger of two": torch.maximum,
    "smaller of two": torch.minimum,
    "product of 4x4": lambda x, y: (squares(x) @ squares(y)).flatten(1),
}


class Layer(nn.Module):
    """Affine maps, a function of one or two of their results, and an affine map."""

    def __init__(self, function: Callable[..., Tensor], *, two: bool) -> None:
        super().__init__()
        self.function, self.two = function, two
        self.first, self.second = nn.Linear(INPUTS, NUMBERS), nn.Linear(INPUTS, NUMBERS)
        self.last = nn.Linear(NUMBERS, OUTPUTS)

    def forward(self, x: Tensor) -> Tensor:
        parts = (self.first(x), self.second(x)) if self.two else (self.first(x),)
        result: Tensor = self.last(self.function(*parts))
        return result


def ours(layer: Layer, x: Tensor, radius: float) -> Callable[[], Ends]:
    network = from_module(layer, (INPUTS,))

    def run() -> Ends:
        outer = compute_bounds(network, Box(x - radius, x + radius), Crown()).outer
        return outer.lower, outer.upper

    return run


def theirs(layer: Layer, x: Tensor, radius: float) -> Callable[[], Ends]:
    package = import_auto_lirpa()
    with quiet(), graph_indexing():
        bounded = package.BoundedModule(layer, x)
    ball = package.PerturbationLpNorm(norm=float("inf"), x_L=x - radius, x_U=x + radius)

    def run() -> Ends:
        found: Ends = bounded.compute_bounds(x=(package.BoundedTensor(x, ball),), method="CROWN")
        return found

    return run


def timed(run: Callable[[], Ends]) -> tuple[Ends, float]:
    """The second call's result and processor time."""
    run()
    start = process_time()
    return run(), process_time() - start


def row(name: str, function: Callable[..., Tensor], *, two: bool) -> str:
    shares, largest, times = [], 0.0, [0.0, 0.0]
    for radius in RADII:
        widths = [0.0, 0.0]
        for seed in range(SEEDS):
            torch.manual_seed(seed)
            layer = Layer(function, two=two).requires_grad_(False)
            x = torch.randn(SAMPLES, INPUTS)
            own, other = (timed(make(layer, x, radius)) for make in (ours, theirs))
            each = [ends[1] - ends[0] for ends, _ in (own, other)]
            largest = max(largest, float((each[0] / each[1]).max()))
            widths = [w + float(e.mean()) for w, e in zip(widths, each, strict=True)]
            times = [t + s for t, (_, s) in zip(times, (own, other), strict=True)]
        shares.append(f"{widths[0] / widths[1]:.3f}")
    runs = len(RADII) * SEEDS
    took = " | ".join(f"{1e3 * t / runs:.1f} ms" for t in times)
    return f"| {name} | {' | '.join(shares)} | {largest:.2f} | {took} |"


def main() -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    folder = os.environ.get(LIRPA_FOLDER)
    if folder:
        sys.path.insert(0, folder)
    radii = " | ".join(f"radius {radius:g}" for radius in RADII)
    print(f"| function | {radii} | largest | time | its time |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for functions, two in ((FUNCTIONS, False), (PAIRS, True)):
        for name, function in functions.items():
            print(row(name, function, two=two), flush=True)


if __name__ == "__main__":
    main()
