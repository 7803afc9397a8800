"""Time and memory beside the reference implementations, as a Markdown table.

    python tests/benchmarks/table.py --out tests/benchmarks/RESULTS.md

Two processor threads; the GPU where there is one (``--device``). On a machine that others use too,
``--threads 1`` measures processor time instead of wall time. What is not installed is left out;
``$SENSVERIFY_AUTO_LIRPA`` names a folder with another auto_LiRPA than the installed one.
``--robust-error`` adds Wong and Kolter's network on all of MNIST, which takes minutes.
``--networks`` measures CROWN on eight networks instead, each beside the arithmetic that it cannot
do without, and intervals of 64 images beside a plain forward pass; ``--networks WORD`` those with a
word in their name.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch
from contenders import METHODS, REFERENCES, Setting, forward, ours, reference, reference_version
from machine import Timing, description, in_fresh_process, measure, peak_memory, product_rate

HERE = Path(__file__).parent
SCALED = {"lp-dual": 8}
"""Images that a slow reference is timed on; its time is scaled up to all of them."""


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    warnings.simplefilter("ignore")
    setting = Setting(arguments.images, device=arguments.device)
    if arguments.peak:
        who, method, what = arguments.peak.split(":")
        contender = ours if who == "ours" else reference
        run = contender(setting, method, training=what == "training")
        print(peak_memory(run, arguments.device))
        return
    lines = []
    by_networks = arguments.networks is not None
    for line in _networks(arguments) if by_networks else _report(setting, arguments):
        print(line, flush=True)
        lines.append(line)
    if arguments.out:
        Path(arguments.out).write_text("\n".join(lines) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", metavar="FILE")
    parser.add_argument("--robust-error", action="store_true")
    parser.add_argument("--networks", metavar="WORD", nargs="?", const="")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    return parser.parse_args()


def _report(setting: Setting, arguments: argparse.Namespace) -> Iterator[str]:
    device = setting.device
    yield f"{description(device)}."
    yield ""
    small = product_rate(2048, 256, 100, device)
    large = product_rate(2048, 2048, 2048, device)
    yield (
        f"Matrix products, float32: {small / 1e9:.0f} GFLOP/s at [2048, 256] x [256, 100], "
        f"{large / 1e9:.0f} GFLOP/s at [2048, 2048] x [2048, 2048]."
    )
    yield ""
    yield (
        f"The seed's MNIST network, {setting.images} images, radius {setting.radius}, both ends "
        "of 10 outputs; training is forward plus the gradient of the mean log-volume in the "
        "weights."
    )
    yield ""
    yield "| bounds | operations | ideal | time | memory | reference | its time | its memory |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    yield from _intervals(setting)
    for method in REFERENCES:
        for training in (False, True):
            yield _row(setting, method, training, small)
    yield ""
    yield "| images | " + " | ".join(f"{name}, ms an image" for name in METHODS) + " |"
    yield "| --- |" + " --- |" * len(METHODS)
    for images in (16, 64, 256):
        part = Setting(images, device=device)
        cells = [_milliseconds(measure(ours(part, m), repeats=3), images) for m in METHODS]
        yield f"| {images} | " + " | ".join(cells) + " |"
    if arguments.robust_error:
        yield ""
        yield from _robust_error()


def _intervals(setting: Setting) -> Iterator[str]:
    plain = measure(forward(setting), device=setting.device)
    bounds = measure(ours(setting, "ibp"), device=setting.device)
    ratio = bounds.seconds / plain.seconds
    yield (
        f"| ibp | | | {_time(bounds)} | {_peak(setting, 'ours', 'ibp', False)} | forward pass | "
        f"{_time(plain)} (we take {ratio:.1f}x) | |"
    )


def _row(setting: Setting, method: str, training: bool, rate: float) -> str:
    # A backward sweep through a product is two products of its size.
    operations = setting.operations(method) * (3 if training else 1)
    mine = measure(ours(setting, method, training=training), device=setting.device)
    label = f"{method}, training" if training else method
    ideal = operations / rate
    cells = [
        label,
        f"{operations / 1e9:.1f} GFLOP",
        f"{ideal:.3f} s",
        f"{_time(mine)} ({mine.seconds / ideal:.1f}x that)",
        _peak(setting, "ours", method, training),
        *_their_cells(setting, method, training, mine),
    ]
    return "| " + " | ".join(cells) + " |"


def _their_cells(
    setting: Setting, method: str, training: bool, mine: Timing, *, memory: bool = True
) -> list[str]:
    images = min(SCALED.get(method, setting.images), setting.images)
    try:
        run = reference(replace(setting, images=images), method, training=training)
    except Exception as error:
        return [f"{REFERENCES[method]} is not there ({type(error).__name__})", "", ""]
    theirs = measure(run, repeats=3, limit=90.0, device=setting.device)
    whole = Timing(
        theirs.seconds * setting.images / images, theirs.runs, disturbed=theirs.disturbed
    )
    scaled = f", {images} images scaled" if images < setting.images else ""
    return [
        reference_version(method),
        f"{_time(whole)} (we are {whole.seconds / mine.seconds:.1f}x faster{scaled})",
        *([_peak(setting, "theirs", method, training)] if memory else []),
    ]


def _peak(setting: Setting, who: str, method: str, training: bool) -> str:
    what = "training" if training else "bounds"
    output = in_fresh_process(
        Path(__file__),
        *("--peak", f"{who}:{method}:{what}", "--device", setting.device),
        *("--images", str(setting.images), "--threads", str(torch.get_num_threads())),
    )
    return f"{int(output.split()[-1]) / 1e6:.0f} MB"


def _networks(arguments: argparse.Namespace) -> Iterator[str]:
    from networks import NETS

    yield f"{description(arguments.device)}."
    yield ""
    yield (
        "| network | images | radius | operations | ideal | time | auto_LiRPA | its time "
        "| forward pass, 64 | ibp | ibp by auto_LiRPA |"
    )
    yield "|" + " --- |" * 11
    for name, net in NETS.items():
        if arguments.networks not in name:
            continue
        setting = replace(net, device=arguments.device)
        operations = setting.operations()
        ideal = operations / product_rate(2048, 256, 100, arguments.device)
        mine = measure(ours(setting, "crown"), repeats=3, device=arguments.device)
        cells = [
            name,
            str(setting.images),
            f"{setting.radius:.3g}",
            f"{operations / 1e9:.3g} GFLOP",
            f"{ideal:.2g} s",
            f"{_time(mine)} ({mine.seconds / ideal:.1f}x that)",
            *_their_cells(setting, "crown", False, mine, memory=False),
            *_interval_cells(replace(setting, images=64)),
        ]
        yield "| " + " | ".join(cells) + " |"


def _interval_cells(setting: Setting) -> Iterator[str]:
    """A plain forward pass, and intervals beside it, by turns: caches and clocks change."""
    runs = [forward(setting), ours(setting, "ibp")]
    with suppress(ImportError):
        runs.append(reference(setting, "ibp"))
    rounds = [[measure(run, repeats=1, device=setting.device) for run in runs] for _ in range(5)]
    found = [min(timings, key=lambda t: t.seconds) for timings in zip(*rounds, strict=True)]
    yield _time(found[0])
    for timing in found[1:]:
        yield f"{_time(timing)} ({timing.seconds / found[0].seconds:.1f}x that)"
    if len(found) == 2:
        yield ""


def _robust_error() -> Iterator[str]:
    from mnist_robust_error import reference_seconds

    yield (
        "Wong and Kolter's robust MNIST network, radius 0.1, clipped to [0, 1], all 10,000 test "
        "images in one call: the share that is misclassified or not proven robust. "
        "convex_adversarial 0.4.4 counts 5.64 %."
    )
    yield ""
    yield "| method | robust error | time | most memory of the whole process |"
    yield "| --- | --- | --- | --- |"
    for method in REFERENCES:
        output = in_fresh_process(
            HERE / "mnist_robust_error.py", method, threads=torch.get_num_threads(), timeout=3000
        )
        result = json.loads(output)
        yield (
            f"| {method} | {100 * result['robust_error']:.2f} % | {result['seconds']:.0f} s | "
            f"{result['peak_bytes'] / 1e9:.2f} GB |"
        )
    images = 100
    seconds = reference_seconds(images) * 10_000 / images
    yield f"| convex_adversarial | 5.64 % | {seconds:.0f} s, scaled up from {images} images | |"


def _time(timing: Timing) -> str:
    note = " (disturbed)" if timing.disturbed else ""
    if timing.seconds < 0.1:
        return f"{1e3 * timing.seconds:.2g} ms{note}"
    return f"{timing.seconds:.3g} s{note}"


def _milliseconds(timing: Timing, images: int) -> str:
    return f"{1e3 * timing.seconds / images:.3g}" + (" (disturbed)" if timing.disturbed else "")


if __name__ == "__main__":
    sys.exit(main())
