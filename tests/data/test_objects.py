"""Data that a program holds: arrays, tables, and data sets of torch and of Hugging Face."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, IterableDataset, TensorDataset
from torch.utils.data import Dataset as TorchDataset

from sensverify.data import Dataset, load_data, load_split, objects
from sensverify.data.catalog import comes_in_parts
from sensverify.data.memory import given_data
from sensverify.errors import BadData, BadSetting, BadShape, InputError

X = np.arange(24, dtype=np.float32).reshape(12, 2)
Y = np.arange(12) % 3
WORDS = ["c", "a", "b"] * 4


class Frame:
    """What is used of a DataFrame, of pandas or of polars."""

    def __init__(self, **columns: Any) -> None:
        self._columns = {name: np.asarray(values) for name, values in columns.items()}
        self.columns = list(columns)

    def __getitem__(self, name: str) -> np.ndarray:
        return self._columns[name]

    def to_numpy(self) -> np.ndarray:
        return np.stack(list(self._columns.values()))


class Feature:
    def __init__(self, names: list[str] | None = None) -> None:
        self.names = names


Value = type("Value", (), {})
ClassLabel = type("ClassLabel", (Feature,), {})
ImageFeature = type("Image", (), {})


class HuggingFace:
    """What is used of a ``datasets.Dataset``."""

    def __init__(self, features: dict[str, Any], **columns: list[Any]) -> None:
        self.features, self._columns = features, columns

    @property
    def column_names(self) -> list[str]:
        return list(self._columns)

    def __len__(self) -> int:
        return len(next(iter(self._columns.values())))

    def __getitem__(self, key: str | int) -> Any:
        if isinstance(key, str):
            return self._columns[key]
        return {name: values[key] for name, values in self._columns.items()}


class Items(TorchDataset[Any]):
    def __init__(self, *items: Any) -> None:
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, place: int) -> Any:
        return self._items[place]


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter(zip(X, Y, strict=True))


TENSORS = TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))


@pytest.mark.parametrize(
    "data",
    [
        (X, Y),
        (X.tolist(), Y.tolist()),
        (torch.from_numpy(X).requires_grad_(), torch.from_numpy(Y)),
        (X, WORDS),
        (X, np.array(WORDS)),
        TENSORS,
        Stream(),
        DataLoader(TENSORS, batch_size=5),
        DataLoader(Items(*zip(X, WORDS, strict=True)), batch_size=5),
        Items(*zip(X, WORDS, strict=True)),
        Frame(a=X[:, 0], b=X[:, 1], label=Y),
        Frame(label=np.array(WORDS, dtype=object), a=X[:, 0], b=X[:, 1].astype(object)),
        HuggingFace(
            {"a": Value(), "b": Value(), "label": ClassLabel(["a", "b", "c"])},
            a=X[:, 0].tolist(),
            b=X[:, 1].tolist(),
            label=Y.tolist(),
        ),
    ],
    ids=lambda data: type(data).__name__,
)
def test_the_same_samples_in_every_form(data: Any) -> None:
    found, split = load_data(data), load_split(data)
    assert found.x.tolist() == X.tolist()
    assert found.y is not None
    expected = Y if found.y[0] == 0 else [2, 0, 1] * 4
    assert found.y.tolist() == list(expected)
    assert found.classes in ((), ("a", "b", "c"))
    assert (len(split.train), len(split.test), split.classes) == (10, 2, 3)
    assert not comes_in_parts(data)


def test_samples_without_labels() -> None:
    for data in (X, torch.from_numpy(X), X.tolist(), (X, None), TensorDataset(torch.tensor(X))):
        found = load_data(data)
        assert (found.x.tolist(), found.y) == (X.tolist(), None)
    assert load_data(torch.tensor(X).bfloat16()).x.dtype == np.float32


def test_two_parts() -> None:
    parts = {"train": (X, Y), "test": (X[:3], Y[:3])}
    split = load_split(parts)
    assert (len(split.train), len(split.test), len(load_data(parts))) == (12, 3, 3)
    assert comes_in_parts(parts)


def test_images_are_pixels_with_their_channels_first() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), dtype=np.uint8)
    pictures = [Image.fromarray(each) for each in pixels]
    labels = [0, 1, 0, 1]
    features = {"img": ImageFeature(), "label": ClassLabel(["no", "yes"])}
    for data in (
        HuggingFace(features, img=pictures, label=labels),
        Items(*zip(pictures, labels, strict=True)),
    ):
        found = load_data(data)
        np.testing.assert_allclose(found.x, pixels.transpose(0, 3, 1, 2) / 255, rtol=1e-6)
        assert found.clip == (0, 1)
        assert "channels first" in " ".join(found.notes)
    assert load_data(HuggingFace(features, img=pictures, label=labels)).classes == ("no", "yes")
    assert load_data((pixels, labels), nhwc=True).x.shape == (4, 3, 5, 6)


def test_names_that_a_data_set_tells() -> None:
    named = Items(*zip(X, Y.tolist(), strict=True))
    named.classes = ["u", "v", "w"]  # type: ignore[attr-defined]
    for data in (named, DataLoader(named, batch_size=5)):
        assert load_data(data).classes == ("u", "v", "w")
    named.classes = ["u", "v"]  # type: ignore[attr-defined]
    assert load_data(named).classes == ()


def test_the_column_of_labels_is_named_or_said() -> None:
    frame = Frame(a=X[:, 0], species=np.array(WORDS, dtype=object))
    with pytest.raises(BadData, match="column 'species': row 0 is 'c' and no number"):
        load_data(frame)
    for label in ("species", "last"):
        data = load_data(frame, label=label)
        assert (data.x.shape, data.classes, data.notes) == ((12, 1), ("a", "b", "c"), ())
    assert "'y'" in load_data(Frame(a=X[:, 0], y=Y)).notes[0]


def test_a_loader_that_shuffles_says_so() -> None:
    data = load_data(DataLoader(TENSORS, batch_size=5, shuffle=True))
    assert "shuffles" in data.notes[0]
    assert sorted(data.x[:, 0].tolist()) == X[:, 0].tolist()


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (Frame(a=[1.0, np.nan], y=[0, 1]), BadData, "column 'a': row 1 is missing"),
        (Frame(a=[1.0, 2.0], y=[0, np.nan]), BadData, "column 'y': row 1 is missing"),
        (Frame(a=[1.0, 2.0], y=["u", None]), BadData, "sample 1 is None"),
        (Frame(y=[0, 1]), BadData, "no columns of features"),
        (Frame(y=[0, 1], target=[0, 1], a=[1, 2]), BadData, "could both hold"),
        (Frame(a=np.array(["2020-01-01"], dtype="M8[D]")), BadData, "features are numbers"),
        ([[1.0], [2.0, 3.0]], BadData, "no array of numbers"),
        (np.array(["a"]), BadData, "samples are numbers"),
        ((X, Y[:3]), BadShape, "one label for each"),
        ((X, [None] * 12), BadData, "label of sample 0 is None"),
        ((X * np.nan, Y), BadData, "sample 0 has NaN"),
        (Items(), BadData, "holds no samples"),
        (Items((X[0], 0), (X[0, :1], 1)), BadShape, r"sample 1 has the shape \(1,\)"),
        (Items((X[0], 0, 1)), BadData, "gives samples as tuple of 3"),
        (Items({"x": X[0]}), BadData, "gives samples as dict"),
        (Items((X[0], 0), X[1]), BadData, "1 of 2 samples have no label"),
        (DataLoader(TENSORS, batch_size=20, drop_last=True), BadData, "no batches"),
        (HuggingFace({"a": ImageFeature(), "b": Value()}, a=[X], b=[1]), BadSetting, "choose one"),
        (5, BadSetting, "give a `Dataset`.*DataLoader|give a `Dataset`.*data set or loader"),
        ({"train": 5, "test": 6}, BadData, "hold no samples"),
    ],
)
def test_what_cannot_be_used(data: Any, error: type[InputError], words: str) -> None:
    with pytest.raises(error, match=words):
        load_data(data)


def test_data_are_not_taken_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "SIZE_LIMIT", X.nbytes - 1)
    for data in (TENSORS, Stream(), DataLoader(TENSORS, batch_size=5)):
        with pytest.raises(BadData, match="above the limit"):
            load_data(data)


def test_data_that_are_read_take_no_settings() -> None:
    with pytest.raises(BadSetting, match="`nhwc` says nothing about data that are read"):
        load_data(Dataset("d", X), nhwc=True)


def test_labels_beside_samples_may_be_names() -> None:
    for data in (given_data(X, WORDS), given_data(iter([(X, Y), (X, Y)]))):
        assert data.y is not None
    assert given_data(X, WORDS).classes == ("a", "b", "c")
    with pytest.raises(BadData, match="holds no samples"):
        given_data(5)


def test_functions_may_return_any_of_them() -> None:
    assert load_data(lambda: (X, Y)).x.tolist() == X.tolist()
    with pytest.raises(BadData, match="gives none that can be read"):
        load_data(lambda: 5)
