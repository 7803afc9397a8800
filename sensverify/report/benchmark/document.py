"""A benchmark as a document: its verdicts, their times beside those of other runs, its record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sensverify.report import document as doc
from sensverify.report.benchmark.charts import (
    NARROW,
    WIDE,
    cactus,
    decided_seconds,
    run_names,
    scatter,
)
from sensverify.report.benchmark.undecided import undecided_section
from sensverify.report.formatting import DASH, count_of, number, share
from sensverify.report.record import record_facts
from sensverify.runs.progress import duration
from sensverify.verification.benchmark import (
    COLUMNS,
    DECIDED,
    PHASES,
    BenchmarkSummary,
    Instance,
    InstanceResult,
)
from sensverify.verification.benchmark_report import BenchmarkReport, Disagreement, pairs

_SHOWN = 20
"""Contradictions that are listed."""

_NAMED = 3
"""Contradictions that a banner names."""

ROWS = 5000
"""Instances that the table of a page has; the others are counted."""

_OFFERED = 4_000_000
"""Bytes of data that a page carries."""

_MEANINGS = {
    "sat": "an input meets the property, replayed through onnxruntime",
    "unsat": "no input meets the property, proven",
    "unknown": "neither is known",
    "timeout": "the time was up",
    "error": "the instance cannot be read, or its process died",
}

_LOOKS = {"sat": "changes", "unsat": "certified", "error": "bad"}
_AGREEMENT = {"right": "certified", "wrong": "bad"}


def benchmark_document(report: BenchmarkReport) -> doc.Document:
    """Every instance with its verdict, the times of this run and of others, and what fails."""
    name = report.folder.resolve().name
    return doc.Document(
        title=f"{name}: benchmark",
        eyebrow="Properties of a benchmark",
        heading=name,
        lead=_question(report),
        sections=(
            doc.Section("summary", "", tuple(_summary(report))),
            doc.Section("times", "Times", tuple(_times(report))),
            *_contradictions(report),
            *undecided_section(report.results),
            doc.Section("instances", "Instances", tuple(_instances(report)), data=(_data(report),)),
            doc.Section("record", "Record", tuple(_record(report))),
        ),
        contents=True,
        offered=_OFFERED,
    )


def contradiction(result: InstanceResult) -> str:
    """One line about a verdict that contradicts what is known."""
    instance = result.instance
    return f"{instance.onnx} {instance.vnnlib}: {result.verdict}, expected {instance.expected}"


def disagreement(found: Disagreement) -> str:
    """One line about two verdicts of which one is wrong."""
    instance = found.here.instance
    there = f"{found.there.verdict} in {found.path}"
    return f"{instance.onnx} {instance.vnnlib}: {found.here.verdict}, {there}"


def _question(report: BenchmarkReport) -> str:
    text = f"{count_of(len(report.instances), 'instance')}, answered by {report.method}"
    if report.only:
        text += f"; those with '{report.only}' in their name"
    return f"{text}."


def _summary(report: BenchmarkReport) -> Iterator[doc.Block]:
    summary = report.summary
    yield from _banners(report)
    yield doc.Numbers(tuple(_numbers(summary)), on=doc.PAGE)
    yield _shares(summary)
    yield doc.Facts(list(_facts(summary)), on=doc.TERMINAL)
    yield from _alarms(report)


def _banners(report: BenchmarkReport) -> Iterator[doc.Notice]:
    summary = report.summary
    left = summary.total - summary.done
    against = "verdict contradicts", "verdicts contradict"
    bad = [
        _several(*against, "what is known", summary.wrong),
        _several(*against, "another run", [each.here for each in report.disagreements]),
        *(
            f"{count:,} of {summary.total:,} ended with {word}"
            for word, count in report.failed.items()
        ),
    ]
    texts = [f"{text}." for text in bad if text]
    if texts:
        yield doc.Notice(texts, "bad", "Failed", on=doc.PAGE)
    if left:
        why = "the run was stopped" if report.interrupted else "the run is not finished"
        text = f"{left:,} of {count_of(summary.total, 'instance')} have no result yet, as {why}."
        yield doc.Notice([text], "open", "" if texts else "Unfinished", on=doc.PAGE)
    if texts or left:
        return
    if report.broken:
        text = f"{report.broken:,} of {count_of(summary.total, 'instance')} ended with an error."
        yield doc.Notice([text], "open", "Undecided", on=doc.PAGE)
        return
    passed = []
    if summary.right:
        one, many = "verdict agrees with what is known", "verdicts agree with what is known"
        passed.append(f"{count_of(summary.right, one, many)}.")
    if report.fail_on:
        passed.append(f"No instance ended with {' or '.join(report.fail_on)}.")
    if passed:
        yield doc.Notice(passed, "good", "Passed", on=doc.PAGE)


def _several(one: str, many: str, what: str, results: Sequence[InstanceResult]) -> str:
    """The number of these results, with names of the first; empty where there are none."""
    if not results:
        return ""
    names = ", ".join(result.instance.vnnlib for result in results[:_NAMED])
    more = f" and {len(results) - _NAMED:,} more" if len(results) > _NAMED else ""
    return f"{count_of(len(results), one, many)} {what} ({names}{more})"


def _numbers(summary: BenchmarkSummary) -> Iterator[doc.Number]:
    def one(name: str, text: str, note: str) -> doc.Number:
        return doc.Number(name, [doc.Cell(text, note=note)])

    late = f", {summary.late:,} more after it" if summary.late else ""
    part = f"{100 * summary.decided / summary.total:.1f} %"
    yield one("Decided", part, f"{summary.decided:,} of {summary.total:,} in their time{late}")
    if summary.known:
        told = f"of {summary.known:,} that are known, {len(summary.wrong):,} wrong"
        if summary.ignored:
            told += f"; {summary.ignored:,} not compared, as tools contradict each other there"
        yield one("Right", f"{summary.right:,}", told)
    if summary.median_seconds is not None:
        yield one("Median time", duration(summary.median_seconds), "of those decided")
    if summary.max_seconds is not None:
        yield one("Longest time", duration(summary.max_seconds), "of those decided")


def _shares(summary: BenchmarkSummary) -> doc.Shares:
    """Counts of the instances that ended with each verdict."""
    parts = [
        (word, summary.verdicts[word], meaning)
        for word, meaning in _MEANINGS.items()
        if word in summary.verdicts
    ]
    if summary.done < summary.total:
        parts.append(("missing", summary.total - summary.done, "not run yet"))
    return doc.Shares(parts, on=doc.PAGE)


def _facts(summary: BenchmarkSummary) -> Iterator[tuple[str, str]]:
    left = summary.total - summary.done
    verdicts = ", ".join(f"{count} {word}" for word, count in summary.verdicts.items())
    decided = f"{summary.decided} of {summary.total} within their time limit"
    yield "decided", f"{decided}, {summary.late} more after it" if summary.late else decided
    yield "verdicts", (verdicts or "none") + (f", {left} not run" if left else "")
    if summary.known:
        text = (
            f"{summary.right} right, {len(summary.wrong)} wrong, of {summary.known} that are known"
        )
        if summary.ignored:
            text += f"; {summary.ignored} not compared (tools contradict each other there)"
        yield "compared", text
    if summary.median_seconds is not None:
        seconds = f"median {summary.median_seconds:.3g} s, maximum {summary.max_seconds:.3g} s"
        yield "time", f"{seconds}, of those decided"
    if summary.processor_seconds:
        yield "processor", f"{duration(summary.processor_seconds)} of all that were run"


def _alarms(report: BenchmarkReport) -> Iterator[doc.Text]:
    """Lines of a terminal for everything that is not as it should be."""
    for lines in (
        [f"WRONG: {contradiction(result)}" for result in report.summary.wrong],
        [f"CONTRADICTS: {disagreement(found)}" for found in report.disagreements],
    ):
        for line in lines[:_SHOWN]:
            yield doc.Text(line, "alarm", on=doc.TERMINAL)
        if len(lines) > _SHOWN:
            yield doc.Text(f"… and {len(lines) - _SHOWN} more", on=doc.TERMINAL)
    for word, count in report.failed.items():
        text = f"failed: {count} of {report.summary.total} ended with {word}"
        yield doc.Text(text, "alarm", on=doc.TERMINAL)
    if report.broken and "error" not in report.failed:
        text = f"undecided: {report.broken} of {report.summary.total} ended with error"
        yield doc.Text(text, "open", on=doc.TERMINAL)


def _times(report: BenchmarkReport) -> Iterator[doc.Block]:
    drawn = [each for each in (cactus(report, WIDE), cactus(report, NARROW)) if each is not None]
    if drawn:
        text = (
            "How many instances were decided, each within the seconds at the left (logarithmic), "
            "the fastest first. Further right and lower is better."
        )
        yield doc.Text(text, "note", on=doc.PAGE)
        yield doc.Figure(drawn, look="chart", on=doc.PAGE)
    else:
        yield doc.Text("No instance has been decided in its time.", "note", on=doc.PAGE)
    if report.compared:
        yield _runs_table(report)
        yield from _scatters(report)


def _runs_table(report: BenchmarkReport) -> doc.Table:
    """This run and those beside it, in numbers."""
    runs = [report.results, *(each.results for each in report.compared)]
    rows = []
    for name, results in zip(run_names(report), runs, strict=True):
        seconds = decided_seconds(results)
        middle = seconds[(len(seconds) - 1) // 2] if seconds else None
        rows.append(
            doc.row(
                name,
                f"{len(seconds):,} of {len(results):,}",
                DASH if middle is None else number(middle),
                number(sum(seconds)) if seconds else DASH,
                f"{sum(result.agreement == 'wrong' for result in results):,}",
            )
        )
    heads = ("decided", doc.Column("median", note="s"), doc.Column("sum", note="s"), "wrong")
    return doc.Table(doc.columns(doc.Column("run", align="left"), *heads), rows, title="Runs")


def _scatters(report: BenchmarkReport) -> Iterator[doc.Block]:
    names = run_names(report)
    cards: list[doc.Block] = []
    for place, name in enumerate(names[1:]):
        drawing = scatter(report, place)
        if drawing is not None:
            faster = _faster(report, place)
            note = f"Seconds with {names[0]} (up) and with {name} (across). {faster}"
            cards.append(doc.Figure([drawing], name, (note,), look="card"))
    if cards:
        text = (
            "An instance a dot: below the line this run is faster. Grey dots are not decided by "
            "both, and stand at the time limit of the run that has not."
        )
        yield doc.Text(text, "note", on=doc.PAGE)
        yield doc.Group(cards, "cards", on=doc.PAGE)


def _faster(report: BenchmarkReport, place: int) -> str:
    both = list(pairs(report.results, report.compared[place].results))
    alone = [
        sum(first.decided and not second.decided for first, second in both),
        sum(second.decided and not first.decided for first, second in both),
    ]
    return f"{alone[0]:,} decided by the first alone, {alone[1]:,} by the second alone."


def _contradictions(report: BenchmarkReport) -> Iterator[doc.Section]:
    wrong, others = report.summary.wrong, report.disagreements
    if not (wrong or others):
        return
    names = ("property", "model", "found", "but")
    columns = [doc.Column(name, "text", align="left") for name in names]
    rows = [_against(each, f"expected {each.instance.expected}") for each in wrong]
    rows += [_against(each.here, f"{each.there.verdict} in {each.path}") for each in others]
    left = len(rows) - ROWS
    blocks: list[doc.Block] = [doc.Table(columns, rows[:ROWS], "listing", on=doc.PAGE)]
    if left > 0:
        blocks.append(doc.Text(f"… and {left:,} more", "note", on=doc.PAGE))
    yield doc.Section("contradictions", "Contradictions", tuple(blocks))


def _against(result: InstanceResult, text: str) -> doc.Row:
    instance = result.instance
    cells = (instance.onnx, "text"), (result.verdict, "text bad"), (text, "text")
    return doc.row(instance.vnnlib, *(doc.Cell(*each) for each in cells))


def _instances(report: BenchmarkReport) -> Iterator[doc.Block]:
    left_names = ("property", "model", "verdict", "expected", "agreement")
    heads = [doc.Column(name, "text", align="left") for name in left_names]
    heads += [
        doc.Column("seconds"),
        doc.Column("processor", hint="seconds of processor time, of all threads"),
        doc.Column("limit", hint="in seconds"),
        doc.Column("explored", hint="sub-boxes or nodes that were bounded"),
    ]
    if noted := any(result.note for result in report.results):
        heads.append(doc.Column("note", "text", align="left"))
    rows = [_row(report, *each, noted) for each in report.rows[:ROWS]]
    yield doc.Table(heads, rows, "listing", sortable=True, search="instances", on=doc.PAGE)
    left = len(report.rows) - ROWS
    if left > 0:
        text = f"… and {left:,} more instances; {report.out} and the JSON output list them all."
        yield doc.Text(text, "note", on=doc.PAGE)


def _row(
    report: BenchmarkReport, instance: Instance, result: InstanceResult | None, noted: bool
) -> doc.Row:
    cells = [doc.Cell(instance.onnx, "text")]
    expected = doc.Cell(instance.expected or DASH, "text")
    if result is None:
        cells += [
            doc.Cell("not run", "text"),
            expected,
            doc.Cell(DASH, "text"),
            doc.Cell(DASH),
            doc.Cell(DASH),
        ]
        cells += [doc.Cell(f"{report.limit_of(instance):g}"), doc.Cell(DASH)]
    else:
        agreement = result.agreement or DASH
        late = "" if result.decided or result.verdict not in DECIDED else "after the limit"
        cells += [
            doc.Cell(result.verdict, f"text {_LOOKS.get(result.verdict, 'undecided')}"),
            expected,
            doc.Cell(agreement, f"text {_AGREEMENT.get(agreement, '')}".strip()),
            doc.Cell(f"{result.seconds:.3f}", note=late, value=result.seconds),
            doc.Cell(f"{result.processor:.3f}", value=result.processor),
            doc.Cell(f"{result.timeout:g}", value=result.timeout),
            doc.Cell(f"{result.explored:,}", value=result.explored),
        ]
    if noted:
        cells.append(doc.Cell("" if result is None else result.note, "text long"))
    return doc.row(instance.vnnlib, *cells, look="dim" if result is None else "")


def _data(report: BenchmarkReport) -> doc.Data:
    return doc.Data("instances", COLUMNS, lambda: list(instance_rows(report)))


def instance_rows(report: BenchmarkReport) -> Iterator[Sequence[doc.Value]]:
    """Every instance in the columns of a file of results; without a result they are empty."""
    for instance, result in report.rows:
        names = instance.onnx, instance.vnnlib
        if result is None:
            blank = (None,) * (COLUMNS.index("expected") - len(names))
            yield (*names, *blank, instance.expected, "", report.method, "")
            continue
        times = result.seconds, result.processor, result.timeout
        state = result.explored, result.shortfall, *map(result.phases.get, PHASES)
        told = instance.expected, result.agreement, result.method, result.note
        yield (*names, result.verdict, *times, *state, *told)


def _record(report: BenchmarkReport) -> Iterator[doc.Block]:
    yield doc.Text("What is needed to repeat this run.", "note", on=doc.PAGE)
    yield doc.Facts(list(_repeat(report)), on=doc.PAGE)


def _repeat(report: BenchmarkReport) -> Iterator[tuple[str, Any]]:
    yield "Folder", doc.Span(str(report.folder), "code")
    yield "SHA-256 of instances.csv", doc.Span(report.instances_sha256, "code")
    yield "Results", doc.Span(str(report.out), "code")
    yield "Method", report.method
    most = "its own" if report.timeout is None else f"its own, at most {report.timeout:g} s"
    yield "Time limit of an instance", most
    for name, each in zip(run_names(report)[1:], report.compared, strict=True):
        yield f"Compared with {name}", doc.Span(str(each.path), "code")
    if report.seconds:
        done = share(report.summary.done / report.summary.total, report.summary.total)
        yield "Time", f"{duration(report.seconds)} for this run; {done} have a result by now"
    yield "Processes", f"{report.jobs}"
    yield "Machine", machine_text(report.machine)
    yield from record_facts(report.record)


def machine_text(machine: Any) -> str:
    """A machine on one line."""
    parts = [str(machine.get("processor", "")), count_of(int(machine.get("cores", 1)), "core")]
    if machine.get("memory"):
        parts.append(f"{machine['memory'] / 2**30:.0f} GiB")
    parts += [str(machine[name]) for name in ("accelerator", "system") if machine.get(name)]
    return ", ".join(filter(None, parts))
