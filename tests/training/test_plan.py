"""What a training is not begun with, found before anything is written."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from sensverify.errors import BadSetting
from sensverify.training.plan import make_plan
from tests.training.trainings import blobs, plain_model, quick, rich_model, same_weights


def test_held_out_samples_keep_to_the_clip_range_too() -> None:
    split = blobs()
    x = np.clip(split.train.x / 20, -1, 1)
    x[-1] = 3.0
    test = replace(split.test, x=np.clip(split.test.x, -1, 1))
    split = replace(split, train=replace(split.train, x=x), test=test)
    settings = quick(hold_out=10, clip=(-1.0, 1.0))
    with pytest.raises(BadSetting, match=r"`clip` is \[-1, 1\], and samples reach from .* to 3"):
        make_plan(plain_model(), split, "base", settings)
    # Those that are left out altogether are none of its business.
    make_plan(plain_model(), split, "base", replace(settings, hold_out=0, train_samples=20))


def test_a_radius_beyond_float32() -> None:
    split = blobs()
    wide = replace(split, train=replace(split.train, feature_range=np.full(4, 1e30)))
    with pytest.raises(BadSetting, match="beyond float32"):
        make_plan(plain_model(), wide, "base", quick(sigma=1e20))


@pytest.mark.parametrize("loss", [None, 3, ["base"]])
def test_a_loss_is_text_or_an_object(loss: object) -> None:
    with pytest.raises(BadSetting, match="a loss is a recipe's name"):
        make_plan(plain_model(), blobs(), loss, quick())  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_parameters_are_float32(dtype: torch.dtype) -> None:
    with pytest.raises(BadSetting, match=r"module\.float\(\)"):
        make_plan(plain_model().to(dtype), blobs(), "base", quick())


def test_one_sample_is_no_batch_to_normalise_by() -> None:
    module, before = rich_model(), rich_model()
    with pytest.raises(BadSetting, match="another `batch_size`"):
        make_plan(module, blobs(), "base", quick(batch_size=1))
    assert same_weights(module, before)
    make_plan(module, blobs(), "base", quick(batch_size=2))
    make_plan(plain_model(), blobs(), "base", quick(batch_size=1))
    # Of an image there are several values for each channel.
    image = nn.Sequential(
        nn.Unflatten(1, (1, 2, 2)), nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(4, 3)
    )
    state = torch.random.get_rng_state()
    make_plan(image, blobs(), "base", quick(batch_size=1))
    assert int(image[1].num_batches_tracked) == 0
    assert torch.equal(state, torch.random.get_rng_state())
