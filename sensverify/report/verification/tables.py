"""Samples of a verification as tables: on the page, in a terminal, and as data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import TypeAlias

from sensverify.report import document as doc
from sensverify.report.formatting import class_name, count_of, number, printed
from sensverify.report.verification.record import judged_kind
from sensverify.verification.results import SampleResult, VerifyReport, notable
from sensverify.verification.thresholds import deviations

ROWS = 20
"""Samples that a terminal lists; the others are counted."""

LISTED = 2000
"""Samples that a page lists."""

ALL_WIDTHS = 4
"""Up to this many outputs, every width has a column in a terminal."""


def output_names(report: VerifyReport) -> tuple[str, ...]:
    """Names of the outputs: their classes, else their numbers."""
    names = report.class_names or report.model.output_names
    outputs = len(report.samples[0].widths)
    return names if len(names) == outputs else tuple(str(k) for k in range(outputs))


def kept_word(sample: SampleResult) -> str:
    """``certified``, ``changes`` or ``undecided``; a dash where no class is asked to stay."""
    if sample.judged_class is None:
        return "-"
    return {True: "certified", False: "changes", None: "undecided"}[sample.kept]


def page_tables(report: VerifyReport) -> tuple[doc.Block, ...]:
    """Every sample, which can be sorted and searched; of very many, those most worth a look."""
    listed = notable(report.samples, LISTED)
    columns = dict(_page_columns(report))
    rows = [
        doc.row(str(sample.index), *(cell(sample) for cell in columns.values()))
        for sample in listed
    ]
    heads = doc.columns("sample", *columns)
    table = doc.Table(heads, rows, "plain numbers", sortable=True, search="samples", on=doc.PAGE)
    left = len(report.samples) - len(listed)
    if not left:
        return (table,)
    text = (
        f"Those that change or are undecided come before others; {count_of(left, 'sample')} more "
        "are in the JSON output."
    )
    return table, doc.Text(text, "note", on=doc.PAGE)


_MakeCell: TypeAlias = Callable[[SampleResult], doc.Cell]


def _page_columns(report: VerifyReport) -> Iterator[tuple[str, _MakeCell]]:
    """Headings, and what makes the cell of a sample."""
    names, judged = output_names(report), judged_kind(report)

    def named(place: int | None, look: str = "") -> doc.Cell:
        return doc.Cell(class_name(names, place), look)

    labelled = any(sample.label is not None for sample in report.samples)
    if labelled:
        yield "label", lambda sample: named(sample.label)
    if labelled or judged:
        yield (
            "prediction",
            lambda s: named(s.prediction, "" if s.label in (None, s.prediction) else "bad"),
        )
    if judged:
        yield f"{judged} kept?", lambda sample: doc.Cell(kept_word(sample), kept_word(sample))
        yield (
            "becomes",
            lambda s: named(None if s.counterexample is None else s.counterexample.prediction),
        )
    if any(sample.margin is not None for sample in report.samples):
        yield "least margin", lambda sample: _valued(sample.margin)
    if report.max_deviation is not None:
        head = report.model.head
        yield "largest deviation", lambda s: _valued(float(deviations(s, head).max()))
    yield "largest width", lambda sample: _valued(float(sample.widths.max()))
    yield "log-volume", _log_volume


def _log_volume(sample: SampleResult) -> doc.Cell:
    if sample.log_volume is None:
        return doc.Cell("zero width", value=-math.inf)
    return _valued(sample.log_volume)


def _valued(value: float | None) -> doc.Cell:
    return doc.Cell(printed(value), value=math.nan if value is None else value)


_SAMPLES = (
    *("index", "label", "prediction", "label_kept", "margin", "becomes"),
    *("status", "log_volume", "volume", "largest_width", "seconds"),
)
_OUTPUTS = ("index", "output", "name", "value", "lower", "upper", "width")


def sample_data(report: VerifyReport) -> doc.Data:
    """A row for every sample; ``becomes`` is the class at its counterexample."""
    return doc.Data("samples", _SAMPLES, lambda: map(_sample_row, report.samples))


def _sample_row(sample: SampleResult) -> Sequence[doc.Value]:
    example = sample.counterexample
    return (
        *(sample.index, sample.label, sample.prediction, sample.label_kept, sample.margin),
        None if example is None else example.prediction,
        *(sample.status.value, sample.log_volume, sample.volume, float(sample.widths.max())),
        sample.seconds,
    )


def output_data(report: VerifyReport) -> doc.Data:
    """A row for every output of every sample."""
    return doc.Data("outputs", _OUTPUTS, lambda: _output_rows(report))


def _output_rows(report: VerifyReport) -> Iterator[Sequence[doc.Value]]:
    names = output_names(report)
    for sample in report.samples:
        columns = sample.output, sample.lower, sample.upper, sample.widths
        rows = zip(*(column.tolist() for column in columns), strict=True)
        for place, numbers in enumerate(rows):
            yield sample.index, place, names[place], *numbers


def terminal_table(report: VerifyReport) -> doc.Table:
    outputs = len(report.samples[0].widths)
    labelled = any(sample.label is not None for sample in report.samples)
    probable = report.samples[0].probability_lower is not None
    few = outputs <= ALL_WIDTHS and not probable
    heads = ["sample", *(["label"] if labelled else []), *(["prediction"] if outputs > 1 else [])]
    summed = ["width max"] if probable else ["width min", "median", "max"]
    heads += [f"width {k}" for k in range(outputs)] if few else summed
    judged = judged_kind(report)
    kept = [doc.Column(f"{judged} kept?", align="left")] if judged else []
    columns = doc.columns(*heads, "log-volume", *(["probability"] if probable else []), *kept)
    rows = []
    for sample in report.samples[:ROWS]:
        cells: list[str | doc.Cell] = []
        if labelled:
            cells.append("-" if sample.label is None else str(sample.label))
        if outputs > 1:
            wrong = sample.label not in (None, sample.prediction)
            cells.append(doc.Cell(str(sample.prediction), "bad" if wrong else ""))
        widths = sample.widths.tolist()
        if not few:
            widths = [max(widths)] if probable else [min(widths), median(widths), max(widths)]
        volume = "zero width" if sample.log_volume is None else f"{sample.log_volume:.3f}"
        cells += [*map(number, widths), volume]
        if probable:
            cells.append(_probability(sample))
        if judged:
            cells.append(doc.Cell(kept_word(sample), kept_word(sample)))
        rows.append(doc.row(str(sample.index), *cells))
    return doc.Table(columns, rows, on=doc.TERMINAL)


def _probability(sample: SampleResult) -> str:
    """The range of the probability of the label, or of the prediction where there is none."""
    if sample.probability_lower is None or sample.probability_upper is None:
        return "-"
    place = sample.prediction if sample.label is None else sample.label
    # Rounded outward, as the interval is one that holds.
    low = math.floor(1000 * sample.probability_lower[place]) / 1000
    high = math.ceil(1000 * sample.probability_upper[place]) / 1000
    return f"{low:.3f} – {high:.3f}"
