"""The report of a landscape in its folder, and its minima as ONNX files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from sensverify.errors import InputError
from sensverify.landscape.findings import Findings, file_names
from sensverify.landscape.folder import Landscape
from sensverify.report.html import document_to_html
from sensverify.report.landscape.document import landscape_document
from sensverify.report.landscape.figures import figure_files
from sensverify.report.landscape.json import landscape_to_json
from sensverify.report.landscape.values import tables
from sensverify.report.tabular import data_csv
from sensverify.runs.files import writing
from sensverify.runs.outputs import write_files
from sensverify.training.directory.export import export_onnx

FOLDER = "report"


def write_report(found: Findings, folder: Path) -> list[Path]:
    """Write one page, JSON, tables and figures into the folder's ``report``.

    What an earlier call wrote there is replaced: it is made from the landscape alone.

    Raises
    ------
    InputError
        They cannot be written.
    BackendMissing
        matplotlib, which paints the PNG, is not installed.

    Examples
    --------
    See `sensverify.landscape.findings.findings`.
    """
    target = folder / FOLDER
    contents: dict[Path, str | bytes] = {
        target / f"{data.name}.csv": data_csv(data, end="\n") for data in tables(found) if data.rows
    }
    for name, content in figure_files(found).items():
        contents[target / name] = content
    contents[target / "report.json"] = landscape_to_json(found)
    contents[target / "report.html"] = document_to_html(landscape_document(found))
    with writing(target):
        target.mkdir(exist_ok=True)
    write_files(contents, force=True)
    return list(contents)


def check_networks(folder: Path) -> None:
    """Refuse a folder for ONNX files that holds anything already.

    Raises
    ------
    InputError
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"'{folder}' is there and not empty", "give another folder")


def write_networks(
    found: Findings,
    landscape: Landscape,
    folder: Path,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """The networks of all measured minima as ONNX files in float32, from the lowest energy.

    Raises
    ------
    InputError
        The folder holds something, or cannot be written.
    BackendFailure
        ONNX cannot express a network, or onnxruntime computes something else from its file.

    Examples
    --------
    See `sensverify.landscape.findings.findings`.
    """
    check_networks(folder)
    shape = tuple(int(n) for n in np.shape(landscape.split.train.x)[1:])
    names = file_names(found.minima)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for place, (key, name) in enumerate(names.items(), start=1):
        paths.append(folder / name)
        export_onnx(landscape.module(key).float(), shape, paths[-1])
        if progress is not None:
            progress(place, len(names))
    return paths
