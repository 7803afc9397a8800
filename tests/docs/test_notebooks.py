"""The notebooks run from above to below, and what they keep of an earlier run is small."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.docs.pages import ROOT

BOOKS = sorted((ROOT / "docs" / "tutorials").glob("*.ipynb"))

LARGEST = 60_000
"""Bytes of a notebook with its outputs."""


def kinds(book: nbformat.NotebookNode) -> list[list[str]]:
    """Kinds of outputs of every cell of code; lines that are printed count once."""
    cells = [cell.outputs for cell in book.cells if cell.cell_type == "code"]
    return [list(dict.fromkeys(out.output_type for out in outputs)) for outputs in cells]


@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The kernel's own files are none of the user's.
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    kept = nbformat.read(path, as_version=4)
    nbformat.validate(kept)
    run = nbformat.read(path, as_version=4)
    work = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(run, timeout=60, kernel_name="python3", resources=work).execute()
    assert kinds(run) == kinds(kept), "run it again, and keep its outputs"


def test_notebooks_are_small_and_linked() -> None:
    assert [path.stem for path in BOOKS] == ["gate", "train", "verify"]
    page = (ROOT / "docs" / "tutorials" / "index.md").read_text(encoding="utf-8")
    for path in BOOKS:
        assert path.stat().st_size < LARGEST, path
        assert f"({path.name})" in page
