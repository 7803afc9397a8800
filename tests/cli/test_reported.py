"""Inputs that people reported of tools of this kind: each gives what is true, or is refused.

The networks are small and made here. `ANSWERED` and `REFUSED` say which is which, and a test counts
them, so that an answer that turns into a refusal does not go unseen.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from click.testing import Result
from onnx import TensorProto, helper, numpy_helper
from torch import nn

import sensverify as sv
from sensverify.data import load_split
from sensverify.training import TrainSettings, fit

Run = Callable[..., Result]
Shape = tuple[int, ...]


def save(
    path: Path, nodes: list[Any], x: Shape, y: Shape, *, opset: int = 17, **constants: Any
) -> Path:
    """An ONNX file with one input ``x`` and one output ``y``."""
    ends = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)]
        for name, shape in (("x", x), ("y", y))
    ]
    stored = [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()]
    graph = helper.make_graph(nodes, "g", *ends, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    onnx.save(model, path)
    return path


def dense(path: Path, *layers: Any, biases: dict[int, Any] | None = None) -> Path:
    """Gemm layers with ReLU between, weights ``[inputs, outputs]``."""
    nodes, constants, value = [], {}, "x"
    weights = [np.asarray(layer, dtype=np.float32) for layer in layers]
    for i, weight in enumerate(weights):
        last = i == len(weights) - 1
        bias = (biases or {}).get(i, np.zeros(weight.shape[1]))
        constants |= {f"w{i}": weight, f"b{i}": np.asarray(bias, dtype=np.float32)}
        out = "y" if last else f"h{i}"
        nodes.append(helper.make_node("Gemm", [value, f"w{i}", f"b{i}"], [out]))
        if not last:
            nodes.append(helper.make_node("Relu", [out], [f"r{i}"]))
            value = f"r{i}"
    return save(path, nodes, (1, len(weights[0])), (1, weights[-1].shape[1]), **constants)


def absolute(path: Path) -> Path:
    return dense(path, [[1, -1]], [[1], [1]])


def identity(path: Path) -> Path:
    return dense(path, [[1, -1]], [[1], [-1]])


def absolute_twice(path: Path) -> Path:
    return dense(path, [[1, -1]], [[1, 1], [1, 1]])


def absolutes(path: Path) -> Path:
    """``y0 = |x0|, y1 = |x1|``."""
    return dense(path, np.kron(np.eye(2), [[1, -1]]), np.kron(np.eye(2), [[1], [1]]))


def absolute_and_zero(path: Path) -> Path:
    """``y0 = |x0|, y1 = |x1| - |x1|``."""
    first = np.kron([[1, 0, 0], [0, 1, 1]], [[1, -1]])
    return dense(path, first, np.kron([[1, 0], [0, 1], [0, -1]], [[1], [1]]))


def cancelling(path: Path) -> Path:
    """In float32 the first bias is lost beside 1e7, and with it the sign of y0 - y1."""
    return dense(path, [[1e7, 1e7]], [[1, 0], [-1, 0]], biases={0: [0.3, 0], 1: [0, 0.29]})


def scalar(path: Path) -> Path:
    """An output of no axes at all, as ``return self.fc(x).squeeze()`` exports it."""
    rng = np.random.default_rng(0)
    w, v = (rng.normal(size=shape).astype(np.float32) for shape in ((3, 4), (4, 1)))
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "v"], ["z"]),
        helper.make_node("Squeeze", ["z"], ["y"]),
    ]
    return save(path, nodes, (1, 3), (), w=w, b=np.zeros(4, np.float32), v=v)


def linear(path: Path) -> Path:
    return dense(path, np.random.default_rng(0).normal(size=(64, 10)) / 8)


def joined_with_itself(path: Path) -> Path:
    nodes = [
        helper.make_node("Relu", ["x"], ["h"]),
        helper.make_node("Concat", ["h", "h"], ["y"], axis=1),
    ]
    return save(path, nodes, (1, 3), (1, 6))


def one_name_twice(path: Path) -> Path:
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["h"], name="n"),
        helper.make_node("Relu", ["h"], ["y"], name="n"),
    ]
    w, b = np.ones((4, 3), np.float32), np.zeros(3, np.float32)
    return save(path, nodes, (1, 4), (1, 3), w=w, b=b)


def looser_by_crown(path: Path) -> Path:
    """Hidden bounds of LP-dual are tighter than CROWN's on it."""
    first = [[0.4, 0.3, 1.7], [1.1, -2.9, -0.4]]
    second = [[-1.6, -0.7, 0.8], [-0.2, -0.4, 1.3], [-1.5, -0.1, 0.5]]
    biases = {0: [0.8, 0.4, 0.3], 1: [0.3, 0.1, -1.2]}
    return dense(path, first, second, [[0], [-1.2], [0]], biases=biases)


