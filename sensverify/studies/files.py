"""Study files: TOML, checked before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sensverify.data.catalog import DATA_SETS
from sensverify.data.files import DataFile
from sensverify.errors import BadSetting, InputError, UnknownName
from sensverify.measures import SHARES
from sensverify.registry.calls import parse_call
from sensverify.registry.names import did_you_mean
from sensverify.registry.ranges import Range
from sensverify.runs.toml_file import read_toml
from sensverify.studies.analyses import ANALYSES
from sensverify.studies.cells import CELLS, with_cells
from sensverify.studies.combine import Combined
from sensverify.studies.evaluate import read_evaluate
from sensverify.studies.grid import LIMIT
from sensverify.studies.scored import check_analyses, check_papers
from sensverify.studies.study import PARTS, Published, Study
from sensverify.studies.tables import COLUMNS
from sensverify.studies.values import check_keys, shown, table, text
from sensverify.training.settings import SEEDS

_TOP = ("study", "settings", "runs", "grid", "expand", "evaluate", "report", "variants", "paper")
_STUDY = (
    *("title", "note", "data", "model", "loss", "seeds", "standardise", "figures"),
    "limit",
)
_VARIANT = (
    *("seeds", "settings", "runs", "grid", "expand", CELLS, "evaluate", "report", "title", "note"),
)
_REPORT = ("analyses", "papers")
_NUMBERS = Range(-1e300, 1e300)


def read_study(
    path: Path, *, variant: str | None = None, cells: Mapping[str, Any] | None = None
) -> Study:
    """The study that a TOML file describes.

    Parameters
    ----------
    path : Path
        See `parse_study`.
    variant : str, optional
        Which of its variants; default: the study as it stands.
    cells : mapping, optional
        Which cells are trained, instead of those of the file; see `with_cells`.

    Raises
    ------
    InputError
        The file cannot be read or is no TOML.
    BadSetting, UnknownName
        Its contents cannot be a study; the message says where.
    """
    parse = partial(parse_study, variant=variant, folder=path.parent, cells=cells)
    return read_toml(path, parse)


def parse_study(
    document: Mapping[str, Any],
    *,
    variant: str | None = None,
    folder: Path = Path(),
    cells: Mapping[str, Any] | None = None,
) -> Study:
    """The study that the tables of a TOML file describe.

    ::

        [study]
        title = "..."            # of the report; note = "..." below it
        data = "mnist"           # a name, or a file beside the study file
        model = "mnist-conv2"
        loss = "base"            # of runs that name none
        seeds = [0, 1, 2]
        limit = 1000             # of the number of trainings
        standardise = false      # whether the model's first layer standardises the features
        figures = ["course"]     # and "seeds", "energy"; calls of ANALYSES
        [settings]               # of every training; names as in TrainSettings, without seed
        epochs = 20
        [[runs]]
        name = "sm"
        loss = "sm"              # a recipe, or terms such as "cross-entropy + 0.02*sensitivity"
        settings = {}            # of this loss alone
        [grid]                   # every run with all combinations of these; see `read_axes`
        batch_size = [32, 64]    # data, model, loss, seed, and all settings
        [expand]                 # standard, each, all, all-but-one; see `read_expansions`
        corruptions = ["rotation", "shear"]
        [cells]                  # of NAS-Bench-201, as an axis of the grid; see `with_cells`
        draw = 16
        [evaluate]               # after every training; see `read_evaluate`
        corruptions = ["imagenet-c"]
        [report]                 # sections that are analyses of the study's table of scores
        analyses = ["transfer", "overlap(metric=app)"]
        papers = ["laugros-table3.2"]      # printed tables below these
        [variants.reduced]       # wins over all of the above: seeds, title, note, grid, expand,
        settings = {epochs = 2}  # evaluate, report, settings,
                                 # runs.NAME = {loss = "...", settings = {...}}
        [paper.sm]               # published numbers, beside ours; rates are shares from 0 to 1
        source = "..."
        test = {CE = 0.079, ERR = 0.0226}

    Raises
    ------
    BadSetting, UnknownName
        A name is none of these, or a value cannot be right.
    """
    check_keys(document, (*_TOP, CELLS), "the file")
    document = with_cells(document, cells, variant)
    study = table(document, "study", required=True)
    check_keys(study, _STUDY, "[study]")
    chosen = _variant(document, variant)
    where = "[study]" if variant is None else f"[variants.{variant}]"
    combined = Combined.read(document, chosen, variant)
    over = {axis.name for axis in combined.axes}
    given = chosen.get("seeds", study.get("seeds"))
    seeds = _seeds(list(combined.seeds) if combined.seeds else given, where)
    runs = combined.runs(
        seeds=len(seeds),
        limit=study.get("limit", LIMIT),
        data_name=lambda data: _data(data, folder),
    )
    names = [each.name for each in runs]
    return Study(
        title=text(chosen if "title" in chosen else study, "title", where),
        note=text({**study, **chosen}, "note", where, default=""),
        data=runs[0].data if "data" in over else _data(text(study, "data", "[study]"), folder),
        model=runs[0].model if "model" in over else text(study, "model", "[study]"),
        seeds=seeds,
        runs=runs,
        standardise=_truth(study.get("standardise", False)),
        variant=variant,
        evaluate=_evaluate(document, chosen, where),
        figures=_figures(study.get("figures", ["course"])),
        **_report({**table(document, "report"), **table(chosen, "report", where)}),
        published=_published(table(document, "paper"), names),
    )


def _evaluate(
    document: Mapping[str, Any], chosen: Mapping[str, Any], where: str
) -> Mapping[str, Any]:
    """The evaluation after every training; empty for none."""
    asked = {**table(document, "evaluate"), **table(chosen, "evaluate", where)}
    given = "evaluate" in document or "evaluate" in chosen
    return read_evaluate(asked, "[evaluate]") if given else {}


def _data(data: str, folder: Path) -> str:
    """Data of a name, or the whole path of a file beside the study file."""
    file = None if data in DATA_SETS else DataFile.find(str(folder / data))
    return data if file is None else str(file.whole())


def _variant(document: Mapping[str, Any], name: str | None) -> Mapping[str, Any]:
    variants = table(document, "variants")
    for each in variants:
        check_keys(table(variants, each, "[variants]"), _VARIANT, f"[variants.{each}]")
    if name is None:
        return {}
    if name not in variants:
        known = f"there are {', '.join(variants)}" if variants else "it has none"
        raise UnknownName(
            f"the study has no variant '{name}'{did_you_mean(name, tuple(variants))}", known
        )
    return table(variants, name)


def _seeds(value: Any, where: str) -> tuple[int, ...]:
    whole = isinstance(value, list) and all(
        isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed < SEEDS for seed in value
    )
    if not whole or not value or len(set(value)) < len(value):
        raise BadSetting(
            f"{where} needs seeds, a list of different whole numbers such as [0, 1, 2], below 2 to "
            f"the 63, got {shown(value)}"
        )
    return tuple(value)


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadSetting(f"[study]: standardise needs true or false, got {value!r}")
    return value


def _figures(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise BadSetting(f"[study]: figures needs a list of {', '.join(ANALYSES)}, got {value!r}")
    for each in value:
        if not isinstance(each, str):
            raise ANALYSES.unknown(each).about("[study]: figures")
        try:
            ANALYSES.fitted(parse_call(each))
        except InputError as error:
            raise error.about("[study]: figures") from None
    return tuple(value)


def _report(report: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    check_keys(report, _REPORT, "[report]")
    analyses = check_analyses(report.get("analyses", []), "[report]: analyses")
    papers = check_papers(report.get("papers", []), analyses, "[report]: papers")
    return {"analyses": analyses, "papers": papers}


def _published(paper: Mapping[str, Any], names: Sequence[str]) -> dict[str, Published]:
    check_keys(paper, tuple(names), "[paper]")
    found = {}
    for name in paper:
        where = f"[paper.{name}]"
        values = table(paper, name, "[paper]")
        check_keys(values, ("source", *PARTS), where)
        numbers = {part: _numbers(table(values, part, where), where) for part in PARTS}
        found[name] = Published(
            text(values, "source", where),
            {part: values for part, values in numbers.items() if values},
        )
    return found


def _numbers(values: Mapping[str, Any], where: str) -> dict[str, float]:
    check_keys(values, COLUMNS, where)
    for name, value in values.items():
        if value not in _NUMBERS:
            raise BadSetting(f"{where}: {name} needs a number, got {value!r}")
        if name in SHARES and not 0 <= value <= 1:
            raise BadSetting(
                f"{where}: {name} is a share from 0 to 1, got {value:g}", "divide by 100"
            )
    return {name: float(value) for name, value in values.items()}
