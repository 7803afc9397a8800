"""Programs for optimisers: read back and solved by HiGHS they have the network's exact range."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import highspy
import numpy as np
import pytest
import torch

import sensverify as sv
from sensverify.core.results import Guarantee
from sensverify.errors import BadBox, BadSetting, InputError
from sensverify.formats.programs import Program, prefixes, to_lp, to_mps
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import (
    Abs,
    Affine,
    Clip,
    LeakyRelu,
    Max,
    Operator,
    Product,
    Relu,
    Reshape,
    Round,
    Sigmoid,
)
from sensverify.verification import ProgramRequest, export_milp

WRITERS = {".mps": to_mps, ".lp": to_lp}


def read(text: str, folder: Path, ending: str) -> highspy.Highs:
    """HiGHS with what it reads from a file; near-exact settings."""
    path = folder / f"program{ending}"
    path.write_text(text)
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("small_matrix_value", 1e-12)
    for name in ("mip_rel_gap", "mip_abs_gap"):
        solver.setOptionValue(name, 1e-8)
    for name in ("mip", "primal", "dual"):
        solver.setOptionValue(f"{name}_feasibility_tolerance", 1e-9)
    assert solver.readModel(str(path)) == highspy.HighsStatus.kOk
    return solver


def optimum(program: Program, output: int, folder: Path, ending: str, *, maximise: bool) -> float:
    """The least or the largest value of an output, as HiGHS finds it in the file."""
    cost = np.zeros(len(program.columns))
    cost[program.of_role("output")[output]] = 1.0
    text = WRITERS[ending](replace(program, cost=cost, maximise=maximise), comments=("a\nb",))
    solver = read(text, folder, ending)
    solver.run()
    assert solver.getModelStatus() == highspy.HighsModelStatus.kOptimal
    return float(solver.getInfo().objective_function_value)


@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize("tighten", ["none", "lp", "milp"])
def test_optima_are_the_exact_range(ending: str, tighten: str, tmp_path: Path) -> None:
    asked = {"samples": (23, 24), "sigma": 0.1}
    exact = sv.verify("iris", method="exact", **asked).samples[0]
    export = export_milp("iris", tighten=tighten, **asked)
    expected = Guarantee.SOLVER if tighten == "milp" else Guarantee.SOUND
    assert export.program.guarantee is expected
    for output in range(3):
        low = optimum(export.program, output, tmp_path, ending, maximise=False)
        high = optimum(export.program, output, tmp_path, ending, maximise=True)
        assert low == pytest.approx(exact.lower[output], abs=1e-5)
        assert high == pytest.approx(exact.upper[output], abs=1e-5)


def bent(operator: Operator, seed: int) -> Network:
    """3-6-2 with kinks behind each affine operator."""
    rng = np.random.default_rng(seed)
    builder = NetworkBuilder((3,))
    node = builder.input
    for rows, columns in ((6, 3), (6, 6)):
        weight, bias = rng.normal(size=(rows, columns)), rng.normal(size=rows) / 2
        node = builder.add(operator, builder.add(Affine(weight, bias), node))
    return builder.build(builder.add(Affine(rng.normal(size=(2, 6)), None), node))


@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize(
    "operator", [Relu(), LeakyRelu(np.array(0.1)), Abs(), Clip(-0.5, 0.5)], ids=repr
)
def test_kinks_of_every_kind_have_their_exact_range(
    operator: Operator, ending: str, tmp_path: Path
) -> None:
    network = bent(operator, seed=3)
    box = sv.Box.around(np.zeros((1, 3)), 0.5)
    np.savez(tmp_path / "box.npz", lower=box.lower, upper=box.upper)
    export = export_milp(network, box=tmp_path / "box.npz")
    found = sv.compute_bounds(network, box, sv.make_method("milp"))
    assert export.program.integer.any()
    assert found.inner is not None
    for output in range(2):
        for maximise, end in ((False, found.inner.lower), (True, found.inner.upper)):
            best = optimum(export.program, output, tmp_path, ending, maximise=maximise)
            assert best == pytest.approx(float(end[0, output]), abs=1e-5)


def test_what_is_read_has_every_digit(tmp_path: Path) -> None:
    """Columns, rows and bounds come back by name, bit by bit."""
    program = export_milp("iris", samples=(23, 24), sigma=0.1, maximise=1).program
    names = program.names
    for ending, write in WRITERS.items():
        model = read(write(program), tmp_path, ending).getLp()
        order = [list(model.col_names_).index(name) for name in names]
        assert [model.col_lower_[i] for i in order] == program.lower.tolist()
        assert [model.col_upper_[i] for i in order] == program.upper.tolist()
        kinds = [model.integrality_[i] == highspy.HighsVarType.kInteger for i in order]
        assert kinds == program.integer.tolist()
        assert [model.col_cost_[i] for i in order] == program.cost.tolist()
        assert model.sense_ == highspy.ObjSense.kMaximize
        rows = {name: i for i, name in enumerate(model.row_names_)}
        assert set(rows) == set(program.row_names)
        matrix = np.zeros((len(rows), len(names)))
        start, index = np.asarray(model.a_matrix_.start_), np.asarray(model.a_matrix_.index_)
        values = np.asarray(model.a_matrix_.value_)
        for column, place in enumerate(order):
            span = slice(start[place], start[place + 1])
            matrix[index[span], column] = values[span]
        own = program.matrix.toarray()
        for i, name in enumerate(program.row_names):
            assert (matrix[rows[name]] == own[i]).all()
            assert model.row_lower_[rows[name]] == program.row_lower[i]
            assert model.row_upper_[rows[name]] == program.row_upper[i]


def test_names_lead_back_to_neurons(tmp_path: Path) -> None:
    files = export_milp("iris", samples=(23, 24), sigma=0.1).write(tmp_path / "net.mps")
    assert [path.name for path in files] == [
        *("net.mps", "net.mps.neurons.json", "net.mps.neurons.npz")
    ]
    found = json.loads(files[1].read_text())
    arrays = np.load(files[2])
    network = sv.simplify(sv.load("iris"))
    nodes = {node.name: node for node in network.nodes}
    text = files[0].read_text()
    for name, column in found["columns"].items():
        assert f" {name} " in text
        assert column["node"] in nodes
        assert column["role"] in {"input", "output", "below", "above", "on", "sum"}
    for prefix, neurons in found["neurons"].items():
        shape = network.nodes[nodes[neurons["node"]].inputs[0]].shape
        for end in ("lower", "upper"):
            np.testing.assert_array_equal(arrays[f"{prefix}_{end}"], neurons[end])
            assert arrays[f"{prefix}_{end}"].shape == shape
        kinks = [name for name in found["columns"] if name.startswith(f"{prefix}__on_")]
        inside = (arrays[f"{prefix}_lower"] < 0) & (arrays[f"{prefix}_upper"] > 0)
        assert len(kinks) == inside.sum()
        for name in kinks:
            assert inside[tuple(found["columns"][name]["index"])]
    assert arrays["input_lower"].shape == (4,)
    assert arrays["output_upper"].shape == (3,)


def test_bounds_hold_what_the_network_computes(tmp_path: Path) -> None:
    box = sv.Box.around(np.array([[5.9, 3.0, 5.1, 1.8]]), 0.4)
    np.savez(tmp_path / "box.npz", lower=box.lower, upper=box.upper)
    widths = []
    for bounds, tighten in (("ibp", "none"), (None, "none"), (None, "lp"), (None, "milp")):
        export = export_milp("iris", box=tmp_path / "box.npz", bounds=bounds, tighten=tighten)
        network = sv.simplify(sv.load("iris"))
        share = np.random.default_rng(0).random((200, 4))
        points = torch.from_numpy(box.lower + share * (box.upper - box.lower))
        last = export.program.neurons[-1]
        position = next(i for i, node in enumerate(network.nodes) if node.name == last.node)
        inner = Network(network.nodes[: network.nodes[position].inputs[0] + 1])
        values = sv.forward_pass(inner, points).numpy()
        assert (values >= last.lower - 1e-9).all()
        assert (values <= last.upper + 1e-9).all()
        widths.append(float((last.upper - last.lower).sum()))
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < widths[0]


def test_pieces_and_maxima_have_roles() -> None:
    builder = NetworkBuilder((4,))
    node = builder.add(Affine(np.eye(4), None), builder.input, name="same")
    node = builder.add(Clip(0.0, 1.0), node, name="same")
    node = builder.add(Reshape((2, 2)), node)
    node = builder.add(Max(), node, name="the \u201clargest\u201d\n* /")
    network = builder.build(node)
    export = export_milp(network, np.full((1, 4), 0.5), radius=1.0)
    roles = {column.role for column in export.program.columns}
    assert {"below", "above1", "above2", "on1", "on2", "largest", "gap", "chosen"} <= roles
    assert len(set(export.program.names)) == len(export.program.names)
    assert export.program.names[-1] == "output_1"
    for write in WRITERS.values():
        assert write(export.program).isascii()


def test_prefixes_are_words_of_their_own() -> None:
    found = prefixes(
        ["", "a/b", "a_b", "A_B", "1x", "e3", "input", "_", "x" * 300, "x" * 301, "\u00e4"]
    )
    assert len({word.lower() for word in found}) == len(found)
    for word in found:
        assert word.isascii()
        assert word.replace("_", "").isalnum()
        assert word[0].isalpha()
        assert word[0] not in "eE"
        assert "__" not in word
        assert len(word) < 80


def smooth() -> Network:
    builder = NetworkBuilder((2,))
    inner = builder.add(Sigmoid(), builder.input, name="bent")
    return builder.build(builder.add(Relu(), inner))


def test_a_smooth_function_has_an_envelope_and_a_relaxation(tmp_path: Path) -> None:
    exact = 1 / (1 + np.exp(-1.0))
    for relaxed in (False, True):
        export = export_milp(smooth(), np.zeros((1, 2)), radius=1.0, relaxed=relaxed)
        assert export.program.integer.any() is not relaxed
        for output in range(2):
            high = optimum(export.program, output, tmp_path, ".mps", maximise=True)
            assert high == pytest.approx(exact, abs=1e-6)


def test_segments_have_names_and_more_of_them_are_closer(tmp_path: Path) -> None:
    builder = NetworkBuilder((2,))
    curved = builder.add(Sigmoid(), builder.input, name="bent")
    pair = builder.add(Product(), builder.add(Reshape((1, 2)), curved), name="times")
    network = builder.build(builder.add(Affine(np.array([[1.0]])), pair))
    found = []
    for segments in (2, 3):
        export = export_milp(network, np.zeros((1, 2)), radius=1.0, segments=segments)
        names = {c.name: (c.role, c.node, c.index) for c in export.program.columns}
        assert names["bent__value_1"] == ("value", "bent", (1,))
        assert names[f"bent__along{segments}_1"] == (f"along{segments}", "bent", (1,))
        assert names[f"times__beside{segments}_1"] == (f"beside{segments}", "times", (0, 1))
        last = "passed" if segments == 2 else "passed2"
        assert names[f"bent__{last}_0"] == (last, "bent", (0,))
        assert export.program.integer.sum() == 3 * (segments - 1)
        found.append(optimum(export.program, 0, tmp_path, ".lp", maximise=False))
    low = 1 / (1 + np.exp(1.0))
    assert found[0] <= found[1] <= low**2 + 1e-9


@pytest.mark.parametrize(
    "settings", [{"minimise": 0, "maximise": 1}, {"seed": 3}, {"tighten": "x"}, {"segments": 0}]
)
def test_bad_settings(settings: dict[str, object]) -> None:
    with pytest.raises(BadSetting):
        ProgramRequest("iris", **settings)


def test_what_cannot_be_exported(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="output 3"):
        export_milp("iris", samples=(0, 1), maximise=3)
    with pytest.raises(BadSetting, match="writes no program"):
        export_milp("iris", samples=(0, 1), method="crown")
    with pytest.raises(BadBox, match="one input box"):
        export_milp("iris", samples=(0, 2))
    export = export_milp("iris", samples=(0, 1))
    with pytest.raises(BadSetting, match=r"net\.txt"):
        export.write(tmp_path / "net.txt")
    export.write(tmp_path / "net.lp")
    before = (tmp_path / "net.lp").read_bytes()
    with pytest.raises(InputError, match="exists"):
        export.write(tmp_path / "net.lp")
    assert (tmp_path / "net.lp").read_bytes() == before
    export.write(tmp_path / "net.lp", force=True)


@pytest.mark.parametrize("ending", WRITERS)
def test_jumps_have_a_binary_each(ending: str, tmp_path: Path) -> None:
    builder = NetworkBuilder((1,))
    network = builder.build(builder.add(Round(), builder.input))
    export = export_milp(network, np.zeros((1, 1)), radius=2.2)
    (prefix,) = (each.prefix for each in export.program.neurons)
    assert [c.name for c in export.program.columns if c.role.startswith("passed")] == [
        f"{prefix}__passed{number}_0" for number in (1, 2, 3, 4)
    ]
    for maximise, expected in ((False, -2.0), (True, 2.0)):
        assert optimum(export.program, 0, tmp_path, ending, maximise=maximise) == expected
