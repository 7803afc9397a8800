"""What every page has: its head, its policy that forbids scripts, its style, and lists of terms."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from importlib.resources import files
from string import Template

_FOLDER = "sensverify.report"


def framed_page(
    name: str, *, title: str, styles: tuple[str, ...] = (), style: str = "", **parts: str
) -> str:
    """A page made of a body in ``NAME.html`` and the frame that all pages share.

    Parameters
    ----------
    name : str
        Of the body's template, with the folder it is in, e.g. ``study/page``.
    title : str
        Escaped here.
    styles : tuple of str
        Names of style sheets that come after ``page.css``.
    style : str
        Rules that come after those.
    **parts : str
        HTML for the places of the body.

    Returns
    -------
    str
        HTML that needs no script and no other file.
    """
    rules = [*(_text(f"{sheet}.css") for sheet in ("frame", *styles)), style]
    body = Template(_text(f"{name}.html")).substitute(parts)
    return Template(_text("frame.html")).substitute(
        title=escape(title), style="\n".join(rules), body=body
    )


def terms(values: Mapping[str, str]) -> str:
    """The inside of ``<dl class="record">``; names and texts are escaped, lines stay lines."""
    return "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(text).replace(chr(10), '<br>')}</dd></div>"
        for name, text in values.items()
    )


def _text(name: str) -> str:
    return files(_FOLDER).joinpath(name).read_text(encoding="utf-8")
