"""Images from a folder: one folder for each class, with ``.png`` and ``.jpg`` files in it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from sensverify.data.dataset import Dataset
from sensverify.data.reading import Reading
from sensverify.data.split import Split, make_split, split_samples
from sensverify.errors import BadData, BadShape, missing
from sensverify.formats.arrays import SIZE_LIMIT
from sensverify.runs.files import reading as reading_file
from sensverify.runs.machine import machine_memory

SUFFIXES = (".png", ".jpg", ".jpeg")
_TRAIN, _TEST = ("train", "training"), ("test", "val", "valid", "validation")
_TWICE = 2 * SIZE_LIMIT
_USUAL = (SIZE_LIMIT, SIZE_LIMIT // 2)
"""Limits where nobody has set one: of all images, and of one of two parts."""

_MODES = {"1": "L", "L": "L", "P": "RGB", "RGB": "RGB"}
"""Modes of pillow's that lose nothing in the one that they are read in."""


def dataset_of_folder(path: Path, reading: Reading, limit: int) -> Dataset:
    """All images of a folder, or of its test part, as pixels in [0, 1], channels first.

    Classes are sorted by name, as torchvision's ``ImageFolder`` has them. The usual limit is half
    of the machine's memory, where that is more: what is needed is known before pixels are read.

    Raises
    ------
    BackendMissing
        pillow is not installed.
    BadData, BadShape
        There are no images in folders, one cannot be read, or their sizes differ, and no ``size``
        says what they are brought to; or they do not fit into the limit.
    """
    parts = _parts(path)
    if parts is None:
        return _read(_listed(path), path, reading, limit)
    return split_of_folder(path, reading, limit).test


