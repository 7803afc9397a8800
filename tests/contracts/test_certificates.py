"""Whatever a method proposes, what is certified is true, checks again, and is hardly weaker."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sensverify.bounds import AlphaCrown, Crown, Ibp, LpDual, Method
from sensverify.certificates import Certified, check_claims
from sensverify.certificates.check.program import program_of
from sensverify.core.box import Box
from sensverify.network import NetworkBuilder
from sensverify.network.operators import Add, Affine, Relu, Reshape
from sensverify.solvers.bisection import Bisection
from sensverify.solvers.branch_and_bound import BranchAndBound
from sensverify.solvers.highs import Highs, Solution
from sensverify.solvers.lp import Lp
from sensverify.solvers.milp import Milp
from tests.contracts.attained import attained
from tests.contracts.certified import assert_contains, certified
from tests.contracts.networks import (
    NETWORKS,
    Case,
    cases,
    conv_nets,
    dense,
    max_pool,
    mlps,
    random_box,
    residual_nets,
)

DEEP = AlphaCrown(steps=3, intermediate=AlphaCrown(steps=3))
"""With slopes of their own for the bounds on hidden layers."""

LINEAR = (Ibp(), LpDual(), Crown(), Crown(intermediate=Ibp()), AlphaCrown(steps=3), DEEP)
EXACT = {
    "branch-and-bound": BranchAndBound(),
    "split-neurons": BranchAndBound(split="neurons"),
    "milp": Milp(),
    "bisection": Bisection(gap=1e-3),
}
"""Without time limits: a proof that was cut short proves less than was found."""

SLACK = 1e-9
"""Of the largest magnitude in the network: what rigorous arithmetic may cost."""


def sizes(case: Case, *found: Certified) -> np.ndarray:
    """Every attained value lies within; returns the largest magnitude on the way, by sample."""
    values, size = attained(case.network, case.box_of(torch.float64))
    for one in found:
        assert_contains(one, values, size)
    return size.numpy()


@given(cases(st.one_of(*NETWORKS.values())))
@settings(max_examples=8)
def test_linear_methods(case: Case) -> None:
    made = [certified(case.network, case.box_of(torch.float64), method) for method in LINEAR]
    size = sizes(case, *(found for _, _, found in made))
    program = program_of(case.network)
    for method, (_, wanted, found) in zip(LINEAR, made, strict=True):
        assert (found.lower >= wanted - SLACK * size).all(), (method, wanted - found.lower)
        check_claims(program, found.claims, found.proof)


@given(cases(st.one_of(*NETWORKS.values())))
@settings(max_examples=5)
def test_rational_arithmetic_proves_what_rigorous_arithmetic_does(case: Case) -> None:
    for method in (Crown(), AlphaCrown(steps=2), DEEP):
        _, _, found = certified(case.network, case.box_of(torch.float64), method)
        program = program_of(case.network)
        rigorous = check_claims(program, found.claims, found.proof)
        exact = check_claims(program, found.claims, found.proof, arithmetic="exact")
        assert exact.slack is not None
        assert rigorous.slack is not None
        assert exact.slack >= rigorous.slack >= 0


@given(cases(st.one_of(*NETWORKS.values())))
@settings(max_examples=6)
def test_float32_proposals(case: Case) -> None:
    for method in (LpDual(), Crown()):
        _, wanted, found = certified(case.network, case.box_of(torch.float32), method)
        size = sizes(case, found)
        assert (found.lower >= wanted - 1e-4 * size).all()


@given(cases(st.one_of(mlps(), conv_nets(), residual_nets())))
@settings(max_examples=9)
def test_lp(case: Case) -> None:
    _, wanted, found = certified(case.network, case.box_of(torch.float64), Lp())
    size = sizes(case, found)
    assert (found.lower >= wanted - 1e-6 * size).all(), (wanted - found.lower).max()
    check_claims(program_of(case.network), found.claims, found.proof)


@pytest.mark.parametrize("seed", [3, 11, 15])
def test_lp_over_windows_that_move_together(seed: int) -> None:
    """Its lines below the maximum of a window have slopes on several numbers."""
    rng = np.random.default_rng(seed)
    builder = NetworkBuilder((1, 3, 3))
    flat = builder.add(Reshape((9,)), builder.input)
    node = builder.add(Add(), builder.add(Relu(), builder.add(dense(rng, 9, 9), flat)), flat)
    node = max_pool(builder, builder.add(Reshape((1, 3, 3)), node), 2, 1)
    last = builder.add(dense(rng, 1, 4), builder.add(Reshape((4,)), node))
    case = Case(builder.build(last), random_box(rng, (1, 3, 3), 1, 1.0))
    _, wanted, found = certified(case.network, case.box_of(torch.float64), Lp())
    size = sizes(case, found)
    assert (found.lower >= wanted - SLACK * size).all(), (wanted - found.lower).max()


def chain_case(
    layers: list[tuple[list[list[float]], list[float] | None]], *ends: list[list[float]]
) -> Case:
    """Affine maps with ReLUs between them."""
    builder = NetworkBuilder((len(layers[0][0][0]),))
    node = builder.input
    for place, (weight, bias) in enumerate(layers):
        node = builder.add(Relu(), node) if place else node
        shift = None if bias is None else np.array(bias)
        node = builder.add(Affine(np.array(weight), shift), node)
    return Case(builder.build(node), Box(*(np.array(end) for end in ends)))


CLOSED_AT_ONCE = chain_case(
    [
        (
            [
                [0.07259037, -0.07627078, 0.36974818],
                [0.06056411, -0.30926886, 0.208767],
                [0.75286478, 0.54679745, -0.40630174],
            ],
            None,
        ),
        ([[-0.73059142, -0.35984766, 0.02385957]], None),
        ([[-3.48754621]], [-0.10939583]),
    ],
    [[-1.17826986, -1.07918584, -0.06331259]],
    [[1.42973018, 0.8149761, 1.34415793]],
)
"""The lines on the whole box prove the upper end exactly; those on the cells into which it is split
for the lower end prove less, however small they are."""

WORSE_IN_BETWEEN = chain_case(
    [
        (
            [
                [0.29515633, 0.55421406],
                [0.15979426, -1.58863127],
                [0.75774342, -0.76628971],
                [-0.75854647, 0.8295573],
                [0.67448992, 0.21486017],
                [0.25772819, 0.77249861],
            ],
            [0.01574432, -1.17097461, -0.23911664, 0.27624682, -0.27532184, 0.35548359],
        ),
        (
            [
                [0.35585469, -0.25495297, 0.61177218, 0.45929202, 0.34999192, -0.26496479],
                [0.1543218, 0.66112071, 0.20933746, -0.22522971, -0.82993197, -0.03010963],
                [-0.27441245, -0.2085057, 1.06974113, -1.02314508, -0.60040396, -0.33084044],
                [0.1468154, -0.02649695, -0.14238061, 0.59241724, 0.31713438, 0.08536553],
                [-0.48219112, 0.50078905, 0.0262416, -0.2298726, -0.1501331, 0.25763395],
            ],
            [-0.66285527, 0.53826606, -0.36402151, -0.74226975, 1.03227925],
        ),
        (
            [
                [0.06808718, 0.657821, 0.08756021, 0.3072736, 0.079807],
                [0.60677719, 0.35010901, -0.48426282, 1.09239149, -0.46668535],
            ],
            [-0.55172467, 0.47147623],
        ),
    ],
    [[0.38584793, -0.26147369], [-0.51446581, -1.00000286], [2.1529808, 0.62038612]],
    [[2.03611088, 0.92166376], [1.61302018, 0.16279671], [2.37890673, 1.44482923]],
)
"""Parts of leaves prove less of an end that is small than the leaves, until they are split again:
trees that are grown until the room for them is used up may end in the midst of that."""

FLAT_LINES = chain_case(
    [
        ([[0.64640254, -2.20613933]], [0.3752256]),
        ([[2.82169414]], [-0.97551757]),
        ([[-1.95326924]], [0.0639202]),
    ],
    [[-0.57800502, -1.39752638], [0.0171482, 0.06357414]],
    [[0.82946545, 1.13331664], [1.26369715, 0.14622609]],
)
"""Lines for the upper end are flat on cells where its bound is loose."""

OFF_ON_A_REGION = chain_case(
    [
        (
            [
                [-1.0586177, 0.3693368, 2.010186],
                [-0.5575346, -0.7989154, 2.537791],
                [-5.431558, -1.1416794, 2.9603667],
                [2.3003631, -2.5681093, -1.7941288],
            ],
            [0.0658112, -0.7017489, 0.1860554, -0.288987],
        ),
        ([[-0.1401961, 0.4694111, -1.8630562, -1.3005379]], [1.2908002]),
        ([[1.776561]], [0.1919608]),
    ],
    [[-0.3908699, 0.6587082, -0.1516823], [-1.9020034, 0.8656338, 0.1539178]],
    [[1.0820383, 0.984528, 0.8125564], [-0.704311, 0.9450779, 0.7388313]],
)
"""The last neuron is off on a region whose edge no few cells follow; whole boxes prove that."""


@pytest.mark.parametrize("method", EXACT.values(), ids=EXACT.keys())
@example(case=CLOSED_AT_ONCE)
@example(case=FLAT_LINES)
@example(case=OFF_ON_A_REGION)
@example(case=WORSE_IN_BETWEEN)
@given(case=cases(mlps(relu_only=True, inputs=3)))
@settings(max_examples=5)
def test_exact_methods(case: Case, method: Method) -> None:
    bounds, wanted, found = certified(case.network, case.box_of(torch.float64), method)
    size = sizes(case, found)
    check_claims(program_of(case.network), found.claims, found.proof)
    assert bounds.optimal is not None
    exact = bounds.optimal.numpy().all(axis=1)
    short = (wanted - found.lower) / size
    assert (short[exact] <= 1e-5).all(), (method, short.max())


FIRST = [[0.08890469, -0.09341224], [0.45284721, 0.07417558]]
PLATEAUS = {
    "a sum of dead neurons": (
        [
            [*FIRST, [-0.37877545, 0.25568631], [0.92206728, 0.66968739]],
            [
                [-0.35186762, -0.63271075, -0.31163722, 0.02066299],
                [-1.1625154, -0.10939583, -0.6229555, -0.36613369],
                [-0.27212951, -0.15815008, 0.20581527, 0.52125669],
            ],
            [[-0.11131428, 1.18339205, -0.57607549]],
        ],
        ([-0.60548836, -0.62736726], [1.8863337, 0.8371675]),
    ),
    "one dead neuron": (
        [FIRST, [[-0.37877545, 0.25568631]], [[1.95600009]]],
        ([-0.40993917, -0.49369991], [0.6613996, 0.22949021]),
    ),
}
"""Weights of layers with ReLU between them, and the ends of a box; fresh draws found them."""


@pytest.mark.parametrize("name", PLATEAUS)
@pytest.mark.parametrize("method", [Milp(), BranchAndBound()], ids=["milp", "branch-and-bound"])
def test_what_is_constant_where_neurons_are_dead_is_proven(name: str, method: Method) -> None:
    """The largest or least value is taken on a whole region, whose edge no few cells follow."""
    weights, ends = PLATEAUS[name]
    builder = NetworkBuilder((2,))
    node = builder.input
    for place, weight in enumerate(weights):
        node = builder.add(Relu(), node) if place else node
        node = builder.add(Affine(np.array(weight)), node)
    box = Box(*(torch.tensor([end], dtype=torch.float64) for end in ends))
    bounds, wanted, found = certified(builder.build(node), box, method)
    assert bool(bounds.optimal.all())
    assert (found.lower >= wanted - 1e-5 * (1 + abs(wanted))).all(), wanted - found.lower


@pytest.mark.parametrize("fault", ["nan", "negated", "perturbed", "garbage", "short", "none"])
@given(case=cases(mlps()))
@settings(max_examples=5)
def test_faults_of_a_solver_cost_tightness_alone(fault: str, case: Case) -> None:
    """The certified bounds are those of multipliers; whatever these are, they are true."""
    rng = np.random.default_rng(0)
    honest = Highs.minimise

    def broken(self: Highs, cost: np.ndarray, **options: Any) -> Solution:
        solution = honest(self, cost, **options)
        duals = solution.multipliers
        if duals is None:
            return solution
        changed: dict[str, np.ndarray | None] = {
            "nan": np.full_like(duals, np.nan),
            "negated": -duals,
            "perturbed": duals + 0.1 * rng.normal(size=duals.shape),
            "garbage": 1e3 * rng.normal(size=duals.shape),
            "short": duals[:-1],
            "none": None,
        }
        return type(solution)(**{**vars(solution), "multipliers": changed[fault]})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Highs, "minimise", broken)
        _, _, found = certified(case.network, case.box_of(torch.float64), Lp())
    sizes(case, found)
    check_claims(program_of(case.network), found.claims, found.proof)
