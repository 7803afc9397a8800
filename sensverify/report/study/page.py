"""The report of a study as one self-contained page: no scripts, nothing loaded."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape

from sensverify.report.frame import framed_page, terms
from sensverify.report.study.contents import Row, StudyReport, StudyTable
from sensverify.report.study.tables import unit, value_parts

_PARTS = {"test": "test samples", "train": "training samples", "held-out": "held-out samples"}
_TRAILS = {
    "sensitivity_seeds": "Sensitivity in the course of the training, a line a training.",
    "sensitivity_energy": "Sensitivity against the energy (the training loss with its penalties), "
    "which falls from left to right; the dot is where a training ended.",
}

Pictures = Mapping[tuple[str, str], bytes]


def study_page(report: StudyReport, pictures: Pictures) -> str:
    """The report as one page.

    Parameters
    ----------
    report : StudyReport
    pictures : mapping from (part, metric) to bytes
        SVG, as ``panel_pictures`` makes it.

    Returns
    -------
    str
        HTML with the pictures inside. Every text from outside is escaped, and the page's own
        policy forbids scripts.
    """
    return framed_page(
        "study/page",
        title=report.title,
        styles=("study/page",),
        heading=escape(report.title),
        question=escape(report.question),
        note="".join(
            f"<p>{escape(part)}</p>" for part in report.note.split("\n\n") if part.strip()
        ),
        warnings=_warnings(report),
        tables="\n".join(_table(table) for table in report.tables if table.used_columns()),
        figures=_figures(report, pictures),
        losses=terms({f.name: "\n".join(_loss(f.values)) for f in report.losses}),
        meanings=terms(report.meanings),
        record=terms(report.record),
    )


def _warnings(report: StudyReport) -> str:
    if not report.warnings:
        return ""
    lines = "".join(f"<p>{escape(line)}</p>" for line in report.warnings)
    return f'<div class="verdict bad">{lines}</div>'


def _table(table: StudyTable) -> str:
    columns = table.used_columns()
    header = "".join(map(_header, columns))
    rows = list(table.rows)
    body = []
    for number, row in enumerate(rows):
        following = rows[number + 1] if number + 1 < len(rows) else None
        above = following is not None and bool(following.published)
        body.append(_row(table, row, columns, above=above))
    return (
        f"<h2>On {_PARTS[table.part]}</h2><p class='note'>{_reading(table)}</p>"
        f"<div class='scroll'><table class='results'><thead><tr><th>loss</th>{header}</tr></thead>"
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _header(column: str) -> str:
    # A long name may go on in the next line.
    name = escape(column).replace("_", "_<wbr>")
    return f"<th>{name}<small>{unit(column).strip(' ()')}</small></th>"


def _reading(table: StudyTable) -> str:
    seeds = max((row.seeds for row in table.rows), default=0)
    text = "The smallest number of every column is bold and green."
    if seeds > 1:
        text = (
            f"Mean ± standard deviation over {seeds} seeds; of SENSE the geometric mean and the "
            f"factor of one standard deviation. {text}"
        )
    if any(row.published for row in table.rows):
        text += " Published numbers are in italics below ours."
    return text


def _row(table: StudyTable, row: Row, columns: tuple[str, ...], *, above: bool) -> str:
    cells = []
    for column in columns:
        known = row.values.get(column)
        if row.published and known is None:
            cells.append("<td></td>")
            continue
        value, spread = value_parts(column, known)
        best = ' class="best"' if table.is_best(row, column) else ""
        small = f"<small>{escape(spread)}</small>" if spread else ""
        cells.append(f"<td><span{best}>{escape(value)}</span>{small}</td>")
    kind = "published" if row.published else "above" if above else ""
    name = escape(row.published or row.name)
    return f'<tr class="{kind}"><th scope="row">{name}</th>{"".join(cells)}</tr>'


def _figures(report: StudyReport, pictures: Pictures) -> str:
    parts = []
    for name, caption in _TRAILS.items():
        groups = [key[1] for key in pictures if key[0] == name]
        images = "".join(f"<figure>{_image(pictures[name, g], caption)}</figure>" for g in groups)
        if groups:
            parts.append(f'<p class="note">{caption}</p><div class="panels">{images}</div>')
    for part, words in _PARTS.items():
        courses = [course for course in report.courses if course.part == part]
        if not courses:
            continue
        panels = "".join(
            f"<figure>{_image(pictures[part, c.metric], f'{c.metric}, {words}')}</figure>"
            for c in courses
        )
        parts.append(f'<h3 class="part">On {words}</h3><div class="panels">{panels}</div>')
    if not parts:
        return ""
    bands = ""
    if any(course.seeds > 1 for course in report.courses):
        bands = (
            "<p class='note'>Lines are means over the seeds (of SENSE the geometric mean), bands "
            "reach from the smallest to the largest of them. A thin vertical line is where a loss "
            "changes its stage.</p>"
        )
    return f"<h2>In the course of the training</h2>{bands}{''.join(parts)}"


def _image(svg: bytes, words: str) -> str:
    # As a picture, not inline: the names inside one drawing do not meet those of another.
    data = base64.b64encode(svg).decode("ascii")
    return f'<img alt="{escape(words)}" src="data:image/svg+xml;base64,{data}">'


def _loss(values: Mapping[str, str]) -> list[str]:
    return [values["terms"], *(f"{k}: {v}" for k, v in values.items() if k != "terms")]
