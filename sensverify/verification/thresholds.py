"""Thresholds beside what is proven and what is attained: kept, exceeded, or undecided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sensverify.core.box import Box
from sensverify.core.sensitivity import Sensitivity
from sensverify.formats.onnx.heads import Head
from sensverify.verification.sample_result import SampleResult

Range = tuple[tuple[float, ...], tuple[float, ...]]
"""A range of outputs: the low ends and the high ends, one number or one for each output."""


class Limits(Protocol):
    """Thresholds by name; None: it is not asked for."""

    @property
    def max_log_volume(self) -> float | None: ...
    @property
    def max_width(self) -> float | None: ...
    @property
    def max_deviation(self) -> tuple[float, ...] | None: ...
    @property
    def output_range(self) -> Range | None: ...


@dataclass(frozen=True, eq=False)
class Threshold:
    """A threshold beside the figures of every sample: one figure, or one for each output.

    Parameters
    ----------
    asked, over : str
        What is asked and what is not kept, in words: ``width at most 2``, ``width above 2``.
    limits : numpy array, shape ``[figures]``
    proven : numpy array, shape ``[samples, figures]``
        No input in the box has a larger figure.
    attained : sequence of (numpy array, shape ``[figures]``, or None)
        Some input has as large a one; None where the method looks for none.
    stopped : sequence of bool
        Samples whose figures more time may make tighter.
    indexes : sequence of int
        Numbers of the samples.
    largest : str
        What stands before the figure that exceeds its limit most.
    """

    asked: str
    over: str
    limits: np.ndarray
    proven: np.ndarray
    attained: Sequence[np.ndarray | None]
    stopped: Sequence[bool]
    indexes: Sequence[int]
    largest: str = "largest"

    @property
    def kept(self) -> list[bool | None]:
        """True for each sample that keeps it, False where not; None where that is undecided."""
        each = zip(self.proven, self.attained, self.stopped, strict=True)
        return [self._kept(*values) for values in each]

    def _kept(self, proven: np.ndarray, attained: np.ndarray | None, stopped: bool) -> bool | None:
        # Written so that a NaN keeps nothing.
        over = ~(proven <= self.limits)
        if not over.any():
            return True
        open_still = stopped if attained is None else (attained <= self.limits)[over].all()
        return None if open_still else False

    @property
    def excess(self) -> list[tuple[float, float]]:
        """The largest excess over the limits of every sample: its least and its largest end.

        From what is attained to what is proven; see `kept`.
        """
        found = []
        for proven, attained, stopped in zip(self.proven, self.attained, self.stopped, strict=True):
            most = float((proven - self.limits).max())
            least = -np.inf if stopped else most
            if attained is not None:
                least = min(most, float((attained - self.limits).max()))
            found.append((least, most))
        return found

    def line(self, verdict: bool | None) -> str:
        """The samples with this verdict in words; empty where there are none."""
        rows = [i for i, kept in enumerate(self.kept) if kept is verdict]
        if not rows:
            return ""
        excess = (self.proven - self.limits).max(axis=1)
        worst = max(rows, key=lambda i: excess[i])
        output = int((self.proven - self.limits)[worst].argmax())
        where = f"sample {self.indexes[worst]}"
        if len(self.limits) > 1:
            where += f", output {output}"
        return (
            f"{self.over} for {len(rows)} of {len(self.indexes)} samples "
            f"({self.largest} {self.proven[worst, output]:.6g}, {where})"
        )


def listed(values: Sequence[float]) -> str:
    """One number, or several with commas."""
    shown = [f"{value:g}" for value in values]
    return shown[0] if len(set(shown)) == 1 else ", ".join(shown)


@dataclass(frozen=True, eq=False)
class _Ends:
    """The box of a sample's outputs or probabilities, values attained in it, and its middle."""

    lower: np.ndarray
    upper: np.ndarray
    attained: tuple[np.ndarray, np.ndarray] | None
    output: np.ndarray
    rounding: np.ndarray | float

    @classmethod
    def of(cls, sample: SampleResult, head: Head | None) -> _Ends:
        if sample.probability_lower is not None and sample.probability_upper is not None:
            found = (Head(("Softmax",), "softmax") if head is None else head).probabilities(
                sample.output[None]
            )
            return cls(sample.probability_lower, sample.probability_upper, None, found[0], 0.0)
        attained = None
        if sample.inner_lower is not None and sample.inner_upper is not None:
            attained = sample.inner_lower, sample.inner_upper
        # Certified bounds are about the real-valued network, its output is evaluated in float32.
        rounding = 0.0 if sample.float32_margin is None else sample.float32_margin
        return cls(sample.lower, sample.upper, attained, sample.output, rounding)

    @property
    def sensitivity(self) -> Sensitivity:
        return Sensitivity.of(Box(self.lower[None], self.upper[None]))

    def outside(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Distance of the box, and of what is attained, beyond a range."""
        beyond = None
        if self.attained is not None:
            beyond = np.maximum(self.attained[1] - high, low - self.attained[0])
        return np.maximum(self.upper - high, low - self.lower), beyond


def deviations(sample: SampleResult, head: Head | None = None) -> np.ndarray:
    """Largest distance of every output from its value at the sample, ``[outputs]``, as proven."""
    ends = _Ends.of(sample, head)
    return np.maximum(ends.upper - ends.output, ends.output - ends.lower) + ends.rounding


def thresholds(
    samples: Sequence[SampleResult], limits: Limits, head: Head | None
) -> tuple[Threshold, ...]:
    """The thresholds that are asked for, beside the figures of samples.

    Parameters
    ----------
    samples : sequence of SampleResult
        Where they have probabilities, the thresholds are about those.
    limits : Limits
    head : Head or None
        What makes probabilities of outputs.
    """
    boxes = [_Ends.of(sample, head) for sample in samples]
    stopped, indexes = [s.stopped for s in samples], [s.index for s in samples]

    def threshold(
        words: tuple[str, str],
        limit: Sequence[float],
        found: Sequence[tuple[np.ndarray, np.ndarray | None]],
        largest: str = "largest",
    ) -> Threshold:
        proven, attained = np.stack([each for each, _ in found]), [each for _, each in found]
        ends = np.broadcast_to(np.asarray(limit, np.float64), proven.shape[1:])
        return Threshold(*words, ends, proven, attained, stopped, indexes, largest)

    def at_most(name: str, limit: Sequence[float]) -> tuple[str, str]:
        return f"{name} at most {listed(limit)}", f"{name} above {listed(limit)}"

    made = []
    if limits.max_log_volume is not None:
        words = at_most("log-volume", [limits.max_log_volume])
        figures = [
            (each.sensitivity.log_volume.numpy(), each.attained and _log_volume(*each.attained))
            for each in boxes
        ]
        made.append(threshold(words, [limits.max_log_volume], figures))
    if limits.max_width is not None:
        words = at_most("width", [limits.max_width])
        figures = [
            (each.sensitivity.widths.numpy().max(axis=1), each.attained and _width(*each.attained))
            for each in boxes
        ]
        made.append(threshold(words, [limits.max_width], figures))
    if limits.max_deviation is not None:
        words, figures = at_most("deviation", limits.max_deviation), []
        for sample, box in zip(samples, boxes, strict=True):
            moved = box.attained and np.maximum(
                box.attained[1] - box.output, box.output - box.attained[0]
            )
            figures.append((deviations(sample, head), moved))
        made.append(threshold(words, limits.max_deviation, figures))
    if limits.output_range is not None:
        low, high = (np.asarray(ends) for ends in limits.output_range)
        text = f"[{listed(limits.output_range[0])}, {listed(limits.output_range[1])}]"
        words = f"outputs within {text}", f"output outside of {text}"
        figures = [each.outside(low, high) for each in boxes]
        made.append(threshold(words, [0.0], figures, "by up to"))
    return tuple(made)


def _log_volume(lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(np.maximum(upper - lower, 0.0)).sum(keepdims=True)


def _width(lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    # In double precision; an interval of one point can cross by rounding.
    return np.maximum(upper - lower, 0.0).max(keepdims=True)
