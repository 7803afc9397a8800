"""Laws of every corruption: shapes, ranges, seeds, chunks, and refusals."""

from __future__ import annotations

import builtins
import random
import re
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sensverify.corruptions import CORRUPTIONS, SEQUENCES, corrupt, sequence
from sensverify.errors import BackendMissing, BadData, BadSetting, BadShape, UnknownName
from tests.corruptions.conftest import assert_close

SIZES = ((1, 28, 28), (3, 32, 32), (1, 33, 47), (3, 64, 41), (3, 130, 97))


def images(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Smooth images with some noise, black and white among their values."""
    draws = torch.Generator().manual_seed(7)
    coarse = torch.rand(*shape[:2], 5, 5, generator=draws)
    fine = torch.nn.functional.interpolate(coarse, shape[2:], mode="bicubic")
    fine = fine + 0.2 * torch.rand(*shape, generator=draws) - 0.1
    return fine.clamp(0, 1).to(dtype)


def test_shape_type_and_range_are_kept_at_any_size(name: str) -> None:
    entry, turn = CORRUPTIONS[name], list(CORRUPTIONS).index(name)
    for place, shape in enumerate(SIZES):
        x = images(3, *shape)
        if entry.incompatibility(shape):
            with pytest.raises(BadShape, match="colours"):
                corrupt(x, name, 1)
            continue
        before = x.clone()
        # Every severity meets every size, of one corruption or another.
        severity = 1 + (place + turn) % entry.severities
        worse = corrupt(x, name, severity)
        assert (worse.shape, worse.dtype, worse.device) == (x.shape, x.dtype, x.device)
        assert bool(((worse >= 0) & (worse <= 1)).all()), (shape, severity)
        assert not torch.equal(worse, x), (shape, severity)
        assert worse.data_ptr() != x.data_ptr(), (shape, severity)
        assert torch.equal(x, before), (shape, severity)


def test_the_smallest_size_works_and_a_smaller_one_is_refused(every: tuple[str, ...]) -> None:
    for name in every:
        smallest = CORRUPTIONS[name].smallest
        corrupt(images(2, 3, smallest, smallest), name, CORRUPTIONS[name].severities)
        with pytest.raises(BadShape, match=f"'{name}'.*at least {smallest} x {smallest}"):
            corrupt(images(2, 3, smallest, smallest - 1), name, 1)


def test_an_image_is_corrupted_alike_whatever_is_beside_it(name: str) -> None:
    x = images(7, 3, 32, 36)
    last = CORRUPTIONS[name].severities
    places = torch.tensor([10, 11, 4, 900, 5, 2**32 - 1, 0])
    whole = corrupt(x, name, last, seed=3, places=places)
    torch.testing.assert_close(corrupt(x, name, last, seed=3, places=places, chunk=2), whole)
    order = torch.tensor([5, 0, 3])
    some = corrupt(x[order], name, last, seed=3, places=places[order])
    torch.testing.assert_close(some, whole[order])
    again = corrupt(x, name, last, seed=3, places=places)
    assert torch.equal(again, whole)


# What draws no number gives the same at every seed.
FIXED = (
    *("defocus-blur", "zoom-blur", "brightness", "contrast", "pixelate", "jpeg", "box-blur"),
    *("contrast-loss", "flip", "quantise", "thumbnail", "greyscale", "invert"),
    *("posterise", "darken", "brighten", "gaussian-blur", "brightness-factor"),
    *("candidate-border", "candidate-downscale", "candidate-posterise", "candidate-solarise"),
    # On images this small every radius of the range is one pixel.
    *("candidate-sepia", "candidate-blur", "candidate-gaussian-blur", "candidate-median-blur"),
)


def test_another_seed_and_another_place_give_other_numbers(every: tuple[str, ...]) -> None:
    x = images(1, 3, 32, 32).expand(8, -1, -1, -1)
    for name in every:
        severity = min(2, CORRUPTIONS[name].severities)
        worse = corrupt(x, name, severity)
        places_differ = not torch.allclose(worse, worse[:1].expand_as(worse))
        seeds_differ = not torch.allclose(worse, corrupt(x, name, severity, seed=1))
        assert places_differ == seeds_differ == (name not in FIXED), name


def test_no_global_random_number_is_drawn_or_seeded(every: tuple[str, ...]) -> None:
    def states() -> tuple[Any, ...]:
        numpys = np.random.get_state()[1].tolist()  # noqa: NPY002
        return torch.random.get_rng_state().tolist(), numpys, random.getstate()

    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    before = states()
    for name in every:
        corrupt(images(2, 3, 32, 32), name, 1)
        assert states() == before, name


def test_any_range_of_pixels(every: tuple[str, ...]) -> None:
    x = images(3, 3, 32, 32)
    for name in every:
        worse = corrupt(x, name, 1)
        # 0 and 1 are half-way values of rounding; elsewhere the two agree but for rounding errors.
        moved = corrupt(4 * x - 2, name, 1, pixels=(-2.0, 2.0))
        assert bool(((moved >= -2) & (moved <= 2)).all()), name
        close = torch.isclose((moved + 2) / 4, worse, atol=1e-4).double().mean()
        assert close > 0.98, name


def test_rounding_leads_to_no_value_beyond_the_range() -> None:
    for pixels in ((-0.42421296, 2.8214867), (-1.1, 0.3), (0.1, 0.7)):
        ends = torch.tensor(pixels)
        worse = corrupt(ends.repeat(32, 16)[None, None], "invert", 1, pixels=pixels)
        assert float(worse.min()) >= float(ends[0]), pixels
        assert float(worse.max()) <= float(ends[1]), pixels


def test_other_types_give_the_same_but_for_rounding(every: tuple[str, ...]) -> None:
    x = images(3, 3, 32, 32, dtype=torch.float16)
    for name in every:
        wanted = corrupt(x.float(), name, 1)
        for dtype in (torch.float64, torch.float16):
            worse = corrupt(x.to(dtype), name, 1)
            assert worse.dtype == dtype, name
            same = torch.isclose(worse.float(), wanted, atol=2e-3).double().mean()
            assert same > 0.98, (name, dtype)


def test_grey_images_and_their_copies_in_three_channels_agree(every: tuple[str, ...]) -> None:
    x = images(3, 1, 32, 32)
    for name in every:
        # Where no number is drawn for every channel by itself.
        if CORRUPTIONS[name].family == "noise" or CORRUPTIONS[name].needs_colour:
            continue
        grey = corrupt(x, name, 1)
        colour = corrupt(x.expand(-1, 3, -1, -1), name, 1)
        middle = colour.mean(dim=1, keepdim=True) if name != "frost" else _luminance(colour)
        tolerance = 0.02 if name in ("jpeg", "candidate-jpeg", "frost") else 1e-5
        assert_close(middle, grey, name, atol=tolerance, rtol=0)


def _luminance(x: Tensor) -> Tensor:
    return (x * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(dim=1, keepdim=True)


def test_no_images_at_all() -> None:
    for name in ("gaussian-noise", "glass-blur", "fog", "translation", "artifacts"):
        assert corrupt(torch.zeros(0, 1, 28, 28), name, 1).shape == (0, 1, 28, 28)
    assert sequence(torch.zeros(0, 1, 28, 28), "snow").shape == (0, 31, 1, 28, 28)


@pytest.mark.parametrize(
    "x",
    [
        torch.zeros(2, 784),
        torch.zeros(2, 2, 28, 28),
        torch.zeros(28, 28),
        torch.zeros(2, 28, 28, 3),
        torch.zeros(2, 1, 28, 28, dtype=torch.uint8),
    ],
    ids=lambda x: f"{x.dtype}{list(x.shape)}",
)
def test_what_is_no_image_is_refused(x: Tensor) -> None:
    for ask in (lambda: corrupt(x, "contrast", 1), lambda: sequence(x, "rotation")):
        with pytest.raises(BadShape, match=re.escape(f"{x.dtype} of shape {[*x.shape]}")):
            ask()


@pytest.mark.parametrize("bad", [1.5, -0.1, float("nan"), float("inf")])
def test_values_outside_of_the_range_are_refused_with_their_place(bad: float) -> None:
    x = images(4, 1, 28, 28)
    x[2, 0, 3, 4] = bad
    for ask in (
        lambda: corrupt(x, "contrast", 1, places=[7, 8, 102, 9]),
        lambda: sequence(x, "rotation", places=[7, 8, 102, 9]),
    ):
        with pytest.raises(BadData, match="image 102"):
            ask()


def test_a_rounding_error_beyond_the_range_is_not_refused() -> None:
    x = torch.full((1, 1, 28, 28), 1 + 1e-7)
    assert float(corrupt(x, "darken", {"factor": 1.0}).max()) == 1.0


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"name": "posterize"}, UnknownName, "'posterise'"),
        ({"name": 3}, BadSetting, "is 3"),
        ({"name": lambda x, draws, k: x}, BadSetting, r"\bk\b.*default"),
        ({"name": lambda x, draws: None}, BadShape, "NoneType"),
        ({"name": lambda x, draws: x[:, 0]}, BadShape, r"\[1, 28, 28\]"),
        ({"severity": 0}, BadSetting, "from 1 to 5, got 0"),
        ({"severity": 6}, BadSetting, "from 1 to 5, got 6"),
        ({"severity": True}, BadSetting, "from 1 to 5, got True"),
        ({"severity": {"sigma": 1.0}}, BadSetting, "factor, got sigma"),
        ({"severity": {}}, BadSetting, "factor, got none"),
        ({"pixels": (1.0, 0.0)}, BadSetting, "low < high"),
        ({"pixels": (0.0, float("nan"))}, BadSetting, "low < high"),
        ({"places": [-1]}, BadSetting, r"2\*\*32 - 1, got -1"),
        ({"places": [2**32]}, BadSetting, "got 4294967296"),
        ({"places": [1.0]}, BadSetting, "float64"),
        ({"places": [True]}, BadSetting, "bool"),
        ({"places": []}, BadShape, r"1 images.*\[0\]"),
        ({"places": [[1]]}, BadShape, r"\[1, 1\]"),
        ({"chunk": 0}, BadSetting, "`chunk`.* 1"),
    ],
)
def test_settings_that_are_refused(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        corrupt(images(1, 1, 28, 28), **{"name": "contrast", "severity": 1, **arguments})


@pytest.mark.parametrize(("name", "package"), [("jpeg", "PIL"), ("frost", "PIL")])
def test_a_missing_package_is_named(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sensverify.corruptions import weather

    real = builtins.__import__

    def without(wanted: str, *arguments: Any, **options: Any) -> Any:
        if wanted.split(".")[0] == package:
            raise ImportError(wanted)
        return real(wanted, *arguments, **options)

    weather._photographs.cache_clear()
    weather._frost_pixels.cache_clear()
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(BackendMissing, match=r"pillow.*pip install 'sensverify\[evaluate\]'"):
        corrupt(images(1, 1, 28, 28), name, 1)


def test_missing_photographs_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from sensverify.corruptions import weather

    weather._photographs.cache_clear()
    weather._frost_pixels.cache_clear()
    monkeypatch.setattr(weather, "find_spec", lambda name: None)
    with pytest.raises(BackendMissing, match="pip install --no-deps imagecorruptions-imaug"):
        corrupt(images(1, 1, 28, 28), "frost", 1)


@pytest.mark.parametrize("name", ["frost"])
def test_photographs_need_nothing_of_what_their_package_needs(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sensverify.corruptions import weather

    weather._photographs.cache_clear()
    weather._frost_pixels.cache_clear()
    for package in ("cv2", "numba", "skimage"):
        monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "imagecorruptions", raising=False)
    corrupt(images(1, 1, 28, 28), name, 1)
    assert "imagecorruptions" not in sys.modules


def test_sequences_keep_the_same_laws() -> None:
    x = images(3, 3, 29, 33)
    for name, chosen in SEQUENCES.items():
        frames = sequence(x, name, seed=2, places=[4, 70, 6])
        assert frames.shape == (3, chosen.length(x.shape), *x.shape[1:])
        assert bool(((frames >= 0) & (frames <= 1)).all())
        part = sequence(x[1:], name, seed=2, places=np.array([70, 6]), chunk=1)
        torch.testing.assert_close(part, frames[1:])
