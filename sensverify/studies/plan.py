"""The work of a study, counted before any of it is done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from sensverify.core.brief import count_of
from sensverify.studies.evaluate import count_tasks
from sensverify.studies.study import Study, StudyRun


@dataclass(frozen=True, kw_only=True)
class StudyPlan:
    """The number of trainings of a study, and of evaluations of their networks.

    Parameters
    ----------
    runs, seeds : int
    trainings : int
        Less than runs x seeds where runs have the same training.
    twins : mapping from str to str
        Those runs, and the earlier ones that they are.
    tasks : mapping from str to int
        Evaluations of each network, by kind: ``corruptions`` are one in one severity,
        ``attacks`` and ``proofs`` one at one radius. Empty where networks are not evaluated.
    described : mapping from str to list of str
        Of every run its loss, and the data, model and settings that are its own.
    """

    runs: int
    seeds: int
    trainings: int
    twins: Mapping[str, str]
    tasks: Mapping[str, int]
    described: Mapping[str, list[str]] = field(default_factory=dict)

    @property
    def evaluations(self) -> int:
        """Evaluations of all networks."""
        return self.trainings * sum(self.tasks.values())

    def lines(self) -> Iterator[str]:
        """The plan in sentences."""
        runs, seeds = count_of(self.runs, "run"), count_of(self.seeds, "seed")
        yield f"{count_of(self.trainings, 'training')}: {runs} with {seeds}"
        for name, twin in self.twins.items():
            yield f"{name} is the same training as {twin}, and is made once"
        if self.tasks:
            kinds = ", ".join(
                count_of(count, kind.removesuffix("s"), kind) for kind, count in self.tasks.items()
            )
            yield f"{count_of(self.evaluations, 'evaluation')}: of each network {kinds}"


def plan_study(study: Study) -> StudyPlan:
    """Count the work of a study, without a look at its data.

    Tasks that data turn out not to allow, such as corruptions of images that are too small, are
    counted.

    Parameters
    ----------
    study : Study
    """
    return StudyPlan(
        runs=len(study.runs),
        seeds=len(study.seeds),
        trainings=len(study.trainings),
        twins=study.twins,
        tasks=count_tasks(study.evaluate) if study.evaluate else {},
        described={each.name: _described(each) for each in study.runs},
    )


def _described(run: StudyRun) -> list[str]:
    own = {**run.place, **run.own}
    values = ", ".join(
        f"{name} {list(value) if isinstance(value, tuple) else value}"
        for name, value in own.items()
    )
    return [run.terms, *([values] if values else [])]
