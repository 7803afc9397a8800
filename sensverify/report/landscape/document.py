"""A landscape as a document: the answer, its pictures, its correlations, and the record."""

from __future__ import annotations

from collections.abc import Iterator

from sensverify.landscape.answers import EVERY, WITH_MARKED, RankAnswer, main_column
from sensverify.landscape.findings import Findings
from sensverify.landscape.sensitivity import (
    ATTAINED,
    EXACT,
    Column,
    columns_of,
    main_sigma,
    undecided_name,
)
from sensverify.report import document as doc
from sensverify.report.formatting import count_of, percent, pretty_number, printed, signed
from sensverify.report.landscape.figures import (
    course_figure,
    energy_figure,
    over_figure,
    tree_figures,
)
from sensverify.report.landscape.sentences import (
    claim_sentence,
    claim_title,
    column_words,
    estimate_words,
    part_words,
)
from sensverify.report.landscape.values import tables
from sensverify.report.record import record_facts
from sensverify.runs.progress import duration
from sensverify.scores.prediction import Estimate

_OFFERED = 4_000_000
"""Bytes of data on a page."""

_LEVELS = {"holds": "good", "the opposite holds": "bad", "is open": "open"}
_LISTED = 20
"""Minima of the table; the others are in the data."""

_NAME = doc.Column(align="left")
_RADIUS = "Sigma is the radius of the inputs as a share of the range of each feature."
_READING = (
    "Spearman's rho and Kendall's tau-b with the energy: above 0 where lower minima have lower "
    "values. With each is the 95 % interval over {resamples:,} resamples of the minima, unless one "
    "in twenty of them has no value. Partial is Spearman's with the ranks of the weight norm held "
    "fixed. All columns are in the data."
)
_TREE = (
    "A branch ends in each minimum, at its energy. Two minima meet where a path of saddles that "
    "lead from one to the other needs no higher energy. The colour is the log-volume of the "
    "outputs, a fifth of the minima each; grey is not measured."
)


def landscape_document(found: Findings, *, figures: bool = True) -> doc.Document:
    """The document of a landscape, with the ``figures`` that a terminal does not show."""
    minima, saddles, ranks, over, course, reasons = tables(found)
    lead = (
        f"{count_of(len(found.keys), 'minimum', 'minima')} and "
        f"{count_of(len(found.saddles), 'saddle')} of {found.request.loss} + "
        f"{found.request.l2:g} L2 with {found.request.model} ({found.request.activation}"
        f"{', continued to ReLU' if found.request.relu else ''}) on {found.request.data}."
    )
    pictures = tuple(_pictures(found)) if figures else ()
    tree = tuple(_tree(found)) if figures else ()
    return doc.Document(
        title=f"{found.title}: energy landscape",
        eyebrow="Energy landscape",
        heading=found.title,
        lead=lead,
        sections=(
            doc.Section("answer", "", tuple(_answer(found))),
            doc.Section("pictures", "Sensitivity and energy", pictures, (over, course)),
            doc.Section("tree", "Disconnectivity graph", tree),
            doc.Section("ranks", "Correlations with the energy", tuple(_ranks(found)), (ranks,)),
            doc.Section("minima", "Lowest minima", tuple(_lowest(found)), (minima, saddles)),
            doc.Section(
                "record", "Record", (doc.Facts(list(_record(found)), on=doc.PAGE),), (reasons,)
            ),
        ),
        contents=True,
        offered=_OFFERED,
    )


def _answer(found: Findings) -> Iterator[doc.Block]:
    claim = found.answers.claim
    level, sentence = _LEVELS[claim.verdict], claim_sentence(found)
    yield doc.Notice([sentence], level, title=claim_title(claim), on=doc.PAGE)
    yield doc.Text(sentence, on=doc.TERMINAL)
    lines = list(_remarks(found))
    if lines:
        yield doc.Notice(lines, "open", on=doc.PAGE)
        for line in lines:
            yield doc.Text(line, on=doc.TERMINAL)


