"""The models that ship are the ones their cards describe."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from sensverify import models
from sensverify.data import load_data, read_dataset
from sensverify.errors import BadModelFile, UnknownName
from sensverify.models import cards, registry

ROOT = Path(__file__).parents[2]
NAMES = ("digits", "digits-mixer", "iris", "mnist-conv1", "mnist-conv2", "power-flow")

# Smallest test accuracy each network is kept for.
LEAST_ACCURACY = {
    "digits": 0.96,
    "digits-mixer": 0.96,
    "iris": 0.96,
    "mnist-conv1": 0.975,
    "mnist-conv2": 0.985,
    "power-flow": 0.94,
}


def predictions(model: models.ModelFile, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(model.path), providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {session.get_inputs()[0].name: x})
    return np.asarray(output)


def test_names() -> None:
    assert models.names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_card_matches_files(name: str) -> None:
    model = models.resolve(name)
    card = model.card
    assert card is not None
    assert model.sample_path is not None
    assert card.name == name
    assert hashlib.sha256(model.path.read_bytes()).hexdigest() == card.sha256
    assert hashlib.sha256(model.sample_path.read_bytes()).hexdigest() == card.sample_sha256
    assert model.path.stat().st_size < 1_000_000
    assert model.sample_path.stat().st_size < 200_000


@pytest.mark.parametrize("name", NAMES)
def test_sample_fits_card(name: str) -> None:
    model = models.resolve(name)
    card = model.card
    assert card is not None
    assert model.sample_path is not None
    data = read_dataset(model.sample_path)
    assert data.x.dtype == np.float32
    assert data.x.shape[1:] == card.input_shape
    assert data.y is not None
    assert len(data) >= 30
    assert set(data.y.tolist()) == set(range(card.outputs))
    assert data.feature_range is not None
    assert data.feature_range.max() > 0
    if card.clip is not None:
        assert data.x.min() >= card.clip[0]
        assert data.x.max() <= card.clip[1]


@pytest.mark.parametrize("name", NAMES)
def test_accuracy(name: str) -> None:
    model = models.resolve(name)
    card = model.card
    assert card is not None
    assert model.sample_path is not None
    assert card.accuracy["test"] >= LEAST_ACCURACY[name]
    data = read_dataset(model.sample_path)
    outputs = predictions(model, data.x)
    assert outputs.shape == (len(data), card.outputs)
    right = int((outputs.argmax(1) == data.y).sum())
    # The sample is some tens of test samples: allow three standard deviations, and one.
    count, share = len(data), card.accuracy["test"]
    assert right >= count * share - 3 * (count * share * (1 - share)) ** 0.5 - 1


@pytest.mark.parametrize("name", ["digits", "digits-mixer", "iris"])
def test_sample_is_the_test_part(name: str) -> None:
    model = models.resolve(name)
    assert model.sample_path is not None
    sample, data = read_dataset(model.sample_path), load_data(models.card(name).data)
    assert data.y is not None
    x, y = data.x[4::5], data.y[4::5]
    np.testing.assert_array_equal(sample.x, x[: len(sample)])
    np.testing.assert_array_equal(sample.y, y[: len(sample)])
    np.testing.assert_array_equal(sample.feature_range, data.feature_range)
    # The whole test part is here, so the card's accuracy can be measured again.
    assert model.card is not None
    right = (predictions(model, x).argmax(1) == y).mean()
    assert right == pytest.approx(model.card.accuracy["test"], abs=1e-6)


@pytest.mark.parametrize("name", ["mnist-conv1", "mnist-conv2"])
def test_mnist_sample_and_accuracy(name: str, data_dir: Path) -> None:
    model = models.resolve(name)
    assert model.card is not None
    assert model.sample_path is not None
    sample, data = read_dataset(model.sample_path), load_data("mnist", data_dir=data_dir)
    np.testing.assert_array_equal(sample.x, data.x[:64])
    np.testing.assert_array_equal(sample.feature_range, data.feature_range)
    right = (predictions(model, data.x).argmax(1) == data.y).mean()
    assert right == pytest.approx(model.card.accuracy["test"], abs=2e-4)


@pytest.mark.parametrize("name", NAMES)
def test_architecture_has_the_shapes_of_the_card(name: str) -> None:
    import torch

    from sensverify.models.architectures import ARCHITECTURES, build

    shipped = [each for each in ARCHITECTURES if ARCHITECTURES[each].shape is not None]
    assert tuple(sorted(shipped)) == NAMES
    card = models.card(name)
    module = build(name)
    assert sum(p.numel() for p in module.parameters()) == card.parameters
    assert module(torch.zeros(2, *card.input_shape)).shape == (2, card.outputs)


@pytest.mark.parametrize("name", NAMES)
def test_loads_as_a_network(name: str) -> None:
    network, card = models.load(name), models.card(name)
    assert network.input_shape == card.input_shape
    assert network.output_shape == (card.outputs,)
    # The network writes out what a normalisation computes.
    written = 0 if name != "digits-mixer" else 2581 - 1758
    assert network.parameters == card.parameters + written


def test_unknown_name_lists_the_models_and_says_that_a_path_works() -> None:
    with pytest.raises(
        UnknownName, match=r"no model 'irsi'.*digits, digits-mixer, iris, mnist.*path.*\.onnx"
    ):
        models.resolve("irsi")


@pytest.mark.parametrize("path", ["net.onnx", "net.onnx.gz", "folder/net", Path("iris")])
def test_paths_are_not_names(path: str | Path) -> None:
    assert models.resolve(path) == models.ModelFile(Path(path))
    assert models.resolve(path).sample_path is None


@pytest.mark.parametrize("suffix", ["onnx", "npz"])
def test_changed_file_is_refused(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in registry.FOLDER.glob("iris.*"):
        shutil.copy(path, tmp_path)
    monkeypatch.setattr(registry, "FOLDER", tmp_path)
    assert models.names() == ("iris",)
    models.resolve("iris")
    file = tmp_path / f"iris.{suffix}"
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(BadModelFile, match="is not the file on its card"):
        models.resolve("iris")
    file.unlink()
    with pytest.raises(BadModelFile, match="install sensverify again"):
        models.resolve("iris")


WRONG = [
    ("name", "../iris"),
    ("sample", "/etc/passwd"),
    ("sample", "../iris.npz"),
    ("clip", [1.0, 0.0]),
    ("clip", [0.0, float("nan")]),
    ("sigma", -0.1),
    ("sigma", float("nan")),
    ("sigma", True),
    ("input_shape", [0]),
    ("outputs", 2),
    ("labels", ["a", "b", ""]),
    ("parameters", 1.5),
    ("accuracy", {"train": 1.0}),
    ("accuracy", {"train": 1.0, "test": float("nan")}),
    ("sha256", "abc"),
    ("schema", "sensverify.card/0"),
]


def test_bad_cards_are_refused(tmp_path: Path) -> None:
    text = (registry.FOLDER / "iris.json").read_text(encoding="utf-8")
    path = tmp_path / "card.json"
    path.write_text(text, encoding="utf-8")
    assert cards.read_card(path) == models.card("iris")
    for field, value in WRONG:
        path.write_text(json.dumps({**json.loads(text), field: value}), encoding="utf-8")
        assert not is_card(path), (field, value)


def test_text_that_is_no_card_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    for text in ("", "[]", "{}", "{", '{"schema": "sensverify.card/1"}'):
        path.write_text(text, encoding="utf-8")
        assert not is_card(path), text


def is_card(path: Path) -> bool:
    try:
        cards.read_card(path)
    except BadModelFile:
        return False
    return True


@pytest.mark.parametrize("folder", ["models", "solvers"])
def test_bare_import_is_refused(folder: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import {folder}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"import sensverify.{folder}" in done.stderr.splitlines()[-1]


def test_registry_imports_no_torch() -> None:
    code = "import sys, sensverify.models; sensverify.models.resolve('iris'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "torch" not in done.stdout.split()
