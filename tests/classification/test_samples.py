"""Which samples there are, and which labels they have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sensverify.classification.samples import Samples, find_labels, find_source, spread
from sensverify.data import Dataset, Split, load_data
from sensverify.errors import BadData, BadSetting
from sensverify.models.loading import LoadedModel, load_model

X = np.arange(24.0).reshape(6, 4)
Y = np.array([0, 1, 2, 0, 1, 2])


@pytest.fixture(scope="module")
def iris() -> LoadedModel:
    return load_model("iris", runtime_check=False)


def test_some_of_the_samples_keep_their_places_and_labels() -> None:
    samples = Samples.of(Dataset("d", X, Y, np.ones(4), (0.0, 23.0)), 3, shape=(2, 2))
    assert samples.x.dtype == np.float32
    assert samples.feature_range is not None
    assert samples.feature_range.shape == (2, 2)
    some = samples[np.array([4, 1])][:1]
    assert (some.places.tolist(), some.labels.tolist(), len(some)) == ([4], [1], 1)
    assert (some.available, some.clip) == (6, (0.0, 23.0))
    x, y = some.tensors(shape=(4,))
    assert x.tolist() == X[4:5].tolist()
    assert y.tolist() == [1]
    assert some.digest == samples[4:5].digest != samples[1:2].digest


def test_whoever_needs_labels_gets_some_or_an_error() -> None:
    targets = X[:, 0] / 7
    assert find_labels(None, 3, "d") == (None, None)
    assert find_labels(Y, 1, "d") == (None, None)
    labels, note = find_labels(targets, 3, "d")
    assert labels is None
    assert "targets" in str(note)
    for y in (None, targets, Y + 1):
        with pytest.raises(BadData):
            find_labels(y, 3, "d", needed_by="a test")


def test_values_beyond_float32_are_refused_where_it_is_asked_for() -> None:
    data = Dataset("d", np.where(X == 9, 1e39, X))
    assert Samples.of(data, 3).x[2, 1] == 1e39
    with pytest.raises(BadData, match="sample 2 "):
        Samples.of(data, 3, shape=(4,))


def test_data_by_name_come_as_a_whole_or_in_parts(iris: LoadedModel) -> None:
    whole = find_source("iris", [iris], part="all")
    assert (len(whole.data), whole.train) == (150, None)
    parts = find_source("iris", [iris])
    assert parts.train is not None
    assert (len(parts.data), len(parts.train)) == (30, 120)
    assert len(parts.classes) == 3
    given = find_source(load_data("iris"), [iris])
    assert (len(given.data), given.train) == (150, None)


def test_ranges_are_those_of_the_training_part(iris: LoadedModel) -> None:
    train, test = Dataset("t", X, Y, np.full(4, 5.0)), Dataset("t", X, Y)
    source = find_source(Split(train, test, 3), [iris])
    assert source.data.feature_range is not None
    assert source.data.feature_range.tolist() == [5.0] * 4


def test_samples_beside_models_are_the_same_ones(iris: LoadedModel) -> None:
    source = find_source(None, [iris, iris], beside="beside it")
    assert source.data.name == "iris (beside it)"
    with pytest.raises(BadData, match="no card") as caught:
        find_source(None, [replace(iris, card=None)], remedy="give some")
    assert caught.value.remedy == "give some"
    with pytest.raises(BadSetting, match="different samples"):
        find_source(None, [iris, load_model("digits", runtime_check=False)])


def test_fewer_samples_are_among_more() -> None:
    assert set(spread(100, 10).tolist()) < set(spread(100, 30).tolist())