def _remarks(found: Findings) -> Iterator[str]:
    """All that a reader has to know to trust the answer as far as it goes."""
    marked = len(found.minima) - len(found.stationary)
    if marked:
        yield (
            f"{count_of(marked, 'minimum is', 'minima are')} not stationary within the tolerance: "
            "marked, and in no correlation but that which says so."
        )
    again = len(found.repeats)
    if again:
        yield (
            f"{count_of(again, 'minimum ends', 'minima end')} at the ReLU network of another one: "
            "it is measured and counted once."
        )
    left = len(found.keys) - len(found.minima) - again
    if left:
        yield f"{count_of(left, 'minimum', 'minima')} of {len(found.keys):,} not measured."
    if not found.complete:
        yield "The search has not ended: more minima and saddles may come."
    wide = _undecided(found)
    if wide:
        yield (
            f"{count_of(wide, 'minimum has', 'minima have')} exact ranges that ended before their "
            "gap was closed: their truth lies between the proven and the attained sensitivity."
        )
    if found.refused:
        yield (
            f"{count_of(len(found.refused), 'saddle lies', 'saddles lie')} below a minimum that it "
            "leads down to, and is not in the tree: its path ended at another point."
        )
    if len(found.tree.parts) > 1:
        yield (
            f"The minima are in {len(found.tree.parts):,} parts that no saddle found so far "
            "connects."
        )
    yield from found.request.remarks
    alike: dict[tuple[int, str], list[str]] = {}
    for reason, count in sorted(found.reasons.items()):
        what, _, why = reason.partition(": ")
        alike.setdefault((count, why), []).append(what)
    for (count, why), several in alike.items():
        of = count_of(count, "minimum", "minima")
        yield f"Not measured of {of}: {', '.join(several)}: {why}."
    main = main_column(found.settings)
    if main.method != EXACT:
        yield f"Without exact ranges: the sensitivity is an upper bound by {main.method}."


def _undecided(found: Findings) -> int:
    names = [undecided_name(sigma) for sigma in found.settings.sigmas]
    return sum(any((each.values.get(name) or 0) > 0 for name in names) for each in found.minima)


def _pictures(found: Findings) -> Iterator[doc.Block]:
    yield doc.Text(f"Every dot is a minimum, smaller is less sensitive. {_RADIUS}", "note")
    figures = []
    for sigma in found.settings.sigmas:
        drawing = energy_figure(found, sigma)
        if drawing is not None:
            notes = [note for note in (_rho(found, sigma),) if note]
            title = f"Sensitivity against energy, sigma {sigma:.6g}"
            figures.append(doc.Figure([drawing], title, notes, look="card"))
    sigma = main_sigma(found.settings)
    drawing = over_figure(found, sigma)
    if drawing is not None:
        notes = ["Bound minus attained sensitivity, over the attained one."]
        title = f"Over-estimates, sigma {sigma:.6g}"
        figures.append(doc.Figure([drawing], title, notes, look="card"))
    drawing = course_figure(found, sigma)
    if drawing is not None:
        several = len({shot.seed for shot, _ in found.course})
        starts = "a random start" if several == 1 else f"{several} random starts"
        notes = [f"Adam from {starts}; the same energy, all samples in every step."]
        along = "one training" if several == 1 else "trainings"
        title = f"Along {along}, sigma {sigma:.6g}"
        figures.append(doc.Figure([drawing], title, notes, look="card"))
    yield doc.Group(figures, "cards", on=doc.PAGE)


def _rho(found: Findings, sigma: float) -> str:
    column = Column("sensitivity", main_column(found.settings).method, sigma, "all")
    answer = found.answers.of(column.name)
    if answer is None or answer.spearman.value is None:
        return ""
    return f"Spearman {estimate_words(answer.spearman)}, {part_words('all', found)}"


def _ranks(found: Findings) -> Iterator[doc.Block]:
    yield doc.Text(_READING.format(resamples=found.answers.resamples), "note")
    rows = []
    for column in filter(lambda each: _is_shown(each, found), columns_of(found.settings)):
        answer = found.answers.of(column.name)
        if answer is not None:
            rows.append(_row(column_words(column, found), answer))
    for name in ("train-error", "test-error", *found.settings.measures):
        answer = found.answers.of(name)
        if answer is not None:
            rows.append(_row(name, answer))
    heads = doc.columns(_NAME, "minima", "Spearman", "Kendall", "partial")
    if rows:
        yield doc.Table(heads, rows, title="stationary minima", notes=True)
    groups = [each for each in found.answers.ranks if each.group != EVERY]
    if groups:
        words = column_words(main_column(found.settings), found)
        funnels = any(each.group != WITH_MARKED for each in groups)
        words = f"{'By funnel' if funnels else 'With minima not stationary'}: {words}"
        yield doc.Text(words, "heading", on=doc.PAGE)
        rows = [
            _row(f"funnel of {a.group}" if a.group != WITH_MARKED else WITH_MARKED, a)
            for a in groups
        ]
        yield doc.Table(heads, rows, title=words, notes=True)


