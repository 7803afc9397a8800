"""The base of all search strategies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from sensverify.registry.settings import Checked
from sensverify.scores.nas.landscape import Cells, Landscape


class Strategy(Checked, ABC):
    """A search for the cell of the largest value; its settings are its fields."""

    name: ClassVar[str]

    @abstractmethod
    def search(self, landscape: Landscape, queries: int, draws: np.random.Generator) -> Cells:
        """The cells that it asks, in order: a function of its arguments alone.

        Parameters
        ----------
        landscape : Landscape
            With at least one cell that can be asked.
        queries : int
            Cells that it may ask, at most; at least 1.
        draws : numpy.random.Generator
            Where its chances come from.
        """
