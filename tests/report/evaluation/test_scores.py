"""What an evaluation has written, read again as scores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sensverify.evaluation.results import Evaluation
from sensverify.report.evaluation.json import evaluation_to_json
from sensverify.scores import Shift, read_scores


def test_what_evaluate_writes_is_read(
    make_evaluation: Callable[..., Evaluation], tmp_path: Path
) -> None:
    evaluation = make_evaluation(("a",), network={"samples": 40})
    path = tmp_path / "e.json"
    path.write_text(evaluation_to_json(evaluation))
    scores = read_scores([path])
    for row, found in enumerate(evaluation.models):
        assert scores.networks[row].name == found.model.name
        for each in found.corruptions:
            shift = Shift(each.corruption, float(each.severity), "corruption")
            place = scores.shifts.index(shift)
            rate = each.classified.accuracy
            assert (scores.right[row, place], scores.total[row, place]) == (rate.count, rate.total)
        for attack in found.attacks:
            place = scores.shifts.index(Shift(attack.attack, attack.radius, "attack"))
            assert scores.right[row, place] == evaluation.samples - len(attack.broken)
