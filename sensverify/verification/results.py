"""Results of a verification run."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from sensverify.core.box import Box
from sensverify.core.brief import count_of
from sensverify.core.gates import Gate, exit_status
from sensverify.core.plain import finite, finite_ends
from sensverify.core.record import RunRecord
from sensverify.core.results import Guarantee
from sensverify.core.sensitivity import Sensitivity
from sensverify.core.shown import Shown
from sensverify.models.loading import ModelFacts
from sensverify.verification.certification import Certification
from sensverify.verification.classes import ClassResult, by_class
from sensverify.verification.sample_result import Judged, SampleResult
from sensverify.verification.thresholds import Range, Threshold, thresholds

__all__ = ["InputFacts", "Judged", "SampleResult", "Summary", "VerifyReport"]

NOTABLE = 100
"""Samples whose inputs a report keeps, and which a page draws."""

THRESHOLDS = ("max_width", "max_log_volume", "max_deviation", "max_outside")
"""Gates of single outputs, which have lines of their own."""


@dataclass(frozen=True)
class InputFacts:
    """The inputs that were asked about: samples of which data, moved how far.

    ``radius`` is a number or the name of a file; exactly one of ``radius``, ``sigma`` and ``box``
    is given. ``note`` says what of the data was left out, and why. ``part`` of the data is the
    ``test`` part, ``train`` or ``all`` of them, None where they have no parts. ``set`` says
    which part of the boxes is asked about, or which images; None: all of the boxes.
    """

    data: str | None
    radius: float | str | None
    sigma: float | None
    clip: tuple[float, float] | None
    box: str | None
    note: str | None = None
    part: str | None = None
    set: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them; an infinite end of the clip range is None.

        Whole boxes have no ``set``.
        """
        values = {**asdict(self), "clip": finite_ends(self.clip)}
        if self.set is None:
            del values["set"]
        return values


@dataclass(frozen=True)
class Summary:
    """All samples together.

    ``mean_log_volume`` and ``median_log_volume`` are taken over the samples whose log-volume is
    finite, that is without the ``degenerate_samples`` whose box has a zero width, and None when
    there is no other. ``mean_volume``, the seed's SENSE, counts those with volume 0; it is None
    when it does not fit a double. Shares are of the samples with a label, ``certified_fraction`` of
    those whose label something was asked of; None without any.
    ``prediction_kept_fraction`` is of those whose own prediction was judged.
    """

    samples: int
    degenerate_samples: int
    mean_volume: float | None
    mean_log_volume: float | None
    median_log_volume: float | None
    max_width: float
    certified_fraction: float | None
    accuracy: float | None
    prediction_kept_fraction: float | None = None


