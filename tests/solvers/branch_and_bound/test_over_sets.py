"""Branch and bound over input sets: exact, and proven by certificates that are checked."""

from __future__ import annotations

import dataclasses
from functools import cache
from itertools import pairwise
from pathlib import Path

import highspy
import numpy as np
import pytest
import torch
from torch import nn

import sensverify as sv
from sensverify.bounds import forward_pass
from sensverify.certificates import StoredModel, check_certificate, read_certificate
from sensverify.errors import BadCertificate, CertificateRejected
from sensverify.formats.modules import from_module
from sensverify.network import Network
from sensverify.solvers.branch_and_bound import BranchAndBound
from sensverify.solvers.branch_and_bound.points_of_sets import Affine, WeightsOfPoints
from sensverify.solvers.milp import Milp
from tests.core.sets.examples import SETS

CONVEX = [name for name, inside in SETS.items() if isinstance(inside, sv.Ball | sv.Constrained)]
PIXELS = [name for name, inside in SETS.items() if isinstance(inside, sv.Patch)]
ACTIVATIONS = {"relu": nn.ReLU, "leaky": lambda: nn.LeakyReLU(0.1), "tanh": nn.Tanh}


def module(activation: str, *widths: int) -> nn.Module:
    torch.manual_seed(3)
    parts: list[nn.Module] = []
    for fan_in, fan_out in pairwise(widths):
        parts += [nn.Linear(fan_in, fan_out), ACTIVATIONS[activation]()]
    # Wide enough that neurons have to be split.
    with torch.no_grad():
        for part in parts[::2]:
            part.weight *= 2  # type: ignore[operator]
    return nn.Sequential(*parts[:-1]).double()


@cache
def network(activation: str = "relu") -> Network:
    return from_module(module(activation, 6, 7, 6, 2).requires_grad_(False), (6,))


def values_at(net: Network, inside: sv.InputSet) -> torch.Tensor:
    points = torch.from_numpy(inside.sample(300)[:, 0])
    return forward_pass(net, points)


CURVED = [(name, "tanh") for name in ("sum", "euclidean", "inequality", "window")]
KINKED = [(name, kind) for name in [*CONVEX, *PIXELS] for kind in ("relu", "leaky")]


@pytest.mark.parametrize(("name", "activation"), [*KINKED, *CURVED])
def test_ranges_hold_every_output_and_are_no_wider_than_crowns(name: str, activation: str) -> None:
    inside, net = SETS[name][:1], network(activation)
    # Curves leave a gap that closes slowly.
    seconds = 1.0 if activation == "tanh" else 3.0
    found = sv.compute_bounds(net, inside, BranchAndBound(seconds=seconds))
    crown = sv.compute_bounds(net, inside, sv.Crown())
    values = values_at(net, inside)
    assert bool((found.outer.lower <= values.amin(0) + 1e-12).all())
    assert bool((found.outer.upper >= values.amax(0) - 1e-12).all())
    assert bool((found.outer.widths <= crown.outer.widths * (1 + 1e-9)).all())
    assert found.guarantee is sv.Guarantee.SOUND
    for witness, attained in (
        (found.witness_lower, found.inner.lower),
        (found.witness_upper, found.inner.upper),
    ):
        assert witness is not None
        assert bool(inside.contains(witness.numpy().swapaxes(0, 1)).all())
        outputs = forward_pass(net, witness[0]).diagonal()
        torch.testing.assert_close(outputs, attained[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "activation"), [*((name, "relu") for name in CONVEX), ("sum", "leaky")]
)
def test_kinks_alone_are_exact_over_convex_sets(name: str, activation: str) -> None:
    inside, net = SETS[name][:2], network(activation)
    found = sv.compute_bounds(net, inside, BranchAndBound())
    assert bool(found.optimal.all())
    box = sv.compute_bounds(net, inside.enclosing, BranchAndBound(split="neurons"))
    assert bool((found.outer.widths <= box.outer.widths + 1e-6).all())
    assert bool((found.outer.widths < 0.9999 * box.outer.widths).any())
    if name != "euclidean":
        program = sv.compute_bounds(net, inside, Milp())
        for ours, theirs in (
            (found.outer.lower, program.outer.lower),
            (found.outer.upper, program.outer.upper),
        ):
            torch.testing.assert_close(ours, theirs, rtol=3e-6, atol=3e-6)


