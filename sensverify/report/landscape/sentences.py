"""The answer of a landscape in sentences."""

from __future__ import annotations

from sensverify.landscape.answers import Claim, RankAnswer
from sensverify.landscape.findings import Findings
from sensverify.landscape.sensitivity import ATTAINED, EXACT, Column
from sensverify.report.formatting import DASH, count_of, signed
from sensverify.scores.prediction import Estimate

_METHODS = {EXACT: "exact", ATTAINED: "attained"}

_FIGURES = {
    "sensitivity": "sensitivity",
    "log-volume": "log-volume",
    "scale-free": "scale-free log-volume",
}

_VERDICTS = {
    "holds": "Lower minima are less sensitive",
    "the opposite holds": "Lower minima are more sensitive",
    "is open": "Not decided",
}


def part_words(part: str, found: Findings) -> str:
    """The samples of a mean: ``30 test samples``, ``all 150 samples``."""
    if part == "test":
        return count_of(found.test, "test sample")
    return f"all {count_of(found.samples, 'sample')}"


def column_words(column: Column, found: Findings) -> str:
    """A column in words: ``exact sensitivity at sigma 0.1 over all 150 samples``."""
    method = _METHODS.get(column.method, column.method)
    return (
        f"{method} {_FIGURES[column.figure]} at sigma {column.sigma:.6g} over "
        f"{part_words(column.part, found)}"
    )


def estimate_words(estimate: Estimate, places: int = 2) -> str:
    """A number with its interval: ``0.43 (0.37 to 0.49)``; a dash where there is none."""
    if estimate.value is None:
        return DASH
    text = signed(estimate.value, places)
    if estimate.lower is None or estimate.upper is None:
        return text
    return f"{text} ({signed(estimate.lower, places)} to {signed(estimate.upper, places)})"


def claim_title(claim: Claim) -> str:
    """The verdict in a few words."""
    return _VERDICTS[claim.verdict]


def claim_sentence(found: Findings) -> str:
    """One sentence: whether the claim that lower minima are less sensitive holds, how surely."""
    claim = found.answers.claim
    said = f"The claim that lower minima are less sensitive {claim.verdict}"
    if claim.verdict == "the opposite holds":
        said = "The claim that lower minima are less sensitive does not hold: the opposite does"
    if claim.column is None or claim.answer is None or claim.reason:
        return f"{said}: {claim.reason}."
    answer = claim.answer
    text = (
        f"{said}: over {count_of(answer.networks, 'minimum', 'minima')}, Spearman's rank "
        f"correlation of the energy with the {column_words(claim.column, found)} is "
        f"{estimate_words(answer.spearman)}, 95 % interval in brackets"
    )
    return f"{text}{_fixed(answer)}."


def _fixed(answer: RankAnswer) -> str:
    if answer.partial.value is None:
        return ""
    return f"; with the weight norm held fixed it is {estimate_words(answer.partial)}"
