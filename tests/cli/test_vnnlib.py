"""The standard's command line."""

from __future__ import annotations

import json

import jsonschema
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from sensverify import __version__
from sensverify.report.schemas import result_schema

TEXT = """(vnnlib-version <2.0>)
(declare-network f (declare-input X {0} [1,4]) (declare-output Y {0} [1,3]))
(declare-network g (equal-to f) (declare-input U {0} [1,4]) (declare-output V {0} [1,3]))
"""
LIMITS = [(4.9, 5.3), (3.3, 3.7), (1.2, 1.6), (0.1, 0.3)]


@pytest.fixture
def asked(tmp_path):
    def write(last, kind="float32"):
        lines = [TEXT.format(kind)]
        for i, (low, high) in enumerate(LIMITS):
            lines += [f"(assert (and (>= X[0,{i}] {low}) (<= X[0,{i}] {high})))"]
            lines += [f"(assert (== X[0,{i}] U[0,{i}]))"]
        path = tmp_path / "asked.vnnlib"
        path.write_text("\n".join([*lines, f"(assert {last})"]))
        return path

    return write


def test_answers(run, asked, tmp_path):
    path = asked("(>= Y[0,0] (+ Y[0,1] 0.01))")
    result = tmp_path / "answer.json"
    done = run("vnnlib", "verify", path, "--network", "f=iris", "--json", result)
    lines = done.stdout.splitlines()
    assert (done.exit_code, lines[0], lines[1]) == (0, "sat", "X float32 [1,4]")
    assert [line for line in lines if " " in line] == [
        "X float32 [1,4]",
        "Y float32 [1,3]",
        "U float32 [1,4]",
        "V float32 [1,3]",
    ]
    assert lines[2:6] == lines[11:15]
    numbers = np.array([float(line) for line in lines[2:6]])
    assert all(low <= n <= high for n, (low, high) in zip(numbers, LIMITS, strict=True))
    found = json.loads(result.read_text())
    jsonschema.validate(found, result_schema("query"))
    assert found["verdict"] == "sat"
    assert [each["name"] for each in found["witness"]] == ["X", "Y", "U", "V"]
    path = asked("(> Y[0,0] (+ V[0,0] 0.01))", "real")
    done = run("vnnlib", "verify", path, "--network", "f=iris", "--timeout", "60")
    assert (done.exit_code, done.stdout) == (0, "unsat\n")
    assert "no assignment" in done.stderr


def test_no_time(run, asked):
    path = asked("(> Y[0,0] (+ V[0,0] 0.01))", "real")
    done = run("vnnlib", "verify", path, "--network", "f=iris", "--timeout", "1e-6")
    assert (done.exit_code, done.stdout) == (0, "timed-out\n")


def test_assignments_as_files(run, asked, tmp_path):
    path, folder = asked("(>= Y[0,0] (+ Y[0,1] 0.01))"), tmp_path / "found"
    given = ("vnnlib", "verify", path, "--network", "f=iris", "--serialise-assignments", folder)
    done = run(*given)
    assert (done.exit_code, done.stdout) == (0, "sat\n")
    tensors = {each.stem: onnx.TensorProto() for each in folder.iterdir()}
    for name, tensor in tensors.items():
        tensor.ParseFromString((folder / f"{name}.pb").read_bytes())
        assert tensor.data_type == onnx.TensorProto.FLOAT
    assert set(tensors) == {"X", "Y", "U", "V"}
    x, u = (numpy_helper.to_array(tensors[name]) for name in "XU")
    assert x.shape == (1, 4)
    np.testing.assert_array_equal(x, u)
    again = run(*given)
    assert again.exit_code == 2
    assert "--force" in again.stderr
    assert run(*given, "--force").exit_code == 0


def test_name_and_version(run):
    assert run("vnnlib", "--name").stdout == "sensverify\n"
    assert run("vnnlib", "--version").stdout == f"{__version__}\n"


@pytest.mark.parametrize(
    ("option", "lines"),
    [
        ("--onnx-element-types", ["float32", "real"]),
        ("--vnnlib-versions", ["2.0", "2.1"]),
        ("--hidden-node-theories", ["H"]),
        ("--multiple-input-output-theories", ["MIO"]),
        ("--multiple-network-theories", ["MNET"]),
        ("--multiple-node-comparison-theories", ["MNC"]),
        ("--arithmetic-complexity-theories", ["POLY"]),
        ("--optimised-disjunctive-reasoning", ["false"]),
        ("--serialise-assignments", ["true"]),
    ],
)
def test_what_is_supported(option, lines, run):
    assert run("vnnlib", "supports", option).stdout.splitlines() == lines


def test_operators_that_are_supported(run):
    operators = run("vnnlib", "supports", "--onnx-operators").stdout.split()
    assert {"Conv", "Gemm", "MatMul", "Relu"} <= set(operators)
    oldest, newest = run("vnnlib", "supports", "--onnx-opset-versions").stdout.split()
    assert int(oldest) < int(newest)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["verify", "none.vnnlib", "--network", "f=iris"], "none.vnnlib"),
        (["verify", "{}", "--network", "f"], "NAME=FILE"),
        (["verify", "{}", "--network", "f="], "NAME=FILE"),
        (["verify", "{}"], "--network"),
        (["verify", "{}", "--network", "f=iris", "--network", "f=iris"], "two files for 'f'"),
        (["verify", "{}", "--network", "f=iris", "--network", "g=iris"], "'g' is equal to 'f'"),
        (["verify", "{}", "--network", "f=none.onnx"], "none.onnx"),
        (["verify", "{}", "--network", "f=iris", "--timeout", "0"], "--timeout"),
        (["verify", "{}", "--network", "f=iris", "--method", "none"], "none"),
        (["supports"], "--onnx-operators"),
    ],
)
def test_bad_input(given, words, run, asked):
    path = asked("(>= Y[0,0] 0.5)")
    done = run("vnnlib", *(each.format(path) for each in given))
    assert done.exit_code == 2
    assert words in done.stderr
    assert not done.stdout
