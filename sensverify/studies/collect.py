"""From a study's folder to its report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sensverify.report.study.contents import StudyReport, StudyTable
from sensverify.runs.files import writing
from sensverify.runs.outputs import write_files
from sensverify.runs.progress import duration
from sensverify.runs.shards import left_text
from sensverify.studies.analyses import Findings, analysed
from sensverify.studies.courses import read_history
from sensverify.studies.entries import FAILED, Entry, in_order, read_entries
from sensverify.studies.folder import begun_shards, load_study, run_folder
from sensverify.studies.scored import check_analyses, check_papers, scored_sections
from sensverify.studies.study import PARTS, Study, StudyRun
from sensverify.studies.tables import COLUMNS, study_table


def collect(
    folder: Path, *, analyses: Sequence[str] = (), papers: Sequence[str] = ()
) -> StudyReport:
    """Everything a study has by now, in the form that reports are made of.

    Parameters
    ----------
    folder : Path
        Of the study, whether it has ended or not.
    analyses : sequence of str
        Further analyses of its scores, beside those that it asks for itself.
    papers : sequence of str
        Further printed tables below these.

    Raises
    ------
    InputError
        The folder holds no study, or a damaged one; or there is no such analysis.
    """
    from sensverify.measures.metrics import METRICS

    study, machines = load_study(folder)
    asked = list(dict.fromkeys((*study.analyses, *analyses)))
    check_analyses(asked, "analyses of the report")
    printed = list(dict.fromkeys((*study.papers, *papers)))
    check_papers(printed, asked, "printed tables of the report")
    entries = in_order(study, read_entries(folder))
    missing = left_text(
        [each.key for each in study.by_run],
        [entry.key for entry in entries],
        begun_shards(folder),
        "trainings",
    )
    report = StudyReport(
        title=study.title,
        note=study.note,
        question=_question(study),
        tables=study_tables(study, entries),
        courses=(),
        trails=(),
        losses={each.name: _loss(each, study, entries) for each in study.runs},
        warnings=(*_warnings(entries), *missing),
        record=_record(study, entries, machines),
        meanings={name: METRICS[name] for name in COLUMNS},
        complete=not missing,
    )
    histories = [read_history(run_folder(folder, each), each) for each in study.trainings]
    report = analysed(report, Findings(study, folder, entries, histories))
    return replace(report, sections=(*report.sections, *scored_sections(folder, asked, printed)))


def study_tables(study: Study, entries: Sequence[Entry]) -> tuple[StudyTable, ...]:
    """The tables on the test and on the training samples."""
    return tuple(study_table(study, entries, part) for part in PARTS)


def write_report(
    folder: Path, *, analyses: Sequence[str] = (), papers: Sequence[str] = ()
) -> tuple[StudyReport, list[Path]]:
    """Write tables, figures and one page into the folder's ``report``.

    What an earlier call wrote there is replaced: it is made from the results alone.

    Parameters
    ----------
    folder : Path
    analyses, papers : sequence of str
        As of `collect`.

    Returns
    -------
    (StudyReport, list of Path)

    Raises
    ------
    InputError
        The folder holds no study, or its report cannot be written.
    BackendMissing
        matplotlib is not installed.
    """
    from sensverify.report.html import document_to_html
    from sensverify.report.study.document import page_table, study_document
    from sensverify.report.study.figures import figure_files
    from sensverify.report.study.values import table_data
    from sensverify.report.tabular import data_csv, table_markdown

    report = collect(folder, analyses=analyses, papers=papers)
    target = folder / "report"
    contents: dict[Path, str | bytes] = {}
    for table in report.tables:
        contents[target / f"table_{table.part}.csv"] = data_csv(table_data(table), end="\n")
        contents[target / f"table_{table.part}.md"] = table_markdown(page_table(table))
    for name, content in figure_files(report).items():
        contents[target / name] = content
    for data in (data for section in report.sections for data in section.data):
        contents[target / f"{data.name}.csv"] = data_csv(data, end="\n")
    contents[target / "report.html"] = document_to_html(study_document(report))
    with writing(target):
        target.mkdir(exist_ok=True)
    write_files(contents, force=True)
    return report, list(contents)


def _question(study: Study) -> str:
    settings = study.runs[0].settings
    moved = ""
    if settings.sigma is not None:
        moved = f"; inputs perturbed by up to {settings.sigma:g} of each feature's range"
    elif settings.radius is not None:
        moved = f"; inputs perturbed by up to {settings.radius:g}"
    if moved and settings.clip is not None:
        moved += f", kept in [{settings.clip[0]:g}, {settings.clip[1]:g}]"
    runs, seeds = len(study.runs), len(study.seeds)
    equal = "the same initial weights and mini-batches for every loss"
    one, several = "loss", "losses"
    if len({each.loss for each in study.runs}) < runs or any(each.place for each in study.runs):
        equal, one, several = "the same seeds for every run", "run", "runs"
    return (
        f"{runs} {one if runs == 1 else several} on {', '.join(study.all_data)} with "
        f"{', '.join(study.all_models)}, {seeds} {'seed' if seeds == 1 else 'seeds'}: "
        f"{equal}{moved}."
    )


def _loss(run: StudyRun, study: Study, entries: Sequence[Entry]) -> dict[str, str]:
    if twin := study.twins.get(run.name):
        return {"terms": run.terms, "trained": f"once, as {twin}"}
    mine = [entry for entry in entries if entry.run == run.name and entry.status != FAILED]
    seconds = sum(entry.seconds for entry in mine)
    epochs = sum(entry.epochs for entry in mine)
    values = {"terms": run.terms}
    if run.own or run.place:
        values["own settings"] = _pairs({**run.place, **run.own})
    if epochs:
        values["time"] = (
            f"{duration(seconds / epochs)} an epoch, {duration(seconds / len(mine))} a training"
        )
        if evaluating := sum(entry.evaluation_seconds for entry in mine):
            values["time"] += f", {duration(evaluating / len(mine))} an evaluation"
    peaks = [entry.peak_memory for entry in mine if entry.peak_memory]
    if peaks:
        values["peak memory"] = f"{max(peaks) / 2**30:.2f} GiB"
    return values


def _warnings(entries: Sequence[Entry]) -> list[str]:
    failed = [
        f"{entry.run}, seed {entry.seed}, failed: {entry.reason}"
        for entry in entries
        if entry.status == FAILED
    ]
    return failed + [
        f"{entry.run}, seed {entry.seed}: {entry.missed}" for entry in entries if entry.missed
    ]


def _record(
    study: Study, entries: Sequence[Entry], machines: Sequence[Mapping[str, Any]]
) -> dict[str, str]:
    first = study.runs[0].settings
    common = {
        key: value
        for key, value in first.as_dict().items()
        if key != "seed" and all(getattr(e.settings, key) == value for e in study.runs)
    }
    record = {
        "Data and model": ", ".join((*study.all_data, *study.all_models)),
        "Variant": study.variant or "the full setting",
        "Seeds": ", ".join(map(str, study.seeds)),
        "Settings": _pairs({key: value for key, value in common.items() if value is not None}),
        "Machine": _each_once(map(_machine, machines)),
        "Time": _time(study, entries),
    }
    record["Versions"] = _each_once(
        ", ".join(f"{name} {version}" for name, version in facts.get("versions", {}).items())
        for facts in machines
    )
    return record


def _time(study: Study, entries: Sequence[Entry]) -> str:
    seconds = duration(sum(entry.all_seconds for entry in entries))
    also = " with their evaluations" if study.evaluate else ""
    return f"{seconds} for {len(entries)} trainings{also}"


def _each_once(texts: Iterable[str]) -> str:
    """Of a study that went on elsewhere, the first and what came later."""
    return "; later ".join(dict.fromkeys(texts))


def _machine(facts: Mapping[str, Any]) -> str:
    parts = [str(facts.get("processor", "unknown"))]
    if facts.get("cores"):
        parts.append(f"{facts['cores']} {'core' if facts['cores'] == 1 else 'cores'}")
    if facts.get("memory"):
        parts.append(f"{facts['memory'] / 2**30:.0f} GiB")
    if facts.get("accelerator"):
        parts.append(str(facts["accelerator"]))
    return ", ".join([*parts, str(facts.get("system", ""))])


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{key} {list(value) if isinstance(value, tuple) else value}"
        for key, value in values.items()
    )
