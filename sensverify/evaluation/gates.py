"""Gates of an evaluation: the figures of every network, beside those of a kept result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sensverify.core.gates import Figure, Gate, Limit, judge, read_limits
from sensverify.core.plain import finite_ends
from sensverify.errors import BadData, BadSetting
from sensverify.evaluation.curves import clean_row
from sensverify.evaluation.figures import figures, lost
from sensverify.evaluation.prepared import Prepared
from sensverify.evaluation.request import LIMITED
from sensverify.evaluation.results import Evaluation, ModelEvaluation
from sensverify.evaluation.rows import from_plain
from sensverify.models.loading import ModelFacts
from sensverify.runs.json_text import read_result

_SCHEMA = "sensverify.evaluate/2"
_MEASURED_BY = {
    "min_certified": ("certified",),
    "min_robust": ("attack",),
    "max_changed": ("certified", "attack"),
    "max_log_volume": ("certified",),
    "min_corrupted": ("corruption",),
    "min_shifted": ("shift",),
}
"""Kinds of tasks, of which a figure needs at least one."""

_MOST_IS_A_LIMIT = ("min_robust", "min_corrupted", "min_shifted")
_AT_RADIUS = tuple(name for name in _MEASURED_BY if name not in ("min_corrupted", "min_shifted"))
_ROWS = {"attacks": "attack", "certified": "certified", "corruptions": "corruption"}
_ROWS |= {"shifts": "shift"}
_ROWS |= {"clean": "clean", "missing": "missing"}


@dataclass(frozen=True, eq=False)
class AskedGates:
    """The gates of a request, checked before any work is done.

    Parameters
    ----------
    prepared : Prepared
    limits : dict of str to Limit
    radius : float or None
        That they are about.
    classes : tuple of str
        Names of the classes that every gate holds for; empty: only for all samples together.
    earlier : mapping
        Figures of the kept result that limits are relative to, by the network here and the class.
    baseline : str or None
        That result, in words.
    """

    prepared: Prepared
    limits: dict[str, Limit]
    radius: float | None = None
    classes: tuple[str, ...] = ()
    earlier: Mapping[tuple[str, int | None], dict[str, Figure]] = field(default_factory=dict)
    baseline: str | None = None

    @classmethod
    def of(cls, prepared: Prepared) -> AskedGates:
        """The gates of a request.

        Raises
        ------
        BadSetting
            Nothing that was asked for measures a figure, or there is no such radius; or the kept
            result is about another question, or lacks a figure.
        BadData
            A class has no sample; or the kept result cannot be read, or is about other samples.
        """
        request = prepared.request
        limits = read_limits(request, LIMITED)
        asked = cls(prepared, limits, _radius(prepared, limits))
        if request.per_class:
            names, outputs = prepared.samples.classes, prepared.models[0].classifier.classes
            asked = replace(asked, classes=prepared.samples.every_class(names, outputs))
            if "min_shifted" in limits:
                _check_classes(prepared, asked.classes)
        if request.baseline is not None:
            earlier, told = _read_baseline(request.baseline, asked)
            asked = replace(asked, earlier=earlier, baseline=told)
            for name in asked.names:
                # Whatever the baseline lacks is said before the work.
                asked._judged(name, {})
        return asked

    @property
    def names(self) -> list[str]:
        """The networks that are judged: not a reference that is only compared with."""
        request = self.prepared.request
        return [model.facts.name for model in self.prepared.models[: len(request.models)]]

    @property
    def groups(self) -> dict[int | None, str | None]:
        """Classes and their names; None are all samples."""
        return {None: None, **dict(enumerate(self.classes))}

    def figures(
        self, model: ModelEvaluation, labels: Sequence[int]
    ) -> dict[int | None, dict[str, Figure]]:
        """The figures of a network, by class."""
        others = frozenset(self.prepared.radii.values)
        return {
            label: figures(
                model,
                self.radius,
                others,
                None if label is None else frozenset(k for k, y in enumerate(labels) if y == label),
                label,
            )
            for label in self.groups
        }

    def judged(self, evaluation: Evaluation) -> Evaluation:
        """The evaluation with a verdict on every gate."""
        if not self.limits:
            return evaluation
        gates = [
            gate
            for name, model in zip(self.names, evaluation.models, strict=False)
            for gate in self._judged(name, self.figures(model, evaluation.labels))
        ]
        return replace(evaluation, gates=tuple(gates), baseline=self.baseline)

    def _judged(self, name: str, found: Mapping[int | None, dict[str, Figure]]) -> list[Gate]:
        model = name if len(self.names) > 1 else None
        return [
            replace(gate, model=model, radius=self.radius if gate.name in _AT_RADIUS else None)
            for label, group in self.groups.items()
            for gate in judge(
                found.get(label, {}), self.limits, self.earlier.get((name, label)), group=group
            )
        ]


def _check_classes(prepared: Prepared, classes: Sequence[str]) -> None:
    """Refuse gates of each class of data that have other classes, or lack one."""
    for name, other in prepared.shifts.items():
        if other.classes is not None:
            raise BadSetting(
                f"`per_class` is about the networks' classes, and the data '{name}' have others",
                "leave `per_class` or `min_shifted` out",
            )
        try:
            other.samples.every_class(classes, len(classes))
        except BadData as error:
            raise error.about(f"the data '{name}'") from None


def _radius(prepared: Prepared, limits: Mapping[str, Limit]) -> float | None:
    """The radius that limits are about, where what measures them is planned."""
    kinds = {task.kind for task in prepared.plan.tasks}
    for name in limits:
        needed = _MEASURED_BY.get(name, ("clean",))
        if kinds.isdisjoint(needed):
            reason = prepared.radii.missing if name in _AT_RADIUS else ""
            reason = reason or next(
                (m.reason for m in prepared.plan.missing if m.key.startswith(f"{needed[0]}/")), ""
            )
            words = f" ({reason})" if reason else ""
            raise BadSetting(
                f"`{name}` is about {' or '.join(needed)} parts of an evaluation, and none is "
                f"planned{words}"
            )
    radii, asked = prepared.radii.values, prepared.request.gate_radius
    if asked is None:
        return radii[(len(radii) - 1) // 2] if radii else None
    if not any(name in _AT_RADIUS for name in limits):
        raise BadSetting(
            "`gate_radius` is about gates of attacks and proofs, and there is none",
            "give one, such as `min_certified`",
        )
    if asked not in radii:
        there = ", ".join(f"{radius:g}" for radius in radii)
        raise BadSetting(f"`gate_radius` is one of the radii evaluated ({there}), got {asked:g}")
    return asked


def _read_baseline(
    path: Path, asked: AskedGates
) -> tuple[dict[tuple[str, int | None], dict[str, Figure]], str]:
    """Figures of a kept result about the same samples, and in words which result it is.

    Raises
    ------
    BadData, BadSetting
    """
    values = read_result(path, _SCHEMA)
    try:
        _check_question(path, values, asked)
        labels = [int(label) for label in values["labels"]]
        models = {str(each["model"]["name"]): _model(each) for each in values["models"]}
        found = {}
        for name in asked.names:
            model = models.get(name, next(iter(models.values())) if len(models) == 1 else None)
            if model is None:
                raise BadSetting(f"'{path}' has several networks, and '{name}' is none of them")
            _check_counts(model, len(labels))
            for label, its in asked.figures(model, labels).items():
                found[name, label] = _as_limits(its, model, asked)
    except (AttributeError, LookupError, TypeError, ArithmeticError) as error:
        raise BadData(f"'{path}' is no whole result: {type(error).__name__} {error}") from None
    except ValueError as error:
        if isinstance(error, BadData | BadSetting):
            raise
        raise BadData(f"'{path}' holds a value that cannot be: {error}") from None
    return found, f"{path}, of {', '.join(models)}: the same samples by their digest"


def _as_limits(
    found: dict[str, Figure], model: ModelEvaluation, asked: AskedGates
) -> dict[str, Figure]:
    """Figures of a kept result; a part that it lacks makes no limit easier to keep."""
    limits = {
        name: replace(its, least=its.most) if name in _MOST_IS_A_LIMIT else its
        for name, its in found.items()
    }
    if "min_certified" not in found:
        # Without a proof every label may have changed: a limit that everything keeps.
        limits.pop("max_changed", None)
    elif lost(model, "certified", asked.radius, frozenset(asked.prepared.radii.values)):
        limits["max_changed"] = replace(found["max_changed"], most=found["max_changed"].least)
    return limits


def _check_question(path: Path, values: dict[str, Any], asked: AskedGates) -> None:
    """Refuse a result of other samples, or of other attacks and corruptions."""
    prepared = asked.prepared
    if values["interrupted"] is not False:
        raise BadData(f"'{path}' was interrupted, and lacks parts", "give a whole result")
    if values["data"]["samples_sha256"] != prepared.digest:
        raise BadData(
            f"'{path}' is about other samples than this evaluation, or about other units of their "
            "features",
            "give a result about the same ones",
        )
    radii, relative = prepared.radii, {k for k, v in asked.limits.items() if v.relative}
    clip = finite_ends(radii.perturbation.clip)
    pairs: list[tuple[str, Any, Any]] = []
    if relative.intersection(_AT_RADIUS):
        pairs += [("radius unit", values["radius_unit"], radii.unit)]
        pairs += [("clip", values["clip"], clip)]
        if asked.radius not in values["radii"]:
            pairs += [("radii", values["radii"], asked.radius)]
    settings, severities = values["settings"], sorted(set(prepared.request.severities))
    if "min_robust" in relative:
        pairs += [("attacks", settings["attacks"], prepared.plan.named("attack"))]
    if "min_corrupted" in relative:
        pairs += [("corruptions", settings["corruptions"], prepared.plan.named("corruption"))]
        pairs += [("severities", settings["severities"], ", ".join(map(str, severities)))]
    if "min_shifted" in relative:
        pairs += [("shifts", _shifts_of(values), _shifts_now(prepared))]
    for name, before, now in pairs:
        if before != now:
            raise BadSetting(
                f"'{path}' is about another question: its {name} is {before}, here it is {now}",
                "give a result of the same question",
            )


def _shifts_of(values: dict[str, Any]) -> str:
    """Other data sets of a kept result, by what tells them apart."""
    every = {
        (row["shift"], row["samples_sha256"], row.get("classes_sha256"))
        for model in values["models"]
        for row in model["shifts"]
    }
    return _told(every)


def _shifts_now(prepared: Prepared) -> str:
    return _told(
        {
            (name, other.samples.digest, other.classes_digest)
            for name, other in prepared.shifts.items()
        }
    )


def _told(every: set[tuple[str, str, str | None]]) -> str:
    texts = [
        f"{name} ({' '.join(each[:12] for each in digests if each)})" for name, *digests in every
    ]
    return ", ".join(sorted(texts)) or "none"


def _check_counts(model: ModelEvaluation, samples: int) -> None:
    """Refuse, with `ValueError`, counts of predictions that no samples have."""
    every = [row.classified for row in model.clean]
    every += [row.classified for row in model.attacks]
    every += [row.classified for row in model.corruptions]
    every += [row.classified for row in model.shifts]
    counts = [count for each in every for line in each.confusion for count in line]
    if any(type(count) is not int or count < 0 for count in counts):
        raise ValueError("predictions are counted by whole numbers of at least 0")
    clean = clean_row(model)
    if clean is not None and clean.classified.samples != samples:
        raise ValueError(f"{clean.classified.samples} predictions of {samples} samples")


def _model(values: dict[str, Any]) -> ModelEvaluation:
    facts = values["model"]
    rows: dict[str, Any] = {
        name: tuple(from_plain({"kind": kind, **row}) for row in values[name])
        for name, kind in _ROWS.items()
    }
    model = ModelFacts(
        name=str(facts["name"]),
        output_names=(),
        path=facts["path"],
        sha256=str(facts["sha256"]),
        inputs=tuple(facts["inputs"]),
        outputs=tuple(facts["outputs"]),
        parameters=int(facts["parameters"]),
        unstable=None,
    )
    return ModelEvaluation(model=model, **rows)
