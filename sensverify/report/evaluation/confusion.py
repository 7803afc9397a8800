"""Confusion matrices: labels against predictions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from sensverify.classification.predictions import Classified
from sensverify.evaluation.lines import hardest_attack
from sensverify.evaluation.results import Evaluation, ModelEvaluation
from sensverify.evaluation.scores import Summary
from sensverify.report import document as doc
from sensverify.report.evaluation.common import CASE, cases, class_names, model_data
from sensverify.report.formatting import clipped, percent, radius_text
from sensverify.report.theme import step

MATRIX = 20
"""Classes up to which all cells are shown; of more, the most frequent confusions."""

LISTED = 10
"""Confusions that are listed for more classes."""

_LEAST = 0.1
"""Share with the strongest colour where no confusion is more frequent."""


def confusion_section(evaluation: Evaluation, summaries: Sequence[Summary]) -> doc.Section:
    """Matrices of clean samples and of the hardest attack, for every network."""
    rows = partial(_rows, class_names(evaluation))
    return doc.Section(
        "confusions",
        "Confusions",
        tuple(_blocks(evaluation)),
        data=(
            model_data("confusion", (*CASE, "label", "prediction", "samples"), evaluation, rows),
        ),
    )


def _rows(classes: Sequence[str], model: ModelEvaluation) -> Iterator[Sequence[doc.Value]]:
    """Cells by case, without those that hold no sample."""
    for kind, name, at, found in cases(model):
        for label, row in zip(classes, found.confusion, strict=True):
            for prediction, count in zip(classes, row, strict=True):
                if count:
                    yield (kind, name, at, label, prediction, count)


def _blocks(evaluation: Evaluation) -> Iterator[doc.Block]:
    classes = class_names(evaluation)
    few = len(classes) <= MATRIX
    reading = (
        "Labels down, predictions across. On the diagonal is the share of a label's samples that "
        "is right (%), beside it how many are taken for another. The stronger the colour, the "
        "larger the share of that label, on one scale for a network."
        if few
        else f"The {LISTED} most frequent confusions of {len(classes)} classes; the "
        "table beside this heading has all of them."
    )
    yield doc.Text(reading, "note", on=doc.PAGE)
    for model in evaluation.models:
        name = f"{model.model.name}: " if len(evaluation.models) > 1 else ""
        shown = list(_shown(evaluation, model))
        pairs = [_confused(found) for _, found in shown]
        most = max([_LEAST, *(share for each in pairs for *_, share in each)])
        groups = []
        for (title, found), confused in zip(shown, pairs, strict=True):
            table = _matrix(found, classes, most) if few else _list(confused, classes)
            groups.append(doc.Group([doc.Text(name + title, "heading"), table], "part"))
        yield doc.Group(groups, "pair" if len(classes) <= 12 or not few else "stack", on=doc.PAGE)


def _shown(evaluation: Evaluation, model: ModelEvaluation) -> Iterator[tuple[str, Classified]]:
    yield "clean", model.clean[0].classified
    attack = hardest_attack(evaluation, model)
    if attack is not None and attack.radius is not None:
        title = f"{clipped(attack.attack, 32)}, radius {radius_text(attack.radius)}"
        yield title, attack.classified


def _confused(found: Classified) -> list[tuple[int, int, int, float]]:
    """Samples, label, prediction and share of the label's samples, the most samples first."""
    pairs = [
        (count, label, prediction, count / sum(line))
        for label, line in enumerate(found.confusion)
        for prediction, count in enumerate(line)
        if label != prediction and count
    ]
    return sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2]))


def _matrix(found: Classified, classes: Sequence[str], most: float) -> doc.Table:
    upright = " upright" if max(map(len, classes)) > 3 else ""
    columns = [doc.Column("", "corner"), *(doc.Column(clipped(n, 14), hint=n) for n in classes)]
    rows = []
    for label, line in enumerate(found.confusion):
        total = sum(line)
        cells = [
            doc.Cell(f"{100 * count / total:.0f}" if total else "", "own")
            if label == prediction
            else doc.Cell(f"{count}", step(1 - count / total / most))
            if count
            else doc.Cell()
            for prediction, count in enumerate(line)
        ]
        rows.append(doc.Row(clipped(classes[label], 14), cells))
    return doc.Table(columns, rows, f"confusion{upright}")


def _list(confused: Sequence[tuple[int, int, int, float]], classes: Sequence[str]) -> doc.Block:
    if not confused:
        return doc.Text("None: every sample is right.", "note")
    columns = doc.columns("label", "taken for", "samples", "of the label")
    rows = [
        doc.row(
            classes[label],
            classes[said],
            doc.Cell(f"{count:,}", value=count),
            doc.Cell(percent(share), value=share),
        )
        for count, label, said, share in confused[:LISTED]
    ]
    return doc.Table(columns, rows, "plain", sortable=True)
