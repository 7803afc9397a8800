"""Neurons in another order: an equal network, or no order; and certificates that pair them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sensverify.certificates import (
    StoredModel,
    StoredPair,
    check_certificate,
    read_about,
    read_certificate,
)
from sensverify.certificates.check.difference import program_of_two
from sensverify.certificates.check.program import Program, program_of
from sensverify.certificates.check.reordering import Order, reordered
from sensverify.errors import BadCertificate, BadSetting, CertificateRejected
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import (
    Affine,
    BatchNorm,
    Clip,
    Concat,
    Conv,
    LeakyRelu,
    Operator,
    Relu,
    Reshape,
    Scale,
    Sigmoid,
)
from sensverify.verification import diff
from tests.certificates.mutations import MUTATIONS, make_claims_false, packed, unpacked
from tests.certificates.test_mutations import Judge
from tests.certificates.test_two_models import image
from tests.contracts.networks import NETWORKS, Case, cases, dense, numbers
from tests.mlp_files import save_mlp_file

REFUSED = (BadCertificate, CertificateRejected)
Layer = tuple[np.ndarray, np.ndarray]


def random_orders(program: Program, rng: np.random.Generator) -> list[Order]:
    """Of one function, or of some; many are one-to-one."""
    orders = []
    for number, (_, step) in enumerate(program.nonlinear):
        if rng.random() < 0.6:
            count = int(rng.choice([n for n in range(1, step.size + 1) if step.size % n == 0]))
            neurons = rng.permutation(count)
            if rng.random() < 0.1:
                neurons[rng.integers(count)] += rng.choice([-1, 1])
            orders.append(Order(number, tuple(neurons.tolist())))
    return orders


def assert_equal(one: Program, other: Program, points: np.ndarray) -> None:
    ends = image(one, points, points), image(other, points, points)
    size = 1e-9 * (1 + max(abs(end).max() for pair in ends for end in pair))
    assert (ends[0][0] <= ends[1][1] + size).all()
    assert (ends[1][0] <= ends[0][1] + size).all()


@pytest.mark.parametrize("family", NETWORKS)
@given(data=st.data())
@settings(max_examples=20)
def test_a_reordered_network_is_equal_or_there_is_none(family: str, data: st.DataObject) -> None:
    case: Case = data.draw(cases(NETWORKS[family]))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    program = program_of(case.network)
    try:
        other = reordered(program, random_orders(program, rng))
    except BadSetting:
        return
    points = np.concatenate([case.box.lower, case.box.upper]).reshape(-1, program.features)
    assert_equal(program, other, points)


Make = Callable[[np.ndarray], Network]
RELU = Relu()


def chain(*between: Callable[[np.ndarray], Operator], size: int = 6) -> Make:
    """A dense layer of ``size`` neurons in an order, these operators, and a layer."""

    def make(order: np.ndarray) -> Network:
        rng, builder = np.random.default_rng(0), NetworkBuilder((3,))
        first, last = dense(rng, size, 3), dense(rng, 2, size)
        node = builder.add(Affine(first.weight[order], first.bias[order]), 0)
        for operator in between:
            node = builder.add(operator(order), node)
        return builder.build(builder.add(Affine(last.weight[:, order], last.bias), node))

    return make


def convolutional(order: np.ndarray) -> Network:
    """Channels in an order through a normalisation and a flattening."""
    rng, builder = np.random.default_rng(0), NetworkBuilder((1, 4, 4))
    first, last = numbers(rng, 6, 1, 3, 3), numbers(rng, 2, 6, 2, 2)
    norm = [numbers(rng, 6)[order] for _ in range(3)]
    node = builder.add(Conv(first[order], numbers(rng, 6)[order], (1, 1), (0, 0), (1, 1)), 0)
    node = builder.add(BatchNorm(norm[2], None, norm[0], abs(norm[1]) + 0.5, 1e-5), node)
    node = builder.add(Relu(), node)
    node = builder.add(Reshape((24,)), node)
    weight = last[:, order].reshape(2, 24)
    return builder.build(builder.add(Affine(weight, None), node))


def batch_norm(order: np.ndarray) -> Operator:
    rng = np.random.default_rng(1)
    mean, variance, weight = (numbers(rng, 6)[order] for _ in range(3))
    return BatchNorm(weight, mean, mean, abs(variance) + 0.5, 1e-5)


SLOPES = np.array([0.1, 0.2, -0.3, 0.4, 2.0, 0.0])
SHIFT = np.array([0.3, -0.2, 0.1, 0.0, 1.0, -1.0])
CHAINS: dict[str, tuple[Make, int]] = {
    "relu": (chain(lambda order: Relu()), 1),
    "two functions": (chain(lambda order: Relu(), lambda order: Clip(-0.5, 0.4)), 2),
    "slopes": (chain(lambda order: LeakyRelu(SLOPES[order])), 1),
    "scaled": (chain(lambda order: Scale(SLOPES[order], SHIFT[order]), lambda order: Sigmoid()), 1),
    "normalised": (chain(batch_norm, lambda order: Relu(), batch_norm), 1),
    "convolution": (convolutional, 1),
}


@pytest.mark.parametrize("name", CHAINS)
def test_a_permuted_copy_has_no_differences(name: str) -> None:
    make, functions = CHAINS[name]
    order = np.random.default_rng(3).permutation(6)
    old, new = program_of(make(np.arange(6))), program_of(make(order))
    back = tuple(np.argsort(order).tolist())
    found = reordered(new, [Order(number, back) for number in range(functions)])
    assert program_of_two(old, found, paired=True).entries == old.entries
    assert program_of_two(old, new, paired=True).entries > old.entries
    assert_equal(old, found, np.random.default_rng(0).normal(size=(5, old.features)))


def forked(rng: np.random.Generator) -> Network:
    """One layer that two functions read, and inputs that one does."""
    builder = NetworkBuilder((2,))
    first = builder.add(dense(rng, 4, 2), 0)
    one, other = builder.add(Relu(), first), builder.add(Sigmoid(), first)
    both = builder.add(Concat(0), one, other, builder.add(Relu(), 0))
    return builder.build(builder.add(Relu(), builder.add(dense(rng, 3, 10), both)))


TURNED, SAME = (1, 0, 3, 2), (0, 1, 2, 3)
NO_ORDERS: dict[str, list[Order]] = {
    "twice the same neuron": [Order(0, (1, 1, 3, 2)), Order(1, (1, 1, 3, 2))],
    "a neuron that is none": [Order(0, (1, 4, 3, 2)), Order(1, (1, 4, 3, 2))],
    "a number below zero": [Order(0, (1, -4, 3, 2)), Order(1, (1, -4, 3, 2))],
    "a number beyond all": [Order(0, (1, 2**70, 3, 2))],
    "too few": [Order(0, (1, 0, 2)), Order(1, (1, 0, 2))],
    "too many": [Order(0, (1, 0, 3, 2, 4)), Order(1, (1, 0, 3, 2, 4))],
    "none": [Order(0, ()), Order(1, ())],
    "one of two readers": [Order(0, TURNED)],
    "the other reader": [Order(1, TURNED)],
    "two orders of one layer": [Order(0, TURNED), Order(1, SAME)],
    "inputs": [Order(2, (1, 0))],
    "outputs": [Order(3, (1, 0, 2))],
    "no function": [Order(4, TURNED)],
    "a function below zero": [Order(-1, (1, 0, 2))],
    "a function beyond all": [Order(2**70, TURNED)],
}


@pytest.mark.parametrize("name", NO_ORDERS)
def test_what_is_no_order_is_refused(name: str) -> None:
    program = program_of(forked(np.random.default_rng(0)))
    with pytest.raises(BadSetting, match="order"):
        reordered(program, NO_ORDERS[name])


def test_all_readers_of_a_layer_move_together() -> None:
    program = program_of(forked(np.random.default_rng(0)))
    other = reordered(program, [Order(0, TURNED), Order(1, TURNED)])
    assert_equal(program, other, np.random.default_rng(1).normal(size=(6, 2)))


# Certificates of files.


def moved(layers: list[Layer], rng: np.random.Generator, size: float) -> list[Layer]:
    """Other numbers, and the neurons of every hidden layer in another order."""
    result = [
        tuple((v + size * rng.normal(size=v.shape)).astype(np.float32) for v in layer)
        for layer in layers
    ]
    for i in range(len(result) - 1):
        order = rng.permutation(len(result[i][0]))
        order = order[::-1] if (order == np.arange(len(order))).all() else order
        weight, bias = result[i]
        result[i] = weight[order], bias[order]
        weight, bias = result[i + 1]
        result[i + 1] = weight[:, order], bias
    return result  # type: ignore[return-value]


def layers() -> list[Layer]:
    rng = np.random.default_rng(4)
    return [
        (numbers(rng, n, m).astype(np.float32), numbers(rng, n).astype(np.float32))
        for n, m in ((4, 2), (3, 4), (2, 3))
    ]


Files = tuple[StoredModel, StoredModel]


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("turned")
    old = save_mlp_file(folder / "old.onnx", *layers())
    new = moved(layers(), np.random.default_rng(5), 1e-2)
    return old, save_mlp_file(folder / "new.onnx", *new)


@pytest.fixture(scope="module")
def files(paths: tuple[Path, Path]) -> Files:
    one, other = (StoredModel.read(path) for path in paths)
    return one, other


@pytest.fixture(scope="module")
def data(paths: tuple[Path, Path]) -> bytes:
    """Of boxes in which neurons bend; claims are exact but for the gap of the method."""
    x = np.array([[0.1, 0.2], [-0.4, 0.3]], np.float32)
    report = diff(*paths, x, radius=0.5, rigorous=True, method="branch-and-bound(gap=1e-7)")
    assert report.permuted == ("fc0", "fc1")
    assert report.certificate is not None
    return report.certificate.data


@pytest.fixture(scope="module")
def judge(paths: tuple[Path, Path]) -> Judge:
    """Of both networks in one: plain layers, which know nothing of pairs."""
    two = layers(), moved(layers(), np.random.default_rng(5), 1e-2)
    builder, node = NetworkBuilder((2,)), 0
    for number, ((one, bias), (other, offset)) in enumerate(zip(*two, strict=True)):
        weights = [w.astype(np.float64) for w in (one, other)]
        offsets = [b.astype(np.float64) for b in (bias, offset)]
        apart = [np.zeros((len(a), b.shape[1])) for a, b in (weights, weights[::-1])]
        joint = np.block([[weights[0], apart[0]], [apart[1], weights[1]]])
        if number == 0:
            joint = np.concatenate(weights)
        if number == len(two[0]) - 1:
            joint[2:, : weights[0].shape[1]] -= weights[0]
            offsets[1] = np.array([float(b) - float(a) for a, b in zip(*offsets, strict=True)])
        node = builder.add(Affine(joint, np.concatenate(offsets)), node)
        if number < len(two[0]) - 1:
            node = builder.add(Relu(), node)
    return Judge(builder.build(node))


def accepted(data: bytes, files: Files, path: Path, **more: Any) -> Any:
    """The claims that the checker takes for proven, of both ways in."""
    path.write_bytes(data)
    try:
        ending, stated = read_about(path)
        assert ending is None
        pair = StoredPair.read_for(stated, *files)
        certificate = read_certificate(path, model=pair)
        check_certificate(read_certificate(path), *files, **more)
    except REFUSED:
        return None
    return certificate.claims


@pytest.mark.parametrize("arithmetic", ["rigorous", "exact"])
def test_a_certificate_of_turned_neurons_is_checked(
    arithmetic: str, data: bytes, files: Files, judge: Judge, tmp_path: Path
) -> None:
    header, _ = unpacked(data)
    assert [order["function"] for order in header["new"]["orders"]] == [0, 1]
    claims = accepted(data, files, tmp_path / "some.cert", arithmetic=arithmetic)
    gaps = [float(gap.p) / float(gap.q) for gap in judge.gaps(claims)]
    assert min(gaps) >= 0
    assert max(gaps) < 1e-4


def test_the_check_does_not_pair_by_itself(data: bytes, files: Files, tmp_path: Path) -> None:
    """Without the orders, or with others, the proof is one of other differences."""
    header, arrays = unpacked(data)
    for change in (
        lambda new: new.pop("orders"),
        lambda new: new["orders"].pop(0),
        lambda new: new["orders"][0]["neurons"].reverse(),
    ):
        changed = header | {"new": {**header["new"]}}
        changed["new"]["orders"] = [
            {**o, "neurons": list(o["neurons"])} for o in header["new"]["orders"]
        ]
        change(changed["new"])
        assert accepted(packed(changed, arrays), files, tmp_path / "some.cert") is None


HEADERS: dict[str, Callable[[dict[str, Any]], object]] = {
    "orders of networks that are not paired": lambda new: new.update(paired=False),
    "no orders in a list": lambda new: new.update(orders=[]),
    "no list": lambda new: new.update(orders={}),
    "nothing": lambda new: new.update(orders=None),
    "an order that is none": lambda new: new.update(orders=[[0, [1, 0]]]),
    "descending": lambda new: new["orders"].reverse(),
    "twice": lambda new: new["orders"].insert(0, new["orders"][0]),
    "more fields": lambda new: new["orders"][0].update(also=1),
    "no neurons": lambda new: new["orders"][0].pop("neurons"),
    "no function": lambda new: new["orders"][0].pop("function"),
    "a word": lambda new: new["orders"][0].update(function="0"),
    "true": lambda new: new["orders"][0].update(function=True),
    "a fraction": lambda new: new["orders"][0]["neurons"].__setitem__(0, 1.0),
    "a list of lists": lambda new: new["orders"][0].update(neurons=[[1, 0, 2, 3]]),
    "one neuron for all": lambda new: new["orders"][0].update(neurons=[0]),
    "a huge number": lambda new: new["orders"][0]["neurons"].__setitem__(0, 2**80),
    "one neuron twice": lambda new: new["orders"][0]["neurons"].__setitem__(
        0, new["orders"][0]["neurons"][1]
    ),
    "too few": lambda new: new["orders"][0]["neurons"].pop(),
    "too many": lambda new: new["orders"][0]["neurons"].append(4),
}


@pytest.mark.parametrize("name", HEADERS)
def test_forged_orders_are_refused(name: str, data: bytes, files: Files, tmp_path: Path) -> None:
    header, arrays = unpacked(data)
    HEADERS[name](header["new"])
    assert accepted(packed(header, arrays), files, tmp_path / "some.cert") is None


def exchange(rng: np.random.Generator, orders: list[dict[str, Any]]) -> None:
    neurons = orders[rng.integers(len(orders))]["neurons"]
    one, other = rng.integers(len(neurons), size=2)
    neurons[one], neurons[other] = neurons[other], neurons[one]


def shuffle(rng: np.random.Generator, orders: list[dict[str, Any]]) -> None:
    order = orders[rng.integers(len(orders))]
    order["neurons"] = [order["neurons"][i] for i in rng.permutation(len(order["neurons"]))]


def overwrite(rng: np.random.Generator, orders: list[dict[str, Any]]) -> None:
    neurons = orders[rng.integers(len(orders))]["neurons"]
    neurons[rng.integers(len(neurons))] = int(rng.integers(-1, 5))


def lengthen(rng: np.random.Generator, orders: list[dict[str, Any]]) -> None:
    neurons = orders[rng.integers(len(orders))]["neurons"]
    neurons.append(len(neurons))


def shorten(rng: np.random.Generator, orders: list[dict[str, Any]]) -> None:
    orders[rng.integers(len(orders))]["neurons"].pop()


def remove(rng: np.random.Generator, orders: list[dict[str, Any]]) -> None:
    orders.pop(int(rng.integers(len(orders))))


def renumber(rng: np.random.Generator, orders: list[dict[str, Any]]) -> None:
    orders[rng.integers(len(orders))]["function"] = int(rng.integers(-1, 4))


ORDERS = (exchange, shuffle, overwrite, lengthen, shorten, remove, renumber)


def test_no_change_makes_false_claims_accepted(
    data: bytes, files: Files, judge: Judge, tmp_path: Path
) -> None:
    """Of the orders, of the arrays, or of both; claims are false as often as not."""
    rng, outcomes = np.random.default_rng(0), Counter[str]()
    for number in range(175):
        header, arrays = unpacked(data)
        if number % 2:
            make_claims_false(rng, arrays)
        if rng.random() < 0.7:
            ORDERS[number % len(ORDERS)](rng, header["new"]["orders"])
        else:
            with np.errstate(all="ignore"):
                MUTATIONS[number % len(MUTATIONS)](rng, arrays)
        header["arrays"] = sorted(arrays)
        claims = accepted(packed(header, arrays), files, tmp_path / "some.cert")
        assert claims is None or judge.agrees(claims), f"false claims are accepted: {number}"
        outcomes["refused" if claims is None else "true"] += 1
    assert outcomes["refused"] > 100
    assert outcomes["true"] > 5


def test_with_orders_claims_are_as_narrow_as_in_one_order(tmp_path: Path) -> None:
    """By CROWN: whoever carries differences step by step has to pair the right neurons."""
    rng = np.random.default_rng(0)
    plain = [
        tuple(v.astype(np.float32) for v in (numbers(rng, n, m) / 3, numbers(rng, n)))
        for n, m in ((16, 5), (16, 16), (4, 16))
    ]
    straight = [(np.nextafter(w, np.float32(np.inf)), b) for w, b in plain]
    turned = moved(straight, np.random.default_rng(1), 0.0)
    old, *new = (
        save_mlp_file(tmp_path / f"{name}.onnx", *found)
        for name, found in (("old", plain), ("straight", straight), ("turned", turned))
    )
    x = np.random.default_rng(2).normal(size=(3, 5)).astype(np.float32)
    one, other = (diff(old, path, x, radius=0.3, rigorous=True) for path in new)
    assert one.permuted == ()
    assert len(other.permuted) == 2
    for straightly, turnedly in zip(one.samples, other.samples, strict=True):
        assert turnedly.width <= straightly.width * (1 + 1e-6)
    apart = diff(old, new[1], x, radius=0.3, rigorous=True, pair=False)
    assert other.largest < 1e-3 * apart.largest


def test_channels_of_exported_files_are_certified(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.LeakyReLU(0.1), nn.Conv2d(4, 4, 2), nn.ReLU(),
        nn.Flatten(), nn.Linear(16, 8), nn.Sigmoid(), nn.Linear(8, 3),
    ).eval()  # fmt: skip
    x = torch.rand(40, 1, 5, 5)
    net[1].train()(net[0](x))
    net.eval()
    paths = [tmp_path / name for name in ("old.onnx", "new.onnx")]
    torch.onnx.export(net, (x[:1],), paths[0], dynamo=False)
    turn(net, 0, 3, torch.tensor([2, 0, 3, 1]), 1)
    turn(net, 3, 6, torch.tensor([3, 2, 1, 0]), 4)
    turn(net, 6, 8, torch.tensor([1, 0, 3, 2, 5, 4, 7, 6]), 1)
    torch.onnx.export(net, (x[:1],), paths[1], dynamo=False)
    report = diff(*paths, x[:2].numpy(), radius=0.05, rigorous=True)
    assert len(report.permuted) == 3
    assert report.largest < 1e-12
    header, _ = unpacked(report.certificate.data)
    assert [len(order["neurons"]) for order in header["new"]["orders"]] == [4, 4, 8]


def turn(net: nn.Sequential, first: int, last: int, order: torch.Tensor, per: int) -> None:
    """Channels of one layer, and of what follows up to the next one, in another order."""
    index = (order[:, None] * per + torch.arange(per)).reshape(-1)
    for place in range(first, last):
        for values in (*net[place].parameters(), *net[place].buffers()):
            if values.ndim:
                values.data = values.data[order]
    net[last].weight.data = net[last].weight.data[:, index]
