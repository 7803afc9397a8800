"""Results of a benchmark, one line each, written as they come and read again to go on."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from sensverify.errors import BadData, InputError
from sensverify.verification.benchmark import Instance, InstanceResult

COLUMNS = (
    "onnx",
    "vnnlib",
    "verdict",
    "seconds",
    "timeout",
    "explored",
    "expected",
    "agreement",
    "method",
    "note",
)


class Journal:
    """A CSV file that is only ever added to.

    What is there already counts as done. A last line without its end, left by a run that was
    killed, is cut off; anything else that is not a line of such a file is refused.

    Parameters
    ----------
    path : Path
    instances : sequence of Instance
        All that the folder has.
    method : str

    Raises
    ------
    InputError
        The file is something else, belongs to other instances, or was written by another method.
    """

    def __init__(self, path: Path, instances: Sequence[Instance], method: str) -> None:
        self._path = path
        self._stream: BinaryIO | None = None
        try:
            contents = path.read_bytes() if path.exists() else b""
        except OSError as error:
            raise InputError(f"cannot read '{path}': {error.strerror or error}") from None
        self._whole = contents.rfind(b"\n") + 1
        self.results = _read(path, contents[: self._whole], instances, method)
        if not self._whole and contents and not _line(COLUMNS).startswith(contents):
            raise _other(path)

    def missing(self, instances: Sequence[Instance]) -> list[Instance]:
        """Instances that have no line yet."""
        done = Counter(result.instance.key for result in self.results)
        left = []
        for instance in instances:
            if done[instance.key]:
                done[instance.key] -= 1
            else:
                left.append(instance)
        return left

    def __enter__(self) -> Journal:
        try:
            self._stream = self._path.open("r+b" if self._path.exists() else "xb")
            self._stream.truncate(self._whole)
            self._stream.seek(0, os.SEEK_END)
        except OSError as error:
            raise InputError(f"cannot write '{self._path}': {error.strerror or error}") from None
        if not self._whole:
            self._write(_line(COLUMNS))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._stream is not None:
            self._stream.close()

    def add(self, result: InstanceResult) -> None:
        """Write one line and hand it to the system."""
        self.results.append(result)
        instance = result.instance
        self._write(
            _line(
                (
                    instance.onnx,
                    instance.vnnlib,
                    result.verdict,
                    f"{result.seconds:.3f}",
                    f"{result.timeout:g}",
                    str(result.explored),
                    instance.expected,
                    result.agreement,
                    result.method,
                    " ".join(result.note.split()),
                )
            )
        )

    def _write(self, line: bytes) -> None:
        if self._stream is None:
            raise RuntimeError("the journal is not open")
        self._stream.write(line)
        self._stream.flush()


def _line(cells: Sequence[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode("utf-8", errors="backslashreplace")


def _read(
    path: Path, contents: bytes, instances: Sequence[Instance], method: str
) -> list[InstanceResult]:
    known = {instance.key: instance for instance in instances}
    try:
        rows = list(csv.reader(io.StringIO(contents.decode("utf-8"), newline="")))
    except (UnicodeDecodeError, csv.Error):
        raise _other(path) from None
    if rows and tuple(rows[0]) != COLUMNS:
        raise _other(path)
    results = []
    for number, row in enumerate(rows[1:], start=2):
        try:
            onnx, vnnlib, verdict, seconds, timeout, explored, _, _, used, note = row
            figures = float(seconds), float(timeout), int(explored)
        except ValueError:
            raise InputError(f"'{path}', line {number}, is no line of benchmark results") from None
        instance = known.get((onnx, vnnlib))
        if instance is None:
            raise BadData(
                f"'{path}', line {number}, is about '{vnnlib}', which the folder does not list; "
                "give another file to --out"
            )
        if used != method:
            raise InputError(
                f"'{path}' holds results of method '{used}'; give another file to --out for "
                f"'{method}'"
            )
        results.append(InstanceResult(instance, verdict, *figures, used, note))
    return results


def _other(path: Path) -> InputError:
    return InputError(
        f"'{path}' holds something else than benchmark results and is not overwritten; give "
        "another file to --out"
    )
