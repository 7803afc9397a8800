"""Which samples there are, and which labels they have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sensverify.classification.samples import Samples, find_labels, spread
from sensverify.classification.sources import find_source
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


def test_labels_by_name_are_numbered_as_the_outputs(iris: LoadedModel) -> None:
    words = np.array(["virginica", "setosa"])
    source = find_source((X[:2], words), [iris])
    assert source.data.y is not None
    assert source.data.y.tolist() == [2, 0]
    assert source.classes == ("setosa", "versicolor", "virginica")
    samples = Samples.of(source.data, 3)
    assert "versicolor = 1" in (samples.note or "")
    with pytest.raises(BadData, match=r"'rose' of sample 1 is no class of 'iris'"):
        find_source((X[:2], np.array(["setosa", "rose"])), [iris])


def test_names_need_a_network_that_has_them(iris: LoadedModel) -> None:
    nameless, words = replace(iris, card=None), np.array(["b", "a", "c"])
    source = find_source((X[:3], words), [nameless])
    assert source.data.y is not None
    assert source.data.y.tolist() == [1, 0, 2]
    # Two of three classes could be any two.
    with pytest.raises(BadData, match="2 classes by name, and 'iris' has 3 outputs"):
        find_source((X[:2], words[:2]), [nameless])
    assert iris.card is not None
    numbers = replace(iris, card=replace(iris.card, labels=("0", "1", "2")))
    again = find_source((X[:3], words), [numbers]).data.y
    assert again is not None
    assert again.tolist() == [1, 0, 2]
    turned, iris_abc = (
        replace(iris, card=replace(iris.card, labels=order))
        for order in (("c", "b", "a"), ("a", "b", "c"))
    )
    with pytest.raises(BadSetting, match="different orders"):
        find_source((X[:3], words), [turned, iris_abc])


def test_numbers_that_a_network_has_as_names(iris: LoadedModel) -> None:
    assert iris.card is not None
    odd = replace(iris, card=replace(iris.card, labels=("3", "5", "7")))
    found = find_source((X[:2], np.array([7, 3])), [odd]).data
    assert found.y is not None
    assert (found.y.tolist(), found.classes) == ([2, 0], ("3", "5", "7"))
    with pytest.raises(BadData, match="label '1' of sample 0"):
        find_source((X[:1], np.array([1])), [odd])
