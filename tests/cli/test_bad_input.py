"""Bad input: exit status 2, one clear line on standard error, nothing else, nothing written."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper, numpy_helper

from sensverify.cli.main import main

Run = Callable[..., Result]


@dataclass(frozen=True)
class Kit:
    """What a case makes its files with."""

    folder: Path
    save_mlp: Callable[..., Path]


Case = Callable[[Kit], list[object]]
CASES: dict[str, tuple[Case, str]] = {}
"""By name: what makes the files and the arguments, and what the message names."""


def case(named: str) -> Callable[[Case], Case]:
    def register(function: Case) -> Case:
        CASES[function.__name__] = (function, named)
        return function

    return register


def identity(kit: Kit) -> Path:
    return kit.save_mlp(kit.folder / "net.onnx", (np.eye(2), np.zeros(2)))


def npz(kit: Kit, **arrays: object) -> Path:
    np.savez(kit.folder / "data.npz", **{name: np.asarray(v) for name, v in arrays.items()})
    return kit.folder / "data.npz"


def good(kit: Kit) -> list[object]:
    x = np.zeros((3, 2), np.float32)
    return [identity(kit), "--data", npz(kit, x=x, feature_range=np.ones(2))]


def with_data(kit: Kit, **arrays: object) -> list[object]:
    return [identity(kit), "--data", npz(kit, **arrays), "--radius", 0.1]


def broken_model(kit: Kit, content: bytes) -> list[object]:
    path = kit.folder / "broken.onnx"
    path.write_bytes(content)
    return [path, "--data", npz(kit, x=np.zeros((1, 2), np.float32)), "--radius", 0.1]


@case("missing.onnx")
def missing_model(kit: Kit) -> list[object]:
    return [kit.folder / "missing.onnx"]


@case("nonsense")
def unknown_model(kit: Kit) -> list[object]:
    return ["nonsense"]


@case("broken.onnx")
def not_onnx(kit: Kit) -> list[object]:
    return broken_model(kit, b"this is no model " * 20)


@case("broken.onnx")
def empty_model(kit: Kit) -> list[object]:
    return broken_model(kit, b"")


@case("broken.onnx")
def truncated_model(kit: Kit) -> list[object]:
    content = identity(kit).read_bytes()
    return broken_model(kit, content[: len(content) // 2])


@case("broken.onnx.gz")
def truncated_gzip(kit: Kit) -> list[object]:
    path = kit.folder / "broken.onnx.gz"
    path.write_bytes(b"\x1f\x8b\x08\x00truncated")
    return [path, "--data", npz(kit, x=np.zeros((1, 2), np.float32)), "--radius", 0.1]


@case("broken.onnx")
def model_that_fails_the_checker(kit: Kit) -> list[object]:
    model = onnx.load(identity(kit))
    model.graph.node[0].input[1] = "nowhere"
    return broken_model(kit, model.SerializeToString())


@case("Tan")
def unsupported_operator(kit: Kit) -> list[object]:
    model = kit.save_mlp(kit.folder / "tan.onnx", (np.eye(2), np.zeros(2)), last="Tan")
    return [model, *good(kit)[1:], "--radius", 0.1]


@case("shape")
def dynamic_feature_axis(kit: Kit) -> list[object]:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "features"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "features"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return broken_model(kit, model.SerializeToString())


@case("NaN")
def weights_with_nan(kit: Kit) -> list[object]:
    model = kit.save_mlp(kit.folder / "nan.onnx", (np.array([[1.0, np.nan]]), np.zeros(1)))
    return [model, *good(kit)[1:], "--radius", 0.1]


@case("outside")
def external_data_outside_the_folder(kit: Kit) -> list[object]:
    inner = kit.folder / "inner"
    inner.mkdir()
    (kit.folder / "secret.bin").write_bytes(np.eye(2, dtype=np.float32).tobytes())
    model = onnx.load(identity(kit))
    weight = model.graph.initializer[0]
    weight.CopyFrom(numpy_helper.from_array(np.eye(2, dtype=np.float32), weight.name))
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "../secret.bin"), ("offset", "0"), ("length", "16")):
        entry = weight.external_data.add()
        entry.key, entry.value = key, value
    (inner / "evil.onnx").write_bytes(model.SerializeToString())
    return [inner / "evil.onnx", *good(kit)[1:], "--radius", 0.1]


@case("unbounded")
def bounds_that_overflow(kit: Kit) -> list[object]:
    big = (1e30 * np.eye(2), np.zeros(2))
    return [kit.save_mlp(kit.folder / "big.onnx", big, big), *good(kit)[1:], "--radius", 1]


@case("(2,)")
def input_of_the_wrong_shape(kit: Kit) -> list[object]:
    return with_data(kit, x=np.zeros((3, 5), np.float32))


@case("data.npz")
def input_with_nan(kit: Kit) -> list[object]:
    return with_data(kit, x=np.array([[0.0, np.nan]]))


@case("data.npz")
def input_with_infinity(kit: Kit) -> list[object]:
    return with_data(kit, x=np.array([[0.0, np.inf]]))


@case("-0.1")
def negative_radius(kit: Kit) -> list[object]:
    return [*good(kit), "--radius", -0.1]


@case("nan")
def nan_radius(kit: Kit) -> list[object]:
    return [*good(kit), "--radius", "nan"]


@case("inf")
def infinite_radius(kit: Kit) -> list[object]:
    return [*good(kit), "--radius", "inf"]


@case("-1")
def negative_sigma(kit: Kit) -> list[object]:
    return [*good(kit), "--sigma", -1]


@case("at least 0")
def negative_radius_in_a_file(kit: Kit) -> list[object]:
    np.save(kit.folder / "r.npy", np.array([0.1, -0.1]))
    return [*good(kit), "--radius", kit.folder / "r.npy"]


@case("(3,)")
def radius_of_the_wrong_shape(kit: Kit) -> list[object]:
    np.save(kit.folder / "r.npy", np.ones(3))
    return [*good(kit), "--radius", kit.folder / "r.npy"]


@case("refused")
def radius_that_would_be_unpickled(kit: Kit) -> list[object]:
    np.save(kit.folder / "r.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
    return [*good(kit), "--radius", kit.folder / "r.npy"]


@case("lower <= upper")
def box_with_lower_above_upper(kit: Kit) -> list[object]:
    return [identity(kit), "--box", npz(kit, lower=[[1.0, 1.0]], upper=[[0.0, 2.0]])]


@case("data.npz")
def box_with_nan(kit: Kit) -> list[object]:
    return [identity(kit), "--box", npz(kit, lower=[[0.0, np.nan]], upper=[[1.0, 2.0]])]


@case("shape")
def box_of_the_wrong_shape(kit: Kit) -> list[object]:
    return [identity(kit), "--box", npz(kit, lower=[[0.0] * 3], upper=[[1.0] * 3])]


@case("'upper'")
def box_without_an_end(kit: Kit) -> list[object]:
    return [identity(kit), "--box", npz(kit, lower=[[0.0, 0.0]])]


@case("--box")
def box_and_radius(kit: Kit) -> list[object]:
    return [identity(kit), "--box", npz(kit, lower=[[0.0, 0.0]]), "--radius", 1]


@case("--sigma")
def radius_and_sigma(kit: Kit) -> list[object]:
    return [*good(kit), "--radius", 1, "--sigma", 1]


@case("--radius")
def no_radius_at_all(kit: Kit) -> list[object]:
    return good(kit)


@case("feature_range")
def sigma_without_a_range(kit: Kit) -> list[object]:
    return [*with_data(kit, x=np.zeros((3, 2)))[:-2], "--sigma", 0.1]


@case("--data")
def no_data(kit: Kit) -> list[object]:
    return [identity(kit), "--radius", 0.1]


@case("'magic'")
def unknown_method(kit: Kit) -> list[object]:
    return [*good(kit), "--radius", 0.1, "--method", "magic"]


@case("'stesp'")
def unknown_setting(kit: Kit) -> list[object]:
    return [*good(kit), "--radius", 0.1, "--method", "alpha-crown", "--setting", "stesp=3"]


@case("'name'")
def setting_called_name(kit: Kit) -> list[object]:
    return [*good(kit), "--radius", 0.1, "--setting", "name=x"]


@case("steps")
def setting_of_the_wrong_type(kit: Kit) -> list[object]:
    return [*good(kit), "--radius", 0.1, "--method", "alpha-crown", "--setting", "steps=many"]


@case("KEY=VALUE")
def setting_without_a_value(kit: Kit) -> list[object]:
    return [*good(kit), "--radius", 0.1, "--setting", "steps"]


@case("lirpa")
def timeout_of_a_method_without_one(kit: Kit) -> list[object]:
    return [*good(kit), "--radius", 0.1, "--timeout", 5, "--method", "lirpa"]


@case("'nonsense'")
def unknown_data(kit: Kit) -> list[object]:
    return [identity(kit), "--data", "nonsense", "--radius", 0.1]


@case("mnist")
def data_that_is_not_here(kit: Kit) -> list[object]:
    return [identity(kit), "--data", "mnist", "--data-dir", kit.folder / "empty", "--radius", 0.1]


@case("missing.npz")
def missing_data_file(kit: Kit) -> list[object]:
    return [identity(kit), "--data", kit.folder / "missing.npz", "--radius", 0.1]


@case("data.npz")
def data_file_that_is_none(kit: Kit) -> list[object]:
    (kit.folder / "data.npz").write_bytes(b"nothing of the sort")
    return [identity(kit), "--data", kit.folder / "data.npz", "--radius", 0.1]


@case("data.npz")
def data_that_promises_too_much(kit: Kit) -> list[object]:
    head = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 2), }"
    head = head.ljust(117) + "\n"
    member = b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode() + b"\0" * 64
    with zipfile.ZipFile(kit.folder / "data.npz", "w") as archive:
        archive.writestr("x.npy", member)
    return [identity(kit), "--data", kit.folder / "data.npz", "--radius", 0.1]


@case("2:9")
def samples_out_of_range(kit: Kit) -> list[object]:
    return [*good(kit), "--radius", 0.1, "--samples", "2:9"]


@case("2:1")
def samples_backwards(kit: Kit) -> list[object]:
    return [*good(kit), "--radius", 0.1, "--samples", "2:1"]


@case("'all'")
def samples_that_are_no_range(kit: Kit) -> list[object]:
    return [*good(kit), "--radius", 0.1, "--samples", "all"]


@case("label 7")
def label_out_of_range(kit: Kit) -> list[object]:
    return with_data(kit, x=np.zeros((2, 2)), y=np.array([0, 7]))


@case("(3,)")
def labels_of_the_wrong_shape(kit: Kit) -> list[object]:
    return with_data(kit, x=np.zeros((2, 2)), y=np.zeros(3))


@case("[0.5, 1.0]")
def samples_outside_of_clip(kit: Kit) -> list[object]:
    return [*good(kit), "--radius", 0.1, "--clip", 0.5, 1]


@case("--clip")
def clip_backwards(kit: Kit) -> list[object]:
    return [*good(kit), "--radius", 0.1, "--clip", 1, 0]


@case("--device")
def unknown_device(kit: Kit) -> list[object]:
    return [*good(kit), "--radius", 0.1, "--device", "abacus"]


@case("--memory")
def memory_that_is_no_size(kit: Kit) -> list[object]:
    return [*good(kit), "--radius", 0.1, "--memory", "plenty"]


@case("--max-width")
def threshold_that_is_no_number(kit: Kit) -> list[object]:
    return [*good(kit), "--radius", 0.1, "--max-width", "nan"]


@case("--nonsense")
def unknown_option(kit: Kit) -> list[object]:
    return [*good(kit), "--nonsense", "a"]


@case("lirpa")
def certificate_of_a_method_without_proofs(kit: Kit) -> list[object]:
    target = kit.folder / "a.cert"
    return [*good(kit), "--radius", 0.1, "--method", "lirpa", "--certificate", target]


@case("--certificate")
def certificate_on_standard_output(kit: Kit) -> list[object]:
    return [*good(kit), "--radius", 0.1, "--certificate", "-"]


@case("net.onnx")
def model_as_certificate(kit: Kit) -> list[object]:
    model, *rest = good(kit)
    return [model, *rest, "--radius", 0.1, "--force", "--certificate", model]


@case("a.out")
def certificate_and_json_in_one_file(kit: Kit) -> list[object]:
    target = kit.folder / "a.out"
    return [*good(kit), "--radius", 0.1, "--json", target, "--certificate", target]


@case("nowhere")
def target_in_a_folder_that_is_not_there(kit: Kit) -> list[object]:
    return [*good(kit), "--radius", 0.1, "--json", kit.folder / "nowhere" / "a.json"]


@case("a.out")
def one_target_for_two_outputs(kit: Kit) -> list[object]:
    target = kit.folder / "a.out"
    return [*good(kit), "--radius", 0.1, "--json", target, "--report", target]


@case("net.onnx")
def model_as_target(kit: Kit) -> list[object]:
    model, *rest = good(kit)
    return [model, *rest, "--radius", 0.1, "--force", "--json", model]


@case("data.npz")
def data_as_target(kit: Kit) -> list[object]:
    return [*good(kit), "--radius", 0.1, "--force", "--json", kit.folder / "data.npz"]


@case("r.npy")
def radius_as_target(kit: Kit) -> list[object]:
    np.save(kit.folder / "r.npy", np.ones(2))
    path = kit.folder / "r.npy"
    return [*good(kit), "--radius", path, "--force", "--json", path]


@case("data.npz")
def box_as_target(kit: Kit) -> list[object]:
    box = npz(kit, lower=[[0.0, 0.0]], upper=[[1.0, 1.0]])
    return [identity(kit), "--box", box, "--force", "--json", box]


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def kit(tmp_path: Path, save_mlp: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Kit:
    # No data but that of the case.
    monkeypatch.delenv("SENSVERIFY_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Kit(tmp_path, save_mlp)


@pytest.fixture
def targets(tmp_path: Path) -> list[object]:
    place = tmp_path / "out"
    place.mkdir()
    return ["--report", place / "report.html", "--json", place / "report.json"]


@pytest.mark.parametrize("name", CASES)
def test_bad_input(name: str, run: Run, kit: Kit, targets: list[object]) -> None:
    make, named = CASES[name]
    arguments = make(kit)
    if "--json" not in arguments:
        arguments += targets
    before = files(kit.folder)
    done = run("verify", *arguments)
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.endswith("\n")
    assert done.stderr.count("\n") == 1, done.stderr
    assert named.lower() in done.stderr.lower()
    assert files(kit.folder) == before


@pytest.mark.parametrize("name", ["truncated_model", "unknown_option"])
def test_bad_input_in_a_process_of_its_own(name: str, kit: Kit, targets: list[object]) -> None:
    """An error of ours and one of click's."""
    make, named = CASES[name]
    arguments = [str(a) for a in [*make(kit), *targets]]
    before = files(kit.folder)
    done = subprocess.run(
        [sys.executable, "-m", "sensverify", "verify", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert named.lower() in done.stderr.lower()
    assert files(kit.folder) == before


@pytest.mark.parametrize("arguments", [["nonsense"], ["list"], ["list", "nonsense"], ["verify"]])
def test_bad_usage(run: Run, arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_a_message_cannot_steer_the_terminal(run: Run) -> None:
    done = run("verify", "\x1b[31m\nred.onnx")
    assert done.exit_code == 2
    assert "\x1b" not in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_report_needs_a_file(run: Run) -> None:
    """Standard output holds JSON alone where that is asked for."""
    done = run("verify", "iris", "--samples", "0:1", "--json", "-", "--report", "-")
    assert done.exit_code == 2
    assert done.stdout == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    ("command", "status"), [("list models >/dev/full", 2), ("verify iris --samples 0:1 >&-", 0)]
)
def test_standard_output_that_takes_nothing(command: str, status: int) -> None:
    done = subprocess.run(
        ["sh", "-c", f'"$0" -m sensverify {command}', sys.executable],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr


def test_a_terminal_without_the_characters() -> None:
    done = CliRunner(charset="ascii").invoke(main, ["verify", "iris"])
    assert done.exit_code == 0, done.stderr
    assert b"\\u2026 and 10 more samples" in done.stdout_bytes
