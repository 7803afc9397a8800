"""BANANAS: an ensemble of predictors says what to ask next."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from sensverify.errors import missing
from sensverify.models.nas201 import COUNT, OPERATIONS
from sensverify.registry.ranges import Count, Range
from sensverify.scores.nas.landscape import Asked, Cells, Landscape, codes
from sensverify.scores.nas.strategy import Strategy

Array = NDArray[np.float64]

PATHS = ((3,), (0, 4), (1, 5), (0, 2, 5))
"""Edges of the four ways from the input of a cell to its output."""

_FEATURES = sum(len(OPERATIONS) ** length for length in (1, 2, 3))
_WEIGHT = 1.0
"""Of the penalty of ridge regression, for targets of deviation 1."""


@dataclass(frozen=True)
class Bananas(Strategy):
    """Bayesian optimisation with an ensemble of predictors over the paths of cells.

    From some random cells on, an ensemble is fitted to what is known. Candidates are unknown cells
    one edge from the best known ones; of each a value is drawn from the normal distribution that
    the ensemble has of it (independent Thompson sampling), and the best are asked.

    Source: White, Neiswanger & Savani 2021, *BANANAS: Bayesian optimization with neural
    architectures for neural architecture search*, Algorithm 2. Its predictors are networks of ten
    layers; here they have two.

    Parameters
    ----------
    predictor : str
        ``network``: with two hidden layers of 20, from different initial weights, which needs
        scikit-learn. ``ridge``: ridge regressions on resamples of what is known, which take a
        fraction of the time.
    ensemble : int
        Predictors.
    initial : int
        Random cells at first.
    batch : int
        Cells that are asked between two fits.
    candidates : int
        Cells of which the best are asked.
    """

    name: ClassVar[str] = "bananas"
    predictor: Literal["network", "ridge"] = "network"
    ensemble: Annotated[int, Range(2, 100)] = 5
    initial: Count = 10
    batch: Count = 10
    candidates: Count = 100

    def search(self, landscape: Landscape, queries: int, draws: np.random.Generator) -> Cells:
        """As of `Strategy`.

        Raises
        ------
        BackendMissing
            Networks need scikit-learn, which is not installed.
        """
        asked = Asked(landscape, queries)
        while len(asked.cells) < self.initial and not asked.over:
            asked.ask(asked.draw(draws))
        while not asked.over:
            for cell in self._chosen(asked, draws):
                if asked.over:
                    break
                asked.ask(cell)
        return np.array(asked.cells)

    def _chosen(self, asked: Asked, draws: np.random.Generator) -> Cells:
        near = self._near_the_best(asked)
        if not len(near):
            return np.array([asked.draw(draws)])
        known = np.array(asked.cells)
        values = asked.landscape.values[known]
        spread = values.std()
        if not spread > 0:
            return draws.permutation(near)[: self.batch]
        targets = (values - values.mean()) / spread
        fit = _networks if self.predictor == "network" else _ridges
        told = fit(path_encoding()[known], targets, path_encoding()[near], self.ensemble, draws)
        sampled = draws.normal(told.mean(axis=0), told.std(axis=0))
        return near[np.argsort(-sampled, kind="stable")[: self.batch]]

    def _near_the_best(self, asked: Asked) -> Cells:
        """Unknown cells one edge from the best known, from the best of them on."""
        order = sorted(set(asked.cells), key=lambda cell: (-asked.value(cell), cell))
        found: Cells = np.empty(0, dtype=np.int64)
        for cell in order:
            near = np.concatenate([found, asked.landscape.neighbours(cell)])
            found = asked.unknown(near)
            if len(found) >= self.candidates:
                break
        return found[: self.candidates]


@lru_cache(maxsize=1)
def path_encoding() -> Array:
    """Of every cell, which of the 155 sequences of operations lead through it.

    A sequence is the operations along one of `PATHS`: 5 of one, 25 of two and 125 of three.
    """
    found = np.zeros((COUNT, _FEATURES))
    base = len(OPERATIONS)
    for path in PATHS:
        place = sum(base**length for length in range(1, len(path)))
        number = sum(codes()[:, edge] * base**step for step, edge in enumerate(path))
        found[np.arange(COUNT), place + number] = 1.0
    found.setflags(write=False)
    return found


def _networks(
    rows: Array, targets: Array, asked: Array, count: int, draws: np.random.Generator
) -> Array:
    try:
        from sklearn.neural_network import MLPRegressor
    except ImportError:
        raise missing("scikit-learn", "data", "the predictor 'network'") from None
    told = []
    for seed in draws.integers(2**31, size=count):
        model = MLPRegressor(
            hidden_layer_sizes=(20, 20), solver="lbfgs", max_iter=60, random_state=int(seed)
        )
        with warnings.catch_warnings():
            # It ends after its iterations, as it is meant to.
            warnings.simplefilter("ignore")
            told.append(model.fit(rows, targets).predict(asked))
    return np.stack(told)


def _ridges(
    rows: Array, targets: Array, asked: Array, count: int, draws: np.random.Generator
) -> Array:
    told = []
    for _ in range(count):
        drawn = draws.integers(len(rows), size=len(rows))
        x, y = rows[drawn], targets[drawn]
        middle, mean = x.mean(axis=0), y.mean()
        x = x - middle
        weights = np.linalg.solve(x.T @ x + _WEIGHT * np.eye(x.shape[1]), x.T @ (y - mean))
        told.append((asked - middle) @ weights + mean)
    return np.stack(told)
