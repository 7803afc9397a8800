"""Certificates of the difference of two models: the steps of both, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sensverify.bounds import forward_pass
from sensverify.certificates import (
    StoredModel,
    StoredPair,
    check_certificate,
    read_about,
    read_certificate,
)
from sensverify.certificates.check.arithmetic import Rigorous
from sensverify.certificates.check.difference import program_of_two
from sensverify.certificates.check.layers import Layers
from sensverify.certificates.check.program import Program, program_of
from sensverify.certificates.check.ranges import Machine
from sensverify.certificates.check.reordering import Order, reordered
from sensverify.certificates.check.subtracting import difference
from sensverify.core.box import Box
from sensverify.errors import BadCertificate, BadSetting, BadShape, CertificateRejected
from sensverify.network import Network, NetworkBuilder
from sensverify.network.joint import join
from sensverify.network.operators import (
    Affine,
    BatchNorm,
    Clip,
    Divide,
    Exp,
    Gelu,
    LeakyRelu,
    Max,
    Operator,
    Product,
    Reciprocal,
    Relu,
    Reshape,
    Round,
    Scale,
    Share,
    Sigmoid,
    Sin,
)
from sensverify.verification import diff
from tests.certificates.mutations import packed, unpacked
from tests.contracts.networks import NETWORKS, Case, cases, dense
from tests.mlp_files import save_mlp_file

REFUSED = (BadCertificate, CertificateRejected)
Header = dict[str, Any]


def moved(network: Network, rng: np.random.Generator, size: float) -> Network:
    """The same graph with other float32 numbers."""

    def move(values: np.ndarray) -> np.ndarray:
        if values.dtype.kind != "f":
            return values
        return (values + size * rng.normal(size=values.shape)).astype(np.float32)

    return network.map_arrays(move)


def image(program: Program, lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the program's outputs may be on boxes."""
    evaluation = Layers(Machine(program, Rigorous())).start(lower, upper)
    for position, step in program.nonlinear:
        evaluation.run(step.source)
        found = evaluation.interval(step.source)
        evaluation.relax(position, step, *found, step.function.rule_slopes(*found))
    evaluation.run(len(program.steps) - 1)
    return evaluation.interval(len(program.steps) - 1)


def assert_both(old: Network, new: Network, box: Box, *, paired: bool) -> Program:
    """At points, the program is both networks but for rounding; on boxes it holds their values."""
    program = program_of_two(program_of(old), program_of(new), paired=paired)
    points = np.concatenate([box.lower, box.upper, (box.lower + box.upper) / 2])
    first, second = (
        forward_pass(net.map_arrays(lambda v: v.astype(np.float64) if v.dtype.kind == "f" else v),
                     torch.from_numpy(points)).flatten(1).numpy()
        for net in (old, new)
    )  # fmt: skip
    wanted = np.concatenate([first, second - first], axis=1)
    flat = points.reshape(len(points), -1)
    size = 1e-9 * (1 + abs(wanted).max())
    low, high = image(program, flat, flat)
    assert (abs(low - wanted) <= size).all()
    assert (abs(high - wanted) <= size).all()
    low, high = image(program, *(end.reshape(box.batch, -1) for end in (box.lower, box.upper)))
    values = wanted.reshape(3, box.batch, -1)
    assert (low - size <= values).all()
    assert (values <= high + size).all()
    return program


@pytest.mark.parametrize("family", NETWORKS)
@given(data=st.data())
@settings(max_examples=5)
def test_the_steps_are_those_of_both(family: str, data: st.DataObject) -> None:
    case: Case = data.draw(cases(NETWORKS[family]))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    old = case.network
    new = moved(old, rng, data.draw(st.sampled_from([0.0, 1e-6, 0.1])))
    for paired in (True, False):
        assert_both(old, new, case.box, paired=paired)
        # Bounds that were found on the joint network have their counterparts here.
        joint = join(old, new, pair=paired)
        orders = [Order(n, tuple(order.tolist())) for n, order in joint.orders.items()]
        turned = reordered(program_of(new), orders)
        program = program_of_two(program_of(old), turned, paired=paired)
        known = program_of(joint.network)
        kinds = [
            [(type(s.function.operator), s.size, s.window) for _, s in each.nonlinear]
            for each in (program, known)
        ]
        assert kinds[0] == kinds[1]


