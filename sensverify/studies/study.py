"""Studies: losses and seeds, and the trainings that follow from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sensverify.training.losses.recipes import resolve_loss
from sensverify.training.settings import TrainSettings

SCHEMA = "sensverify.study/1"
PARTS = ("test", "train")


@dataclass(frozen=True)
class Training:
    """One training of a study.

    Parameters
    ----------
    name : str
        Of the loss in this study.
    loss : str
        A recipe's name, or terms written out.
    settings : TrainSettings
        With the seed.
    data, model : str
        Empty for those of the study.
    """

    name: str
    loss: str
    settings: TrainSettings
    data: str = ""
    model: str = ""

    @property
    def seed(self) -> int:
        return self.settings.seed

    @property
    def key(self) -> str:
        """Name of its run directory."""
        return f"{self.name}-seed{self.seed}"


@dataclass(frozen=True)
class StudyRun:
    """A loss with the settings it is trained with.

    Parameters
    ----------
    name, loss : str
    settings : TrainSettings
        The seed in it stands for nothing.
    own : mapping
        Those of the settings that were given for this loss alone.
    terms : str
        The loss written out; made from ``loss`` where it is not given.
    data, model : str
        Empty for those of the study.
    """

    name: str
    loss: str
    settings: TrainSettings
    own: Mapping[str, Any] = field(default_factory=dict)
    terms: str = ""
    data: str = ""
    model: str = ""

    def __post_init__(self) -> None:
        if not self.terms:
            object.__setattr__(self, "terms", _terms(self.loss, self.settings))

    def on(self, data: str, model: str) -> StudyRun:
        """The same with data and a model of its own; empty for those of the study."""
        return replace(self, data=data, model=model)

    @property
    def place(self) -> dict[str, str]:
        """Data and model, where they are its own."""
        return {
            name: value for name, value in (("data", self.data), ("model", self.model)) if value
        }


@dataclass(frozen=True)
class Published:
    """Somebody else's numbers for one of the losses.

    Parameters
    ----------
    source : str
    numbers : mapping
        From ``"test"`` and ``"train"`` to numbers by the metric's column name; rates are shares.
    """

    source: str
    numbers: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, kw_only=True)
class Study:
    """Losses that are trained with the same seeds and compared on the same metrics.

    Parameters
    ----------
    title, note : str
        Of the report.
    data, model : str
        As `sensverify.data.load_split` and ``sensverify.models.architectures.build_for`` know them;
        of the runs that have none of their own.
    seeds : tuple of int
        Every loss is trained once with each: the same initial weights and the same mini-batches.
    runs : tuple of StudyRun
    standardise : bool
        Whether the models' first layer standardises every feature; see ``TrainRequest``.
    evaluate : mapping
        What every network is put through after its training, as
        `sensverify.studies.evaluate.read_evaluate` gives it; empty for nothing.
    variant : str or None
        The variant of the study file that this is.
    figures : tuple of str
        Pictures that the report has: calls of `sensverify.studies.analyses.ANALYSES`.
    analyses : tuple of str
        Sections that the report has: calls of `sensverify.scores.catalog.ANALYSES`.
    papers : tuple of str
        Printed tables below these, by their names in `sensverify.scores.papers.papers`.
    published : mapping from str to Published
        By the loss's name.
    """

    title: str
    data: str
    model: str
    seeds: tuple[int, ...]
    runs: tuple[StudyRun, ...]
    note: str = ""
    standardise: bool = False
    evaluate: Mapping[str, Any] = field(default_factory=dict)
    variant: str | None = None
    figures: tuple[str, ...] = ("course",)
    analyses: tuple[str, ...] = ()
    papers: tuple[str, ...] = ()
    published: Mapping[str, Published] = field(default_factory=dict)

    @property
    def twins(self) -> dict[str, str]:
        """Runs with the same training as an earlier one, whose name is given: it is made once."""
        first: dict[object, str] = {}
        found = {}
        for each in self.runs:
            place = (each.data or self.data, each.model or self.model)
            name = first.setdefault((*place, each.terms, each.settings), each.name)
            if name != each.name:
                found[each.name] = name
        return found

    @property
    def trainings(self) -> tuple[Training, ...]:
        """Seed by seed, so that a study that is stopped early has compared all losses once.

        Of runs that are `twins` there is one.
        """
        twins = self.twins
        return tuple(
            Training(
                each.name,
                each.loss,
                replace(each.settings, seed=seed),
                each.data or self.data,
                each.model or self.model,
            )
            for seed in self.seeds
            for each in self.runs
            if each.name not in twins
        )

    @property
    def by_run(self) -> tuple[Training, ...]:
        """Loss by loss, so that parts of a study that are cut from these have as many of each."""
        return tuple(
            training
            for each in self.runs
            for training in self.trainings
            if training.name == each.name
        )

    @property
    def all_data(self) -> tuple[str, ...]:
        """The data of all runs, each once."""
        return tuple(dict.fromkeys(each.data or self.data for each in self.runs))

    @property
    def all_models(self) -> tuple[str, ...]:
        """The models of all runs, each once."""
        return tuple(dict.fromkeys(each.model or self.model for each in self.runs))

    @property
    def deciding(self) -> dict[str, Any]:
        """Everything that the results depend on, as plain values."""
        return {
            "data": self.data,
            "model": self.model,
            "standardise": self.standardise,
            "seeds": list(self.seeds),
            "evaluate": dict(self.evaluate),
            "runs": [
                {
                    "name": each.name,
                    "loss": each.loss,
                    "terms": each.terms,
                    "settings": _plain(each.settings),
                    **each.place,
                }
                for each in self.runs
            ],
        }

    def with_threads(self, threads: int) -> Study:
        """With this number of threads where the study says none: the weights depend on it."""
        runs = tuple(
            each
            if each.settings.threads is not None
            else replace(each, settings=replace(each.settings, threads=threads))
            for each in self.runs
        )
        return replace(self, runs=runs)


def _terms(loss: str, settings: TrainSettings) -> str:
    recipe = resolve_loss(loss)
    ramp = recipe.ramp if settings.ramp is None else settings.ramp
    if not ramp or not recipe.perturbs:
        return str(recipe)
    return f"{recipe}; radius from 0 over the first {100 * ramp:g} %"


def _plain(settings: TrainSettings) -> dict[str, Any]:
    values = settings.as_dict()
    del values["seed"]
    return {key: list(v) if isinstance(v, tuple) else v for key, v in values.items()}
