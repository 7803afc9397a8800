"""Queries in VNN-LIB 2 about small networks whose answers are known."""

from __future__ import annotations

import itertools

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from sensverify.certificates import check_certificate, read_certificate
from sensverify.errors import BadProperty, BadSetting, SensverifyError
from sensverify.formats.onnx.runtime import open_session
from sensverify.formats.vnnlib import load_property
from sensverify.verification import QueryRequest, check_query

HEAD = "(vnnlib-version <2.0>)\n"


def info(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def saved(path, nodes, inputs, outputs, **stored):
    constants = [numpy_helper.from_array(np.asarray(v), k) for k, v in stored.items()]
    graph = helper.make_graph(nodes, "net", inputs, outputs, constants)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )
    return path


def node(kind, inputs, outputs, **attributes):
    return helper.make_node(kind, inputs, outputs, **attributes)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """``hat``: 1 - |x|; ``ramp``: max(0, a + 2 b) and its inner a + 2 b; ``row``: a table."""
    folder = tmp_path_factory.mktemp("files")
    one = np.ones((1, 1), np.float32)
    hat = saved(
        folder / "hat.onnx",
        [node("Abs", ["x"], ["m"]), node("Sub", ["one", "m"], ["y"])],
        [info("x", (1, 1))],
        [info("y", (1, 1))],
        one=one,
    )
    ramp = saved(
        folder / "ramp.onnx",
        [
            node("Add", ["b", "b"], ["twice"]),
            node("Add", ["a", "twice"], ["inner"]),
            node("Relu", ["inner"], ["y"]),
            node("Neg", ["y"], ["z"]),
        ],
        [info("a", (1, 2)), info("b", (1, 2))],
        [info("y", (1, 2)), info("z", (1, 2))],
    )
    row = saved(
        folder / "row.onnx",
        [node("Gather", ["table", "t"], ["r"]), node("Reshape", ["r", "s"], ["y"])],
        [info("t", (1, 1), TensorProto.INT64)],
        [info("y", (1, 1))],
        table=np.array([[0], [3], [1]], np.float32),
        s=np.array([1, 1]),
    )
    return {"hat": hat, "ramp": ramp, "row": row}


@pytest.fixture
def ask(tmp_path):
    def asked(text, networks, **settings):
        path = tmp_path / "asked.vnnlib"
        path.write_text(HEAD + text)
        return check_query(QueryRequest(path, networks, timeout=30.0, **settings))

    return asked


def hats(kind, *asserted, names=("f",), like=""):
    """Networks f, g with the inputs X, U and the outputs Y, V."""
    declared = zip(names, ("X", "U"), ("Y", "V"), ("", like), strict=False)
    lines = [
        f"(declare-network {f} {how} (declare-input {x} {kind} [1,1])"
        f" (declare-output {y} {kind} [1,1]))"
        for f, x, y, how in declared
    ]
    return "\n".join([*lines, *(f"(assert {each})" for each in asserted)])


X = "(and (>= X[0,0] -1.0) (<= X[0,0] 2.0))"
U = "(and (>= U[0,0] -1.0) (<= U[0,0] 2.0))"


@pytest.mark.parametrize("kind", ["real", "float32"])
@pytest.mark.parametrize(
    ("asserted", "verdict"),
    [
        (["(>= Y[0,0] 0.75)"], "sat"),
        (["(>= Y[0,0] 1.01)"], "unsat"),
        (["(<= Y[0,0] -1.01)"], "unsat"),
        (["(<= Y[0,0] -0.9)"], "sat"),
        # y >= 0.5 and x >= 0.6 contradict each other.
        (["(>= Y[0,0] 0.5)", "(>= X[0,0] 0.6)"], "unsat"),
        # What relates an input with the output: y - x = 1 - 2 x for x >= 0.
        (["(>= (- Y[0,0] X[0,0]) 0.9)", "(>= X[0,0] 0.1)"], "unsat"),
        (["(>= (- Y[0,0] X[0,0]) 0.7)", "(>= X[0,0] 0.1)"], "sat"),
        (["(or (>= Y[0,0] 1.5) (<= (+ Y[0,0] X[0,0]) -1.1))"], "unsat"),
        (["(or (>= Y[0,0] 1.5) (<= (+ Y[0,0] X[0,0]) -0.9))"], "sat"),
        (["(> X[0,0] 2.0)"], "unsat"),
    ],
)
def test_one_network(kind, asserted, verdict, ask, files):
    found = ask(hats(kind, X, *asserted), {"f": files["hat"]})
    assert found.verdict.value == verdict
    if verdict == "sat":
        x, y = (each.values for each in found.witness)
        (theirs,) = open_session(onnx.load(files["hat"])).run(None, {"x": x.astype(np.float32)})
        np.testing.assert_array_equal(y, theirs)
        assert -1 <= x.item() <= 2


