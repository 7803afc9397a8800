"""What an evaluation finds on real networks, and what it costs, as Markdown tables.

    SENSVERIFY_DATA=FOLDER python tests/benchmarks/evaluation.py [--out FILE]

Wong and Kolter's robust MNIST network on all 10,000 test images at radius 0.1, beside the errors
that its authors publish; the networks that ship at a radius that breaks them; and the whole default
evaluation of each of these. Two threads; times are wall times.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from machine import description
from mnist_robust_error import CLIP, RADIUS, load

from sensverify.classification.rates import Rate
from sensverify.evaluation.curves import certified_curve, clean_rate, worst_curve
from sensverify.evaluation.request import EvaluateRequest
from sensverify.evaluation.results import Evaluation, ModelEvaluation
from sensverify.evaluation.run import evaluate
from sensverify.training.directory.export import export_onnx

HERE = Path(__file__).parent
PUBLISHED = {"fgsm": 0.039, "pgd": 0.041, "lp-dual": 0.058, "clean": 0.018}
"""Errors that Wong & Kolter publish of the network (2018, *Provable defenses*, Table 1)."""

ATTACKS = ("fgsm", "pgd", "apgd-ce", "apgd-dlr")
BROKEN_AT = {"digits": 0.3, "mnist-conv1": 0.3, "mnist-conv2": 0.3}
DATA = {"iris": "iris", "digits": "digits", "mnist-conv1": "mnist", "mnist-conv2": "mnist"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", metavar="FILE", default=HERE / "RESULTS_EVALUATION.md")
    parser.add_argument("--images", type=int, default=10_000, metavar="N")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    lines = []
    for line in _report(arguments.images):
        print(line, flush=True)
        lines.append(line)
    Path(arguments.out).write_text("\n".join(lines) + "\n")


def _report(images: int) -> Iterator[str]:
    yield "# Measured: evaluations of real networks"
    yield ""
    yield "Made by `python tests/benchmarks/evaluation.py`, which says what it measures."
    yield ""
    yield f"{description('cpu')}."
    yield ""
    yield from _robust_network(images)
    yield ""
    yield from _broken_networks()
    yield ""
    yield from _whole_evaluations()


def _robust_network(images: int) -> Iterator[str]:
    """Every row of the one curve, from the largest accuracy to the smallest."""
    found = _evaluate_robust_network(images)
    model = found.models[0]
    yield f"## Wong and Kolter's MNIST network, radius {RADIUS}, {found.samples:,} test images"
    yield ""
    yield "| | error | 95 % interval | published | time |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    yield _row("clean", "no attack", clean_rate(model), model.clean[0].seconds)
    for row in model.attacks:
        left = Rate(found.samples - len(row.broken), found.samples)
        yield _row(row.attack, f"under `{row.attack}`", left, row.seconds)
    worst = worst_curve(model, found.radii)[-1].rate
    yield _row("worst", "under all attacks together", worst, None)
    for proof in sorted(model.certified, key=lambda row: -len(row.certified)):
        kept = certified_curve(model, proof.method)[-1].rate
        text = f"not certified by `{proof.method}` ({proof.guarantee})"
        yield _row(proof.method, text, kept, proof.seconds)


def _evaluate_robust_network(images: int) -> Evaluation:
    module, _, _ = load(1)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "wong-kolter.onnx"
        export_onnx(module, (1, 28, 28), path)
        return evaluate(
            EvaluateRequest(
                models=(str(path),),
                data="mnist",
                count=images,
                train_samples=0,
                radii=(RADIUS,),
                clip=CLIP,
                attacks=ATTACKS,
                certify=("lp-dual", "crown"),
                corruptions=(),
                measures=(),
            )
        )


def _row(name: str, text: str, accuracy: Rate, seconds: float | None) -> str:
    low, high = accuracy.interval
    published = f"{100 * PUBLISHED[name]:.1f} %" if name in PUBLISHED else ""
    time = "" if seconds is None else f"{seconds:.1f} s"
    return (
        f"| {text} | {100 * (1 - accuracy.share):.2f} % | "
        f"{100 * (1 - high):.2f} to {100 * (1 - low):.2f} % | {published} | {time} |"
    )


def _broken_networks() -> Iterator[str]:
    yield "## Networks that ship, trained without a defence"
    yield ""
    yield "| network | radius | images | clean error | under `pgd` | not certified by `crown` |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for name, radius in BROKEN_AT.items():
        found = evaluate(
            EvaluateRequest(
                models=(name,),
                data=DATA[name],
                count=1000,
                train_samples=0,
                radii=(radius,),
                attacks=("pgd",),
                corruptions=(),
                measures=(),
            )
        )
        model = found.models[0]
        errors = (
            1 - clean_rate(model).share,
            len(model.attacks[0].broken) / found.samples,
            1 - len(model.certified[0].certified) / found.samples,
        )
        shown = " | ".join(f"{100 * error:.1f} %" for error in errors)
        yield f"| {name} | {radius:g} | {found.samples:,} | {shown} |"


def _whole_evaluations() -> Iterator[str]:
    yield "## What `sensverify evaluate MODEL --data NAME` takes"
    yield ""
    kinds = ("clean", "attacks", "certified", "corruptions", "measures")
    yield f"| model | samples | {' | '.join(kinds)} | in all |"
    yield f"| --- | ---: |{' ---: |' * (len(kinds) + 1)}"
    for name, data in DATA.items():
        found = evaluate(EvaluateRequest(models=(name,), data=data))
        seconds = _seconds(found.models[0], kinds)
        shown = " | ".join(f"{seconds[kind]:.1f} s" for kind in kinds)
        yield f"| {name} | {found.samples} | {shown} | {found.seconds:.0f} s |"


def _seconds(model: ModelEvaluation, kinds: tuple[str, ...]) -> dict[str, float]:
    found: dict[str, float] = defaultdict(float)
    for kind in kinds:
        for row in getattr(model, kind):
            found[kind] += row.seconds
    return found


if __name__ == "__main__":
    main()
