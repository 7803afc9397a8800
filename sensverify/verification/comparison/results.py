"""Results of a comparison of two networks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from sensverify.core.gates import Figure, Gate, exit_status
from sensverify.core.record import RunRecord
from sensverify.core.results import Guarantee
from sensverify.core.shown import Shown
from sensverify.models.loading import ModelFacts
from sensverify.verification.certification import Certification
from sensverify.verification.results import InputFacts

Agreement = Literal["agrees", "differs", "undecided", "unasked"]
"""Whether two networks decide alike on all of a sample's box; unasked of a single output."""


@dataclass(frozen=True, eq=False)
class Disagreement:
    """An input on which two networks decide otherwise, in both of their files.

    Parameters
    ----------
    input : numpy array, shape ``[*input_shape]``
        As both files took it.
    old_outputs, new_outputs : numpy array, shape ``[outputs]``
    old, new : int
        The largest outputs.
    """

    input: np.ndarray
    old_outputs: np.ndarray
    new_outputs: np.ndarray
    old: int
    new: int

    def __repr__(self) -> str:
        return f"Disagreement(input {self.input.shape}, {self.old} and {self.new})"


@dataclass(frozen=True, eq=False)
class DiffSample:
    """One sample's box.

    Parameters
    ----------
    index : int
    label : int or None
    old, new : int
        The largest outputs of both at the sample itself.
    lower, upper : numpy array, shape ``[outputs]``
        Proven: every ``new - old`` on the box lies between them, rounding included.
    attained_lower, attained_upper : numpy array, shape ``[outputs]``
        The smallest and the largest that were found, in float64.
    apart : float or None
        Width of the widest interval where the two are bounded without pairing their neurons; None
        where that was not done beside.
    agreement : str
    disagreement : Disagreement or None
        Where they differ.
    exact : bool
        Whether both ends of every interval are attained, up to the method's gap.
    stopped : bool
        Whether more time could have made bounds tighter.
    seconds : float
    float32_margin : numpy array, shape ``[outputs]``, or None
        With a certificate: by how much a difference of both, evaluated in float32, can be off.
    """

    index: int
    label: int | None
    old: int
    new: int
    lower: np.ndarray
    upper: np.ndarray
    attained_lower: np.ndarray
    attained_upper: np.ndarray
    apart: float | None
    agreement: Agreement
    disagreement: Disagreement | None
    exact: bool
    stopped: bool
    seconds: float
    float32_margin: np.ndarray | None = None

    @property
    def width(self) -> float:
        """Width of the widest interval."""
        return float((self.upper - self.lower).max())

    @property
    def largest(self) -> float:
        """No output differs by more than this, proven."""
        return float(np.maximum(abs(self.lower), abs(self.upper)).max())

    @property
    def attained(self) -> float:
        """Some output differs by this."""
        return float(np.maximum(abs(self.attained_lower), abs(self.attained_upper)).max())


@dataclass(frozen=True, eq=False)
class DiffReport(Shown):
    """A comparison of two networks.

    Parameters
    ----------
    old, new : ModelFacts
    perturbation : InputFacts
    method : str
    settings : dict
    guarantee : Guarantee
        Of intervals and agreements; the weakest of all samples.
    paired : bool
        Whether neurons were paired; else the two were bounded beside each other.
    apart : tuple of str
        Nodes of the new network whose two sides were subtracted, or its last one where none pair.
    permuted : tuple of str
        Layers whose neurons the new network has in another order.
    same : bool
        Whether all weights are the same, but for that order: no input tells the two apart.
    device : str
    seed : int
    seconds : float
    record : RunRecord
    samples : tuple of DiffSample
    asked : int
        Samples that were asked about.
    samples_sha256 : str
    class_names : tuple of str
    gates : tuple of Gate
    interrupted : bool
    certificate : Certification or None
    """

    old: ModelFacts
    new: ModelFacts
    perturbation: InputFacts
    method: str
    settings: dict[str, Any]
    guarantee: Guarantee
    paired: bool
    apart: tuple[str, ...]
    permuted: tuple[str, ...]
    same: bool
    device: str
    seed: int
    seconds: float
    record: RunRecord
    samples: tuple[DiffSample, ...]
    asked: int
    samples_sha256: str
    class_names: tuple[str, ...]
    gates: tuple[Gate, ...] = ()
    interrupted: bool = False
    certificate: Certification | None = None

    def __repr__(self) -> str:
        found = [f"{count} {word}" for word, count in self.counts.items() if count]
        pair = f"{self.old.name}, {self.new.name}"
        return f"DiffReport({pair}, {', '.join(found)}, largest difference {self.largest:.4g})"

    @cached_property
    def counts(self) -> dict[Agreement, int]:
        """Samples by agreement; those that were not reached are undecided."""
        found = Counter(sample.agreement for sample in self.samples)
        missing = self.asked - len(self.samples)
        if missing and not found["unasked"]:
            found["undecided"] += missing
        words: tuple[Agreement, ...] = ("agrees", "differs", "undecided", "unasked")
        return {word: found[word] for word in words}

    @property
    def largest(self) -> float:
        """No output of any sample differs by more than this, proven."""
        return max(sample.largest for sample in self.samples)

    @property
    def width(self) -> float:
        """Mean width of the widest intervals."""
        return float(np.mean([sample.width for sample in self.samples]))

    @property
    def narrower(self) -> float | None:
        """The median number of times that intervals are narrower than those of both apart.

        None where they were not bounded apart beside, or inputs do not move; infinite where
        intervals are points.
        """
        pairs = [(s.apart, s.width) for s in self.samples if s.apart]
        if not pairs:
            return None
        return float(np.median([apart / width if width > 0 else np.inf for apart, width in pairs]))

    @property
    def exit_status(self) -> int:
        """0: done, and every gate passed; 1: one failed; 3: one is undecided, or interrupted."""
        return exit_status(self.gates) or (3 if self.interrupted else 0)


def figures(samples: tuple[DiffSample, ...], asked: int) -> dict[str, Figure]:
    """The figures of samples by the names of their gates; samples not reached are undecided."""
    found: dict[str, Figure] = {}
    words = [sample.agreement for sample in samples]
    if words and "unasked" not in words:
        agree, differ = words.count("agrees"), words.count("differs")
        found["min_agreement"] = Figure(agree / asked, 1 - differ / asked, asked, share=True)
        found["max_disagreement"] = Figure(differ / asked, 1 - agree / asked, asked, share=True)
    if samples:
        least = float(np.max([sample.attained for sample in samples]))
        most = float(np.max([sample.largest for sample in samples]))
        most = most if len(samples) == asked else np.inf
        found["max_difference"] = Figure(min(least, most), most, len(samples))
    return found


def disagreements(report: DiffReport) -> dict[str, np.ndarray]:
    """Arrays about the inputs on which two networks decide otherwise, one row for each.

    Returns
    -------
    dict
        ``x``, the inputs, ``[examples, *input_shape]``; ``old`` and ``new``, the decisions, and
        ``index``, the numbers of the samples, all int64.
    """
    rows = [(s.index, s.disagreement) for s in report.samples if s.disagreement is not None]
    return {
        "x": np.array([found.input for _, found in rows]),
        "old": np.array([found.old for _, found in rows], dtype=np.int64),
        "new": np.array([found.new for _, found in rows], dtype=np.int64),
        "index": np.array([index for index, _ in rows], dtype=np.int64),
    }
