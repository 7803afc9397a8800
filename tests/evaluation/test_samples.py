"""Which samples an evaluation takes, and in which shape."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from sensverify.classification.samples import Samples
from sensverify.errors import BadData, BadShape
from sensverify.evaluation.models import load_models
from sensverify.evaluation.run import evaluate
from sensverify.evaluation.samples import load_samples
from sensverify.training.directory.export import export_onnx
from tests.evaluation.networks import mlp, request, timeless


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For 3 x 24 x 24 numbers, flat."""
    return mlp(tmp_path_factory.mktemp("net") / "net.onnx", inputs=1728, classes=2)


def images(path: Path, count: int = 7, shape: tuple[int, ...] = (3, 24, 24)) -> Path:
    x = np.random.default_rng(0).uniform(size=(count, *shape)).astype(np.float32)
    np.savez(path, x=x, y=np.arange(count) % 2)
    return path


def taken(net: Path, data: Path, **changes: Any) -> Samples:
    changes = {"count": None, "data": str(data)} | changes
    asked = request(net, **changes)
    return load_samples(asked, load_models(asked.models))


@pytest.mark.parametrize(
    ("changes", "places", "words"),
    [
        ({}, [0, 1, 2, 3, 4, 5, 6], "all of the test part"),
        ({"count": 7}, [0, 1, 2, 3, 4, 5, 6], "all of the test part"),
        ({"count": 3}, [0, 1, 4], "evenly spread over the test part"),
        ({"count": 1}, [0], "evenly spread over the test part"),
        ({"samples": (2, 4)}, [2, 3], "numbers 2 to 3 of the test part"),
        ({"samples": (None, 1)}, [0], "numbers 0 to 0 of the test part"),
    ],
)
def test_which_ones(
    net: Path, tmp_path: Path, changes: dict[str, Any], places: list[int], words: str
) -> None:
    found = taken(net, images(tmp_path / "data.npz"), **changes)
    assert found.places.tolist() == places
    assert found.chosen == words
    assert found.available == 7
    assert found.labels.tolist() == [place % 2 for place in places]
    whole = taken(net, tmp_path / "data.npz")
    assert np.array_equal(found.x, whole.x[places])


def test_samples_are_spread_evenly_whatever_period_the_classes_have(
    net: Path, tmp_path: Path
) -> None:
    """No gap above twice the mean one; both classes, which take turns, about as often."""
    data = images(tmp_path / "data.npz", 100, (3, 24, 24))
    before: set[int] = set()
    for count in (10, 20, 50):
        found = taken(net, data, count=count)
        gaps = np.diff([*found.places, 100 + found.places[0]])
        assert len(set(found.places.tolist())) == count
        assert gaps.max() <= 2 * 100 / count
        assert abs(found.labels.sum() - count / 2) <= count / 5
        assert before < set(found.places.tolist())
        before = set(found.places.tolist())


def test_images_stay_images_for_a_network_that_takes_them_flat(net: Path, tmp_path: Path) -> None:
    data = images(tmp_path / "data.npz")
    assert taken(net, data).image_shape == (3, 24, 24)
    (model,) = evaluate(request(net, data=str(data), clip=(0.0, 1.0))).models
    assert {row.corruption for row in model.corruptions} == {"gaussian-noise", "contrast"}
    assert len(model.sequences) == 1


def test_corruptions_need_to_know_black_and_white(net: Path, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(3, 3, 24, 24)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x, y=[0, 1, 0])
    found = evaluate(request(net, data=str(tmp_path / "data.npz")))
    reasons = {each.key: each.reason for each in found.models[0].missing}
    assert "black and white" in reasons["corruption/contrast"]
    assert "black and white" in reasons["sequence/translation"]
    other = evaluate(request(net, data=str(tmp_path / "data.npz"), clip=(-6.0, 6.0)))
    assert other.models[0].corruptions
    assert other.models[0].sequences


