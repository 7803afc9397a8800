"""Input sets: membership, sampling, points brought into them, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import sensverify as sv
from sensverify.core.sets.ball import shrunk
from sensverify.errors import BadBox, BadSetting, BadShape
from tests.core.sets.examples import SETS, X


@pytest.mark.parametrize("name", SETS)
def test_samples_and_projected_points_are_in_the_set(name: str) -> None:
    inside = SETS[name]
    points = inside.sample(200, seed=1)
    assert points.shape == (200, *X.shape)
    assert inside.contains(points).all()
    far = np.random.default_rng(2).normal(size=X.shape) * 3
    near = inside.projected(far)
    assert inside.contains(near[None]).all()
    assert np.allclose(inside.projected(near), near, atol=1e-9)


@pytest.mark.parametrize("name", SETS)
def test_what_is_far_outside_is_in_no_set_though_it_is_in_the_box(name: str) -> None:
    inside = SETS[name]
    third = np.arange(X.shape[1]) % 3 == 0
    corners = [np.where(third == side, inside.lower, inside.upper) for side in (True, False)]
    for corner in corners:
        assert inside.enclosing.contains(corner).all()
    # Of a half-space, one of two corners.
    assert not (inside.contains(corners[0]) & inside.contains(corners[1])).any()
    assert (np.maximum(*(inside.excess(corner) for corner in corners)) > 0.01).all()
    assert not inside.contains(np.full_like(X, np.nan)).any()


@pytest.mark.parametrize("name", SETS)
def test_parts_of_a_batch_are_sets_of_their_own(name: str) -> None:
    inside = SETS[name]
    part = inside[1:3]
    assert type(part) is type(inside)
    assert part.batch == 2
    points = inside.sample(20)
    assert (part.excess(points[:, 1:3]) == inside.excess(points)[:, 1:3]).all()
    assert inside.words in repr(inside)


def test_tensors_are_asked_as_arrays_are() -> None:
    inside = SETS["euclidean"]
    points = inside.sample(20)
    asked = inside.contains(torch.from_numpy(points).float())
    assert isinstance(asked, torch.Tensor)
    assert bool(asked.all())


def test_moves_are_shrunk_to_the_nearest_of_the_norm() -> None:
    moved = np.array([[3.0, -1.0, 0.5]])
    assert shrunk(moved, np.array([[2.0]])).tolist() == [[2.0, 0.0, 0.0]]
    assert np.allclose(shrunk(moved, np.array([[3.0]])), [[2.5, -0.5, 0.0]])
    assert (shrunk(moved, np.array([[4.5]])) == moved).all()


def test_the_brightness_set_contains_every_brightness() -> None:
    x = np.random.default_rng(0).random((2, 1, 5, 5))
    inside = sv.Varied.along(x, [sv.brightness(x, 0.2)])
    for value in np.linspace(-0.2, 0.2, 41):
        assert inside.contains(x + value).all()
    assert not inside.contains(x + 0.21).all()


def test_contrast_and_bias_field_are_what_they_say() -> None:
    x = np.array([[[[0.0, 1.0], [0.5, 0.5]]]])
    inside = sv.Varied.along(x, [sv.contrast(x, 0.5), sv.bias_field(x, 0.5)])
    stronger = inside.at(np.array([[0.5, 0.0]]))
    assert np.allclose(stronger, [[[[-0.25, 1.25], [0.5, 0.5]]]])
    tilted = inside.at(np.array([[0.0, 0.5]]))
    assert np.allclose(tilted, [[[[0.0, 1.5], [0.25, 0.75]]]])


def test_images_are_cut_to_the_range_as_a_camera_saturates() -> None:
    x = np.random.default_rng(0).random((2, 1, 5, 5))
    inside = sv.Varied.along(x, [sv.brightness(x, 0.4), sv.contrast(x, 0.3)], clip=(0, 1))
    mean = x.mean(axis=(1, 2, 3), keepdims=True)
    for bright in np.linspace(-0.4, 0.4, 9):
        for strong in np.linspace(-0.3, 0.3, 7):
            image = np.clip(x + bright + strong * (x - mean), 0, 1)
            assert inside.contains(image).all()
    assert not inside.contains(x + 0.3).any()
    assert not inside.contains(np.clip(x + 0.41, 0, 1)).all()
    # Where all is cut nothing tells how far the image went.
    white = sv.Varied.along(x, [sv.brightness(x, 5.0)], clip=(0, 1))
    assert white.contains(np.ones_like(x)).all()
    assert white.contains(np.zeros_like(x)).all()


def test_samples_outside_of_the_clip_range_are_refused() -> None:
    with pytest.raises(BadBox, match="clip range"):
        sv.Varied.along(X, [sv.brightness(X, 0.1)], clip=(0.0, 0.5))


def test_colours_of_a_pixel_move_together() -> None:
    x = np.full((1, 3, 2, 2), 0.5)
    one = sv.Patch(x - 0.5, x + 0.5, x, count=1)
    moved = x.copy()
    moved[0, :, 1, 0] = 1.0
    assert one.contains(moved).all()
    moved[0, 0, 0, 0] = 0.6
    assert not one.contains(moved).any()


def test_a_window_is_anywhere_and_in_one_piece() -> None:
    x = np.zeros((1, 1, 4, 4))
    window = sv.Patch(x - 1, x + 1, x, window=(2, 2))
    moved = x.copy()
    moved[0, 0, 2:, 1:3] = 1.0
    assert window.contains(moved).all()
    moved = x.copy()
    moved[0, 0, 0, 0] = moved[0, 0, 3, 3] = 1.0
    assert not window.contains(moved).any()


def test_an_empty_set_is_said_to_be_empty() -> None:
    box = sv.Box(np.zeros((2, 2)), np.ones((2, 2)))
    with pytest.raises(BadBox, match="box 0 is empty"):
        sv.Constrained.of(box, np.ones((1, 2)), np.array([-1.0]))
    with pytest.raises(BadBox, match="not in its own set"):
        sv.Constrained.of(box, np.ones((1, 2)), np.array([1.0]), point=np.ones((2, 2)))


def test_a_point_in_the_middle_is_found() -> None:
    box = sv.Box(np.zeros((1, 2)), np.ones((1, 2)))
    found = sv.Constrained.of(box, np.ones((1, 2)), np.array([1.0]))
    assert found.contains(found.point).all()
    assert float(found.point.sum()) < 0.5


def test_equalities_without_limits_hold_as_at_the_point() -> None:
    found = sv.Constrained.of(sv.Box(X - 1, X + 1), equal_matrix=np.ones((1, 6)), point=X)
    assert np.allclose(found.limits[:, 0], X.sum(axis=1))


BOX = sv.Box(X - 0.1, X + 0.1)
BAD = {
    "order": (lambda: sv.Ball.around(X, 0.1, order=3), BadSetting),
    "reach": (lambda: sv.Ball.around(X, -1.0), BadBox),
    "nan-reach": (lambda: sv.Ball(X, X, X, np.full(4, np.nan)), BadBox),
    "nan-point": (lambda: sv.Ball(X, X, X * np.nan, np.ones(4)), BadBox),
    "point-shape": (lambda: sv.Ball(X, X, X[:, :2], np.ones(4)), BadShape),
    "no-patch": (lambda: sv.Patch(X, X, X), BadSetting),
    "two-patches": (lambda: sv.Patch(X, X, X, count=1, window=(1, 1)), BadSetting),
    "many-pixels": (lambda: sv.Patch(X, X, X, count=7), BadSetting),
    "window": (lambda: sv.Patch(X, X, X, window=(2, 2)), BadSetting),
    "features": (lambda: sv.Constrained.of(BOX, np.ones((1, 5)), np.ones(1)), BadShape),
    "limits": (lambda: sv.Constrained.of(BOX, np.ones((1, 6)), np.ones(2)), BadShape),
    "no-limits": (lambda: sv.Constrained.of(BOX, np.ones((1, 6))), BadShape),
    "nan": (lambda: sv.Constrained.of(BOX, np.full((1, 6), np.nan), np.ones(1)), BadBox),
    "none": (lambda: sv.Constrained.of(BOX), BadShape),
    "pattern": (lambda: sv.Varied.along(X, [("p", np.ones(5), -1, 1)]), BadShape),
    "no-pattern": (lambda: sv.Varied.along(X, []), BadShape),
    "away": (lambda: sv.Varied.along(X, [("p", np.ones(6), 1, 2)]), BadBox),
    "nan-pattern": (lambda: sv.Varied.along(X, [("p", np.full(6, np.nan), -1, 1)]), BadBox),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_parts_are_refused(name: str) -> None:
    make, error = BAD[name]
    with pytest.raises(error):
        make()
