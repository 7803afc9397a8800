"""What the cells of one network share."""

from __future__ import annotations

from dataclasses import dataclass

from sensverify.errors import NotMeasured
from sensverify.evaluation.contestant import Contestant
from sensverify.evaluation.perturbation import Perturbation
from sensverify.evaluation.plan import Plan
from sensverify.evaluation.request import EvaluateRequest
from sensverify.evaluation.shifted import Shifted
from sensverify.measures.subject import Subject
from sensverify.runs.watch import Watch


@dataclass(frozen=True, eq=False)
class Bench:
    """Everything that cells of one network share.

    Parameters
    ----------
    request : EvaluateRequest
    plan : Plan
    perturbation : Perturbation
    shifted : Shifted
    contestant : Contestant
    subject : Subject
    surrogate : Contestant or None
    watch : Watch
        When it is over, the cell in hand raises `NotMeasured`.
    """

    request: EvaluateRequest
    plan: Plan
    perturbation: Perturbation
    shifted: Shifted
    contestant: Contestant
    subject: Subject
    surrogate: Contestant | None
    watch: Watch

    def go_on(self, done: int, total: int) -> None:
        """Say how far a cell is, or end it.

        Raises
        ------
        NotMeasured
            The watch is over.
        """
        if self.watch.over and done < total:
            raise NotMeasured(f"time was up after {done} of {total} samples")
        self.watch.say(f"{done} of {total} samples")
