"""Figures of a network by the names of their gates: what is proven, and what is possible."""

from __future__ import annotations

import math
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from statistics import fmean

from sensverify.core.gates import Figure
from sensverify.evaluation.curves import clean_row
from sensverify.evaluation.results import ModelEvaluation


def figures(
    model: ModelEvaluation,
    radius: float | None,
    others: AbstractSet[float],
    own: frozenset[int] | None = None,
    label: int | None = None,
) -> dict[str, Figure]:
    """The figures of a network by the names of their gates, of all that was measured.

    Parameters
    ----------
    model : ModelEvaluation
    radius : float or None
        Of attacks and proofs.
    others : set of float
        The radii that were evaluated, beside that.
    own : frozenset of int, optional
        Positions of the samples that it is about; default: all.
    label : int, optional
        That these samples have, where they are chosen.

    Returns
    -------
    dict
        Shares go from what is proven to what is possible. What an attack that is missing might
        have found, or one that saw no gradient, is possible; so is every accuracy under a
        corruption, or on another data set, that is missing.
    """
    clean = clean_row(model)
    if clean is None:
        return {}
    own = frozenset(range(clean.classified.samples)) if own is None else own
    total, broken = len(own), own & set(clean.wrong)
    found = {"min_accuracy": _shares(total - len(broken), total - len(broken), total)}
    proofs = [row for row in model.certified if row.radius == radius]
    attacks = [row for row in model.attacks if row.radius in (radius, None)]
    proven = own & {place for row in proofs for place in row.certified}
    if radius is not None:
        broken = broken | {
            place
            for row in model.attacks
            for place in own
            if (reach := row.reach[place]) is not None and reach <= radius
        }
    if proofs:
        found["min_certified"] = _shares(len(proven), total - len(broken), total)
        logs = [[row.log_volumes[place] for row in proofs] for place in own]
        # None: an output cannot move, and the box has volume 0.
        largest = max((min(_log(log) for log in each) for each in logs), default=math.nan)
        found["max_log_volume"] = Figure(largest, largest, total)
    if attacks:
        unseen = own.intersection(*(row.blind for row in attacks)) - proven
        if lost(model, "attack", radius, others):
            unseen = own - proven
        found["min_robust"] = _shares(total - len(broken | unseen), total - len(broken), total)
    if proofs or attacks:
        found["max_changed"] = _shares(len(broken), total - len(proven), total)
    corrupted = _corrupted(model, label)
    if corrupted is not None:
        found["min_corrupted"] = Figure(*corrupted, total, share=True)
    if model.shifts:
        found["min_shifted"] = _shifted(model, label)
    return found


def _shifted(model: ModelEvaluation, label: int | None) -> Figure:
    """The mean accuracy on the other data sets, each of which counts alike."""
    lost = sum(each.key.startswith("shift/") for each in model.missing)
    shares, samples = [], 0
    for row in model.shifts:
        right, total = _right(row.classified.confusion, label)
        shares.append(right / total if total else math.nan)
        samples += total
    mean, count = math.fsum(shares), len(shares) + lost
    return Figure(mean / count, (mean + lost) / count, samples, share=True)


def _right(confusion: Sequence[Sequence[int]], label: int | None) -> tuple[int, int]:
    """Right samples and all, of one class or of every one."""
    rows = range(len(confusion)) if label is None else (label,)
    return sum(confusion[k][k] for k in rows), sum(sum(confusion[k]) for k in rows)


def _shares(least: int, most: int, total: int) -> Figure:
    if total == 0:
        return Figure(None, None, 0, share=True)
    return Figure(least / total, most / total, total, share=True)


def _log(volume: float | None) -> float:
    return -math.inf if volume is None else float(volume)


def lost(
    model: ModelEvaluation, kind: str, radius: float | None, others: AbstractSet[float]
) -> bool:
    """Whether a task of a kind at a radius, or at none, could not be had."""
    elsewhere = {repr(other) for other in others if other != radius}
    keys = [each.key for each in model.missing if each.key.startswith(f"{kind}/")]
    return any(key.rsplit("/", 1)[-1] not in elsewhere for key in keys)


def _corrupted(model: ModelEvaluation, label: int | None) -> tuple[float, float] | None:
    """The least and the largest mean accuracy under the corruptions, each over its severities."""
    known: dict[str, list[float]] = {}
    for row in model.corruptions:
        right, total = _right(row.classified.confusion, label)
        known.setdefault(row.corruption, []).append(right / total if total else math.nan)
    if not known:
        return None
    lost: dict[str, int] = {}
    for each in model.missing:
        kind, _, name = each.key.partition("/")
        if kind == "corruption":
            first, _, severity = name.rpartition("/")
            name = first if first and severity.isdecimal() else name
            lost[name] = lost.get(name, 0) + 1
            known.setdefault(name, [])
    means = []
    for name, values in known.items():
        absent = lost.get(name, 0)
        mean, count = math.fsum(values), len(values) + absent
        means.append((mean / count, (mean + absent) / count))
    least, most = zip(*means, strict=True)
    return fmean(least), fmean(most)
