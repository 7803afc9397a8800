"""What certificates cost, as Markdown tables.

    python tests/benchmarks/certificates.py [--quick] [--out FILE]

Three parts: certified bounds of linear methods beside plain CROWN in float64; the two arithmetics
on the Iris network; and, on ten ACAS Xu networks, certified answers to the properties that hold.
Data and networks are read from ``$SENSVERIFY_DATA``; what is missing is left out, with a line that
says so. One thread by default, and then processor time. ``--quick`` shows in a minute that
everything runs; its figures mean nothing. Otherwise about ten minutes.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from machine import description, measure, now

from sensverify.bounds import Crown, LpDual, Method, compute_bounds, make_decider
from sensverify.certificates import (
    Certified,
    StoredModel,
    certificate_bytes,
    certify_bounds,
    certify_query,
    check_claims,
    float32_margin,
    read_certificate,
)
from sensverify.core.box import Box
from sensverify.core.proof import NONE
from sensverify.core.queries import Verdict
from sensverify.data.files import read_dataset
from sensverify.formats.onnx import load_onnx
from sensverify.formats.vnnlib import load_property
from sensverify.models import resolve
from sensverify.network import Network

HERE = Path(__file__).parent
ACAS = tuple(f"{a}_{b}" for a in (1, 2) for b in range(1, 6))
"""Ten networks."""


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    lines = []
    for line in _report(arguments):
        print(line, flush=True)
        lines.append(line)
    Path(arguments.out).write_text("\n".join(lines) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute, and figures of no meaning")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", metavar="FILE", default=HERE / "RESULTS_CERTIFICATES.md")
    return parser.parse_args()


def _report(arguments: argparse.Namespace) -> Iterator[str]:
    yield "# Measured: certificates"
    yield ""
    yield "Made by `python tests/benchmarks/certificates.py`, which says what it measures."
    if arguments.quick:
        yield ""
        yield "**A quick run: the figures mean nothing.**"
    yield ""
    yield f"{description('cpu')}."
    for part in (_linear, _iris, _acas):
        yield ""
        yield from part(arguments)


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _table(*header: str) -> Iterator[str]:
    yield _row(*header)
    yield _row(*("---" for _ in header))


def _seconds(value: float) -> str:
    return f"{value * 1e3:.3g} ms" if value < 1 else f"{value:.3g} s"


def _bytes(count: int) -> str:
    return f"{count / 1e6:.2f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"


def _data(*parts: str) -> Path | None:
    """A path below ``$SENSVERIFY_DATA``, or None where that is not there."""
    folder = os.environ.get("SENSVERIFY_DATA")
    path = None if folder is None else Path(folder, *parts)
    return path if path is not None and path.exists() else None


# Part 1: bounds by linear methods.


@dataclass(frozen=True, eq=False)
class Question:
    """A network and boxes for it."""

    name: str
    path: Path
    center: np.ndarray
    radius: float | np.ndarray
    clip: tuple[float, float] | None = None

    def box(self, network: Network) -> Box:
        center = self.center.reshape(-1, *network.input_shape).astype(np.float64)
        radius = self.radius if np.isscalar(self.radius) else np.asarray(self.radius)
        return Box.around(center, radius, clip=self.clip)


def _questions(count: int) -> Iterator[Question]:
    for name, radius, clip in (
        ("iris", None, None),
        ("mnist-conv1", 0.05, (0.0, 1.0)),
        ("mnist-conv2", 0.05, (0.0, 1.0)),
    ):
        found = resolve(name)
        sample = read_dataset(found.sample_path)
        own = 0.1 * np.asarray(sample.feature_range) if radius is None else radius
        yield Question(f"{name}, {count} samples", Path(found.path), sample.x[:count], own, clip)
    images = read_dataset(resolve("mnist-conv1").sample_path).x[:count]
    for name, path, radius in (
        ("mnist_fc 256x2", "mnist_fc/onnx/mnist-net_256x2.onnx.gz", 0.01),
        ("mnist_fc 256x4", "mnist_fc/onnx/mnist-net_256x4.onnx.gz", 0.01),
    ):
        place = _data("vnncomp", *path.split("/"))
        if place is not None:
            yield Question(f"{name}, {len(images)} samples", place, images, radius, (0.0, 1.0))
    place = _data("vnncomp", "cifar10_resnet", "onnx", "resnet_2b.onnx.gz")
    cifar = _data("cifar10", "cifar10_test_exact_uint8.npz")
    if place is not None and cifar is not None:
        with np.load(cifar) as data:
            image = data["x"][: max(1, count // 5)].transpose(0, 3, 1, 2) / 255.0
        mean = np.array([0.4914, 0.4822, 0.4465]).reshape(3, 1, 1)
        center = (image - mean) / 0.225
        yield Question(f"cifar10 resnet_2b, {len(center)} samples", place, center, 1 / 255)


def _linear(arguments: argparse.Namespace) -> Iterator[str]:
    yield "## Certified bounds of linear methods"
    yield ""
    yield (
        "Both ends of every output. *Plain* is CROWN in float64 without a certificate. A certified "
        "bound is proposed (`compute_bounds` with its proof), certified (derived anew, with four "
        "times the error bounds) and checked (read from the file, in rigorous arithmetic). "
        "*Widened*: by how much the certified box is wider than the one proposed in float64, at "
        "most, of its width. *float32*: how far evaluating the network in float32 can be off, at "
        "most."
    )
    yield ""
    yield from _table(
        *("network", "method", "plain", "propose", "certify", "check", "in all, beside plain"),
        *("file", "widened", "float32"),
    )
    for question in _questions(2 if arguments.quick else 20):
        for method in (LpDual(), Crown()):
            yield _linear_row(question, method, 1 if arguments.quick else 3)


def _linear_row(question: Question, method: Method, repeats: int) -> str:
    network, stored = load_onnx(question.path), StoredModel.read(question.path)
    box = question.box(network)

    def seconds(run: object) -> float:
        return measure(run, repeats=repeats, limit=30.0).seconds  # type: ignore[arg-type]

    plain = seconds(lambda: compute_bounds(network, box, Crown()))
    propose = seconds(lambda: compute_bounds(network, box, method, proof=True))
    bounds = compute_bounds(network, box, method, proof=True)
    lower, upper = (end.reshape(box.batch, -1) for end in (box.lower, box.upper))
    outputs = bounds.outer.lower.shape[1]
    rows = np.concatenate([np.eye(outputs), -np.eye(outputs)])[None]
    certify = seconds(lambda: certify_bounds(stored, lower, upper, rows, bounds.certificate))
    found = certify_bounds(stored, lower, upper, rows, bounds.certificate)
    size, back = _written(stored, found)
    check = seconds(lambda: check_claims(stored.program, back.claims, back.proof))
    ends = bounds.outer.lower.numpy(), bounds.outer.upper.numpy()
    width = -found.lower[:, :outputs] - found.lower[:, outputs:]
    widened = (width - (ends[1] - ends[0])) / np.maximum(ends[1] - ends[0], 1e-300)
    margin = float32_margin(stored.program, lower, upper, rows).max()
    return _row(
        *(question.name, method.name, *map(_seconds, (plain, propose, certify, check))),
        *(f"{(propose + certify + check) / plain:.3g}x", _bytes(size)),
        *(f"{widened.max():.1e}", f"{margin:.1e}"),
    )


def _written(stored: StoredModel, found: Certified) -> tuple[int, Certified]:
    """The size of a certificate's file, and what is read back from it."""
    data = certificate_bytes(found.certificate(stored, {}))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file.cert")
        path.write_bytes(data)
        back = read_certificate(path)
    return len(data), Certified(back.claims, back.proof)


