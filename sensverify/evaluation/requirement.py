"""The figure of one requirement: of what is known of a network, and of a reference."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from statistics import fmean
from typing import TypeAlias

import numpy as np

from sensverify.classification.estimates import Estimate
from sensverify.core.gates import Figure
from sensverify.evaluation.curves import clean_row
from sensverify.evaluation.figures import figures
from sensverify.evaluation.results import ModelEvaluation, ShiftRow
from sensverify.evaluation.specification import By, Requirement

_TEST = "test"
"""Name of the set of the samples that corruptions and attacks are made of."""

_Ends: TypeAlias = tuple[float, float]
_Estimates: TypeAlias = tuple[Estimate, Estimate]
"""A figure by what is known: the least that it can be, and the most."""


@dataclass(frozen=True)
class _Part:
    """Samples that are right, those that may be, and those that are right as they are."""

    known: Estimate
    possible: Estimate
    clean: Estimate | None


@dataclass(frozen=True, eq=False)
class AskedRequirement:
    """One requirement with what its names stand for here.

    Parameters
    ----------
    requirement : Requirement
    attacks, methods : frozenset of str
        By the names that rows have.
    corruptions : tuple of (str, tuple of int)
        Each with its severities.
    radius : float or None
    own : frozenset of int
        Positions of the samples that it is about.
    shifts : mapping from str to frozenset of int
        Of other data sets, the positions of the samples of each that it is about.
    """

    requirement: Requirement
    attacks: frozenset[str]
    methods: frozenset[str]
    corruptions: tuple[tuple[str, tuple[int, ...]], ...]
    radius: float | None
    own: frozenset[int]
    shifts: Mapping[str, frozenset[int]] = field(default_factory=dict)

    @property
    def samples(self) -> int:
        """Number of the samples that its figure is made of."""
        return sum(map(len, self.shifts.values())) if self.shifts else len(self.own)

    def figure(self, model: ModelEvaluation, reference: ModelEvaluation | None = None) -> Figure:
        """The figure of a network, from what is known of it.

        Parameters
        ----------
        model : ModelEvaluation
        reference : ModelEvaluation, optional
            By interval, its figure, or its share that is the limit, moved by the interval of the
            difference from that, sample by sample.

        Returns
        -------
        Figure
            From ``least`` to ``most``. By interval, these are the ends of the 95 % interval, of
            the least that is known and of the most (see `sensverify.classification.estimates`);
            of several corruptions and severities, or several other data sets, the means of their
            ends, which is no narrower than it has to be.
        """
        if self.requirement.by == "certified":
            return self._certified(model)
        parts = self._figures(model)
        if parts is None:
            return self._as_figure(None)
        estimate = self._mean((low.value, high.value) for low, high in parts)
        if self.requirement.by == "estimate":
            return self._as_figure(estimate)
        if reference is None:
            ends = self._mean(self._ends(low.lower, high.upper) for low, high in parts)
            return self._as_figure(ends, estimate)
        others, before = self._figures(reference), self.before(reference)
        if others is None or before is None:
            return self._as_figure(None)
        limit = self.requirement.limit
        factor = limit.value if limit.relative == "*" else 1.0
        apart = self._mean(
            (low.minus(most.times(factor)).lower, high.minus(least.times(factor)).upper)
            for (low, high), (least, most) in zip(parts, others, strict=True)
        )
        return self._as_figure((factor * before + apart[0], factor * before + apart[1]), estimate)

    def before(self, reference: ModelEvaluation) -> float | None:
        """The figure of a reference that limits are relative to; None where it is not known.

        What is certified, or the estimate; what it lacks makes no limit easier to keep.
        """
        proven = self.requirement.by == "certified"
        by: By = "certified" if proven else "estimate"
        its = replace(self, requirement=replace(self.requirement, by=by)).figure(reference)
        smallest = self.requirement.gate.startswith("min")
        end = its.least if smallest is proven else its.most
        return end if its.known and end is not None and isfinite(end) else None

    def _certified(self, model: ModelEvaluation) -> Figure:
        rows = tuple(row for row in model.certified if row.method in self.methods)
        found = figures(replace(model, certified=rows), self.radius, frozenset(), self.own)
        nothing = Figure(None, None, 0, share=self.requirement.metric != "log_volume")
        return found.get(self.requirement.gate, nothing)

    def _as_figure(self, ends: _Ends | None, estimate: _Ends | None = None) -> Figure:
        if ends is None:
            return Figure(None, None, 0, share=True)
        middle = None if estimate is None or estimate[0] != estimate[1] else estimate[0]
        return Figure(ends[0], ends[1], self.samples, share=True, estimate=middle)

    def _ends(self, lower: float, upper: float) -> _Ends:
        """Ends that the metric can have: differences of shares are from -1 to 1."""
        if self.requirement.metric == "residual":
            return max(lower, -1.0), min(upper, 1.0)
        return lower, upper

    def _figures(self, model: ModelEvaluation) -> list[_Estimates] | None:
        """The figure of every part, in an order that is the same of every network."""
        clean = clean_row(model)
        if clean is None or not self.samples:
            return None
        found = []
        for part in self._parts(model, clean.wrong):
            estimates = _metric(self.requirement.metric, part)
            if estimates is None:
                return None
            found.append(estimates)
        return found

    def _parts(self, model: ModelEvaluation, wrong: Sequence[int]) -> Iterator[_Part]:
        """The questions that the figure is a mean over."""
        if self.shifts:
            yield from self._shifted(model, wrong)
            return
        right = self.own.difference(wrong)
        clean = self._share(right)
        if self.attacks:
            known, possible = self._attacked(model, right)
            yield _Part(self._share(known), self._share(possible), clean)
            return
        if not self.corruptions:
            yield _Part(clean, clean, clean)
        rows = {(row.corruption, row.severity): row.wrong for row in model.corruptions}
        for name, severities in self.corruptions:
            for severity in severities:
                lost = rows.get((name, severity))
                # What is missing may be anything.
                ends = (frozenset(), self.own) if lost is None else (self.own.difference(lost),) * 2
                yield _Part(self._share(ends[0]), self._share(ends[-1]), clean)

    def _share(self, right: frozenset[int]) -> Estimate:
        return _share(right, self.own, _TEST)

    def _attacked(
        self, model: ModelEvaluation, clean: frozenset[int]
    ) -> tuple[frozenset[int], frozenset[int]]:
        radius = self.radius
        assert radius is not None
        rows = [row for row in model.attacks if row.attack.split(" through ")[0] in self.attacks]
        broken = {
            place
            for row in rows
            for place, reach in enumerate(row.reach)
            if reach is not None and reach <= radius
        }
        there = [row for row in rows if row.radius in (radius, None)]
        unseen = self.own.intersection(*(row.blind for row in there))
        if self.attacks - {row.attack for row in there}:
            # An attack that could not be had may have found anything.
            unseen = self.own
        possible = clean - broken
        return possible - unseen, possible

    def _shifted(self, model: ModelEvaluation, wrong: Sequence[int]) -> Iterator[_Part]:
        rows = {row.shift: row for row in model.shifts}
        for name, own in self.shifts.items():
            row = rows.get(name)
            if row is None:
                yield _Part(_share(frozenset(), own, name), _share(own, own, name), None)
                continue
            # By the digest: what is about other samples has nothing in common.
            found = _share(own.difference(row.wrong), own, f"{name} {row.samples_sha256}")
            clean = self._share(self.own.difference(wrong))
            yield _Part(found, found, clean if row.classes is None else _among(model, row))

    def _mean(self, ends: Iterable[_Ends]) -> _Ends:
        """The mean over corruptions of the mean over severities, or that over other data sets."""
        left, means = iter(ends), []
        for count in [len(severities) for _, severities in self.corruptions] or [
            len(self.shifts) or 1
        ]:
            some = [next(left) for _ in range(count)]
            means.append((fmean(each[0] for each in some), fmean(each[1] for each in some)))
        return fmean(each[0] for each in means), fmean(each[1] for each in means)


def _metric(metric: str, part: _Part) -> _Estimates | None:
    """A part's figure; None where there is none, as of the share of no right samples."""
    known, possible, clean = part.known, part.possible, part.clean
    if metric == "accuracy":
        return known, possible
    if clean is None:
        return None
    if metric == "residual":
        return clean.minus(possible), clean.minus(known)
    least, most = known.over(clean), possible.over(clean)
    return None if least is None or most is None else (least, most)


def _share(right: frozenset[int], own: frozenset[int], name: str) -> Estimate:
    order = np.array(sorted(own))
    return Estimate.share(np.isin(order, np.fromiter(right, np.int64, len(right))), name)


def _among(model: ModelEvaluation, row: ShiftRow) -> Estimate | None:
    """The clean accuracy among the classes of another data set, of which only counts are kept."""
    if not row.clean_samples or row.clean_right is None:
        return None
    right = np.arange(row.clean_samples) < row.clean_right
    return Estimate.share(right, f"{_TEST} among the classes of {row.shift}: {model.model.name}")
