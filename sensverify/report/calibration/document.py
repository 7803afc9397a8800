"""Temperature scaling as a document: errors before and after, and how confidence fits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sensverify.classification.predictions import Classified
from sensverify.evaluation.temperature import Calibration
from sensverify.report import document as doc
from sensverify.report.evaluation.calibration import READING, reliability_chart
from sensverify.report.formatting import percent, signed
from sensverify.report.record import record_facts
from sensverify.report.verification.facts import file_line

_ERRORS = ("expected_calibration_error", "rms_calibration_error", "maximum_calibration_error")
_COLUMNS = ("part", "accuracy", "confidence", *_ERRORS, "cross_entropy", "samples")


def calibration_document(found: Calibration) -> doc.Document:
    """The document of temperature scaling: errors before and after, two diagrams, the record."""
    data = doc.Data("calibration", _COLUMNS, lambda: map(_values, _parts(found)))
    return doc.Document(
        title=f"{found.model.name}: temperature scaling",
        eyebrow="Confidence made to fit",
        heading=f"{found.model.name}: temperature {found.temperature:.4g}",
        lead=(
            f"Logits divided by {found.temperature:.4g}. Fitted on {found.fitted:,} samples of "
            f"{found.data}, and judged on {found.before.samples:,} others, which it has not seen. "
            "No label changes."
        ),
        sections=(
            doc.Section("errors", "", (_lead(found), _table(found)), data=(data,)),
            doc.Section("diagrams", "How confidence fits", tuple(_diagrams(found))),
            doc.Section("record", "Record", (doc.Facts(list(_record(found)), on=doc.PAGE),)),
        ),
    )


def _parts(found: Calibration) -> tuple[tuple[str, Classified, float], ...]:
    return (
        ("before", found.before, found.loss_before),
        ("after", found.after, found.loss_after),
    )


def _values(part: tuple[str, Classified, float]) -> Sequence[doc.Value]:
    name, found, loss = part
    errors = (getattr(found, each) for each in _ERRORS)
    return (name, found.accuracy.share, found.confidence, *errors, loss, found.samples)


def _lead(found: Calibration) -> doc.Text:
    text = (
        f"{found.model.name} on {found.data}: temperature {found.temperature:.4g}, fitted on "
        f"{found.fitted:,} samples and judged on {found.before.samples:,} others"
    )
    return doc.Text(text, on=doc.TERMINAL)


def _table(found: Calibration) -> doc.Table:
    pair = found.before, found.after
    rows = [
        doc.row("accuracy", *(percent(each.accuracy.share) for each in pair)),
        doc.row("mean confidence", *(percent(each.confidence) for each in pair)),
    ]
    for name in _ERRORS:
        words = name.replace("_", " ").replace("rms", "RMS")
        rows.append(doc.row(words, *(percent(getattr(each, name)) for each in pair)))
    losses = (signed(each, 4) for each in (found.loss_before, found.loss_after))
    rows.append(doc.row("cross-entropy", *losses))
    return doc.Table(doc.columns("", "before", "after"), rows, "plain summary")


def _diagrams(found: Calibration) -> Iterator[doc.Block]:
    yield doc.Text(READING, "note", on=doc.PAGE)
    cards = [
        doc.Figure([reliability_chart(part, title)], title.capitalize(), look="card")
        for title, part, _ in _parts(found)
    ]
    yield doc.Group(cards, "cards", on=doc.PAGE)


def _record(found: Calibration) -> Iterator[tuple[str, doc.Line]]:
    yield "Model file", file_line(found.model)
    yield "SHA-256 of the model", doc.Span(found.model.sha256, "code")
    yield "SHA-256 of the samples", doc.Span(found.samples_sha256, "code")
    yield "Fitted on", f"{100 * found.fit_share:g} % of them, evenly spread"
    yield from record_facts(found.record)