@dataclass(frozen=True, eq=False)
class VerifyReport(Shown):
    """Everything a run found, and everything needed to repeat it.

    ``interrupted``: somebody stopped the run; ``samples`` holds those that were finished by then,
    at least one, and what is said about them is proven all the same.
    ``certification``: the certificate of all samples here, where one was asked for; it has passed
    the independent check.
    ``asked``: what was asked beside the usual, by the names of the request's fields;
    ``confusions_sha256``: digest of which confusions cost something, by the file of ``costs``.
    ``class_names``: of all classes, in order; empty where nobody says. ``per_class``: whether it
    was asked for ``classes``.
    ``samples_sha256``: digest of the samples and labels that were asked about, and of how far each
    feature moves. ``gates``: every limit that was asked for, with its verdict; ``baseline`` says
    which kept result limits are relative to.
    ``pixels``: values of black and white where the samples are grey or RGB images, channels first;
    None where they are none, or nobody says.
    ``inputs``: those of the samples most worth a look (see `notable`), by their index.
    """

    model: ModelFacts
    perturbation: InputFacts
    method: str
    settings: dict[str, Any]
    guarantee: Guarantee
    device: str
    dtype: str
    seed: int
    seconds: float
    record: RunRecord
    samples: tuple[SampleResult, ...]
    max_log_volume: float | None = None
    max_width: float | None = None
    interrupted: bool = False
    certification: Certification | None = None
    max_deviation: tuple[float, ...] | None = None
    output_range: Range | None = None
    asked: Mapping[str, Any] = field(default_factory=dict)
    confusions_sha256: str | None = None
    class_names: tuple[str, ...] = ()
    per_class: bool = False
    gates: tuple[Gate, ...] = ()
    samples_sha256: str | None = None
    baseline: str | None = None
    pixels: tuple[float, float] | None = None
    inputs: Mapping[int, np.ndarray] = field(default_factory=dict)

    def __repr__(self) -> str:
        judged = Counter(s.kept_word for s in self.samples if s.judged_class is not None)
        found = [f"{count} {word}" for word, count in sorted(judged.items())]
        parts = [self.model.name, count_of(len(self.samples), "sample"), *found]
        parts += [f"largest width {self.summary.max_width:.4g}"]
        parts += [f"{self.guarantee} by {self.method}", *["interrupted"][: self.interrupted]]
        return f"VerifyReport({', '.join(parts)})"

    @cached_property
    def summary(self) -> Summary:
        """The samples together."""
        logs = [s.log_volume for s in self.samples if s.log_volume is not None]
        labelled = [s for s in self.samples if s.label is not None]
        asked = [s for s in labelled if s.judged == "label"]
        certified = sum(s.certified is True for s in asked)
        kept = [s.prediction_kept is True for s in self.samples if s.judged == "prediction"]
        right = sum(s.prediction == s.label for s in labelled)
        return Summary(
            samples=len(self.samples),
            degenerate_samples=len(self.samples) - len(logs),
            mean_volume=self._outer.mean_volume,
            mean_log_volume=statistics.fmean(logs) if logs else None,
            median_log_volume=statistics.median(logs) if logs else None,
            max_width=max(float(s.widths.max()) for s in self.samples),
            certified_fraction=certified / len(asked) if asked else None,
            accuracy=right / len(labelled) if labelled else None,
            prediction_kept_fraction=sum(kept) / len(kept) if kept else None,
        )

    @cached_property
    def classes(self) -> tuple[ClassResult, ...]:
        """The samples class by class."""
        return by_class(self.samples, self.class_names)

    @property
    def _outer(self) -> Sensitivity:
        ends = (np.stack([getattr(s, end) for s in self.samples]) for end in ("lower", "upper"))
        return Sensitivity.of(Box(*ends))

    @cached_property
    def thresholds(self) -> tuple[Threshold, ...]:
        """The thresholds that were asked about, beside the figures of every sample."""
        return thresholds(self.samples, self, self.model.head)

    @property
    def exceeded(self) -> tuple[str, ...]:
        """One line for every threshold that a sample exceeds; empty: none does, for all we know.

        Where attained values are known, they have to exceed it: the sample then does so for sure.
        A method that looks for none has given its answer with its bounds, unless it was stopped,
        and what they do not keep counts as exceeded.
        """
        lines = (threshold.line(False) for threshold in self.thresholds)
        return tuple(line for line in lines if line)

    @property
    def undecided(self) -> tuple[str, ...]:
        """One line for every threshold that the bounds of a sample exceed, its attained values not.

        More time, or a smaller gap, may decide it.
        """
        lines = (threshold.line(None) for threshold in self.thresholds)
        return tuple(line for line in lines if line)

    @property
    def float32_margin(self) -> float | None:
        """The largest one of all samples; None where one is not known, or none was asked for."""
        margins = [s.float32_margin for s in self.samples if s.float32_margin is not None]
        largest = max((float(margin.max()) for margin in margins), default=math.inf)
        return finite(largest)

    @property
    def exit_status(self) -> int:
        """0: done, and every gate passed; 1: one failed; 3: one is undecided, or interrupted."""
        gates = exit_status(self.gates)
        if self.exceeded or gates == 1:
            return 1
        return 3 if gates or self.undecided or self.interrupted else 0

    @property
    def shown_gates(self) -> tuple[Gate, ...]:
        """The gates; none where all are thresholds, which `exceeded` and `undecided` speak of."""
        beside = any(
            gate.name not in THRESHOLDS or gate.baseline is not None for gate in self.gates
        )
        return self.gates if beside or any(gate.group for gate in self.gates) else ()


def notable(samples: Sequence[SampleResult], most: int = NOTABLE) -> tuple[SampleResult, ...]:
    """Up to so many samples, in their order: those that change, then undecided ones, then others.

    Of samples alike, the first.
    """
    ranks = {False: 0, None: 1, True: 2}
    judged = (2 if each.judged_class is None else ranks[each.kept] for each in samples)
    places = sorted(range(len(samples)), key=list(judged).__getitem__)
    return tuple(samples[place] for place in sorted(places[:most]))
