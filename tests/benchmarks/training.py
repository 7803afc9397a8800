"""What a training step costs with a sensitivity penalty, as a Markdown table.

    python tests/benchmarks/training.py [--out FILE]

The seed's MNIST network (``mnist-conv2``, random weights), 64 images, radius 0.05, Adam. A step is
the loss, its gradient and the update. The same loss beside ours: through auto_LiRPA with the slopes
of LP-dual (``same-slope``), and the robust cross-entropy of convex_adversarial by its authors on 8
images, scaled up. One thread by default, and then processor time; every contender in the same
process, its memory in a process of its own.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from contenders import CLASSES, Run, Setting, auto_lirpa_module, reference_version
from machine import Timing, description, in_fresh_process, measure, peak_memory, product_rate
from torch import Tensor
from torch.nn import functional

from sensverify.bounds import LpDual, compute_bounds
from sensverify.core.box import Box
from sensverify.training import Loss, Stage, resolve_loss
from sensverify.training.losses.step import Step

HERE = Path(__file__).parent
SCALED = 8
"""Images that convex_adversarial is timed on."""

LOSSES = ("base", "spec-m", "jacob-m", "sm", "k&w", "ibp", "crown-ibp", "pgd", "trades", "overlap")
"""Recipes that are timed."""


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    warnings.simplefilter("ignore")
    if arguments.peak:
        print(peak_memory(contenders()[arguments.peak](Setting())))
        return
    lines = []
    for line in _report(arguments):
        print(line, flush=True)
        lines.append(line)
    Path(arguments.out).write_text("\n".join(lines) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", metavar="FILE", default=HERE / "RESULTS_TRAINING.md")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    return parser.parse_args()


def contenders() -> dict[str, Callable[[Setting], Run]]:
    """Everything that is timed, by name."""
    found: dict[str, Callable[[Setting], Run]] = {
        name: lambda setting, name=name: ours(setting, name) for name in LOSSES
    }
    return {**found, "sm by auto_LiRPA": sm_by_auto_lirpa, "k&w by its authors": kw_by_authors}


def ours(setting: Setting, name: str) -> Run:
    """One step with a recipe's last stage, at the full radius."""
    loss = last_stage(name).loss
    optimiser = torch.optim.Adam(setting.module.parameters(), lr=1e-4)
    y, generator = labels(setting), torch.Generator().manual_seed(0)
    radius, state = torch.full_like(setting.x[0], setting.radius), dict[str, Tensor]()

    def run() -> None:
        step = Step(
            setting.module,
            setting.network,
            setting.x,
            y,
            radius=radius,
            generator=generator,
            state=state,
            asked=loss.asks,
        )
        total, _ = loss(step)
        _update(optimiser, total)

    return run


def sm_by_auto_lirpa(setting: Setting) -> Run:
    """The loss of ``sm`` with auto_LiRPA's bounds: LP-dual's slopes, the same one on both sides."""
    bounded, inputs = auto_lirpa_module(setting, {"relu": "same-slope"})
    optimiser = torch.optim.Adam(bounded.parameters(), lr=1e-4)
    y = labels(setting)
    _check_same_bounds(setting, *bounded.compute_bounds(x=(inputs(),), method="CROWN"))

    def run() -> None:
        lower, upper = bounded.compute_bounds(x=(inputs(),), method="CROWN")
        volume = (upper - lower).log().sum(1).exp().mean()
        loss = functional.cross_entropy(setting.module(setting.x), y)
        weights = [w for w in setting.module.parameters() if w.ndim > 1]
        penalty = torch.stack([w.square().sum() for w in weights]).sum()
        _update(optimiser, loss + 1e-5 * penalty + 1e-6 * volume)

    return run


def _check_same_bounds(setting: Setting, lower: Tensor, upper: Tensor) -> None:
    """Stop where the other implementation computes something else."""
    ours = compute_bounds(setting.network, Box.around(setting.x, setting.radius), LpDual()).outer
    for mine, theirs in ((ours.lower, lower), (ours.upper, upper)):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def kw_by_authors(setting: Setting) -> Run:
    """The robust cross-entropy of convex_adversarial on the first few images."""
    from convex_adversarial import robust_loss

    warnings.filterwarnings("ignore", module="convex_adversarial")
    optimiser = torch.optim.Adam(setting.module.parameters(), lr=1e-4)
    x, y = setting.x[:SCALED], labels(setting)[:SCALED]

    def run() -> None:
        loss, _ = robust_loss(setting.module, setting.radius, x, y)
        _update(optimiser, loss)

    return run


def last_stage(name: str) -> Stage:
    """What a recipe ends with."""
    return resolve_loss(name).stages[-1]


def labels(setting: Setting) -> Tensor:
    """Some label for every image."""
    return torch.arange(setting.images) % CLASSES


def _update(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


def _report(arguments: argparse.Namespace) -> Iterator[str]:
    yield "# Measured: one step of training"
    yield ""
    yield "Made by `python tests/benchmarks/training.py`, which says what it measures."
    yield ""
    operations = 3 * Setting().operations("lp-dual")
    rate = product_rate(2048, 256, 100)
    yield (
        f"{description('cpu')}. Of the step of `sm`, {operations / 1e9:.0f} GFLOP cannot be done "
        f"without: {_time(operations / rate)} at the {rate / 1e9:.0f} GFLOP/s that products of "
        "their size reach here."
    )
    yield ""
    yield "| step | loss | time | beside `base` | memory |"
    yield "| --- | --- | ---: | ---: | ---: |"
    base: Timing | None = None
    times: dict[str, float] = {}
    for name, make in contenders().items():
        timing = measure(make(Setting()), repeats=3, limit=60.0)
        scale = Setting().images / SCALED if make is kw_by_authors else 1.0
        times[name] = timing.seconds * scale
        base = base or timing
        loss = _loss_of(name)
        yield (
            f"| {_shown(name)} | {loss} | {_time(times[name])} | "
            f"{times[name] / base.seconds:.1f}x | {_peak(name)} |"
        )
    yield ""
    for mine, theirs in (("sm", "sm by auto_LiRPA"), ("k&w", "k&w by its authors")):
        yield f"`{mine}` is {times[theirs] / times[mine]:.1f} times as fast as {_shown(theirs)}."


def _shown(name: str) -> str:
    if name == "sm by auto_LiRPA":
        return f"`sm` through {reference_version('crown')}"
    if name == "k&w by its authors":
        return f"`k&w` by {reference_version('lp-dual')}, {SCALED} images, scaled"
    return f"`{name}`"


def _loss_of(name: str) -> Loss | str:
    return "the same" if " by " in name else f"`{last_stage(name).loss}`"


def _peak(name: str) -> str:
    output = in_fresh_process(
        Path(__file__), "--peak", name, "--threads", str(torch.get_num_threads())
    )
    return f"{int(output.split()[-1]) / 1e6:.0f} MB"


def _time(seconds: float) -> str:
    return f"{1e3 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


if __name__ == "__main__":
    main()
