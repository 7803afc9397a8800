"""Results class by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sensverify.verification.sample_result import SampleResult


@dataclass(frozen=True)
class ClassResult:
    """The samples of one class together.

    Parameters
    ----------
    number : int
        The class: the label of its samples, or where they have none, the network's prediction.
    name : str
        What it is called; its number where nobody says.
    samples, certified, changes, undecided : int
        Samples, and those with each answer; one that nothing was asked of has none.
    right : int or None
        Samples that the network predicts right; None where they have no labels.
    """

    number: int
    name: str
    samples: int
    certified: int
    changes: int
    undecided: int
    right: int | None

    @property
    def judged(self) -> int:
        """Samples with an answer."""
        return self.certified + self.changes + self.undecided

    @property
    def certified_fraction(self) -> float | None:
        """Of those with an answer; None without any."""
        return self.certified / self.judged if self.judged else None

    @property
    def accuracy(self) -> float | None:
        """Share of samples that are predicted right; None without labels."""
        return None if self.right is None else self.right / self.samples


def by_class(samples: Sequence[SampleResult], names: Sequence[str] = ()) -> tuple[ClassResult, ...]:
    """The classes that there are samples of, in order.

    Parameters
    ----------
    samples : sequence of SampleResult
    names : sequence of str
        Of all classes, in order; empty where they have none.
    """
    groups: dict[int, list[SampleResult]] = {}
    for sample in samples:
        own = sample.prediction if sample.label is None else sample.label
        groups.setdefault(own, []).append(sample)
    return tuple(
        _together(number, names[number] if number < len(names) else str(number), groups[number])
        for number in sorted(groups)
    )


def _together(number: int, name: str, samples: list[SampleResult]) -> ClassResult:
    judged = [sample.kept for sample in samples if sample.judged_class is not None]
    labelled = samples[0].label is not None
    return ClassResult(
        number=number,
        name=name,
        samples=len(samples),
        certified=judged.count(True),
        changes=judged.count(False),
        undecided=judged.count(None),
        right=sum(each.prediction == number for each in samples) if labelled else None,
    )
