"""Figures of samples with 95 % intervals that know what figures have in common.

A share has Wilson's interval. Differences and quotients are made of the intervals of their parts by
the method of variance estimates recovery: an interval that ends ``a`` below and ``b`` above a value
stands in for its standard deviation times 1.96 on that side, and the correlation of two values that
are about the same samples is that of what each sample adds to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, sqrt

import numpy as np

from sensverify.classification.rates import Rate
from sensverify.errors import BadSetting


@dataclass(frozen=True, eq=False)
class Effect:
    """Changes of a value with each sample of a set.

    Parameters
    ----------
    values : numpy array, shape ``[samples]``
        The value is a constant plus their mean.
    step : float
        Size of the change that a sample makes by being right rather than wrong, times the number of
        samples.
    """

    values: np.ndarray
    step: float

    def times(self, factor: float) -> Effect:
        """Changes of the value times a factor."""
        return Effect(factor * self.values, abs(factor) * self.step)


@dataclass(frozen=True, eq=False)
class Estimate:
    """A figure of samples, and where that of all samples that could come is.

    Parameters
    ----------
    value : float
    lower, upper : float
        Ends of the 95 % interval, on either side of the value.
    effects : mapping from str to Effect
        By the set of samples. Values about one set, by this name, are about the same samples.
    """

    value: float
    lower: float
    upper: float
    effects: Mapping[str, Effect]

    @classmethod
    def share(cls, right: np.ndarray, name: str) -> Estimate:
        """The share of the samples of a set that are right, with Wilson's interval.

        Parameters
        ----------
        right : numpy array of bool, shape ``[samples]``
        name : str
            Of the set.

        Raises
        ------
        BadSetting
            There are no samples.
        """
        rate = Rate(int(right.sum()), len(right))
        effect = Effect(right.astype(np.float64), 1.0)
        return cls(rate.share, *rate.interval, {name: effect})

    def times(self, factor: float) -> Estimate:
        """The value times a factor."""
        lower, upper = sorted((factor * self.lower, factor * self.upper))
        effects = {name: each.times(factor) for name, each in self.effects.items()}
        return Estimate(factor * self.value, lower, upper, effects)

    def minus(self, other: Estimate) -> Estimate:
        """The difference.

        Its interval is ``d - sqrt(a^2 - 2 r a b + b^2)`` to ``d + sqrt(...)``, with what the parts'
        intervals leave on these sides. Of two shares of the same samples it is Newcombe's.

        Notes
        -----
        Source: Zou & Donner 2008, *Construction of confidence limits about effect measures: a
        general approach*, Statistics in Medicine 27; Newcombe 1998 (see
        `sensverify.classification.paired`).
        """
        value, correlation = self.value - other.value, self.correlation(other)
        down = _reach(self.value - self.lower, other.upper - other.value, correlation)
        up = _reach(self.upper - self.value, other.value - other.lower, correlation)
        effects = dict(self.effects)
        for name, effect in other.times(-1.0).effects.items():
            effects[name] = _sum(effects[name], effect) if name in effects else effect
        return Estimate(value, value - down, value + up, effects)

    def over(self, other: Estimate) -> Estimate | None:
        """The quotient; None where its interval would have no end.

        Every quotient ``q`` at which the interval of ``self - q other`` holds 0: Fieller's, with
        intervals of shares in place of those of normal variables.

        Notes
        -----
        Source: Donner & Zou 2012, *Closed-form confidence intervals for functions of the normal
        mean and standard deviation*, Statistical Methods in Medical Research 21; Fieller 1954,
        *Some problems in interval estimation*.
        """
        x, y = self.value, other.value
        if not (x >= 0 and y > 0 and other.lower > 0):
            return None
        quotient, correlation = x / y, self.correlation(other)
        lower = _end(x, y, x - self.lower, other.upper - y, correlation)[0]
        upper = _end(x, y, self.upper - x, y - other.lower, correlation)[1]
        if not lower <= quotient <= upper < inf:
            return None
        effects = {name: each.times(1 / y) for name, each in self.effects.items()}
        for name, effect in other.times(-quotient / y).effects.items():
            effects[name] = _sum(effects[name], effect) if name in effects else effect
        return Estimate(quotient, lower, upper, effects)

    def correlation(self, other: Estimate) -> float:
        """Correlation with another value, from what the samples add to both.

        Nearer to 0 by half a sample where it is above, as that of Newcombe's interval: samples that
        have not come yet may tell the two apart.
        """
        shared = 0.0
        for name in self.effects.keys() & other.effects.keys():
            one, two = self.effects[name], other.effects[name]
            if len(one.values) != len(two.values):
                raise BadSetting(f"two figures of '{name}' are about different samples")
            count = len(one.values)
            product = float(np.mean(_centred(one) * _centred(two)))
            if product > 0:
                product = max(product - one.step * two.step / (2 * count), 0.0)
            shared += product / count
        spread = sqrt(self._variance * other._variance)
        return 0.0 if spread == 0 else max(-1.0, min(shared / spread, 1.0))

    @property
    def _variance(self) -> float:
        return sum(
            float(np.mean(_centred(each) ** 2)) / len(each.values) for each in self.effects.values()
        )


def _centred(effect: Effect) -> np.ndarray:
    return effect.values - effect.values.mean()


def _sum(one: Effect, other: Effect) -> Effect:
    # Of the same samples: one that both values are about rarely moves them both in one direction.
    return Effect(one.values + other.values, max(one.step, other.step))


def _reach(one: float, other: float, correlation: float) -> float:
    return sqrt(max(one**2 - 2 * correlation * one * other + other**2, 0.0))


def _end(x: float, y: float, a: float, b: float, correlation: float) -> tuple[float, float]:
    """Roots q of ``(x - q y)^2 = a^2 - 2 r q a b + q^2 b^2``; the upper one may be infinite."""
    half, constant, square = x * y - correlation * a * b, x**2 - a**2, y**2 - b**2
    root = sqrt(max(half**2 - square * constant, 0.0))
    # In this form nothing is lost where the square is near 0 or below.
    lower = max(constant, 0.0) / (half + root) if half + root > 0 else 0.0
    return lower, (half + root) / square if square > 0 else inf