@pytest.mark.parametrize("like", ["", "(equal-to f)", "(isomorphic-to f)"])
@pytest.mark.parametrize(
    ("asserted", "verdict"),
    [
        # Falling for x >= 0.
        (["(>= X[0,0] 0.0)", "(>= U[0,0] X[0,0])", "(>= V[0,0] (+ Y[0,0] 0.01))"], "unsat"),
        (["(>= U[0,0] X[0,0])", "(>= V[0,0] (+ Y[0,0] 0.01))"], "sat"),
        # Equal inputs have equal outputs, exactly.
        (["(== X[0,0] U[0,0])", "(> V[0,0] (+ Y[0,0] 0.001))"], "unsat"),
        # Lipschitz: outputs are no further apart than inputs.
        (["(<= (- X[0,0] U[0,0]) 0.1)", "(>= (- X[0,0] U[0,0]) -0.1)",
          "(>= (- Y[0,0] V[0,0]) 0.12)"], "unsat"),
    ],
)  # fmt: skip
def test_two_networks(like, asserted, verdict, ask, files):
    names = {"f": files["hat"], "g": files["hat"]}
    if like == "(equal-to f)":
        del names["g"]
    found = ask(hats("real", X, U, *asserted, names=("f", "g"), like=like), names)
    assert found.verdict.value == verdict
    if verdict == "sat":
        assert [each.name for each in found.witness] == ["X", "Y", "U", "V"]
        x, y, u, v = (each.values.item() for each in found.witness)
        assert (y, v) == pytest.approx((1 - abs(x), 1 - abs(u)), abs=1e-6)
        assert u >= x
        assert v >= y + 0.01


@pytest.mark.parametrize("kind", ["real", "float32"])
@pytest.mark.parametrize(
    ("asserted", "verdict"),
    [
        # y (1 + x) = 1 - x^2 for x >= 0.
        (["(>= X[0,0] 0.0)", "(>= (* Y[0,0] (+ 1.0 X[0,0])) 1.05)"], "unsat"),
        (["(>= X[0,0] 0.25)", "(>= (* Y[0,0] (+ 1.0 X[0,0])) 0.9)"], "sat"),
        (["(<= (* X[0,0] X[0,0]) -0.01)"], "unsat"),
        (["(>= (* X[0,0] X[0,0] X[0,0]) 8.1)"], "unsat"),
        (["(>= (* X[0,0] X[0,0] X[0,0]) 7.5)"], "sat"),
        (["(>= (* X[0,0] -2.0 X[0,0]) 0.1)"], "unsat"),
    ],
)
def test_products_of_variables(kind, asserted, verdict, ask, files):
    found = ask(hats(kind, X, *asserted), {"f": files["hat"]})
    assert found.verdict.value == verdict


RAMP = """(declare-network f (declare-input A {0} [1,2]) (declare-input B {0} [1,2])
  (declare-hidden H {0} [1,2] "inner") (declare-output Y {0} [1,2]) (declare-output Z {0} [1,2]))
"""


def ramp(kind, *asserted):
    ends = [
        f"(assert (and (>= {name}[0,{i}] -1.0) (<= {name}[0,{i}] 1.0)))"
        for name in "AB"
        for i in range(2)
    ]
    return "\n".join([RAMP.format(kind), *ends, *(f"(assert {each})" for each in asserted)])


@pytest.mark.parametrize("kind", ["real", "float32"])
@pytest.mark.parametrize(
    ("asserted", "verdict"),
    [
        (["(>= Y[0,1] 2.5)", "(<= H[0,0] -2.5)"], "sat"),
        (["(>= Y[0,1] 3.1)"], "unsat"),
        (["(<= H[0,0] -1.0)", "(>= Y[0,0] 0.5)"], "unsat"),
        (["(>= (+ Y[0,0] Z[0,0]) 0.1)"], "unsat"),
        (["(>= (+ A[0,0] B[0,0]) 1.5)", "(<= Y[0,0] 1.5)"], "unsat"),
        (["(>= (+ A[0,0] B[0,0]) 1.5)", "(<= Y[0,0] 2.7)"], "sat"),
    ],
)
def test_several_inputs_outputs_and_inner_values(kind, asserted, verdict, ask, files):
    found = ask(ramp(kind, *asserted), {"f": files["ramp"]})
    assert found.verdict.value == verdict
    if verdict == "sat":
        assert [each.name for each in found.witness] == ["A", "B", "H", "Y", "Z"]
        a, b, h, y, z = (each.values for each in found.witness)
        np.testing.assert_allclose(h, a + 2 * b, atol=1e-6)
        np.testing.assert_array_equal(y, np.maximum(h, 0))
        np.testing.assert_array_equal(z, -y)


