"""Labels that bounds leave open, decided: agreement with exact margins, and what is no proof."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sensverify as sv
from sensverify.bounds.method import make_decider
from sensverify.classification.rivals import Rivals, without
from sensverify.core.box import Box
from sensverify.core.queries import Decision, Query, Verdict
from sensverify.core.results import Guarantee
from sensverify.errors import BadSetting, UnknownName
from sensverify.report.verification.json import report_to_json
from sensverify.verification.label_search import MOST, LabelSearch, label_query
from sensverify.verification.replay import Replay
from tests.report.schemas import check_result
from tests.report.shown import verify_text
from tests.verification.test_asked import Small

SEARCHED = {"method": "ibp", "decide": "branch-and-bound"}
ASKED: tuple[dict[str, Any], ...] = ({}, {"top_k": 2}, {"targets": "*:0,*:3"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("searched")


def labelled(folder: Path, seed: int) -> Small:
    small = Small(folder, seed)
    return Small(folder, seed, y=small.outputs(small.x).argmax(axis=1))


@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_every_label_is_decided_as_by_exact_margins(folder: Path, asked: dict[str, Any]) -> None:
    searched = 0
    for seed in (2, 7):
        small = labelled(folder, seed)
        found = small.verify(radius=0.3, **SEARCHED, **asked)
        exact = small.verify(radius=0.3, method="branch-and-bound", **asked)
        for own, other in zip(found.samples, exact.samples, strict=True):
            assert own.judged == other.judged
            if own.judged == "nothing":
                continue
            assert own.kept is not None
            assert other.kept is None or own.kept == other.kept
            searched += own.explored is not None and bool(own.kept)
            assert (own.counterexample is None) == own.kept
    assert searched > 0


def test_proofs_hold_at_points_of_the_box(folder: Path) -> None:
    small = labelled(folder, 11)
    for sample in small.verify(**SEARCHED).samples:
        if sample.kept:
            values = small.outputs(small.points(sample.index))
            assert (values.argmax(axis=1) == sample.label).all()


def test_more_labels_are_kept_than_bounds_prove(folder: Path) -> None:
    small = labelled(folder, 7)
    bounds, found = small.verify(method="ibp"), small.verify(**SEARCHED)
    assert found.summary.certified_fraction is not None
    assert bounds.summary.certified_fraction is not None
    assert found.summary.certified_fraction > bounds.summary.certified_fraction
    for before, now in zip(bounds.samples, found.samples, strict=True):
        np.testing.assert_array_equal(before.lower, now.lower)
        assert before.kept is None or before.kept == now.kept
        assert (now.explored is None) == (before.kept is not None)


def test_what_the_report_says(folder: Path) -> None:
    found = labelled(folder, 7).verify(**SEARCHED)
    written = json.loads(report_to_json(found))
    check_result(written)
    assert written["asked"]["decide"] == "branch-and-bound"
    count = sum(sample["explored"] is not None for sample in written["samples"])
    assert f"{count} labels by branch-and-bound" in verify_text(found, width=200)


def test_the_guarantee_is_the_weaker_one(folder: Path) -> None:
    small = labelled(folder, 7)
    assert small.verify(**SEARCHED).guarantee is Guarantee.SOUND
    assert small.verify(method="ibp", decide="milp").guarantee is Guarantee.SOLVER
    # No label is open: nothing was left to it.
    assert small.verify(method="ibp", radius=1e-6, decide="milp").guarantee is Guarantee.SOUND


def test_without_time_labels_stay_open(folder: Path) -> None:
    small = labelled(folder, 7)
    found = small.verify(method="ibp", decide="branch-and-bound(seconds=1e-9)")
    bounds = small.verify(method="ibp")
    assert [s.kept for s in found.samples if s.kept] == [s.kept for s in bounds.samples if s.kept]
    assert not found.interrupted
    watch = sv.Watch()
    watch.stop()
    stopped = sv.verify(
        sv.VerifyRequest(str(small.path), data=str(small.data), radius=0.15, **SEARCHED),
        watch=watch,
    )
    assert stopped.interrupted
    assert stopped.exit_status == 3


def test_what_is_refused(folder: Path) -> None:
    small = labelled(folder, 7)
    with pytest.raises(UnknownName, match="no decider 'crown'"):
        small.verify(decide="crown")
    with pytest.raises(BadSetting, match="certificates"):
        small.verify(decide="branch-and-bound", rigorous=True)


def test_a_set_of_inputs_is_decided_as_such(folder: Path) -> None:
    small = labelled(folder, 7)
    found = small.verify(radius=0.3, norm=1.0, samples=(0, 6), **SEARCHED)
    exact = small.verify(radius=0.3, norm=1.0, samples=(0, 6), method="milp(seconds=20)")
    for own, other in zip(found.samples, exact.samples, strict=True):
        assert own.kept is None or other.kept is None or own.kept == other.kept
    assert any(sample.explored for sample in found.samples)


class Liar:
    """Calls every question what it is told to, after one look at the box's upper corner."""

    guarantee = Guarantee.SOUND

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict

    def decide(self, network: Any, query: Query, *, watch: Any, accept: Any) -> Decision:
        accept(query.box.upper[0])
        witness = query.box.upper[0] if self.verdict is Verdict.SAT else None
        return Decision(self.verdict, witness, 1)


