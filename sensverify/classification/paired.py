"""Two classifiers on the same samples: the difference of their rates, and whether it is one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import comb, sqrt

from sensverify.classification.rates import Rate
from sensverify.errors import BadSetting


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Samples by which of two classifiers has them right.

    Parameters
    ----------
    both, only_first, only_second, neither : int
        At least 0, and together above 0.
    """

    both: int
    only_first: int
    only_second: int
    neither: int

    def __post_init__(self) -> None:
        counts = (self.both, self.only_first, self.only_second, self.neither)
        if min(counts) < 0 or sum(counts) < 1:
            raise BadSetting(
                "pairs are counted by four numbers of at least 0, not all of them 0; got "
                f"{', '.join(map(str, counts))}"
            )

    @classmethod
    def of(cls, first: Collection[int], second: Collection[int], samples: int) -> Paired:
        """The counts, from the positions of the samples that each classifier has right.

        Raises
        ------
        BadSetting
            A position is none of ``samples``, or there are no samples.
        """
        one, other = frozenset(first), frozenset(second)
        for ends in ((min(each), max(each)) for each in (one, other) if each):
            if not 0 <= ends[0] <= ends[1] < samples:
                place = ends[0] if ends[0] < 0 else ends[1]
                raise BadSetting(f"there is no sample {place} among {samples}")
        both = len(one & other)
        return cls(
            both=both,
            only_first=len(one) - both,
            only_second=len(other) - both,
            neither=samples - len(one) - len(other) + both,
        )

    @property
    def samples(self) -> int:
        """Number of samples."""
        return self.both + self.only_first + self.only_second + self.neither

    @property
    def first(self) -> Rate:
        """Samples that the first classifier has right."""
        return Rate(self.both + self.only_first, self.samples)

    @property
    def second(self) -> Rate:
        """Samples that the second classifier has right."""
        return Rate(self.both + self.only_second, self.samples)

    @property
    def difference(self) -> float:
        """Share of the second classifier minus that of the first, from -1 to 1."""
        return (self.only_second - self.only_first) / self.samples

    @property
    def interval(self) -> tuple[float, float]:
        """Newcombe's 95 % confidence interval of the difference.

        Wilson's intervals of the two shares, squared and added, with the correlation of the pairs:
        for a difference ``d`` of shares p and q with the intervals (l, u) and (k, v) it ends at
        ``d - sqrt((p - l)^2 - 2 phi (p - l)(v - q) + (v - q)^2)`` and, likewise, above.

        Notes
        -----
        Source: Newcombe 1998, *Improved confidence intervals for the difference between binomial
        proportions based on paired data*, Statistics in Medicine 17, method 10, with its correction
        of ``phi`` for continuity.
        """
        (low, high), (least, most) = self.second.interval, self.first.interval
        one, other = self.second.share, self.first.share
        down = _reach(one - low, most - other, self._correlation)
        up = _reach(high - one, other - least, self._correlation)
        return max(self.difference - down, -1.0), min(self.difference + up, 1.0)

    @property
    def _correlation(self) -> float:
        """Phi of the pairs, nearer to 0 by half a sample; 0 where a classifier is always alike."""
        a, b, c, d = self.both, self.only_first, self.only_second, self.neither
        spread = (a + b) * (c + d) * (a + c) * (b + d)
        if spread == 0:
            return 0.0
        product = a * d - b * c
        return (max(product - self.samples / 2, 0.0) if product > 0 else product) / sqrt(spread)

    @property
    def p_value(self) -> float:
        """McNemar's exact test, two-sided: the chance of so uneven pairs, were both equally good.

        Only the samples count that one classifier alone has right: were both equally good, either
        would have each with the chance 1/2, so their number is binomial. 1 where there is none.

        Notes
        -----
        Source: McNemar 1947, *Note on the sampling error of the difference between correlated
        proportions or percentages*; exact as in Fagerland, Lydersen & Laake 2013, *The McNemar test
        for binary matched-pairs data*.
        """
        few, split = min(self.only_first, self.only_second), self.only_first + self.only_second
        # The largest term of the tail in whole numbers, of which nothing is lost, however small it
        # is; the others as shares of it, until they add nothing more.
        term = tail = 1.0
        for count in range(few, 0, -1):
            term *= count / (split - count + 1)
            tail += term
            if term < 1e-18 * tail:
                break
        return min(2 * tail * (comb(split, few) / (1 << split)), 1.0)


def _reach(one: float, other: float, correlation: float) -> float:
    return sqrt(max(one**2 - 2 * correlation * one * other + other**2, 0.0))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Holm's adjusted p-values of several tests, in their order.

    With those below 0.05 taken for differences, the chance that any of them is none is at most 5 %,
    however the tests hang together. The k-th smallest of n becomes ``(n - k + 1) p``, at least the
    one before it, and at most 1.

    Raises
    ------
    BadSetting
        One of them is not from 0 to 1.

    Notes
    -----
    Source: Holm 1979, *A simple sequentially rejective multiple test procedure*.
    """
    for value in p_values:
        # Written so that a NaN fails it.
        if not 0 <= value <= 1:
            raise BadSetting(f"a p-value is from 0 to 1, got {value}")
    adjusted, largest = [0.0] * len(p_values), 0.0
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    for rank, place in enumerate(order):
        largest = max(largest, min((len(order) - rank) * p_values[place], 1.0))
        adjusted[place] = largest
    return tuple(adjusted)