def test_training_samples_are_spread_too(files: Path) -> None:
    asked = request(files / "a.onnx", data=str(files / "data.npz"), train_samples=10)
    found = load_samples(asked, load_models(asked.models))
    assert found.train is not None
    assert len(found.train) == 10
    assert found.train.available == 80
    whole = np.load(files / "data.npz")["x_train"]
    chosen = [bool((found.train.x == sample).all(axis=1).any()) for sample in whole]
    assert np.diff(np.flatnonzero(chosen)).max() <= 3 * 8
    nothing = request(files / "a.onnx", data=str(files / "data.npz"), train_samples=0)
    assert load_samples(nothing, load_models(nothing.models)).train is None


def test_labels_of_the_training_part_are_looked_at(files: Path, tmp_path: Path) -> None:
    arrays = dict(np.load(files / "data.npz"))
    arrays["y_train"][7] = 3
    np.savez(tmp_path / "data.npz", **arrays)
    with pytest.raises(BadData, match="training part"):
        taken(files / "a.onnx", tmp_path / "data.npz")


def premade(folder: Path, data: Path) -> Path:
    """The samples turned upside down in severity 1, and black in severity 2."""
    held = np.load(data)
    bytes_ = (255 * held["x"]).round().astype(np.uint8).transpose(0, 2, 3, 1)
    folder.mkdir()
    np.save(folder / "upside_down.npy", np.concatenate([bytes_[:, ::-1], 0 * bytes_]))
    np.save(folder / "labels.npy", np.tile(held["y"], 2))
    return folder


def test_images_with_their_channels_last(tmp_path: Path) -> None:
    """Read in the order that they lie in, they would be other images."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(1728, 2))
    last, first = tmp_path / "last.onnx", tmp_path / "first.onnx"
    export_onnx(module, (24, 24, 3), last)
    export_onnx(module, (3, 24, 24), first)
    data = images(tmp_path / "data.npz")
    with pytest.raises(BadShape, match=r"'last\.onnx' takes .*\(24, 24, 3\).* move the axes"):
        taken(last, data)
    assert len(taken(first, data)) == 7
    with pytest.raises(BadShape, match=r"surrogate 'last\.onnx' takes .*in another order"):
        evaluate(request(first, data=str(data), radii=(0.1,), surrogate=str(last)))


def test_corrupted_samples_that_have_changed_are_looked_at_again(net: Path, tmp_path: Path) -> None:
    data = images(tmp_path / "data.npz")
    folder = premade(tmp_path / "made", data)
    changes: dict[str, Any] = {"corruptions": None, "sequences": (), "measures": ()}
    asked = request(
        net, data=str(data), corrupted=str(folder), out=tmp_path / "out", resume=True, **changes
    )
    (before,) = evaluate(asked).models
    assert evaluate(asked).models[0].corruptions == before.corruptions
    path = folder / "upside_down.npy"
    np.save(path, 255 - np.load(path))
    changed = evaluate(asked)
    assert changed.models[0].corruptions[0].msd != before.corruptions[0].msd
    assert timeless(changed) == timeless(evaluate(replace(asked, out=None, resume=False)))


def test_corrupted_samples_of_somebody_else(net: Path, tmp_path: Path) -> None:
    data = images(tmp_path / "data.npz")
    folder = premade(tmp_path / "made", data)
    asked: dict[str, Any] = {
        "data": str(data),
        "corrupted": str(folder),
        "severities": (1, 2, 3),
        "count": 4,
    }
    (model,) = evaluate(request(net, **(asked | {"corruptions": None}))).models
    assert [(row.corruption, row.severity) for row in model.corruptions] == [
        ("upside-down", 1),
        ("upside-down", 2),
    ]
    assert {row.source for row in model.corruptions} == {str(folder / "upside_down.npy")}
    # All black images get one prediction.
    columns = zip(*model.corruptions[1].classified.confusion, strict=True)
    assert sorted(map(sum, columns)) == [0, 4]
    (model,) = evaluate(request(net, **(asked | {"corruptions": ("contrast",)}))).models
    assert {row.source for row in model.corruptions} == {"computed"}
    np.save(folder / "labels.npy", np.tile(1 - np.load(data)["y"], 2))
    (model,) = evaluate(request(net, **(asked | {"corruptions": None}))).models
    reasons = {each.key: each.reason for each in model.missing}
    assert "in another order" in reasons["corruption/upside-down/1"]
