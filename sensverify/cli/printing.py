"""Printing of results, and with ``--quiet`` of nothing beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sensverify.report.document import Document

QUIET = "sensverify.quiet"
"""Where a call of the command line keeps that nothing but results and errors is wanted."""


def quiet() -> bool:
    """Whether nothing but results and errors is wanted."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(QUIET))


def printable(text: str) -> str:
    """Text from a file on one line, without characters that could steer a terminal."""
    line = " ".join(text.split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def note(text: str) -> None:
    """A line on standard error that is neither a result nor an error."""
    if not quiet():
        click.echo(text, err=True)


def show(document: Document, *, aside: bool = False, error: bool = False) -> None:
    """Print a document.

    Parameters
    ----------
    document : Document
    aside : bool
        On standard error, and not with ``--quiet``: the result itself is on standard output.
    error : bool
        On standard error, whatever was asked for.
    """
    from sensverify.report.terminal import PlainConsole, print_document

    if error or not (aside and quiet()):
        print_document(document, PlainConsole(stderr=aside or error))
