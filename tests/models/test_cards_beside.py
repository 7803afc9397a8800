"""A card beside a file of the user's, and the folder of a training run."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pytest

from sensverify import models
from sensverify.errors import BadModelFile, UnknownName
from sensverify.models import registry


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder as a training run leaves it."""
    folder = tmp_path / "run"
    folder.mkdir()
    for name, copy in (("iris.onnx", "model.onnx"), ("iris.json", "model.json"), ("iris.npz",) * 2):
        shutil.copy(registry.FOLDER / name, folder / copy)
    return folder


def test_folder_and_file_have_the_card(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = models.ModelFile(run / "model.onnx", models.card("iris"))
    assert models.resolve(run) == models.resolve(str(run)) == expected
    assert models.resolve(run / "model.onnx") == expected
    assert expected.sample_path == run / "iris.npz"
    assert models.load(run).input_shape == (4,)
    # A folder needs no slash; a shipped model of its name comes first.
    monkeypatch.chdir(run.parent)
    assert models.resolve("run").card == models.card("iris")
    shutil.copytree(run, "digits")
    assert models.resolve("digits").path == registry.FOLDER / "digits.onnx"
    assert models.resolve("./digits").card == models.card("iris")


def test_packed_models_are_still_the_ones_on_their_cards(run: Path) -> None:
    model = run / "model.onnx"
    packed = run / "model.onnx.gz"
    packed.write_bytes(gzip.compress(model.read_bytes()))
    model.unlink()
    assert models.resolve(packed).card == models.card("iris")
    packed.write_bytes(packed.read_bytes()[:-9])
    with pytest.raises(BadModelFile, match="cannot read"):
        models.resolve(packed)


@pytest.mark.parametrize("name", ["model.onnx", "iris.npz"])
def test_changed_files_are_refused(run: Path, name: str) -> None:
    (run / name).write_bytes((run / name).read_bytes() + b"\0")
    with pytest.raises(BadModelFile, match=r"is not the file on its card.*remove the card"):
        models.resolve(run)


def test_a_missing_sample_is_missed_only_where_it_is_needed(run: Path) -> None:
    (run / "iris.npz").unlink()
    assert models.resolve(run).card == models.card("iris")


@pytest.mark.parametrize(
    "text", ["", "[1]", '"sensverify.card/1"', "{}", '{"schema": "other/1"}', "[" * 5000, "\xff"]
)
def test_other_json_is_none_of_our_business(run: Path, text: str) -> None:
    (run / "model.json").write_text(text, encoding="latin-1")
    assert models.resolve(run) == models.ModelFile(run / "model.onnx")


def test_a_card_of_ours_that_cannot_be_right_is_refused(run: Path) -> None:
    path = run / "model.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "sigma": "x"}))
    with pytest.raises(BadModelFile, match="sigma"):
        models.resolve(run)


def test_radius_in_place_of_sigma(run: Path) -> None:
    path = run / "model.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "sigma": None, "radius": 0.5}))
    card = models.resolve(run).card
    assert card is not None
    assert (card.sigma, card.radius) == (None, 0.5)
    for wrong in ({"sigma": None}, {"radius": 0.5}, {"sigma": None, "radius": -1.0}):
        path.write_text(json.dumps({**values, **wrong}))
        with pytest.raises(BadModelFile, match="radius"):
            models.resolve(run)


def test_folders_without_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadModelFile, match=r"holds no model\.onnx"):
        models.resolve(tmp_path / "empty")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadModelFile, match=r"holds no model\.onnx"):
        models.resolve("empty")
    with pytest.raises(UnknownName, match="folder of a training run"):
        models.resolve("emty")
    with pytest.raises(UnknownName):
        models.resolve("x" * 5000)
