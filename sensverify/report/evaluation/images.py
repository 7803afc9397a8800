"""Small pictures of samples as PNG inside the page."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterable, Mapping

import numpy as np

from sensverify.evaluation.results import Example

_SIDES = (64, 48, 32)
_BUDGET = 350_000
"""Bytes that all pictures of a page may take together."""


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


def thumbnail(example: Example, side: int) -> np.ndarray:
    """Rows, columns and channels of an example, by block means not larger than ``side``."""
    channels, rows, columns = example.shape
    image = np.frombuffer(example.pixels, dtype=np.uint8).reshape(example.shape)
    block = -(-max(rows, columns) // side)
    if block > 1 and min(rows, columns) >= block:
        rows, columns = rows // block, columns // block
        cut = image[:, : rows * block, : columns * block].astype(np.float64)
        blocks = cut.reshape(channels, rows, block, columns, block)
        image = np.rint(blocks.mean(axis=(2, 4))).astype(np.uint8)
    return image.transpose(1, 2, 0)


def pictures(examples: Mapping[str, Iterable[Example]]) -> dict[str, list[str]]:
    """Data URIs of all examples, as large as the page has room for."""
    made: dict[str, list[bytes]] = {}
    for side in _SIDES:
        made = {
            name: [png(thumbnail(each, side)) for each in group] for name, group in examples.items()
        }
        if sum(len(data) for group in made.values() for data in group) <= _BUDGET:
            break
    return {
        name: [f"data:image/png;base64,{base64.b64encode(data).decode('ascii')}" for data in group]
        for name, group in made.items()
    }
