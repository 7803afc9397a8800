"""Comparisons of two networks: what is proven of them, and what is found."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from sensverify.core.gates import GateVerdict
from sensverify.errors import BadSetting, BadShape, UnknownName
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import Affine, Relu
from sensverify.runs.watch import Watch
from sensverify.verification import DiffRequest, diff
from sensverify.verification.comparison.results import disagreements
from tests.mlp_files import save_mlp_file

Layers = list[tuple[np.ndarray, np.ndarray]]


def layers_of(seed: int = 0, outputs: int = 3) -> Layers:
    rng, sizes = np.random.default_rng(seed), (4, 12, 12, outputs)
    return [
        (rng.normal(size=(o, i)).astype(np.float32) / i**0.5, rng.normal(size=o).astype(np.float32))
        for i, o in pairwise(sizes)
    ]


def moved(layers: Layers, size: float) -> Layers:
    rng = np.random.default_rng(9)
    return [(w + size * rng.normal(size=w.shape).astype(np.float32), b) for w, b in layers]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A network and a changed one."""
    layers = layers_of()
    old = save_mlp_file(tmp_path / "old.onnx", *layers)
    return old, save_mlp_file(tmp_path / "new.onnx", *moved(layers, 0.01))


def samples(count: int = 12) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(count, 4)).astype(np.float32)


def run_file(path: Path, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x.astype(np.float32)})[0]


@pytest.mark.parametrize("method", ["crown", "ibp", "lp-dual", "branch-and-bound"])
def test_differences_lie_in_their_intervals(files: tuple[Path, Path], method: str) -> None:
    x, radius = samples(2), 0.05
    report = diff(*files, x, radius=radius, method=method, timeout=20.0)
    rng = np.random.default_rng(2)
    for sample, center in zip(report.samples, x, strict=True):
        points = center + radius * rng.uniform(-1, 1, (200, 4))
        found = run_file(files[1], points) - run_file(files[0], points)
        assert (sample.lower - 1e-5 <= found).all()
        assert (found <= sample.upper + 1e-5).all()
        assert (sample.lower <= sample.attained_lower).all()
        assert (sample.attained_upper <= sample.upper).all()
    assert report.paired


def test_branch_and_bound_is_exact(files: tuple[Path, Path]) -> None:
    wide = diff(*files, samples(2), radius=0.1)
    exact = diff(*files, samples(2), radius=0.1, method="branch-and-bound")
    for loose, tight in zip(wide.samples, exact.samples, strict=True):
        assert tight.exact
        assert not loose.exact
        assert tight.width <= loose.width + 1e-9
        size = 1e-5 * (1 + tight.largest)
        assert (tight.lower >= tight.attained_lower - size - 0.05 * tight.width).all()


def test_decisions(files: tuple[Path, Path]) -> None:
    """What agrees does so at sampled inputs; what differs does so in both files."""
    x, radius = samples(40), 0.05
    report = diff(*files, x, radius=radius)
    rng = np.random.default_rng(3)
    assert report.counts["agrees"] > 0
    assert report.counts["differs"] > 0
    for sample, center in zip(report.samples, x, strict=True):
        if sample.agreement == "agrees":
            points = center + radius * rng.uniform(-1, 1, (300, 4))
            pair = [run_file(path, points).argmax(axis=1) for path in files]
            assert (pair[0] == pair[1]).all()
        found = sample.disagreement
        assert (found is not None) == (sample.agreement == "differs")
        if found is not None:
            assert (abs(found.input - center) <= radius).all()
            pair = [run_file(path, found.input[None])[0] for path in files]
            assert [each.argmax() for each in pair] == [found.old, found.new]
            assert found.old != found.new
    arrays = disagreements(report)
    assert len(arrays["x"]) == report.counts["differs"]


def test_samples_themselves_are_compared_without_a_radius(files: tuple[Path, Path]) -> None:
    x = samples(30)
    report = diff(*files, x)
    outputs = [run_file(path, x) for path in files]
    differ = outputs[0].argmax(axis=1) != outputs[1].argmax(axis=1)
    for sample, first, second, apart in zip(report.samples, *outputs, differ, strict=True):
        np.testing.assert_allclose(sample.lower, second - first, atol=1e-5)
        np.testing.assert_allclose(sample.upper, second - first, atol=1e-5)
        assert sample.agreement == ("differs" if apart else "agrees")