def around(*operators: Operator, size: int = 4) -> Callable[[np.random.Generator], Network]:
    """A layer, these operators, and a layer."""

    def make(rng: np.random.Generator) -> Network:
        builder = NetworkBuilder((3,))
        first = dense(rng, size, 3)
        node = builder.add(Affine(first.weight, first.bias), builder.input)
        for operator in operators:
            node = builder.add(operator, node)
        inner = int(np.prod(builder.shape(node)))
        node = builder.add(Reshape((inner,)), node)
        return builder.build(builder.add(Affine(dense(rng, 2, inner).weight, None), node))

    return make


CHAINS = {
    "smooth": around(Gelu()),
    "wave": around(Sin()),
    "sigmoid": around(Sigmoid()),
    "exp": around(Exp()),
    "steps": around(Round()),
    "clip": around(Clip(-0.5, 0.5)),
    "leaky": around(LeakyRelu(np.array([0.1, -0.2, 0.3, 2.0], np.float32))),
    "product": around(Reshape((2, 2)), Product()),
    "reciprocal": around(Relu(), Scale(None, np.float32(1.5)), Reciprocal()),
    "share": around(Reshape((2, 3)), Share(), size=6),
    "maximum": around(Reshape((2, 3)), Max(), size=6),
    "divide": around(Divide(np.array([2.0, 3.0, -1.5, 0.25], np.float32)), Relu()),
    "batch norm": around(
        Reshape((2, 2)),
        BatchNorm(
            *(np.array(v, np.float32) for v in ([0.1, 0.2], [1.0, 2.0], [1.5, -1], [0, 1])), 0.1
        ),
        Relu(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("size", [0.0, 1e-3])
@pytest.mark.parametrize("name", CHAINS)
def test_every_kind_of_step_is_that_of_both(name: str, size: float) -> None:
    rng = np.random.default_rng(0)
    old = CHAINS[name](rng).map_arrays(lambda v: v.astype(np.float32) if v.dtype.kind == "f" else v)
    new = moved(old, rng, size)
    center = rng.normal(size=(2, 3))
    box = Box(center - 1e-3, center + 1e-3)
    assert_both(old, new, box, paired=True)
    assert_both(old, new, box, paired=False)


def test_other_steps_are_not_paired() -> None:
    rng = np.random.default_rng(0)
    old, new = (program_of(CHAINS[name](rng)) for name in ("smooth", "wave"))
    with pytest.raises(BadSetting, match="pair"):
        program_of_two(old, new, paired=True)
    wide = program_of(around(Relu(), size=7)(rng))
    with pytest.raises(BadSetting):
        program_of_two(program_of(around(Relu())(rng)), wide, paired=True)
    more = program_of(NetworkBuilder((2,)).build(0))
    with pytest.raises(BadShape):
        program_of_two(old, more, paired=False)


def test_slopes_that_spread_otherwise_over_another_shape_differ() -> None:
    """Both store the same numbers in steps of the same sizes, and compute other functions."""

    def network(shape: tuple[int, ...]) -> Network:
        builder = NetworkBuilder((12,))
        slopes = np.array([0.5, -1.0]).reshape(1, 2, 1)
        return builder.build(
            builder.add(
                Reshape((12,)), builder.add(LeakyRelu(slopes), builder.add(Reshape(shape), 0))
            )
        )

    old, new = network((2, 2, 3)), network((3, 2, 2))
    program = assert_both(old, new, Box(-np.ones((1, 12)), np.ones((1, 12))), paired=True)
    assert program.entries > program_of(old).entries
    same = assert_both(old, old, Box(-np.ones((1, 12)), np.ones((1, 12))), paired=True)
    assert same.entries == program_of(old).entries


def test_differences_are_exact_where_they_overflow() -> None:
    old, new = np.array([1.5e308, 1.0, 0.1]), np.array([-1.5e308, 1.0 + 2**-52, 0.3])
    for before, after, *parts in zip(old, new, *difference(old, new), strict=True):
        assert sum(map(Fraction, parts)) == Fraction(after) - Fraction(before)


def layers(size: float = 0.0) -> list[tuple[np.ndarray, np.ndarray]]:
    rng, more = np.random.default_rng(0), np.random.default_rng(1)
    shapes = ((8, 4), (8, 8), (3, 8))
    return [
        ((rng.normal(size=s) / 2 + size * more.normal(size=s)).astype(np.float32),
         rng.normal(size=s[0]).astype(np.float32))
        for s in shapes
    ]  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("two")
    old = save_mlp_file(folder / "old.onnx", *layers())
    return old, save_mlp_file(folder / "new.onnx", *layers(1e-3))


@pytest.fixture(scope="module")
def data(files: tuple[Path, Path]) -> bytes:
    x = np.random.default_rng(2).normal(size=(2, 4)).astype(np.float32)
    report = diff(*files, x, radius=0.05, rigorous=True)
    assert report.certificate is not None
    return report.certificate.data


def check(data: bytes, models: tuple[Path, Path], folder: Path, **more: Any) -> None:
    """Both ways in: with the models read before the certificate, and after it."""
    file = folder / "diff.cert"
    file.write_bytes(data)
    ending, stated = read_about(file)
    old = StoredModel.read_for(ending, models[0])
    pair = StoredPair.read_for(stated, old, models[1])
    check_certificate(read_certificate(file, model=pair), old, pair.new, **more)
    check_certificate(read_certificate(file), *models, **more)


@pytest.mark.parametrize("arithmetic", ["rigorous", "exact"])
def test_claims_about_two_models_are_checked(
    arithmetic: str, data: bytes, files: tuple[Path, Path], tmp_path: Path
) -> None:
    check(data, files, tmp_path, arithmetic=arithmetic)


def test_files_that_do_not_pair_are_not_those_of_a_paired_certificate(
    data: bytes, files: tuple[Path, Path], tmp_path: Path
) -> None:
    header, arrays = unpacked(data)
    other = save_mlp_file(tmp_path / "longer.onnx", *layers(), (np.eye(3), np.zeros(3)))
    stored = StoredModel.read(other)
    header["new"].update(sha256=stored.sha256)
    with pytest.raises(CertificateRejected, match="not as the certificate has them"):
        check(packed(header, arrays), (files[0], other), tmp_path)


@pytest.mark.parametrize("place", [0, 1])
def test_other_files_are_refused(
    place: int, data: bytes, files: tuple[Path, Path], tmp_path: Path
) -> None:
    """A weight of either that is one unit off, and both in the other order."""
    changed = layers(1e-3 * place)
    changed[1][0][0, 0] = np.nextafter(changed[1][0][0, 0], np.float32(9))
    other = save_mlp_file(tmp_path / "other.onnx", *changed)
    models = (other, files[1]) if place == 0 else (files[0], other)
    for wrong in (models, files[::-1], (files[place], files[place])):
        with pytest.raises(CertificateRejected, match="SHA-256"):
            check(data, wrong, tmp_path)


def test_one_file_is_not_enough_and_two_are_too_many(
    data: bytes, files: tuple[Path, Path], tmp_path: Path
) -> None:
    file = tmp_path / "diff.cert"
    file.write_bytes(data)
    with pytest.raises(BadSetting, match="two models"):
        check_certificate(read_certificate(file), files[0])
    with pytest.raises(CertificateRejected, match="two models"):
        read_certificate(file, model=StoredModel.read(files[0]))
    header, arrays = unpacked(data)
    del header["new"]
    header["schema"] = "sensverify.certificate/1"
    file.write_bytes(packed(header, arrays))
    with pytest.raises(BadCertificate):
        read_certificate(file)


def put(*path: str, value: Any) -> Callable[[Header], None]:
    def change(header: Header) -> None:
        for key in path[:-1]:
            header = header[key]
        header[path[-1]] = value

    return change


HEADERS: dict[str, Callable[[Header], object]] = {
    "beside each other": put("new", "paired", value=False),
    "pairs by a number": put("new", "paired", value=1),
    "no word of pairs": lambda h: h["new"].pop("paired"),
    "another digest": put("new", "sha256", value="0" * 64),
    "no digest": lambda h: h["new"].pop("sha256"),
    "other inputs": put("new", "inputs", value=[5]),
    "other outputs": put("new", "outputs", value=[2]),
    "one output more": put("model", "outputs", value=[4]),
    "more files": put("new", "external", value={"weights.bin": "0" * 64}),
    "an end": put("new", "ending", value={"value": "y", "operators": ["Softmax"], "halves": False}),
    "an end that is none": put("new", "ending", value="y"),
    "more fields": put("new", "also", value=1),
    "a list": put("new", value=[]),
    "nothing": put("new", value=None),
    "first version": put("schema", value="sensverify.certificate/1"),
    "logits": put("schema", value="sensverify.certificate/2"),
    "sets": put("schema", value="sensverify.certificate/3"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_other_headers_are_refused(
    name: str, data: bytes, files: tuple[Path, Path], tmp_path: Path
) -> None:
    header, arrays = unpacked(data)
    HEADERS[name](header)
    with pytest.raises(REFUSED):
        check(packed(header, arrays), files, tmp_path)


ARRAYS: dict[str, Callable[[dict[str, np.ndarray]], None]] = {
    "higher limits": lambda a: a["claims.limits"].__iadd__(1e-7),
    "one limit": lambda a: a["claims.limits"].__setitem__((1, 4), a["claims.limits"][1, 4] + 1e-6),
    "wider box": lambda a: a["claims.lower"].__isub__(0.01),
    "old outputs as differences": lambda a: a["claims.rows"].__setitem__(
        slice(None), np.roll(a["claims.rows"], 3, axis=-1)
    ),
    "tighter layers": lambda a: a["hidden.upper"].__isub__(
        0.3 * (a["hidden.upper"] - a["hidden.lower"])
    ),
    "other lines": lambda a: a["lines.lower"].__iadd__(0.5),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_other_numbers_are_refused(
    name: str, data: bytes, files: tuple[Path, Path], tmp_path: Path
) -> None:
    header, arrays = unpacked(data)
    ARRAYS[name](arrays)
    with pytest.raises(REFUSED):
        check(packed(header, arrays), files, tmp_path)


def test_what_the_files_compute_lies_in_certified_intervals(files: tuple[Path, Path]) -> None:
    x = np.random.default_rng(3).normal(size=(3, 4)).astype(np.float32)
    nets = [StoredModel.read(path).network for path in files]
    for pair in (True, False):
        plain = diff(*files, x, radius=0.05, pair=pair)
        report = diff(*files, x, radius=0.05, pair=pair, rigorous=True)
        assert report.guarantee.name == "CERTIFIED"
        for sample, usual, center in zip(report.samples, plain.samples, x, strict=True):
            points = torch.from_numpy(
                center + 0.05 * np.random.default_rng(4).uniform(-1, 1, (200, 4))
            )
            values = [
                forward_pass(n.map_arrays(lambda v: v.astype(np.float64)), points).numpy()
                for n in nets
            ]
            found = values[1] - values[0]
            assert (sample.lower <= found + 1e-12).all()
            assert (found <= sample.upper + 1e-12).all()
            assert sample.float32_margin is not None
            if not pair:
                assert sample.width <= usual.width * (1 + 1e-6)
    assert report.counts["agrees"] == 3
