"""Exact ranges and decided properties, measured, as Markdown tables.

    python tests/benchmarks/exact.py [--quick] [--results FOLDER] [--out FILE]
    python tests/benchmarks/exact.py --ablation [options of ablation.py]

Three parts: exact ranges of the Iris network by every method that finds them; the first ACAS Xu
network, which none finishes, after a fixed time; and, with ``--results``, what CSV files that
``sensverify benchmark`` wrote (``NAME.csv`` or ``res_NAME.csv``) say, beside the verdicts of the
VNN-COMP tools. Data and networks are read from ``$SENSVERIFY_DATA``; a part whose data is missing
is left out, with a line that says so. ``--quick`` shows in a minute that everything runs; its
figures mean nothing. One thread by default, and then processor time: others that use the machine
hardly change it. Without ``--quick``, about ten minutes.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import ablation
import highspy
import numpy as np
import torch
from machine import description, now

from sensverify.bounds import Ibp, Method, compute_bounds, make_decider
from sensverify.bounds.tensors import tensor_network
from sensverify.core.box import Box
from sensverify.core.results import Bounds
from sensverify.data.files import read_dataset
from sensverify.errors import BackendMissing
from sensverify.formats.onnx import load_onnx
from sensverify.formats.vnnlib import load_property
from sensverify.models import load, resolve
from sensverify.network import Network
from sensverify.runs.journal import read_journal
from sensverify.runs.watch import Watch
from sensverify.solvers.bisection import Bisection
from sensverify.solvers.branch_and_bound import BranchAndBound
from sensverify.solvers.encoding import Encoder, Form, Problem
from sensverify.solvers.milp import Milp
from sensverify.verification.benchmark import DECIDED, BenchmarkSummary, result_rows
from sensverify.verification.benchmark_files import read_instances

HERE = Path(__file__).parent
SIGMA = 0.1
RADII = (0.01, 0.02, 0.05)

EARLIER = {
    0.01: (0.17706, 0.1804, 0.462, 60.3),
    0.05: (0.2603, 1.78, 65.0, 689.0),
}
"""Of an earlier trial, by radius: the largest sampled value of output 0; its upper end by input
splitting with plain CROWN, by a MILP with CROWN bounds, and by one with interval bounds."""


def main() -> None:
    if sys.argv[1:2] == ["--ablation"]:
        ablation.main(sys.argv[2:])
        return
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
    parser.add_argument("--results", metavar="FOLDER", type=Path)
    parser.add_argument("--out", metavar="FILE", default=HERE / "RESULTS_EXACT.md")
    parser.add_argument(
        "--ablation",
        action="store_true",
        help="first: what each technique is worth; see ablation.py",
    )
    return parser.parse_args()


def _report(arguments: argparse.Namespace) -> Iterator[str]:
    yield "# Measured: exact ranges and decided properties"
    yield ""
    yield "Made by `python tests/benchmarks/exact.py`, which says what it measures."
    if arguments.quick:
        yield ""
        yield "**A quick run: the figures mean nothing.**"
    packages = (("HiGHS", "highspy"), ("Marabou", "maraboupy"), ("scikit-learn", "scikit-learn"))
    yield ""
    yield f"{description('cpu')}; " + "; ".join(f"{n} {_version(p)}" for n, p in packages) + "."
    for part in (_iris, _acas, _benchmarks):
        yield ""
        yield from part(arguments)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _data(*parts: str) -> Path | None:
    """A path below ``$SENSVERIFY_DATA``, or None where that is not there."""
    folder = os.environ.get("SENSVERIFY_DATA")
    path = None if folder is None else Path(folder, *parts)
    return path if path is not None and path.exists() else None


def _table(*header: str) -> Iterator[str]:
    yield _row(*header)
    yield _row(*("---" for _ in header))


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


# Part 1: the Iris network, where every method ends.


@dataclass(frozen=True)
class Ends:
    """Proven ends of all outputs, ``[samples, outputs]``, and which of them are called exact."""

    lower: np.ndarray
    upper: np.ndarray
    exact: np.ndarray


@dataclass
class Contender:
    """A way to the exact ranges; ``samples``: it gets the first so many alone."""

    name: str
    run: Callable[[Box], Ends]
    samples: int | None = None
    seconds: float = 0.0
    parts: list[Ends] = field(default_factory=list)
    error: str = ""

    def take(self, box: Box) -> None:
        """One block more, with the time it takes."""
        begun = _clock()
        try:
            found = self.run(box)
        except BackendMissing as error:
            self.error = str(error)
            return
        self.seconds += _clock() - begun
        self.parts.append(found)

    def all(self, name: str) -> np.ndarray:
        """One of the arrays of `Ends`, over all blocks."""
        return np.concatenate([getattr(part, name) for part in self.parts])


def _clock() -> float:
    """As `machine.now`; processor time is also that of other processes which have ended."""
    children = os.times()
    own = torch.get_num_threads() == 1
    return now() + (children.children_user + children.children_system if own else 0.0)


def _iris(arguments: argparse.Namespace) -> Iterator[str]:
    from sklearn.datasets import load_iris

    network = load("iris")
    scale = read_dataset(resolve("iris").sample_path).feature_range
    x = load_iris().data[: 8 if arguments.quick else 150].astype(np.float64)
    size, few = (4, 1) if arguments.quick else (30, 5)
    boxes = Box.around(x, SIGMA * np.asarray(scale, dtype=np.float64))
    marabou = Bisection(oracle=make_decider("marabou"))
    contenders = [
        Contender("branch-and-bound", _method(network, BranchAndBound())),
        Contender("milp", _method(network, Milp())),
        Contender("big-M, HiGHS as it comes", lambda box: _plain(network, box)),
        Contender("the same to a gap of 1e-6", lambda box: _plain(network, box, gap=1e-6)),
        Contender("bisection with Marabou", _method(network, marabou), samples=few),
    ]
    # Imports, plans and pages are there before the first block counts.
    for contender in contenders[:3]:
        contender.run(boxes[:1])
    for number, first in enumerate(range(0, len(x), size)):
        # In turns, and each time another one first: what disturbs one disturbs the others too.
        turn = number % len(contenders)
        for contender in contenders[turn:] + contenders[:turn]:
            last = first + size if contender.samples is None else contender.samples
            if first < last:
                contender.take(boxes[first:last])
    yield "## The Iris network"
    yield ""
    yield (
        f"The shipped network, sigma {SIGMA}, {len(x)} samples of scikit-learn's iris, both ends "
        f"of 3 outputs: {6 * len(x)} ends. In blocks of {size} samples, every block by every "
        "method in turn. Big-M: one program a sample with interval bounds and HiGHS's own "
        "settings, whose gap is 1e-4; the others stop at 1e-6. Marabou: the first "
        f"{few} samples, its time scaled up. The difference is the largest one between proven "
        "ends, relative to the larger magnitude of an output's two ends."
    )
    yield ""
    yield from _table(
        *("method", "time", "ends a second", "beside branch-and-bound", "called exact"),
        "largest difference",
    )
    for contender in contenders:
        yield _iris_row(contender, contenders[0], len(x))


def _iris_row(contender: Contender, reference: Contender, samples: int) -> str:
    if contender.error or reference.error or not contender.parts:
        return _row(contender.name, contender.error or "nothing", "", "", "", "")
    exact, wanted = contender.all("exact"), reference.all("exact")
    done = len(exact)
    seconds = contender.seconds * samples / done
    size = np.maximum(abs(reference.all("lower")), abs(reference.all("upper")))[:done]
    differences = [
        np.max(abs(contender.all(end) - reference.all(end)[:done]) / size)
        for end in ("lower", "upper")
    ]
    count = f"{int(exact.sum()) * 2} of {exact.size * 2}"
    return _row(
        contender.name,
        f"{seconds:.3g} s" + (f" (from {done} samples)" if done < len(wanted) else ""),
        f"{6 * samples / seconds:.3g}",
        f"{seconds / reference.seconds:.3g}x",
        f"all {exact.size * 2}" if exact.all() else count,
        "" if contender is reference else f"{max(differences):.1e}",
    )


def _method(network: Network, method: Method) -> Callable[[Box], Ends]:
    def run(box: Box) -> Ends:
        found = compute_bounds(network, box, method)
        outer = found.outer
        return Ends(outer.lower.numpy(), outer.upper.numpy(), np.asarray(found.optimal))

    return run


def _plain(network: Network, box: Box, *, gap: float | None = None) -> Ends:
    """Big-M with interval bounds: no tightening, no incumbents, HiGHS as it comes."""
    network = tensor_network(network, dtype=torch.float64, device=torch.device("cpu"))
    own = Box(torch.from_numpy(box.lower), torch.from_numpy(box.upper))
    bounds = Ibp().pre_activations(network, own)
    outputs = int(np.prod(network.output_shape))
    ends = np.zeros((2, box.batch, outputs))
    exact = np.ones((box.batch, outputs), dtype=bool)
    for i in range(box.batch):
        sample = {node: (low[i].numpy(), high[i].numpy()) for node, (low, high) in bounds.items()}
        encoding = Encoder(network).encode(box.lower[i], box.upper[i], sample, Form.EXACT)
        solver = _model(encoding.problem, gap)
        for k, side in np.ndindex(outputs, 2):
            sign = (1.0, -1.0)[side]
            cost, constant = encoding.cost(sign * np.eye(outputs)[k])
            # Without this HiGHS would start from the solution for the last cost.
            solver.clearSolver()
            solver.changeColsCost(len(cost), np.arange(len(cost), dtype=np.int32), cost)
            solver.run()
            exact[i, k] &= solver.getModelStatus() == highspy.HighsModelStatus.kOptimal
            info = solver.getInfo()
            value = info.objective_function_value
            if encoding.problem.integer.any():
                # Without integer columns HiGHS leaves it at zero.
                value = info.mip_dual_bound
            ends[side, i, k] = sign * (value + constant)
    return Ends(ends[0], ends[1], exact)


def _model(problem: Problem, gap: float | None) -> highspy.Highs:
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = problem.columns, problem.rows
    model.col_cost_ = np.zeros(problem.columns)
    model.col_lower_, model.col_upper_ = problem.lower, problem.upper
    model.row_lower_, model.row_upper_ = problem.row_lower, problem.row_upper
    matrix = problem.matrix.tocsc()
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.num_col_, model.a_matrix_.num_row_ = problem.columns, problem.rows
    model.a_matrix_.start_, model.a_matrix_.index_ = matrix.indptr, matrix.indices
    model.a_matrix_.value_ = matrix.data
    kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
    model.integrality_ = [kinds[int(kind)] for kind in problem.integer]
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    if gap is not None:
        solver.setOptionValue("mip_rel_gap", gap)
    solver.passModel(model)
    return solver


# Part 2: ACAS Xu, where none does.


def _acas(arguments: argparse.Namespace) -> Iterator[str]:
    yield "## ACAS Xu, network 1_1"
    yield ""
    folder = _data("vnncomp", "acasxu")
    if folder is None:
        yield "Not measured: `$SENSVERIFY_DATA` has no folder `vnncomp/acasxu`."
        return
    network = load_onnx(folder / "onnx/ACASXU_run2a_1_1_batch_2000.onnx.gz")
    case = load_property(folder / "vnnlib/prop_3.vnnlib.gz").cases[0]
    middle = np.asarray(case.query.box.center, dtype=np.float64).reshape(1, *network.input_shape)
    seconds = 1.0 if arguments.quick else 60.0
    radii = RADII[-1:] if arguments.quick else RADII
    yield (
        "Balls around the centre of property 3's box, in the network's own normalised units; "
        f"{seconds:g} s for each call. Inner ends are attained, outer ones proven."
    )
    yield ""
    yield from _table(
        *("radius", "method", "asked for", "output", "outer minimum", "inner minimum"),
        *("inner maximum", "outer maximum", "exact", "time"),
    )
    first: dict[float, dict[str, Bounds]] = {radius: {} for radius in radii}
    for radius in radii:
        box = Box(middle - radius, middle + radius)
        for method, count in _acas_calls(network, radius):
            begun = now()
            rows = np.eye(int(np.prod(network.output_shape)))[:count]
            found = compute_bounds(network, box, method, rows, watch=Watch(seconds, clock=now))
            spent = now() - begun
            if count == 1:
                first[radius][method.name] = found
            asked = "output 0" if count == 1 else f"all {count}"
            for k in range(count):
                yield _row(f"{radius:g}", method.name, asked, *_ends(found, k), f"{spent:.1f} s")
    yield ""
    yield (
        "The upper end of output 0 beside an earlier trial of 60 s on 2 cores with other code. "
        "The largest value sampled then says how far up the truth lies at least."
    )
    yield ""
    yield from _table(
        *("radius", "sampled then", "attained now", "branch-and-bound", "milp"),
        *("splitting with plain CROWN, then", "MILP with CROWN bounds, then"),
        "MILP with interval bounds, then",
    )
    for radius in radii:
        yield _row(*_beside(first[radius], radius))


def _acas_calls(network: Network, radius: float) -> Iterator[tuple[Method, int]]:
    yield BranchAndBound(), 1
    if radius == RADII[-1]:
        yield Milp(), 1
    yield BranchAndBound(), int(np.prod(network.output_shape))


def _ends(found: Bounds, k: int) -> Iterator[str]:
    outer, inner = found.outer, found.inner
    yield str(k)
    for end in (outer.lower, inner.lower, inner.upper, outer.upper):
        yield f"{float(end[0, k]):.6g}"
    yield "yes" if bool(found.optimal[0, k]) else "no"


def _beside(found: dict[str, Bounds], radius: float) -> Iterator[str]:
    yield f"{radius:g}"
    sampled, splitting, crown, intervals = EARLIER.get(radius, (None,) * 4)
    yield "" if sampled is None else f"{sampled:g}"
    yield f"{max(float(b.inner.upper[0, 0]) for b in found.values()):.6g}"
    for name in (BranchAndBound.name, Milp.name):
        yield f"{float(found[name].outer.upper[0, 0]):.6g}" if name in found else ""
    for value in (splitting, crown, intervals):
        yield "" if value is None else f"{value:g}"


# Part 3: properties that were asked elsewhere.


def _benchmarks(arguments: argparse.Namespace) -> Iterator[str]:
    yield "## Properties of VNN-COMP's benchmarks"
    yield ""
    if arguments.results is None:
        yield "Not read: no `--results FOLDER` was given."
        return
    yield (
        "From the files that `sensverify benchmark` wrote. Decided, sat, unsat and the times: "
        "within the time limit. Right and wrong, late answers included: beside the verdicts of the "
        "tools; not compared where these contradict each other. By the tools: instances that at "
        "least one of them decided, on other machines and with the benchmark's own time limits."
    )
    yield ""
    yield from _table(
        *("benchmark", "method", "decided", "sat", "unsat", "right", "wrong", "not compared"),
        *("median", "largest", "time limit", "by the tools"),
    )
    for path in sorted(arguments.results.glob("*.csv")):
        name = path.stem.removeprefix("res_")
        folder = _data("vnncomp", name)
        if folder is None or not (folder / "instances.csv").exists():
            yield _row(name, "no such benchmark in `$SENSVERIFY_DATA`", *[""] * 10)
            continue
        yield _benchmark_row(name, path, folder)


def _benchmark_row(name: str, path: Path, folder: Path) -> str:
    instances = read_instances(folder)
    with path.open(newline="", encoding="utf-8") as stream:
        method = next((row["method"] for row in csv.DictReader(stream)), "")
    results = read_journal(path, result_rows(path, instances, method))
    summary = BenchmarkSummary.of(instances, results)
    left = summary.total - summary.done
    limits = sorted({result.timeout for result in results})
    counts = [sum(r.decided and r.verdict == word for r in results) for word in DECIDED]
    tools = sum(instance.expected in DECIDED for instance in instances)
    times = (summary.median_seconds, summary.max_seconds)
    return _row(
        *(name, method),
        f"{summary.decided} of {summary.total}" + (f" ({left} not run)" if left else ""),
        *(str(count) for count in counts),
        *(str(summary.right), str(len(summary.wrong)), str(summary.ignored)),
        *("" if value is None else f"{value:.3g} s" for value in times),
        " to ".join(f"{value:g} s" for value in dict.fromkeys(limits[:1] + limits[-1:])),
        f"{tools} of {len(instances)}",
    )


if __name__ == "__main__":
    main()
