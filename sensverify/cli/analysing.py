"""One analysis of a table of scores: computed, printed, and written where it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sensverify.cli.options import (
    PATH,
    Decorator,
    force_option,
    json_option,
    quiet_option,
    report_option,
)
from sensverify.cli.printing import show
from sensverify.cli.targets import Targets

if TYPE_CHECKING:
    from sensverify.registry.calls import Call
    from sensverify.scores.papers import Paper
    from sensverify.scores.table import Scores

_OUTPUTS: tuple[Decorator, ...] = (
    json_option("what was found, and of which table"),
    report_option("Write one self-contained page."),
    click.option(
        "--csv",
        "csv_folder",
        type=PATH,
        metavar="DIR",
        help="Write what was found as CSV files into DIR, and the table itself (scores.csv and "
        "measures.csv), which FILES may name again.",
    ),
    force_option("Overwrite the files of --json, --report and --csv; never FILES."),
    quiet_option(),
)


def analysis_outputs(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every analysis for what goes where."""
    for decorate in reversed(_OUTPUTS):
        command = decorate(command)
    return command


def analyse_files(
    files: Sequence[Path],
    call: Call,
    targets: Targets,
    csv_folder: Path | None,
    *,
    papers: Sequence[Paper] = (),
    read: Callable[[], Scores] | None = None,
    compute: Callable[[Scores], Any] | None = None,
) -> int:
    """Compute an analysis and show it; the exit status.

    Parameters
    ----------
    files : sequence of Path
        What is read, and never overwritten.
    call : Call
        The analysis, for the record.
    targets : Targets
        Checked by now.
    csv_folder : Path or None
    papers : sequence of Paper
        Printed tables to stand below it.
    read, compute : callable, optional
        Others than the table of the files, and than what the call makes of it.
    """
    from sensverify.report.html import document_to_html
    from sensverify.report.scores.common import FILES, HEADS
    from sensverify.report.scores.common import files as files_of
    from sensverify.report.scores.document import Analysed, analysis_document, table_data
    from sensverify.report.scores.json import analysis_to_json
    from sensverify.report.tabular import data_csv
    from sensverify.runs.outputs import check_folder, write_folder
    from sensverify.scores.catalog import analyse as answer
    from sensverify.scores.read import read_scores

    force = targets.force
    others = [*files, *(each for each in (targets.json, targets.report) if each is not None)]
    if csv_folder is not None:
        check_folder(csv_folder, FILES, others=others, force=force)
    scores = read_scores(files) if read is None else read()
    result = answer(call, scores) if compute is None else compute(scores)
    found = Analysed(scores=scores, call=call, result=result, papers=tuple(papers))
    document = analysis_document(found)
    if csv_folder is not None:
        tables = [each for each in (*found.section.data, *table_data(scores)) if each.rows]
        texts = {f"{each.name}.csv": data_csv(each) for each in tables}
        # Other packages' analyses have tables of their own, known only now.
        ours = files_of({**HEADS, **{each.name: each.columns for each in tables}})
        check_folder(csv_folder, ours, others=others, force=force)
        write_folder(csv_folder, texts, ours, force=force)
    targets.write(json=lambda: analysis_to_json(found), report=lambda: document_to_html(document))
    show(document, aside=targets.to_stdout)
    return 0
