"""``sensverify verify --witness`` of samples: counterexamples as arrays, and as pictures."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from click.testing import Result

from sensverify.verification import critical_radius
from sensverify.verification.radius_results import counterexamples

Run = Callable[..., Result]


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return dict(file)


def outputs(path: Path, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: x})[0])


def test_a_file_holds_all_that_change(run: Run, identity: Path, data: Path, tmp_path: Path) -> None:
    target = tmp_path / "changed.npz"
    # The first sample is certified; the second is wrong by itself.
    done = run("verify", identity, "--data", data, "--radius", 0.5, "--witness", target)
    assert done.exit_code == 0
    found = arrays_of(target)
    assert found["index"].tolist() == [1]
    assert (found["y"].tolist(), found["becomes"].tolist()) == ([0], [1])
    assert found["x"].tolist() == [[0.0, 2.0]]
    assert found["outputs"].tolist() == [[0.0, 2.0]]


def test_inputs_become_what_is_said_of_them(run: Run, tmp_path: Path) -> None:
    model = Path(__file__).parents[2] / "models" / "iris.onnx"
    assert run("verify", "iris", "--sigma", 0.2, "--witness", tmp_path / "w.npz").exit_code == 0
    found = arrays_of(tmp_path / "w.npz")
    assert len(found["x"]) > 5
    assert len({len(values) for values in found.values()}) == 1
    again = outputs(model, found["x"])
    assert np.array_equal(again.argmax(axis=1), found["becomes"])
    assert np.allclose(again, found["outputs"], atol=1e-5)
    assert (found["becomes"] != found["y"]).all()
    radii = critical_radius("iris", samples=(20, 25), sigma=0.2)
    assert set(counterexamples(radii.samples)) == {*found, "radius"} - {"outputs"}


@pytest.mark.parametrize("name", ["there", "new", "new.d/"])
def test_a_folder_gets_a_file_for_each(run: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine.txt").write_text("stays")
    done = run("verify", "iris", "--sigma", 0.05, "--witness", f"{tmp_path}/{name}")
    assert done.exit_code == 0
    names = {path.name for path in (tmp_path / name).iterdir()} - {"mine.txt"}
    run("verify", "iris", "--sigma", 0.05, "--witness", tmp_path / "all.npz")
    together = arrays_of(tmp_path / "all.npz")
    assert names == {f"sample-{index}.npz" for index in together["index"]}
    for row, index in enumerate(together["index"]):
        one = arrays_of(tmp_path / name / f"sample-{index}.npz")
        assert set(one) == set(together)
        for key, values in one.items():
            assert np.array_equal(values[0], together[key][row])
    assert "picture" not in done.stderr


def test_images_have_pictures(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "changed"
    asked = ("verify", "mnist-conv1", "--samples", "0:3", "--radius", 0.1, "--witness", target)
    assert run(*asked).exit_code == 0
    numbers = {path.stem for path in target.iterdir()}
    assert numbers
    for number in numbers:
        assert (target / f"{number}.npz").is_file()
        content = (target / f"{number}.png").read_bytes()
        assert content.startswith(b"\x89PNG")
        # Three of 28 x 28, enlarged eight times, and two gaps.
        assert struct.unpack(">II", content[16:24]) == (3 * 224 + 2 * 8, 224)


def test_images_whose_black_and_white_nobody_knows_have_none(run: Run, tmp_path: Path) -> None:
    models = Path(__file__).parents[2] / "models"
    with np.load(models / "mnist.npz") as arrays:
        np.savez(tmp_path / "d.npz", x=4 * arrays["x"][:2], y=arrays["y"][:2])
    asked = ("verify", models / "mnist-conv1.onnx", "--data", tmp_path / "d.npz", "--radius", 1)
    done = run(*asked, "--clip", "-inf", "inf", "--witness", tmp_path / "w")
    assert {path.suffix for path in (tmp_path / "w").iterdir()} == {".npz"}
    assert "--clip" in done.stderr
    run(*asked, "--clip", 0, 4, "--witness", tmp_path / "v")
    assert {path.suffix for path in (tmp_path / "v").iterdir()} == {".npz", ".png"}


def test_nothing_to_write_is_said(run: Run, tmp_path: Path) -> None:
    asked = ("verify", "iris", "--samples", "0:2", "--sigma", 0.01, "--witness")
    done = run(*asked, tmp_path / "w.npz")
    assert "no counterexample was found" in done.stderr
    assert {len(values) for values in arrays_of(tmp_path / "w.npz").values()} == {0}
    done = run(*asked, tmp_path / "w")
    assert "no counterexample was found" in done.stderr
    assert not (tmp_path / "w").exists()
    np.savez(tmp_path / "b.npz", lower=np.zeros((1, 4)), upper=np.ones((1, 4)))
    done = run("verify", "iris", "--box", tmp_path / "b.npz", "--witness", tmp_path / "x.npz")
    assert "nothing was asked" in done.stderr


def test_what_is_there_stays(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "w"
    asked = ("verify", "iris", "--sigma", 0.05, "--witness", target)
    run(*asked)
    before = {path.name: path.read_bytes() for path in target.iterdir()}
    earlier = next(iter(before.values()))
    (target / "sample-999.npz").write_bytes(earlier)
    (target / "sample-1.txt").write_bytes(b"of somebody")
    done = run(*asked)
    assert done.exit_code == 2
    assert "not overwritten" in done.stderr
    assert (target / "sample-999.npz").read_bytes() == earlier
    assert run(*asked, "--force").exit_code == 0
    after = {path.name: path.read_bytes() for path in target.iterdir()}
    assert after == before | {"sample-1.txt": b"of somebody"}


@pytest.mark.parametrize("name", ["sample-999.npz", "sample-999.png", "sample-1.png"])
def test_files_of_somebody_are_not_taken_for_ours(run: Run, tmp_path: Path, name: str) -> None:
    target = tmp_path / "w"
    asked = ("verify", "iris", "--sigma", 0.05, "--witness", target, "--force")
    assert run(*asked).exit_code == 0
    if name.endswith(".npz"):
        np.savez(target / name, x=np.zeros(3), y=np.zeros(3))
    else:
        (target / name).write_bytes(b"a photograph")
    before = {path.name: path.read_bytes() for path in target.iterdir()}
    done = run(*asked)
    assert done.exit_code == 2
    assert name in done.stderr
    assert done.stdout == ""
    assert {path.name: path.read_bytes() for path in target.iterdir()} == before


def test_the_data_are_never_overwritten(run: Run, identity: Path, tmp_path: Path) -> None:
    folder = tmp_path / "w"
    folder.mkdir()
    np.savez(folder / "sample-1.npz", x=np.array([[0.0, 2.0]], dtype=np.float32), y=[0])
    kept = (folder / "sample-1.npz").read_bytes()
    asked = ("verify", identity, "--data", folder / "sample-1.npz", "--radius", 0.1, "--force")
    for target in (folder, folder / "sample-1.npz"):
        assert run(*asked, "--witness", target).exit_code == 2
        assert (folder / "sample-1.npz").read_bytes() == kept


@pytest.mark.parametrize(
    "path", ["w.png", "w.json", "-", "", "none/w", "none/w.npz", "file/", "file/w"]
)
def test_paths_that_cannot_be(run: Run, tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_text("a file")
    where = path if path in ("-", "") else f"{tmp_path}/{path}"
    done = run("verify", "iris", "--samples", "0:1", "--sigma", 0.1, "--witness", where)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert (tmp_path / "file").read_text() == "a file"
    assert {each.name for each in tmp_path.iterdir()} == {"file"}


def test_one_path_has_one_use(run: Run, tmp_path: Path) -> None:
    asked = ("verify", "iris", "--samples", "0:1", "--sigma", 0.1)
    for json in (tmp_path / "w", tmp_path / "w" / "sample-3.npz"):
        assert run(*asked, "--witness", tmp_path / "w", "--json", json).exit_code == 2
    assert list(tmp_path.iterdir()) == []
