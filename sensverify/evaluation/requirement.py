"""The figure of one requirement: of what is known of a network, and of a reference."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TypeAlias

from sensverify.classification.paired import Paired
from sensverify.classification.rates import Rate
from sensverify.core.gates import Figure
from sensverify.evaluation.curves import clean_row
from sensverify.evaluation.gates import figures
from sensverify.evaluation.results import ModelEvaluation
from sensverify.evaluation.specification import By, Requirement

_Ends: TypeAlias = tuple[float, float]


@dataclass(frozen=True)
class _Part:
    """One question about the same samples: those that are right, and those that may be."""

    known: frozenset[int]
    possible: frozenset[int]


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
    """

    requirement: Requirement
    attacks: frozenset[str]
    methods: frozenset[str]
    corruptions: tuple[tuple[str, tuple[int, ...]], ...]
    radius: float | None
    own: frozenset[int]

    def figure(self, model: ModelEvaluation, reference: ModelEvaluation | None = None) -> Figure:
        """The figure of a network, from what is known of it.

        Parameters
        ----------
        model : ModelEvaluation
        reference : ModelEvaluation, optional
            By interval, its figure moved by the interval of the difference from it, by pairs of
            samples.

        Returns
        -------
        Figure
            From ``least`` to ``most``. By interval, these are the ends of the 95 % interval, of
            the least that is known and of the most; of several corruptions and severities, the
            means of their ends, which is no narrower than it has to be as the samples are the same.
        """
        share, count = self.requirement.metric != "log_volume", len(self.own)
        if self.requirement.by == "certified":
            rows = tuple(row for row in model.certified if row.method in self.methods)
            bare = replace(model, certified=rows)
            nothing = Figure(None, None, 0, share=share)
            return figures(bare, self.radius, frozenset(), self.own).get(
                self.requirement.gate, nothing
            )
        clean = self._clean(model)
        if clean is None or not count:
            return Figure(None, None, 0, share=share)
        estimate = self._mean(self._estimate(clean, part) for part in self._parts(model, clean))
        if self.requirement.by == "estimate" or estimate is None:
            return self._as_figure(estimate, share)
        if reference is None:
            parts = [self._interval(clean, part) for part in self._parts(model, clean)]
            return self._as_figure(self._mean(parts), share, estimate)
        base = self._clean(reference)
        if base is None:
            return Figure(None, None, 0, share=share)
        pairs = zip(self._parts(model, clean), self._parts(reference, base), strict=True)
        apart = self._mean(_difference(one, other, count) for one, other in pairs)
        beside = self.figure_of_reference(reference)
        if apart is None or beside.most is None:
            return Figure(None, None, 0, share=share)
        return self._as_figure((beside.most + apart[0], beside.most + apart[1]), share, estimate)

    def figure_of_reference(self, reference: ModelEvaluation) -> Figure:
        """The estimate on these samples, or what is certified on them."""
        by: By = "certified" if self.requirement.by == "certified" else "estimate"
        plain = replace(self, requirement=replace(self.requirement, by=by))
        return plain.figure(reference)

    def _as_figure(self, ends: _Ends | None, share: bool, estimate: _Ends | None = None) -> Figure:
        if ends is None:
            return Figure(None, None, 0, share=share)
        middle = None if estimate is None or estimate[0] != estimate[1] else estimate[0]
        return Figure(ends[0], ends[1], len(self.own), share=share, estimate=middle)

    def _clean(self, model: ModelEvaluation) -> frozenset[int] | None:
        row = clean_row(model)
        return None if row is None else self.own.difference(row.wrong)

    def _parts(self, model: ModelEvaluation, clean: frozenset[int]) -> list[_Part]:
        """The parts that the figure is a mean of, in an order that is the same of every network."""
        if self.attacks:
            return [self._attacked(model, clean)]
        if not self.corruptions:
            return [_Part(clean, clean)]
        rows = {(row.corruption, row.severity): row.wrong for row in model.corruptions}
        found = []
        for name, severities in self.corruptions:
            for severity in severities:
                wrong = rows.get((name, severity))
                # What is missing may be anything.
                part = _Part(frozenset(), self.own)
                if wrong is not None:
                    right = self.own.difference(wrong)
                    part = _Part(right, right)
                found.append(part)
        return found

    def _attacked(self, model: ModelEvaluation, clean: frozenset[int]) -> _Part:
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
        return _Part(possible - unseen, possible)

    def _mean(self, ends: Iterable[_Ends | None]) -> _Ends | None:
        """The mean over corruptions of the mean over severities."""
        every = list(ends)
        known = [each for each in every if each is not None]
        if len(known) < len(every):
            return None
        left, means = iter(known), []
        for count in [len(severities) for _, severities in self.corruptions] or [1]:
            some = [next(left) for _ in range(count)]
            means.append((fmean(each[0] for each in some), fmean(each[1] for each in some)))
        return fmean(each[0] for each in means), fmean(each[1] for each in means)

    def _estimate(self, clean: frozenset[int], part: _Part) -> _Ends | None:
        total, right = len(self.own), len(clean)
        low, high = len(part.known), len(part.possible)
        if self.requirement.metric == "residual":
            return (right - high) / total, (right - low) / total
        if self.requirement.metric == "app":
            return None if right == 0 else (low / right, high / right)
        return low / total, high / total

    def _interval(self, clean: frozenset[int], part: _Part) -> _Ends | None:
        total = len(self.own)
        places = {place: k for k, place in enumerate(sorted(self.own))}
        low, high = Rate(len(part.known), total).interval, Rate(len(part.possible), total).interval
        if self.requirement.metric == "residual":
            known, possible, base = (
                [places[k] for k in each] for each in (part.known, part.possible, clean)
            )
            return (
                Paired.of(possible, base, total).interval[0],
                Paired.of(known, base, total).interval[1],
            )
        if self.requirement.metric == "app":
            least, most = Rate(len(clean), total).interval
            # Ends of two intervals: wider than that of the quotient on the same samples.
            return None if not least > 0 else (low[0] / most, high[1] / least)
        return low[0], high[1]


def _difference(one: _Part, other: _Part, total: int) -> _Ends:
    """The interval of a network's share of right samples minus a reference's."""
    places = {place: k for k, place in enumerate(sorted(one.possible | other.possible))}
    known, possible, its, its_most = (
        [places[k] for k in each] for each in (one.known, one.possible, other.known, other.possible)
    )
    return (
        Paired.of(its_most, known, total).interval[0],
        Paired.of(its, possible, total).interval[1],
    )
