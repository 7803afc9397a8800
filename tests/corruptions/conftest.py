"""Real images of three sizes, and the packages that some corruptions need."""

from __future__ import annotations

import importlib
import os
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

from sensverify.corruptions import CORRUPTIONS
from sensverify.data import load_data

OPTIONAL = {"frost": ("PIL", "imagecorruptions"), "jpeg": ("PIL",), "candidate-jpeg": ("PIL",)}


def need(*packages: str) -> None:
    """Skip without these packages, and fail where ``$CI`` is set."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        reason = f"{', '.join(missing)} is not installed: pip install '.[test]'"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(autouse=True)
def _packages(request: pytest.FixtureRequest) -> None:
    """A test of one corruption needs what that corruption needs."""
    callspec = getattr(request.node, "callspec", None)
    need(*OPTIONAL.get(callspec.params.get("name") if callspec else None, ()))


@pytest.fixture(params=list(CORRUPTIONS))
def name(request: pytest.FixtureRequest) -> str:
    """Every corruption in turn."""
    return request.param


@pytest.fixture
def every() -> tuple[str, ...]:
    """Every corruption, for a test that loops over them; it needs what any of them needs."""
    need(*{package for packages in OPTIONAL.values() for package in packages})
    return tuple(CORRUPTIONS)


def assert_close(found: Tensor, wanted: Tensor, where: object, **tolerances: float) -> None:
    """Says of a loop where it failed."""
    torch.testing.assert_close(found, wanted, msg=lambda text: f"{where}: {text}", **tolerances)


@pytest.fixture(scope="session")
def digits(data_dir: Path) -> Tensor:
    """100 images of MNIST, ``[100, 1, 28, 28]``."""
    return torch.as_tensor(load_data("mnist", data_dir=data_dir).x[:100])


@pytest.fixture(scope="session")
def objects(data_dir: Path) -> Tensor:
    """100 images of CIFAR-10, ``[100, 3, 32, 32]``."""
    with np.load(data_dir / "cifar10" / "cifar10_test_exact_uint8.npz") as stored:
        pixels = stored["x"][:100]
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().float() / 255


@pytest.fixture(scope="session")
def imagecorruptions() -> ModuleType:
    """The package with the benchmark's functions, with OpenCV and compiled code."""
    need("imagecorruptions", "cv2", "numba")
    return importlib.import_module("imagecorruptions.corruptions")


@pytest.fixture(scope="session")
def photographs() -> Tensor:
    """Two photographs, ``[2, 3, 224, 224]``, their values whole multiples of 1/255."""
    need("PIL", "sklearn")
    from PIL import Image
    from sklearn.datasets import load_sample_images

    images = load_sample_images().images
    cut = [np.array(Image.fromarray(image[:420, :420]).resize((224, 224))) for image in images]
    return torch.from_numpy(np.stack(cut)).permute(0, 3, 1, 2).contiguous().float() / 255
