"""The same properties by other complete verifiers, a process each, as a Markdown table.

    python tests/benchmarks/rivals.py --tool abcrown|nnenum|sensverify --python PATH
        [--checkout FOLDER] [--limit S] [--results FILE] [--instances FILE] [--no-run] [--out FILE]

``verifiers.py`` says how each is called. Everyone has one thread, the same unpacked files, and so
many seconds of processor time, start-up included; the kernel ends what takes more. Rows go to the
results as they come, and a run that was stopped goes on there; the table is made of all tools in
it, and of the instances that each of them has had. Those of ``rivals.csv``, below
``$SENSVERIFY_DATA/vnncomp``, were drawn by ``--draw``: so many of each benchmark as `COUNTS` says,
at random, and in random order, so that a run that was stopped has done a fair part. About half an
hour for each tool.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import os
import random
import statistics
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from machine import description
from verifiers import TOOLS, Answer, Call

from sensverify import __version__
from sensverify.runs.journal import Journal, RowType, read_journal
from sensverify.verification.benchmark import DECIDED, Instance
from sensverify.verification.benchmark_files import read_instances

HERE = Path(__file__).parent
SMALLEST = "test_nano"
"""The network whose property shows what start-up takes."""

COUNTS: Mapping[str, Mapping[str, int]] = {
    "acasxu": {"": 12},
    "rl_benchmarks": {"": 5},
    "reach_prob_density": {"": 8},
    "tllverifybench": {"": 5},
    "test": {"": 5},
    "safenlp": {"sat": 4, "unsat": 8},
    "collins_rul_cnn": {"": 4},
    "mnist_fc": {"": 12},
    "cora_mnist": {"": 6},
    "eran_sigmoid": {"": 6},
    "verivital": {"": 6},
    "oval21": {"": 6},
    "marabou_cifar10": {"": 5},
    "cifar10_resnet": {"": 8},
}
"""Instances of each benchmark, by known verdict; an empty one is any."""


@dataclass(frozen=True)
class Row:
    """One answer.

    Parameters
    ----------
    tool, version, benchmark, onnx, vnnlib : str
    limit : float
        Seconds of processor time.
    verdict, seconds, note
        See `Answer`.
    agreement : str
        ``right`` or ``wrong`` beside the verdicts of the VNN-COMP tools, or nothing.
    """

    tool: str
    version: str
    benchmark: str
    onnx: str
    vnnlib: str
    limit: float
    verdict: str
    agreement: str
    seconds: float
    note: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What was asked."""
        return self.benchmark, self.onnx, self.vnnlib

    @property
    def decided(self) -> bool:
        return self.verdict in DECIDED


ROWS = RowType(
    "rivals",
    asdict,
    lambda cells: Row(
        **{**cells, "limit": float(cells["limit"]), "seconds": float(cells["seconds"])}
    ),
    tuple(item.name for item in fields(Row)),
)


