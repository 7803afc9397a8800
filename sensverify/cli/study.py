"""``sensverify study``: train several losses on equal terms, and compare them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sensverify.cli.analysing import analyse_files, analysis_outputs
from sensverify.cli.nas import nas
from sensverify.cli.options import PATH, STOPPED, quiet_option
from sensverify.cli.printing import show
from sensverify.cli.study_running import train_study, training_options
from sensverify.cli.targets import Targets
from sensverify.cli.types import setting


@click.group("study")
def study() -> None:
    """Train several losses with several seeds on the same mini-batches, and compare them; or
    analyse scores of networks under attacks and corruptions, whoever measured them.

    \b
    Examples:
      sensverify study plan table1.toml --variant reduced
      sensverify study run table1.toml --out table1 --variant reduced
      sensverify study run table1.toml --out table1 --variant reduced --resume
      sensverify study report table1
      sensverify study analyse scores.csv --kind transfer
    """


@study.command("run", short_help="Train everything that a study's file describes.")
@click.argument("file", type=PATH)
@click.option(
    "--out",
    type=PATH,
    required=True,
    metavar="DIR",
    help="Folder of the study: the configuration, a journal, and one run directory a training.",
)
@training_options
def run(file: Path, out: Path, variant: str | None, **options: Any) -> int:
    """Train everything that FILE, a .toml file, describes, and print the final metrics.

    Ctrl-C stops after a checkpoint, with exit status 3; --resume goes on from there. A training
    that goes wrong (NaN, collapse) is a result: it is reported, the others go on, and the exit
    status is 0 all the same.

    \b
    Examples:
      sensverify study run table1.toml --out table1 --jobs 2 --resume
      sensverify study run table1.toml --out table1 --shard 2/8 --resume
      sensverify study run table1.toml --out table1 --workers ray:10.0.0.1:6379 --resume
    """
    from sensverify.report.study.document import study_document
    from sensverify.studies.collect import collect
    from sensverify.studies.files import read_study

    asked = read_study(file, variant=variant)
    return train_study(
        asked,
        out,
        lambda: show(study_document(collect(out), figures=False)),
        f"tables, figures and a page: sensverify study report '{out}'",
        **options,
    )


@study.command("plan", short_help="Count what a study's file asks for; nothing is trained.")
@click.argument("file", type=PATH)
@click.option("--variant", metavar="NAME", help="A variant of the file, such as 'reduced'.")
@quiet_option()
def plan(file: Path, variant: str | None) -> int:
    """Print the trainings that FILE, a .toml file, asks for, and how many evaluations follow.

    FILE is checked as by 'run'; the data are not looked at.
    """
    from sensverify.report.study.plan import plan_document
    from sensverify.studies.files import read_study
    from sensverify.studies.plan import plan_study

    asked = read_study(file, variant=variant)
    found = plan_study(asked)
    show(plan_document(asked.title, found.lines(), list(found.described.items())))
    return 0


@study.command("report")
@click.argument("folder", metavar="DIR", type=PATH)
@click.option(
    "--kind",
    "kinds",
    metavar="NAME",
    multiple=True,
    help="A section more, as of 'study analyse --kind', on the scores of the study itself. May be "
    "repeated.",
)
@click.option(
    "--paper",
    "papers",
    metavar="NAME",
    multiple=True,
    help="A table that a paper prints, below the analysis that has such numbers, as of 'study "
    "analyse --paper'. May be repeated.",
)
@quiet_option()
def report(folder: Path, kinds: tuple[str, ...], papers: tuple[str, ...]) -> int:
    """Write tables, figures and one page of DIR's study into DIR/report.

    What its shards have done is put together. A study that has not ended yet is reported as far as
    it is, with the trainings that are missing and exit status 3. An earlier report is replaced. The
    analyses that the file of the study names in [report], and those of --kind, are sections; one
    that the study has no answer to says why.
    """
    from sensverify.report.study.document import study_document
    from sensverify.studies.collect import write_report

    found, paths = write_report(folder, analyses=kinds, papers=papers)
    show(study_document(found, figures=False))
    click.echo()
    for path in paths:
        click.echo(path)
    if found.complete:
        return 0
    click.echo("the study is not complete; 'study run' with --resume goes on", err=True)
    return STOPPED


@study.command("analyse", short_help="Analyse scores of networks under shifts, from any files.")
@click.argument("files", metavar="FILES...", nargs=-1, required=True, type=PATH)
@click.option(
    "--kind",
    required=True,
    metavar="NAME",
    help="One of the kinds below; settings may follow in parentheses.",
)
@click.option(
    "--setting",
    "settings",
    type=setting,
    metavar="KEY=VALUE",
    multiple=True,
    help="A setting of the analysis: over=groups. May be repeated.",
)
@click.option(
    "--paper",
    "paper",
    metavar="NAME",
    multiple=True,
    help="A table that a paper prints, such as 'laugros-table3.2' of a transfer: its numbers stand "
    "below ours where rows and columns have the same names. May be repeated.",
)
@analysis_outputs
def analyse(
    files: tuple[Path, ...],
    kind: str,
    settings: tuple[tuple[str, str], ...],
    paper: tuple[str, ...],
    json_target: Path | None,
    report_target: Path | None,
    csv_folder: Path | None,
    force: bool,
) -> int:
    """Analyse the table of networks and shifts that FILES hold together.

    FILES are results of 'evaluate' as JSON, folders of its --out, folders of studies, CSV files
    with the columns network, shift, severity, right and total (or network, measure and value), and
    files such as fgsm@Linf_accuracy.json of the robustness data set of NAS-Bench-201. Rows are
    joined by the digests of networks and samples.

    \b
    Kinds:
      correlate             Kendall's tau-b of measures and accuracies, with intervals
      transfer              what networks gain under shifts they were not trained with
      overlap               overlapping scores of the shifts that networks are named for
      balance               mean overlap of the members of a benchmark
      coverage              shifts that a benchmark says nothing about
      categories            shifts that overlap with the same others
      agreement             whether categories hold for the networks of the table
      prediction            robustness to some shifts from that to others
      effective-robustness  accuracy beyond the line of chosen baselines
      benchmarks            what benchmarks drawn by category tell of other shifts
      selection             the shifts of each category that overlap least
      scatter               two columns as points, by groups of networks
      explain               regressions on measures, and what each of them adds
      nas-search, nas-top   see 'sensverify study nas --help'

    \b
    Examples:
      sensverify study analyse first.json second.json --kind correlate
      sensverify study analyse scores.csv measures.csv --kind 'correlate(over=groups)'
      sensverify study analyse scores.csv --kind transfer --setting standard=base
      sensverify study analyse scores.csv --kind 'coverage(benchmark=(fog, blur))'
    """
    from sensverify.registry.calls import parse_call
    from sensverify.scores.catalog import ANALYSES
    from sensverify.scores.papers import find_papers

    targets = Targets(json=json_target, report=report_target, force=force)
    targets.check(files)
    call = ANALYSES.read(parse_call(kind), dict(settings))
    papers = find_papers(paper, [call.name])
    return analyse_files(files, call, targets, csv_folder, papers=papers)


study.add_command(nas)
