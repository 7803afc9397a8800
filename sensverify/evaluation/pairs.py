"""Networks compared in pairs, sample by sample: which of two differences could be chance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal, TypeAlias

from sensverify.classification.paired import Paired, holm
from sensverify.core.brief import count_of
from sensverify.evaluation.curves import clean_rate, clean_row, radii_of, reached
from sensverify.evaluation.results import Evaluation, ModelEvaluation, ShiftRow

LEVEL = 0.05
"""Adjusted p-values below it are differences."""

Kind = Literal["clean", "worst", "attack", "certified", "corruption", "shift"]
KINDS: tuple[Kind, ...] = ("clean", "worst", "attack", "certified", "corruption", "shift")

_Question: TypeAlias = tuple[Kind, str, float | int | None]
_Outcome: TypeAlias = frozenset[int] | str
"""Positions of the samples that are right, or why these are not known."""

_NOT_KEPT = "which of its samples were wrong was not kept: it is of an earlier version"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two networks and one question that both have answered on the same samples.

    Parameters
    ----------
    first, second : str
        Names of the networks.
    kind : str
        ``clean``, ``worst`` (of all attacks), ``attack``, ``certified``, ``corruption`` or
        ``shift``.
    name : str
        The attack, method or corruption with its settings, or the other data set; of ``clean`` the
        part, of ``worst`` nothing.
    at : float, int or None
        Radius or severity.
    paired : Paired or None
        Samples by which of the two has them right: its label is the largest output, or under an
        attack kept, or proven.
    adjusted : float or None
        The p-value of `Paired`, adjusted after Holm for all comparisons of this kind.
    untested : str
        Why the two are not compared; empty where they are.
    """

    first: str
    second: str
    kind: Kind
    name: str
    at: float | int | None
    paired: Paired | None = None
    adjusted: float | None = None
    untested: str = ""

    @property
    def better(self) -> str | None:
        """The network with more right samples where that is no chance (`LEVEL`); else None."""
        if self.paired is None or self.adjusted is None or not self.adjusted < LEVEL:
            return None
        return self.second if self.paired.difference > 0 else self.first


def compare_pairs(evaluation: Evaluation) -> tuple[Comparison, ...]:
    """Every two networks in every question that both have answered, by McNemar's exact test.

    Questions are accuracy on test samples as they are, under every attack and under all of them at
    every radius, the share that is certified, accuracy under every corruption at every severity,
    and accuracy on every other data set. Nothing is tested where it is not known of every sample
    whether it is right: which an attack without a gradient does not say, nor a row without its
    samples; nor where one network has met other attacks, or other samples, than the other.

    Returns
    -------
    tuple of Comparison
        Pair by pair, in the order of the networks, within these by kind; none of one network.
    """
    known = [_outcomes(model) for model in evaluation.models]
    found = []
    for one, other in combinations(range(len(evaluation.models)), 2):
        first, second = evaluation.models[one], evaluation.models[other]
        for question in known[one]:
            if question in known[other]:
                found.append(_compared(first, second, question, known[one], known[other]))
    return _adjusted(found)


def _adjusted(found: list[Comparison]) -> tuple[Comparison, ...]:
    """The comparisons with p-values adjusted for all of their kind."""
    tested = {
        kind: [k for k, each in enumerate(found) if each.kind == kind and each.paired is not None]
        for kind in KINDS
    }
    for places in tested.values():
        values = [pair.p_value for k in places if (pair := found[k].paired) is not None]
        for place, value in zip(places, holm(values), strict=True):
            found[place] = replace(found[place], adjusted=value)
    return tuple(found)


def _compared(
    first: ModelEvaluation,
    second: ModelEvaluation,
    question: _Question,
    one: dict[_Question, _Outcome],
    other: dict[_Question, _Outcome],
) -> Comparison:
    kind, name, at = question
    made = Comparison(first=first.model.name, second=second.model.name, kind=kind, name=name, at=at)
    for model, outcome in ((first, one[question]), (second, other[question])):
        if isinstance(outcome, str):
            return replace(made, untested=f"{model.model.name}: {outcome}")
    if kind == "worst" and _attacks(first, at) != _attacks(second, at):
        return replace(made, untested="the two networks have not met the same attacks")
    right, rights, total = one[question], other[question], clean_rate(first).total
    assert not isinstance(right, str)
    assert not isinstance(rights, str)
    if kind == "shift":
        row, its = _shift(first, name), _shift(second, name)
        if (row.samples_sha256, row.classes_sha256) != (its.samples_sha256, its.classes_sha256):
            return replace(made, untested="the two networks have not met the same samples")
        total = row.samples
    return replace(made, paired=Paired.of(right, rights, total))


def _shift(model: ModelEvaluation, name: str) -> ShiftRow:
    return next(row for row in model.shifts if row.shift == name)


def _attacks(model: ModelEvaluation, radius: float | None) -> set[tuple[str, float | None]]:
    """The attacks that the worst at a radius is of."""
    rows = [(row.attack, row.radius) for row in model.attacks]
    return {(name, at) for name, at in rows if at is None or radius is None or at <= radius}


def _outcomes(model: ModelEvaluation) -> dict[_Question, _Outcome]:
    """Of every question, the samples that are right."""
    clean = clean_row(model)
    if clean is None:
        return {}
    every = frozenset(range(clean_rate(model).total))
    found: dict[_Question, _Outcome] = {("clean", "test", None): every.difference(clean.wrong)}
    for radius in radii_of(model):
        there = [frozenset(row.blind) for row in model.attacks if row.radius in (radius, None)]
        if there:
            right = every - reached(model, model.attacks, radius)
            found["worst", "", radius] = _seen(right, frozenset.intersection(*there))
    found |= dict(_under_attacks(model, every))
    for row in model.certified:
        found["certified", row.method, row.radius] = frozenset(row.certified)
    for each in model.corruptions:
        wrong = each.wrong
        known = _NOT_KEPT if wrong is None else every.difference(wrong)
        found["corruption", each.corruption, each.severity] = known
    for shift in model.shifts:
        found["shift", shift.shift, None] = frozenset(range(shift.samples)).difference(shift.wrong)
    return found


def _under_attacks(
    model: ModelEvaluation, every: frozenset[int]
) -> Iterator[tuple[_Question, _Outcome]]:
    for row in model.attacks:
        if row.radius is None:
            for radius in radii_of(model):
                right = every - reached(model, [row], radius)
                yield ("attack", row.attack, radius), _seen(right, frozenset(row.blind))
        else:
            # The samples that it breaks, whatever rounding makes of their reach.
            right = every - reached(model, [], 0.0) - frozenset(row.broken)
            yield ("attack", row.attack, row.radius), _seen(right, frozenset(row.blind))


def _seen(right: frozenset[int], blind: frozenset[int]) -> _Outcome:
    """The samples that are right; a reason where an attack says nothing of some of them."""
    unseen = len(right & blind)
    if unseen:
        return f"no gradient could be followed at {count_of(unseen, 'sample')} that kept the label"
    return right
