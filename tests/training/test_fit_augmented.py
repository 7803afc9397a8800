"""Mini-batches of augmented images: which are corrupted, in what order, and after a resumption."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sensverify.data.dataset import Dataset
from sensverify.data.split import Split
from sensverify.errors import BadData, BadSetting, BadShape, InputError, UnknownName
from sensverify.runs.watch import Watch
from sensverify.training import Progress, TrainSettings, fit
from sensverify.training.loop.minibatches import MiniBatch, MiniBatches
from sensverify.training.plan import make_plan
from tests.training.trainings import (
    blobs,
    picture_model,
    pictures,
    plain_model,
    quick,
    rows,
    same_weights,
)

CPU = torch.device("cpu")


def batches(split: Split | None = None, **changes: Any) -> MiniBatches:
    split = pictures() if split is None else split
    return MiniBatches(make_plan(picture_model(), split, "base", quick(**changes)), CPU)


def which(found: MiniBatch, split: Split) -> tuple[list[int], list[bool]]:
    """Places of the samples of a mini-batch, and which of them are negatives."""
    x = torch.from_numpy(split.train.x)
    places, negatives = [], []
    for image in found.x:
        apart = [(each - image).flatten(1).abs().amax(1) for each in (x, 1 - x)]
        kind = int(apart[1].min() < apart[0].min())
        assert apart[kind].min() < 1e-6
        places.append(int(apart[kind].argmin()))
        negatives.append(bool(kind))
    return places, negatives


@pytest.mark.parametrize("size", [12, 13, 1])
def test_half_of_every_mini_batch_is_replaced(size: int) -> None:
    split = pictures()
    plain = batches(split, batch_size=size)
    found = batches(split, batch_size=size, augment="invert")
    assert found.count == plain.count
    for step in range(2 * found.count):
        batch = found.at(step)
        places, negatives = which(batch, split)
        assert sum(negatives) == len(places) // 2
        # The order of the samples is that of a training without.
        assert places == which(plain.at(step), split)[0]
        assert batch.y.tolist() == [int(split.train.y[place]) for place in places]


def test_the_set_is_duplicated() -> None:
    split = pictures()
    found = batches(split, augment="invert", augment_mode="duplicate")
    assert found.count == 2 * batches(split).count
    for epoch in range(2):
        seen = []
        for step in range(epoch * found.count, (epoch + 1) * found.count):
            seen += list(zip(*which(found.at(step), split), strict=True))
        assert sorted(seen) == [(k, negative) for k in range(48) for negative in (False, True)]


def test_the_clean_set_twice_has_as_many_steps_and_the_same_order() -> None:
    split = pictures()
    shifted = batches(split, augment="invert", augment_mode="duplicate")
    clean = batches(split, augment="clean", augment_mode="duplicate")
    assert clean.count == shifted.count
    for step in range(clean.count):
        places, negatives = which(clean.at(step), split)
        assert not any(negatives)
        assert places == which(shifted.at(step), split)[0]


def test_all_are_corrupted() -> None:
    split = pictures()
    found = batches(split, augment="invert", augment_mode="all")
    assert all(all(which(found.at(step), split)[1]) for step in range(found.count))


def test_another_epoch_draws_anew_and_the_same_one_draws_again() -> None:
    settings = {"augment": "rotation", "augment_mode": "all", "batch_size": 48}
    found = batches(**settings)

    def epoch(number: int) -> torch.Tensor:
        batch = found.at(number)
        return batch.x[batches(batch_size=48).at(number).x.flatten(1).sum(1).argsort()]

    assert torch.equal(epoch(0), epoch(0))
    assert not torch.equal(epoch(0), epoch(1))
    other = batches(**settings, seed=1)
    assert not torch.equal(other.at(0).x, found.at(0).x)


def test_shares_of_processes_are_those_of_one() -> None:
    plan = make_plan(
        picture_model(),
        pictures(),
        "base",
        quick(augment="horizontal-flip + rotation + darken", batch_size=13),
    )
    alone = MiniBatches(plan, CPU)
    shares = [MiniBatches(plan, CPU, rank=rank, processes=3) for rank in range(3)]
    for step in range(alone.count):
        parts = [share.at(step) for share in shares]
        torch.testing.assert_close(torch.cat([part.x for part in parts]), alone.at(step).x)
        assert torch.cat([part.y for part in parts]).tolist() == alone.at(step).y.tolist()
        assert sum(part.weight for part in parts) == pytest.approx(1)


@pytest.mark.parametrize("clip", [(0.0, 1.0), (-0.5, 2.0)])
def test_images_keep_to_the_clip_range(clip: tuple[float, float]) -> None:
    found = batches(augment="gaussian-noise + brighten", augment_mode="all", clip=clip)
    x = torch.cat([found.at(step).x for step in range(found.count)])
    assert clip[0] <= x.min()
    assert x.max() <= clip[1]


def test_the_data_are_not_changed() -> None:
    split = pictures()
    fit(picture_model(), split, "base", quick(epochs=1, augment="horizontal-flip + invert"))
    assert (split.train.x == pictures().train.x).all()


@pytest.mark.parametrize("mode", ["half", "duplicate"])
@pytest.mark.parametrize("stop", [2, 5])
def test_stopped_in_mid_epoch_and_resumed_it_ends_with_the_same_bits(
    tmp_path: Path, mode: str, stop: int
) -> None:
    settings = quick(
        epochs=2,
        augment="horizontal-flip + quarter-turns + rotation + gaussian-noise(sigma=(0.1, 0.3))",
        augment_mode=mode,
        sharpness="sam(rho=0.05)",
    )
    loss = "cross-entropy + 0.1*adversarial(steps=2)"
    whole = fit(picture_model(), pictures(), loss, settings, out=tmp_path / "whole")
    watch = Watch()

    def listen(now: Progress) -> None:
        if now.step == stop:
            watch.stop()

    out = tmp_path / "broken"
    first = fit(picture_model(), pictures(), loss, settings, out=out, watch=watch, progress=listen)
    assert first.interrupted
    again = fit(picture_model(), pictures(), loss, settings, out=out, resume=True)
    assert same_weights(again.module, whole.module)
    assert not same_weights(again.module, picture_model())
    for name in ("metrics.csv", "steps.csv"):
        assert rows(out / name) == rows(tmp_path / "whole" / name)


def test_another_augmentation_is_another_training(tmp_path: Path) -> None:
    settings = quick(epochs=1, augment="rotation")
    fit(picture_model(), pictures(), "base", settings, out=tmp_path)
    other = quick(epochs=1, augment="shear")
    with pytest.raises(InputError, match="augment"):
        fit(picture_model(), pictures(), "base", other, out=tmp_path, resume=True)


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ({"augment": "rotatoin"}, UnknownName, "`augment`.*did you mean 'rotation'"),
        ({"augment": "rotation(severity=9)"}, BadSetting, "`augment`.*from 1 to 5"),
        ({"augment_mode": "duplicate"}, BadSetting, "nothing to augment"),
        ({"augment": "rotation", "augment_mode": "twice"}, BadSetting, "`augment_mode` takes"),
    ],
)
def test_settings_that_cannot_be(
    values: dict[str, Any], error: type[InputError], words: str
) -> None:
    with pytest.raises(error, match=words):
        TrainSettings.of(values)


def test_data_that_cannot_be_augmented() -> None:
    with pytest.raises(BadShape, match=r"`augment`.*images"):
        make_plan(plain_model(), blobs(), "base", quick(augment="rotation"))
    bright = pictures()
    parts = [Dataset("bright", 255 * part.x, part.y) for part in (bright.train, bright.test)]
    split = Split(*parts, bright.classes)
    with pytest.raises(BadData, match="black and white"):
        make_plan(picture_model(), split, "base", quick(augment="rotation"))
    make_plan(picture_model(), split, "base", quick(augment="rotation", clip=(0.0, 255.0)))
    make_plan(picture_model(), split, "base", quick(augment="horizontal-flip"))
