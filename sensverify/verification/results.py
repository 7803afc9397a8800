"""Results of a verification run."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sensverify.core.box import Box
from sensverify.core.results import Guarantee, Status
from sensverify.core.sensitivity import Sensitivity, finite_volume
from sensverify.models.loading import ModelFacts
from sensverify.verification.certifying import Certification


@dataclass(frozen=True)
class InputFacts:
    """The inputs that were asked about: samples of which data, moved how far.

    ``radius`` is a number or the name of a file; exactly one of ``radius``, ``sigma`` and ``box``
    is given. ``note`` says what of the data was left out, and why.
    """

    data: str | None
    radius: float | str | None
    sigma: float | None
    clip: tuple[float, float] | None
    box: str | None
    note: str | None = None


@dataclass(frozen=True, eq=False)
class SampleResult:
    """The output box of one sample.

    Parameters
    ----------
    index : int
        Position in the data set.
    label : int or None
    prediction : int
        Largest output at the sample itself (the middle of the box where only a box was given).
    output : numpy array, shape ``[outputs]``
        The network's output there, in the network's own order, flattened.
    status : Status
    lower, upper : numpy arrays, shape ``[outputs]``, float64
        The outer box.
    inner_lower, inner_upper : numpy arrays or None
        Values that are attained at inputs in the box; None where the method looks for none.
    certified : bool or None
        True: the label is the largest output on the whole box, by proven margins that exceed a
        slack for rounding, or cover it by rigorous arithmetic, and also of the file's own output
        at the sample, in float32. False: an input in the box is
        known where it is not, also when onnxruntime runs the original file. None: neither is
        known, or there is no label.
    seconds : float
        This sample's share of its batch.
    proposed_lower, proposed_upper : numpy arrays or None, shape ``[outputs]``, float64
        The outer box as the method returned it, where ``lower`` and ``upper`` were re-derived
        from it with rigorous arithmetic.
    float32_margin : numpy array or None, shape ``[outputs]``
        By how much an output that is evaluated in float32 can differ from the real-valued one,
        which certified bounds are about; infinite where that is not known.
    probability_lower, probability_upper : numpy arrays or None, shape ``[classes]``, float64
        The least and the largest probability of each class, where they were asked for.
    stopped : bool
        The time was up, or somebody stopped the work, before the method's own end.
    """

    index: int
    label: int | None
    prediction: int
    output: np.ndarray
    status: Status
    lower: np.ndarray
    upper: np.ndarray
    inner_lower: np.ndarray | None
    inner_upper: np.ndarray | None
    certified: bool | None
    seconds: float
    proposed_lower: np.ndarray | None = None
    proposed_upper: np.ndarray | None = None
    float32_margin: np.ndarray | None = None
    probability_lower: np.ndarray | None = None
    probability_upper: np.ndarray | None = None
    stopped: bool = False

    @property
    def probabilities(self) -> Sensitivity | None:
        """The figures of the box around the probabilities, where they were asked for."""
        if self.probability_lower is None or self.probability_upper is None:
            return None
        return Sensitivity.of(Box(self.probability_lower[None], self.probability_upper[None]))

    @cached_property
    def _figures(self) -> Sensitivity:
        return Sensitivity.of(Box(self.lower[None], self.upper[None]))

    @property
    def widths(self) -> np.ndarray:
        """``upper - lower``, shape ``[outputs]``, in double precision."""
        return self._figures.widths[0].numpy()

    @cached_property
    def widening(self) -> np.ndarray | None:
        """Distance of the ends outside of the proposed ones, as a share of the proposed width.

        Shape ``[outputs]``, the larger of both ends, 0 where neither does; infinite where an
        interval of one point was widened. None where nothing else was proposed.
        """
        if self.proposed_lower is None or self.proposed_upper is None:
            return None
        moved = np.maximum(self.proposed_lower - self.lower, self.upper - self.proposed_upper)
        width = self.proposed_upper - self.proposed_lower
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(moved > 0, moved / width, 0.0)

    @cached_property
    def attained_widths(self) -> np.ndarray | None:
        """Widths between attained values, shape ``[outputs]``: the true ones are no smaller."""
        if self.inner_lower is None or self.inner_upper is None:
            return None
        # In double precision; an interval of one point can cross by rounding.
        return np.maximum(self.inner_upper - self.inner_lower, 0.0)

    @property
    def attained_log_volume(self) -> float | None:
        """Log-volume between attained values, minus infinity for volume 0; None without any."""
        if self.attained_widths is None:
            return None
        with np.errstate(divide="ignore"):
            return float(np.log(self.attained_widths).sum())

    @property
    def degenerate(self) -> tuple[int, ...]:
        """Outputs whose interval is one point."""
        return tuple(int(i) for i in np.flatnonzero(self.widths == 0))

    @property
    def log_volume(self) -> float | None:
        """Natural logarithm of the box's volume; None where a width is zero."""
        return None if self.degenerate else float(self._figures.log_volume[0])

    @property
    def volume(self) -> float | None:
        """Volume of the box; None where it does not fit a double, and the log-volume has it."""
        return finite_volume(float(self._figures.log_volume[0]))


@dataclass(frozen=True)
class Summary:
    """All samples together.

    ``mean_log_volume`` and ``median_log_volume`` are taken over the samples whose log-volume is
    finite, that is without the ``degenerate_samples`` whose box has a zero width, and None when
    there is no other. ``mean_volume``, the seed's SENSE, counts those with volume 0; it is None
    when it does not fit a double. Shares are of the samples with a label; None without any.
    """

    samples: int
    degenerate_samples: int
    mean_volume: float | None
    mean_log_volume: float | None
    median_log_volume: float | None
    max_width: float
    certified_fraction: float | None
    accuracy: float | None


