"""Sets of corrupted images in their three layouts, and what is wrong with files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sensverify.data.corrupted import find_corrupted
from sensverify.errors import BadData, BadSetting, BadShape, UnknownName
from tests.pairwise import pairwise

CLEAN = np.array([3, 8, 8, 0, 6, 6, 1])
SAMPLES = len(CLEAN)


def pixels(count: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)


@pytest.fixture
def cifar(tmp_path: Path) -> Path:
    """Two corruptions of seven samples in five severities, as CIFAR-10-C stores them."""
    folder = tmp_path / "CIFAR-10-C"
    folder.mkdir()
    for name in ("gaussian_noise", "jpeg_compression"):
        np.save(folder / f"{name}.npy", pixels(5 * SAMPLES, 32, 32, 3))
    np.save(folder / "labels.npy", np.tile(CLEAN, 5).astype(np.uint8))
    return folder


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    """Two corruptions of one severity, as MNIST-C stores them."""
    for name in ("glass_blur", "identity"):
        folder = tmp_path / "mnist_c" / name
        folder.mkdir(parents=True)
        np.save(folder / "test_images.npy", pixels(SAMPLES, 28, 28, 1))
        np.save(folder / "test_labels.npy", CLEAN.astype(np.int64))
    return tmp_path / "mnist_c"


def test_cifar_layout_by_name(cifar: Path) -> None:
    found = find_corrupted("cifar-10-c", data_dir=cifar.parent)
    assert found.folder == cifar
    assert found.corruptions == {"gaussian-noise": 5, "jpeg": 5}
    stored = np.load(cifar / "gaussian_noise.npy")
    chosen = [5, 0, 2]
    x, y = found.read("gaussian-noise", 3, indices=chosen, labels=CLEAN[chosen])
    assert (x.dtype, x.shape, y.dtype) == (np.float32, (3, 3, 32, 32), np.int64)
    wanted = stored[2 * SAMPLES + np.array(chosen)].transpose(0, 3, 1, 2) / 255
    np.testing.assert_allclose(x, wanted, rtol=1e-6)
    assert (x.min(), x.max()) == (0.0, 1.0)
    assert y.tolist() == CLEAN[chosen].tolist()


def test_mnist_layout_by_name_and_by_path(mnist: Path) -> None:
    for found in (find_corrupted("mnist-c", data_dir=mnist.parent), find_corrupted(mnist)):
        assert found.corruptions == {"glass-blur": 1, "identity": 1}
        x, y = found.read("glass-blur", labels=CLEAN)
        assert x.shape == (SAMPLES, 1, 28, 28)
        assert y.tolist() == CLEAN.tolist()


@pairwise(
    labels=["once", "for each severity"],
    shape=[(9, 8), (9, 8, 1), (9, 8, 3), (3, 9, 8), (1, 9, 8)],
    severities=[1, 5],
)
def test_any_folder(tmp_path: Path, labels: str, shape: tuple[int, ...], severities: int) -> None:
    images = pixels(severities * SAMPLES, *shape)
    np.save(tmp_path / "rain.npy", images)
    (tmp_path / "readme.txt").write_text("nothing")
    (tmp_path / "._rain.npy").write_bytes(b"left by some file system")
    np.save(tmp_path / "labels.npy", CLEAN if labels == "once" else np.tile(CLEAN, severities))
    found = find_corrupted(tmp_path)
    assert found.corruptions == {"rain": severities}
    x, _ = found.read("rain", severities, labels=CLEAN)
    last = images[-SAMPLES:]
    if len(shape) == 2:
        last = last[:, None]
    elif shape[2] in (1, 3):
        last = last.transpose(0, 3, 1, 2)
    np.testing.assert_allclose(x, last / 255, rtol=1e-6)


def test_the_number_of_samples_can_be_said(tmp_path: Path) -> None:
    # Ten samples of one class and one severity look like two of five.
    np.save(tmp_path / "rain.npy", pixels(10, 8, 8))
    np.save(tmp_path / "labels.npy", np.zeros(10, dtype=np.int64))
    assert find_corrupted(tmp_path).corruptions == {"rain": 5}
    assert find_corrupted(tmp_path, samples=10).corruptions == {"rain": 1}
    with pytest.raises(BadData, match=r"10 images.* 10 labels.* 4"):
        find_corrupted(tmp_path, samples=4)


def test_only_the_chosen_images_are_read(cifar: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    real = np.memmap.__getitem__

    def counted(self: np.memmap, index: Any) -> Any:
        part = real(self, index)
        seen.append(len(part))
        return part

    monkeypatch.setattr(np.memmap, "__getitem__", counted)
    find_corrupted(cifar).read("jpeg", 5, indices=[1, 4])
    assert seen == [2]


def test_other_samples_are_seen_by_their_labels(cifar: Path) -> None:
    found = find_corrupted(cifar)
    with pytest.raises(BadData, match=r"sample 2 .* 8 .* 7 "):
        found.read("jpeg", 1, indices=[0, 2], labels=[3, 7])
    with pytest.raises(BadShape, match="2 samples need as many labels"):
        found.read("jpeg", 1, indices=[0, 2], labels=[3])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"corruption": "fog"}, UnknownName, "no corruption 'fog'; it has gaussian-noise, jpeg"),
        ({"severity": 6}, BadSetting, "severities from 1 to 5, got 6"),
        ({"severity": 0}, BadSetting, "got 0"),
        ({"indices": [7]}, BadData, "samples from 0 to 6, asked for 7"),
        ({"indices": [-1]}, BadData, "asked for -1"),
        ({"indices": []}, BadShape, "list of whole numbers"),
        ({"indices": [0.5]}, BadShape, "list of whole numbers"),
    ],
)
def test_what_is_not_there(
    cifar: Path, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        find_corrupted(cifar).read(**{"corruption": "jpeg", "severity": 1, **arguments})


def test_no_set_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENSVERIFY_DATA", str(tmp_path / "nothing"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "nothing"))
    with pytest.raises(BadData, match="'cifar-10-c'"):
        find_corrupted("cifar-10-c")
    with pytest.raises(UnknownName, match="there are cifar-10-c, mnist-c"):
        find_corrupted(str(tmp_path / "nowhere"))
    with pytest.raises(BadData, match="holds no corrupted images"):
        find_corrupted(tmp_path)


class Hostile:
    """Runs code where it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return pytest.fail, ("unpickled",)


