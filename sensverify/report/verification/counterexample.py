"""Counterexamples of samples as files: arrays, and pictures where the samples are images."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sensverify.formats.arrays import npz_bytes
from sensverify.network.signature import Signature
from sensverify.report.pixels import png
from sensverify.runs.outputs import Kind
from sensverify.verification.counterexample import Counterexample
from sensverify.verification.results import VerifyReport
from sensverify.verification.sample_result import counterexamples

_SIDE, _GAP = 224, 8
"""Pixels along a panel that small images are enlarged to, and between two panels."""

_MEMBERS = {f"{name}.npy" for name in counterexamples(())}

_OTHERS = _MEMBERS - {"x.npy"}

_NAME = re.compile(r"sample-\d+\.(npz|png)")


def _named(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def _made(path: Path) -> bool:
    """Whether arrays are those of counterexamples; a picture is one if it stands beside them."""
    try:
        with zipfile.ZipFile(path.with_suffix(".npz")) as archive:
            held = {info.filename for info in archive.infolist()}
            # Of several inputs there is an array for each in the place of that of all.
            return held == _MEMBERS or (held > _OTHERS and "x.npy" not in held)
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return False


FILES = Kind(_named, _made)
"""Files of a folder of counterexamples."""


def file_of(report: VerifyReport) -> bytes:
    """The counterexamples of all samples that change as an ``.npz`` file: see `counterexamples`."""
    return npz_bytes(named_arrays(counterexamples(report.samples), report.model.signature))


def files_of(report: VerifyReport) -> dict[str, bytes]:
    """One ``sample-12.npz`` for every sample that changes, and of images ``sample-12.png``."""
    found = {}
    for sample in report.samples:
        if sample.counterexample is not None:
            name = f"sample-{sample.index}"
            arrays = named_arrays(counterexamples([sample]), report.model.signature)
            found[f"{name}.npz"] = npz_bytes(arrays)
            if report.pixels is not None:
                found[f"{name}.png"] = picture(sample.counterexample, report.pixels)
    return found


def named_arrays(
    arrays: dict[str, np.ndarray], signature: Signature | None
) -> dict[str, np.ndarray]:
    """Arrays with one for each of several inputs, by its name, in the place of ``x``.

    Another array of an input's name gets ``example.`` before it.
    """
    if signature is None:
        return arrays
    x, others = arrays["x"], {name: each for name, each in arrays.items() if name != "x"}
    inputs = signature.inputs_of(x.reshape(len(x), signature.numbers))
    apart = {f"example.{n}" if n in inputs else n: each for n, each in others.items()}
    return {**inputs, **apart}


def panels(
    sample: np.ndarray, found: np.ndarray, pixels: tuple[float, float]
) -> Sequence[np.ndarray]:
    """The sample, its counterexample and their difference as images.

    Parameters
    ----------
    sample, found : numpy arrays, shape ``[channels, rows, columns]``
        With 1 (grey) or 3 channels.
    pixels : (low, high)
        Values of black and white.

    Returns
    -------
    three numpy arrays, shape ``[rows, columns, channels]``, uint8
        In the difference middle grey is no change, and the largest change is black or white.
    """
    low, high = pixels
    sample, found = (
        np.moveaxis(np.asarray(values, dtype=np.float64), 0, -1) for values in (sample, found)
    )
    moved = found - sample
    largest = np.abs(moved).max() or 1.0
    shares = (
        (sample - low) / (high - low),
        (found - low) / (high - low),
        0.5 + moved / largest / 2,
    )
    return [np.rint(255 * np.clip(share, 0, 1)).astype(np.uint8) for share in shares]


def picture(example: Counterexample, pixels: tuple[float, float]) -> bytes:
    """The three of `panels` side by side, as a PNG file; small images are enlarged."""
    assert example.sample is not None, "a run keeps the sample beside its counterexample"
    shown = panels(example.sample, example.input, pixels)
    times = max(1, _SIDE // max(shown[0].shape[:2]))
    rows, _, channels = shown[0].shape
    gap = np.full((times * rows, _GAP, channels), 255, dtype=np.uint8)
    first, second, third = (each.repeat(times, axis=0).repeat(times, axis=1) for each in shown)
    return png(np.concatenate([first, gap, second, gap, third], axis=1))
