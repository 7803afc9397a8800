"""Runs of a study file: its tables ``[[runs]]``, the points of its grid, and its expansions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sensverify.errors import BadSetting, InputError
from sensverify.studies.expand import Expansion, read_expansions
from sensverify.studies.grid import (
    PLAIN,
    SEED,
    Axis,
    Point,
    check_names,
    check_size,
    points,
    read_axes,
    run_name,
    setting_value,
    slug,
)
from sensverify.studies.study import StudyRun
from sensverify.studies.values import check_keys, table, text
from sensverify.training.losses.recipes import resolve_loss
from sensverify.training.settings import TrainSettings

_RUN = ("name", "loss", "settings")
_SETTINGS = tuple(field.name for field in fields(TrainSettings))


@dataclass(frozen=True)
class _Base:
    """A run before the grid and the expansions: what it says itself, and with the variant."""

    name: str
    loss: str | None
    own: Mapping[str, Any]
    late: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Combined:
    """All parts of which the runs of a study are made.

    Parameters
    ----------
    axes : tuple of Axis
        Those of the grid but for seeds.
    seeds : tuple
        Of the grid, as they are given; empty where it has none.
    expansions : tuple of Expansion or None
    bases : tuple
    common, wins : mapping
        Settings of all runs; those of the variant win over what a run says.
    loss : str or None
        Of runs that name none.
    """

    axes: tuple[Axis, ...]
    seeds: tuple[Any, ...]
    expansions: tuple[Expansion | None, ...]
    bases: tuple[_Base, ...]
    common: Mapping[str, Any]
    wins: Mapping[str, Any]
    loss: str | None

    @classmethod
    def read(
        cls, document: Mapping[str, Any], chosen: Mapping[str, Any], variant: str | None
    ) -> Combined:
        """The parts, checked one by one.

        Parameters
        ----------
        document : mapping
            The file.
        chosen : mapping
            Its variant's table; empty for none.
        variant : str or None

        Raises
        ------
        UnknownName, BadSetting
        """
        place = f"[variants.{variant}]"
        study = table(document, "study", required=True)
        grid = {**table(document, "grid"), **table(chosen, "grid", place)}
        expand = {**table(document, "expand"), **table(chosen, "expand", place)}
        _check_filled(document, chosen, place)
        axes = read_axes(grid, "[grid]")
        found = cls(
            axes=tuple(axis for axis in axes if axis.name != SEED),
            seeds=tuple(value for a in axes if a.name == SEED for value in a.values.values()),
            expansions=read_expansions(expand, "[expand]") if expand else (None,),
            bases=_bases(document, chosen, variant, needed=not (grid or expand)),
            common=_settings(table(document, "settings"), "[settings]"),
            wins=_settings(table(chosen, "settings", place), f"{place} settings"),
            loss=text(study, "loss", "[study]") if "loss" in study else None,
        )
        found._check_once(study, chosen)
        return found

    def runs(
        self, *, seeds: int, limit: Any, data_name: Callable[[str], str]
    ) -> tuple[StudyRun, ...]:
        """Every run: of each of ``[[runs]]``, every point of the grid, and every expansion.

        Parameters
        ----------
        seeds : int
            How many there are.
        limit : object
            Of the number of trainings.
        data_name : callable
            The data of an axis as a training finds them.

        Raises
        ------
        BadSetting
            There are too many trainings, two have one name, or something is no training.
        """
        sizes = {"runs": len(self.bases), "expansions": len(self.expansions)}
        sizes |= {f"of {axis.name}": len(axis.values) for axis in self.axes}
        check_size({**sizes, "seeds": seeds}, limit)
        found = [
            self._run(base, expansion, point, data_name)
            for base in self.bases
            for point in points(self.axes)
            for expansion in self.expansions
        ]
        check_names([each.name for each in found])
        return tuple(found)

    def _check_once(self, study: Mapping[str, Any], chosen: Mapping[str, Any]) -> None:
        """Refuse what a grid goes over and another table gives, too."""
        names = [axis.name for axis in self.axes] + [SEED] * bool(self.seeds)
        for name in names:
            there = {
                "[settings]": name in self.common,
                "the variant's settings": name in self.wins,
                "[study]": name in study or (name == SEED and "seeds" in study),
                "the variant": name == SEED and "seeds" in chosen,
            }
            there |= {
                f"run '{each.name}'": name in each.own
                or name in each.late
                or (name == "loss" and each.loss is not None)
                for each in self.bases
            }
            for where, given in there.items():
                if given:
                    raise BadSetting(
                        f"[grid] goes over {name}, and {where} gives it, too",
                        "leave it out of one of the two; a variant has a grid of its own, "
                        "[variants.NAME.grid]",
                    )

    def _run(
        self,
        base: _Base,
        expansion: Expansion | None,
        point: Point,
        data_name: Callable[[str], str],
    ) -> StudyRun:
        plain = {name: point.values[name] for name in PLAIN if name in point.values}
        chosen = {name: value for name, value in point.values.items() if name not in PLAIN}
        loss = plain.get("loss") or base.loss or self.loss
        parts = [base.name, "" if expansion is None else expansion.name, *point.parts]
        name = "_".join(part for part in parts if part)
        if loss is None:
            raise BadSetting(
                f"run '{name}' needs loss = \"text\", got nothing",
                "give it there, in [study], or as an axis of [grid]",
            )
        name = run_name(name or slug(loss), "the run's name")
        # What the variant says of all runs wins over what the study says of this one.
        values = {**self.common, **base.own, **self.wins, **base.late, **chosen}
        everywhere = {**self.common, **self.wins}
        try:
            if expansion is not None:
                loss, values = expansion.apply(loss, values)
        except InputError as error:
            raise error.about(f"run '{name}'") from None
        own = {key: value for key, value in values.items() if value != everywhere.get(key)}
        run = _study_run(name, loss, values, own)
        return run.on(data_name(plain["data"]) if "data" in plain else "", plain.get("model", ""))


def _bases(
    document: Mapping[str, Any], chosen: Mapping[str, Any], variant: str | None, *, needed: bool
) -> tuple[_Base, ...]:
    runs = document.get("runs")
    if runs is None and not needed:
        return (_Base("", None, {}, {}),)
    if not isinstance(runs, list) or not runs or not all(isinstance(run, dict) for run in runs):
        raise BadSetting("it needs at least one table [[runs]] with a name and a loss")
    if "expand" in document or "expand" in chosen:
        raise BadSetting(
            "[expand] and [[runs]] both say what is trained",
            "leave [[runs]] out: give the loss in [study], and several as an axis of [grid]",
        )
    place = f"[variants.{variant}]"
    by_run = table(chosen, "runs", place)
    names = [
        run_name(text(run, "name", f"[[runs]] number {number}"), "the run's name")
        for number, run in enumerate(runs, start=1)
    ]
    check_names(names)
    check_keys(by_run, tuple(names), f"{place} runs")
    found = []
    for name, run in zip(names, runs, strict=True):
        where = f"run '{name}'"
        check_keys(run, _RUN, where)
        change = table(by_run, name, place)
        check_keys(change, ("loss", "settings"), f"{place} runs.{name}")
        own = _settings(table(run, "settings", where), f"{where}: settings")
        late = _settings(table(change, "settings", place), f"{place} runs.{name}.settings")
        both = {**run, **change}
        found.append(_Base(name, text(both, "loss", where) if "loss" in both else None, own, late))
    return tuple(found)


def _check_filled(document: Mapping[str, Any], chosen: Mapping[str, Any], place: str) -> None:
    """Refuse tables that are there and say nothing."""
    tables: Sequence[tuple[Mapping[str, Any], str]] = ((document, ""), (chosen, f"{place} "))
    for values, where in tables:
        for name in ("grid", "expand"):
            if name in values and not values[name]:
                raise BadSetting(f"{where}[{name}] is empty", "fill it, or leave it out")


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


def _settings(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    if SEED in values:
        raise BadSetting(
            f"{where} gives a seed", "a study has its seeds in [study]: seeds = [0, 1]"
        )
    check_keys(values, _SETTINGS, where)
    return {key: setting_value(key, value) for key, value in values.items()}