def header(shape: str, dtype: str = "|u1") -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


DAMAGED = [
    b"",
    b"PK\x03\x04 a zip file",
    header("(35, 8, 8)"),
    header("(35, 8, 8)") + bytes(35 * 64 - 1),
    header("(-35, 8, 8)") + bytes(35 * 64),
    header("(35, -8, 8)") + bytes(35 * 64),
    header("(35, -8, -8)") + bytes(35 * 64),
    header(f"({10**30}, 8, 8)") + bytes(64),
    header(f"({2**62}, 4, 4)") + bytes(64),
    header("(35, 8, 8)", "<f4") + bytes(35 * 256),
    header("(35, 64)") + bytes(35 * 64),
    header("(35, 0, 8)"),
    header("(35, 8, 8", "|u1") + bytes(35 * 64),
    header("__import__('os').abort()") + bytes(64),
]


@pytest.mark.parametrize("content", DAMAGED, ids=range(len(DAMAGED)))
def test_damaged_images(cifar: Path, content: bytes) -> None:
    (cifar / "fog.npy").write_bytes(content)
    for samples in (None, SAMPLES):
        with pytest.raises(BadData, match=r"fog\.npy"):
            find_corrupted(cifar, samples=samples)


def test_nothing_is_unpickled(cifar: Path) -> None:
    hostile = np.empty(35, dtype=object)
    hostile[:] = [Hostile()] * 35
    np.save(cifar / "fog.npy", hostile, allow_pickle=True)
    with pytest.raises(BadData, match=r"fog\.npy"):
        find_corrupted(cifar)
    (cifar / "fog.npy").rename(cifar / "labels.npy")
    with pytest.raises(BadData, match=r"labels\.npy"):
        find_corrupted(cifar)


@pytest.mark.parametrize(
    "labels",
    [
        np.arange(34),
        np.zeros((35, 2), dtype=np.int64),
        np.full(35, -1),
        np.full(35, 0.5),
        np.zeros(0, dtype=np.int64),
    ],
    ids=lambda labels: f"{labels.dtype}{labels.shape}",
)
def test_labels_that_do_not_fit(cifar: Path, labels: np.ndarray) -> None:
    np.save(cifar / "labels.npy", labels)
    with pytest.raises(BadData, match=r"labels\.npy"):
        find_corrupted(cifar)


def test_a_file_that_is_gone(cifar: Path, mnist: Path) -> None:
    found = find_corrupted(cifar)
    (cifar / "gaussian_noise.npy").unlink()
    with pytest.raises(BadData, match=r"gaussian_noise\.npy"):
        found.read("gaussian-noise")
    (mnist / "identity" / "test_labels.npy").unlink()
    with pytest.raises(BadData, match=r"test_labels\.npy"):
        find_corrupted(mnist)
