"""The search alone, with provers and attacks that are made up."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensverify.errors import UnsoundResult
from sensverify.runs.watch import Watch
from sensverify.verification.radius_search import Findings, Look, RadiusSearch, SearchLimits

LIMITS = SearchLimits(first=1.0, largest=64.0, accuracy=0.01, steps=40)


def found(look: Look, count: int, limits: SearchLimits = LIMITS) -> RadiusSearch:
    search = RadiusSearch(np.arange(count), limits)
    search.run(look, Watch(), lambda: None)
    return search


def perfect(true: np.ndarray, looked: list[float] | None = None) -> Look:
    """Proves and finds everything there is."""

    def look(places: np.ndarray, radii: np.ndarray, prove: bool) -> Findings:
        if looked is not None:
            looked.extend(radii.tolist())
        held = radii < true[places]
        # A counterexample is a little farther than the critical radius.
        reach = np.where(held, inf, np.minimum(radii, 1.001 * true[places]))
        return Findings(held & prove, reach)

    return look


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=6))
def test_ends_of_perfect_answers_are_near(true: list[float]) -> None:
    radii = np.array(true)
    search = found(perfect(radii), len(radii))
    assert not search.open.any()
    assert (search.proven <= radii).all()
    assert (radii <= search.attacked).all()
    for each, proven, attacked in zip(true, search.proven, search.attacked, strict=True):
        if each > LIMITS.largest:
            assert (proven, attacked) == (LIMITS.largest, inf)
        else:
            assert attacked - proven <= 2 * LIMITS.accuracy * attacked


@given(
    st.lists(st.floats(1e-3, 1e2), min_size=1, max_size=4),
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 3, 40]),
)
def test_moody_answers_give_ends_around_the_truth(true: list[float], seed: int, steps: int) -> None:
    """A prover that fails where it has succeeded below, an attack that misses what is there."""
    radii, rng = np.array(true), np.random.default_rng(seed)

    def look(places: np.ndarray, at: np.ndarray, prove: bool) -> Findings:
        held, lucky = at < radii[places], rng.random((2, len(places))) < 0.5
        reach = rng.uniform(radii[places], np.maximum(at, radii[places]))
        proven = held & (lucky[0] | (at == 0)) & prove
        return Findings(proven, np.where(~held & lucky[1], reach, inf))

    search = found(look, len(radii), SearchLimits(1.0, 64.0, 0.01, steps))
    assert not search.open.any()
    assert (search.proven <= radii).all()
    assert (radii <= search.attacked).all()
    assert (search.steps <= 2 * steps).all()


def test_no_radius_beyond_the_largest_is_looked_at() -> None:
    looked: list[float] = []
    search = found(perfect(np.array([1e6, 3.0]), looked), 2, SearchLimits(2.0, 5.0, 0.1, 40))
    assert max(looked) == 5.0
    assert looked[2] == 2.0
    assert search.proven[0] == 5.0
    assert search.attacked[0] == inf


def test_what_is_wrong_by_itself_has_both_ends_at_zero() -> None:
    looked: list[float] = []
    search = found(perfect(np.zeros(1), looked), 1)
    assert (search.proven[0], search.attacked[0], search.steps[0]) == (0.0, 0.0, 0)
    assert looked == [0.0]


def test_what_is_certain_nowhere_is_still_attacked() -> None:
    def look(places: np.ndarray, radii: np.ndarray, prove: bool) -> Findings:
        reach = np.where(radii > 3, 3.0, inf)
        return Findings(np.zeros(len(places), dtype=bool), reach)

    search = found(look, 1)
    assert search.proven[0] == 0
    assert search.attacked[0] == 3.0


def test_what_only_tiny_radii_keep_ends_soon() -> None:
    search = found(perfect(np.full(1, 1e-12)), 1)
    assert search.proven[0] <= 1e-12 <= search.attacked[0] <= 1e-6
    assert search.steps[0] < 20


def test_a_counterexample_within_what_is_proven_is_a_defect() -> None:
    def look(places: np.ndarray, radii: np.ndarray, prove: bool) -> Findings:
        proven = radii <= 1
        return Findings(proven & prove, np.where(proven, inf, 0.5))

    with pytest.raises(UnsoundResult, match="sample 7"):
        RadiusSearch(np.array([7]), LIMITS).run(look, Watch(), lambda: None)


@pytest.mark.parametrize("looks", [0, 1, 2, 5])
def test_what_was_stopped_has_failed_at_nothing(looks: int) -> None:
    true, watch, left = np.array([3.0, 0.2]), Watch(), [looks]
    whole: Callable[..., Findings] = perfect(true)

    def look(places: np.ndarray, radii: np.ndarray, prove: bool) -> Findings:
        if left[0] == 0:
            watch.stop()
            return Findings(np.zeros(len(places), dtype=bool), np.full(len(places), inf))
        left[0] -= 1
        return whole(places, radii, prove)

    search = RadiusSearch(np.arange(2), LIMITS)
    search.run(look, watch, lambda: None)
    assert search.open.all()
    assert (search.proven <= true).all()
    assert (true <= search.attacked).all()
