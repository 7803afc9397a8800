"""Networks that take images with their channels last, as those of Keras."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from sensverify.errors import BadShape
from sensverify.evaluation import evaluate
from sensverify.verification import verify

RNG = np.random.default_rng(0)
KERNEL = RNG.normal(size=(4, 3, 3, 3)).astype(np.float32)
DENSE = RNG.normal(size=(4 * 4 * 3, 2)).astype(np.float32)
FIRST, LAST = [3, 6, 5], [6, 5, 3]


def classifier(path: Path, shape: list[int]) -> Path:
    """One network, which takes its images with channels first or last."""
    turn = helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2])
    image = "t" if shape == LAST else "x"
    nodes = [
        *([turn] if shape == LAST else []),
        helper.make_node("Conv", [image, "k"], ["c"]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Flatten", ["r"], ["f"]),
        helper.make_node("MatMul", ["f", "d"], ["y"]),
    ]
    ends = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *sizes])]
        for name, sizes in (("x", shape), ("y", [2]))
    ]
    weights = [numpy_helper.from_array(KERNEL, "k"), numpy_helper.from_array(DENSE, "d")]
    graph = helper.make_graph(nodes, "g", *ends, weights)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("images")
    for name in ("cat", "dog"):
        (folder / name).mkdir()
        for place in range(3):
            pixels = RNG.integers(0, 256, (6, 5, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{place}.png")
    return folder


def test_folders_of_images_get_the_same_answers_in_both_orders(
    folder: Path, tmp_path: Path
) -> None:
    first, last = (
        verify(
            classifier(tmp_path / f"{name}.onnx", shape),
            data=str(folder),
            radius=2 / 255,
            dtype="float64",
        )
        for name, shape in (("first", FIRST), ("last", LAST))
    )
    assert len(first.samples) == 6
    for one, other in zip(first.samples, last.samples, strict=True):
        assert (one.label, one.prediction) == (other.label, other.prediction)
        np.testing.assert_allclose(one.lower, other.lower, rtol=1e-12)
        np.testing.assert_allclose(one.upper, other.upper, rtol=1e-12)
    assert "channels last" in str(last.perturbation.note)
    assert "channels last" not in str(first.perturbation.note)


def test_networks_of_both_orders_are_not_compared(folder: Path, tmp_path: Path) -> None:
    first = classifier(tmp_path / "first.onnx", FIRST)
    last = classifier(tmp_path / "last.onnx", LAST)
    found = evaluate(
        str(last), data=str(folder), attacks=(), corruptions=(), sequences=(), measures=()
    )
    assert found.samples == 6
    with pytest.raises(BadShape, match="another order"):
        evaluate([str(first), str(last)], data=str(folder))
