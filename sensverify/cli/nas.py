"""``sensverify study nas``: the cells of NAS-Bench-201 listed, trained, searched and compared."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sensverify.cli.analysing import analyse_files, analysis_outputs
from sensverify.cli.options import PATH, quiet_option
from sensverify.cli.printing import printable, show
from sensverify.cli.progress import showing
from sensverify.cli.study_running import train_study, training_options
from sensverify.cli.targets import Targets

if TYPE_CHECKING:
    from sensverify.registry.calls import Call
    from sensverify.scores.table import Scores

_FILES = click.argument("files", metavar="[FILES...]", nargs=-1, type=PATH)
_SYNTHETIC = click.option(
    "--synthetic",
    type=click.IntRange(min=0),
    metavar="SEED",
    help="Take a made-up table of all cells, drawn with this seed, instead of FILES.",
)


@click.group("nas")
def nas() -> None:
    """List, train, search and compare the cells of NAS-Bench-201: 15,625 architectures, of which
    6,466 are different.

    FILES of 'search', 'correlate' and 'top' are those of 'sensverify study analyse': folders of
    'evaluate', CSV files, and the published robustness data set, in which networks are called
    nas201:INDEX.

    \b
    Examples:
      sensverify study nas enumerate --unique
      sensverify study nas evaluate cells.toml --out cells
      sensverify study nas search robustness/cifar10/*_accuracy.json --strategy bananas
      sensverify study nas search --synthetic 0 --runs 20
      sensverify study nas correlate cells
      sensverify study nas top cells --by attack --edges nor_conv_3x3=2
    """


@nas.command("enumerate", short_help="Print cells with their indices and strings, as CSV.")
@click.argument("cells", metavar="[CELLS...]", nargs=-1)
@click.option("--unique", is_flag=True, help="Of isomorphic cells only that of the lowest index.")
@quiet_option()
def enumerate_cells(cells: tuple[str, ...], unique: bool) -> int:
    """Print the index, the string and the representative of CELLS, or of all cells, as CSV.

    CELLS are indices or strings of the bench. The representative is the lowest index of the cells
    that are isomorphic, by the bench's own rule.

    \b
    Examples:
      sensverify study nas enumerate --unique > cells.csv
      sensverify study nas enumerate 6111
    """
    from sensverify.models.nas201 import all_cells, read_cell

    chosen = [read_cell(each) for each in cells] or all_cells()
    lines = [
        f"{cell.index},{cell.representative},{cell}"
        for cell in chosen
        if not unique or cell.representative == cell.index
    ]
    click.echo("\n".join(["index,representative,cell", *lines]))
    return 0


@nas.command("evaluate", short_help="Train and evaluate cells, as a study file says.")
@click.argument("file", type=PATH)
@click.option(
    "--out",
    type=PATH,
    required=True,
    metavar="DIR",
    help="Folder of the study, which 'search', 'correlate' and 'top' read.",
)
@click.option(
    "--cells",
    metavar="LIST",
    help="Instead of those in FILE: indices with commas between them, 'unique' or 'all'.",
)
@click.option(
    "--draw",
    type=click.IntRange(min=2),
    metavar="N",
    help="Instead of those in FILE: so many different ones, at random.",
)
@click.option(
    "--draw-seed", type=click.IntRange(min=0), metavar="SEED", help="Of --draw. Default: 0."
)
@training_options
def evaluate(
    file: Path,
    out: Path,
    cells: str | None,
    draw: int | None,
    draw_seed: int | None,
    variant: str | None,
    **options: Any,
) -> int:
    """Train and evaluate the cells of a study, and print the best.

    FILE is a study file, as of 'sensverify study run', with two tables more: [cells] for the cells
    and the sizes of their networks, and [evaluate] for what they are put through.

    \b
      [cells]
      draw = 16           # or which = [0, 7, 6111], which = "unique", which = "all"
      channels = 4
      repeats = 1
      [evaluate]
      attacks = ["fgsm"]
      radii = [0.05]

    It is the same study as of 'study run FILE', and goes on with --resume in the same way.
    """
    from sensverify.studies.cells import cells_table
    from sensverify.studies.files import read_study

    asked = read_study(file, variant=variant, cells=cells_table(cells, draw, draw_seed))
    ending = f"search, correlate and rank them: sensverify study nas search '{out}' --partial"
    return train_study(asked, out, lambda: _show_top(out), ending, **options)


def _show_top(folder: Path) -> None:
    from sensverify.errors import BadData
    from sensverify.registry.calls import Call
    from sensverify.report.scores.document import Analysed, analysis_document
    from sensverify.scores.nas.top import nas_top
    from sensverify.scores.read import read_scores

    try:
        scores = read_scores([folder])
        result = nas_top(scores)
    except BadData as error:
        # A study whose trainings have all gone wrong is a result, too.
        click.echo(f"no cell has a rank: {printable(str(error))}")
        return
    show(analysis_document(Analysed(scores=scores, call=Call("nas-top"), result=result)))


@nas.command("search", short_help="Search a table by several strategies, many times each.")
@_FILES
@click.option(
    "--objective",
    "objectives",
    metavar="COLUMN",
    multiple=True,
    help="What is maximised: clean, attack, fgsm@Linf/1, a measure, ... May be repeated. Default: "
    "clean, and attack where there are any.",
)
@click.option(
    "--strategy",
    "strategies",
    metavar="NAME",
    multiple=True,
    help="random, local, evolution or bananas; settings may follow in parentheses. May be "
    "repeated. Default: the first three. All are in 'sensverify list analyses'.",
)
@click.option(
    "--column",
    "columns",
    metavar="COLUMN",
    multiple=True,
    help="What is told of the cells that are found. May be repeated. Default: all shifts.",
)
@click.option(
    "--queries",
    type=click.IntRange(min=1),
    metavar="N",
    help="Cells that a search may ask. Default: 300.",
)
@click.option(
    "--runs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Searches by each strategy. Default: 100.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), metavar="N", help="Of the searches. Default: 0."
)
@click.option(
    "--partial", is_flag=True, help="Search among the cells that have the objective, if not all do."
)
@_SYNTHETIC
@analysis_outputs
def search(
    files: tuple[Path, ...],
    synthetic: int | None,
    json_target: Path | None,
    report_target: Path | None,
    csv_folder: Path | None,
    force: bool,
    **options: Any,
) -> int:
    """Search the table of FILES for the best cells, and tell what the cells found are like.

    Accuracies are means over the searches of what each has found, with 95 % intervals, beside the
    largest of the whole table. Each search asks the table for one cell after another; bananas needs
    scikit-learn (extra 'data') and seconds for each search, bananas(predictor=ridge) neither.

    \b
    Examples:
      sensverify study nas search robustness/cifar10/*_accuracy.json
      sensverify study nas search cells --partial --objective clean --queries 8
      sensverify study nas search --synthetic 0 --strategy 'bananas(predictor=ridge)'
    """
    from sensverify.registry.calls import parse_call
    from sensverify.scores.catalog import ANALYSES
    from sensverify.scores.nas.search import search_table

    targets = Targets(json=json_target, report=report_target, force=force)
    targets.check(files)
    options["strategies"] = tuple(map(parse_call, options["strategies"]))
    call = _call("nas-search", options)
    known = ANALYSES.settings(ANALYSES[call.name])
    settings = {name: each.default for name, each in known.items()} | ANALYSES.fitted(call)

    def compute(scores: Scores) -> Any:
        with showing("searches") as display:
            return search_table(
                scores,
                **settings,
                heard=lambda done, total: display.update(done=done, total=total),
            )

    return analyse_files(
        files, call, targets, csv_folder, read=_reader(files, synthetic), compute=compute
    )


@nas.command("correlate", short_help="Rank correlations of what cells have, with intervals.")
@_FILES
@click.option(
    "--column",
    "columns",
    metavar="COLUMN",
    multiple=True,
    help="A measure, a shift with or without its severity, clean, attack, ... May be repeated. "
    "Default: all measures, or, without any, clean and all shifts.",
)
@click.option(
    "--against",
    metavar="COLUMN",
    multiple=True,
    help="Columns on the other side. May be repeated. Default: clean and all shifts.",
)
@click.option(
    "--severities",
    is_flag=True,
    help="By default, a column for every severity of a shift instead of their mean.",
)
@click.option(
    "--intervals/--no-intervals",
    default=True,
    help="Without, thousands of cells take seconds also for a hundred columns. Default: with.",
)
@_SYNTHETIC
@analysis_outputs
def correlate(
    files: tuple[Path, ...],
    columns: tuple[str, ...],
    against: tuple[str, ...],
    severities: bool,
    intervals: bool,
    synthetic: int | None,
    json_target: Path | None,
    report_target: Path | None,
    csv_folder: Path | None,
    force: bool,
) -> int:
    """Correlate columns over the cells of FILES: Kendall's tau-b, one of isomorphic cells each.

    It is the analysis 'correlate' of 'sensverify study analyse', over means of cells that were
    trained with several seeds.

    \b
    Examples:
      sensverify study nas correlate robustness/cifar10/*@Linf_accuracy.json \\
          --severities --no-intervals --report figure3.html
      sensverify study nas correlate cells --column test/JACOB --against clean --against attack
    """
    from sensverify.scores.catalog import ANALYSES
    from sensverify.scores.nas.cells import every_column, only_cells

    targets = Targets(json=json_target, report=report_target, force=force)
    targets.check(files)
    scores = only_cells(_reader(files, synthetic)())
    measures, shifts = every_column(scores, severities=severities)
    options = {
        "columns": columns or measures or shifts,
        "against": against or (shifts if columns or measures else ()),
        "over": "groups",
        "resamples": None if intervals else 0,
    }
    call = _call("correlate", options)
    ANALYSES.fitted(call)
    return analyse_files(files, call, targets, csv_folder, read=lambda: scores)


@nas.command("top", short_help="The best cells, and what their edges have in common.")
@_FILES
@click.option(
    "--by",
    metavar="COLUMN",
    help="What they are ordered by. Default: attack where there are any, else clean.",
)
@click.option(
    "--count", type=click.IntRange(min=1), metavar="N", help="Cells that are told. Default: 20."
)
@click.option(
    "--column",
    "columns",
    metavar="COLUMN",
    multiple=True,
    help="What is told of them. May be repeated. Default: all shifts.",
)
@click.option(
    "--edges",
    metavar="OPERATION=N",
    multiple=True,
    help="Only cells with this operation on exactly N edges. May be repeated.",
)
@_SYNTHETIC
@analysis_outputs
def top(
    files: tuple[Path, ...],
    edges: tuple[str, ...],
    synthetic: int | None,
    json_target: Path | None,
    report_target: Path | None,
    csv_folder: Path | None,
    force: bool,
    **options: Any,
) -> int:
    """Rank the cells of FILES, and count which operations stand on the edges of the best.

    \b
    Examples:
      sensverify study nas top robustness/cifar10/*_accuracy.json \\
          --edges nor_conv_3x3=2 --edges nor_conv_1x1=0
      sensverify study nas top cells --by clean --count 5
    """
    from sensverify.scores.catalog import ANALYSES

    targets = Targets(json=json_target, report=report_target, force=force)
    targets.check(files)
    call = _call("nas-top", options | _edges(edges))
    ANALYSES.fitted(call)
    return analyse_files(files, call, targets, csv_folder, read=_reader(files, synthetic))


def _call(name: str, options: dict[str, Any]) -> Call:
    """The analysis with the settings that were given."""
    from sensverify.registry.calls import Call

    return Call(name, {key: each for key, each in options.items() if _given(each)})


def _given(value: Any) -> bool:
    return value is not None and value is not False and value != ()


def _edges(texts: Sequence[str]) -> dict[str, int]:
    from sensverify.models.nas201 import OPERATIONS
    from sensverify.registry.names import did_you_mean

    found: dict[str, int] = {}
    for text in texts:
        name, _, count = (part.strip() for part in text.partition("="))
        if name not in OPERATIONS or not re.fullmatch(r"[0-6]", count) or name in found:
            raise click.BadParameter(
                f"'{text}' is not of the form OPERATION=N, each once and N from 0 to 6"
                f"{did_you_mean(name, OPERATIONS)}; operations are {', '.join(OPERATIONS)}",
                param_hint="'--edges'",
            )
        found[name] = int(count)
    return found


def _reader(files: Sequence[Path], synthetic: int | None) -> Callable[[], Scores]:
    """A function that reads the files, or makes the table up."""
    from sensverify.scores.nas.planted import NOISE, planted
    from sensverify.scores.read import read_scores

    if bool(files) == (synthetic is not None):
        raise click.UsageError("give FILES, or --synthetic SEED" + (", not both" * bool(files)))
    if synthetic is None:
        return lambda: read_scores(files)
    return lambda: planted(synthetic, noise=NOISE).scores
