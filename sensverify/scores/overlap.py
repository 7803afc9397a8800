"""Overlaps of robustness: what training with one shift gives against another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from sensverify.classification.shift import app, residual_robustness
from sensverify.errors import BadSetting, NotMeasured
from sensverify.scores.columns import Metric, column, shift_names
from sensverify.scores.gains import STANDARD, gain, standard_of
from sensverify.scores.table import Network, Scores


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
    networks : tuple of str
        Those that the scores are made of, the standard ones among them.
    seeds : int
        Trainings with each shift, over which the scores are means.
    """

    metric: Metric
    standard: str
    shifts: tuple[str, ...]
    pairs: tuple[Overlap, ...]
    clean: tuple[float, ...]
    networks: tuple[str, ...]
    seeds: int = 1

    @property
    def unanswered(self) -> str:
        """Why there is no number at all; empty where there is one."""
        return "" if any(each.raw is not None for each in self.pairs) else self.pairs[0].reason

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
        Networks are called as the shift that they were trained with, or NAME-seedN. Of several
        seeds, the overlap is the mean of those of each.
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
    series = _series(scores)
    found = [_overlaps(scores, rows, metric, standard) for rows in series]
    first = found[0]
    if len(found) == 1:
        return first
    ends = [value for each in found for value in each.clean]
    return replace(
        first,
        pairs=tuple(_mean_of(pairs) for pairs in zip(*(each.pairs for each in found), strict=True)),
        clean=(min(ends), max(ends)) if all(each.clean for each in found) else (),
        networks=tuple(dict.fromkeys(name for each in found for name in each.networks)),
        seeds=len(found),
    )


def _series(scores: Scores) -> list[dict[str, int | None]]:
    """Places of the networks by their shift; None where there is none.

    One mapping for each seed, and each point of a study's grid.
    """
    known = shift_names(scores)
    names: dict[str, int] = {}
    for place, each in enumerate(scores.networks):
        for name in (each.name, *each.aliases):
            names.setdefault(name, place)
    bare = [name for name in known if name in names]
    seeded = {}
    for name, place in names.items():
        called = Network(name)
        shift = called.group if called.group in known else called.run
        if shift in known and name not in known:
            seeded[shift, name.removeprefix(shift)] = place
    shifts = [name for name in known if name in {*bare, *(shift for shift, _ in seeded)}]
    if len(shifts) < 2:
        raise BadSetting(
            f"overlaps need two networks that are called as the shift they were trained with; "
            f"there {'is ' + shifts[0] if shifts else 'are none'}",
            f"networks are {', '.join([*names][:20])}; shifts are "
            f"{', '.join(known[:20]) or 'none'}",
        )
    if bare:
        if bare != shifts:
            other = next(name for name in shifts if name not in bare)
            raise BadSetting(
                f"the network of '{bare[0]}' is called without a seed, and those of '{other}' "
                "with one",
                "call all of them NAME, or all NAME-seedN",
            )
        return [{name: names[name] for name in shifts}]
    endings = dict.fromkeys(ending for _, ending in seeded)
    return [{name: seeded.get((name, ending)) for name in shifts} for ending in endings]


def _mean_of(pairs: Sequence[Overlap]) -> Overlap:
    """One overlap of those of all seeds; none where one of them is not measured."""
    raws = [each.raw for each in pairs if each.raw is not None]
    if len(raws) == len(pairs):
        return replace(pairs[0], raw=fmean(raws))
    reason = next(each.reason for each in pairs if each.raw is None)
    return replace(pairs[0], raw=None, reason=reason)


def _overlaps(
    scores: Scores, found: Mapping[str, int | None], metric: Metric, standard: str
) -> Overlaps:
    """Overlaps of one seed."""
    shifts = tuple(found)
    rows = {name: place for name, place in found.items() if place is not None}
    base = standard_of(scores, next(iter(rows.values())), standard)
    values = {
        shift: {place: _value(scores, place, shift, metric) for place in (base, *rows.values())}
        for shift in shifts
    }
    ending = _ending(scores, next(iter(rows.values())))
    own: dict[str, tuple[float | None, str]] = {
        shift: _own(scores, rows[shift], base, shift, values[shift], metric)
        if shift in rows
        else (None, f"there is no network '{shift}{ending}'")
        for shift in shifts
    }
    pairs = []
    for first in shifts:
        for second in shifts:
            reason = next((own[each][1] for each in (first, second) if own[each][1]), "")
            if reason:
                pairs.append(Overlap(first, second, None, reason))
                continue
            one = _share(values[second], rows[first], base, own[second][0])
            other = _share(values[first], rows[second], base, own[first][0])
            if one is None or other is None:
                pairs.append(Overlap(first, second, None, "a cell is a hole"))
            else:
                pairs.append(Overlap(first, second, (one + other) / 2))
    places = (base, *rows.values())
    clean = [float(scores.clean[place]) for place in places]
    known = all(value == value for value in clean)
    return Overlaps(
        metric=metric,
        standard=standard,
        shifts=shifts,
        pairs=tuple(pairs),
        clean=(min(clean), max(clean)) if known else (),
        networks=tuple(scores.networks[place].name for place in places),
    )


def _ending(scores: Scores, place: int) -> str:
    network = scores.networks[place]
    return network.name.removeprefix(network.group)


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
    shift += _ending(scores, place)
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


def members_of(found: Overlaps, benchmark: Sequence[str]) -> tuple[str, ...]:
    """The members of a benchmark, each once; all shifts where none is named.

    Raises
    ------
    BadSetting
        No network was trained with one of them.
    """
    members = tuple(dict.fromkeys(benchmark or found.shifts))
    for each in members:
        found.of(each, each)
    return members
