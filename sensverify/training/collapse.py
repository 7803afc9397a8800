"""An alarm for networks that have become constant.

A penalty on how much outputs may move has a trivial minimum: a network whose output does not
depend on its input. Training does not leave it any more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sensverify.errors import TrainingFailed

LOOKS = 3
"""So many epochs in a row a network must look collapsed."""

STEPS = 100
"""So many steps, at least, lie between the first and the last of these looks."""

ONE_CLASS = 0.99
"""Share of the samples that get one and the same prediction."""

NO_BETTER = 0.95
"""Cross-entropy, as a share of what constant outputs can reach."""


@dataclass
class CollapseAlarm:
    """Looks at a network after every epoch.

    A network looks collapsed where all of this holds on the samples it was trained on:

    - at least 99 % of them get the same prediction, and the most frequent label has less than
      90 % of them;
    - its cross-entropy is not below 95 % of the entropy of the labels, the best that a constant
      output reaches; nor is it a number.

    The alarm goes off when three epochs in a row looked so, over at least 100 steps. The first
    steps of an ordinary training predict one class too, yet soon are better than a constant.

    Parameters
    ----------
    looks : int
        Epochs in a row that looked collapsed.
    since : int
        The step of the first of them.
    """

    looks: int = 0
    since: int = 0

    def look(self, predictions: np.ndarray, labels: np.ndarray, loss: float, step: int) -> None:
        """See how things are after an epoch.

        Parameters
        ----------
        predictions, labels : integer arrays, shape ``[samples]``
        loss : float
            Mean cross-entropy on these samples, in nats.
        step : int
            Steps done.

        Raises
        ------
        TrainingFailed
            The network has collapsed.
        """
        if not looks_collapsed(predictions, labels, loss):
            self.looks = 0
            return
        if not self.looks:
            self.since = step
        self.looks += 1
        if self.looks >= LOOKS and step - self.since >= STEPS:
            raise TrainingFailed(
                f"the network has collapsed: for the last {self.looks} epochs it gives class "
                f"{np.bincount(predictions).argmax()} for (almost) every training sample and is no "
                "better than a constant; use smaller weights for the terms beside the "
                "cross-entropy, let the radius grow over a part of the training (ramp), choose a "
                "form that is bounded below (sensitivity: softplus), or a smaller learning rate"
            )


def looks_collapsed(predictions: np.ndarray, labels: np.ndarray, loss: float) -> bool:
    """Whether one look is as `CollapseAlarm` describes it."""
    shares = np.bincount(labels) / len(labels)
    shares = shares[shares > 0]
    if np.bincount(predictions).max() < ONE_CLASS * len(predictions) or shares.max() >= 0.9:
        return False
    entropy = -float((shares * np.log(shares)).sum())
    # Written so that NaN counts as no better.
    return not loss < NO_BETTER * entropy
