"""Replaying inputs through the original file."""

from __future__ import annotations

import gzip
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from sensverify.core.box import Box
from sensverify.verification.replay import Replay


def save(path: Path, batch: int | str = "batch", kind: int = TensorProto.FLOAT) -> Path:
    """A model whose outputs are its two inputs."""
    ends = [helper.make_tensor_value_info(name, kind, [batch, 2]) for name in "xy"]
    node = helper.make_node("Identity", ["x"], ["y"])
    graph = helper.make_graph([node], "net", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    contents = model.SerializeToString()
    path.write_bytes(gzip.compress(contents) if path.suffix == ".gz" else contents)
    return path


def confirmed(replay: Replay, points: np.ndarray, box: Box, labels: np.ndarray) -> np.ndarray:
    found = replay.counterexamples(points, box, labels)
    return np.array([each is not None for each in found])


POINTS = np.array([[1.0, 2.0], [2.0, 1.0], [1.0, 1.0]])
BOX = Box(POINTS - 1, POINTS + 1)


@pytest.mark.parametrize("name", ["net.onnx", "net.onnx.gz"])
@pytest.mark.parametrize("batch", ["batch", 1, 8])
@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16])
def test_only_a_larger_other_output_confirms(
    tmp_path: Path, name: str, batch: int | str, kind: int
) -> None:
    replay = Replay(save(tmp_path / name, batch, kind))
    # A tie confirms nothing.
    assert confirmed(replay, POINTS, BOX, np.zeros(3, np.int64)).tolist() == [True, False, False]
    assert confirmed(replay, POINTS, BOX, np.ones(3, np.int64)).tolist() == [False, True, False]


def test_the_replayed_point_is_in_the_box(tmp_path: Path) -> None:
    replay = Replay(save(tmp_path / "net.onnx"))
    point, label = np.array([[0.1, 0.3]]), np.array([0])
    # float32 holds neither number; rounded to the nearest, 0.1 is above itself, 0.3 too.
    assert not confirmed(replay, point, Box(point, point), label)[0]
    assert confirmed(replay, point, Box(point - 1e-6, point), label)[0]
    assert confirmed(replay, point, Box(point, point + 1e-6), label)[0]


def test_what_overflows_confirms_nothing(tmp_path: Path) -> None:
    replay = Replay(save(tmp_path / "net.onnx", kind=TensorProto.FLOAT16))
    point = np.array([[0.0, 1e6]])
    assert not confirmed(replay, point, Box(point, point + 1), np.array([0]))[0]


def test_a_file_that_cannot_be_run_confirms_nothing_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = save(tmp_path / "net.onnx")
    model = onnx.load(path)
    model.graph.node[0].domain = "nowhere"
    model.opset_import.append(helper.make_opsetid("nowhere", 1))
    path.write_bytes(model.SerializeToString())
    replay = Replay(path)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert not confirmed(replay, POINTS, BOX, np.zeros(3, np.int64)).any()
    assert [record.name for record in caplog.records] == ["sensverify.verification.replay"]


def test_onnxruntime_is_loaded_only_to_replay() -> None:
    """Sample 22 of iris is certified, 23 changes."""
    code = (
        "import sys; from sensverify.cli.main import main\n"
        "for sample in ('22', '23'):\n"
        "    try: main(['verify', 'iris', '--samples', sample, '--no-runtime-check'])\n"
        "    except SystemExit as end: print('loaded', end.code, 'onnxruntime' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = [line for line in done.stdout.splitlines() if line.startswith("loaded")]
    assert found == ["loaded 0 False", "loaded 0 True"]
    assert done.stderr == ""


def test_outputs_of_a_point(tmp_path: Path) -> None:
    replay = Replay(save(tmp_path / "net.onnx"))
    found = replay.outputs(np.array([0.5, 9.0]), np.zeros(2), np.ones(2))
    assert found is not None
    # Moved into the box.
    assert found.point.tolist() == found.outputs.tolist() == [0.5, 1.0]
    assert (found.point.dtype, found.outside) == (np.float32, 0)


def test_the_nearest_number_only_where_it_is_asked_for(tmp_path: Path) -> None:
    replay = Replay(save(tmp_path / "net.onnx"))
    lower, upper = np.array([0.1, 0.0]), np.array([0.1, 0.3])
    point = np.array([0.1, 0.3])
    assert replay.outputs(point, lower, upper) is None
    found = replay.outputs(point, lower, upper, nearest=True)
    assert found is not None
    # float32 has 0.3 only rounded up, and a number just below it; 0.1 has none.
    assert found.point[0] == np.float32(0.1)
    assert found.point[1] < 0.3
    assert found.outside == 1


def test_no_number_is_near_to_an_empty_box_or_to_nan(tmp_path: Path) -> None:
    replay = Replay(save(tmp_path / "net.onnx"))
    zero = np.zeros(2)
    assert replay.outputs(zero, zero + 1, zero, nearest=True) is None
    assert replay.outputs(zero * np.nan, zero, zero + 1, nearest=True) is None
    assert not replay.failed
