"""Analyses of scores by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sensverify.registry.catalog import Catalog
from sensverify.scores.agreement import agreement
from sensverify.scores.balance import balance
from sensverify.scores.benchmarks import benchmarks
from sensverify.scores.categories import categories
from sensverify.scores.correlate import correlate
from sensverify.scores.coverage import coverage
from sensverify.scores.effective import effective_robustness
from sensverify.scores.explain import explain
from sensverify.scores.overlap import overlap
from sensverify.scores.prediction import prediction
from sensverify.scores.scatter import scatter
from sensverify.scores.selection import selection
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
    },
    group="sensverify.scores",
    arguments=1,
    example="correlate(over=groups)",
)
"""Pure functions of `Scores` and of their settings, by name.

Those of other packages give a `sensverify.report.document.Section`.
"""
