"""The result of one sample: its output box, and whether its class keeps its place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from sensverify.core.box import Box
from sensverify.core.brief import span
from sensverify.core.results import Status
from sensverify.core.sensitivity import Sensitivity, finite_volume
from sensverify.verification.counterexample import Counterexample, example_arrays

Judged = Literal["label", "prediction", "nothing"]
"""The class that is asked to stay the largest output: a sample's label, or without any its own."""


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
    judged : str
        ``label``: ``certified`` is about the label. ``prediction``: there is none, and
        ``prediction_kept`` says of the prediction what ``certified`` says of labels. ``nothing``.
    prediction_kept : bool or None
    margins : numpy array or None, shape ``[outputs]``, float64
        Proven lower bounds of ``f_c - f_j`` over the box, where c is the class that was judged; NaN
        at c itself and at every j that was not asked about. What rounding, and a solver's
        tolerances, may have moved them by is taken off already, so that one above 0 is proven,
        with the guarantee of the report; with rigorous arithmetic they are what is left after it.
        Minus infinity where rounding has no limit. With a threshold, of which an output of the
        two is half the distance, a margin is the distance itself: of the logit, where the file
        ends in a sigmoid. None where nothing was asked of classes, or the method proves nothing.
    places : int
        The class was asked to stay among so many largest outputs.
    counterexample : Counterexample or None
        The input that refutes it, where the class is not kept; None for every other sample.
    explored : int or None
        Sub-boxes or nodes of the search that decided whether the class is kept, or did not come to
        an end; None where there was none. Its proof does not move the margins.
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
    judged: Judged = "label"
    prediction_kept: bool | None = None
    margins: np.ndarray | None = None
    places: int = 1
    counterexample: Counterexample | None = None
    explored: int | None = None

    @property
    def judged_class(self) -> int | None:
        """The label, or the prediction, that was asked to stay the largest output."""
        return {"label": self.label, "prediction": self.prediction, "nothing": None}[self.judged]

    @property
    def kept(self) -> bool | None:
        """True, False or None as ``certified`` has it, of the class that was judged."""
        return self.prediction_kept if self.judged == "prediction" else self.certified

    @property
    def kept_word(self) -> str:
        """The same in a word: ``certified``, ``changes`` or ``undecided``."""
        return {True: "certified", False: "changes", None: "undecided"}[self.kept]

    @property
    def label_kept(self) -> str:
        """Whether the label is: a word of `kept_word`, ``unlabelled`` or ``unasked``.

        Of an unasked label nothing was asked: no target or cost is about it.
        """
        if self.label is None:
            return "unlabelled"
        return self.kept_word if self.judged == "label" else "unasked"

    @property
    def margin(self) -> float | None:
        """The margin that decides: the least one; of ``places`` k, the k-th least.

        Above 0 it proves that the class keeps its place in the real-valued network; ``certified``
        asks in addition that the file's own output at the sample agrees. None without margins.
        """
        if self.margins is None:
            return None
        asked = np.sort(self.margins[~np.isnan(self.margins)])
        return float(asked[self.places - 1]) if len(asked) >= self.places else None

    def __repr__(self) -> str:
        label = "" if self.label is None else f"label {self.label}, "
        kept = "" if self.judged_class is None else f" {self.kept_word}"
        judged = f"{label}prediction {self.prediction},{kept}"
        return f"SampleResult({self.index}: {judged} widths {span(self.widths)})"

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

    def extent(self, limited: str) -> tuple[float, float]:
        """The least and the largest figure that a limit is about, by what is known.

        From what is attained to what is proven. A method that looks for nothing attained has given
        its answer with its bounds, unless it was stopped.

        Parameters
        ----------
        limited : str
            ``max_width``, of the widest output, or ``max_log_volume``; of the box around the
            probabilities where there is one.
        """
        box, attained = self.probabilities, None
        if box is not None:
            proven = float(box.widths.max() if limited == "max_width" else box.log_volume[0])
        elif limited == "max_width":
            proven, inner = float(self.widths.max()), self.attained_widths
            attained = None if inner is None else float(inner.max())
        else:
            # A box with a zero width has volume 0: it keeps every threshold.
            proven = -math.inf if self.log_volume is None else self.log_volume
            attained = self.attained_log_volume
        if attained is None:
            attained = -math.inf if self.stopped else proven
        return min(attained, proven), proven

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


def counterexamples(samples: Sequence[SampleResult]) -> dict[str, np.ndarray]:
    """Arrays of the counterexamples of all samples that change, one row for each.

    Parameters
    ----------
    samples : sequence of SampleResult

    Returns
    -------
    dict
        As of `example_arrays`, and ``outputs``, ``[examples, outputs]``: those of the original
        model.
    """
    rows, outputs = [], []
    for sample in samples:
        kept, example = sample.judged_class, sample.counterexample
        if kept is not None and example is not None:
            rows.append((sample.index, kept, example.prediction, example.input))
            outputs.append(example.outputs)
    return {**example_arrays(rows), "outputs": np.array(outputs)}
