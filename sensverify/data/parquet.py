"""Samples from ``.parquet`` files, with pyarrow."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from sensverify.data.columns import table_dataset
from sensverify.data.dataset import Dataset
from sensverify.data.reading import Reading
from sensverify.errors import BadData, missing

_INDEX = re.compile(r"__index_level_\d+__")
"""Names under which pandas writes the numbers of lines."""


def dataset_of_parquet(path: Path, reading: Reading, limit: int) -> Dataset:
    """The samples of a table whose columns are numbers, but for that of the labels.

    Raises
    ------
    BackendMissing
        pyarrow is not installed.
    BadData
        The file is missing, damaged or too large, or a value is missing or no number.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        hint = "; or keep the table as a .csv file"
        raise missing("pyarrow", "parquet", f"'{path}'", hint) from None
    if not path.is_file():
        raise BadData(f"there is no file '{path}'")
    try:
        with parquet.ParquetFile(path) as file:
            facts = file.metadata
            needed = max(
                8 * facts.num_rows * facts.num_columns,
                sum(facts.row_group(k).total_byte_size for k in range(facts.num_row_groups)),
            )
            if needed > limit:
                raise BadData(f"'{path}' holds {needed:,} bytes, above the limit of {limit:,}")
            table = file.read()
    except (OSError, pyarrow.ArrowException) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadData(f"cannot read '{path}': {reason}") from None
    if len(set(table.column_names)) < len(table.column_names):
        raise BadData(f"'{path}': two columns have one name", "name them")
    columns = {
        name: _values(table.column(name), f"'{path}', column '{name}'")
        for name in table.column_names
        if not _INDEX.fullmatch(name)
    }
    return table_dataset(str(path), columns, reading.label)


def _values(column: Any, what: str) -> np.ndarray:
    import pyarrow

    types, kind = pyarrow.types, column.type
    if column.null_count:
        row = column.is_null().to_pylist().index(True)
        raise BadData(f"{what}: row {row} is missing", "fill it in, or leave it out")
    if types.is_floating(kind) or types.is_integer(kind) or types.is_boolean(kind):
        return np.asarray(column.to_numpy())
    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_string(kind) or types.is_large_string(kind):
        found = np.empty(len(column), dtype=object)
        found[:] = column.to_pylist()
        return found
    raise BadData(f"{what} holds {kind} values", "expected numbers, or text as labels")
