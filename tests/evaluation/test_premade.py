"""Sets of corrupted samples: what is written is read back, kept, gone on with and given up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sensverify.corruptions import corrupt
from sensverify.data.corrupted import find_corrupted
from sensverify.errors import (
    BackendMissing,
    BadData,
    BadSetting,
    BadShape,
    InputError,
    UnknownName,
)
from sensverify.evaluation import EvaluateRequest, evaluate, premade
from sensverify.evaluation.premade import make_corrupted
from sensverify.evaluation.premade_request import CorruptRequest
from sensverify.runs.progress import Progress
from sensverify.runs.watch import Watch

LABELS = np.array([0, 1, 2, 1, 0, 2, 2])
NAMES = ("gaussian-noise", "contrast", "flip")


def request(tmp_path: Path, **settings: Any) -> CorruptRequest:
    data = tmp_path / "images.npz"
    if not data.exists():
        x = np.random.default_rng(0).random((len(LABELS), 3, 12, 9), dtype=np.float32)
        np.savez(data, x=x, y=LABELS)
    return CorruptRequest(
        **{"data": data, "out": tmp_path / "set", "corruptions": NAMES, **settings}
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("severities", [None, (1,), (2, 3)])
def test_what_is_written_is_read_back(tmp_path: Path, severities: tuple[int, ...] | None) -> None:
    asked = request(tmp_path, severities=severities, seed=3)
    made = make_corrupted(asked)
    assert made.made == made.finished == NAMES
    assert not made.interrupted
    x = torch.from_numpy(np.load(asked.data)["x"])
    for found in (find_corrupted(asked.out), find_corrupted(asked.out, samples=len(x))):
        for file in made.files:
            assert found.corruptions[file.corruption] == len(file.severities)
            for number, severity in enumerate(file.severities, 1):
                images, labels = found.read(file.corruption, number, labels=LABELS)
                wanted = (255 * corrupt(x, file.corruption, severity, seed=3).double()).round()
                assert np.array_equal(images, wanted.numpy().astype(np.float32) / np.float32(255))
                assert labels.tolist() == LABELS.tolist()


def test_the_layout_is_that_of_cifar_10_c(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    asked = request(tmp_path, corruptions=("jpeg", "contrast"))
    make_corrupted(asked)
    assert set(contents(asked.out)) == {
        "jpeg_compression.npy",
        "contrast.npy",
        "labels.npy",
        "corrupted.json",
    }
    images, labels = np.load(asked.out / "contrast.npy"), np.load(asked.out / "labels.npy")
    assert (images.dtype, images.shape) == (np.uint8, (5 * len(LABELS), 12, 9, 3))
    assert labels.dtype == np.uint8
    assert labels.tolist() == 5 * LABELS.tolist()


def test_a_sample_outside_of_the_range_is_told_before_anything_is_written(tmp_path: Path) -> None:
    asked = request(tmp_path)
    x = np.random.default_rng(0).random((len(LABELS), 3, 12, 9), dtype=np.float32)
    x[-1, 0, 0, 0] = 7
    np.savez(tmp_path / "images.npz", x=x, y=LABELS)
    with pytest.raises(BadData, match=f"image {len(LABELS) - 1}"):
        make_corrupted(asked)
    assert not asked.out.exists()


def test_values_of_black_and_white_are_the_bytes_0_and_255(tmp_path: Path) -> None:
    x = np.array([-1.0, 1.0, 0.0, 0.5], np.float32).repeat(64).reshape(4, 1, 8, 8)
    np.savez(tmp_path / "images.npz", x=x, y=np.array([0, 1, 1, 0]))
    asked = request(tmp_path, corruptions=("flip",), clip=(-1.0, 1.0))
    make_corrupted(asked)
    stored = np.load(asked.out / "flip.npy")[:4]
    assert stored.shape == (4, 8, 8, 1)
    assert stored[:, 0, 0, 0].tolist() == [0, 255, 128, 191]
    with pytest.raises(BadData, match="image 0"):
        make_corrupted(request(tmp_path, out=tmp_path / "other", corruptions=("flip",)))


def test_evaluations_read_it_as_they_compute_it(tmp_path: Path) -> None:
    asked = request(tmp_path, corruptions=("posterise",))
    make_corrupted(asked)
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(324, 3))
    # What 'posterise' gives are whole bytes: nothing is rounded.
    plain = {"attacks": (), "sequences": (), "measures": (), "corruptions": ("posterise",)}
    rows = [
        evaluate(EvaluateRequest(models=(module,), data=asked.data, corrupted=where, **plain))
        for where in (None, asked.out)
    ]
    computed, read = (found.models[0].corruptions for found in rows)
    assert [row.wrong for row in computed] == [row.wrong for row in read]
    assert [row.severity for row in computed] == [row.severity for row in read]
    assert {row.source for row in read} == {str(asked.out / "posterise.npy")}


def test_nothing_is_overwritten_unless_asked(tmp_path: Path) -> None:
    asked = request(tmp_path)
    make_corrupted(asked)
    before = contents(asked.out)
    with pytest.raises(InputError, match="already"):
        make_corrupted(request(tmp_path, seed=1))
    with pytest.raises(InputError, match="seed"):
        make_corrupted(request(tmp_path, seed=1, resume=True))
    assert contents(asked.out) == before
    replaced = make_corrupted(request(tmp_path, corruptions=("contrast", "invert"), force=True))
    assert replaced.made == ("contrast", "invert")
    assert set(find_corrupted(asked.out).corruptions) == {"contrast", "invert"}


def test_what_is_no_set_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine.npy").write_bytes(b"mine")
    for settings in ({}, {"resume": True}, {"force": True}):
        with pytest.raises(InputError, match=r"mine\.npy"):
            make_corrupted(request(tmp_path, **settings))
    assert contents(tmp_path / "set") == {"mine.npy": b"mine"}


def test_a_stopped_set_goes_on_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    whole = make_corrupted(request(tmp_path, out=tmp_path / "whole"))
    watch = Watch()

    def stop(now: Progress) -> None:
        if now.done == 1:
            watch.stop()

    asked = request(tmp_path)
    part = make_corrupted(asked, progress=stop, watch=watch)
    assert part.interrupted
    assert part.finished == NAMES[:1]
    # A part is never taken for the whole: there are no labels.
    with pytest.raises(BadData):
        find_corrupted(asked.out)
    rest = make_corrupted(request(tmp_path, resume=True))
    assert rest.made == NAMES[1:]
    assert not rest.interrupted
    assert contents(asked.out) == contents(whole.folder)
    assert make_corrupted(request(tmp_path, resume=True)).made == ()


def test_files_that_were_changed_or_lost_are_seen(tmp_path: Path) -> None:
    asked = request(tmp_path)
    make_corrupted(asked)
    before = contents(asked.out)
    (asked.out / "flip.npy").unlink()
    (asked.out / "labels.npy").unlink()
    assert make_corrupted(request(tmp_path, resume=True)).made == ("flip",)
    assert contents(asked.out) == before
    for name in ("flip.npy", "labels.npy"):
        (asked.out / name).write_bytes(b"something else")
        with pytest.raises(BadData, match=name):
            make_corrupted(request(tmp_path, resume=True))
        assert (asked.out / name).read_bytes() == b"something else"
        (asked.out / name).write_bytes(before[name])


@pytest.mark.parametrize("files", [{"../images.npz": {}}, ["flip.npy"]])
def test_a_record_of_other_files_removes_nothing(tmp_path: Path, files: Any) -> None:
    asked = request(tmp_path)
    make_corrupted(asked)
    record = json.loads((asked.out / "corrupted.json").read_text())
    (asked.out / "corrupted.json").write_text(json.dumps({**record, "corruptions": files}))
    with pytest.raises(InputError, match="damaged"):
        make_corrupted(request(tmp_path, force=True))
    assert asked.data.exists()
    assert (asked.out / "flip.npy").exists()


def test_a_failure_keeps_what_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = premade.corrupt

    def full(images: torch.Tensor, name: str, *rest: Any, **settings: Any) -> torch.Tensor:
        if name == "contrast" and len(images) > 1:
            raise OSError(28, "No space left on device")
        return real(images, name, *rest, **settings)

    monkeypatch.setattr(premade, "corrupt", full)
    with pytest.raises(InputError, match="No space"):
        make_corrupted(request(tmp_path))
    assert set(contents(tmp_path / "set")) == {"gaussian_noise.npy", "corrupted.json"}
    monkeypatch.undo()
    assert make_corrupted(request(tmp_path, resume=True)).made == NAMES[1:]


def test_a_missing_package_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(BackendMissing):
        make_corrupted(request(tmp_path, corruptions=("contrast", "jpeg")))
    assert not (tmp_path / "set").exists()


def test_of_a_group_what_cannot_be_had_is_left_out_with_the_reason(tmp_path: Path) -> None:
    made = make_corrupted(request(tmp_path, corruptions=("shifts", "thesis"), severities=(4, 5)))
    assert "12 x 9" in made.left_out["translation"]
    assert "1 to 3" in made.left_out["flip"]
    assert "white-noise" in made.finished
    for name in ("translation", "flip"):
        with pytest.raises(BadSetting, match=name):
            make_corrupted(
                request(tmp_path, corruptions=(name,), severities=(4,), out=tmp_path / "none")
            )


@pytest.mark.parametrize(
    "settings",
    [
        {"corruptions": ()},
        {"severities": ()},
        {"severities": (0,)},
        {"severities": (2, 1)},
        {"severities": (1, 1)},
        {"severities": (True,)},
        {"clip": (1.0, 0.0)},
        {"clip": (float("nan"), 1.0)},
        {"resume": True, "force": True},
    ],
    ids=str,
)
def test_settings_that_cannot_be(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(BadSetting):
        request(tmp_path, **settings)


def test_data_that_cannot_be_corrupted(tmp_path: Path) -> None:
    x = np.zeros((2, 8, 8, 3), np.float32)
    cases = {
        "last": (BadShape, {"x": x, "y": [0, 1]}),
        "flat": (BadShape, {"x": np.zeros((2, 5), np.float32), "y": [0, 1]}),
        "bare": (BadData, {"x": x.transpose(0, 3, 1, 2)}),
        "wild": (BadData, {"x": x.transpose(0, 3, 1, 2), "y": [0.5, 1.25]}),
    }
    for name, (error, arrays) in cases.items():
        path = tmp_path / f"{name}.npz"
        np.savez(path, **{key: np.asarray(values) for key, values in arrays.items()})
        with pytest.raises(error, match=name):
            make_corrupted(request(tmp_path, data=path))
    with pytest.raises(UnknownName, match="flipp"):
        make_corrupted(request(tmp_path, corruptions=("flipp",)))
    assert not (tmp_path / "set").exists()


def test_strengths_of_ones_own_are_written_and_read_back(tmp_path: Path) -> None:
    names = ("brighten(levels=(1.1, 1.3, 1.2))", "darken(factor=(0.5, 0.9))")
    made = make_corrupted(request(tmp_path, corruptions=names))
    assert [file.severities for file in made.files] == [(1, 2, 3), (1,)]
    assert made.files[1].parameters == ("drawn factor 0.5 to 0.9",)
    found = find_corrupted(tmp_path / "set", samples=len(LABELS))
    assert found.corruptions == {names[0]: 3, names[1]: 1}
    x = torch.from_numpy(np.load(tmp_path / "images.npz")["x"])
    images, _ = found.read(names[1], 1, labels=LABELS)
    wanted = (255 * corrupt(x, names[1], 1).double()).round() / 255
    assert np.allclose(images, wanted.numpy(), atol=1e-6)
