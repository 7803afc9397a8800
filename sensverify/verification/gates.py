"""Gates of a verification run: the figures of its samples, beside those of a kept result."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from sensverify.core.box import Box
from sensverify.core.gates import Figure, Gate, Limit, judge, read_limits
from sensverify.core.results import Status
from sensverify.errors import BadData, BadSetting
from sensverify.models.loading import LoadedModel
from sensverify.runs.json_text import read_result
from sensverify.verification.question import Question
from sensverify.verification.request import LIMITED, VerifyRequest
from sensverify.verification.results import VerifyReport
from sensverify.verification.sample_result import Judged, SampleResult

_SCHEMA = "sensverify.verify/2"

_KEPT = {"certified": True, "changes": False, "undecided": None}


def figures(samples: Sequence[SampleResult], missing: int = 0) -> dict[str, Figure]:
    """The figures of samples by the names of their gates.

    Parameters
    ----------
    samples : sequence of SampleResult
    missing : int
        Samples that were asked about, of which nothing was found.

    Returns
    -------
    dict
        Shares are of the samples with a label, or of those whose class was asked to keep its
        place, from what is proven to what is possible; without any there are none.
    """
    found = {}
    labelled = [sample.prediction == sample.label for sample in samples if sample.label is not None]
    kept = [sample.kept for sample in samples if sample.judged_class is not None]
    proven, changed, right = kept.count(True), kept.count(False), sum(labelled)
    asked, total = len(kept) + missing, len(labelled) + missing
    for name, least, most, whole, some in (
        ("min_certified", proven, asked - changed, asked, kept),
        ("min_accuracy", right, right + missing, total, labelled),
        ("max_changed", changed, asked - proven, asked, kept),
    ):
        if some:
            found[name] = Figure(least / whole, most / whole, whole, share=True)
    for name in ("max_width", "max_log_volume"):
        if samples:
            # numpy's largest of a NaN is a NaN.
            least, most = np.max([sample.extent(name) for sample in samples], axis=0)
            found[name] = Figure(float(least), math.inf if missing else float(most), len(samples))
    return found


@dataclass(frozen=True, eq=False)
class AskedGates:
    """The gates of a request, checked against its question before any work is done.

    Parameters
    ----------
    limits : dict of str to Limit
    question : Question
    classes : tuple of str
        Names of the classes that every gate holds for; empty: only for all samples together.
    earlier : tuple of SampleResult or None
        Of the kept result that limits are relative to.
    baseline : str or None
        That result, in words.
    """

    limits: dict[str, Limit]
    question: Question
    classes: tuple[str, ...] = ()
    earlier: tuple[SampleResult, ...] | None = None
    baseline: str | None = None

    @classmethod
    def of(
        cls, request: VerifyRequest, question: Question, model: LoadedModel, names: Sequence[str]
    ) -> AskedGates:
        """The gates of a request; ``names`` are those of the classes, where they have any.

        Raises
        ------
        BadData
            They are about labels, or classes, of which there are no samples; or the kept result
            cannot be read, or is about other samples.
        BadSetting
            The kept result is about another question, or lacks a figure.
        """
        limits = read_limits(request, LIMITED)
        asked = cls(limits, question)
        if not limits and request.max_deviation is None and request.output_range is None:
            return asked
        if question.labels is None and ("min_accuracy" in limits or request.per_class):
            name = "min_accuracy" if "min_accuracy" in limits else "per_class"
            raise BadData(
                f"the samples have no labels, which `{name}` is about", "give data with the array y"
            )
        if question.judged == "nothing" and limits.keys() & {"min_certified", "max_changed"}:
            raise BadData(f"'{model.name}' has no classes that `min_certified` could be about")
        if request.per_class:
            outputs = prod(model.network.output_shape)
            asked = replace(asked, classes=question.samples.every_class(names, outputs))
        if request.baseline is not None:
            earlier, told = _read_baseline(request.baseline, request, question)
            asked = replace(asked, earlier=earlier, baseline=told)
            # Whatever the baseline lacks is said before the work.
            asked._judged(())
        return asked

    def judged(self, report: VerifyReport) -> VerifyReport:
        """The report with a verdict on every gate."""
        gates = self._judged(report.samples)
        gates += self._outputs(report, None)
        for label, name in enumerate(self.classes):
            gates += self._outputs(report, label, name)
        if not gates:
            return report
        whole = {gate.name: gate.limit for gate in gates if gate.group is None}
        return replace(
            report,
            gates=gates,
            max_width=whole.get("max_width"),
            max_log_volume=whole.get("max_log_volume"),
            baseline=self.baseline,
        )

    def _outputs(
        self, report: VerifyReport, label: int | None, group: str | None = None
    ) -> tuple[Gate, ...]:
        """Gates of what is asked of each output on its own."""
        samples = [each for each in report.samples if label in (None, each.label)]
        missing = len(report.samples) < len(self.question)
        asked = replace(report, samples=tuple(samples), max_width=None, max_log_volume=None)
        names = {"max_deviation": report.max_deviation, "max_outside": report.output_range}
        there = [name for name, limit in names.items() if limit is not None]
        if not samples:
            return tuple(Gate(name, Figure(None, None, 0), 0.0, group) for name in there)
        gates = []
        for name, threshold in zip(there, asked.thresholds, strict=True):
            least, most = map(float, np.max(threshold.excess, axis=0))
            # Where every output has a limit of its own, the figure is what exceeds it.
            limits = set(threshold.limits.tolist())
            limit = limits.pop() if len(limits) == 1 else 0.0
            figure = Figure(least + limit, math.inf if missing else most + limit, len(samples))
            gates.append(Gate(name, figure, limit, group))
        return tuple(gates)

    def _judged(self, samples: Sequence[SampleResult]) -> tuple[Gate, ...]:
        labels, before = self.question.labels, self.earlier
        missing = len(self.question) - len(samples)
        then = None if before is None else figures(before)
        found = judge(figures(samples, missing), self.limits, then)
        for label, name in enumerate(self.classes):
            assert labels is not None
            own = [sample for sample in samples if sample.label == label]
            absent = int((labels[len(samples) :] == label).sum())
            if before is not None:
                then = figures([sample for sample in before if sample.label == label])
            found += judge(figures(own, absent), self.limits, then, group=name)
        return found


def _read_baseline(
    path: Path, request: VerifyRequest, question: Question
) -> tuple[tuple[SampleResult, ...], str]:
    """The samples of a kept result about the same question, and in words which result it is.

    Raises
    ------
    BadData, BadSetting
    """
    values = read_result(path, _SCHEMA)
    if question.labels is None and question.confusions is not None:
        name = "targets" if request.costs is None else "costs"
        raise BadSetting(
            f"without labels, `{name}` is about the samples that a network itself takes for a "
            "class, and these are others in an earlier result",
            "give data with labels, or numbers as limits",
        )
    try:
        samples = tuple(map(_sample, values["samples"]))
        digest, stopped = values["input"]["samples_sha256"], values["interrupted"]
        model, method = values["model"]["path"], values["method"]["name"]
        _check_question(path, values["input"], question)
        then = {
            **values["asked"],
            "costs": (values["asked"]["costs"] or {}).get("confusions_sha256"),
        }
        now = {name: getattr(request, name) for name in ("threshold", "top_k", "targets")}
        now["costs"] = None if request.costs is None else question.confusions_sha256
        for name, value in now.items():
            if then[name] != value:
                raise BadSetting(f"'{path}' is about another `{name}` than this run")
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError) as error:
        raise BadData(f"'{path}' is no whole result: {type(error).__name__} {error}") from None
    except ValueError as error:
        if isinstance(error, BadSetting):
            raise
        raise BadData(f"'{path}' holds a value that cannot be: {error}") from None
    if stopped is not False:
        raise BadData(f"'{path}' was interrupted, and lacks samples", "give a whole result")
    if any((sample.probabilities is not None) != request.probabilities for sample in samples):
        raise BadSetting(f"of '{path}' and this run, one bounds probabilities, the other does not")
    labels = [None] * len(question) if question.labels is None else question.labels.tolist()
    own = list(zip(question.samples.places.tolist(), labels, strict=True))
    if [(sample.index, sample.label) for sample in samples] != own or digest != question.digest:
        raise BadData(
            f"'{path}' is about other samples than this run, or about other radii of their "
            "features",
            "give a result about the same ones",
        )
    return samples, f"{path}, of {model} by {method}: the same samples by their digest"


def _check_question(path: Path, asked: dict[str, Any], question: Question) -> None:
    """Refuse a result of inputs that moved otherwise."""
    for name in ("radius", "sigma", "clip", "box", "set"):
        now, then = getattr(question.facts, name), asked.get(name)
        now, then = (Path(each).name if isinstance(each, str) else each for each in (now, then))
        if (list(now) if isinstance(now, tuple) else now) != then:
            raise BadSetting(
                f"'{path}' is about another question: its {name} is {then}, here it is {now}",
                "give a result of the same question",
            )


def _sample(values: dict[str, Any]) -> SampleResult:
    words = values["label_kept"], values["prediction_kept"]
    label, stopped = values["label"], values["stopped"]
    judged: Judged = "nothing"
    if words[1] != "unasked":
        judged = "prediction"
    elif words[0] not in ("unasked", "unlabelled"):
        judged = "label"
    kept = None if judged == "nothing" else _KEPT[words[judged == "prediction"]]
    if not (isinstance(label, int | None) and isinstance(stopped, bool)):
        raise ValueError(f"label {label!r}, stopped {stopped!r}")
    alone = words[0] == "unlabelled"
    if alone != (label is None) or (judged == "prediction" and not alone):
        raise ValueError(f"label_kept {words[0]!r} of label {label!r}")
    lower, upper = _ends(values["outer"])
    inner, probable = (
        (None, None) if values[name] is None else _ends(values[name])
        for name in ("inner", "probabilities")
    )
    return SampleResult(
        index=int(values["index"]),
        label=label,
        prediction=int(values["prediction"]),
        output=_row(values["outputs"]),
        status=Status(values["status"]),
        lower=lower,
        upper=upper,
        inner_lower=inner[0],
        inner_upper=inner[1],
        certified=kept if judged == "label" else None,
        seconds=float(values["seconds"]),
        probability_lower=probable[0],
        probability_upper=probable[1],
        stopped=stopped,
        judged=judged,
        prediction_kept=kept if judged == "prediction" else None,
    )


def _row(values: Any) -> np.ndarray:
    row = np.asarray(values, dtype=np.float64)
    if row.ndim != 1 or row.size == 0:
        raise ValueError("a number for each output is missing")
    return row


def _ends(values: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    box = Box(*(np.asarray([values[end]], dtype=np.float64) for end in ("lower", "upper")))
    if box.lower.ndim != 2 or box.lower.size == 0:
        raise ValueError("an interval for each output is missing")
    return box.lower[0], box.upper[0]
