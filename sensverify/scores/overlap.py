"""Overlaps of robustness: what training with one shift gives against another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev

from sensverify.classification.shift import app, residual_robustness
from sensverify.errors import BadSetting, NotMeasured
from sensverify.scores.columns import Metric, column, shift_names
from sensverify.scores.gains import STANDARD, gain, standard_of
from sensverify.scores.table import Scores


@dataclass(frozen=True)
class Overlap:
    """Two shifts.

    Parameters
    ----------
    first, second : str
    raw : float or None
        Half the sum of the two shares; below 0 where one harms the other. None where it was not
        measured, for the ``reason``.
    reason : str
    """

    first: str
    second: str
    raw: float | None
    reason: str = ""

    @property
    def score(self) -> float | None:
        """The overlapping score, at least 0."""
        return None if self.raw is None else max(0.0, self.raw)


@dataclass(frozen=True, kw_only=True)
class Overlaps:
    """Every two shifts, by rows.

    Parameters
    ----------
    metric, standard : str
    shifts : tuple of str
        That a network was trained with.
    pairs : tuple of Overlap
    clean : tuple of float
        Smallest and largest clean accuracy of the networks; residual robustness and APP compare
        them fairly where these are near each other. Empty where one is not known.
    """

    metric: str
    standard: str
    shifts: tuple[str, ...]
    pairs: tuple[Overlap, ...]
    clean: tuple[float, ...]

    def of(self, first: str, second: str) -> Overlap:
        """The overlap of two shifts.

        Raises
        ------
        BadSetting
            No network was trained with one of them.
        """
        for name in (first, second):
            if name not in self.shifts:
                raise BadSetting(
                    f"no network was trained with '{name}'",
                    f"networks were trained with {', '.join(self.shifts)}",
                )
        return self.pairs[self.shifts.index(first) * len(self.shifts) + self.shifts.index(second)]


def overlap(scores: Scores, *, metric: Metric = "residual", standard: str = STANDARD) -> Overlaps:
    """Overlapping scores of all shifts that a network was trained with.

    ``O = max(0, ((R_b(m_a) - R_b(s)) / (R_b(m_b) - R_b(s)) + (R_a(m_b) - R_a(s)) / (R_a(m_a) -
    R_a(s))) / 2)`` for shifts a and b, the networks m_a and m_b trained with them, and s trained
    without. 1 is complete, 0 none. Where the gain of a network on its own shift is within noise,
    or none in the metric, there is nothing to divide by, and its overlaps are not measured.

    Parameters
    ----------
    scores : Scores
        Networks are called as the shift that they were trained with.
    metric : str
        R: ``residual`` (clean accuracy minus accuracy), ``app`` (accuracy over clean accuracy), or
        ``accuracy``. Shifts of several severities count with their mean.
    standard : str
        Name of the network s.

    Raises
    ------
    BadSetting
        There is no network s, or fewer than two shifts with a network.

    Notes
    -----
    Source: Laugros 2022, Eq. 4.2.
    """
    groups = [each.group for each in scores.networks]
    names = [each.name for each in scores.networks]
    shifts = [name for name in shift_names(scores) if name in names]
    seeded = [name for name in shift_names(scores) if name not in names and name in groups]
    if seeded:
        raise BadSetting(
            f"overlaps are those of one training a shift, and '{seeded[0]}' has several seeds",
            "give the results of one seed, and call networks as their shifts",
        )
    if len(shifts) < 2:
        raise BadSetting(
            f"overlaps need two networks that are called as the shift they were trained with; "
            f"there {'is ' + shifts[0] if shifts else 'are none'}",
            f"networks are {', '.join(names[:20])}; shifts are "
            f"{', '.join(shift_names(scores)[:20]) or 'none'}",
        )
    rows = {name: names.index(name) for name in shifts}
    base = standard_of(scores, rows[shifts[0]], standard)
    values = {
        shift: {place: _value(scores, place, shift, metric) for place in (base, *rows.values())}
        for shift in shifts
    }
    own = {shift: _own(scores, rows[shift], base, shift, values[shift], metric) for shift in shifts}
    pairs = []
    for first in shifts:
        for second in shifts:
            reason = next((own[each][1] for each in (first, second) if own[each][1]), "")
            one = _share(values[second], rows[first], base, own[second][0])
            other = _share(values[first], rows[second], base, own[first][0])
            if reason or one is None or other is None:
                pairs.append(Overlap(first, second, None, reason or "a cell is a hole"))
            else:
                pairs.append(Overlap(first, second, (one + other) / 2))
    clean = [float(scores.clean[place]) for place in (base, *rows.values())]
    known = all(value == value for value in clean)
    return Overlaps(
        metric=metric,
        standard=standard,
        shifts=tuple(shifts),
        pairs=tuple(pairs),
        clean=(min(clean), max(clean)) if known else (),
    )


def _value(scores: Scores, place: int, shift: str, metric: Metric) -> float | None:
    clean, shifted = float(scores.clean[place]), float(column(scores, shift)[place])
    if shifted != shifted or (metric != "accuracy" and clean != clean):
        return None
    try:
        # Higher is better in all of them, which leaves the quotients as they are.
        return {
            "residual": lambda: -residual_robustness(clean, shifted),
            "app": lambda: app(clean, shifted),
            "accuracy": lambda: shifted,
        }[metric]()
    except NotMeasured:
        return None


def _own(
    scores: Scores,
    place: int,
    base: int,
    shift: str,
    values: dict[int, float | None],
    metric: Metric,
) -> tuple[float | None, str]:
    """The gain of a network on its own shift, or why it cannot be divided by."""
    found, mine, other = gain(scores, place, base, shift), values[place], values[base]
    if found is None or mine is None or other is None:
        return None, f"'{shift}' has a hole under its own shift, or no clean accuracy"
    if found.sign != "+":
        return None, f"the own gain of '{shift}' is within noise"
    if not mine > other:
        return None, f"'{shift}' gains nothing on its own shift in the metric '{metric}'"
    return mine - other, ""


def _share(
    values: dict[int, float | None], place: int, base: int, whole: float | None
) -> float | None:
    mine, other = values[place], values[base]
    if whole is None or mine is None or other is None:
        return None
    return (mine - other) / whole


@dataclass(frozen=True, kw_only=True)
class Balance:
    """The overlap of each member of a benchmark with the others.

    Parameters
    ----------
    metric : str
    members : mapping from str to float or None
        Mean overlapping score with the other members; None where none is measured.
    deviation : float or None
        Standard deviation of these: 0 is balanced. None where one is not known.
    """

    metric: str
    members: dict[str, float | None]
    deviation: float | None


def balance(
    scores: Scores,
    *,
    benchmark: tuple[str, ...] = (),
    metric: Metric = "residual",
    standard: str = STANDARD,
) -> Balance:
    """Mean overlap of each shift of a benchmark with its others: those above count for more.

    Parameters
    ----------
    scores, metric, standard
        As of `overlap`.
    benchmark : tuple of str
        Shifts that a network was trained with. Default: all of them.

    Raises
    ------
    BadSetting
        As of `overlap`; or a member has no network, or there are fewer than two.

    Notes
    -----
    Source: Laugros 2022, Section 4.2.
    """
    found = overlap(scores, metric=metric, standard=standard)
    members = _members(found, benchmark)
    if len(members) < 2:
        raise BadSetting("the balance of one shift is none", "name two or more as `benchmark`")
    means = {each: _mean(found, each, [o for o in members if o != each]) for each in members}
    known = [value for value in means.values() if value is not None]
    return Balance(
        metric=metric,
        members=means,
        deviation=pstdev(known) if len(known) == len(means) else None,
    )


@dataclass(frozen=True)
class Covered:
    """One shift and a benchmark.

    Parameters
    ----------
    shift : str
    covered : bool or None
        Whether it overlaps with a member; None where it does with none that is measured, and one is
        not.
    largest : float or None
        Largest overlapping score with a member.
    member : str
        That one.
    """

    shift: str
    covered: bool | None
    largest: float | None
    member: str


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """All shifts that are not in a benchmark, and whether it covers them."""

    metric: str
    benchmark: tuple[str, ...]
    shifts: tuple[Covered, ...]


def coverage(
    scores: Scores,
    *,
    benchmark: tuple[str, ...] = (),
    metric: Metric = "residual",
    standard: str = STANDARD,
) -> Coverage:
    """Whether a benchmark says anything about the shifts that are not in it.

    A shift is uncovered where its overlap with every member is 0.

    Parameters
    ----------
    scores, metric, standard
        As of `overlap`.
    benchmark : tuple of str
        Shifts that a network was trained with.

    Raises
    ------
    BadSetting
        As of `overlap`; or a member has no network, or no shift is left.

    Notes
    -----
    Source: Laugros 2022, Section 4.2.
    """
    found = overlap(scores, metric=metric, standard=standard)
    members = _members(found, benchmark) if benchmark else ()
    rest = [each for each in found.shifts if each not in members]
    if not members or not rest:
        raise BadSetting(
            "coverage needs a benchmark, and a shift that is not in it",
            f"name some of {', '.join(found.shifts)} as `benchmark`",
        )
    return Coverage(
        metric=metric, benchmark=members, shifts=tuple(_covered(found, s, members) for s in rest)
    )


def _covered(found: Overlaps, shift: str, members: Sequence[str]) -> Covered:
    scores = {member: found.of(shift, member).score for member in members}
    known = {member: value for member, value in scores.items() if value is not None}
    if not known:
        return Covered(shift, None, None, "")
    member = max(known, key=lambda each: known[each])
    covered: bool | None = known[member] > 0
    if not covered and len(known) < len(scores):
        covered = None
    return Covered(shift, covered, known[member], member)


def _members(found: Overlaps, benchmark: Sequence[str]) -> tuple[str, ...]:
    members = tuple(dict.fromkeys(benchmark or found.shifts))
    for each in members:
        found.of(each, each)
    return members


def _mean(found: Overlaps, shift: str, members: Sequence[str]) -> float | None:
    known = [value for each in members if (value := found.of(shift, each).score) is not None]
    return fmean(known) if known else None
