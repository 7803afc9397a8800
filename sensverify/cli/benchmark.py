"""``sensverify benchmark``: a folder of properties in the form of VNN-COMP."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sensverify.cli.options import (
    PATH,
    force_option,
    json_option,
    method_options,
    quiet_option,
    report_option,
    runtime_option,
    shard_option,
)
from sensverify.cli.printing import show
from sensverify.cli.progress import showing_run, watching
from sensverify.cli.targets import Targets
from sensverify.cli.workers import check_shard, read_workers, workers_option

if TYPE_CHECKING:
    from sensverify.runs.progress import Progress


@click.command("benchmark")
@click.argument("folder", type=PATH)
@click.option(
    "--out",
    type=PATH,
    required=True,
    metavar="RESULTS.csv",
    help="Where the results go, one line each, as they come. Instances that the file has already "
    "are not run again.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Processes at a time; they share the cores. Default: one for each core; with --workers as "
    "many as fit.",
)
@workers_option("An instance each, which reads its files in a folder that all nodes see.")
@shard_option(
    "RESULTS.csv.shards", "The same command without --shard, and with --no-run, reports all."
)
@click.option(
    "--timeout",
    type=float,
    metavar="SECONDS",
    help="Most time for an instance, where its own limit is longer.",
)
@method_options("What answers: branch-and-bound (default), milp or marabou.")
@click.option(
    "--filter",
    "only",
    default="",
    metavar="TEXT",
    help="Only instances whose model or property has TEXT in its name.",
)
@click.option(
    "--fail-on",
    type=click.Choice(["sat", "timeout", "unknown", "error"]),
    multiple=True,
    help="Exit with status 1 if an instance ended so; a yes or no after the time limit counts as "
    "timeout, too. With status 3 if one has no result, or ended with an error that is not named. "
    "May be repeated.",
)
@click.option(
    "--compare",
    type=PATH,
    multiple=True,
    metavar="OTHER.csv",
    help="Results of another run over FOLDER, by another method say, beside which the report "
    "shows these. May be repeated.",
)
@click.option(
    "--run/--no-run",
    "runs",
    default=True,
    help="Without: run nothing, and report what RESULTS.csv holds by now, also while another "
    "process writes it. Default: run.",
)
@json_option("all instances with their results")
@report_option("Write one page with the times, and a table of all instances.")
@force_option("Overwrite the files of --json and --report; never RESULTS.csv.")
@runtime_option()
@quiet_option()
def benchmark(
    folder: Path,
    settings: tuple[tuple[str, str], ...],
    runs: bool,
    json_target: Path | None,
    report_target: Path | None,
    force: bool,
    workers: str | None,
    **options: Any,
) -> int:
    """Answer the properties that FOLDER/instances.csv lists, and compare with verdicts.csv.

    Every line of instances.csv names a model, a property and a time limit in seconds. Instances
    run in processes of their own: one that dies, hangs or needs too much memory is recorded, and
    the others go on. Ctrl-C stops at once, and what is done by then is reported; the same command
    goes on where it stopped. Where there are shards, what they have done counts; what none of them
    has done yet is said, and the exit status of the whole is then 3. Lines of verdicts.csv on which
    tools contradict each other are not compared with. The exit status is 1 if a verdict contradicts
    another line of it or a file of --compare, or is one that --fail-on names.

    \b
    Examples:
      sensverify benchmark acasxu --out acasxu.csv --report acasxu.html
      sensverify benchmark acasxu --out quick.csv --timeout 10 --filter prop_3
      sensverify benchmark safety --out safety.csv --fail-on sat --fail-on timeout
      sensverify benchmark acasxu --out acasxu.csv --shard 2/8
      sensverify benchmark acasxu --out acasxu.csv --no-run --fail-on sat
      sensverify benchmark acasxu --out milp.csv --method milp --compare acasxu.csv \\
          --report both.html
    """
    from sensverify.report.benchmark.document import benchmark_document
    from sensverify.report.benchmark.json import benchmark_to_json
    from sensverify.report.html import document_to_html
    from sensverify.verification.benchmark_run import (
        BenchmarkRequest,
        read_benchmark,
        run_benchmark,
    )

    given = {key: value for key, value in options.items() if value is not None}
    request = BenchmarkRequest(folder=folder, settings=dict(settings), **given)
    check_shard(request.shard, json=json_target, report=report_target, no_run=not runs or None)
    targets = Targets(json=json_target, report=report_target, force=force)
    targets.check(request.inputs)
    cluster = read_workers(workers, shard=request.shard, jobs=request.jobs, patience=0.0)
    if runs:
        with showing_run("instances", _verdict) as (_, progress, _), watching() as watch:
            report = run_benchmark(request, progress=progress, watch=watch, workers=cluster)
    else:
        report = read_benchmark(request)
    if request.shard is not None and not report.instances:
        click.echo(f"shard {request.shard}: no instance is left for it")
        return report.exit_status
    document = benchmark_document(report)
    targets.write(json=lambda: benchmark_to_json(report), report=lambda: document_to_html(document))
    show(document, aside=targets.to_stdout)
    for line in report.left:
        click.echo(line, err=True)
    return report.exit_status


def _verdict(now: Progress) -> str:
    """The verdict on the instance that has just ended, for the side of a bar."""
    return "" if now.row is None else f"{now.row.verdict}  {now.row.instance.vnnlib}"
