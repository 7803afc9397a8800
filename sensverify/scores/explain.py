"""Targets explained by measures: regressions, and what each measure adds to a prediction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import factorial, ldexp
from typing import Annotated, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sensverify.errors import BadSetting, missing
from sensverify.registry.ranges import Range
from sensverify.scores.columns import column, group_means
from sensverify.scores.pearson import is_constant, scaled
from sensverify.scores.table import Scores

Array: TypeAlias = NDArray[np.float64]
Predict: TypeAlias = Callable[[Array], Array]
Regressor: TypeAlias = Literal["linear", "ridge", "forest"]

FEATURES = 10
"""Measures of a forest: its Shapley values take all of their subsets."""

_BACKGROUND = 50
"""Networks that stand for all of them in the Shapley values of a forest."""


@dataclass(frozen=True)
class Addition:
    """Shapley value of one measure in the prediction for one network.

    Parameters
    ----------
    network, measure : str
    value : float
        The measure of the network.
    addition : float
        To the mean prediction, in units of the target.
    """

    network: str
    measure: str
    value: float
    addition: float


@dataclass(frozen=True)
class Explanation:
    """One target.

    Parameters
    ----------
    target : str
    networks : int
        Networks, or groups of them, that have all measures and the target.
    explained : float or None
        Share of the variance of the target that is predicted for networks that were left out: 1
        minus the squared errors over the squared distances from the mean. Below 0 where the mean is
        nearer. None where it cannot be had, for the ``reason``.
    error : float or None
        Mean squared error for networks that were left out; None also where it is too large for a
        number.
    fitted : float or None
        The share for the networks that were fitted on.
    importance : tuple of (str, float)
        Mean size of what a measure adds.
    additions : tuple of Addition
        Of the regression on all networks.
    left_out : tuple of str
        Measures that are constant.
    reason : str
    """

    target: str
    networks: int
    explained: float | None = None
    error: float | None = None
    fitted: float | None = None
    importance: tuple[tuple[str, float], ...] = ()
    additions: tuple[Addition, ...] = ()
    left_out: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Explanations:
    """Every target, by the same measures."""

    regressor: str
    measures: tuple[str, ...]
    over: str
    folds: int
    targets: tuple[Explanation, ...]

    @property
    def unanswered(self) -> str:
        """Why there is no number at all; empty where there is one."""
        known = any(each.explained is not None for each in self.targets)
        return "" if known else self.targets[0].reason


def explain(
    scores: Scores,
    *,
    targets: tuple[str, ...] = (),
    measures: tuple[str, ...] = (),
    regressor: Regressor = "linear",
    penalty: Annotated[float, Range(0)] = 1.0,
    folds: Annotated[int, Range(2, 1000)] = 5,
    over: Literal["networks", "groups"] = "networks",
    seed: Annotated[int, Range(0)] = 0,
) -> Explanations:
    """Regressions of targets on measures, tested on networks that were left out.

    Networks that differ in the seed alone (``NAME-seedN``) are left out together. What a measure
    adds to a prediction is its Shapley value: the mean change of the prediction when it becomes
    known, over all orders of the measures, where unknown ones are those of the other networks.

    Parameters
    ----------
    scores : Scores
    targets, measures : tuple of str
        Names as `sensverify.scores.columns.column` has them. Default of ``measures``: all measures.
    regressor : str
        ``linear``: least squares. ``ridge``: with a penalty on the weights. ``forest``: 200 trees
        of scikit-learn, of at most ten measures.
    penalty : float
        Of ``ridge``, times the squared weights of measures in units of their deviations.
    folds : int
        Parts that are left out one after the other.
    over : str
        ``networks``: each is a point. ``groups``: the means of networks that differ in the seed
        alone.
    seed : int
        Of the folds, and of the forest.

    Raises
    ------
    BadSetting
        There are no targets or measures, there is no such column, or a forest has too many.
    BackendMissing
        A forest needs scikit-learn, which is not installed.

    Notes
    -----
    Sources: Shapley 1953, *A value for n-person games*; Lundberg & Lee 2017, *A unified approach to
    interpreting model predictions*.
    """
    names = tuple(dict.fromkeys(measures or scores.measures))
    if not targets or not names:
        raise BadSetting(
            f"an explanation needs {'targets' if names else 'measures'}",
            "name columns as `targets`, and others that explain them as `measures`",
        )
    both = next((each for each in names if each in targets), None)
    if both is not None:
        raise BadSetting(f"'{both}' is a target and explains it", "name it once")
    if regressor == "forest" and len(names) > FEATURES:
        raise BadSetting(
            f"a forest of {len(names)} measures has too many for its Shapley values",
            f"choose {FEATURES} of them or fewer as `measures`, or another `regressor`",
        )
    values = np.stack([column(scores, each) for each in (*names, *targets)], axis=1)
    points, groups = [n.name for n in scores.networks], [n.group for n in scores.networks]
    if over == "groups":
        points, values = group_means(scores, values)
        groups = points
    fit = _FITS[regressor]

    def fitted(rows: Array, target: Array) -> Predict:
        return fit(rows, target, penalty, seed)

    found = []
    for place, target in enumerate(targets, len(names)):
        chosen = values[:, [*range(len(names)), place]]
        known = np.asarray(~np.isnan(chosen).any(axis=1))
        kept = [k for k, each in enumerate(known) if each]
        table = _Table(names, chosen[kept], [points[k] for k in kept], [groups[k] for k in kept])
        draws = np.random.default_rng(seed)
        found.append(_explanation(table, target, (regressor, folds), fitted, draws))
    return Explanations(
        regressor=regressor, measures=names, over=over, folds=folds, targets=tuple(found)
    )


@dataclass(frozen=True)
class _Table:
    """Measures by row, the target in the last column, and the names and groups of the rows."""

    measures: Sequence[str]
    values: Array
    points: Sequence[str]
    groups: Sequence[str]


def _explanation(
    table: _Table,
    target: str,
    settings: tuple[Regressor, int],
    fitted: Callable[[Array, Array], Predict],
    draws: np.random.Generator,
) -> Explanation:
    regressor, folds = settings
    count, distinct = len(table.points), list(dict.fromkeys(table.groups))
    aim = table.values[:, -1]
    if len(distinct) < max(folds, 3):
        few = f"fewer than {max(folds, 3)} networks (or groups of them) have all measures"
        return Explanation(target, count, reason=few)
    if is_constant(aim):
        return Explanation(target, count, reason="the target is constant")
    kept = [k for k in range(len(table.measures)) if not is_constant(table.values[:, k])]
    names = [table.measures[k] for k in kept]
    left_out = tuple(each for each in table.measures if each not in names)
    if not names:
        return Explanation(target, count, left_out=left_out, reason="all measures are constant")
    rows = scaled(table.values[:, kept])[0]
    aim, exponent = scaled(aim[:, None])[0][:, 0], int(scaled(aim[:, None])[1][0])
    order = draws.permutation(len(distinct))
    fold = {distinct[group]: place % folds for place, group in enumerate(order)}
    folded = np.array([fold[group] for group in table.groups])
    least = min(int(np.sum(folded != each)) for each in range(folds))
    if regressor == "linear" and least < len(names) + 2:
        why = f"a line of {len(names)} measures needs {len(names) + 2} networks that are fitted on"
        return Explanation(target, count, left_out=left_out, reason=f"{why}, and has {least}")
    predicted = np.empty(count)
    for each in range(folds):
        own = folded == each
        predicted[own] = fitted(rows[~own], aim[~own])(rows[own])
    predict = fitted(rows, aim)
    added = np.ldexp(_shapley(predict, rows, regressor, draws), exponent)
    spread = float(np.sum((aim - aim.mean()) ** 2))
    return Explanation(
        target,
        count,
        explained=1 - float(np.sum((predicted - aim) ** 2)) / spread,
        error=_sized(float(np.mean((predicted - aim) ** 2)), 2 * exponent),
        fitted=1 - float(np.sum((predict(rows) - aim) ** 2)) / spread,
        importance=tuple(zip(names, np.abs(added).mean(axis=0).tolist(), strict=True)),
        additions=tuple(
            Addition(point, name, float(table.values[i, k]), float(added[i, j]))
            for i, point in enumerate(table.points)
            for j, (k, name) in enumerate(zip(kept, names, strict=True))
        ),
        left_out=left_out,
    )


def _sized(value: float, exponent: int) -> float | None:
    """A number times a power of two; None where it is beyond all that have a place."""
    try:
        return ldexp(value, exponent)
    except OverflowError:
        return None


# ---- regressions ---------------------------------------------------------------------------------


def _linear(rows: Array, target: Array, penalty: float, seed: int) -> Predict:
    return _ridge(rows, target, 0.0, seed)


def _ridge(rows: Array, target: Array, penalty: float, seed: int) -> Predict:
    middle, spread = rows.mean(axis=0), rows.std(axis=0)
    # A column that is constant here, but for rounding, says nothing of other rows.
    constant = np.array([is_constant(column) for column in rows.T])
    scale = np.where(constant, np.inf, spread)
    units = (rows - middle) / scale
    # Least squares of rows of the penalty below those of networks: no squares of conditions.
    below = np.sqrt(penalty) * np.eye(rows.shape[1])
    right = np.concatenate([target - target.mean(), np.zeros(rows.shape[1])])
    weights = np.linalg.lstsq(np.concatenate([units, below]), right, rcond=None)[0] / scale
    level = target.mean()
    return lambda asked: np.asarray(level + (asked - middle) @ weights)


def _forest(rows: Array, target: Array, penalty: float, seed: int) -> Predict:
    try:
        from sklearn.ensemble import RandomForestRegressor
    except ImportError:
        raise missing("scikit-learn", "data", "the regressor 'forest'") from None
    found = RandomForestRegressor(200, random_state=seed).fit(rows, target)
    return lambda asked: np.asarray(found.predict(asked), dtype=np.float64)


_FITS: dict[Regressor, Callable[[Array, Array, float, int], Predict]] = {
    "linear": _linear,
    "ridge": _ridge,
    "forest": _forest,
}


# ---- Shapley values ------------------------------------------------------------------------------


def _shapley(
    predict: Predict, rows: Array, regressor: Regressor, draws: np.random.Generator
) -> Array:
    if regressor != "forest":
        return linear_shapley(predict, rows)
    background = rows
    if len(rows) > _BACKGROUND:
        background = rows[np.sort(draws.choice(len(rows), _BACKGROUND, replace=False))]
    return subset_shapley(predict, rows, background)


def linear_shapley(predict: Predict, rows: Array) -> Array:
    """Shapley values of an affine function: ``w (x - mean)``.

    Parameters
    ----------
    predict : callable
        Affine.
    rows : array, shape ``[rows, features]``
        Unknown features have their means.

    Returns
    -------
    array, shape ``[rows, features]``
        Each row has the sum of its prediction minus the mean prediction.
    """
    middle = rows.mean(axis=0)
    added = np.empty_like(rows)
    for place in range(rows.shape[1]):
        one = np.tile(middle, (len(rows), 1))
        one[:, place] = rows[:, place]
        added[:, place] = predict(one) - predict(middle[None, :])
    return added


def subset_shapley(predict: Predict, rows: Array, background: Array) -> Array:
    """Shapley values of any function, by all subsets of its features.

    Parameters
    ----------
    predict : callable
        Of rows of features.
    rows : array, shape ``[rows, features]``
    background : array, shape ``[others, features]``
        Rows that unknown features are taken from; the prediction is the mean over them.

    Returns
    -------
    array, shape ``[rows, features]``
        Each row has the sum of its prediction minus the mean prediction for the background.
    """
    count = rows.shape[1]
    means = np.empty((2**count, len(rows)))
    for subset in range(2**count):
        own = np.array([bool(subset >> place & 1) for place in range(count)])
        mixed = np.where(own, rows[:, None, :], background[None, :, :])
        made = predict(mixed.reshape(-1, count)).reshape(len(rows), len(background))
        means[subset] = made.mean(axis=1)
    added = np.zeros_like(rows)
    for subset in range(2**count):
        size = subset.bit_count()
        for place in range(count):
            if not subset >> place & 1:
                weight = factorial(size) * factorial(count - size - 1) / factorial(count)
                added[:, place] += weight * (means[subset | 1 << place] - means[subset])
    return added