# Part 2: rational numbers.


def _iris(arguments: argparse.Namespace) -> Iterator[str]:
    question = next(_questions(3 if arguments.quick else 50))
    network, stored = load_onnx(question.path), StoredModel.read(question.path)
    box = question.box(network)
    yield "## Two arithmetics, on the Iris network"
    yield ""
    yield (
        f"{box.batch} samples, sigma 0.1, CROWN's bounds. The slack is the least distance of a "
        "proven bound to its claim."
    )
    yield ""
    yield from _table("arithmetic", "check", "a sample", "slack")
    bounds = compute_bounds(network, box, Crown(), proof=True)
    rows = np.concatenate([np.eye(3), -np.eye(3)])[None]
    found = certify_bounds(stored, box.lower, box.upper, rows, bounds.certificate)
    for name in ("rigorous", "exact"):
        begun = now()
        checked = check_claims(stored.program, found.claims, found.proof, arithmetic=name)
        spent = now() - begun
        yield _row(name, _seconds(spent), _seconds(spent / box.batch), f"{checked.slack:.1e}")


# Part 3: ACAS Xu.


def _acas(arguments: argparse.Namespace) -> Iterator[str]:
    yield "## Ten ACAS Xu networks"
    yield ""
    folder = _data("vnncomp", "acasxu")
    if folder is None:
        yield "Not measured: `$SENSVERIFY_DATA` has no folder `vnncomp/acasxu`."
        return
    limit = 5.0 if arguments.quick else 60.0
    yield (
        "Properties 1 to 4 of VNN-COMP, by branch and bound; those that are decided otherwise or "
        f"not within {limit:g} s are left out. Times are for all of a property's input boxes."
    )
    yield ""
    yield from _table("network", "property", "search", "certify", "check", "leaves", "file")
    for name in ACAS[:1] if arguments.quick else ACAS:
        path = folder / f"onnx/ACASXU_run2a_{name}_batch_2000.onnx.gz"
        for number in range(1, 5):
            row = _acas_row(path, folder / f"vnnlib/prop_{number}.vnnlib.gz", limit)
            if row is not None:
                yield _row(name, str(number), *row)


def _acas_row(path: Path, asked: Path, limit: float) -> list[str] | None:
    network, stored = load_onnx(path), StoredModel.read(path)
    decider = make_decider("branch-and-bound", seconds=limit)
    search = certify = 0.0
    parts = []
    for case in load_property(asked).cases:
        shape = (1, *network.input_shape)
        box = Box(case.query.box.lower.reshape(shape), case.query.box.upper.reshape(shape))
        query = type(case.query)(
            box, case.query.rows, case.query.limits, case.query.alternatives, case.query.strict
        )
        begun = now()
        decision = decider.decide(network, query)
        search, begun = search + now() - begun, now()
        if decision.verdict is not Verdict.UNSAT or decision.certificate is None:
            return None
        found = certify_query(stored, query, decision.certificate)
        certify += now() - begun
        if found is None:
            return [*map(_seconds, (search, certify)), "not certified", "", ""]
        parts.append(found)
    size, back = _written(stored, Certified.joined(parts))
    begun = now()
    check_claims(stored.program, back.claims, back.proof)
    spent = now() - begun
    leaves = int((back.proof.cells.split == NONE).sum())
    return [*map(_seconds, (search, certify, spent)), f"{leaves:,}", _bytes(size)]


if __name__ == "__main__":
    main()
