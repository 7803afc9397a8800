"""Strict constraints whose limits are just reached: what equality decides, exact numbers decide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from sensverify.certificates import check_certificate, read_certificate
from sensverify.core.queries import Verdict
from sensverify.core.results import Guarantee
from sensverify.errors import CertificateRejected
from sensverify.formats.vnnlib import parse_property
from sensverify.verification import PropertyReport, PropertyRequest, check_property
from tests.solvers.branch_and_bound.cases import chain, exact_ends, unit_box

Layers = Sequence[tuple[np.ndarray, np.ndarray]]
Ask = Callable[..., PropertyReport]

both_splits = pytest.mark.parametrize("split", ["inputs", "neurons"])

ABS: Layers = (
    (np.array([[1.0], [-1.0]]), np.zeros(2)),
    (np.array([[1.0, 1.0]]), np.zeros(1)),
)
IDENTITY: Layers = (ABS[0], (np.array([[1.0, -1.0]]), np.zeros(1)))
TWICE: Layers = (ABS[0], (np.array([[1.0, 1.0], [1.0, 1.0]]), np.zeros(2)))
"""The same output twice, by the same neurons."""
COPIES: Layers = (
    (np.array([[3.0], [3.0]]), np.array([-1.0, -1.0])),
    (np.array([[1.0, 0.0], [0.0, 1.0]]), np.zeros(2)),
)
"""The same output twice, by neurons of their own, with a kink that no binary number holds."""


def save(layers: Layers, path: Path, activation: str = "Relu") -> None:
    nodes, weights, name = [], [], "x"
    for k, (weight, bias) in enumerate(layers):
        if k:
            nodes.append(helper.make_node(activation, [name], [f"r{k}"]))
            name = f"r{k}"
        for what, values in ((f"w{k}", weight.T.copy()), (f"b{k}", bias)):
            weights.append(numpy_helper.from_array(values.astype(np.float32), what))
        nodes.append(helper.make_node("Gemm", [name, f"w{k}", f"b{k}"], [f"h{k}"]))
        name = f"h{k}"
    sizes = {"x": layers[0][0].shape[1], name: layers[-1][0].shape[0]}
    ends = [
        helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1, s]) for n, s in sizes.items()
    ]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], weights)
    opset = helper.make_opsetid("", 13)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), path)


def text(layers: Layers, formula: str) -> str:
    lines = [
        f"(declare-const X_{i} Real)(assert (>= X_{i} -1))(assert (<= X_{i} 1))"
        for i in range(layers[0][0].shape[1])
    ]
    lines += [f"(declare-const Y_{i} Real)" for i in range(layers[-1][0].shape[0])]
    return "".join([*lines, f"(assert {formula})"])


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    def asked(
        layers: Layers, formula: str, activation: str = "Relu", **more: object
    ) -> PropertyReport:
        save(layers, tmp_path / "net.onnx", activation)
        (tmp_path / "p.vnnlib").write_text(text(layers, formula))
        more = {"timeout": 60.0, **more}
        return check_property(
            PropertyRequest(str(tmp_path / "net.onnx"), tmp_path / "p.vnnlib", **more)  # type: ignore[arg-type]
        )

    return asked


REACHED = [
    (ABS, "(> Y_0 1.0)", "(>= Y_0 1.0)"),
    (ABS, "(< Y_0 0)", "(<= Y_0 0)"),
    (IDENTITY, "(> Y_0 1.0)", "(>= Y_0 1.0)"),
    (ABS, "(or (> Y_0 1) (< (* 2 Y_0) 0))", "(or (> Y_0 1) (<= (* 2 Y_0) 0))"),
    (TWICE, "(> Y_0 Y_1)", "(>= Y_0 Y_1)"),
    (TWICE, "(distinct Y_0 Y_1)", "(= Y_0 Y_1)"),
    (COPIES, "(distinct Y_0 Y_1)", "(= Y_0 Y_1)"),
    (COPIES, "(and (> Y_0 0.5) (< Y_1 0.5))", "(and (>= Y_0 0.5) (<= Y_1 0.75))"),
]


@both_splits
@pytest.mark.parametrize(("layers", "strict", "loose"), REACHED)
def test_limits_that_are_reached_and_not_passed(
    ask: Ask, split: str, layers: Layers, strict: str, loose: str
) -> None:
    report = ask(layers, strict, settings={"split": split})
    assert report.verdict is Verdict.UNSAT
    assert report.explored < 5_000
    report = ask(layers, loose, settings={"split": split})
    assert report.verdict is Verdict.SAT
    assert report.witness is not None


@pytest.mark.parametrize(("layers", "strict", "loose"), REACHED)
def test_certificates_tell_strict_from_loose(
    ask: Ask, tmp_path: Path, layers: Layers, strict: str, loose: str
) -> None:
    report = ask(layers, strict, rigorous=True)
    assert report.certification is not None
    (tmp_path / "c").write_bytes(report.certification.data)
    found, model = read_certificate(tmp_path / "c"), tmp_path / "net.onnx"
    same = parse_property(text(layers, strict))
    for arithmetic in ("rigorous", "exact"):
        check_certificate(found, model, arithmetic=arithmetic, property=same)
    with pytest.raises(CertificateRejected, match="does not refute input box 1"):
        check_certificate(found, model, property=parse_property(text(layers, loose)))
    # The same rows without equality do not follow.
    with pytest.raises(CertificateRejected, match="does not refute alternative"):
        check_certificate(replace(found, claims=replace(found.claims, strict=None)), model)


def exact_least(layers: Layers) -> tuple[Fraction, Fraction]:
    """The least output of a network of one input and output over [-1, 1], and where."""

    def at(x: Fraction, depth: int) -> list[Fraction]:
        values = [x]
        for k, (weight, bias) in enumerate(layers[:depth]):
            inputs = [max(v, Fraction(0)) for v in values] if k else values
            values = [
                sum((Fraction(w) * v for w, v in zip(row, inputs, strict=True)), Fraction(b))
                for row, b in zip(weight.tolist(), bias.tolist(), strict=True)
            ]
        return values

    places = [Fraction(-1), Fraction(1)]
    for depth in range(1, len(layers)):
        # Between two places every neuron of this layer is affine: its zero is a kink.
        more = []
        for low, high in pairwise(places):
            for a, b in zip(at(low, depth), at(high, depth), strict=True):
                if a * b < 0:
                    more.append(low + (high - low) * a / (a - b))
        places = sorted({*places, *more})
    return min((at(x, len(layers))[0], x) for x in places)


def integers(seed: int, *sizes: int) -> Layers:
    rng = np.random.default_rng(seed)
    return [
        (rng.integers(-3, 4, size=(b, a)).astype(float), rng.integers(-3, 4, size=b).astype(float))
        for a, b in pairwise(sizes)
    ]


def is_dyadic(value: Fraction) -> bool:
    return value.denominator & (value.denominator - 1) == 0


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 4, 5, 8, 9])
def test_small_integer_networks_of_one_input(ask: Ask, seed: int) -> None:
    layers = integers(seed, 1, 3, 3, 1)
    least, place = exact_least(layers)
    if not is_dyadic(least):
        # The limit that is written is above the least value.
        assert ask(layers, f"(< Y_0 {float(least + Fraction(1, 10**6))!r})").verdict is Verdict.SAT
        return
    number = f"{float(least)!r}"
    assert ask(layers, f"(< Y_0 {number})").verdict is Verdict.UNSAT
    loose = ask(layers, f"(<= Y_0 {number})").verdict
    # No float32 number may be where it is reached.
    assert loose is Verdict.SAT if is_dyadic(place) else loose is not Verdict.UNSAT


@pytest.mark.parametrize("seed", [0, 2, 4, 6, 9])
def test_small_integer_networks_of_two_inputs(ask: Ask, seed: int) -> None:
    """Some reach their least value inside the box, where kinks cross: signs have to be split."""
    layers = integers(seed, 2, 3, 1)
    found = exact_ends(chain(*layers), unit_box(2), [[1.0]])[0, 0, 0]
    least = Fraction(float(found)).limit_denominator(64)
    assert is_dyadic(least)
    assert float(least) == pytest.approx(found, abs=1e-8)
    assert ask(layers, f"(< Y_0 {float(least)!r})").verdict is Verdict.UNSAT
    assert ask(layers, f"(< Y_0 {float(least) + 1e-3!r})").verdict is Verdict.SAT
    assert ask(layers, f"(<= Y_0 {float(least)!r})").verdict is not Verdict.UNSAT


@pytest.mark.parametrize(("layers", "strict"), [(ABS, "(> Y_0 1.0)"), (TWICE, "(> Y_0 Y_1)")])
def test_whoever_is_asked(ask: Ask, layers: Layers, strict: str) -> None:
    """Mixed-integer programs decide up to tolerances, and leave the rest to exact arithmetic."""
    report = ask(layers, strict, method="milp")
    assert report.verdict is Verdict.UNSAT
    assert report.guarantee is Guarantee.SOLVER


def test_without_exactness_it_is_unknown_soon(ask: Ask) -> None:
    """The sigmoid of 0 is half, which an enclosure of the sigmoid does not show."""
    layers = ((np.array([[3.0]]), np.array([-3.0])), (np.array([[1.0]]), np.zeros(1)))
    report = ask(layers, "(> Y_0 0.5)", "Sigmoid")
    assert report.verdict is Verdict.UNKNOWN
    assert report.explored < 1_000
    assert "exact arithmetic has not shown" in report.warnings[0]
    assert ask(layers, "(>= Y_0 0.5)", "Sigmoid").verdict is Verdict.SAT
    assert ask(layers, "(> Y_0 0.501)", "Sigmoid").verdict is Verdict.UNSAT
