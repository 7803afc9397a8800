"""Sequences: small steps, known frames, and noise against the first frame."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sensverify.corruptions import SEQUENCES, sequence
from sensverify.corruptions.blur import streaked
from sensverify.errors import BadSetting, BadShape, UnknownName

NOISES = ("gaussian-noise", "shot-noise")


@pytest.fixture(params=list(SEQUENCES))
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def test_the_number_of_frames(kind: str, digits: Tensor) -> None:
    assert sequence(digits[:2], kind).shape[1] == SEQUENCES[kind].frames
    assert sequence(digits[:2], kind, frames=5).shape == (2, 5, 1, 28, 28)
    with pytest.raises(BadSetting, match="at least 2 frames, got 1"):
        sequence(digits[:2], kind, frames=1)


def test_the_step_does_not_depend_on_the_number_of_frames(kind: str, digits: Tensor) -> None:
    x = digits[:4]
    # Frames in the middle, or first ones, are shared by a longer sequence.
    short, long = sequence(x, kind, frames=5), sequence(x, kind, frames=9)
    starts = [k for k in range(5) if torch.allclose(short, long[:, k : k + 5], atol=1e-5)]
    assert starts


def test_frames_change_by_small_steps(kind: str, objects: Tensor) -> None:
    x = objects[:20]
    frames = sequence(x, kind)
    step = float((frames[:, 1:] - frames[:, :-1]).abs().mean())
    whole = float((x - x.flip(0)).abs().mean())
    assert 0 < step < 0.3 * whole
    if SEQUENCES[kind].against == "previous":
        ends = float((frames[:, -1] - frames[:, 0]).abs().mean())
        assert ends > 2 * step


@pytest.mark.parametrize("kind", NOISES)
def test_noise_is_compared_with_the_clean_first_frame(kind: str, digits: Tensor) -> None:
    frames = sequence(digits[:3], kind)
    assert SEQUENCES[kind].against == "first"
    assert torch.equal(frames[:, 0], digits[:3])
    assert not torch.equal(frames[:, 1], frames[:, 2])


def test_only_noise_is_compared_with_the_first_frame() -> None:
    assert {kind for kind, entry in SEQUENCES.items() if entry.against == "first"} == set(NOISES)
    assert {entry.against for entry in SEQUENCES.values()} == {"first", "previous"}


@pytest.mark.parametrize("kind", ["brightness", "rotation", "tilt", "scale", "shear"])
def test_the_middle_frame_is_the_image(kind: str, objects: Tensor) -> None:
    frames = sequence(objects[:3], kind, frames=7)
    torch.testing.assert_close(frames[:, 3], objects[:3], atol=1e-4, rtol=0)


def test_frames_of_a_translation_are_one_pixel_apart(objects: Tensor) -> None:
    frames = sequence(objects[:3], "translation")
    for number in range(16):
        by = number - 8
        wanted = objects[:3].roll(by, 3)
        inside = slice(max(by, 0), 32 + min(by, 0))
        found = frames[:, number, :, :, inside]
        torch.testing.assert_close(found, wanted[..., inside], atol=1e-4, rtol=0)


def test_scale_enlarges_towards_the_end() -> None:
    x = torch.zeros(1, 1, 33, 33)
    x[:, :, 12:21, 12:21] = 1
    area = sequence(x, "scale")[0].sum(dim=(1, 2, 3))
    assert area.tolist() == sorted(area.tolist())
    # From 0.7 to 1.3 of the side.
    assert float(area[-1] / area[0]) == pytest.approx((1.3 / 0.7) ** 2, rel=0.05)


def test_a_tilt_brings_one_corner_nearer() -> None:
    x = torch.zeros(1, 1, 65, 65)
    x[:, :, 8:57, 8:57] = 1
    frames = sequence(x, "tilt")[0, :, 0]
    half = lambda frame, rows, columns: float(frame[rows, columns].sum())  # noqa: E731
    near, far = slice(0, 32), slice(33, 65)
    first, last = (
        half(frame, near, near) - half(frame, far, far) for frame in (frames[0], frames[-1])
    )
    assert first * last < 0
    assert abs(half(frames[15], near, near) - half(frames[15], far, far)) < 1e-2


def test_motion_turns_until_it_is_level(digits: Tensor) -> None:
    frames = sequence(digits[:3], "motion-blur", frames=6)
    for number, degrees in ((5, 0.0), (4, -9.0), (0, -45.0)):
        wanted = streaked(digits[:3], torch.full((3,), degrees), radius=6, sigma=1.8)
        torch.testing.assert_close(frames[:, number], wanted)


@pytest.mark.parametrize("kind", ["zoom-blur", "motion-blur", "gaussian-blur"])
def test_a_blur_leaves_an_even_image(kind: str) -> None:
    frames = sequence(torch.full((1, 3, 30, 28), 0.4), kind)
    torch.testing.assert_close(frames, torch.full_like(frames, 0.4))


def test_what_is_refused() -> None:
    with pytest.raises(UnknownName, match="did you mean 'rotation'"):
        sequence(torch.zeros(1, 1, 28, 28), "rotate")
    with pytest.raises(BadShape, match="at least 24 x 24"):
        sequence(torch.zeros(1, 1, 8, 8), "rotation")
