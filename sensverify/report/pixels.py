"""Images as PNG inside a page, as large as there is room for."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

_SIDES = (64, 48, 32)
"""Pixels along an image, at most: the first with which all of them have room."""


def png(pixels: np.ndarray) -> bytes:
    """An image as a PNG file.

    Parameters
    ----------
    pixels : array, shape ``[rows, columns, channels]``, uint8
        With 1 (grey) or 3 channels (red, green, blue).
    """
    rows, columns, channels = pixels.shape
    colour = {1: 0, 3: 2}[channels]
    header = struct.pack(">IIBBBBB", columns, rows, 8, colour, 0, 0, 0)
    # Every row begins with the number of its filter: none.
    lines = np.zeros((rows, 1 + columns * channels), dtype=np.uint8)
    lines[:, 1:] = pixels.reshape(rows, columns * channels)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def smaller(pixels: np.ndarray, side: int, *, peaks: bool = False) -> np.ndarray:
    """An image ``[rows, columns, channels]`` by means of blocks, not larger than ``side``.

    ``peaks``: by what is farthest from middle grey in each block instead, since the mean of a
    difference that goes up and down is none.
    """
    rows, columns, channels = pixels.shape
    block = -(-max(rows, columns) // side)
    if block == 1 or min(rows, columns) < block:
        return pixels
    rows, columns = rows // block, columns // block
    cut = pixels[: rows * block, : columns * block].astype(np.float64)
    blocks = cut.reshape(rows, block, columns, block, channels)
    if peaks:
        every = blocks.transpose(0, 2, 4, 1, 3).reshape(rows, columns, channels, block**2)
        place = np.abs(every - 127.5).argmax(axis=-1)[..., None]
        return np.take_along_axis(every, place, axis=-1)[..., 0].astype(np.uint8)
    return np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8)


def fitting(
    images: Mapping[str, Sequence[np.ndarray]], budget: int, *, difference: int | None = None
) -> dict[str, list[str]]:
    """Data URIs of images, made smaller until all of them take so many bytes.

    Parameters
    ----------
    images : mapping from str to sequence of arrays, ``[rows, columns, channels]``, uint8
    budget : int
    difference : int, optional
        Place, in every sequence that has so many, of a difference around middle grey.
    """
    made: dict[str, list[bytes]] = {}
    for side in _SIDES:
        made = {
            name: [
                png(smaller(each, side, peaks=place == difference))
                for place, each in enumerate(group)
            ]
            for name, group in images.items()
        }
        if sum(len(data) for group in made.values() for data in group) <= budget:
            break
    return {
        name: [f"data:image/png;base64,{base64.b64encode(data).decode('ascii')}" for data in group]
        for name, group in made.items()
    }
