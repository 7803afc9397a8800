"""Folders of images: one folder for each class."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sensverify.data import folders, load_data, load_split
from sensverify.data.folders import dataset_of_folder
from sensverify.data.reading import Reading
from sensverify.errors import BadData, BadSetting, BadShape, InputError
from sensverify.formats.arrays import SIZE_LIMIT

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


def test_the_usual_limit_grows_with_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for memory, factor in ((None, 1), (1 << 30, 1), (64 << 30, 4)):
        monkeypatch.setattr(folders, "machine_memory", lambda memory=memory: memory)
        assert folders._allowed(SIZE_LIMIT) == factor * SIZE_LIMIT
        assert folders._allowed(SIZE_LIMIT // 2) == factor * SIZE_LIMIT // 2
        assert folders._allowed(1000) == 1000


def test_sizes_and_modes_are_brought_together(tmp_path: Path) -> None:
    flat = np.full((9, 4, 3), (255, 51, 0), np.uint8)
    images(tmp_path, "train/a/1.png", pixels=flat)
    images(tmp_path, "train/b/1.png", "val/a/1.png", "val/b/2.png", pixels=GREY)
    with pytest.raises(BadShape, match=r"or say `size`, as in .*\(size=4\)"):
        load_split(str(tmp_path))
    split = load_split(f"{tmp_path}(size=6)")
    assert split.train.x.shape == (2, 3, 6, 6)
    np.testing.assert_allclose(split.train.x[0, :, 2, 2], [1, 0.2, 0], atol=1e-6)
    # A grey one is grey in three channels.
    assert (split.train.x[1, 0] == split.train.x[1, 2]).all()
    assert "images are brought to 6 x 6 pixels" in split.train.notes
    # Of its own size, an image stays as it is.
    images(tmp_path / "own", "a/1.png", pixels=COLOURS[:, :5])
    same = load_data(f"{tmp_path / 'own'}(size=5)").x
    np.testing.assert_array_equal(same, load_data(str(tmp_path / "own")).x)


@pytest.mark.parametrize("size", ["", "=", "=0", "=1", "=-4", "=2.5", "=x", "=20000"])
def test_sizes_that_are_none(tmp_path: Path, size: str) -> None:
    images(tmp_path, "a/1.png")
    with pytest.raises(BadSetting, match="size needs a whole number"):
        load_data(f"{tmp_path}(size{size})")


def test_size_is_of_folders_alone(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((2, 3)))
    with pytest.raises(BadSetting, match="`size` says nothing"):
        load_data(f"{tmp_path / 'x.npy'}(size=4)")
