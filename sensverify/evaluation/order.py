"""Certified <= attacked <= clean, sample by sample, or it is an error."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sensverify.errors import UnsoundResult
from sensverify.evaluation.folder import FinishedTask
from sensverify.evaluation.results import AttackRow, CertifiedRow, CleanRow


@dataclass(frozen=True)
class _Break:
    """An input with another label: of a sample, inside of the box of a radius."""

    sample: int
    radius: float
    certainly_wrong: bool
    by: str


def consistent_certified(
    model: str, finished: Sequence[FinishedTask], places: Sequence[int]
) -> tuple[CertifiedRow, ...]:
    """The certified rows of a network, without the samples that an attack breaks by a rounding.

    Parameters
    ----------
    model : str
        Its name.
    finished : sequence of FinishedTask
        All its tasks.
    places : sequence of int
        The samples' numbers in the data, for the message.

    Raises
    ------
    UnsoundResult
        A label was proven for a whole box, and an input in that box, or the sample itself, has
        another one by more than rounding.
    """
    breaks = [each for task in finished for each in _breaks(task)]
    return tuple(
        _kept(model, task.row, breaks, places)
        for task in finished
        if isinstance(task.row, CertifiedRow)
    )


def _breaks(task: FinishedTask) -> Iterable[_Break]:
    row, beyond = task.row, frozenset(task.certainly_wrong)
    if isinstance(row, CleanRow) and row.part == "test":
        for sample in row.wrong:
            yield _Break(sample, 0.0, sample in beyond, "the sample itself")
    elif isinstance(row, AttackRow):
        for sample, reach in enumerate(row.reach):
            if reach is not None:
                yield _Break(sample, reach, sample in beyond, f"an input that {row.attack} found")


def _kept(
    model: str, row: CertifiedRow, breaks: Sequence[_Break], places: Sequence[int]
) -> CertifiedRow:
    certified = set(row.certified)
    for each in breaks:
        if each.sample not in certified or each.radius > row.radius:
            continue
        if each.certainly_wrong:
            raise UnsoundResult(
                f"{row.method} proved the label of sample {places[each.sample]} of the test part "
                f"for the network '{model}' and the radius {row.radius:g}, and {each.by} in that "
                "box has another one; please report this with the network and the data"
            )
        certified.discard(each.sample)
    return replace(row, certified=tuple(sorted(certified)))
