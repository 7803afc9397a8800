"""Runs a scenario through the command line and reads everything that it wrote."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import shlex
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from importlib.metadata import version
from pathlib import Path
from typing import Any

import highspy
import numpy as np
import onnx
from click.testing import CliRunner

from sensverify.cli.main import main
from tests.contracts.frozen_compare import FLOAT32, steady

_PROGRESS = re.compile(r"\d+ of \d+ parts done\b")
"""A line that appears where time passes."""


@dataclass(frozen=True)
class Scenario:
    """Command lines that run one after another in an empty folder.

    ``prepare`` writes files into that folder before. ``keep`` are patterns of the files that
    belong to the reference; of those of ``named`` only the names do. ``elsewhere`` is the tolerance
    with another release of torch than that of the reference, where it draws other numbers. A
    ``slow`` one runs only when asked.
    """

    name: str
    commands: tuple[str, ...]
    tolerance: float = FLOAT32
    elsewhere: float | None = None
    prepare: Callable[[Path], None] | None = None
    keep: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    slow: bool = False


def observe(scenario: Scenario, folder: Path) -> dict[str, Any]:
    """What the commands of a scenario print and write, as JSON, without what may change."""
    if scenario.prepare is not None:
        scenario.prepare(folder)
    with _set_aside(folder):
        commands = [_command(command, folder) for command in scenario.commands]
    files = {path for pattern in scenario.keep for path in folder.glob(pattern) if path.is_file()}
    named = {path for pattern in scenario.named for path in folder.glob(pattern) if path.is_file()}
    return {
        "torch": version("torch").partition("+")[0],
        "commands": commands,
        "files": {
            path.relative_to(folder).as_posix(): steady(_read(path), path.name)
            for path in sorted(files)
        },
        "names": sorted({steady(path.relative_to(folder).as_posix()) for path in named}),
    }


@contextmanager
def _set_aside(folder: Path) -> Iterator[None]:
    """The folder is the current one; data and caches are nobody's own.

    No line is broken, since how long a time is would say where.
    """
    own = folder / ".own"
    settings = {"COLUMNS": "1000", "HOME": str(own), "XDG_CACHE_HOME": str(own / "cache")}
    before, place = dict(os.environ), Path.cwd()
    try:
        os.environ.update(settings)
        os.environ.pop("SENSVERIFY_DATA", None)
        os.chdir(folder)
        yield
    finally:
        os.chdir(place)
        os.environ.clear()
        os.environ.update(before)


def _command(command: str, folder: Path) -> dict[str, Any]:
    done = CliRunner().invoke(main, shlex.split(command), prog_name="sensverify")
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    printed: Any = _lines(done.stdout, folder)
    if done.stdout.startswith("{"):
        printed = _parsed(done.stdout)
    return {
        "command": command,
        "status": done.exit_code,
        "stdout": steady(printed),
        "stderr": steady(
            [line for line in _lines(done.stderr, folder) if not _PROGRESS.match(line)]
        ),
    }


def _lines(text: str, folder: Path) -> list[str]:
    """Lines without the folder's name and without the widths of columns."""
    return [" ".join(line.split()) for line in text.replace(str(folder), "FOLDER").splitlines()]


def _parsed(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON number")

    return json.loads(text, parse_constant=refuse)


def _read(path: Path) -> Any:
    reader = _READERS.get(path.suffix)
    if reader is None:
        raise AssertionError(f"no reader for {path.name}")
    return reader(path)


def _json_lines(path: Path) -> list[Any]:
    return [_parsed(line) for line in path.read_text().splitlines()]


def _program(path: Path) -> dict[str, Any]:
    """A mixed-integer program, as a solver reads it."""
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    assert solver.readModel(str(path)) == highspy.HighsStatus.kOk
    found = solver.getLp()
    ends = ("col_cost_", "col_lower_", "col_upper_", "row_lower_", "row_upper_")
    matrix = found.a_matrix_
    return {
        "names": list(found.col_names_),
        "integer": [str(each) for each in found.integrality_],
        **{name: [_number(each) for each in getattr(found, name)] for name in ends},
        "starts": [int(each) for each in matrix.start_],
        "rows": [int(each) for each in matrix.index_],
        "values": [float(each) for each in matrix.value_],
    }


def _number(value: float) -> float | str:
    return float(value) if math.isfinite(value) else str(value)


def _csv(path: Path) -> dict[str, Any]:
    """Header and rows; what reads as a number is one."""
    rows = list(csv.reader(io.StringIO(path.read_text())))
    header = rows[0] if rows else []
    return {
        "header": header,
        "rows": [dict(zip(header, map(_cell, row), strict=True)) for row in rows[1:]],
    }


def _cell(text: str) -> int | float | str:
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            pass
    return text


def _text(path: Path) -> list[str]:
    return [" ".join(line.split()) for line in path.read_text().splitlines()]


def _safetensors(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    metadata = header.pop("__metadata__", {})
    return {
        "metadata": sorted(metadata),
        "tensors": {
            name: [header[name]["dtype"], header[name]["shape"]] for name in sorted(header)
        },
    }


def _onnx(path: Path) -> dict[str, Any]:
    model = onnx.load(path)
    graph = model.graph

    def values(infos: Any) -> dict[str, Any]:
        return {
            info.name: [d.dim_param or d.dim_value for d in info.type.tensor_type.shape.dim]
            for info in infos
        }

    return {
        "inputs": values(graph.input),
        "outputs": values(graph.output),
        "nodes": [[n.op_type, len(n.input), len(n.output)] for n in graph.node],
        "tensors": {t.name: [t.data_type, list(t.dims)] for t in graph.initializer},
        "opsets": [[o.domain, o.version] for o in model.opset_import],
        "metadata": sorted(p.key for p in model.metadata_props),
    }


def _npz(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as arrays:
        return {name: [str(arrays[name].dtype), list(arrays[name].shape)] for name in arrays}


def _certificate(path: Path) -> dict[str, Any]:
    """The header as it is; of arrays the dtypes and shapes."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        header = json.loads(archive.read("header.json"))
        arrays = {
            name: np.load(io.BytesIO(archive.read(name)), allow_pickle=False)
            for name in names
            if name.endswith(".npy")
        }
    shapes = {name: [str(array.dtype), list(array.shape)] for name, array in arrays.items()}
    return {"members": names, "header": header, "arrays": shapes}


class _Visible(HTMLParser):
    """The words of a page, without style, scripts and what is drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in {"style", "script", "svg"}

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in {"style", "script", "svg"}

    def handle_data(self, data: str) -> None:
        if not self._hidden and data.strip():
            self.words.append(" ".join(data.split()))


def _page(path: Path) -> list[str]:
    page = _Visible()
    page.feed(path.read_text())
    return page.words


_READERS: dict[str, Callable[[Path], Any]] = {
    ".json": lambda path: _parsed(path.read_text()),
    ".jsonl": _json_lines,
    ".csv": _csv,
    ".lp": _program,
    ".mps": _program,
    ".md": _text,
    ".txt": _text,
    ".html": _page,
    ".safetensors": _safetensors,
    ".onnx": _onnx,
    ".npz": _npz,
    ".cert": _certificate,
}
