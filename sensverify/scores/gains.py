"""Accuracy that a network gains on another under a shift, with what chance leaves of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot

import numpy as np

from sensverify.classification.paired import Paired
from sensverify.classification.rates import Rate
from sensverify.errors import BadSetting
from sensverify.scores.columns import places_of
from sensverify.scores.table import Scores

STANDARD = "standard"
"""What the network is called that was trained without a shift."""


def interval_sign(lower: float | None, upper: float | None) -> str:
    """``+`` or ``-`` where an interval says so; empty where it has 0 in it, or there is none."""
    if lower is None or upper is None:
        return ""
    return "+" if lower > 0 else "-" if upper < 0 else ""


@dataclass(frozen=True)
class Gain:
    """One network beside the standard one, under one shift.

    Parameters
    ----------
    accuracy, standard : float
        Means over the severities.
    lower, upper : float
        Of the 95 % interval of their difference.
    paired : bool
        Whether it is known which samples each has right. Without, the interval is that of
        independent samples, which is wider where both have the same samples right.
    """

    accuracy: float
    standard: float
    lower: float
    upper: float
    paired: bool

    @property
    def difference(self) -> float:
        """Accuracy minus that of the standard network."""
        return self.accuracy - self.standard

    @property
    def sign(self) -> str:
        """See `interval_sign`."""
        return interval_sign(self.lower, self.upper)


def gain(scores: Scores, network: int, standard: int, shift: str) -> Gain | None:
    """The gain of a network under a shift; None where a cell of either is a hole.

    Over several severities it is the mean, and the ends of its interval are the means of theirs:
    the samples are the same, so that it is no narrower than it has to be.

    Parameters
    ----------
    scores : Scores
    network, standard : int
        Their places.
    shift : str
        As in `sensverify.scores.columns.places_of`.

    Notes
    -----
    Source: Newcombe 1998, *Improved confidence intervals for the difference between binomial
    proportions based on paired data*; *Interval estimation for the difference between independent
    proportions: comparison of eleven methods*, method 10.
    """
    places = places_of(scores, shift)
    # These cells alone: there may be many thousand others.
    cells = np.ix_([network, standard], places)
    if not (scores.total[cells] > 0).all():
        return None
    accuracy = (scores.right[cells] / scores.total[cells]).mean(axis=1)
    found = [_ends(scores, network, standard, place) for place in places]
    lower, upper = (float(np.mean([each[end] for each in found])) for end in (0, 1))
    return Gain(
        float(accuracy[0]), float(accuracy[1]), lower, upper, all(each[2] for each in found)
    )


def _ends(scores: Scores, network: int, standard: int, place: int) -> tuple[float, float, bool]:
    total = int(scores.total[network, place])
    wrong, other = scores.wrong.get((network, place)), scores.wrong.get((standard, place))
    if wrong is not None and other is not None and total == scores.total[standard, place]:
        everything = set(range(total))
        right = everything.difference(map(int, wrong))
        lower, upper = Paired.of(everything.difference(map(int, other)), right, total).interval
        return lower, upper, True
    own = Rate(int(scores.right[network, place]), total)
    base = Rate(int(scores.right[standard, place]), int(scores.total[standard, place]))
    (low, high), (least, most) = own.interval, base.interval
    middle = own.share - base.share
    lower = middle - hypot(own.share - low, most - base.share)
    upper = middle + hypot(high - own.share, base.share - least)
    return max(lower, -1.0), min(upper, 1.0), False


def standard_of(scores: Scores, network: int, standard: str) -> int:
    """Place of the standard network: of the same seed and point of a grid where there is one.

    Raises
    ------
    BadSetting
        There is none.
    """
    found = scores.networks[network]
    endings = (found.name.removeprefix(found.run), found.name.removeprefix(found.group), "")
    for name in (f"{standard}{ending}" for ending in endings):
        if name in scores.places:
            return scores.places[name]
    raise BadSetting(
        f"there is no network '{standard}' that the others are compared with",
        f"give the name of one as `standard`: {', '.join([*scores.places][:20])}",
    )


def others(scores: Scores, standard: str) -> Sequence[int]:
    """Places of all networks but the standard ones.

    Raises
    ------
    BadSetting
        There is no standard network, or no other.
    """
    found = [place for place, each in enumerate(scores.networks) if standard not in each.called]
    if not found:
        raise BadSetting(
            "there is no network beside the standard one", "give one that is trained otherwise"
        )
    for place in found:
        standard_of(scores, place, standard)
    return found
