"""Runs that can be stopped: time that is shared out, Ctrl-C, and the type of the numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import sleep
from typing import Any, ClassVar

import numpy as np
import pytest

from sensverify.bounds import Ibp
from sensverify.bounds.method import METHODS, Method
from sensverify.core.results import Enclosure, Guarantee, Status
from sensverify.errors import BadSetting
from sensverify.runs.watch import Watch
from sensverify.verification import VerifyReport, VerifyRequest, verify


@dataclass(frozen=True)
class Exact(Method):
    """Interval bounds that call themselves exact, and keep what they were told."""

    seconds: float | None = None
    objective_seconds: float | None = None
    gap: float = 1e-6
    threads: int = 1
    seed: int = 0
    uses: float = 0.0
    calls: list[tuple[Any, Watch, str]] = field(default_factory=list)

    name: ClassVar[str] = "exact"
    guarantee: ClassVar[Guarantee] = Guarantee.SOLVER
    anytime: ClassVar[bool] = True
    dtype: ClassVar[str] = "float64"
    samples_at_once: ClassVar[int] = 1

    def bound(self, network: Any, box: Any, objectives: Any, *, watch: Any = None) -> Enclosure:
        self.calls.append((self, watch, str(box.lower.dtype)))
        watch.say("working")
        if self.uses:
            sleep(self.uses)
        found = Ibp().bound(network, box, objectives)
        inner = type(box)(found.lower, found.upper)
        return Enclosure(found.lower, found.upper, inner=inner, optimal=found.lower == found.lower)


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Any:
    """``ask(method, **request)``: four samples of Iris, without labels."""

    def call(method: Any, watch: Watch | None = None, progress: Any = None, **asked: Any) -> Any:
        monkeypatch.setattr(METHODS, "make", lambda call: method)
        request = VerifyRequest("iris", **{"samples": (0, 4), "sigma": 0.01, **asked})
        return verify(request, watch=watch, progress=progress)

    return call


def test_exact_methods_compute_in_float64_and_fill_the_report(ask: Any) -> None:
    method = Exact()
    report: VerifyReport = ask(method, gap=1e-3, threads=2, objective_timeout=5.0, seed=7)
    assert [kind for *_, kind in method.calls] == ["torch.float64"] * 4
    assert report.dtype == "float64"
    assert report.guarantee is Guarantee.SOLVER
    used = method.calls[0][0]
    assert (used.gap, used.threads, used.objective_seconds, used.seed) == (1e-3, 2, 5.0, 7)
    assert report.settings["gap"] == 1e-3
    assert not report.interrupted
    assert report.exit_status == 0
    for sample in report.samples:
        assert sample.status is Status.OPTIMAL
        assert np.array_equal(sample.inner_lower, sample.lower)


@pytest.mark.parametrize(("asked", "used"), [(None, "float32"), ("float64", "float64")])
def test_other_methods_compute_as_before(asked: str | None, used: str) -> None:
    report = verify(VerifyRequest("iris", samples=(0, 1), dtype=asked))
    assert report.dtype == used


def test_a_type_that_is_asked_for_is_used(ask: Any) -> None:
    method = Exact()
    assert ask(method, dtype="float32").dtype == "float32"
    assert method.calls[0][2] == "torch.float32"


def test_time_that_is_not_used_is_left_to_later_samples(ask: Any) -> None:
    method = Exact()
    ask(method, timeout=8.0)
    shares = [used.seconds for used, *_ in method.calls]
    assert shares[0] == pytest.approx(2.0, rel=0.2)
    assert shares[-1] == pytest.approx(8.0, rel=0.2)
    assert all(
        0 < watch.left <= share for (_, watch, _), share in zip(method.calls, shares, strict=True)
    )


def test_a_limit_that_is_used_up_still_gives_every_sample_an_answer(ask: Any) -> None:
    method = Exact(uses=0.1)
    report = ask(method, timeout=0.2)
    assert len(report.samples) == 4
    assert not report.interrupted
    assert method.calls[-1][1].over


def test_a_stopped_run_returns_what_is_finished(ask: Any) -> None:
    watch, heard = Watch(listener=lambda text: heard.append(text)), []

    def progress(done: int, total: int) -> None:
        if done == 2:
            watch.stop()

    report = ask(Exact(), watch=watch, progress=progress)
    assert [sample.index for sample in report.samples] == [0, 1]
    assert report.interrupted
    assert report.exit_status == 3
    assert report.summary.samples == 2
    assert heard == ["working"] * 2


def test_a_run_that_is_stopped_at_once_has_one_sample(ask: Any) -> None:
    watch = Watch()
    watch.stop()
    report = ask(Exact(), watch=watch)
    assert len(report.samples) == 1
    assert report.interrupted


def test_a_method_that_ran_to_its_end_was_not_interrupted() -> None:
    watch = Watch()
    watch.stop()
    report = verify(VerifyRequest("iris", samples=(0, 3), method="ibp"), watch=watch)
    assert len(report.samples) == 3
    assert not report.interrupted


@pytest.mark.parametrize(
    "changes",
    [
        {"objective_timeout": 0.0},
        {"gap": -1.0},
        {"gap": float("nan")},
        {"threads": 0},
        {"dtype": "float16"},
    ],
)
def test_requests_that_cannot_be_met(changes: dict[str, Any]) -> None:
    with pytest.raises(BadSetting, match="`"):
        VerifyRequest("iris", **changes)


def test_bisection_through_the_whole_run() -> None:
    request = VerifyRequest("iris", samples=(0, 1), sigma=0.02, method="bisection", timeout=250.0)
    report = verify(request)
    (sample,) = report.samples
    crown = verify(VerifyRequest("iris", samples=(0, 1), sigma=0.02, dtype="float64")).samples[0]
    assert sample.status is Status.OPTIMAL
    assert (sample.lower >= crown.lower - 1e-9).all()
    assert (sample.upper <= crown.upper + 1e-9).all()
    assert report.guarantee is Guarantee.SOLVER
