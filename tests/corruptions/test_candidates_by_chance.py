"""Candidates that move, light and colour as chance has it, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from sensverify.corruptions import CORRUPTIONS, corrupt
from sensverify.corruptions.corruption import Value
from tests.corruptions.conftest import assert_close


def images(n: int = 6, channels: int = 3, rows: int = 32, columns: int = 40) -> Tensor:
    return torch.rand(n, channels, rows, columns, generator=torch.Generator().manual_seed(0))


def made(x: Tensor, name: str, **changes: Value) -> Tensor:
    """A candidate with some of its parameters, at 224 pixels, changed."""
    values = {**CORRUPTIONS[f"candidate-{name}"].parameters(1, (224, 224)), **changes}
    return corrupt(x, f"candidate-{name}", values)


@pytest.mark.parametrize(
    ("name", "nothing"),
    [
        ("colour-jitter", {"most": 0, "turn": 0}),
        ("hue-saturation-value", {"hue": 0, "saturation": 0, "value": 0}),
        ("iso-noise", {"least": 0, "most": 0}),
        ("elastic", {"stretch": 0, "affine": 0}),
        ("perspective", {"least": 0, "most": 0}),
        ("fog", {"density": 0}),
        ("shadow", {"left": 1}),
        ("snow", {"brightness": 1}),
    ],
)
def test_a_strength_of_nothing_changes_nothing(name: str, nothing: dict[str, Value]) -> None:
    x = images(rows=24, columns=24)
    assert_close(made(x, name, **nothing), x, name, atol=1e-4, rtol=0)


def test_whole_turns_and_greys_have_no_hue() -> None:
    x = images()
    turned = made(x, "hue-saturation-value", hue=0.3, saturation=0, value=0)
    for pick in (lambda t: t.amax(dim=1), lambda t: t.amin(dim=1)):
        assert_close(pick(turned), pick(x), "value and span stay", atol=1e-5, rtol=0)
    assert float((turned - x).abs().mean()) > 0.02
    grey = images(channels=1).expand(-1, 3, -1, -1)
    for name, values in (
        ("colour-jitter", {"most": 0, "turn": 0.7}),
        ("hue-saturation-value", {"hue": 0.5, "saturation": 0, "value": 0}),
    ):
        assert_close(made(grey, name, **values), grey, name, atol=1e-5, rtol=0)


def test_factors_of_a_jitter_are_in_their_range() -> None:
    # Of one grey, contrast and saturation change nothing.
    x = torch.full((300, 3, 8, 8), 0.5)
    found = made(x, "colour-jitter", turn=0).amax(dim=(1, 2, 3)) / 0.5
    assert 0.3 <= float(found.min()) < 0.34
    assert 1.66 < float(found.max()) <= 1.7


def test_noise_of_a_sensor_has_the_moments_it_says() -> None:
    x = torch.rand(4, 1, 96, 96, generator=torch.Generator().manual_seed(1)).expand(-1, 3, -1, -1)
    one = {"least": 0.5, "most": 0.5, "least_shift": 0.3, "most_shift": 0.3}
    found = made(x, "iso-noise", **one)[:, 0]
    rate = x[:, 0].flatten(1).std(dim=1, correction=0) * 0.5 * 255
    gained = (found - x[:, 0]) / (1 - x[:, 0]).clamp(min=1e-6) * 255
    inside = x[:, 0] < 0.9
    for place in range(4):
        counts = gained[place][inside[place]]
        assert float(counts.mean()) == pytest.approx(float(rate[place]), rel=0.02)
        assert float(counts.var()) == pytest.approx(float(rate[place]), rel=0.1)
    flat = torch.full((2, 3, 24, 24), 0.4)
    assert_close(made(flat, "iso-noise"), flat, "no deviation, no noise", atol=1e-6, rtol=0)


def test_a_grid_is_read_where_its_definition_says() -> None:
    x = images(n=1, channels=1, rows=30, columns=43)
    found = made(x, "grid-distortion", most=0)[0, 0].numpy()

    def places(side: int) -> np.ndarray:
        step = side // 5
        parts = [np.linspace(k * step, (k + 1) * step, step) for k in range(5)]
        return np.concatenate([*parts, np.linspace(5 * step, side, side - 5 * step)])

    y, x_at = np.meshgrid(places(30), places(43), indexing="ij")
    wanted = ndimage.map_coordinates(x[0, 0].numpy(), (y, x_at), order=1, mode="mirror")
    assert np.abs(found - wanted).max() < 1e-4


@pytest.mark.parametrize("bend", [0, 4])
def test_a_lens_bends_as_its_formula(bend: float) -> None:
    x = images(n=3, channels=1, rows=31, columns=26)
    found = made(x, "optical-distortion", most=bend, shift=0)
    y, x_at = np.meshgrid((np.arange(31) - 15) / 31, (np.arange(26) - 12.5) / 26, indexing="ij")
    square = x_at**2 + y**2
    for place in range(3):
        image = x[place, 0].numpy()

        def distance(k: float, image: np.ndarray = image, place: int = place) -> float:
            factor = 1 + k * square + k * square**2
            at = (31 * (y * factor + 0.5), 26 * (x_at * factor + 0.5))
            wanted = ndimage.map_coordinates(image, at, order=1, mode="mirror")
            return float(np.abs(found[place, 0].numpy() - wanted).mean())

        # One bend, of those there could be, explains the image.
        best = min(distance(k) for k in np.linspace(-bend, bend, 4001 if bend else 1))
        assert best < (0.01 if bend else 1e-4)


def test_what_is_seen_from_aside_is_a_part() -> None:
    x = images()
    found = made(x, "perspective")
    assert bool(found.isfinite().all())
    # Of a ramp, only values between its ends.
    ramp = torch.linspace(0.2, 0.8, 40).expand(8, 1, 32, 40)
    seen = made(ramp, "perspective", least=0.05, most=0.05)
    assert float(seen.min()) >= 0.2 - 1e-5
    assert float((seen[:, 0, :, -1] - seen[:, 0, :, 0]).min()) > 0.2


def test_a_line_keeps_what_it_spreads() -> None:
    flat = torch.full((4, 3, 32, 32), 0.3)
    assert_close(made(flat, "motion-blur"), flat, "flat", atol=1e-6, rtol=0)
    point = torch.zeros(30, 1, 41, 41)
    point[:, :, 20, 20] = 1
    found = made(point, "motion-blur")
    assert_close(found.sum(dim=(1, 2, 3)), torch.ones(30), "the sum stays", atol=1e-5, rtol=0)
    for image in found[:, 0]:
        weights = image[image > 0]
        assert float(weights.max() - weights.min()) < 1e-6
        rows, columns = (image > 0).nonzero().T
        high, wide = int(rows.max() - rows.min()), int(columns.max() - columns.min())
        assert len(weights) == max(high, wide) + 1 <= 17
        # All near one straight line.
        flatness = np.linalg.svd(
            np.stack([rows, columns]) - np.array([[rows.float().mean()], [columns.float().mean()]])
        )[1]
        assert flatness[1] <= 0.5 * np.sqrt(len(weights))


def test_rain_falls_in_strokes_on_a_darker_image() -> None:
    black = torch.zeros(20, 1, 224, 224)
    found = made(black, "rain", blur=0, light=1)
    assert {round(value, 4) for value in found.unique().tolist()} == {0.0, round(200 / 255, 4)}
    share = float((found > 0).double().mean())
    # One stroke of 21 pixels on 600, and some of them cross.
    assert 0.028 < share < 21 / 600 + 1e-3
    white = torch.ones(2, 3, 32, 32)
    assert float(made(white, "rain").max()) < 0.71
    small = made(torch.zeros(40, 1, 32, 32), "rain", blur=0, light=1, length=3, slant=1.4)
    assert 0.02 < float((small > 0).double().mean()) < 0.06


def test_what_is_darker_than_a_limit_is_bleached() -> None:
    ramp = torch.linspace(0, 1, 101).expand(200, 1, 8, 101)
    found = made(ramp, "snow")[:, 0, 0]
    bleached = (found - ramp[:, 0, 0]).abs() > 1e-6
    limits = torch.where(bleached, ramp[:, 0, 0], 0.0).amax(dim=1)
    # From (0.1 * 127.5 + 85) / 255 to (0.3 * 127.5 + 85) / 255.
    assert 0.37 <= float(limits.min()) < 0.40
    assert 0.46 < float(limits.max()) <= 0.49
    assert_close(
        found[bleached],
        (2.5 * ramp[:, 0, 0][bleached]).clamp(max=1),
        "times 2.5",
        atol=1e-5,
        rtol=0,
    )


def test_fog_is_white_by_whole_numbers_of_discs() -> None:
    x = torch.full((4, 3, 224, 224), 0.2)
    plain = made(x, "fog", least=0.9, most=0.9)
    assert float(plain.min()) >= 0.2 - 1e-6
    rest = ((1 - plain) / 0.8).log() / np.log(1 - 0.08 * 0.9)
    # Where the blur has only seen pixels of one kind.
    whole = (rest - rest.round()).abs() < 1e-3
    assert float(whole.double().mean()) > 0.3
    assert int(rest.max().round()) >= 3


def test_shadows_are_half_as_light() -> None:
    x = images(n=60, channels=1, rows=64, columns=64) * 0.5 + 0.25
    found = made(x, "shadow")
    ratio = (found / x).round(decimals=4)
    assert set(ratio.unique().tolist()) == {0.5, 1.0}
    shares = (ratio == 0.5).double().mean(dim=(1, 2, 3))
    assert 0.05 < float(shares.mean()) < 0.7
    assert float(shares.min()) > 0


def test_a_sun_is_in_the_upper_half_and_fades() -> None:
    black = torch.zeros(12, 1, 96, 96)
    found = made(black, "sun-flare", radius=40)[:, 0]
    assert float(found.amax(dim=(1, 2)).min()) > 0.98
    for image in found:
        row, column = divmod(int(image.flatten().argmax()), 96)
        assert row <= 50
        y, x = torch.meshgrid(torch.arange(96), torch.arange(96), indexing="ij")
        far = ((y - row) ** 2 + (x - column) ** 2).sqrt()
        assert float(image[far < 8].mean()) > 0.8 > 0.3 > float(image[far > 45].mean())
    white = torch.ones(2, 3, 32, 32)
    assert_close(
        made(white, "sun-flare")[..., :1, :1], white[..., :1, :1], "white", atol=0.2, rtol=0
    )
