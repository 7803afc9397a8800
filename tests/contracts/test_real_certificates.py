"""Certificates of networks that others trained: from the file to the file, and checked again."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sensverify.bounds import AlphaCrown, Crown, LpDual, Method, compute_bounds, make_decider
from sensverify.certificates import (
    Certified,
    StoredModel,
    certificate_bytes,
    certify_bounds,
    certify_query,
    check_certificate,
    read_certificate,
)
from sensverify.core.box import Box
from sensverify.core.proof import Proof
from sensverify.core.queries import Query, Verdict
from sensverify.data.files import read_dataset
from sensverify.formats.onnx import load_onnx
from sensverify.formats.vnnlib import load_property
from sensverify.models import resolve
from sensverify.solvers.branch_and_bound import BranchAndBound
from sensverify.solvers.lp import Lp
from tests.contracts.attained import attained

LINEAR = (
    LpDual(),
    Crown(),
    AlphaCrown(steps=3),
    AlphaCrown(steps=3, intermediate=AlphaCrown(steps=3)),
)
NETWORKS = ("1_1", "1_5", "1_9", "2_3", "2_7", "3_1", "3_4", "3_5", "3_6", "3_8")
"""Of ACAS Xu."""


def few(values: Iterable[Any], quick: Collection[Any]) -> list[Any]:
    """All of them, those slow that are not among the quick ones."""
    marks = ((value, () if value in quick else pytest.mark.slow) for value in values)
    return [
        pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=mark)
        for value, mark in marks
    ]


def certified(path: Path, box: Box, method: Method, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """What a method claims of ``[C; -C]``, and what a checked certificate file says of it."""
    bounds = compute_bounds(load_onnx(path), box, method, proof=True)
    stored, outer = StoredModel.read(path), bounds.outer
    lower, upper = (end.reshape(box.batch, -1) for end in (box.lower, box.upper))
    outputs = outer.lower.shape[1]
    rows = np.concatenate([np.eye(outputs), -np.eye(outputs)])[None]
    wanted = np.concatenate([outer.lower.numpy(), -outer.upper.numpy()], axis=1)
    assert isinstance(bounds.certificate, Proof)
    found = certify_bounds(stored, lower, upper, rows, bounds.certificate, wanted=wanted)
    file = folder / "file.cert"
    file.write_bytes(certificate_bytes(found.certificate(stored, {})))
    certificate = read_certificate(file)
    checked = check_certificate(certificate, path)
    assert checked.claims == wanted.size
    return wanted, certificate.claims.limits


def assert_certified(path: Path, box: Box, method: Method, folder: Path, loss: float) -> None:
    """Attained values lie within; what is lost is at most a share of the widths."""
    wanted, limits = certified(path, box, method, folder)
    tensors = Box(torch.from_numpy(box.lower), torch.from_numpy(box.upper))
    values, size = attained(load_onnx(path), tensors)
    values, slack = values.numpy(), 1e-12 * size.numpy()
    low, high = np.split(limits, 2, axis=1)
    assert (values >= low - slack).all()
    assert (values <= -high + slack).all()
    width = -np.add(*np.split(wanted, 2, axis=1))
    assert (wanted - limits <= loss * np.tile(width, 2) + 1e-12 * size.numpy()).all(), method


def shipped(name: str, samples: int, radius: float | None) -> tuple[Path, Box]:
    found = resolve(name)
    data = read_dataset(found.sample_path)
    assert data.feature_range is not None
    center = data.x[:samples].astype(np.float64)
    own = 0.1 * data.feature_range.astype(np.float64) if radius is None else radius
    clip = None if radius is None else (0.0, 1.0)
    shape = load_onnx(found.path).input_shape
    box = Box.around(center.reshape(samples, -1), own, clip=clip)
    ends = (end.reshape(samples, *shape) for end in (box.lower, box.upper))
    return Path(found.path), Box(*ends)


@pytest.mark.parametrize("method", [*LINEAR, Lp(), BranchAndBound()], ids=lambda m: m.name)
def test_iris(method: Method, tmp_path: Path) -> None:
    path, box = shipped("iris", 10, None)
    assert_certified(
        path, box, method, tmp_path, 1e-5 if method.name == "branch-and-bound" else 1e-9
    )


@pytest.mark.parametrize("method", LINEAR, ids=lambda m: m.name)
@pytest.mark.parametrize("name", ["mnist-conv1", "mnist-conv2"])
def test_mnist_conv(name: str, method: Method, tmp_path: Path) -> None:
    path, box = shipped(name, 2, 0.05)
    assert_certified(path, box, method, tmp_path, 1e-9)


@pytest.mark.parametrize("method", [*LINEAR, Lp(seconds=5.0)], ids=lambda m: m.name)
def test_mnist_fc(data_dir: Path, method: Method, tmp_path: Path) -> None:
    path = data_dir / "vnncomp/mnist_fc/onnx/mnist-net_256x2.onnx.gz"
    _, box = shipped("mnist-conv1", 3, 0.01)
    shape = load_onnx(path).input_shape
    ends = (end.reshape(box.batch, *shape) for end in (box.lower, box.upper))
    assert_certified(path, Box(*ends), method, tmp_path, 1e-7)


@pytest.mark.parametrize("method", few([LpDual(), Crown()], [Crown()]), ids=lambda m: m.name)
def test_cifar_resnet(data_dir: Path, method: Method, tmp_path: Path) -> None:
    path = data_dir / "vnncomp/cifar10_resnet/onnx/resnet_2b.onnx.gz"
    with np.load(data_dir / "cifar10/cifar10_test_exact_uint8.npz") as images:
        image = images["x"][:1].transpose(0, 3, 1, 2) / 255.0
    mean = np.array([0.4914, 0.4822, 0.4465]).reshape(3, 1, 1)
    box = Box.around((image - mean) / 0.225, 1 / 255)
    assert_certified(path, box, method, tmp_path, 1e-8)


@pytest.mark.parametrize("name", ["conv_mp1", "mnist2x5_sigmoid"])
def test_max_pooling_and_sigmoids(data_dir: Path, name: str, tmp_path: Path) -> None:
    path = data_dir / f"nets/marabou/{name}.onnx"
    shape = load_onnx(path).input_shape
    center = np.random.default_rng(0).uniform(0, 1, (2, *shape))
    for method in (LpDual(), Crown()):
        assert_certified(path, Box.around(center, 0.005), method, tmp_path, 1e-8)


def acas(data_dir: Path, name: str) -> Path:
    return data_dir / f"vnncomp/acasxu/onnx/ACASXU_run2a_{name}_batch_2000.onnx.gz"


@pytest.mark.parametrize("name", few(NETWORKS, ("1_1", "2_7", "3_5")))
def test_acas_xu(data_dir: Path, name: str, tmp_path: Path) -> None:
    path = acas(data_dir, name)
    center = np.random.default_rng(1).uniform(-0.4, 0.4, (3, *load_onnx(path).input_shape))
    for method in (*LINEAR, Lp()):
        assert_certified(path, Box.around(center, 0.02), method, tmp_path, 1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_exact_ranges_of_acas_xu(data_dir: Path, name: str, tmp_path: Path) -> None:
    path = acas(data_dir, name)
    # Of the region that property 3 is about, where outputs move.
    center = np.array([-0.3, 0.0, 0.49, 0.4, 0.4]).reshape(1, *load_onnx(path).input_shape)
    for method in (BranchAndBound(seconds=10.0), BranchAndBound(seconds=10.0, split="neurons")):
        wanted, limits = certified(path, Box.around(center, 0.01), method, tmp_path)
        width = -np.add(*np.split(wanted, 2, axis=1))
        # Trees grow within bounds where the search has closed sub-boxes with optimised lines; .29
        # was the most seen. Where ReLUs are split, all lines are in the proof.
        share = 0.5 if method.split == "auto" else 1e-6
        loss = share * np.tile(width, 2) + 1e-9 * (1 + abs(wanted))
        assert (wanted - limits <= loss).all(), method


@pytest.mark.parametrize(
    ("name", "number"),
    few(product(NETWORKS, (1, 2, 3, 4)), [("1_1", 1), ("3_5", 1), ("3_5", 3)]),
)
def test_properties_of_acas_xu(data_dir: Path, name: str, number: int, tmp_path: Path) -> None:
    assert_refuted(data_dir, acas(data_dir, name), f"acasxu/vnnlib/prop_{number}", tmp_path)


def assert_refuted(data_dir: Path, path: Path, name: str, folder: Path) -> None:
    """Where branch and bound says unsat, a certificate says so and answers the property."""
    network, stored = load_onnx(path), StoredModel.read(path)
    asked = load_property(data_dir / f"vnncomp/{name}.vnnlib.gz")
    parts = []
    for case in asked.cases:
        shape = (1, *network.input_shape)
        box = Box(case.query.box.lower.reshape(shape), case.query.box.upper.reshape(shape))
        parts_of = (case.query.rows, case.query.limits, case.query.alternatives, case.query.strict)
        query = Query(box, *parts_of)
        decision = make_decider("branch-and-bound", seconds=60.0).decide(network, query)
        if decision.verdict is not Verdict.UNSAT:
            # Found otherwise, or not in time: there is nothing to certify.
            assert decision.certificate is None
            return
        assert isinstance(decision.certificate, Proof)
        found = certify_query(stored, query, decision.certificate)
        assert found is not None
        parts.append(found)
    file = folder / "file.cert"
    file.write_bytes(certificate_bytes(Certified.joined(parts).certificate(stored, {})))
    check_certificate(read_certificate(file), path, property=asked)
