"""Parquet files, and tables of pandas and polars as they are."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sensverify.data import load_data, load_split
from sensverify.errors import BackendMissing, BadData

COLUMNS: dict[str, list[Any]] = {
    "a": [1, 2, 3, 4, 5],
    "b": [0.5, 1.5, 2.5, 3.5, 4.5],
    "Target": ["v", "u", "v", "u", "v"],
}
X = [[k + 1, k + 0.5] for k in range(5)]


def test_the_remedy_where_pyarrow_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(BackendMissing, match=r"pyarrow.*\[parquet\].*\.csv"):
        load_data(str(tmp_path / "d.parquet"))


def saved(folder: Path, **columns: Any) -> str:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table(columns), folder / "d.parquet")
    return str(folder / "d.parquet")


def pandas_file(path: Path) -> Path:
    frame = pytest.importorskip("pandas").DataFrame({"a": [1.0, 2.0], "y": [0, 1]})
    frame[frame["a"] > 1].to_parquet(path)
    return path


def test_tables_are_read(tmp_path: Path) -> None:
    path = saved(tmp_path, **COLUMNS)
    data = load_data(path)
    assert data.x.tolist() == X
    assert data.y is not None
    assert (data.y.tolist(), data.classes) == ([1, 0, 1, 0, 1], ("u", "v"))
    assert "'Target'" in data.notes[0]
    assert load_split(path).labels == ("u", "v")
    # pandas writes the numbers of the lines of a table that lacks some.
    kept = pandas_file(tmp_path / "kept.parquet")
    assert load_data(kept).x.tolist() == [[2.0]]
    numbers = load_data(saved(tmp_path, a=[1.0, 2.0], flag=[True, False]), label="flag")
    assert numbers.y is not None
    assert numbers.y.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"a": [1.0, None], "y": [0, 1]}, "column 'a': row 1 is missing"),
        ({"a": [1.0, float("nan")], "y": [0, 1]}, "column 'a': row 1 is missing"),
        ({"a": [1.0, 2.0], "y": ["u", None]}, "column 'y': row 1 is missing"),
        ({"a": [[1.0], [2.0]], "y": [0, 1]}, "column 'a' holds list"),
        ({"a": ["u", "v"], "y": [0, 1]}, "column 'a': row 0 is 'u' and no number"),
        ({"y": [0, 1]}, "no columns of features"),
        ({"a": [], "y": []}, "holds no samples|null"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, columns: dict[str, Any], words: str) -> None:
    with pytest.raises(BadData, match=words):
        load_data(saved(tmp_path, **columns))


def test_damaged_and_large_files(tmp_path: Path) -> None:
    from sensverify.data.parquet import dataset_of_parquet
    from sensverify.data.reading import Reading

    path = Path(saved(tmp_path, **COLUMNS))
    with pytest.raises(BadData, match="above the limit of 100"):
        dataset_of_parquet(path, Reading(), 100)
    whole = path.read_bytes()
    for content in (b"", b"PAR1", whole[:-20], b"PAR1" + bytes(100) + whole[-8:]):
        path.write_bytes(content)
        with pytest.raises(BadData, match="cannot read"):
            load_data(path)
    with pytest.raises(BadData, match="there is no file"):
        load_data(tmp_path / "other.parquet")


def test_frames_of_pandas() -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame(COLUMNS)
    for each in (frame, frame.convert_dtypes(), frame.astype({"Target": "category"})):
        data = load_data(each)
        assert data.x.tolist() == X
        assert (data.classes, data.name) == (("u", "v"), "DataFrame")
    pair = load_data((frame[["a", "b"]], frame["Target"]))
    assert (pair.x.tolist(), pair.classes) == (X, ("u", "v"))
    assert load_data((frame[["a", "b"]], np.arange(5))).y is not None
    # A column may be called as anything of ours is.
    assert load_data(frame.rename(columns={"a": "name"})).name == "DataFrame"
    with pytest.raises(BadData, match="row 1"):
        load_data(frame.assign(a=[1, None, 3, 4, 5]).convert_dtypes())
