"""Train the networks that ship with sensverify, and write them with their cards and samples.

::

    python examples/train_shipped_models.py --out models iris digits
    python examples/train_shipped_models.py --out models digits-mixer power-flow
    SENSVERIFY_DATA=DIR python examples/train_shipped_models.py --out models mnist-conv1 mnist-conv2

Each network is trained plainly, with cross-entropy and an L2 penalty on its weights and nothing
that would make it robust. Iris and digits come from scikit-learn; MNIST is read from the four idx
files in ``$SENSVERIFY_DATA/mnist``; states of a grid are drawn here, and judged by the equations of
power flow. Needs ``.[data]``.

A run is repeatable on one machine: one thread, fixed seed, deterministic kernels. Other hardware
or another torch rounds differently and gives other weights of like accuracy.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sensverify.data import load_data, load_split
from sensverify.data.facts import FACTS
from sensverify.models import Card
from sensverify.models.architectures import build
from sensverify.training.directory.export import export_onnx, replay, write_card

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """A data set in two parts: x of shape ``[samples, *features]``, y of shape ``[samples]``.

    ``feature_range``, of shape ``[*features]``, is what ``--sigma`` scales with this data set.
    """

    x_train: Floats
    y_train: Labels
    x_test: Floats
    y_test: Labels
    feature_range: NDArray[np.float64]


@dataclass(frozen=True)
class About:
    """Names of the classes of a data set, and its licence."""

    labels: tuple[str, ...]
    licence: str


LINES = ((0, 1), (0, 2), (1, 2))
"""Lines of the grid, by the buses at their ends."""

OWN = {
    "power-flow": About(
        ("secure", *(f"line {i + 1}-{j + 1}" for i, j in LINES)),
        "drawn by examples/train_shipped_models.py",
    )
}
"""Data sets that are made here."""


@dataclass(frozen=True)
class Recipe:
    """Settings of the training of one network, and the text of its card."""

    description: str
    data: str
    load: Callable[[], Split]
    clip: tuple[float, float] | None
    epochs: int
    batch_size: int
    learning_rate: float
    l2: float
    sample_size: int
    standardise: bool = False
    seed: int = 0


def load_small(name: str) -> Split:
    """A set that comes with scikit-learn; every fifth sample is a test sample."""
    data = load_data(name)
    x, y = data.x, np.asarray(data.y, np.int64)
    test = np.arange(len(x)) % 5 == 4
    return Split(x[~test], y[~test], x[test], y[test], np.asarray(data.feature_range))


def load_mnist() -> Split:
    """MNIST in its own two parts, ``[samples, 1, 28, 28]``, pixels divided by 255."""
    data = load_split("mnist")
    train, test = data.train, data.test
    y_train, y_test = (np.asarray(part.y, np.int64) for part in (train, test))
    return Split(train.x, y_train, test.x, y_test, np.asarray(test.feature_range))


def load_power_flow() -> Split:
    """States of three buses on a ring, and the line that is loaded most where one is overloaded.

    x: three voltages (as shares of the nominal one), and the phases of the second and third bus, in
    radians, relative to the first. A line of conductance g and susceptance b carries
    ``u^2 g - u v (g cos(a) - b sin(a))`` between voltages u and v whose phases are a apart.
    """
    x_train, y_train = _states(4000, 0)
    x_test, y_test = _states(1000, 1)
    return Split(x_train, y_train, x_test, y_test, np.array([0.2, 0.2, 0.2, 1.0, 1.0]))


def _states(count: int, seed: int) -> tuple[Floats, Labels]:
    generator = np.random.default_rng(seed)
    volts = generator.uniform(0.9, 1.1, (count, 3))
    phases = np.column_stack([np.zeros(count), generator.uniform(-0.5, 0.5, (count, 2))])
    loads = []
    wires = zip(LINES, (1.0, 1.2, 0.8), (5.0, 6.0, 4.0), (1.6, 1.8, 1.8), strict=True)
    for (i, j), conductance, susceptance, limit in wires:
        apart = phases[:, i] - phases[:, j]
        lost = conductance * np.cos(apart) - susceptance * np.sin(apart)
        flow = volts[:, i] ** 2 * conductance - volts[:, i] * volts[:, j] * lost
        loads.append(np.abs(flow) / limit)
    load = np.stack(loads, 1)
    labels = np.where(load.max(1) <= 1, 0, 1 + load.argmax(1))
    return np.column_stack([volts, phases[:, 1:]]).astype(np.float32), labels


RECIPES = {
    "iris": Recipe(
        description="Iris, 4-25-25-25-3 fully connected; inputs in centimetres",
        data="iris",
        load=partial(load_small, "iris"),
        clip=None,
        epochs=400,
        batch_size=120,
        learning_rate=0.01,
        l2=1e-3,
        sample_size=30,
        standardise=True,
    ),
    "digits": Recipe(
        description="8x8 digits, 64-48-24-10 fully connected; pixels in [0, 1]",
        data="digits",
        load=partial(load_small, "digits"),
        clip=(0.0, 1.0),
        epochs=100,
        batch_size=64,
        learning_rate=2e-3,
        l2=1e-4,
        sample_size=100,
    ),
    "digits-mixer": Recipe(
        description="8x8 digits, a mixer of four blocks with GELU; pixels in [0, 1]",
        data="digits",
        load=partial(load_small, "digits"),
        clip=(0.0, 1.0),
        epochs=60,
        batch_size=64,
        learning_rate=4e-3,
        l2=1e-3,
        sample_size=100,
    ),
    "power-flow": Recipe(
        description="overloads of a grid of three buses, by sines, cosines and products; voltages "
        "as shares of the nominal one, phases in radians",
        data="power-flow",
        load=load_power_flow,
        clip=None,
        epochs=40,
        batch_size=64,
        learning_rate=1e-2,
        l2=0.0,
        sample_size=64,
    ),
    "mnist-conv1": Recipe(
        description="MNIST, one convolution and one fully-connected layer; pixels in [0, 1]",
        data="mnist",
        load=load_mnist,
        clip=(0.0, 1.0),
        epochs=12,
        batch_size=128,
        learning_rate=2e-3,
        l2=1e-5,
        sample_size=64,
    ),
    "mnist-conv2": Recipe(
        description="MNIST, two convolutions and one fully-connected layer; pixels in [0, 1]",
        data="mnist",
        load=load_mnist,
        clip=(0.0, 1.0),
        epochs=12,
        batch_size=128,
        learning_rate=2e-3,
        l2=1e-5,
        sample_size=64,
    ),
}


def train(name: str, recipe: Recipe, split: Split) -> nn.Module:
    """Minimise cross-entropy + ``l2`` times the sum of squared weights with Adam.

    The step size falls to zero along a half cosine. With ``standardise`` the network learns on
    features of mean 0 and deviation 1, and the scaling is then folded into its first layer, so
    that it takes the features in their own units.
    """
    torch.manual_seed(recipe.seed)
    network = build(name)
    x, y = torch.from_numpy(split.x_train), torch.from_numpy(split.y_train)
    mean, deviation = x.mean(0), x.std(0, correction=0)
    if recipe.standardise:
        x = (x - mean) / deviation
    weights = [p for p in network.parameters() if p.ndim > 1]
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate)
    batches = -(-len(x) // recipe.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.epochs * batches)
    generator = torch.Generator().manual_seed(recipe.seed)
    for epoch in range(recipe.epochs):
        total = 0.0
        for chosen in torch.randperm(len(x), generator=generator).split(recipe.batch_size):
            loss = nn.functional.cross_entropy(network(x[chosen]), y[chosen])
            penalty = torch.stack([w.square().sum() for w in weights]).sum()
            optimizer.zero_grad()
            (loss + recipe.l2 * penalty).backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(chosen)
        if epoch % max(1, recipe.epochs // 12) == 0:
            print(f"{name}: epoch {epoch}, cross-entropy {total / len(x):.4f}", file=sys.stderr)
    if recipe.standardise:
        assert isinstance(network, nn.Sequential)
        _fold_scaling(network[0], mean, deviation)
    return network


@torch.no_grad()
def _fold_scaling(first: nn.Module, mean: Tensor, deviation: Tensor) -> None:
    # W ((x - mean) / deviation) + b = (W / deviation) x + (b - (W / deviation) mean)
    assert isinstance(first, nn.Linear)
    first.weight /= deviation
    first.bias -= first.weight @ mean


def write(name: str, recipe: Recipe, split: Split, network: nn.Module, out: Path) -> None:
    """Write ``NAME.onnx``, its card ``NAME.json`` and ``DATA.npz``, a sample of the test part."""
    about = OWN.get(recipe.data) or FACTS[recipe.data]
    model, sample = out / f"{name}.onnx", out / f"{recipe.data}.npz"
    export_onnx(network, split.x_test.shape[1:], model)
    np.savez_compressed(
        sample,
        x=split.x_test[: recipe.sample_size],
        y=split.y_test[: recipe.sample_size],
        feature_range=split.feature_range,
    )
    accuracy = {
        "train": _accuracy(replay(model, split.x_train), split.y_train),
        "test": _accuracy(replay(model, split.x_test), split.y_test),
    }
    card = Card(
        name=name,
        description=recipe.description,
        data=recipe.data,
        sample=sample.name,
        clip=recipe.clip,
        sigma=0.05,
        input_shape=split.x_test.shape[1:],
        outputs=len(about.labels),
        labels=about.labels,
        parameters=sum(p.numel() for p in network.parameters()),
        accuracy=accuracy,
        recipe=f"python examples/train_shipped_models.py --out models {name}",
        sha256=hashlib.sha256(model.read_bytes()).hexdigest(),
        sample_sha256=hashlib.sha256(sample.read_bytes()).hexdigest(),
        data_licence=about.licence,
    )
    write_card(card, out / f"{name}.json")
    print(f"{name}: accuracy {accuracy}, {model.stat().st_size} bytes", file=sys.stderr)


def _accuracy(outputs: Floats, labels: Labels) -> float:
    return round(float((outputs.argmax(1) == labels).mean()), 6)


def main() -> None:
    """Train the networks named on the command line (all of them by default)."""
    parser = argparse.ArgumentParser(description="Train the networks that ship with sensverify.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(RECIPES)}")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(RECIPES)
    if unknown:
        parser.error(f"no recipe for {', '.join(sorted(unknown))}; there are {', '.join(RECIPES)}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name in arguments.names or RECIPES:
        recipe = RECIPES[name]
        split = recipe.load()
        write(name, recipe, split, train(name, recipe, split), arguments.out)


if __name__ == "__main__":
    main()
