"""Sequences: small steps, known frames, and noise against the first frame."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from sensverify.corruptions import SEQUENCES, sequence
from sensverify.corruptions.blur import motion_blurred
from sensverify.corruptions.draws import Draws
from sensverify.corruptions.weather import snow_flakes
from sensverify.errors import BadSetting, BadShape, UnknownName

NOISES = ("gaussian-noise", "shot-noise")


@pytest.fixture(params=list(SEQUENCES))
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def test_the_number_of_frames(digits: Tensor) -> None:
    for kind, entry in SEQUENCES.items():
        assert sequence(digits[:2], kind).shape[1] == entry.length((28, 28)), kind
        assert sequence(digits[:2], kind, frames=5).shape == (2, 5, 1, 28, 28), kind
        with pytest.raises(BadSetting, match="2 frames, got 1"):
            sequence(digits[:2], kind, frames=1)


def test_the_step_does_not_depend_on_the_number_of_frames(digits: Tensor) -> None:
    x = digits[:4]
    for kind in SEQUENCES:
        # Frames in the middle, or first ones, are shared by a longer sequence.
        short, long = sequence(x, kind, frames=5), sequence(x, kind, frames=9)
        assert any(torch.allclose(short, long[:, k : k + 5], atol=1e-5) for k in range(5)), kind


def test_frames_change_by_small_steps(kind: str, objects: Tensor) -> None:
    x = objects[:20]
    frames = sequence(x, kind)
    step = float((frames[:, 1:] - frames[:, :-1]).abs().mean())
    whole = float((x - x.flip(0)).abs().mean())
    assert 0 < step < 0.3 * whole
    if SEQUENCES[kind].against == "previous":
        ends = float((frames[:, -1] - frames[:, 0]).abs().mean())
        assert ends > 2 * step


def test_only_noise_is_compared_with_the_first_frame_which_is_clean(digits: Tensor) -> None:
    for kind, entry in SEQUENCES.items():
        assert entry.against == ("first" if kind in NOISES else "previous"), kind
    for kind in NOISES:
        frames = sequence(digits[:3], kind)
        assert torch.equal(frames[:, 0], digits[:3]), kind
        assert not torch.equal(frames[:, 1], frames[:, 2]), kind


@pytest.mark.parametrize("kind", ["brightness", "rotation", "tilt", "scale", "shear"])
def test_the_middle_frame_is_the_image(kind: str, objects: Tensor) -> None:
    frames = sequence(objects[:3], kind, frames=7)
    torch.testing.assert_close(frames[:, 3], objects[:3], atol=1e-4, rtol=0)


def test_frames_of_a_translation_are_one_pixel_apart(objects: Tensor) -> None:
    frames = sequence(objects[:3], "translation")
    for number in range(16):
        by = number - 7
        wanted = objects[:3].roll(by, 3)
        inside = slice(max(by, 0), 32 + min(by, 0))
        found = frames[:, number, :, :, inside]
        torch.testing.assert_close(found, wanted[..., inside], atol=1e-4, rtol=0)


def test_lengths_are_those_of_the_authors() -> None:
    small, large = (
        {kind: entry.length((3, side, side + 9)) for kind, entry in SEQUENCES.items()}
        for side in (32, 224)
    )
    assert {kind: n for kind, n in small.items() if n != 31} == {
        "motion-blur": 21,
        "translation": 16,
    }
    assert {kind: n for kind, n in large.items() if n != 31} == {"translation": 41}
    assert SEQUENCES["translation"].frames_text == "16 or 41"
    assert SEQUENCES["snow"].frames_text == "31"


def square(side: int, half: int) -> Tensor:
    """White on black, in the middle of an image of odd sides."""
    x = torch.zeros(1, 1, side, side)
    x[:, :, side // 2 - half : side // 2 + half + 1, side // 2 - half : side // 2 + half + 1] = 1
    return x


@pytest.mark.parametrize(
    ("side", "first", "last"), [(33, (7, -7), (-8, 8)), (101, (20, -20), (-20, 20))]
)
def test_a_translation_goes_from_left_to_right(
    side: int, first: tuple[int, int], last: tuple[int, int]
) -> None:
    frames = sequence(square(side, 2), "translation")[0, :, 0]
    middles = (frames.sum(dim=1) @ torch.arange(float(side))) / frames.sum(dim=(1, 2)) - side // 2
    assert float(middles[0]) == pytest.approx(first[1], abs=1e-3)
    assert float(middles[-1]) == pytest.approx(last[1], abs=1e-3)


@pytest.mark.parametrize(("side", "ends"), [(33, (0.7, 1.3)), (129, (0.4, 1.15))])
def test_the_ends_of_a_scale(side: int, ends: tuple[float, float]) -> None:
    frames = sequence(square(side, side // 4), "scale")[0, :, 0]
    area = frames.sum(dim=(1, 2))
    whole = float((2 * (side // 4) + 1) ** 2)
    assert [math.sqrt(float(area[k]) / whole) for k in (0, -1)] == pytest.approx(ends, abs=0.01)
    assert area.tolist() == sorted(area.tolist())
    # One frame is the image.
    assert bool(torch.isclose(area, torch.tensor(whole), rtol=1e-5).any())


@pytest.mark.parametrize(("side", "start", "step"), [(33, 0.3, 0.015), (101, 0.25, 0.035)])
def test_deviations_of_a_growing_blur(side: int, start: float, step: float) -> None:
    x = torch.rand(1, 1, side, side, generator=torch.Generator().manual_seed(0))
    frames = sequence(x, "gaussian-blur")[0]
    for number in (0, 7, 30):
        wanted = ndimage.gaussian_filter(
            x[0, 0].double().numpy(), start + step * number, mode="nearest", truncate=6
        )
        np.testing.assert_allclose(frames[number, 0].numpy(), wanted, atol=2e-4)


@pytest.mark.parametrize(("side", "sigma", "photons"), [(33, 0.02, 700), (101, 0.03, 300)])
def test_noise_of_frames(side: int, sigma: float, photons: int) -> None:
    x = torch.full((4, 1, side, side), 0.5)
    for kind, wanted in (("gaussian-noise", sigma), ("shot-noise", math.sqrt(0.5 / photons))):
        frames = sequence(x, kind)[:, 1:] - 0.5
        assert float(frames.std()) == pytest.approx(wanted, rel=0.02)
        assert abs(float(frames.mean())) < 5 * wanted / math.sqrt(frames.numel())


@pytest.mark.parametrize(("side", "step"), [(33, 0.015), (101, 0.02)])
def test_brightness_rises_by_a_step(side: int, step: float) -> None:
    frames = sequence(torch.full((1, 1, side, side), 0.5), "brightness")[0, :, 0, 3, 4]
    wanted = 0.5 + step * (torch.arange(31.0) - 15)
    torch.testing.assert_close(frames, wanted, atol=1e-6, rtol=0)


def test_a_rotation_and_a_shear_go_by_degrees() -> None:
    x = torch.zeros(1, 1, 65, 65)
    x[..., 2:-2, 32] = 1
    place = torch.arange(65.0) - 32
    for kind in ("rotation", "shear"):
        frames = sequence(x, kind)[0, :, 0, 12:53]
        middle = (frames @ place) / frames.sum(dim=2)
        slope = (middle[:, -1] - middle[:, 0]) / 40
        wanted = torch.deg2rad(torch.arange(31.0) - 15).tan()
        assert min(float((slope - sign * wanted).abs().max()) for sign in (1, -1)) < 3e-3, kind


@pytest.mark.parametrize(("side", "step"), [(33, 0.75), (129, 1.0)])
def test_a_tilt_shows_a_plane_in_perspective(side: int, step: float) -> None:
    # A point of a plane that is turned by RX RY and then moved away by the image's diagonal.
    half = side // 4
    x = torch.zeros(1, 1, side, side)
    middle = side // 2
    x[..., middle - half - 1 : middle - half + 2, middle + half - 1 : middle + half + 2] = 1
    frames = sequence(x, "tilt")[0, :, 0]
    place = torch.arange(float(side)) - middle
    away = side * math.sqrt(2)
    for number in (0, 8, 30):
        angle = math.radians(step * (number - 15))
        c, s = math.cos(angle), math.sin(angle)
        about_x = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
        about_y = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
        point = about_x @ about_y @ np.array([half, -half, 0])
        wanted = away * point[:2] / (point[2] + away)
        frame = frames[number] / frames[number].sum()
        found = [float(frame.sum(dim=0) @ place), float(frame.sum(dim=1) @ place)]
        assert found == pytest.approx(wanted.tolist(), abs=0.15)


@pytest.mark.parametrize(("side", "grain", "radius", "sigma"), [(33, 2, 10, 2), (101, 3, 14, 4)])
def test_the_same_flakes_fall_in_a_turning_direction(
    side: int, grain: float, radius: float, sigma: float
) -> None:
    x = torch.full((4, 1, side, side), 0.2)
    frames = sequence(x, "snow")
    draws = Draws(0, "sequence/snow", places=range(4), like=x)
    flakes = snow_flakes(x, draws, mean=0.05, deviation=0.3, grain=grain, threshold=0.5)
    assert 0.01 < float((flakes > 0).double().mean()) < 0.1
    for number, degrees in ((0, -150.0), (15, -90.0), (30, -30.0)):
        layer = motion_blurred(flakes, torch.full((4,), degrees), radius=radius, sigma=sigma)
        whitened = 0.85 * 0.2 + 0.15 * (0.2 * 1.5 + 0.5)
        wanted = (whitened + layer + layer.rot90(2, (2, 3))).clamp(0, 1)
        torch.testing.assert_close(frames[:, number], wanted)


def test_motion_turns_until_it_is_level(digits: Tensor) -> None:
    frames = sequence(digits[:3], "motion-blur", frames=6)
    for number, degrees in ((5, 0.0), (4, -9.0), (0, -45.0)):
        wanted = motion_blurred(digits[:3], torch.full((3,), degrees), radius=6, sigma=1.8)
        torch.testing.assert_close(frames[:, number], wanted)


@pytest.mark.parametrize("kind", ["zoom-blur", "motion-blur", "gaussian-blur"])
def test_a_blur_leaves_an_even_image(kind: str) -> None:
    frames = sequence(torch.full((1, 3, 30, 28), 0.4), kind)
    torch.testing.assert_close(frames, torch.full_like(frames, 0.4))


def test_what_is_refused() -> None:
    with pytest.raises(UnknownName, match="'rotation'"):
        sequence(torch.zeros(1, 1, 28, 28), "rotate")
    with pytest.raises(BadShape, match="24 x 24"):
        sequence(torch.zeros(1, 1, 8, 8), "rotation")
