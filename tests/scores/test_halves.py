"""Overlaps from end to end: trained, evaluated, read and analysed, with an answer that is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import sensverify as sv
from sensverify.evaluation import evaluate
from sensverify.evaluation.shift import OtherData
from sensverify.report.evaluation.json import evaluation_to_json
from sensverify.scores import Scores, read_scores
from sensverify.scores.categories import categories
from sensverify.scores.coverage import coverage
from sensverify.scores.overlap import overlap

WIDTH = 12
"""Features of a half. Either half alone carries the class."""

SHIFTS = ("left-noise", "left-flip", "right-noise", "right-flip")
PARTS = {"left": slice(0, WIDTH), "right": slice(WIDTH, 2 * WIDTH)}


def samples(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, count)
    x = (2 * y - 1)[:, None] + 1.5 * rng.normal(size=(count, 2 * WIDTH))
    return x.astype(np.float32), y


def shifted(x: np.ndarray, name: str, seed: int) -> np.ndarray:
    """Much noise on a half of the features, or that half with the signs of the other class."""
    half, kind = name.split("-")
    changed = x.copy()
    if kind == "flip":
        changed[:, PARTS[half]] *= -1
    else:
        rng = np.random.default_rng(seed)
        changed[:, PARTS[half]] = 12 * rng.normal(size=(len(x), WIDTH))
    return changed


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> Scores:
    """Networks that are trained with each shift, on the samples as they are and shifted."""
    folder = tmp_path_factory.mktemp("halves")
    x, y = samples(800, 0)
    test_x, test_y = samples(600, 1)
    files = []
    for name in ("clean", *SHIFTS):
        changed = test_x if name == "clean" else shifted(test_x, name, 3)
        files.append(folder / f"{name}.npz")
        np.savez(files[-1], x=changed, y=test_y)
    results = []
    for name in ("standard", *SHIFTS):
        second = x if name == "standard" else shifted(x, name, 2)
        torch.manual_seed(0)
        module = torch.nn.Sequential(torch.nn.Linear(2 * WIDTH, 2))
        sv.train(
            module,
            (np.concatenate([x, second]), np.concatenate([y, y])),
            test=(test_x, test_y),
            epochs=8,
            batch_size=64,
            optimiser="adam(lr=0.02)",
            metrics=("CE",),
            metric_bounds="none",
            threads=1,
            out=folder / name,
        )
        found = evaluate(
            (str(folder / name),),
            str(files[0]),
            shifts=tuple(
                OtherData(name=shift, data=str(file))
                for shift, file in zip(SHIFTS, files[1:], strict=True)
            ),
            count=600,
            **dict.fromkeys(("attacks", "certify", "corruptions", "sequences", "measures"), ()),
        )
        results.append(folder / f"{name}.json")
        results[-1].write_text(evaluation_to_json(found))
    return read_scores(results)


def test_overlaps_are_one_within_a_half_and_zero_across(scores: Scores) -> None:
    assert [each.name for each in scores.networks] == ["standard", *SHIFTS]
    assert len(scores.wrong) == scores.measured.size
    found = overlap(scores)
    for one in SHIFTS:
        for other in SHIFTS:
            score = found.of(one, other).score
            assert score == pytest.approx(float(one[:4] == other[:4]), abs=0.05)
    covered = {each.shift: each.covered for each in coverage(scores, benchmark=SHIFTS[:1]).shifts}
    assert covered == {"left-flip": True, "right-noise": False, "right-flip": False}


@pytest.mark.parametrize("method", ["k-means", "hdbscan"])
def test_the_halves_are_the_categories(scores: Scores, method: str) -> None:
    found = categories(scores, method=method)  # type: ignore[arg-type]
    halves = {frozenset(SHIFTS[:2]), frozenset(SHIFTS[2:])}
    assert {frozenset(each) for each in found.categories} == halves
