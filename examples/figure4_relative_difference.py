"""Figure 4: relative difference of the sensitivity by bounds and the exact one, network by network.

::

    python examples/figure4_relative_difference.py --out figure4

This is Figure 4 of Wang et al., *Towards Robust Deep Neural Networks*: ``(S_dual - S_exact) /
S_exact`` for many networks of one architecture, with CROWN and alpha-CROWN beside the paper's dual
bound (LP-dual), and the exact widths below. The paper took networks at different minima of the
loss, and Reluplex; here the networks differ in their initialisation and in how long they were
trained, and the exact ranges come from branch and bound.

Each network is 4-25-25-25-3 with ReLUs, trained on Iris. Its sensitivity S is the mean, over every
fifth flower, of the volume of the box that holds every output while each feature moves by up to
``sigma`` times its range. ``networks.csv`` in the output folder gets one line for every finished
network; a run that was stopped goes on where it was. Needs ``.[data]`` and matplotlib.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter

import matplotlib

# No window: the figure goes into a file.
matplotlib.use("Agg")
import itertools

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

import sensverify as sv
from sensverify.bounds.method import Method, make_method
from sensverify.data import load_data

EPOCHS = (30, 100, 300)
CHEAP = {"dual": "lp-dual", "crown": "crown", "alpha": "alpha-crown"}
LABELS = {"dual": "LP-dual (the paper's)", "crown": "CROWN", "alpha": "alpha-CROWN"}
STYLES = {"dual": ("o", "#b5403a"), "crown": ("s", "#d99a2b"), "alpha": ("^", "#2f6f9f")}
COLUMNS = (
    *("seed", "epoch", "sigma", "samples", "method", "accuracy", "exact_share"),
    *("s_exact", "s_attained", *(f"s_{name}" for name in CHEAP)),
    *(f"width_{k}" for k in range(3)),
    "seconds",
)

Row = dict[str, str]


def train(seed: int, epochs: Sequence[int]) -> Iterator[tuple[int, nn.Sequential, float]]:
    """One network after each of these epochs, with its accuracy on the data it was trained on."""
    data = load_data("iris")
    x, y = torch.from_numpy(data.x).float(), torch.from_numpy(data.y)
    torch.manual_seed(seed)
    sizes = (4, 25, 25, 25, 3)
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    net = nn.Sequential(*layers[:-1])
    optimiser = torch.optim.Adam(net.parameters(), lr=0.01, weight_decay=1e-3)
    for epoch in range(1, max(epochs) + 1):
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimiser.step()
        if epoch in epochs:
            yield epoch, net, float((net(x).argmax(1) == y).float().mean())


def measure(net: nn.Sequential, sigma: float, samples: int, exact: Method) -> dict[str, float]:
    """The sensitivities by every method, and the mean exact width of every output."""
    data = load_data("iris")
    x = data.x[:: len(data.x) // samples][:samples].astype(np.float64)
    assert data.feature_range is not None
    box = sv.Box.around(x, sigma * data.feature_range.astype(np.float64))
    network = sv.from_module(net, (4,))
    begun = perf_counter()
    with torch.no_grad():
        tight = sv.compute_bounds(network, box, exact, dtype=torch.float64)
        cheap = {
            f"s_{name}": sv.mean_volume(
                sv.compute_bounds(network, box, make_method(method), dtype=torch.float64).outer
            )
            for name, method in CHEAP.items()
        }
    if tight.inner is None or tight.optimal is None:
        raise SystemExit(f"method {exact.name} gives no exact ranges")
    widths = torch.as_tensor(tight.outer.widths).mean(0).tolist()
    return {
        "exact_share": float(tight.optimal.double().mean()),
        "s_exact": float(sv.mean_volume(tight.outer)),
        "s_attained": float(sv.mean_volume(tight.inner)),
        **{name: float(value) for name, value in cheap.items()},
        **{f"width_{k}": width for k, width in enumerate(widths)},
        "seconds": perf_counter() - begun,
    }


def run(arguments: argparse.Namespace) -> list[Row]:
    """Every network that was asked for; those in the file already are taken from there."""
    path = arguments.out / "networks.csv"
    settings = {
        "sigma": f"{arguments.sigma:g}",
        "samples": str(arguments.samples),
        "method": arguments.method,
    }
    known = {_key(row): row for row in _read(path)}
    wanted = [
        {"seed": str(seed), "epoch": str(epoch), **settings}
        for seed in range(arguments.seeds)
        for epoch in sorted(arguments.epochs)
    ]
    options = {} if arguments.timeout is None else {"seconds": arguments.timeout}
    exact = make_method(arguments.method, **options)
    done, begun = 0, perf_counter()
    todo = sum(_key(row) not in known for row in wanted)
    for seed in range(arguments.seeds):
        mine = {row["epoch"]: row for row in wanted if row["seed"] == str(seed)}
        if all(_key(row) in known for row in mine.values()):
            continue
        for epoch, net, accuracy in train(seed, arguments.epochs):
            row = mine[str(epoch)]
            if _key(row) in known:
                continue
            found = measure(net, arguments.sigma, arguments.samples, exact)
            full = {
                **row,
                "accuracy": f"{accuracy:.4f}",
                **{k: f"{v:.9g}" for k, v in found.items()},
            }
            _append(path, full)
            known[_key(row)] = full
            done += 1
            left = (perf_counter() - begun) / done * (todo - done)
            text = f"network {done} of {todo}: seed {seed}, epoch {epoch}; about {left:.0f} s left"
            print(text, file=sys.stderr, flush=True)
    return [known[_key(row)] for row in wanted]


def _key(row: Row) -> tuple[str, ...]:
    return tuple(row[name] for name in ("seed", "epoch", "sigma", "samples", "method"))


def _read(path: Path) -> list[Row]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        # A run that was killed may have left half a line.
        whole = (row for row in csv.DictReader(file) if None not in row)
        return [row for row in whole if None not in row.values()]


def _append(path: Path, row: Row) -> None:
    fresh = not path.exists()
    cut_off = not fresh and not path.read_bytes().endswith(b"\n")
    with path.open("a", newline="", encoding="utf-8") as file:
        if cut_off:
            file.write("\n")
        writer = csv.DictWriter(file, COLUMNS)
        if fresh:
            writer.writeheader()
        writer.writerow(row)


def draw(rows: list[Row], path: Path) -> None:
    """Relative differences above, exact widths below; networks ordered by their sensitivity."""
    rows = sorted(rows, key=lambda row: float(row["s_exact"]))
    exact = np.array([float(row["s_exact"]) for row in rows])
    places = np.arange(1, len(rows) + 1)
    figure, (above, below) = plt.subplots(
        2, 1, sharex=True, figsize=(7.2, 6.4), height_ratios=(3, 2), layout="constrained"
    )
    for name, (marker, colour) in STYLES.items():
        share = np.array([float(row[f"s_{name}"]) for row in rows]) / exact - 1
        median = f"{LABELS[name]}, median {100 * np.median(share):.3g} %"
        # A bound that is exact has no place on a logarithmic axis.
        shown = np.maximum(100 * share, 1e-3)
        above.scatter(
            places, shown, s=30, marker=marker, facecolors="none", edgecolors=colour, label=median
        )
    above.set_yscale("log")
    above.yaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda v, _: f"{v:g} %"))
    above.set_ylabel("sensitivity above the exact one")
    sigma, samples = rows[0]["sigma"], rows[0]["samples"]
    figure.suptitle(
        f"{len(rows)} Iris networks, inputs moved by {100 * float(sigma):g} % of their range, "
        f"mean of {samples} samples",
        fontsize=10,
    )
    # Outside of the axes, where no point is.
    above.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
    for k, colour in enumerate(("#444444", "#7a7a7a", "#b0b0b0")):
        widths = [float(row[f"width_{k}"]) for row in rows]
        below.plot(places, widths, color=colour, marker=".", linewidth=1, label=f"output {k}")
    below.set_yscale("log")
    below.yaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda v, _: f"{v:g}"))
    below.set_ylabel("exact width (logits)")
    below.set_xlabel("network, from the least to the most sensitive")
    below.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
    for axis in (above, below):
        axis.grid(True, which="major", linewidth=0.4, alpha=0.6)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)
    plt.close(figure)


def main(argv: Sequence[str] | None = None) -> None:
    """Train, measure and draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for networks.csv and figure4.svg"
    )
    parser.add_argument("--seeds", type=int, default=12, help="initialisations (default: 12)")
    parser.add_argument(
        "--epochs", type=int, nargs="+", default=EPOCHS, help="when each is measured (30 100 300)"
    )
    parser.add_argument("--sigma", type=float, default=0.1, help="share of a feature's range (0.1)")
    parser.add_argument("--samples", type=int, default=30, help="flowers (30 of the 150)")
    parser.add_argument("--method", default="branch-and-bound", help="the exact one")
    parser.add_argument("--timeout", type=float, help="seconds for one network; default: none")
    parser.add_argument("--png", action="store_true", help="a PNG beside the SVG")
    arguments = parser.parse_args(argv)
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows = run(arguments)
    draw(rows, arguments.out / "figure4.svg")
    if arguments.png:
        draw(rows, arguments.out / "figure4.png")
    print(arguments.out / "figure4.svg")


if __name__ == "__main__":
    main()