def test_real_and_float32_differ_where_rounding_decides(tmp_path, ask):
    """``(x + 2^24) - 2^24``: x in real arithmetic, an even number in float32."""
    path = saved(
        tmp_path / "steps.onnx",
        [node("Add", ["x", "much"], ["m"]), node("Sub", ["m", "much"], ["y"])],
        [info("x", (1, 1))],
        [info("y", (1, 1))],
        much=np.full((1, 1), 2**24, np.float32),
    )
    text = [X.replace("-1.0", "0.3").replace("2.0", "0.7"), "(<= Y[0,0] 0.1)"]
    assert ask(hats("real", *text), {"f": path}).verdict.value == "unsat"
    found = ask(hats("float32", *text), {"f": path})
    assert found.verdict.value in ("sat", "unknown")
    if found.verdict.value == "unknown":
        assert "float32 may move" in found.reasons[0]
    # In real arithmetic there is such a y, and no file computes it.
    text = [X.replace("-1.0", "0.3").replace("2.0", "0.7"), "(>= Y[0,0] 0.35)", "(<= Y[0,0] 0.6)"]
    assert ask(hats("real", *text), {"f": path}).verdict.value in ("unknown", "timeout")


def test_float32_answers_are_those_of_every_float32_input(ask, files):
    """Limits one unit apart: what is called unsat is so at all 2,049 inputs."""
    low, unit = np.float32(0.25), np.float32(2.0**-25)
    xs = low + unit * np.arange(2049, dtype=np.float32)
    (theirs,) = open_session(onnx.load(files["hat"])).run(None, {"x": xs[:1, None]})
    values = 1 - xs
    for offset in (-64, -1, 0, 1, 64):
        limit = float(np.float32(0.75)) + offset * 2.0**-24
        text = hats(
            "float32",
            f"(and (>= X[0,0] {float(xs[0])!r}) (<= X[0,0] {float(xs[-1])!r}))",
            f"(>= Y[0,0] {limit:.30f})",
        )
        found = ask(text, {"f": files["hat"]}).verdict.value
        exists = bool((values.astype(np.float32) >= np.float32(limit)).any())
        assert found in ("sat" if exists else "unsat", "unknown")
        if abs(offset) == 64:
            assert found == ("sat" if exists else "unsat")
    assert theirs.item() == values[0]


@pytest.mark.parametrize(
    ("asserted", "verdict"),
    [
        (["(<= T[0,0] 2)", "(>= Y[0,0] 2.5)"], "sat"),
        (["(<= T[0,0] 2)", "(>= Y[0,0] 1.5)", "(<= Y[0,0] 2.5)"], "unsat"),
        (["(<= T[0,0] 0)", "(>= Y[0,0] 0.5)"], "unsat"),
    ],
)
def test_integers_that_choose_rows(asserted, verdict, ask, files):
    text = (
        "(declare-network f (declare-input T int64 [1,1]) (declare-output Y float32 [1,1]))\n"
        + "\n".join(f"(assert {each})" for each in ("(>= T[0,0] 0)", *asserted))
    )
    found = ask(text, {"f": files["row"]})
    assert found.verdict.value == verdict
    if verdict == "sat":
        assert found.witness[0].values.tolist() == [[1]]


def test_random_networks_and_queries(tmp_path, ask):
    """Answers of small random queries beside a grid: sat where it has a point, unsat never so."""
    rng = np.random.default_rng(1)
    seen = set()
    for number in range(8):
        a, b = (rng.normal(size=shape).astype(np.float32) for shape in ((2, 3), (3, 2)))
        path = saved(
            tmp_path / f"{number}.onnx",
            [
                node("MatMul", ["x", "a"], ["m"]),
                node("Relu", ["m"], ["r"]),
                node("MatMul", ["r", "b"], ["y"]),
            ],
            [info("x", (1, 2))],
            [info("y", (1, 2))],
            a=a,
            b=b,
        )
        limit = round(float(rng.normal()) * 3, 2)
        text = (
            "(declare-network f (declare-input X real [1,2]) (declare-output Y real [1,2]))"
            + "".join(f"(assert (and (>= X[0,{i}] -1.0) (<= X[0,{i}] 1.0)))" for i in range(2))
            + f"(assert (>= (+ Y[0,0] (* 0.5 X[0,1])) {limit}))(assert (<= Y[0,1] X[0,0]))"
        )
        grid = np.array(list(itertools.product(np.linspace(-1, 1, 101), repeat=2)), np.float32)
        y = np.maximum(grid @ a, 0) @ b
        met = (y[:, 0] + 0.5 * grid[:, 1] >= limit + 1e-3) & (y[:, 1] <= grid[:, 0] - 1e-3)
        found = ask(text, {"f": path}).verdict.value
        seen.add(found)
        assert found == "sat" if met.any() else found in ("sat", "unsat", "unknown")
    assert {"sat", "unsat"} <= seen


