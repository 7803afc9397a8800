"""Small parts of the evaluation's page: headings with downloads, tables, cells."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

DOWNLOADS = 1_000_000
"""Bytes that all tables on a page for one network may take together."""


@dataclass(frozen=True)
class Downloads:
    """Tables that a page offers, as links; made by `downloads`.

    Parameters
    ----------
    links : mapping from str to str
        HTML, by the table's name.
    """

    links: Mapping[str, str]

    def of(self, *names: str) -> str:
        """The links to these tables, as far as they are there."""
        found = "".join(self.links[name] for name in names if name in self.links)
        return f' <span class="csv">{found}</span>' if found else ""


def downloads(tables: Mapping[str, str], *, budget: int = DOWNLOADS) -> Downloads:
    """A link to every table, smallest first as long as there is room; others are only named."""
    links, left = {}, budget
    for name, text in sorted(tables.items(), key=lambda pair: len(pair[1])):
        data = text.encode("utf-8", errors="backslashreplace")
        left -= len(data)
        if left < 0:
            words = f"{name}.csv ({len(data) / 1e6:.1f} MB) is too large for this page"
            links[name] = f'<span title="{words}">{name}.csv: see --csv</span>'
            continue
        encoded = base64.b64encode(data).decode("ascii")
        link = f'<a download="{name}.csv" href="data:text/csv;base64,{encoded}">{name}.csv</a>'
        links[name] = link
    return Downloads(links)


def heading(text: str, anchor: str, offered: Downloads, *names: str) -> str:
    """A heading, and beside it the named tables as downloads."""
    return f'<h2 id="{anchor}">{escape(text)}{offered.of(*names)}</h2>'


def table(head: Sequence[str], rows: Sequence[str], kind: str = "", caption: str = "") -> str:
    """A table that scrolls where it is wider than the page.

    Parameters
    ----------
    head : sequence of str
        HTML of the header's cells, ``<th>`` and all.
    rows : sequence of str
        HTML of the rows, ``<tr>`` and all.
    """
    named = f"<caption>{caption}</caption>" if caption else ""
    return (
        f'<div class="scroll"><table class="{kind}">{named}<thead><tr>{"".join(head)}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def th(text: str, kind: str = "") -> str:
    """A column's heading; the text is escaped."""
    return f'<th scope="col"{_kind(kind)}>{escape(text)}</th>'


def row(name: str, cells: Sequence[str], *, note: str = "") -> str:
    """A row with its name and a note on it, which are escaped, before cells of HTML."""
    small = f"<small>{escape(note)}</small>" if note else ""
    return f'<tr><th scope="row">{escape(name)}{small}</th>{"".join(cells)}</tr>'


def td(text: str, kind: str = "", detail: str = "") -> str:
    """A cell; the texts are escaped."""
    small = f"<small>{escape(detail)}</small>" if detail else ""
    return f"<td{_kind(kind)}>{escape(text)}{small}</td>"


def reason(text: str) -> str:
    """Why something is missing, escaped; options of the command line stay in one piece."""
    return re.sub(r"(?<!\S)(--[a-z-]+)", r'<span class="option">\1</span>', escape(text))


def card(title: str, inside: str, *notes: str) -> str:
    """A figure with a title above and lines of notes below, all escaped."""
    below = f"<figcaption>{'<br>'.join(map(escape, notes))}</figcaption>" if notes else ""
    return f'<figure class="card"><h3>{escape(title)}</h3>{inside}{below}</figure>'


def _kind(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
