"""The plan of a study, as a document: what will be trained, and how much follows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sensverify.report import document as doc


def plan_document(
    title: str, lines: Iterable[str], runs: Sequence[tuple[str, Sequence[str]]]
) -> doc.Document:
    """A document of sentences, and of every run what it is.

    Parameters
    ----------
    title : str
    lines : iterable of str
        Sentences.
    runs : sequence of (str, sequence of str)
        Names, and what there is to say of each.
    """
    return doc.Document(
        title=title,
        sections=(
            doc.Section("plan", title, tuple(doc.Text(line) for line in lines)),
            doc.Section("runs", "Runs", (doc.Facts(runs),)),
        ),
    )
