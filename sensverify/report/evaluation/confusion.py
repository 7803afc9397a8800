"""Which labels are taken for which others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from sensverify.classification.predictions import Classified
from sensverify.evaluation.results import Evaluation, ModelEvaluation
from sensverify.report.evaluation.heat import step
from sensverify.report.evaluation.lines import hardest_attack
from sensverify.report.evaluation.parts import Downloads, heading, row, table, td, th
from sensverify.report.evaluation.words import clipped, percent, radius_text

MATRIX = 20
"""Classes up to which all cells are shown; of more, the most frequent confusions."""

LISTED = 10
"""Confusions that are listed for more classes."""

_LEAST = 0.1
"""Share with the strongest colour where no confusion is more frequent."""


def confusion_section(evaluation: Evaluation, offered: Downloads) -> str:
    """Heading and matrices of clean samples and of the hardest attack, for every network."""
    few = len(evaluation.classes) <= MATRIX
    reading = (
        "Labels down, predictions across. On the diagonal is the share of a label's samples that "
        "is right (%), beside it how many are taken for another. The stronger the colour, the "
        "larger the share of that label, on one scale for a network."
        if few
        else f"The {LISTED} most frequent confusions of {len(evaluation.classes)} classes; the "
        "table beside this heading has all of them."
    )
    parts = [
        heading("Confusions", "confusions", offered, "confusion"),
        f'<p class="note">{reading}</p>',
    ]
    for model in evaluation.models:
        name = f"{model.model.name}: " if len(evaluation.models) > 1 else ""
        cases = list(_cases(evaluation, model))
        most = max(_LEAST, *(_largest(found) for _, found in cases))
        shown = []
        for title, found in cases:
            inside = (
                _matrix(found, evaluation.classes, most)
                if few
                else _list(found, evaluation.classes)
            )
            shown.append(f"<div><h3>{escape(name + title)}</h3>{inside}</div>")
        kind = "pair" if len(evaluation.classes) <= 12 or not few else "stack"
        parts.append(f'<div class="{kind}">{"".join(shown)}</div>')
    return "".join(parts)


def _cases(evaluation: Evaluation, model: ModelEvaluation) -> Iterator[tuple[str, Classified]]:
    yield "clean", model.clean[0].classified
    attack = hardest_attack(evaluation, model)
    if attack is not None and attack.radius is not None:
        name = clipped(attack.attack, 32)
        yield f"{name}, radius {radius_text(attack.radius)}", attack.classified


def _largest(found: Classified) -> float:
    """The largest share of a label's samples that are taken for one other class."""
    return max(
        (
            count / sum(line)
            for label, line in enumerate(found.confusion)
            for prediction, count in enumerate(line)
            if label != prediction and count
        ),
        default=0.0,
    )


def _matrix(found: Classified, classes: Sequence[str], most: float) -> str:
    long = max(map(len, classes)) > 3
    head = [th("", "corner")]
    for name in classes:
        word = escape(clipped(name, 14))
        inside = f"<span>{word}</span>" if long else word
        head.append(f'<th scope="col" title="{escape(name)}">{inside}</th>')
    rows = []
    for label, line in enumerate(found.confusion):
        total = sum(line)
        cells = []
        for prediction, count in enumerate(line):
            if label == prediction:
                share = percent(count / total, 0) if total else ""
                cells.append(td(share.rstrip("\N{NO-BREAK SPACE}%"), "own"))
            elif count:
                cells.append(td(f"{count}", step(1 - count / total / most)))
            else:
                cells.append("<td></td>")
        rows.append(row(clipped(classes[label], 14), cells))
    return table(head, rows, f"confusion{' upright' if long else ''}")


def _list(found: Classified, classes: Sequence[str]) -> str:
    pairs = [
        (count, label, prediction, sum(line))
        for label, line in enumerate(found.confusion)
        for prediction, count in enumerate(line)
        if label != prediction and count
    ]
    pairs.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
    if not pairs:
        return '<p class="note">None: every sample is right.</p>'
    head = [th("label"), th("taken for"), th("samples"), th("of the label")]
    rows = [
        row(classes[label], [td(classes[said]), td(f"{count:,}"), td(percent(count / total))])
        for count, label, said, total in pairs[:LISTED]
    ]
    return table(head, rows, "plain")
