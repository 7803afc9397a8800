"""Study files: TOML, checked before anything is trained."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from sensverify.data.catalog import DATA_SETS
from sensverify.data.files import DataFile
from sensverify.errors import BadSetting, InputError, UnknownName
from sensverify.measures import SHARES
from sensverify.registry.calls import parse_call
from sensverify.registry.names import did_you_mean
from sensverify.registry.ranges import Range
from sensverify.runs.files import reading
from sensverify.studies.analyses import ANALYSES
from sensverify.studies.study import PARTS, Published, Study, StudyRun
from sensverify.studies.tables import COLUMNS
from sensverify.training.losses.recipes import resolve_loss
from sensverify.training.settings import SEEDS, TrainSettings

_TOP = ("study", "settings", "runs", "variants", "paper")
_STUDY = ("title", "note", "data", "model", "seeds", "standardise", "figures")
_RUN = ("name", "loss", "settings")
_VARIANT = ("seeds", "settings", "runs", "title", "note")
_NAME = re.compile(r"[A-Za-z0-9](?:[\w&+.-]{0,60}[\w&+])?")
_NUMBERS = Range(-1e300, 1e300)
_SETTINGS = tuple(field.name for field in fields(TrainSettings))


def read_study(path: Path, *, variant: str | None = None) -> Study:
    """The study that a TOML file describes.

    Parameters
    ----------
    path : Path
        See `parse_study`.
    variant : str, optional
        Which of its variants; default: the study as it stands.

    Raises
    ------
    InputError
        The file cannot be read or is no TOML.
    BadSetting, UnknownName
        Its contents cannot be a study; the message says where.
    """
    try:
        with reading(path):
            document = tomllib.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise InputError(f"'{path}' is no text in UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"'{path}' is no TOML: {error}") from None
    try:
        return parse_study(document, variant=variant, folder=path.parent)
    except InputError as error:
        raise error.about(f"'{path}'") from None


def parse_study(
    document: Mapping[str, Any], *, variant: str | None = None, folder: Path = Path()
) -> Study:
    """The study that the tables of a TOML file describe.

    ::

        [study]
        title = "..."            # of the report; note = "..." below it
        data = "mnist"           # a name, or a file beside the study file
        model = "mnist-conv2"
        seeds = [0, 1, 2]
        standardise = false      # whether the model's first layer standardises the features
        figures = ["course"]     # and "seeds", "energy"; calls of ANALYSES
        [settings]               # of every training; names as in TrainSettings, without seed
        epochs = 20
        [[runs]]
        name = "sm"
        loss = "sm"              # a recipe, or terms such as "cross-entropy + 0.02*sensitivity"
        settings = {}            # of this loss alone
        [variants.reduced]       # wins over all of the above: seeds, title, note,
        settings = {epochs = 2}  # settings, and runs.NAME = {loss = "...", settings = {...}}
        [paper.sm]               # published numbers, beside ours; rates are shares from 0 to 1
        source = "..."
        test = {CE = 0.079, ERR = 0.0226}

    Raises
    ------
    BadSetting, UnknownName
        A name is none of these, or a value cannot be right.
    """
    _check_keys(document, _TOP, "the file")
    study = _table(document, "study", required=True)
    _check_keys(study, _STUDY, "[study]")
    chosen = _variant(document, variant)
    where = "[study]" if variant is None else f"[variants.{variant}]"
    runs = _study_runs(document, chosen, variant)
    names = [each.name for each in runs]
    data = _text(study, "data", "[study]")
    file = None if data in DATA_SETS else DataFile.find(str(folder / data))
    if file is not None:
        data = str(file.whole())
    return Study(
        title=_text(chosen if "title" in chosen else study, "title", where),
        note=_text({**study, **chosen}, "note", where, default=""),
        data=data,
        model=_text(study, "model", "[study]"),
        seeds=_seeds(chosen.get("seeds", study.get("seeds")), where),
        runs=runs,
        standardise=_truth(study.get("standardise", False)),
        variant=variant,
        figures=_figures(study.get("figures", ["course"])),
        published=_published(_table(document, "paper"), names),
    )


def _variant(document: Mapping[str, Any], name: str | None) -> Mapping[str, Any]:
    variants = _table(document, "variants")
    for each in variants:
        _check_keys(_table(variants, each, "[variants]"), _VARIANT, f"[variants.{each}]")
    if name is None:
        return {}
    if name not in variants:
        known = f"there are {', '.join(variants)}" if variants else "it has none"
        raise UnknownName(
            f"the study has no variant '{name}'{did_you_mean(name, tuple(variants))}", known
        )
    return _table(variants, name)


def _study_runs(
    document: Mapping[str, Any], chosen: Mapping[str, Any], variant: str | None
) -> tuple[StudyRun, ...]:
    runs = document.get("runs")
    if not isinstance(runs, list) or not runs or not all(isinstance(run, dict) for run in runs):
        raise BadSetting("it needs at least one table [[runs]] with a name and a loss")
    common = _settings(_table(document, "settings"), "[settings]")
    place = f"[variants.{variant}]"
    wins = _settings(_table(chosen, "settings", place), f"{place} settings")
    by_run = _table(chosen, "runs", place)
    names = [_run_name(run, number) for number, run in enumerate(runs, start=1)]
    for name in names:
        if names.count(name) > 1:
            raise BadSetting(f"two runs are called '{name}'", "their names are their folders")
    _check_keys(by_run, tuple(names), f"{place} runs")
    found = []
    for name, run in zip(names, runs, strict=True):
        where = f"run '{name}'"
        _check_keys(run, _RUN, where)
        change = _table(by_run, name, place)
        _check_keys(change, ("loss", "settings"), f"{place} runs.{name}")
        own = _settings(_table(run, "settings", where), f"{where}: settings")
        late = _settings(_table(change, "settings", place), f"{place} runs.{name}.settings")
        loss = _text({**run, **change}, "loss", where)
        # What the variant says of all runs wins over what the study says of this one.
        values = {**common, **own, **wins, **late}
        own = {key: value for key, value in values.items() if key in own or key in late}
        own = {key: value for key, value in own.items() if value != {**common, **wins}.get(key)}
        found.append(_study_run(name, loss, values, own))
    return tuple(found)


def _study_run(name: str, loss: str, values: dict[str, Any], own: Mapping[str, Any]) -> StudyRun:
    try:
        settings = TrainSettings.of(values)
        recipe = resolve_loss(loss)
    except InputError as error:
        raise error.about(f"run '{name}'") from None
    if recipe.perturbs and settings.sigma is None and settings.radius is None:
        raise BadSetting(
            f"run '{name}': its loss perturbs the inputs, and nothing says how far",
            "give sigma or radius in [settings]",
        )
    return StudyRun(name, loss, settings, own)


def _run_name(run: Mapping[str, Any], number: int) -> str:
    name = _text(run, "name", f"[[runs]] number {number}")
    if not _NAME.fullmatch(name):
        raise BadSetting(
            f"the run's name '{name}' cannot be that of a folder",
            "use letters, digits and - _ & . +",
        )
    return name


def _settings(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    if "seed" in values:
        raise BadSetting(
            f"{where} gives a seed", "a study has its seeds in [study]: seeds = [0, 1]"
        )
    _check_keys(values, _SETTINGS, where)
    # TOML has no null.
    return {key: None if value == "none" else value for key, value in values.items()}


def _seeds(value: Any, where: str) -> tuple[int, ...]:
    whole = isinstance(value, list) and all(
        isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed < SEEDS for seed in value
    )
    if not whole or not value or len(set(value)) < len(value):
        raise BadSetting(
            f"{where} needs seeds, a list of different whole numbers such as [0, 1, 2], below 2 to "
            f"the 63, got {_shown(value)}"
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


def _published(paper: Mapping[str, Any], names: Sequence[str]) -> dict[str, Published]:
    _check_keys(paper, tuple(names), "[paper]")
    found = {}
    for name in paper:
        where = f"[paper.{name}]"
        table = _table(paper, name, "[paper]")
        _check_keys(table, ("source", *PARTS), where)
        numbers = {part: _numbers(_table(table, part, where), where) for part in PARTS}
        found[name] = Published(
            _text(table, "source", where),
            {part: values for part, values in numbers.items() if values},
        )
    return found


def _numbers(values: Mapping[str, Any], where: str) -> dict[str, float]:
    _check_keys(values, COLUMNS, where)
    for name, value in values.items():
        if value not in _NUMBERS:
            raise BadSetting(f"{where}: {name} needs a number, got {value!r}")
        if name in SHARES and not 0 <= value <= 1:
            raise BadSetting(
                f"{where}: {name} is a share from 0 to 1, got {value:g}", "divide by 100"
            )
    return {name: float(value) for name, value in values.items()}


def _table(
    tables: Mapping[str, Any], name: str, where: str = "the file", *, required: bool = False
) -> Mapping[str, Any]:
    if name not in tables and not required:
        return {}
    value = tables.get(name)
    if not isinstance(value, dict):
        got = "none" if name not in tables else repr(value)
        raise BadSetting(f"{where} needs a table [{name}], got {got}")
    return value


def _text(values: Mapping[str, Any], name: str, where: str, *, default: str | None = None) -> str:
    if name not in values and default is not None:
        return default
    value = values.get(name)
    if not isinstance(value, str) or (not value.strip() and default is None):
        raise BadSetting(f'{where} needs {name} = "text", got {_shown(value)}')
    return value


def _shown(value: Any) -> str:
    return "nothing" if value is None else repr(value)


def _check_keys(values: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for name in values:
        if name not in known:
            raise UnknownName(
                f"{where} knows no '{name}'{did_you_mean(name, known)}",
                f"it knows {', '.join(known)}",
            )
