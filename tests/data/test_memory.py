"""Data in memory: every form of the same samples gives the same data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from sensverify.data import Dataset, load_data
from sensverify.data.memory import data_beside, given_data
from sensverify.errors import BadData, BadSetting

X = np.arange(12, dtype=np.float32).reshape(6, 2)
Y = np.array([0, 1, 2, 0, 1, 2])
TENSORS = TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (X, Y),
        (torch.from_numpy(X), torch.from_numpy(Y)),
        (torch.from_numpy(X).requires_grad_(), Y.tolist()),
        (X.tolist(), Y.tolist()),
        (X.astype(np.uint8), Y[:, None]),
        ((X, Y), None),
        (DataLoader(TENSORS, batch_size=4), None),
        (TENSORS, None),
        (Dataset("own", X, Y), None),
    ],
    ids=[
        "arrays",
        "tensors",
        "history",
        "lists",
        "bytes",
        "pair",
        "loader",
        "torch-set",
        "dataset",
    ],
)
def test_every_form_is_the_same_data(x: Any, y: Any) -> None:
    found = load_data(given_data(x, y))
    np.testing.assert_array_equal(found.x, X)
    assert found.y is not None
    np.testing.assert_array_equal(found.y, Y)


def test_tables_of_pandas() -> None:
    import pandas

    frame = pandas.DataFrame(X, columns=["length", "width"])
    found = given_data(frame, pandas.Series(Y))
    np.testing.assert_array_equal(found.x, X)
    np.testing.assert_array_equal(found.y, Y)
    with pytest.raises(BadSetting, match="column 'label'"):
        given_data(frame.assign(label=Y), Y)


def test_bfloat16_is_read() -> None:
    found = given_data(torch.ones(2, 3, dtype=torch.bfloat16))
    assert found.x.dtype == np.float32


def test_names_and_paths_stay() -> None:
    assert given_data("iris") == "iris"
    assert given_data(Path("mine.npz")) == "mine.npz"


@pytest.mark.parametrize(
    ("x", "y", "error"),
    [
        ((X, Y), Y, BadSetting),
        ("iris", Y, BadSetting),
        (Dataset("own", X, Y), Y, BadSetting),
        (np.array([["a", "b"]]), None, BadData),
        ([[1.0], [1.0, 2.0]], None, BadData),
        (iter([]), None, BadData),
        (iter([X]), None, BadData),
        (np.full((2, 2), np.nan), None, BadData),
    ],
    ids=["pair", "name", "dataset", "texts", "ragged", "empty", "unlabelled", "nan"],
)
def test_bad_input(x: Any, y: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        given_data(x, y)


def test_samples_are_given_once() -> None:
    assert data_beside("iris", None, None) == "iris"
    with pytest.raises(BadSetting):
        data_beside("iris", X, None)
    with pytest.raises(BadSetting):
        data_beside(None, None, Y)