def split_of_folder(path: Path, reading: Reading, limit: int) -> Split:
    """The parts ``train`` and ``test`` of a folder, or every fifth of its images."""
    parts = _parts(path)
    if parts is None:
        return split_samples(_read(_listed(path), path, reading, limit))
    listed = [_listed(part) for part in parts]
    colours = reading.size is not None and any(map(_has_colours, listed))
    train, test = (_read(each, path, reading, limit // 2, colours=colours) for each in listed)
    rule = f"the parts are the folders {parts[0].name} and {parts[1].name}"
    return make_split(train, test, rule=rule)


def has_train_and_test(path: Path) -> bool:
    """True where a folder holds a training and a test part."""
    return _parts(path) is not None


def image_files(path: Path) -> list[Path]:
    """Every image below a folder."""
    return [each for each in path.rglob("*") if each.suffix.lower() in SUFFIXES]


@dataclass(frozen=True)
class _Images:
    """Files of images, the name of each one's class, and what was left out."""

    files: list[Path]
    classes: list[str]
    notes: tuple[str, ...]


def _parts(path: Path) -> tuple[Path, Path] | None:
    """The folders of the training and the test part; None where these are classes, or not there."""
    folders = {each.name.lower(): each for each in _folders(path)}
    found = [
        next((folders[name] for name in names if name in folders), None)
        for names in (_TRAIN, _TEST)
    ]
    train, test = found
    if train is None or test is None or not (_folders(train) and _folders(test)):
        return None
    return train, test


def _folders(path: Path) -> list[Path]:
    with reading_file(path, BadData):
        found = [each for each in path.iterdir() if each.is_dir() and each.name[0] != "."]
        return sorted(found, key=lambda each: each.name)


def _listed(path: Path) -> _Images:
    """The images of a folder, class by class, each class by name."""
    folders = _folders(path)
    if not folders:
        raise BadData(
            f"'{path}' holds no folders of images",
            "put the images of each class into a folder of its name: 'FOLDER/cat/1.png'",
        )
    with reading_file(path, BadData):
        loose = [each for each in path.iterdir() if each.suffix.lower() in SUFFIXES]
        if loose:
            raise BadData(f"the image '{loose[0]}' is in no folder of a class", "move it into one")
        files: list[Path] = []
        classes: list[str] = []
        other = 0
        for folder in folders:
            held = sorted(each for each in folder.iterdir() if each.name[0] != ".")
            images = [each for each in held if each.suffix.lower() in SUFFIXES]
            if not images:
                raise BadData(
                    f"the folder '{folder}' of a class holds no images",
                    f"expected files that end in {', '.join(SUFFIXES)}; or remove the folder",
                )
            other += len(held) - len(images)
            files += images
            classes += [folder.name] * len(images)
    notes = (f"{other} entries that are no {' or '.join(SUFFIXES)} are left out",) if other else ()
    return _Images(files, classes, notes)


def _read(
    images: _Images, path: Path, reading: Reading, limit: int, *, colours: bool = False
) -> Dataset:
    """The images of a part; with ``size``, in colours where one of them or of the other part is."""
    image = _pillow(path)
    if reading.size is None:
        shape, notes = _shape(image, images.files[0]), images.notes
    else:
        channels = 3 if colours or _has_colours(images) else 1
        shape = (channels, reading.size, reading.size)
        text = f"images are brought to {reading.size} x {reading.size} pixels"
        notes = (*images.notes, text)
    needed = 4 * len(images.files) * prod(shape)
    if needed > _allowed(limit):
        raise BadData(f"'{path}' holds {needed:,} bytes of pixels, above the limit of {limit:,}")
    x = np.empty((len(images.files), *shape), dtype=np.float32)
    for place, file in enumerate(images.files):
        if reading.size is None and place and (other := _shape(image, file)) != shape:
            raise BadShape(
                f"'{file}' is {_size_text(other)}, and '{images.files[0]}' is {_size_text(shape)}",
                "bring all images to one size and mode, or say `size`, as in "
                f"{path.name}(size={min(shape[1:])})",
            )
        x[place] = _pixels(image, file, None if reading.size is None else shape)
    y = np.array(images.classes, dtype=object)
    return Dataset(str(path), x, y, clip=(0.0, 1.0), notes=notes, images=True)


def _allowed(limit: int) -> int:
    return limit if limit not in _USUAL else max(limit, (machine_memory() or 0) * limit // _TWICE)


def _has_colours(images: _Images) -> bool:
    image = _pillow(images.files[0].parent)
    return any(_shape(image, file)[0] > 1 for file in images.files)


def _pillow(path: Path) -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise missing("pillow", "data", f"the folder of images '{path}'") from None
    return Image


def _opened(image: Any, file: Path) -> Any:
    return image.open(file, formats=("PNG", "JPEG"))


def _shape(image: Any, file: Path) -> tuple[int, int, int]:
    """Channels, rows and columns, from the head of the file alone."""
    with _readable(file), _opened(image, file) as found:
        mode = _MODES.get(found.mode)
        if mode is None or "transparency" in found.info:
            kind = "transparent" if mode else f"of mode {found.mode}"
            raise BadData(f"the image '{file}' is {kind}", "convert it to grey (L) or RGB")
        columns, rows = found.size
    return (1 if mode == "L" else 3), rows, columns


def _pixels(image: Any, file: Path, shape: tuple[int, int, int] | None) -> np.ndarray:
    """The pixels of a file, brought to a shape where one is given."""
    with _readable(file), _opened(image, file) as found:
        if shape is None:
            return pixels_of(found)
        channels, rows, columns = shape
        plain = found.convert("L" if channels == 1 else "RGB")
        return pixels_of(plain.resize((columns, rows), image.Resampling.BILINEAR))


def pixels_of(image: Any) -> np.ndarray:
    """An image of pillow's as float32 pixels in [0, 1], ``[channels, rows, columns]``.

    Raises
    ------
    BadData
        Its mode is none that is read without loss.
    """
    mode = _MODES.get(image.mode)
    if mode is None:
        raise BadData(f"an image is of mode {image.mode}", "convert it to grey (L) or RGB")
    values = np.asarray(image if image.mode == mode else image.convert(mode), dtype=np.float32)
    values = values[np.newaxis] if values.ndim == 2 else np.moveaxis(values, -1, 0)
    return values / np.float32(255)


@contextlib.contextmanager
def _readable(file: Path) -> Iterator[None]:
    """Within, whatever pillow throws at a damaged file is an error that names it."""
    try:
        yield
    except BadData:
        raise
    except Exception as error:
        # Parsers of images let exceptions of many kinds through.
        reason = str(error).partition(str(file))[0].strip(" '") or type(error).__name__
        raise BadData(
            f"the image '{file}' cannot be read: {reason}", "save it again as .png, or remove it"
        ) from None


def _size_text(shape: tuple[int, int, int]) -> str:
    channels, rows, columns = shape
    return f"{'grey' if channels == 1 else 'RGB'} of {rows} x {columns}"
