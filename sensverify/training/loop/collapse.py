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

SLOW = 0.5
"""Share of its steps that a training has to leave the constant that it began as."""

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

    The alarm goes off when three epochs in a row looked so, over at least 100 steps. An ordinary
    training predicts one class at first too, for long where its learning rate is small; so a
    network that has never looked better is left alone until half of the training is done.

    Parameters
    ----------
    looks : int
        Epochs in a row that looked collapsed.
    since : int
        The step of the first of them.
    better : bool
        Whether an epoch has looked better than that.
    """

    looks: int = 0
    since: int = 0
    better: bool = False

    def look(
        self, predictions: np.ndarray, labels: np.ndarray, loss: float, step: int, *, done: float
    ) -> None:
        """See how things are after an epoch.

        Parameters
        ----------
        predictions, labels : integer arrays, shape ``[samples]``
        loss : float
            Mean cross-entropy on these samples, in nats.
        step : int
            Steps done.
        done : float
            The same as a share of all steps.

        Raises
        ------
        TrainingFailed
            The network has collapsed, or has not left the constant that it began as.
        """
        if not looks_collapsed(predictions, labels, loss):
            self.looks, self.better = 0, True
            return
        if not self.looks:
            self.since = step
        self.looks += 1
        if self.looks < LOOKS or step - self.since < STEPS:
            return
        if self.better:
            raise _constant("has collapsed", self.looks, predictions, "a smaller")
        if done >= SLOW:
            raise _constant("has not left the constant", self.looks, predictions, "another")


def _constant(what: str, looks: int, predictions: np.ndarray, rate: str) -> TrainingFailed:
    return TrainingFailed(
        f"the network {what}: for the last {looks} epochs it gives class "
        f"{np.bincount(predictions).argmax()} for (almost) every training sample and is no "
        "better than a constant; use smaller weights for the terms beside the "
        "cross-entropy, let the radius grow over a part of the training (ramp), choose a "
        f"form that is bounded below (sensitivity: softplus), or {rate} learning rate"
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
