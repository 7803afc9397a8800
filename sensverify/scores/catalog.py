"""Analyses of scores by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sensverify.errors import NotMeasured
from sensverify.registry.calls import Call, parse_call
from sensverify.registry.catalog import Catalog
from sensverify.scores.agreement import agreement
from sensverify.scores.balance import balance
from sensverify.scores.benchmarks import benchmarks
from sensverify.scores.categories import categories
from sensverify.scores.correlate import correlate
from sensverify.scores.coverage import coverage
from sensverify.scores.effective import effective_robustness
from sensverify.scores.explain import explain
from sensverify.scores.nas.search import nas_search
from sensverify.scores.nas.top import nas_top
from sensverify.scores.overlap import overlap
from sensverify.scores.prediction import prediction
from sensverify.scores.scatter import scatter
from sensverify.scores.selection import selection
from sensverify.scores.table import Scores
from sensverify.scores.transfer import transfer

ANALYSES: Catalog[Callable[..., Any]] = Catalog(
    "analysis of scores",
    {
        "correlate": correlate,
        "transfer": transfer,
        "overlap": overlap,
        "balance": balance,
        "coverage": coverage,
        "categories": categories,
        "agreement": agreement,
        "prediction": prediction,
        "effective-robustness": effective_robustness,
        "benchmarks": benchmarks,
        "selection": selection,
        "scatter": scatter,
        "explain": explain,
        "nas-search": nas_search,
        "nas-top": nas_top,
    },
    group="sensverify.scores",
    arguments=1,
    example="correlate(over=groups)",
)
"""Pure functions of `Scores` and of their settings, by name.

Those of other packages give a `sensverify.report.document.Section`.
"""


def analyse(call: str | Call, scores: Scores) -> Any:
    """The result of an analysis.

    Raises
    ------
    NotMeasured
        The table has no answer, not even a part of one.
    SensverifyError
        As of the analysis; or there is none of that name, or it has no such setting.
    """
    result = ANALYSES.make(call, scores)
    reason = getattr(result, "unanswered", "")
    if reason:
        name = (parse_call(call) if isinstance(call, str) else call).name
        raise NotMeasured(f"{name} has no answer from this table: {reason}")
    return result
