"""One analysis of a table of scores as a document."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sensverify.core.record import RunRecord
from sensverify.errors import BadSetting
from sensverify.registry.calls import Call
from sensverify.report import document as doc
from sensverify.report.formatting import count_of
from sensverify.report.record import record_facts
from sensverify.report.scores.benchmarks import benchmarks_section, selection_section
from sensverify.report.scores.categories import agreement_section, categories_section
from sensverify.report.scores.common import data
from sensverify.report.scores.correlate import correlate_section
from sensverify.report.scores.effective import effective_section
from sensverify.report.scores.explain import explain_section
from sensverify.report.scores.nas import search_section, top_section
from sensverify.report.scores.overlap import balance_section, coverage_section, overlap_section
from sensverify.report.scores.papers import beside
from sensverify.report.scores.prediction import prediction_section
from sensverify.report.scores.scatters import scatters_section
from sensverify.report.scores.transfer import transfer_section
from sensverify.scores.agreement import Agreement
from sensverify.scores.balance import Balance
from sensverify.scores.benchmarks import Benchmarks
from sensverify.scores.categories import Categories
from sensverify.scores.correlate import Correlations
from sensverify.scores.coverage import Coverage
from sensverify.scores.csv_file import cell_rows, reading_rows
from sensverify.scores.effective import Effectives
from sensverify.scores.explain import Explanations
from sensverify.scores.nas.search import Searches
from sensverify.scores.nas.top import Tops
from sensverify.scores.overlap import Overlaps
from sensverify.scores.papers import Paper
from sensverify.scores.prediction import Predictions
from sensverify.scores.scatter import Scatters
from sensverify.scores.selection import Selection
from sensverify.scores.table import Scores
from sensverify.scores.transfer import Transfers

_SECTIONS: Mapping[type, Callable[[Any], doc.Section]] = {
    Correlations: correlate_section,
    Transfers: transfer_section,
    Overlaps: overlap_section,
    Balance: balance_section,
    Coverage: coverage_section,
    Categories: categories_section,
    Agreement: agreement_section,
    Predictions: prediction_section,
    Effectives: effective_section,
    Benchmarks: benchmarks_section,
    Selection: selection_section,
    Scatters: scatters_section,
    Explanations: explain_section,
    Searches: search_section,
    Tops: top_section,
}

_OFFERED = 2_000_000
"""Bytes of data on a page."""


@dataclass(frozen=True, kw_only=True)
class Analysed:
    """The result of an analysis, with the table that it is of.

    Parameters
    ----------
    scores : Scores
    call : Call
        The analysis with its settings.
    result : object
        What it returned.
    papers : tuple of Paper
        Printed tables to stand below it.
    record : RunRecord
    """

    scores: Scores
    call: Call
    result: Any
    papers: tuple[Paper, ...] = ()
    record: RunRecord = field(default_factory=RunRecord.now)

    @property
    def section(self) -> doc.Section:
        """The result with the tables behind it.

        Raises
        ------
        BadSetting
            An analysis of another package gives something else than a section.
        """
        return beside(self._section, self.result, self.papers)

    @property
    def _section(self) -> doc.Section:
        if isinstance(self.result, doc.Section):
            return self.result
        if type(self.result) not in _SECTIONS:
            raise BadSetting(
                f"the analysis '{self.call.name}' gives a {type(self.result).__name__}",
                "let it give a Section of sensverify.report.document",
            )
        return _SECTIONS[type(self.result)](self.result)


def analysis_document(found: Analysed) -> doc.Document:
    """The result, and which table it is of."""
    scores = found.scores
    holes = int((~scores.measured).sum())
    lead = (
        f"{count_of(len(scores.networks), 'network')}, {count_of(len(scores.shifts), 'shift')}, "
        f"{count_of(len(scores.measures), 'measure')}; {count_of(holes, 'hole')} among "
        f"{scores.measured.size:,} cells."
    )
    return doc.Document(
        title=f"{found.call.name}: analysis of scores",
        eyebrow="Analysis of scores",
        heading=found.section.title,
        lead=lead,
        sections=(
            found.section,
            doc.Section("record", "Record", (doc.Facts(list(_record(found)), on=doc.PAGE),)),
        ),
        contents=True,
        offered=_OFFERED,
    )


def table_data(scores: Scores) -> tuple[doc.Data, ...]:
    """The table itself, in the form in which it is read."""
    return (
        data("scores", lambda: cell_rows(scores)),
        data("measures", lambda: reading_rows(scores)),
    )


def _record(found: Analysed) -> Iterator[tuple[doc.Line, doc.Line]]:
    yield "Analysis", doc.Span(str(found.call), "code")
    yield "Samples", found.scores.samples or "nobody says which"
    for each in found.scores.sources:
        yield f"Read ({each.form})", f"{each.path}, SHA-256 {each.sha256}"
    yield from record_facts(found.record)
