"""Reports as a person sees them: as a page, and in a terminal."""

from __future__ import annotations

import io

from rich.console import Console

from sensverify.core.record import RunRecord
from sensverify.evaluation.results import Evaluation
from sensverify.report.document import Document
from sensverify.report.evaluation.document import evaluation_document
from sensverify.report.html import document_to_html
from sensverify.report.tabular import document_to_csv
from sensverify.report.terminal import print_document
from sensverify.report.verification.document import verify_document
from sensverify.verification.results import VerifyReport

_PACKAGES = ("sensverify", "python", "torch", "numpy", "onnx", "onnxruntime")

RECORD = RunRecord(None, "2026-01-02T03:04:05Z", dict.fromkeys(_PACKAGES, "0"))


def printed(document: Document, *, width: int = 100) -> str:
    """A document in a terminal of this width, without colours."""
    stream = io.StringIO()
    print_document(document, Console(file=stream, width=width, highlight=False))
    return stream.getvalue()


def verify_page(report: VerifyReport) -> str:
    """The page of output bounds."""
    return document_to_html(verify_document(report))


def verify_text(report: VerifyReport, *, width: int = 100) -> str:
    """The text on output bounds."""
    return printed(verify_document(report), width=width)


def evaluation_page(evaluation: Evaluation) -> str:
    """The page of an evaluation."""
    return document_to_html(evaluation_document(evaluation))


def evaluation_text(evaluation: Evaluation, *, width: int = 80) -> str:
    """The text on an evaluation."""
    return printed(evaluation_document(evaluation), width=width)


def evaluation_tables(evaluation: Evaluation) -> dict[str, str]:
    """The tables of an evaluation as CSV, by name."""
    return document_to_csv(evaluation_document(evaluation))


def split_page(page: str) -> tuple[str, str]:
    """A page without its script, and that."""
    before, found, after = page.partition("<script>")
    script, closed, rest = after.partition("</script>")
    assert found
    assert closed
    return before + rest, script
