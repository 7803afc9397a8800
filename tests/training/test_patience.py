"""Early stopping: when a training ends, and with the weights of which epoch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sensverify.errors import BadSetting
from sensverify.report.html import document_to_html
from sensverify.report.training.document import training_document
from sensverify.runs.watch import Watch
from sensverify.training import fit
from sensverify.training.loop.patience import Patience
from tests.training.trainings import blobs, plain_model, quick, same_weights

SETTINGS = quick(
    epochs=30, hold_out=12, patience=4, metric_bounds="none", optimiser="adam(lr=0.02)"
)


def test_it_ends_where_it_gets_no_better_with_the_best_weights() -> None:
    data = blobs(samples=90)
    found = fit(plain_model(), data, "base", SETTINGS)
    long = fit(plain_model(), data, "base", replace(SETTINGS, patience=None))
    errors = [row["held-out ERR"] for row in long.course]
    best = errors.index(min(errors))
    # The first epoch with the smallest error until it was waited for.
    assert found.kept == best + 1
    assert found.epochs == found.kept + 4 < 30
    assert [row["held-out ERR"] for row in found.course] == errors[: found.epochs]
    exact = fit(plain_model(), data, "base", replace(SETTINGS, patience=None, epochs=found.kept))
    assert same_weights(found.module, exact.module)
    assert found.metrics_test == exact.metrics_test
    assert long.kept is None
    page = document_to_html(training_document(found))
    assert f"of epoch {found.kept}, with the smallest error" in page


def test_all_epochs_end_with_the_best_weights_too() -> None:
    data = blobs(samples=90)
    whole = fit(plain_model(), data, "base", SETTINGS)
    assert whole.kept is not None
    short = fit(plain_model(), data, "base", replace(SETTINGS, epochs=whole.kept + 2))
    assert (short.epochs, short.kept, short.missed) == (whole.kept + 2, whole.kept, None)
    assert same_weights(short.module, whole.module)


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_a_stopped_one_ends_alike(tmp_path: Path, stop: int) -> None:
    data, out = blobs(samples=90), tmp_path / "run"
    whole = fit(plain_model(), data, "base", SETTINGS)
    watch = Watch()
    part = fit(
        plain_model(), data, "base", SETTINGS, out=out, watch=watch,
        progress=lambda now: watch.stop() if now.epoch == stop else None,
    )  # fmt: skip
    assert part.interrupted
    assert part.kept is None
    found = fit(plain_model(), data, "base", SETTINGS, out=out, resume=True)
    assert (found.epochs, found.kept) == (whole.epochs, whole.kept)
    assert same_weights(found.module, whole.module)
    # Killed before its result was written, it has these weights all the same.
    (out / "result.json").unlink()
    again = fit(plain_model(), data, "base", SETTINGS, out=out, resume=True)
    assert again.epochs == whole.epochs
    assert same_weights(again.module, whole.module)


def test_it_waits_so_many_epochs() -> None:
    module, patience = torch.nn.Linear(1, 1), Patience(2)
    for epoch, error in enumerate((0.5, 0.6, 0.4, 0.4, float("nan")), start=1):
        row = {"held-out ERR": error}
        assert patience.is_better(row) is (epoch in (1, 3))
        if patience.is_better(row):
            patience.keep(row, epoch, module)
        assert patience.is_over(epoch) is (epoch == 5)
    other = Patience(2)
    other.restore(patience.facts, patience.state)
    assert (other.error, other.epoch) == (0.4, 3)
    kept = module.weight.clone()
    with torch.no_grad():
        module.weight.zero_()
    other.give_back(module)
    assert torch.equal(module.weight, kept)
    # Without a number there is nothing to wait for, and no weights to go back to.
    none = Patience(1)
    assert not none.is_better({})
    none.give_back(module)
    assert torch.equal(module.weight, kept)


def test_what_contradicts_it() -> None:
    with pytest.raises(BadSetting, match=r"`patience` looks at samples that are held out"):
        quick(patience=3)
    for wrong in ({"metric_every": 2}, {"metric_samples": 0}):
        with pytest.raises(BadSetting, match="`patience` needs the metrics after every epoch"):
            replace(SETTINGS, **wrong)
    for value in (0, -1, 2.5):
        with pytest.raises(BadSetting, match="`patience`"):
            replace(SETTINGS, patience=value)
