"""Hard properties with each technique of the search left out in turn, as a Markdown table.

    python tests/benchmarks/ablation.py [--seconds S] [--only TEXT] [--journal FILE] [--out FILE]

``ablation.csv`` names the instances, below ``$SENSVERIFY_DATA/vnncomp``. Each is decided by branch
and bound with everything, then without each technique that takes part in its search, in one process
with one thread, and with so many seconds of processor time for each. What is called sat was
replayed by onnxruntime; for what is called unsat, the certificate is made and checked after the
time was taken. Rows go to the journal as they come, and a run that was stopped goes on there; with
``--no-run`` the table is made of what the journal holds. About an hour.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from time import process_time

import torch
from machine import description

from sensverify.core.queries import Verdict
from sensverify.core.record import versions
from sensverify.errors import SensverifyError, UnsoundResult
from sensverify.formats.onnx import Ends
from sensverify.formats.vnnlib import Property, load_property
from sensverify.models.loading import LoadedModel, load_model
from sensverify.runs.journal import Journal, RowType, read_journal
from sensverify.runs.watch import Watch
from sensverify.solvers.branch_and_bound import FEW_FEATURES, TECHNIQUES, BranchAndBound, Technique
from sensverify.solvers.branch_and_bound.method import MANY_FEATURES
from sensverify.verification.benchmark import DECIDED, Instance
from sensverify.verification.benchmark_files import read_instances
from sensverify.verification.certifying import Certifier
from sensverify.verification.property_run import PropertyRun

HERE = Path(__file__).parent
NOTHING = "nothing"
"""What is left out of the search that has everything."""

WARMING = 0.5
"""Seconds of a search that is not counted, before those of an instance."""

CERTIFYING = 15.0
"""Seconds of processor time for a certificate."""


BY_INPUTS: tuple[Technique, ...] = ("attack", "alpha", "clipping")
BY_NEURONS: tuple[Technique, ...] = (
    *("attack", "refinement", "alpha", "beta", "lookahead", "mixed-precision", "pruning"),
    "leaf-programs",
)
"""Techniques that take part where only inputs are split, and where only neurons are."""

Key = tuple[str, str, str]
"""Benchmark, model and property."""

LATE = "late"
"""What is said of a certificate that takes longer."""


@dataclass(frozen=True)
class Row:
    """One search.

    Parameters
    ----------
    benchmark, onnx, vnnlib : str
    limit : float
        Seconds that it had.
    without : str
        The technique that was left out, or `NOTHING`.
    verdict : str
    expected : str
        The verdict of the VNN-COMP tools; empty where they contradict each other.
    seconds : float
        Of processor time, from the loaded network to the verdict.
    explored : int
    checked : str
        Of an unsat: ``yes``, `LATE`, or why it has no certificate that passes the check.
    """

    benchmark: str
    onnx: str
    vnnlib: str
    limit: float
    without: str
    verdict: str
    expected: str
    seconds: float
    explored: int
    checked: str

    @property
    def key(self) -> Key:
        """What was asked."""
        return self.benchmark, self.onnx, self.vnnlib

    @property
    def place(self) -> tuple[Key, str, float]:
        """What names it in the journal."""
        return self.key, self.without, self.limit

    @property
    def decided(self) -> bool:
        return self.verdict in DECIDED

    @property
    def wrong(self) -> bool:
        return self.decided and self.expected in DECIDED and self.verdict != self.expected


ROWS = RowType(
    "ablation",
    asdict,
    lambda cells: Row(
        **{
            **cells,
            "limit": float(cells["limit"]),
            "seconds": float(cells["seconds"]),
            "explored": int(cells["explored"]),
        }
    ),
    tuple(item.name for item in fields(Row)),
)


def main(arguments: Sequence[str] | None = None) -> None:
    given = _arguments(arguments)
    torch.set_num_threads(1)
    if given.no_run:
        rows = read_journal(given.journal, ROWS)
    else:
        with Journal(given.journal, ROWS) as journal:
            _run(journal, given)
            rows = list(journal.rows)
    lines = list(_report([row for row in rows if row.limit == given.seconds], given.seconds))
    print("\n".join(lines))
    Path(given.out).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--only", default="", help="part of the name of a model or a property")
    parser.add_argument("--journal", type=Path, default=Path("ablation_rows.csv"))
    parser.add_argument("--no-run", action="store_true")
    parser.add_argument("--out", type=Path, default=HERE / "RESULTS_ABLATION.md")
    return parser.parse_args(arguments)


def listed() -> Iterator[tuple[Path, Instance]]:
    """The folders and the instances that ``ablation.csv`` names."""
    data = Path(os.environ["SENSVERIFY_DATA"], "vnncomp")
    with (HERE / "ablation.csv").open(newline="", encoding="utf-8") as stream:
        for line in csv.DictReader(stream):
            folder = data / line["benchmark"]
            known = {instance.key: instance for instance in read_instances(folder)}
            yield folder, known[line["onnx"], line["vnnlib"]]


def _run(journal: Journal[Row], given: argparse.Namespace) -> None:
    done = {row.place for row in journal.rows}
    for folder, instance in listed():
        key, limit = (folder.name, *instance.key), given.seconds
        asked = load_property(folder / instance.vnnlib)
        left = [n for n in (NOTHING, *taking_part(asked)) if (key, n, limit) not in done]
        if not left or not any(given.only in part for part in instance.key):
            continue
        model = load_model(str(folder / instance.onnx), ends=Ends(head="order"))
        certifier = Certifier(model)
        model = replace(model, network=certifier.bounded(model.network))
        # Pages and plans are there before the first search counts.
        watch = Watch(WARMING, clock=process_time)
        PropertyRun(BranchAndBound(threads=1), model, watch).verdict(asked)
        for without in left:
            row = _row(without, (asked, model), (folder.name, instance), limit)
            journal.add(row)
            print(*key, without, row.verdict, f"{row.seconds:.2f} s", row.checked, flush=True)


def taking_part(asked: Property) -> tuple[Technique, ...]:
    """Techniques that a search for an answer can use."""
    moving = max(int((case.upper > case.lower).sum()) for case in asked.cases)
    if moving <= FEW_FEATURES:
        return BY_INPUTS
    return BY_NEURONS if moving > MANY_FEATURES else tuple(TECHNIQUES)


def _row(
    without: str, question: tuple[Property, LoadedModel], of: tuple[str, Instance], limit: float
) -> Row:
    (asked, model), (benchmark, instance) = question, of
    left: tuple[Technique, ...] = tuple(name for name in TECHNIQUES if name == without)
    decider = BranchAndBound(threads=1, proof=True, without=left)
    began = process_time()
    run = PropertyRun(decider, model, Watch(limit, clock=process_time))
    verdict = run.verdict(asked)
    spent = process_time() - began
    checked = _checked(run, asked, model) if verdict is Verdict.UNSAT else ""
    expected = instance.expected if instance.trusted else ""
    found = verdict.value, expected, round(spent, 4), run.explored, checked
    return Row(benchmark, *instance.key, limit, without, *found)


def _checked(run: PropertyRun, asked: Property, model: LoadedModel) -> str:
    """``yes`` where a certificate of the answer passes the independent check; see `Row`.

    An unsat has no certificate where onnxruntime's rounding says otherwise.
    """
    run.watch = Watch(CERTIFYING, clock=process_time)
    try:
        certifier = Certifier(model)
        if run.beside_runtime(asked, certifier) is not Verdict.UNSAT:
            return "no: " + "; ".join(run.warnings())
        if run.certified(asked, certifier) is not Verdict.UNSAT:
            return LATE if run.watch.over else "no: " + "; ".join(run.uncertified)
        certifier.finish({"versions": versions()}, asked=asked)
    except UnsoundResult:
        raise
    except SensverifyError as error:
        return f"no: {error}"
    return "yes"


def _report(rows: Sequence[Row], seconds: float) -> Iterator[str]:
    whole = {row.key: row for row in rows if row.without == NOTHING}
    wrong = [row for row in rows if row.wrong]
    unsat = [row for row in rows if row.verdict == "unsat"]
    late = [row for row in unsat if row.checked == LATE]
    open_ = [row for row in unsat if row.checked not in ("yes", LATE)]
    sat = sum(row.verdict == "sat" for row in rows)
    yield "# Measured: what each technique of the search is worth"
    yield ""
    yield "Made by `python tests/benchmarks/exact.py --ablation`, which says what it measures."
    yield ""
    yield f"{description('cpu')}; " + "; ".join(f"{n} {v}" for n, v in versions().items()) + "."
    yield ""
    yield (
        f"{len(whole)} properties of VNN-COMP's benchmarks (`tests/benchmarks/ablation.csv`), "
        f"{seconds:g} s of processor time for each search. Of all {len(rows)} searches {sat} ended "
        f"with sat, each replayed by onnxruntime, and {len(unsat)} with unsat, of which "
        f"{len(unsat) - len(open_) - len(late)} have a certificate that passed the independent "
        f"check, and {len(late)} would have needed more than {CERTIFYING:g} s for it; "
        f"{len(wrong)} contradict the verdicts of the VNN-COMP tools. The median is that of the "
        "instances which both decide, beside that of the search with everything on the same ones. "
        "The total counts an open instance with the time that it took. Where a technique takes no "
        "part, as clipping where neurons are split, the search with everything stands for the one "
        "without."
    )
    yield ""
    yield "| without | decided | lost | won | median of those of both | with everything | total |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for name in (NOTHING, *TECHNIQUES):
        mine = whole | {row.key: row for row in rows if row.without == name}
        yield _line(name, list(mine.values()), whole)
    yield ""
    for name, line in TECHNIQUES.items():
        yield f"- `{name}`: {line}."
    yield ""
    yield from _by_instance(rows, whole)
    for title, found in (("Wrong", wrong), ("Without a certificate", open_)):
        if found:
            yield ""
            yield f"{title}:"
            yield ""
            yield from (
                f"- {' '.join(row.key)}, without {row.without}: {row.verdict} {row.checked}"
                for row in found
            )


def _line(name: str, mine: Sequence[Row], whole: dict[Key, Row]) -> str:
    decided = {row.key for row in mine if row.decided}
    before = {key for key, row in whole.items() if row.decided}
    both = [row for row in mine if row.key in decided & before]
    medians = [
        f"{statistics.median(values):.2f} s" if values else ""
        for values in (
            [row.seconds for row in both],
            [whole[row.key].seconds for row in both],
        )
    ]
    total = sum(row.seconds for row in mine)
    count = f"{len(decided)} of {len(mine)}"
    lost, won = len(before - decided), len(decided - before)
    cells = (name, count, str(lost), str(won), *medians, f"{total:.0f} s")
    return "| " + " | ".join(cells) + " |"


def _by_instance(rows: Sequence[Row], whole: dict[Key, Row]) -> Iterator[str]:
    """The seconds of every search; those that were not decided are in parentheses."""
    yield "Seconds of each search, in parentheses where it decided nothing:"
    yield ""
    yield "| benchmark | property | answer | everything | " + " | ".join(TECHNIQUES) + " |"
    yield "| --- | --- | --- |" + " ---: |" * (1 + len(TECHNIQUES))
    found = {(row.key, row.without): row for row in rows}
    for key in whole:
        mine = [found.get((key, name)) for name in (NOTHING, *TECHNIQUES)]
        answer = next((row.verdict for row in mine if row is not None and row.decided), "open")
        benchmark, onnx, vnnlib = key
        name = f"{_stem(onnx)} {_stem(vnnlib)}"
        yield "| " + " | ".join([benchmark, name, answer, *map(_seconds, mine)]) + " |"


def _seconds(row: Row | None) -> str:
    if row is None:
        return "-"
    return f"{row.seconds:.2f}" if row.decided else f"({row.seconds:.1f})"


def _stem(path: str) -> str:
    return Path(path).name.split(".onnx")[0].split(".vnnlib")[0]


if __name__ == "__main__":
    main()
