"""A share of samples, with the interval that it tells of the share of all that could come."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from sensverify.errors import BadData, BadSetting

_NORMAL = 1.959963984540054
"""Of the standard normal distribution, 95 % lie within this many deviations of 0."""


@dataclass(frozen=True)
class Rate:
    """A number of samples out of a total, e.g. those classified right.

    Parameters
    ----------
    count, total : int
        ``0 <= count <= total`` and ``total > 0``.
    """

    count: int
    total: int

    def __post_init__(self) -> None:
        if not 0 <= self.count <= self.total or self.total < 1:
            raise BadSetting(
                f"a rate needs 0 <= count <= total and total > 0, got {self.count} of {self.total}"
            )

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return self.count / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % confidence interval of the share.

        Notes
        -----
        ``(p + z^2/2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)``. Source: Wilson 1927,
        *Probable inference, the law of succession, and statistical inference*.
        """
        share, square = self.share, _NORMAL**2 / self.total
        middle = share + square / 2
        reach = sqrt(square * share * (1 - share) + square**2 / 4)
        lower, upper = (middle - reach) / (1 + square), (middle + reach) / (1 + square)
        # Exact at the ends, where rounding would leave a trace.
        return (0.0 if self.count == 0 else lower), (1.0 if self.count == self.total else upper)


def accuracy_share(value: float, what: str) -> float:
    """An accuracy, which is a share from 0 to 1.

    Raises
    ------
    BadData
        It is none, or NaN.
    """
    if not 0 <= value <= 1:
        raise BadData(
            f"the {what} is {value}, and accuracies are shares from 0 to 1",
            "divide percentages by 100",
        )
    return float(value)
