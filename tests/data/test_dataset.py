"""Samples, labels and ranges are checked once, where they enter."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from sensverify.data import Dataset, load_data, read_dataset
from sensverify.data.dataset import check_order
from sensverify.data.labels import class_labels
from sensverify.errors import BadData, BadShape, UnknownName

X = np.arange(24, dtype=np.float32).reshape(3, 2, 4)


def test_select_and_shape() -> None:
    data = Dataset("d", X, np.array([2, 1, 0]), np.ones((2, 4)))
    part = data.select(1, None).shaped((8,))
    assert part.x.tolist() == X[1:].reshape(2, 8).tolist()
    assert part.y is not None
    assert part.y.tolist() == [1, 0]
    assert part.feature_range is not None
    assert part.feature_range.shape == (8,)
    with pytest.raises(BadShape, match=r"\(2, 4\).*\(9,\)"):
        data.shaped((9,))


@pytest.mark.parametrize(
    ("takes", "given"),
    [
        ((3, 24, 24), (1728,)),
        ((1728,), (3, 24, 24)),
        ((24, 24, 1), (1, 24, 24)),
        ((24, 24), (1, 24, 24)),
        ((2, 1, 3), (2, 3)),
        ((1, 1), (1,)),
    ],
)
def test_shapes_that_hold_the_same_numbers_in_one_order(
    takes: tuple[int, ...], given: tuple[int, ...]
) -> None:
    check_order(takes, given, "the network", "data")


@pytest.mark.parametrize(
    ("takes", "given"),
    [((24, 24, 3), (3, 24, 24)), ((3, 24, 24), (24, 24, 3)), ((4, 6), (6, 4)), ((4, 6), (2, 12))],
)
def test_shapes_that_hold_them_in_another_order(
    takes: tuple[int, ...], given: tuple[int, ...]
) -> None:
    with pytest.raises(BadShape, match="in another order"):
        check_order(takes, given, "the network", "data")


def test_axes_in_another_order_are_not_reshaped() -> None:
    with pytest.raises(BadShape, match=r"data 'd'.*\(2, 4\).*move the axes"):
        Dataset("d", X).shaped((4, 2))


@pytest.mark.parametrize(("start", "stop"), [(0, 4), (3, None), (2, 2), (2, 1), (-1, 2)])
def test_ranges_outside_of_the_data(start: int, stop: int | None) -> None:
    with pytest.raises(BadData, match="out of range"):
        Dataset("d", X).select(start, stop)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"x": np.zeros(())}, BadShape),
        ({"x": np.zeros((3, 2), dtype=np.int64)}, BadShape),
        ({"x": np.zeros((0, 2))}, BadData),
        ({"x": np.zeros((2, 0))}, BadData),
        ({"x": np.full((3, 2, 4), np.nan)}, BadData),
        ({"x": np.full((3, 2, 4), -np.inf)}, BadData),
        ({"y": np.zeros(2)}, BadShape),
        ({"y": np.zeros((3, 1, 2))}, BadShape),
        ({"feature_range": np.zeros(8)}, BadShape),
        ({"feature_range": np.full((2, 4), -1.0)}, BadData),
        ({"feature_range": np.full((2, 4), np.nan)}, BadData),
    ],
)
def test_what_cannot_be_data(changes: dict[str, np.ndarray], error: type[Exception]) -> None:
    with pytest.raises(error):
        Dataset(**{"name": "d", "x": X, **changes})  # type: ignore[arg-type]


def test_class_labels() -> None:
    assert class_labels(np.array([0.0, 2.0]), 3, "d").dtype == np.int64
    for bad in ([0, 3], [-1, 0], [0.5, 1], [np.nan, 0]):
        with pytest.raises(BadData, match="no class of this network"):
            class_labels(np.array(bad), 3, "d")


def test_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    np.savez(path, x=np.array([[0, 255]], dtype=np.uint8), y=np.array([[1]]))
    data = load_data(str(path))
    assert data.x.dtype == np.float32
    assert data.x.tolist() == [[0.0, 255.0]]
    assert data.y is not None
    assert data.y.tolist() == [1]
    assert data.feature_range is None
    np.savez(path, x=np.zeros((1, 2), dtype=">f8"), feature_range=np.ones(2, dtype=np.float32))
    data = read_dataset(path)
    assert data.x.dtype == np.float64
    assert data.feature_range is not None
    assert data.feature_range.dtype == np.float64


def test_unknown_names_get_a_hint() -> None:
    with pytest.raises(UnknownName, match="did you mean 'digits'"):
        load_data("digit")


@pytest.mark.parametrize(
    ("name", "shape", "classes"),
    [
        ("iris", (150, 4), 3),
        ("digits", (1797, 1, 8, 8), 10),
        ("breast-cancer", (569, 30), 2),
        ("wine", (178, 13), 3),
    ],
)
def test_tables(name: str, shape: tuple[int, ...], classes: int) -> None:
    data = load_data(name)
    assert data.x.shape == shape
    assert data.x.dtype == np.float32
    assert data.y is not None
    assert set(data.y.tolist()) == set(range(classes))
    assert data.feature_range is not None
    spread = data.x.max(axis=0) - data.x.min(axis=0)
    np.testing.assert_allclose(data.feature_range, spread, rtol=1e-5)
    if name == "digits":
        assert (data.x.min(), data.x.max()) == (0, 1)
        # Digits have constant pixels too.
        assert (data.feature_range == 0).any()


@pytest.mark.parametrize(
    ("given", "takes"),
    [
        ((12, 12, 3), (3, 12, 12)),
        ((3, 8, 6), (8, 6, 3)),
        ((3, 8, 8), (8, 8, 3)),
        ((2, 5), (5, 2)),
    ],
)
def test_the_remedy_for_another_order_is_the_right_one(
    given: tuple[int, ...], takes: tuple[int, ...]
) -> None:
    data = Dataset("d", np.random.default_rng(0).random((4, *given)))
    with pytest.raises(BadShape, match="move the axes") as caught:
        data.shaped(takes)
    found = re.search(r"x\.transpose\(([\d, ]+)\)", str(caught.value))
    assert found is not None
    order = [int(axis) for axis in found[1].split(", ")]
    assert data.x.transpose(order).shape == (4, *takes)
    assert ("(nhwc)" in str(caught.value)) == (
        takes == (given[-1], *given[:-1]) and len(takes) == 3
    )


def test_images_turn_to_a_network_that_takes_their_channels_last() -> None:
    x = np.random.default_rng(0).random((4, 3, 5, 6))
    data = Dataset("d", x, feature_range=x[0], images=True)
    turned = data.taken_by((5, 6, 3))
    np.testing.assert_array_equal(turned.x, x.transpose(0, 2, 3, 1))
    assert turned.feature_range is not None
    np.testing.assert_array_equal(turned.feature_range, x[0].transpose(1, 2, 0))
    assert "channels last" in turned.notes[-1]
    for other in ((3, 5, 6), (6, 5, 3), (90,), (5, 3, 6)):
        assert data.taken_by(other) is data
    plain = Dataset("d", x)
    assert plain.taken_by((5, 6, 3)) is plain
    back = turned.channels_first()
    assert back.images
    np.testing.assert_array_equal(back.x, x)


@pytest.mark.parametrize("y", [None, np.zeros(4, dtype=int)])
def test_a_column_too_many_is_spoken_of(y: np.ndarray | None) -> None:
    with pytest.raises(BadShape, match="column that is no feature") as caught:
        Dataset("d", np.zeros((4, 5)), y).shaped((4,))
    assert ("label=last" in str(caught.value)) == (y is None)
