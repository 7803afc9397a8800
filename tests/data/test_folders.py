"""Folders of images: one folder for each class."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sensverify.data import load_data, load_split
from sensverify.data.folders import dataset_of_folder
from sensverify.data.reading import Reading
from sensverify.errors import BadData, BadSetting, BadShape, InputError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (5, 6), dtype=np.uint8)
COLOURS = RNG.integers(0, 256, (5, 6, 3), dtype=np.uint8)


def images(folder: Path, *names: str, pixels: np.ndarray = COLOURS) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return folder


def test_classes_are_the_folders_in_the_order_of_their_names(tmp_path: Path) -> None:
    images(tmp_path, "dog/2.png", "dog/1.png", pixels=COLOURS)
    images(tmp_path, "cat/1.PNG", pixels=255 - COLOURS)
    data = load_data(str(tmp_path))
    assert (data.x.shape, data.x.dtype) == ((3, 3, 5, 6), np.float32)
    expected = [255 - COLOURS, COLOURS, COLOURS]
    np.testing.assert_allclose(data.x, np.stack(expected).transpose(0, 3, 1, 2) / 255, rtol=1e-6)
    assert data.y is not None
    assert (data.y.tolist(), data.classes, data.clip) == ([0, 1, 1], ("cat", "dog"), (0, 1))
    assert data.notes == ()


def test_grey_and_palettes(tmp_path: Path) -> None:
    images(tmp_path / "g", "a/1.png", "b/1.png", pixels=GREY)
    data = load_data(tmp_path / "g")
    np.testing.assert_allclose(data.x[0, 0], GREY / 255, rtol=1e-6)
    (tmp_path / "p" / "a").mkdir(parents=True)
    Image.fromarray(COLOURS).quantize(256).save(tmp_path / "p" / "a" / "1.png")
    np.testing.assert_allclose(
        load_data(tmp_path / "p").x[0].transpose(1, 2, 0), COLOURS / 255, rtol=1e-6
    )


def test_jpeg_and_what_is_left_out(tmp_path: Path) -> None:
    images(tmp_path, "a/1.jpg", "a/2.jpeg", "b/1.jpg")
    (tmp_path / "a" / "notes.txt").write_text("")
    (tmp_path / "a" / ".hidden").write_text("")
    data = load_data(tmp_path)
    assert len(data) == 3
    assert "1 entries" in data.notes[0]


def test_train_and_test_are_parts(tmp_path: Path) -> None:
    images(tmp_path, "train/a/1.png", "train/b/1.png", "train/b/2.png", "val/b/1.png")
    split, data = load_split(tmp_path), load_data(tmp_path)
    assert (len(split.train), len(split.test), split.classes) == (3, 1, 2)
    assert split.labels == data.classes == ("a", "b")
    assert data.y is not None
    assert data.y.tolist() == [1]
    # Classes may be called so.
    images(tmp_path / "classes", "train/1.png", "test/1.png")
    assert load_data(tmp_path / "classes").classes == ("test", "train")


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (
            lambda path: images(path, "b/9.png", pixels=COLOURS[:4]),
            BadShape,
            "9.png' is RGB of 4",
        ),
        (lambda path: images(path, "b/9.png", pixels=GREY), BadShape, "9.png' is grey of 5 x 6"),
        (
            lambda path: images(path, "b/9.png", pixels=np.dstack([COLOURS, GREY])),
            BadData,
            "9.png' is of mode RGBA",
        ),
        (lambda path: (path / "b/9.png").write_bytes(b""), BadData, "9.png' cannot be read"),
        (lambda path: (path / "b/9.png").write_bytes(b"GIF89a"), BadData, "9.png' cannot be read"),
        (
            lambda path: (path / "b/9.png").write_bytes((path / "b/1.png").read_bytes()[:-30]),
            BadData,
            "9.png' cannot be read",
        ),
        (lambda path: images(path, "1.png"), BadData, "1.png' is in no folder of a class"),
        (lambda path: (path / "c").mkdir(), BadData, "c' of a class holds no images"),
    ],
)
def test_what_cannot_be_read_is_named(
    tmp_path: Path, spoil: Callable[[Path], object], error: type[InputError], words: str
) -> None:
    images(tmp_path, "a/1.png", "b/1.png")
    spoil(tmp_path)
    with pytest.raises(error, match=words) as caught:
        load_data(tmp_path)
    assert caught.value.remedy


def test_empty_folders_and_settings(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="no folders of images"):
        load_data(tmp_path)
    images(tmp_path, "a/1.png")
    with pytest.raises(BadSetting, match="`nhwc` says nothing about a folder"):
        load_data(f"{tmp_path}(nhwc)")


def test_pixels_are_counted_before_they_are_read(tmp_path: Path) -> None:
    images(tmp_path, "a/1.png", "a/2.png")
    needed = 2 * 4 * 3 * 5 * 6
    assert len(dataset_of_folder(tmp_path, Reading(), needed)) == 2
    with pytest.raises(BadData, match="above the limit"):
        dataset_of_folder(tmp_path, Reading(), needed - 1)
