"""Certified accuracy: how many labels are kept, between what is proven and what is refuted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from sensverify.classification.rates import Rate
from sensverify.core.results import Guarantee
from sensverify.errors import BadData, BadSetting, NotMeasured
from sensverify.network import Network
from sensverify.verification.results import VerifyReport
from sensverify.verification.run import verify


@dataclass(frozen=True, eq=False)
class CertifiedAccuracy:
    """Certified accuracy on some samples: a number, and the interval that holds the true one.

    ``float(accuracy)`` is the proven share.

    Parameters
    ----------
    proven : Rate
        Samples whose label is proven to be the largest output on the whole box.
    kept : Rate
        Samples for which no input in the box is known that has another label: no method can prove
        more.
    report : VerifyReport
        Everything about every sample.
    """

    proven: Rate
    kept: Rate
    report: VerifyReport

    @property
    def interval(self) -> tuple[float, float]:
        """Shares from 0 to 1 between which the accuracy in the worst case lies on these samples."""
        return self.proven.share, self.kept.share

    def __float__(self) -> float:
        return self.proven.share

    def __repr__(self) -> str:
        low, high = (f"{100 * share:.1f} %" for share in self.interval)
        counts = f"{self.proven.count} proven and {self.kept.count} not refuted"
        method = f"{self.report.guarantee} by {self.report.method}"
        return (
            f"CertifiedAccuracy({low}, at most {high}: {counts} of {self.proven.total}, {method})"
        )


def certified_accuracy(
    model: str | Path | Network | nn.Module, x: Any = None, y: Any = None, **settings: Any
) -> CertifiedAccuracy:
    """Share of samples that provably keep their label on the whole box around them.

    Parameters
    ----------
    model, x, y, **settings
        As for `verify`: ``radius`` or ``sigma``, ``clip``, ``method``, ``samples``, ...

    Returns
    -------
    CertifiedAccuracy
        A sample that is wrong by itself is not kept.

    Raises
    ------
    BadData
        A sample has no label.
    NotMeasured
        The method proves nothing (see `Guarantee`), so that there is no such share.
    SensverifyError
        As of `verify`.

    Examples
    --------
    >>> import sensverify as sv
    >>> accuracy = sv.certified_accuracy("iris", sigma=0.02)
    >>> accuracy.interval
    (0.9, 0.9)
    >>> float(accuracy) > 0.8
    True
    """
    if "watch" in settings:
        raise BadSetting(
            "a share of samples needs all of them, and a `watch` may leave some out",
            "give `timeout`, which loosens bounds instead",
        )
    report = verify(model, x, y, **settings)
    kept = [sample.certified for sample in report.samples]
    unlabelled = sum(sample.label is None for sample in report.samples)
    if unlabelled:
        note = report.perturbation.note
        raise BadData(
            f"{unlabelled} of {len(kept)} samples have no label{f' ({note})' if note else ''}",
            "give labels `y`, one class number for each sample",
        )
    if report.guarantee < Guarantee.SOLVER:
        raise NotMeasured(
            f"the method {report.method} gives a result of guarantee {report.guarantee}, by which "
            "no label is proven",
            "take one that proves, such as crown",
        )
    refuted = sum(each is False for each in kept)
    total = len(kept)
    proven = sum(each is True for each in kept)
    return CertifiedAccuracy(Rate(proven, total), Rate(total - refuted, total), report)
