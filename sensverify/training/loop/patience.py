"""Early stopping: the best weights on samples that are held out, and how long ago they were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

from torch import Tensor, nn

from sensverify.training.directory.module_state import load_module_state, module_state

COLUMN = "held-out ERR"
"""The metric after epochs that is looked at."""


@dataclass
class Patience:
    """The weights after the epoch with the smallest error on held-out samples.

    Parameters
    ----------
    limit : int
        Epochs without a smaller error that a training goes on for.
    error : float
        The smallest; infinity where there is none yet.
    epoch : int
        Of the first that had it; 0 where there is none.
    state : mapping from str to Tensor
        What the module was after it.
    """

    limit: int
    error: float = inf
    epoch: int = 0
    state: Mapping[str, Tensor] = field(default_factory=dict)

    def is_better(self, row: Mapping[str, float | None]) -> bool:
        """Whether the metrics after an epoch have a smaller error. What is NaN has none."""
        found = row.get(COLUMN)
        return found is not None and found < self.error

    def keep(self, row: Mapping[str, float | None], epoch: int, module: nn.Module) -> None:
        """Remember the weights after an epoch, whose error the process that measures knows."""
        found = row.get(COLUMN)
        self.error, self.epoch = (self.error if found is None else found), epoch
        self.state = {name: value.detach().clone() for name, value in module_state(module).items()}

    def is_over(self, epoch: int) -> bool:
        """Whether so many epochs have not made it better."""
        return epoch - self.epoch >= self.limit

    def give_back(self, module: nn.Module) -> None:
        """Give the module the weights that were kept, in place; none leave it as it is."""
        if self.state:
            load_module_state(module, self.state)

    @property
    def facts(self) -> dict[str, Any]:
        """Plain numbers, for a checkpoint."""
        return {"error": None if self.error == inf else self.error, "epoch": self.epoch}

    def restore(self, facts: Mapping[str, Any], state: Mapping[str, Tensor]) -> None:
        """Become what a checkpoint holds."""
        error = facts["error"]
        self.error, self.epoch = (inf if error is None else float(error)), int(facts["epoch"])
        self.state = dict(state)