def test_a_linear_network_has_the_closed_form_over_a_ball() -> None:
    weight = torch.tensor([[1.0, -2.0, 0.5], [0.0, 0.0, 0.0]], dtype=torch.float64)
    linear = nn.Linear(3, 2, bias=False).double()
    with torch.no_grad():
        linear.weight.copy_(weight)
    ball = sv.Ball.around(np.zeros((1, 3)), 0.3, order=2)
    found = sv.compute_bounds(from_module(linear, (3,)), ball, BranchAndBound())
    reach = 0.3 * weight.norm(dim=1)
    torch.testing.assert_close(found.outer.upper[0], reach)
    torch.testing.assert_close(found.outer.lower[0], -reach)


@pytest.mark.parametrize("name", ["sum", "euclidean", "inequality", "mixed in a range"])
def test_queries_are_decided_on_both_sides_of_the_least_value(name: str) -> None:
    inside, net = SETS[name][:1], network()
    least = float(sv.compute_bounds(net, inside, BranchAndBound()).inner.lower[0, 0])
    for limit, verdict in ((least - 1e-4, sv.Verdict.UNSAT), (least + 1e-4, sv.Verdict.SAT)):
        query = sv.Query(inside, np.array([[1.0, 0.0]]), np.array([limit]), ((0,),))
        found = BranchAndBound().decide(net, query)
        assert found.verdict is verdict
        if found.witness is not None:
            assert inside.contains(found.witness[None]).all()
            outputs = forward_pass(net, torch.from_numpy(found.witness[None])).numpy()
            assert query.met_by(outputs).all()


@pytest.mark.parametrize("name", ["sum", "euclidean", "mixed"])
def test_what_is_split_is_certified_and_checked(name: str, tmp_path: Path) -> None:
    path, inside = tmp_path / "net.onnx", SETS[name][:1]
    names = {"input_names": ["x"], "output_names": ["y"], "dynamic_axes": {"x": {0: "batch"}}}
    torch.onnx.export(
        module("relu", 6, 7, 6, 2).float(), torch.zeros(1, 6), str(path), dynamo=False, **names
    )
    found = sv.certify(path, inside, "branch-and-bound")
    (tmp_path / "net.cert").write_bytes(found.data)
    certificate = read_certificate(tmp_path / "net.cert")
    proof, model = certificate.proof, StoredModel.read(path)
    assert bool((proof.cells.split >= 0).any())
    for arithmetic in ("rigorous", "exact"):
        checked = check_certificate(certificate, model, arithmetic=arithmetic)
        assert checked.slack is not None
        assert checked.slack >= 0
    proposed = sv.compute_bounds(sv.load(path), inside, BranchAndBound())
    torch.testing.assert_close(
        found.bounds.outer.widths, proposed.outer.widths.double(), rtol=3e-6, atol=1e-6
    )
    closer = dataclasses.replace(certificate.claims, limits=certificate.claims.limits + 1e-3)
    larger = dataclasses.replace(
        certificate.claims, sets=certificate.claims.sets and _larger(certificate.claims.sets)
    )
    for claims in (closer, larger):
        with pytest.raises((BadCertificate, CertificateRejected)):
            check_certificate(dataclasses.replace(certificate, claims=claims), model)


def _larger(sets: object) -> object:
    """The same sets, a tenth larger."""
    if getattr(sets, "reach", None) is not None:
        return dataclasses.replace(sets, reach=sets.reach * 1.1)  # type: ignore[type-var, attr-defined]
    return dataclasses.replace(sets, limits=sets.limits + 0.02)  # type: ignore[type-var, attr-defined]


def test_weights_of_points_are_those_of_the_best_point() -> None:
    # Whatever number of threads a program before it had.
    before = highspy.Highs()
    before.setOptionValue("output_flag", False)
    before.setOptionValue("threads", 2)
    before.run()
    # The least of max(x, 1 - x) on two points is at the one half-way between.
    rows = Affine(np.array([[1.0], [-1.0]]), np.array([0.0, 1.0]))
    program = WeightsOfPoints(Affine(np.zeros((0, 1)), np.zeros(0)), rows, 1e4)
    assert program.solved() is None
    program.add(np.array([0.0]))
    program.add(np.array([2.0]))
    found = program.solved()
    assert found is not None
    value, point, multipliers = found
    assert value == pytest.approx(0.5)
    assert point == pytest.approx([0.5])
    assert multipliers == pytest.approx([0.5, 0.5])
    program.add(np.array([np.nan]))
    assert program.solved() is None