def test_unsat_is_certified_where_certificates_are(ask, files, tmp_path):
    text = hats("real", X, "(>= Y[0,0] 1.01)")
    found = ask(text, {"f": files["hat"]}, rigorous=True)
    assert found.verdict.value == "unsat"
    path = tmp_path / "asked.cert"
    path.write_bytes(found.certification.data)
    asked = load_property(tmp_path / "asked.vnnlib")
    check_certificate(read_certificate(path), files["hat"], property=asked)
    with pytest.raises(BadSetting, match="more than the outputs of one network"):
        ask(hats("real", X, "(>= (+ X[0,0] Y[0,0]) 9.0)"), {"f": files["hat"]}, rigorous=True)


@pytest.mark.parametrize(
    ("text", "names", "error", "words"),
    [
        (hats("real", X, "(>= Y[0,0] 1.0)"), {}, BadSetting, "no file is given"),
        (hats("real", X, "(>= Y[0,0] 1.0)"), {"f": "hat", "g": "hat"}, BadSetting, "'g'"),
        (
            hats("real", X, U, "(>= V[0,0] Y[0,0])", names=("f", "g"), like="(equal-to f)"),
            {"f": "hat", "g": "hat"},
            BadSetting,
            "'g' is equal to 'f'",
        ),
        (
            hats("real", X, U, "(>= V[0,0] Y[0,0])", names=("f", "g"), like="(isomorphic-to f)"),
            {"f": "hat", "g": "other"},
            BadProperty,
            "isomorphic",
        ),
        (hats("float64", X, "(>= Y[0,0] 1.0)"), {"f": "hat"}, BadProperty, "float64"),
        (hats("int32", X, "(>= Y[0,0] 1)"), {"f": "hat"}, BadProperty, "."),
        (hats("real", X, "(>= Y[0,0] 1.0)"), {"f": "ramp"}, BadProperty, "1 inputs.* has 2 .a, b"),
        (
            hats("real", X, "(>= Y[0,0] 1.0)").replace("X real [1,1]", "X real [1,2]"),
            {"f": "hat"},
            SensverifyError,
            "X",
        ),
        (
            ramp("real", "(>= Y[0,0] 1.0)").replace('"inner"', '"iner"'),
            {"f": "ramp"},
            SensverifyError,
            "did you mean 'inner'",
        ),
        (ramp("real", "(>= Y[0,0] 1.0)").replace("A real [1,2]", "A real [1,2,1]"),
         {"f": "ramp"}, SensverifyError, "A"),
    ],
)  # fmt: skip
def test_files_and_types_that_do_not_fit(text, names, error, words, ask, files):
    other = {**files, "other": files["row"]}
    with pytest.raises(error, match=words):
        ask(text, {name: other[kind] for name, kind in names.items()})


def test_lengths_that_a_file_leaves_open(tmp_path, ask):
    path = saved(
        tmp_path / "open.onnx",
        [node("ReduceMean", ["x"], ["y"], axes=[1], keepdims=1)],
        [info("x", ("n", "length"))],
        [info("y", ("n", 1))],
    )
    text = hats("real", "(>= Y[0,0] 0.75)").replace("X real [1,1]", "X real [1,3]")
    text += "".join(f"(assert (and (>= X[0,{i}] 0.0) (<= X[0,{i}] 1.0)))" for i in range(3))
    assert ask(text, {"f": path}).verdict.value == "sat"
    assert ask(text + "(assert (<= X[0,2] 0.2))", {"f": path}).verdict.value == "unsat"


def test_a_time_limit(ask, files, tmp_path):
    path = tmp_path / "asked.vnnlib"
    path.write_text(HEAD + hats("real", X, "(>= (* 0.999 Y[0,0]) 0.999)"))
    found = check_query(QueryRequest(path, {"f": files["hat"]}, timeout=1e-6))
    assert found.verdict.value == "timeout"


@pytest.mark.parametrize("kind", ["real", "float32"])
def test_inputs_near_each_other(kind, ask, files):
    """The second input has no bounds but those of its distance from the first."""
    near = ["(<= (- X[0,0] U[0,0]) 0.1)", "(>= (- X[0,0] U[0,0]) -0.1)"]
    apart = "(>= (- Y[0,0] V[0,0]) {})"
    names = {"names": ("f", "g"), "like": "(equal-to f)"}
    for gap, verdict in ((0.12, "unsat"), (0.08, "sat")):
        text = hats(kind, X, *near, apart.format(gap), **names)
        assert ask(text, {"f": files["hat"]}).verdict.value == verdict