def window(
    operator: str, kernel: int, stride: int, length: int, pad: str, opset: int
) -> Callable[[Path], Path]:
    """One window smaller than its stride, so that ``auto_pad`` would pad by less than nothing."""

    def make(path: Path) -> Path:
        options = {"kernel_shape": [kernel], "strides": [stride], "auto_pad": pad}
        inputs = ["x", "w"] if operator == "Conv" else ["x"]
        node = helper.make_node(operator, inputs, ["y"], **options)
        weight = {"w": np.ones((1, 1, kernel), np.float32)} if operator == "Conv" else {}
        return save(path, [node], (1, 1, length), (1, 1, 1), opset=opset, **weight)

    return make


@dataclass(frozen=True)
class Question:
    """A network, what is asked about it, and what is true.

    ``asked`` holds options, or the assertions of a property. ``says`` is the first line of a
    property's answer, or a part of the message of a refusal.
    """

    make: Callable[[Path], Path]
    asked: str
    status: int
    says: str = ""
    inputs: tuple[float, float] = (-1.0, 1.0)
    options: tuple[str, ...] = ()


def property_text(question: Question, inputs: int, outputs: int) -> str:
    low, high = question.inputs
    declared = [f"(declare-const X_{i} Real)" for i in range(inputs)]
    declared += [f"(declare-const Y_{i} Real)" for i in range(outputs)]
    box = [f"(assert (>= X_{i} {low}))(assert (<= X_{i} {high}))" for i in range(inputs)]
    return "\n".join([*declared, *box, question.asked])


def rows(*asserted: str) -> str:
    return "".join(f"(assert ({text}))" for text in asserted)


UNIT = (0.0, 1.0)
ANSWERED = {
    "above the maximum": Question(absolute, rows("> Y_0 1"), 0, "unsat"),
    "below the minimum": Question(absolute, rows("< Y_0 0"), 0, "unsat"),
    "above the maximum of an identity": Question(identity, rows("> Y_0 1"), 0, "unsat"),
    "above and below one number": Question(absolute, rows("> Y_0 .5", "< Y_0 .5"), 0, "unsat"),
    "two equal outputs that differ": Question(absolute_twice, rows("distinct Y_0 Y_1"), 0, "unsat"),
    "of two equal outputs the larger": Question(absolute_twice, rows("> Y_0 Y_1"), 0, "unsat"),
    "two windows": Question(
        absolutes, rows(">= Y_0 .2", "<= Y_0 .3", ">= Y_1 .6", "<= Y_1 .7"), 1, "sat"
    ),
    "two wide windows": Question(
        absolutes, rows(">= Y_0 .2", "<= Y_0 .5", ">= Y_1 .3", "<= Y_1 .7"), 1, "sat"
    ),
    "one end and a window": Question(
        absolutes, rows("<= Y_0 .3", ">= Y_1 .4", "<= Y_1 .6"), 1, "sat"
    ),
    "a window, and what never is": Question(
        absolute_and_zero, rows(">= Y_0 .2", "<= Y_0 .9", ">= Y_1 .1"), 0, "unsat"
    ),
    "scalar output, sat": Question(scalar, rows("<= Y_0 100"), 1, "sat", UNIT),
    "scalar output, no input moves": Question(
        scalar, rows(">= Y_0 100"), 0, "unsat", (0.5, 0.5), ("--rigorous",)
    ),
    "linear, unsat at the root": Question(linear, rows(">= Y_0 1000"), 0, "unsat", UNIT),
    "linear, two rows, certified": Question(
        linear, rows(">= Y_0 .5", ">= Y_1 1000"), 0, "unsat", UNIT, ("--rigorous",)
    ),
    **{
        f"scalar output by {method}": Question(scalar, "", 0, "", UNIT, ("--method", method))
        for method in ("ibp", "crown", "lp-dual", "alpha-crown", "lp", "exact", "milp")
    },
    "scalar output, certified": Question(scalar, "", 0, "", UNIT, ("--rigorous",)),
    "linear by exact, certified": Question(
        linear, "", 0, "", UNIT, ("--method", "exact", "--rigorous")
    ),
    "linear by milp, certified": Question(
        linear, "", 0, "", UNIT, ("--method", "milp", "--rigorous")
    ),
    "joined with itself": Question(joined_with_itself, "", 0, "", UNIT, ("--method", "ibp")),
}
REFUSED = {
    "one name of two nodes": Question(one_name_twice, "", 2, "name"),
    "Conv, 1 wide, every 4th": Question(window("Conv", 1, 4, 4, "SAME_UPPER", 13), "", 2, "SAME"),
    "Conv, 2 wide, every 5th": Question(window("Conv", 2, 5, 5, "SAME_UPPER", 13), "", 2, "SAME"),
    "a property of one": Question(
        window("Conv", 1, 4, 4, "SAME_UPPER", 13), rows(">= Y_0 .5"), 2, "SAME"
    ),
    **{
        f"AveragePool-{opset}": Question(
            window("AveragePool", 1, stride, stride, pad, opset), "", 2, "SAME"
        )
        for opset, stride, pad in (
            (18, 3, "SAME_UPPER"),
            (19, 3, "SAME_UPPER"),
            (22, 4, "SAME_LOWER"),
        )
    },
}