@pytest.mark.parametrize("verdict", [Verdict.SAT, Verdict.UNSAT])
def test_nothing_is_claimed_that_the_file_or_a_point_contradicts(
    folder: Path, verdict: Verdict
) -> None:
    """The file keeps its label everywhere; the network that was bounded loses it at the corner."""
    small = labelled(folder, 5)
    label = int(small.outputs(small.x[:1]).argmax())
    other = Small(folder, 5)
    network, box = sv.load(str(small.path)), Box(small.x[:1] - 0.01, small.x[:1] + 0.01)
    box = Box(box.lower.astype(np.float64), box.upper.astype(np.float64))
    worst = int(small.outputs(small.x[:1]).argmin())
    kept = Rivals.of(torch.tensor([label]), 4)
    # As if the label were the least output: every point of the box contradicts a proof.
    lost = Rivals.of(torch.tensor([worst]), 4)
    every = np.ones(4, dtype=bool)
    liar = LabelSearch(network, Liar(verdict), Replay(other.path))  # type: ignore[arg-type]
    watch = sv.Watch()
    honest = liar.decide(box, kept, every, watch)
    assert honest.kept is (None if verdict is Verdict.SAT else True)

    class Deaf(Replay):
        def counterexamples(self, points: Any, box: Any, labels: Any) -> Any:
            return [None] * len(points)

    deaf = LabelSearch(network, Liar(verdict), Deaf(other.path))  # type: ignore[arg-type]
    assert deaf.decide(box, lost, every, watch).kept is None
    assert liar.decide(box, lost, every, watch).kept is False


def test_the_question_is_about_rivals_that_may_be_ahead() -> None:
    box = Box(np.zeros((1, 2)), np.ones((1, 2)))
    labels = torch.tensor([1])
    one = label_query(box, Rivals.of(labels, 4), np.array([True, True, False, True]))
    assert one is not None
    np.testing.assert_array_equal(one.rows, [[-1, 1, 0, 0], [0, 1, 0, -1]])
    assert one.alternatives == ((0,), (1,))
    two = label_query(box, Rivals.of(labels, 4, places=2), np.ones(4, dtype=bool))
    assert two is not None
    assert two.alternatives == ((0, 1), (0, 2), (1, 2))
    some = Rivals(labels, torch.tensor([[False, False, True, False]]))
    target = label_query(box, some, np.ones(4, dtype=bool))
    assert target is not None
    # Class 2 is taken for it where it exceeds all of the others.
    np.testing.assert_array_equal(target.rows, [[1, 0, -1, 0], [0, 1, -1, 0], [0, 0, -1, 1]])
    assert target.alternatives == ((0, 1, 2),)
    many = Rivals(labels[:1], without(labels[:1], 40), places=5)
    assert label_query(box, many, np.ones(40, dtype=bool)) is None
    assert MOST < 575757


def test_deciders_of_every_kind_agree(folder: Path) -> None:
    small = labelled(folder, 7)
    answers = []
    for name in ("branch-and-bound", "milp", make_decider("branch-and-bound", split="inputs")):
        found = small.verify(method="ibp", decide=name)
        answers.append([sample.kept for sample in found.samples])
    assert answers[0] == answers[1] == answers[2]