def _is_shown(column: Column, found: Findings) -> bool:
    """Whether a row of the page is about a column: one method everywhere, others at one radius."""
    main = main_column(found.settings)
    if column.method != main.method:
        return (column.figure, column.sigma, column.part) == (main.figure, main.sigma, main.part)
    return column.figure == main.figure or column.part == main.part


def _row(name: str, answer: RankAnswer) -> doc.Row:
    cells = [_cell(each) for each in (answer.spearman, answer.kendall, answer.partial)]
    return doc.row(name, f"{answer.networks:,}", *cells)


def _cell(estimate: Estimate) -> doc.Cell:
    if estimate.value is None:
        return doc.Cell(estimate_words(estimate), title=estimate.reason)
    note = ""
    if estimate.lower is not None and estimate.upper is not None:
        note = f"{signed(estimate.lower, 2)} to {signed(estimate.upper, 2)}"
    return doc.Cell(signed(estimate.value, 3), note=note, value=estimate.value)


def _tree(found: Findings) -> Iterator[doc.Block]:
    yield doc.Text(_TREE, "note", on=doc.PAGE)
    funnels = found.funnels
    notes = [
        f"Funnels, with a climb of at least {pretty_number(found.tree.depth)} and 10 minima: "
        + ("; ".join(f"{key} with {count:,} minima" for key, count in funnels.items()) or "none")
    ]
    yield doc.Figure(list(tree_figures(found)), "", notes, look="chart", on=doc.PAGE)


def _lowest(found: Findings) -> Iterator[doc.Block]:
    main, sigma = main_column(found.settings), main_sigma(found.settings)
    names = [
        ("sensitivity", main.name),
        ("attained", Column("sensitivity", ATTAINED, sigma, "all").name),
        ("log-volume", main_column(found.settings, "log-volume").name),
        ("scale-free", main_column(found.settings, "scale-free").name),
    ]
    if main.method != EXACT:
        del names[1]
    rows = []
    for each in found.minima[:_LISTED]:
        name = each.key if each.stationary else f"{each.key} *"
        errors = [each.values.get(part) for part in ("train-error", "test-error")]
        rows.append(
            doc.row(
                name,
                pretty_number(each.energy),
                pretty_number(each.weight_norm),
                *(printed(each.values.get(column)) for _, column in names),
                *map(percent, errors),
            )
        )
    titles = ("energy", "norm", *(title for title, _ in names), "train error", "test error")
    notes = []
    if len(found.minima) > _LISTED:
        notes.append(f"{_LISTED} of {len(found.minima):,}; all are in the data.")
    if not all(each.stationary for each in found.minima[:_LISTED]):
        notes.append("* is not stationary.")
    if notes:
        yield doc.Text(" ".join(notes), "note")
    words = column_words(main, found)
    yield doc.Table(doc.columns(_NAME, *titles), rows, title=words, notes=True)


def _record(found: Findings) -> Iterator[tuple[doc.Line, doc.Line]]:
    settings = found.settings
    yield "Radii", f"sigma {', '.join(f'{each:.6g}' for each in settings.sigmas)}"
    yield "Methods", ", ".join(settings.methods)
    yield "Gap of exact ranges", f"{settings.gap:g}"
    if settings.seconds is not None:
        yield "Time limit", f"{duration(settings.seconds)} a network and radius"
    yield "Samples", f"{found.samples:,}, of these {found.test:,} test samples"
    yield "Energy", f"taken on {found.request.part} samples"
    yield "Time", f"{duration(found.seconds)} for the measurements, of all workers together"
    yield from record_facts(found.record)
