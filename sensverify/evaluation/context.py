"""The context that all tasks of one model share."""

from __future__ import annotations

from dataclasses import dataclass

from sensverify.errors import NotMeasured
from sensverify.evaluation.models import EvaluatedModel
from sensverify.evaluation.prepared import Prepared
from sensverify.runs.watch import Watch


@dataclass(frozen=True, eq=False)
class Context:
    """Everything that the tasks of one model share.

    Parameters
    ----------
    prepared : Prepared
    model : EvaluatedModel
        When its watch is over, the task in hand raises `NotMeasured`.
    """

    prepared: Prepared
    model: EvaluatedModel

    @property
    def watch(self) -> Watch:
        """The watch of the whole evaluation."""
        return self.model.watch

    def report(self, done: int, total: int) -> None:
        """Say how far a task is, or end it.

        Raises
        ------
        NotMeasured
            The watch is over.
        """
        if self.watch.over and done < total:
            raise NotMeasured(f"time was up after {done} of {total} samples")
        self.watch.say(f"{done} of {total} samples")
