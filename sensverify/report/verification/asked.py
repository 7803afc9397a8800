"""Questions about classes and outputs beside the usual: in words, and by class in a table."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sensverify.core.brief import count_of
from sensverify.report import document as doc
from sensverify.report.formatting import DASH, at_most
from sensverify.report.verification.facts import whole_inputs
from sensverify.verification.results import VerifyReport
from sensverify.verification.thresholds import deviations


def meanings(report: VerifyReport) -> dict[str, str]:
    """Meanings of certified, undecided and changes in this report, with ``{judged}`` left open."""
    asked = report.asked
    place, lost = "stays the largest output", "where another output is larger"
    if "top_k" in asked:
        place = f"stays among the {asked['top_k']} largest outputs"
        lost = f"where {asked['top_k']} or more other outputs are larger"
    elif "targets" in asked or "costs" in asked:
        place = "is not taken for a class that it may not be taken for"
        lost = "where such a class has the largest output"
    whole = whole_inputs(report.perturbation)
    return {
        "certified": f"the {{judged}} provably {place} on the whole {whole}",
        "undecided": "neither proven nor refuted",
        "changes": f"an input in the {whole.removeprefix('input ')} is known {lost}",
    }


def notes(report: VerifyReport) -> Iterator[tuple[str, str]]:
    """Facts about what was asked, for both media."""
    asked = report.asked
    if "threshold" in asked:
        what, distance = "an output", "the distance from it"
        if report.model.head is not None:
            what, distance = "a probability", "the distance of its logit from that"
        yield (
            "threshold",
            f"class 1 is {what} above {asked['threshold']:g}; the two outputs here are minus and "
            f"plus half of {distance}",
        )
    if "top_k" in asked:
        yield "asked", f"whether labels stay among the {asked['top_k']} largest outputs"
    for name, words in (("targets", "pairs"), ("costs", "costs in")):
        if name in asked:
            yield "asked", f"which classes are taken for which others: {words} {asked[name]}"
    if "decide" in asked:
        searched = [each for each in report.samples if each.explored is not None]
        left = sum(each.kept is None for each in searched)
        line = f"{count_of(len(searched), 'label')} by {asked['decide']}"
        if left:
            line += f", of which {left:,} stay open"
        yield "searched", line if searched else "no label: bounds and gradients decided them all"
    if report.max_deviation is not None:
        head = report.model.head
        most = np.max([deviations(sample, head) for sample in report.samples], axis=0)
        shown = ", ".join(map(at_most, most[:10])) + (", …" if len(most) > 10 else "")
        each = " by output" if len(most) > 1 else ""
        yield "deviation", f"at most {shown}{each} from the output at the sample"


def class_table(report: VerifyReport) -> doc.Table:
    """Every class with its samples, their answers, and how many are predicted right."""
    heads = ("class", "samples", "certified", "changes", "undecided", "certified share", "accuracy")
    first, *others = heads
    rows = []
    for each in report.classes:
        counts = (each.samples, each.certified, each.changes, each.undecided)
        shares = (
            doc.Cell(DASH if share is None else f"{100 * share:.1f} %", value=share)
            for share in (each.certified_fraction, each.accuracy)
        )
        name = each.name if each.name == str(each.number) else f"{each.number} {each.name}"
        cells = [doc.Cell(f"{count:,}", value=count) for count in counts]
        rows.append(doc.row(name, *cells, *shares))
    columns = doc.columns(doc.Column(first, align="left"), *others)
    return doc.Table(columns, rows, sortable=True, search="classes")
