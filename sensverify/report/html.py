"""A document as one self-contained page: nothing loaded, every text escaped.

It is complete without scripts. Its one script, ``page.js``, only adds controls; the page's own
policy allows that one alone, by its digest.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING
from urllib.parse import quote

from sensverify.report.chart import Drawing, svg
from sensverify.report.document import Block, Document, Group, Line, Medium, spans
from sensverify.report.tabular import data_csv
from sensverify.report.theme import chart_style, heat_style, palette_style

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


def document_to_html(document: Document) -> str:
    """The document as one page.

    Returns
    -------
    str
        HTML that needs no other file. Every text is escaped, and the page's own policy forbids
        all scripts but its own, without which it says the same. Data are offered as downloads, but
        for those that would make the page too large.
    """
    sections = [
        (section, section.on(Medium.PAGE))
        for section in document.sections
        if section.on(Medium.PAGE)
    ]
    page = (
        _environment()
        .get_template("page.html")
        .render(
            document=document,
            sections=sections,
            downloads=_downloads(document),
            styles=[palette_style(), _part("page.css"), chart_style(), heat_style()],
            script=_part("page.js"),
            policy=policy(_part("page.js")),
        )
    )
    return _steady(page)


_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Controls, among them those that turn the direction of all that follows, its numbers too."""


def _steady(page: str) -> str:
    """A page on which no text from a file rearranges others: controls are spelled out."""
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), page)


def policy(script: str) -> str:
    """The Content-Security-Policy of a page: nothing is loaded, and this one script may run."""
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def blocks_to_html(heading: Line, blocks: Sequence[Block]) -> str:
    """Some blocks as a part of a page that has a style of its own, as a notebook."""
    return _steady(_environment().get_template("glance.html").render(heading=heading, shown=blocks))


def _downloads(document: Document) -> dict[str, tuple[str, str]]:
    """A link, or a reason against one, for every table: the smallest first while there is room."""
    if not document.offered:
        return {}
    links, left = {}, document.offered
    texts = {name: data_csv(data) for name, data in document.data.items()}
    for name, text in sorted(texts.items(), key=lambda pair: len(pair[1])):
        data = text.encode("utf-8", errors="backslashreplace")
        left -= len(data)
        if left < 0:
            links[name] = "", f"{name}.csv ({len(data) / 1e6:.1f} MB) is too large for this page"
        else:
            encoded = base64.b64encode(data).decode("ascii")
            links[name] = f"data:text/csv;base64,{encoded}", ""
    return links


@cache
def _environment() -> Environment:
    # Only who writes a page needs the template engine.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    found = Environment(
        loader=PackageLoader("sensverify.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"spans": spans, "lines": _lines, "svg": _svg, "breakable": _breakable}
    found.filters |= {
        "beside": _beside,
        "sorted_by": _sorted_by,
        "places": _places,
        "json": json.dumps,
    }
    return found


def _lines(value: Line | list[Line]) -> list[Line]:
    return value if isinstance(value, list) else [value]


def _svg(drawing: Drawing) -> Markup:
    from markupsafe import Markup

    # It escapes its texts itself.
    return Markup(svg(drawing))


def _breakable(text: str) -> Markup:
    """A long name may go on in the next line behind each of its underscores."""
    from markupsafe import Markup, escape

    return escape(text).replace("_", Markup("_<wbr>"))


def _beside(path: str) -> str:
    """The address of a file by its path from the page's folder; never another kind of address."""
    # Bytes that are no UTF-8 stand in names of files, and stay what they are.
    return f"./{quote(os.fsencode(path))}"


def _sorted_by(value: float) -> str:
    """A number as scripts read it, nothing for NaN."""
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return "" if math.isnan(value) else repr(float(value))


def _places(card: Group, orders: Sequence[str]) -> str:
    """Places of a card in these orders as JSON; null is the last one."""
    values = (card.keys.get(words, math.nan) for words in orders)
    # What is too large for a double is read as infinite.
    texts = ("null" if math.isnan(v) else f"{v:.6g}".replace("inf", "1e999") for v in values)
    return f"[{', '.join(texts)}]"


@cache
def _part(name: str) -> str:
    return files("sensverify.report").joinpath(name).read_text(encoding="utf-8")