def test_the_same_network_agrees_with_itself_whatever_the_input(files: tuple[Path, Path]) -> None:
    report = diff(files[0], files[0], samples(), radius=2.0)
    assert report.same
    assert report.largest == 0.0
    assert report.counts["agrees"] == 12


def test_a_permuted_copy_agrees(tmp_path: Path, files: tuple[Path, Path]) -> None:
    layers, rng = layers_of(), np.random.default_rng(0)
    order = rng.permutation(12)
    (one, bias), (two, other), last = layers
    new = save_mlp_file(
        tmp_path / "mixed.onnx", (one[order], bias[order]), (two[:, order], other), last
    )
    report = diff(files[0], new, samples(), radius=2.0)
    assert report.permuted
    assert report.largest == 0.0


def test_gates(files: tuple[Path, Path]) -> None:
    x = samples(12)
    verdicts = {}
    for name, limit in (
        ("min_agreement", 0.0),
        ("min_agreement", 1.0),
        ("max_disagreement", 1.0),
        ("max_difference", 1e9),
        ("max_difference", 1e-9),
    ):
        report = diff(*files, x, radius=0.3, **{name: limit})
        (gate,) = report.gates
        verdicts[name, limit] = gate.verdict, report.exit_status
    assert verdicts["min_agreement", 0.0] == (GateVerdict.PASSED, 0)
    assert verdicts["min_agreement", 1.0] == (GateVerdict.FAILED, 1)
    assert verdicts["max_disagreement", 1.0] == (GateVerdict.PASSED, 0)
    assert verdicts["max_difference", 1e9] == (GateVerdict.PASSED, 0)
    assert verdicts["max_difference", 1e-9] == (GateVerdict.FAILED, 1)


def test_what_is_not_reached_is_undecided(files: tuple[Path, Path]) -> None:
    watch = Watch()
    watch.stop()
    report = diff(*files, samples(300), radius=0.01, watch=watch, min_agreement=0.0)
    assert report.interrupted
    assert len(report.samples) < 300
    assert report.exit_status == 3 or report.gates[0].verdict is GateVerdict.PASSED
    assert report.counts["undecided"] >= 300 - len(report.samples)


def other(seed: int, outputs: int = 3, inputs: int = 4) -> Network:
    rng, builder = np.random.default_rng(seed), NetworkBuilder((inputs,))
    node = builder.add(Relu(), builder.add(Affine(rng.normal(size=(5, inputs))), 0))
    return builder.build(builder.add(Affine(rng.normal(size=(outputs, 5))), node))


def test_objects_and_other_structures(files: tuple[Path, Path]) -> None:
    report = diff(files[0], other(0), samples(3), radius=0.01)
    assert not report.paired
    assert report.apart
    module = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3))
    assert diff(module, other(0), samples(3), radius=0.01).paired


def test_one_output_makes_no_decision() -> None:
    report = diff(other(0, 1), other(1, 1), samples(3), radius=0.1, max_difference=1e9)
    assert report.counts["unasked"] == 3
    with pytest.raises(BadSetting, match="decision"):
        diff(other(0, 1), other(1, 1), samples(3), radius=0.1, min_agreement=0.5)


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"new": other(0, 2)}, BadShape),
        ({"new": other(0, 3, 5)}, BadShape),
        ({"new": None}, BadSetting),
        ({"radius": 0.1, "sigma": 0.1}, BadSetting),
        ({"min_agreement": 1.5}, BadSetting),
        ({"max_difference": -1.0}, BadSetting),
        ({"max_difference": "nan"}, BadSetting),
        ({"min_agreement": "baseline-1%"}, BadSetting),
        ({"method": "nonsense"}, UnknownName),
    ],
)
def test_bad_input(settings: dict[str, object], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        diff(other(0), **{"new": other(1), "x": samples(2), **settings})


def test_a_request_is_whole() -> None:
    request = DiffRequest(old=other(0), new=other(1), data=(samples(2), None), radius=0.0)
    assert len(diff(request).samples) == 2
    with pytest.raises(BadSetting):
        diff(request, other(1))