def main() -> None:
    given = _arguments()
    torch.set_num_threads(1)
    if given.draw:
        _draw(given.instances)
        return
    if not given.no_run:
        with Journal(given.results, ROWS) as journal:
            _run(journal, given)
    rows = [row for row in read_journal(given.results, ROWS) if row.limit == given.limit]
    Path(given.out).write_text("\n".join(_report(rows, given.limit)) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tool", choices=TOOLS, default="sensverify")
    parser.add_argument("--python", default="python", help="of the tool's environment")
    parser.add_argument("--checkout", type=Path, default=HERE.parents[1])
    parser.add_argument("--limit", type=float, default=30.0)
    parser.add_argument("--results", type=Path, default=Path("rivals_rows.csv"))
    parser.add_argument("--instances", type=Path, default=HERE / "rivals.csv")
    parser.add_argument("--no-run", action="store_true", help="make the table of what is there")
    parser.add_argument("--draw", action="store_true", help="write the instances, and run nothing")
    parser.add_argument("--out", type=Path, default=HERE / "RESULTS_RIVALS.md")
    return parser.parse_args()


def _data() -> Path:
    return Path(os.environ["SENSVERIFY_DATA"], "vnncomp")


def _draw(path: Path) -> None:
    """Choose instances whose verdicts no tools contradict."""
    chance = random.Random(0)
    drawn = []
    for name, counts in COUNTS.items():
        known = [i for i in read_instances(_data() / name) if i.expected != "conflict"]
        for verdict, count in counts.items():
            from_ = [i for i in known if verdict in ("", i.expected)]
            drawn += [(name, *instance.key) for instance in chance.sample(from_, count)]
    chance.shuffle(drawn)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerows([("benchmark", "onnx", "vnnlib"), *drawn])


def _run(journal: Journal[Row], given: argparse.Namespace) -> None:
    done = {(row.tool, row.limit, *row.key) for row in journal.rows}
    version = _version(given.tool, given.checkout)
    with given.instances.open(newline="", encoding="utf-8") as stream:
        asked = [tuple(line.values()) for line in csv.DictReader(stream)]
    for key in asked:
        if (given.tool, given.limit, *key) in done:
            continue
        instance = {i.key: i for i in read_instances(_data() / key[0])}[key[1:]]
        answer = _answer(given, key[0], instance)
        agreement = instance.agreement(answer.verdict).replace("ignored", "")
        said = (answer.verdict, agreement, round(answer.seconds, 3), answer.note)
        journal.add(Row(given.tool, version, *key, given.limit, *said))
        print(*key, *said, flush=True)


def _version(tool: str, checkout: Path) -> str:
    if tool == "sensverify":
        return __version__
    command = ["git", "-C", str(checkout), "log", "-1", "--format=%h of %cs"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _answer(given: argparse.Namespace, benchmark: str, instance: Instance) -> Answer:
    """Unpack the files where nothing of an earlier run is, and ask."""
    with tempfile.TemporaryDirectory() as place:
        files = []
        for part in instance.key:
            content = (_data() / benchmark / part).read_bytes()
            files.append(Path(place, Path(part).name.removesuffix(".gz")))
            files[-1].write_bytes(gzip.decompress(content) if part.endswith(".gz") else content)
        name = f"{benchmark}/{instance.onnx} {instance.vnnlib}"
        where = (given.checkout.resolve(), name, *files, Path(place, "answer.txt"))
        return TOOLS[given.tool].answer(Call(given.python, *where, given.limit))


def _report(rows: Sequence[Row], limit: float) -> Iterator[str]:
    tools = [name for name in TOOLS if any(row.tool == name for row in rows)]
    asked = set.intersection(*({row.key for row in rows if row.tool == name} for name in tools))
    rows = [row for row in rows if row.key in asked]
    start = {row.tool: row.seconds for row in rows if SMALLEST in row.onnx}
    who = {row.tool: f"{row.tool} {row.version}" for row in rows}
    who |= {tool: f"{who[tool]} (start-up {took:.1f} s)" for tool, took in start.items()}
    yield "# Measured: other complete verifiers"
    yield ""
    yield "Made by `python tests/benchmarks/rivals.py`, which says what it measures."
    yield ""
    yield f"{description('cpu')}; " + "; ".join(who[name] for name in tools) + "."
    yield ""
    yield (
        f"{len(asked)} properties of VNN-COMP's benchmarks, those of `tests/benchmarks/rivals.csv` "
        "that every tool has had so far, in random order; a "
        f"process with one thread and {limit:g} s of processor time for each, start-up included, "
        "which is what the smallest network takes. Wrong: beside the verdicts of the VNN-COMP "
        "tools, where these agree. Refused: the tool does not read the network; failed: it ended "
        "with an error. The median is that of the properties which all decide that read the "
        "network, and of all benchmarks together of those which everyone decides; the total counts "
        "an undecided one with the time that it took. alpha-beta-CROWN is made for GPUs, and so "
        "are its configurations."
    )
    yield ""
    header = ("benchmark", "tool", "decided", "wrong", "refused", "failed", "median")
    yield "| " + " | ".join((*header, "less start-up", "total")) + " |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for name in (*COUNTS, "all"):
        mine = [row for row in rows if name in (row.benchmark, "all")]
        if mine:
            yield from _lines(name, mine, start)
    for title, verdict in (("Refused", "refused"), ("Failed", "error")):
        notes = sorted({(r.tool, r.benchmark, r.note) for r in rows if r.verdict == verdict})
        if notes:
            yield ""
            yield f"{title}:"
            yield ""
            yield from (f"- {tool}, {benchmark}: `{note}`" for tool, benchmark, note in notes)
    yield ""
    yield from _by_instance(rows, tools)


def _lines(name: str, rows: Sequence[Row], start: Mapping[str, float]) -> Iterator[str]:
    """A benchmark's line for each tool."""
    known = (*DECIDED,) if name == "all" else (*DECIDED, "refused")
    undecided = {row.key for row in rows if row.verdict not in known}
    for tool in TOOLS:
        mine = [row for row in rows if row.tool == tool]
        if not mine:
            continue
        verdicts = Counter(row.verdict for row in mine)
        both = [row.seconds for row in mine if row.decided and row.key not in undecided]
        median = statistics.median(both) if both else None
        cells = [name, tool, f"{sum(verdicts[word] for word in DECIDED)} of {len(mine)}"]
        cells.append(str(sum(row.agreement == "wrong" for row in mine)))
        cells += [str(verdicts[word] or "") for word in ("refused", "error")]
        cells.append("" if median is None else f"{median:.1f} s")
        less = None if median is None or tool not in start else max(median - start[tool], 0.0)
        cells.append("" if less is None else f"{less:.1f} s")
        cells.append(f"{sum(row.seconds for row in mine):.0f} s")
        yield "| " + " | ".join(cells) + " |"


def _by_instance(rows: Sequence[Row], tools: Sequence[str]) -> Iterator[str]:
    yield "Seconds of each property, in parentheses where nothing was decided:"
    yield ""
    yield "| benchmark | property | answer | " + " | ".join(tools) + " |"
    yield "| --- | --- | --- |" + " ---: |" * len(tools)
    found = {(row.key, row.tool): row for row in rows}
    order = list(COUNTS)
    for key in sorted({row.key for row in rows}, key=lambda key: (order.index(key[0]), *key)):
        mine = [found[key, tool] for tool in tools]
        answers = sorted({row.verdict for row in mine if row.decided})
        name = " ".join(Path(part).name.split(".onnx")[0].split(".vnnlib")[0] for part in key[1:])
        cells = [key[0], name, " or ".join(answers) or "open"]
        cells += [f"{r.seconds:.1f}" if r.decided else f"({r.seconds:.1f})" for r in mine]
        yield "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