def answer(question: Question, run: Run, folder: Path) -> Result:
    path = question.make(folder / "net.onnx")
    graph = onnx.load(path).graph
    x, y = (
        [d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in (graph.input[0], graph.output[0])
    )
    if question.asked:
        asked = folder / "p.vnnlib"
        asked.write_text(property_text(question, int(np.prod(x)), int(np.prod(y))))
        return run("verify", path, "--property", asked, "--timeout", 20, *question.options)
    ends = (np.full((2, *x[1:]), end) for end in question.inputs)
    np.savez(folder / "box.npz", **dict(zip(("lower", "upper"), ends, strict=True)))
    return run("verify", path, "--box", folder / "box.npz", *question.options)


@pytest.mark.parametrize("name", ANSWERED)
def test_what_has_an_answer_gets_it(name: str, run: Run, tmp_path: Path) -> None:
    question = ANSWERED[name]
    done = answer(question, run, tmp_path)
    assert done.exit_code == question.status, done.stderr
    if question.says:
        assert done.stdout.splitlines()[0] == question.says


@pytest.mark.parametrize("name", REFUSED)
def test_what_runtimes_read_differently_is_refused(name: str, run: Run, tmp_path: Path) -> None:
    question = REFUSED[name]
    done = answer(question, run, tmp_path)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    assert question.says in done.stderr


def test_how_many_are_answered_and_how_many_refused() -> None:
    assert (len(ANSWERED), len(REFUSED)) == (25, 7)


@pytest.mark.parametrize("options", [(), ("--rigorous",)])
def test_what_holds_in_real_arithmetic_alone_is_not_unsat(
    options: tuple[str, ...], run: Run, tmp_path: Path
) -> None:
    """Every input violates it when onnxruntime runs the file in float32."""
    asked = rows(">= Y_1 Y_0")
    done = answer(Question(cancelling, asked, 3, "", (0.9, 1.1), options), run, tmp_path)
    assert done.exit_code == 3
    assert done.stdout.splitlines()[0] == "unknown"
    assert "holds in real arithmetic" in " ".join(done.stderr.split())


def test_the_relaxation_is_inside_of_what_its_slopes_prove(run: Run, tmp_path: Path) -> None:
    found = {}
    for method in ("lp", "lp-dual"):
        question = Question(
            looser_by_crown, "", 0, "", (-1, 1), ("--method", method, "--json", "-")
        )
        outer = json.loads(answer(question, run, tmp_path).stdout)["samples"][0]["outer"]
        found[method] = outer["lower"][0], outer["upper"][0]
    slack = 1e-6 * max(map(abs, found["lp-dual"]))
    assert found["lp"][0] >= found["lp-dual"][0] - slack
    assert found["lp"][1] <= found["lp-dual"][1] + slack


def test_a_saturated_softmax_hides_nothing_from_attacks(run: Run, tmp_path: Path) -> None:
    """``y = ±3e4 (x0 - x1)`` in the unit square at radius 0.3: a sample is robust exactly if
    ``|x0 - x1|`` stays above zero for every move."""
    path = dense(tmp_path / "net.onnx", [[3e4, -3e4], [-3e4, 3e4]])
    x = np.random.default_rng(0).random((60, 2)).astype(np.float32)
    y = np.where(x[:, 0] > x[:, 1], 0, 1)
    np.savez(tmp_path / "d.npz", x=x, y=y)
    ends = np.clip(x - np.float32(0.3), 0, 1), np.clip(x + np.float32(0.3), 0, 1)
    low, high = ends[0][:, 0] - ends[1][:, 1], ends[1][:, 0] - ends[0][:, 1]
    robust = np.where(y == 0, low > 0, high < 0).mean()
    attacks = "pgd,apgd-ce,apgd-dlr"
    none = [f"--{what}=none" for what in ("corruptions", "measures", "sequences")]
    done = run(
        "evaluate", path, "--data", tmp_path / "d.npz", "--count", 60, "--train-samples", 60,
        "--radii", 0.3, "--clip", 0, 1, "--attacks", attacks, *none, "--json", "-",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    rates = [row for row in found["models"][0]["attacks"] if row["radius"] > 0]
    assert len(rates) >= 3
    for row in rates:
        assert row["classified"]["accuracy"]["share"] == pytest.approx(robust)


def test_images_with_their_channels_last_are_refused_by_training(run: Run, tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((40, 12, 12, 3)).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=x, y=np.arange(40) % 3)
    asked = ("--data", tmp_path / "d.npz", "--model", "conv-4", "--radius", 0.05, "--epochs", 1)
    done = run("train", *asked, "--out", tmp_path / "run")
    assert done.exit_code == 2
    assert "transpose" in done.stderr


def test_a_concatenation_with_itself_is_evaluated(run: Run, tmp_path: Path) -> None:
    path = joined_with_itself(tmp_path / "net.onnx")
    np.savez(tmp_path / "d.npz", x=np.random.default_rng(0).random((6, 3)), y=np.arange(6))
    none = [f"--{what}=none" for what in ("attacks", "corruptions", "sequences")]
    done = run(
        "evaluate", path, "--data", tmp_path / "d.npz", "--radii", 0.1, "--certify", "ibp", *none,
        "--measures", "sensitivity", "--train-samples", 0,
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr


class Selected(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x[:, 0], x[:, 1]], 1)


class Masked(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, torch.tensor([True, False, True])]


class Summed(nn.Module):
    """A head of one number a sample."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.first(x)).sum(1)


class Doubled(nn.Module):
    """A value that is added to itself, or to what an operator in place has made of it."""

    def __init__(self, features: int = 3, *, inplace: bool = False) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(features, 3), nn.Linear(3, 3)
        self.act = nn.ReLU(inplace=inplace)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.first(x)
        return (
            self.last(self.act(h) + h) if self.act.inplace else self.last(2 * self.act(h) + h + h)
        )


@pytest.mark.parametrize(
    "module",
    [Selected(), Masked(), Summed(), Doubled(), Doubled(inplace=True)],
    ids=["slices", "mask", "scalar head", "h + h", "in place"],
)
def test_modules_as_people_write_them(module: nn.Module) -> None:
    network = sv.from_module(module, (3,))
    points = torch.rand(200, 3) * 2 - 1
    with torch.no_grad():
        wanted = module(points)
        assert torch.allclose(
            sv.forward_pass(network, points).reshape(wanted.shape), wanted, atol=1e-6
        )
    box, flat = sv.Box(-torch.ones(1, 3), torch.ones(1, 3)), wanted.reshape(len(points), -1)
    for method in ("ibp", "crown", "exact"):
        outer = sv.compute_bounds(network, box, sv.make_method(method)).outer
        assert bool((flat >= outer.lower - 1e-4).all()), method
        assert bool((flat <= outer.upper + 1e-4).all()), method


@pytest.mark.parametrize("loss", ["ibp", "crown-ibp"])
def test_a_value_added_to_itself_is_trained_with_bounds(loss: str) -> None:
    torch.manual_seed(0)
    settings = TrainSettings(epochs=1, sigma=0.05, metric_samples=10, pgd_steps=1)
    result = fit(Doubled(4), load_split("iris"), loss, settings)
    assert result.metrics_test is not None
