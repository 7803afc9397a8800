"""Sets of corrupted samples, made once and kept as CIFAR-10-C is, for any number of evaluations."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from io import BytesIO
from math import prod
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

from sensverify.classification.samples import Samples
from sensverify.classification.sources import find_source
from sensverify.core.digests import sha256_of_file
from sensverify.core.record import versions
from sensverify.corruptions import CORRUPTIONS, Corruption, corrupt
from sensverify.corruptions.apply import to_unit
from sensverify.data.corrupted import LABELS, file_of
from sensverify.data.dataset import image_kind
from sensverify.data.labels import holds_labels, one_column
from sensverify.errors import BadData, BadSetting, BadShape
from sensverify.evaluation.premade_request import CorruptRequest, PremadeFile, PremadeSet
from sensverify.runs.files import replace_file, replacing, writing
from sensverify.runs.folder import RunFolder
from sensverify.runs.progress import Listener, Pace
from sensverify.runs.watch import TimeUp, Watch

RECORD = "corrupted.json"
SCHEMA = "sensverify.corrupted/1"
_KIND = "set of corrupted samples"
_NUMBERS_AT_ONCE = 1 << 22


def make_corrupted(
    request: CorruptRequest, *, progress: Listener | None = None, watch: Watch | None = None
) -> PremadeSet:
    """Corrupt all test samples, and keep them in the layout of CIFAR-10-C.

    Each corruption has one ``.npy`` of bytes ``[severities * samples, rows, columns, channels]``,
    the samples of the lowest severity first. ``labels.npy`` is written last, so that nobody takes a
    part for the whole; it holds the labels of every image where all files have five severities, as
    that of CIFAR-10-C, and otherwise those of the samples once. ``corrupted.json`` says of which
    data, seed and parameters they were made, with the digest of each file.

    `find_corrupted` reads the very bytes that were written. Before, they are the values that
    `corrupt` gives for the seed and the samples' places, rounded to the nearest byte.

    Parameters
    ----------
    request : CorruptRequest
    progress : callable, optional
        Told of every part.
    watch : Watch, optional
        When it is over, the file in hand is given up, and those before it are kept.

    Raises
    ------
    BadSetting, BadShape
        A corruption that is named cannot be had of these samples; one that is only in a group that
        is named is left out with the reason, unless nothing is left.
    BackendMissing
        A corruption needs a package that is not installed; nothing has been written then.
    InputError
        The folder holds something else, another set, or files that were changed since.
    """
    samples = _samples(request)
    source = _Source(request, samples)
    files, left_out = _files(request, samples)
    source.try_all(files)
    wanted = json.loads(json.dumps(_asked(request, source, files)))
    folder = RunFolder(request.out, _KIND, RECORD, SCHEMA, (*(each.file for each in files), LABELS))
    with folder.open(resume=request.resume or request.force) as kept:
        if kept is not None and not request.force:
            folder.compare(kept, wanted)
            finished = _kept(folder, kept)
        else:
            if kept is not None:
                _give_up(folder, kept, {each.file for each in files})
            kept, finished = {**wanted, "versions": versions()}, {}
            folder.write({**kept, "finished": finished})
        _check_labels(request.out, source.labels(files))
        made = _make(folder, source, files, (kept, finished), (progress, watch or Watch()))
        if len(finished) == len(files):
            with writing(request.out):
                replace_file(request.out / LABELS, source.labels(files))
    done = tuple(each.corruption for each in files if each.file in finished)
    return PremadeSet(
        folder=request.out,
        data=samples.name,
        samples=len(samples),
        seed=request.seed,
        files=files,
        finished=done,
        made=made,
        left_out=left_out,
        note=samples.note,
    )


class _Source:
    """Samples that are corrupted and made bytes, part by part."""

    def __init__(self, request: CorruptRequest, samples: Samples) -> None:
        self.samples, self.seed = samples, request.seed
        self.pixels = request.clip or samples.clip or (0.0, 1.0)
        # Of all of them, before hours are spent on the first.
        to_unit(torch.from_numpy(samples.x), samples.places.tolist(), pixels=self.pixels)

    def at(self, corruption: str, severity: int, first: int, last: int) -> np.ndarray:
        """Some samples under a corruption, as bytes with their channels last."""
        low, high = self.pixels
        images = corrupt(
            torch.from_numpy(self.samples.x[first:last]),
            corruption,
            severity,
            seed=self.seed,
            places=self.samples.places[first:last],
            pixels=self.pixels,
        )
        unit = (images.double() - low) / (high - low)
        made = (255 * unit).round().clamp(0, 255).to(torch.uint8)
        return np.ascontiguousarray(made.permute(0, 2, 3, 1).numpy())

    def try_all(self, files: tuple[PremadeFile, ...]) -> None:
        """Corrupt one sample in all ways: what cannot work is known before hours are spent."""
        for each in files:
            self.at(each.corruption, each.severities[-1], 0, 1)

    def parts(self, file: PremadeFile) -> Iterator[tuple[float, np.ndarray]]:
        """The bytes of a file in their order, each part with the share that is done then."""
        count = len(self.samples)
        size = max(1, _NUMBERS_AT_ONCE // prod(self.samples.x.shape[1:]))
        for done, severity in enumerate(file.severities):
            for first in range(0, count, size):
                last = min(first + size, count)
                share = (done * count + last) / (len(file.severities) * count)
                yield share, self.at(file.corruption, severity, first, last)

    def header(self, file: PremadeFile) -> dict[str, Any]:
        channels, rows, columns = self.samples.x.shape[1:]
        shape = (len(file.severities) * len(self.samples), rows, columns, channels)
        return {"descr": "|u1", "fortran_order": False, "shape": shape}

    def labels(self, files: tuple[PremadeFile, ...]) -> bytes:
        """The bytes of the file of labels."""
        labels = self.samples.labels
        # A reader that is not told how many samples there are takes five times the same for five
        # severities, and the labels of all images for one.
        if all(len(each.severities) == 5 for each in files):
            labels = np.tile(labels, 5)
        content = BytesIO()
        np.save(content, labels.astype(np.uint8 if labels.max() < 256 else np.int64))
        return content.getvalue()


def _samples(request: CorruptRequest) -> Samples:
    source = find_source(request.data, [], data_dir=request.data_dir)
    data = source.data
    if not image_kind(data.x.shape[1:]):
        raise BadShape(
            f"data '{data.name}' has samples of shape {data.x.shape[1:]}, and corruptions are for "
            "images [channels, rows, columns] of 1 or 3 channels",
            "give such data; of a file whose channels come last, 'FILE(nhwc)'",
        )
    if data.y is None or not holds_labels(data.y):
        raise BadData(
            f"data '{data.name}' has no labels, and a set of corrupted images has them beside it",
            "add the array y to the file",
        )
    y = one_column(data.y)
    outputs = max(len(source.classes), int(y.max()) + 1 if y.ndim == 1 else y.shape[1])
    return Samples.of(data, outputs, needed_by="the set", shape=data.x.shape[1:])


def _files(
    request: CorruptRequest, samples: Samples
) -> tuple[tuple[PremadeFile, ...], dict[str, str]]:
    """The files that are to be made, and reasons why others of a group are left out."""
    found, left_out = [], {}
    for name in CORRUPTIONS.select(request.corruptions):
        corruption = CORRUPTIONS[name]
        severities, reason = _severities(request, corruption, samples)
        if reason is None:
            found.append(_described(corruption, severities, samples))
        elif name in request.corruptions:
            raise BadSetting(f"the corruption '{name}' cannot be had: {reason}", "leave it out")
        else:
            left_out[name] = reason
    if not found:
        name, reason = next(iter(left_out.items()))
        raise BadSetting(
            f"none of the corruptions can be had; of '{name}': {reason}", "give other `corruptions`"
        )
    return tuple(found), left_out


def _severities(
    request: CorruptRequest, corruption: Corruption, samples: Samples
) -> tuple[tuple[int, ...], str | None]:
    every = tuple(range(1, corruption.severities + 1))
    asked = every if request.severities is None or corruption.chosen else request.severities
    there = tuple(severity for severity in asked if severity in every)
    reason = corruption.incompatibility(samples.x.shape[1:])
    if reason is None and not there:
        reason = f"it has severities 1 to {len(every)}, and none of those asked for"
    return there, reason


def _described(
    corruption: Corruption, severities: tuple[int, ...], samples: Samples
) -> PremadeFile:
    rows, columns = samples.x.shape[2:]
    texts = tuple(corruption.parameter_text(each, (rows, columns)) for each in severities)
    name = corruption.name
    return PremadeFile(corruption=name, file=file_of(name), severities=severities, parameters=texts)


def _asked(
    request: CorruptRequest, source: _Source, files: tuple[PremadeFile, ...]
) -> dict[str, Any]:
    """Plain values of everything that the images follow from."""
    samples = source.samples
    return {
        "data": {"name": samples.name, "samples": len(samples), "digest": samples.digest},
        "seed": request.seed,
        "pixels": source.pixels,
        "corruptions": {
            each.file: {
                "corruption": each.corruption,
                "severities": each.severities,
                "parameters": each.parameters,
            }
            for each in files
        },
    }


def _kept(folder: RunFolder, kept: dict[str, Any]) -> dict[str, str]:
    """The files that an earlier run has finished, with their digests.

    Raises
    ------
    InputError
        One of them was changed since; one that is gone is made again.
    """
    found = kept.pop("finished", None)
    if not isinstance(found, dict) or not set(found) <= set(kept["corruptions"]):
        raise folder.damaged("it does not say which files are finished")
    there = {name: digest for name, digest in found.items() if (folder.path / name).exists()}
    for name, digest in there.items():
        path = folder.path / name
        with writing(path):
            same = sha256_of_file(path) == digest
        if not same:
            raise BadData(f"'{path}' was changed since it was made", "move it, or give `force`")
    return there


def _give_up(folder: RunFolder, kept: Mapping[str, Any], wanted: set[str]) -> None:
    """Remove of an earlier set what would be taken for a part of the new one: the labels first."""
    listed = kept.get("corruptions")
    if not isinstance(listed, dict) or not all(
        Path(name).name == name and name.endswith(".npy") for name in listed
    ):
        raise folder.damaged("it does not say which files are of the set")
    with writing(folder.path):
        for name in (LABELS, *listed):
            if name not in wanted:
                (folder.path / name).unlink(missing_ok=True)


def _check_labels(folder: Path, labels: bytes) -> None:
    path = folder / LABELS
    with writing(path):
        changed = path.exists() and path.read_bytes() != labels
    if changed:
        raise BadData(f"'{path}' was changed since it was made", "move it, or give `force`")


def _make(
    folder: RunFolder,
    source: _Source,
    files: tuple[PremadeFile, ...],
    record: tuple[dict[str, Any], dict[str, str]],
    told: tuple[Listener | None, Watch],
) -> tuple[str, ...]:
    """Make the files that are missing, and put down each when it is whole; gives their names."""
    asked, finished = record
    progress, watch = told
    tell = progress or (lambda _: None)
    left = [each for each in files if each.file not in finished]
    pace, made = Pace({each.corruption: (each.corruption,) for each in left}), []
    for file in left:
        began, path = perf_counter(), folder.path / file.file
        tell(pace.go_on(file.corruption))
        try:
            with writing(path), replacing(path) as stream:
                np.lib.format.write_array_header_1_0(stream, source.header(file))
                for share, part in source.parts(file):
                    if watch.over:
                        raise TimeUp
                    stream.write(part.tobytes())
                    tell(pace.go_on(file.corruption, share))
        except TimeUp:
            break
        with writing(path):
            finished[file.file] = sha256_of_file(path)
        folder.write({**asked, "finished": finished})
        made.append(file.corruption)
        tell(pace.end(file.corruption, perf_counter() - began))
    return tuple(made)
