"""Analyses of a study: what its report draws of the trainings, by name."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sensverify.errors import BadSetting, SensverifyError
from sensverify.registry.catalog import Catalog
from sensverify.report.document import Section
from sensverify.report.study.contents import StudyReport
from sensverify.studies.courses import History, course, trail
from sensverify.studies.entries import Entry
from sensverify.studies.folder import run_folder
from sensverify.studies.study import PARTS, Study, StudyRun, Training
from sensverify.studies.tables import COLUMNS
from sensverify.training.directory.run_directory import CONFIG
from sensverify.training.losses.recipes import resolve_loss


@dataclass(frozen=True)
class Findings:
    """Everything that a study has found by now.

    Parameters
    ----------
    study : Study
    folder : Path
    entries : sequence of Entry
        Its journal: the final metrics of every training.
    histories : sequence of History
        The metrics after every epoch of every training.
    """

    study: Study
    folder: Path
    entries: Sequence[Entry]
    histories: Sequence[History]


Analysis = Callable[..., StudyReport | Section]


def draw_course(report: StudyReport, findings: Findings) -> StudyReport:
    """Every metric over the epochs, a line a loss."""
    marks = {each.name: _marks(each) for each in findings.study.runs}
    every = (
        course(findings.histories, metric, part, marks=marks)
        for part in (*PARTS, "held-out")
        for metric in COLUMNS
    )
    return replace(report, courses=tuple(each for each in every if each.lines))


def draw_seeds(report: StudyReport, findings: Findings) -> StudyReport:
    """The sensitivity over the epochs, a line a training."""
    return replace(_with_trails(report, findings), draws_seeds=True)


def draw_energy(report: StudyReport, findings: Findings) -> StudyReport:
    """The sensitivity against the training loss, a line a training."""
    return replace(_with_trails(report, findings), draws_energy=True)


ANALYSES: Catalog[Analysis] = Catalog(
    "analysis",
    {"course": draw_course, "seeds": draw_seeds, "energy": draw_energy},
    group="sensverify.analyses",
    arguments=2,
)
"""Analyses by name: functions of the report so far and of `Findings`.

They give the report with what they add to it, or a `Section` of their own.
"""


def analysed(report: StudyReport, findings: Findings) -> StudyReport:
    """The report with the analyses that the study asks for.

    Raises
    ------
    UnknownName, BadSetting, BackendFailure
        An analysis is not there any more, or gives something else.
    """
    for call in findings.study.figures:
        found = ANALYSES.make(call, report, findings)
        if isinstance(found, Section):
            report = replace(report, sections=(*report.sections, found))
        elif isinstance(found, StudyReport):
            report = found
        else:
            raise BadSetting(
                f"the analysis '{call}' gives {found!r}", "return a `Section` or a `StudyReport`"
            )
    return report


def _with_trails(report: StudyReport, findings: Findings) -> StudyReport:
    if report.trails:
        return report
    found = []
    for history in findings.histories:
        training = history.training
        counts = sample_counts(run_folder(findings.folder, training), training)
        way = trail(history, counts) if counts else None
        if way is not None:
            found.append(way)
    return replace(report, trails=tuple(found))


def _marks(run: StudyRun) -> tuple[float, ...]:
    try:
        stages = resolve_loss(run.loss).stages
    except SensverifyError:
        # The recipe is not there any more; what it was is in the record.
        return ()
    return tuple(stage.start * run.settings.epochs for stage in stages[1:])


def sample_counts(directory: Path, training: Training) -> dict[str, int]:
    """The number of samples of the metrics after every epoch, by ``test`` and ``train``.

    Nothing where the run directory does not say how many there are.
    """
    try:
        data = json.loads((directory / CONFIG).read_text(encoding="utf-8"))["data"]
        there = {part: int(data[f"{part}_samples"]) for part in PARTS}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {part: min(count, training.settings.metric_samples) for part, count in there.items()}