@dataclass(frozen=True, eq=False)
class VerifyReport:
    """Everything a run found, and everything needed to repeat it.

    ``interrupted``: somebody stopped the run; ``samples`` holds those that were finished by then,
    at least one, and what is said about them is proven all the same.
    ``certification``: the certificate of all samples here, where one was asked for; it has passed
    the independent check.
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
    versions: dict[str, str]
    samples: tuple[SampleResult, ...]
    max_log_volume: float | None = None
    max_width: float | None = None
    interrupted: bool = False
    certification: Certification | None = None

    @cached_property
    def summary(self) -> Summary:
        """The samples together."""
        logs = [s.log_volume for s in self.samples if s.log_volume is not None]
        labelled = [s for s in self.samples if s.label is not None]
        certified = sum(s.certified is True for s in labelled)
        right = sum(s.prediction == s.label for s in labelled)
        return Summary(
            samples=len(self.samples),
            degenerate_samples=len(self.samples) - len(logs),
            mean_volume=self._outer.mean_volume,
            mean_log_volume=statistics.fmean(logs) if logs else None,
            median_log_volume=statistics.median(logs) if logs else None,
            max_width=max(float(s.widths.max()) for s in self.samples),
            certified_fraction=certified / len(labelled) if labelled else None,
            accuracy=right / len(labelled) if labelled else None,
        )

    @property
    def _outer(self) -> Sensitivity:
        ends = (np.stack([getattr(s, end) for s in self.samples]) for end in ("lower", "upper"))
        return Sensitivity.of(Box(*ends))

    @property
    def exceeded(self) -> tuple[str, ...]:
        """One line for every threshold that a sample exceeds; empty: none does, for all we know.

        Where attained values are known, they have to exceed it: the sample then does so for sure.
        A method that looks for none has given its answer with its bounds, unless it was stopped,
        and what they do not keep counts as exceeded.
        """
        lines = [
            _over(asked, [i for i, kept in enumerate(asked.kept) if kept is False])
            for asked in self._asked
        ]
        return tuple(line for line in lines if line)

    @property
    def undecided(self) -> tuple[str, ...]:
        """One line for every threshold that the bounds of a sample exceed, its attained values not.

        More time, or a smaller gap, may decide it.
        """
        lines = [
            _over(asked, [i for i, kept in enumerate(asked.kept) if kept is None])
            for asked in self._asked
        ]
        return tuple(line for line in lines if line)

    @property
    def float32_margin(self) -> float | None:
        """The largest one of all samples; None where one is not known, or none was asked for."""
        margins = [s.float32_margin for s in self.samples if s.float32_margin is not None]
        largest = max((float(margin.max()) for margin in margins), default=math.inf)
        return largest if math.isfinite(largest) else None

    @property
    def exit_status(self) -> int:
        """0: done, and every threshold holds; 1: one is exceeded; 3: undecided or interrupted."""
        if self.exceeded:
            return 1
        return 3 if self.undecided or self.interrupted else 0

    @property
    def _asked(self) -> list[_Threshold]:
        asked = []
        if any(sample.probabilities is not None for sample in self.samples):
            return self._asked_of_probabilities
        if self.max_log_volume is not None:
            # A box with a zero width has volume 0: it keeps every threshold.
            proven = [-math.inf if s.log_volume is None else s.log_volume for s in self.samples]
            attained = [s.attained_log_volume for s in self.samples]
            asked.append(
                _Threshold("log-volume", self.max_log_volume, self.samples, proven, attained)
            )
        if self.max_width is not None:
            proven = [float(s.widths.max()) for s in self.samples]
            attained = [
                None if s.attained_widths is None else float(s.attained_widths.max())
                for s in self.samples
            ]
            asked.append(_Threshold("width", self.max_width, self.samples, proven, attained))
        return asked

    @property
    def _asked_of_probabilities(self) -> list[_Threshold]:
        boxes = [s.probabilities for s in self.samples if s.probabilities is not None]
        open_still: list[float | None] = [None] * len(boxes)
        asked = []
        if self.max_log_volume is not None:
            proven = [float(box.log_volume[0]) for box in boxes]
            limit = self.max_log_volume
            asked.append(_Threshold("log-volume", limit, self.samples, proven, open_still))
        if self.max_width is not None:
            proven = [float(box.widths.max()) for box in boxes]
            asked.append(_Threshold("width", self.max_width, self.samples, proven, open_still))
        return asked


@dataclass(frozen=True, eq=False)
class _Threshold:
    """A threshold beside one figure of every sample: as proven, and as attained where known."""

    what: str
    limit: float
    samples: tuple[SampleResult, ...]
    proven: list[float]
    attained: list[float | None]

    @property
    def kept(self) -> list[bool | None]:
        """True for each sample that keeps it, False where not; None where that is undecided."""
        each = zip(self.proven, self.attained, self.samples, strict=True)
        return [self._kept(proven, attained, sample.stopped) for proven, attained, sample in each]

    def _kept(self, proven: float, attained: float | None, stopped: bool) -> bool | None:
        # Written so that a NaN keeps nothing.
        if proven <= self.limit:
            return True
        open_still = stopped if attained is None else attained <= self.limit
        return None if open_still else False


def _over(asked: _Threshold, over: list[int]) -> str:
    if not over:
        return ""
    worst = max(over, key=lambda i: asked.proven[i])
    return (
        f"{asked.what} above {asked.limit:g} for {len(over)} of {len(asked.samples)} samples "
        f"(largest {asked.proven[worst]:.6g}, sample {asked.samples[worst].index})"
    )
