"""Reports as a person sees them: as a page, and in a terminal."""

from __future__ import annotations

import io

from rich.console import Console

from sensverify.report.document import Document
from sensverify.report.html import document_to_html
from sensverify.report.terminal import print_document
from sensverify.report.verify import verify_document
from sensverify.verification.results import VerifyReport


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
