"""Search strategies by name."""

from __future__ import annotations

from sensverify.registry.catalog import Catalog
from sensverify.scores.nas.bananas import Bananas
from sensverify.scores.nas.evolution import Evolution
from sensverify.scores.nas.local_search import LocalSearch
from sensverify.scores.nas.random_search import RandomSearch
from sensverify.scores.nas.strategy import Strategy

STRATEGIES: Catalog[type[Strategy]] = Catalog(
    "strategy",
    {each.name: each for each in (RandomSearch, LocalSearch, Evolution, Bananas)},
    types=(Strategy,),
    example="evolution(population=30)",
)
"""Classes of `Strategy`; their fields are their settings."""
