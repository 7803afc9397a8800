"""Networks as people export them, through `verify` and `evaluate`."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from click.testing import Result
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from sensverify.formats.onnx.ends import Ends
from sensverify.formats.onnx.original import OriginalFile
from sensverify.models.loading import load_model

Run = Callable[..., Result]
RNG = np.random.default_rng(0)
SAMPLES = 6
FLOAT, DOUBLE, HALF = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16
W, B = RNG.normal(size=(4, 3)), RNG.normal(size=3)
KERNEL, DENSE = RNG.normal(size=(2, 1, 3, 3)), RNG.normal(size=(32, 3))


def node(kind: str, inputs: str, output: str, domain: str = "", **attributes: Any) -> Any:
    return helper.make_node(
        kind,
        inputs.split(),
        output.split(),
        name=f"{kind} of {output}",
        domain=domain,
        **attributes,
    )


def save(
    path: Path,
    nodes: list[Any],
    shape: list[Any],
    outputs: tuple[Any, ...] = ("y",),
    *,
    element: int = FLOAT,
    entering: int | None = None,
    **constants: Any,
) -> None:
    """A file of some nodes whose constants have the type that it computes in."""
    kept = {
        name: np.asarray(each)
        if np.asarray(each).dtype.kind in "iuU"
        else np.asarray(each, helper.tensor_dtype_to_np_dtype(element))
        for name, each in constants.items()
    }
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", entering or element, shape)],
        [
            helper.make_tensor_value_info(each, element, [shape[0], None])
            if isinstance(each, str)
            else each
            for each in outputs
        ],
        [numpy_helper.from_array(each, name) for name, each in kept.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)


def exported(path: Path, module: nn.Module, shape: tuple[int, ...], *, dynamo: bool) -> None:
    """A file of one of torch's own exporters."""
    torch.manual_seed(0)
    for values in module.parameters():
        nn.init.normal_(values, std=0.5)
    given: dict[str, Any] = {"dynamic_axes": {"x": {0: "batch"}, "y": {0: "batch"}}}
    if dynamo:
        given = {"dynamic_shapes": ({0: torch.export.Dim("batch")},), "verbose": False}
    names = {"input_names": ["x"], "output_names": ["y"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Two samples: an exporter may take a length of 1 for one that never changes.
        example = torch.zeros(2, *shape)
        torch.onnx.export(module.eval(), (example,), str(path), dynamo=dynamo, **names, **given)


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3)
    )


class Recurrent(nn.Module):
    """An LSTM over the rows, read at the last one."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.last = nn.LSTM(2, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.lstm(x)[0][:, -1])


class Attending(nn.Module):
    """One layer of a transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(
            4, 2, 8, dropout=0.0, activation="relu", batch_first=True
        )
        self.last = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.layer(x).mean(dim=1))


LABEL = helper.make_tensor_value_info("output_label", TensorProto.STRING, ["n"])
NUMBER = helper.make_tensor_value_info("label", TensorProto.INT64, ["n"])
MAPS = helper.make_value_info(
    "output_probability",
    helper.make_sequence_type_proto(
        helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(FLOAT, []))
    ),
)
LINEAR = [node("MatMul", "x w", "h"), node("Add", "h b", "y")]
NHWC = [
    node("Transpose", "x", "t", perm=[0, 3, 1, 2]),
    node("Conv", "t k", "c", auto_pad="SAME_UPPER"),
    node("Transpose", "c", "u", perm=[0, 2, 3, 1]),
    node("Relu", "u", "r"),
    node("Reshape", "r flat", "f"),
    node("MatMul", "f d", "m"),
    node("Softmax", "m", "y"),
]
SCALED = [node("Cast", "x", "c", to=FLOAT), node("Div", "c whole", "s")]
FIXED = [node("Reshape", "x rows", "f"), node("MatMul", "f w", "h"), node("Add", "h b", "y")]
POOLED = [
    node("Conv", "x k", "c"),
    node("GlobalAveragePool", "c", "g"),
    node("Flatten", "g", "f"),
    node("MatMul", "f few", "y"),
]
CLASSIFIER = node(
    "LinearClassifier",
    "x",
    "label scores",
    "ai.onnx.ml",
    coefficients=W.T.reshape(-1).tolist(),
    intercepts=B.tolist(),
    classlabels_strings=["a", "b", "c"],
    multi_class=1,
    post_transform="SOFTMAX",
)
SCIKIT = [
    CLASSIFIER,
    node("Normalizer", "scores", "p", "ai.onnx.ml", norm="L1"),
    node("Cast", "label", "output_label", to=TensorProto.STRING),
    node("ZipMap", "p", "output_probability", "ai.onnx.ml", classlabels_strings=["a", "b", "c"]),
]

# Two trees of one split: the first feature tells class 0 from the others, the second 1 from 2.
FOREST = node(
    "TreeEnsembleClassifier",
    "x",
    "label scores",
    "ai.onnx.ml",
    nodes_treeids=[0] * 3 + [1] * 3,
    nodes_nodeids=[0, 1, 2] * 2,
    nodes_featureids=[0, 0, 0, 1, 0, 0],
    nodes_values=[0.1, 0.0, 0.0, -0.1, 0.0, 0.0],
    nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"] * 2,
    nodes_truenodeids=[1, 0, 0] * 2,
    nodes_falsenodeids=[2, 0, 0] * 2,
    class_treeids=[0, 0, 0, 1, 1],
    class_nodeids=[1, 2, 2, 1, 2],
    class_ids=[0, 1, 2, 1, 2],
    class_weights=[0.6, 0.3, 0.3, 0.4, 0.4],
    classlabels_int64s=[0, 1, 2],
    post_transform="NONE",
)


@dataclass(frozen=True)
class Exported:
    """A kind of file.

    Parameters
    ----------
    write : callable
        Writes it to a path.
    shape : tuple of int
        Of a sample.
    options : tuple of str
        That the commands need for it.
    unknown : str
        The operator that has no counterpart; empty where all have one.
    whole : bool
        Its inputs are integers.
    """

    write: Callable[[Path], None]
    shape: tuple[int, ...] = (4,)
    options: tuple[str, ...] = ()
    unknown: str = ""
    whole: bool = False


FILES: dict[str, Exported] = {
    "torch": Exported(lambda path: exported(path, mlp(), (4,), dynamo=False)),
    "torch by dynamo": Exported(lambda path: exported(path, mlp(), (4,), dynamo=True)),
    "convolutions of torch": Exported(
        lambda path: exported(path, convolutional(), (1, 4, 4), dynamo=False), (1, 4, 4)
    ),
    "channels last": Exported(
        lambda path: save(path, NHWC, ["n", 4, 4, 1], k=KERNEL, d=DENSE, flat=[-1, 32]), (4, 4, 1)
    ),
    "float64": Exported(lambda path: save(path, LINEAR, ["n", 4], element=DOUBLE, w=W, b=B)),
    "float16": Exported(lambda path: save(path, LINEAR, ["n", 4], element=HALF, w=W, b=B)),
    "uint8": Exported(
        lambda path: save(
            path,
            [*SCALED, node("MatMul", "s w", "y")],
            ["n", 4],
            entering=TensorProto.UINT8,
            whole=255.0,
            w=W,
        ),
        whole=True,
    ),
    "batch of 8": Exported(lambda path: save(path, FIXED, [8, 4], w=W, b=B, rows=[8, 4])),
    "open lengths": Exported(
        lambda path: save(
            path, POOLED, ["n", 1, "rows", "columns"], k=KERNEL, few=RNG.normal(size=(2, 3))
        ),
        (1, 4, 4),
        ("--input-shape", "1,4,4"),
    ),
    "scikit-learn": Exported(lambda path: save(path, SCIKIT, ["n", 4], (LABEL, MAPS))),
    "scores inside": Exported(
        lambda path: save(path, [*LINEAR, node("Asinh", "y", "odd")], ["n", 4], ("odd",), w=W, b=B),
        options=("--output", "y"),
    ),
    "exponentials": Exported(
        lambda path: save(path, [*LINEAR, node("Asinh", "y", "odd")], ["n", 4], ("odd",), w=W, b=B),
        unknown="Asinh",
    ),
    "one for the largest": Exported(
        lambda path: save(
            path, [*LINEAR, node("Hardmax", "y", "odd")], ["n", 4], ("odd",), w=W, b=B
        ),
        unknown="Hardmax",
    ),
    "forest": Exported(
        lambda path: save(path, [FOREST], ["n", 4], (NUMBER, "scores")),
        options=("--output", "scores"),
        unknown="TreeEnsembleClassifier",
    ),
    "lstm": Exported(lambda path: exported(path, Recurrent(), (3, 2), dynamo=False), (3, 2)),
    "attention": Exported(lambda path: exported(path, Attending(), (3, 4), dynamo=False), (3, 4)),
    "attention by dynamo": Exported(
        lambda path: exported(path, Attending(), (3, 4), dynamo=True), (3, 4)
    ),
}


@dataclass(frozen=True)
class Files:
    """A network's file and samples with the labels that onnxruntime gives them."""

    kind: Exported
    model: Path
    data: Path
    sure: list[int] = field(default_factory=list)


@pytest.fixture(params=FILES)
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    kind, model, data = FILES[request.param], tmp_path / "net.onnx", tmp_path / "data.npz"
    kind.write(model)
    x = RNG.normal(size=(SAMPLES, *kind.shape)).astype(np.float32)
    if kind.whole:
        x = RNG.integers(0, 256, size=x.shape).astype(np.float32)
    output = kind.options[1] if "--output" in kind.options else None
    ends = Ends(output=output, shape=kind.shape if "--input-shape" in kind.options else None)
    head = load_model(str(model), ends=Ends(None, output, ends.shape, "peel"), opaque=True).head
    file = OriginalFile(model, Ends(None, output, ends.shape), head)
    y = [int(file.outputs(each.astype(file.dtype)).argmax()) for each in x]
    np.savez(data, x=x, y=np.array(y), feature_range=np.full(kind.shape, 2.0, np.float32))
    return Files(kind, model, data)


def test_files_are_verified_or_the_operator_and_what_to_do_are_named(
    run: Run, files: Files
) -> None:
    done = run(
        "verify", files.model, "--data", files.data, "--radius", "1e-6", "--json", "-",
        *files.kind.options,
    )  # fmt: skip
    if files.kind.unknown:
        assert done.exit_code == 2
        assert f"operator {files.kind.unknown} " in done.stderr
        for remedy in ("--output", "sensverify list operators", "sensverify evaluate"):
            assert remedy in done.stderr
        return
    assert done.exit_code == 0, done.output
    samples = json.loads(done.stdout)["samples"]
    assert [each["prediction"] == each["label"] for each in samples] == [True] * SAMPLES
    assert sum(each["label_kept"] == "certified" for each in samples) >= SAMPLES - 1


def test_files_are_evaluated_and_proofs_that_cannot_be_are_listed(run: Run, files: Files) -> None:
    done = run(
        "evaluate", files.model, "--data", files.data, "--radii", "0.01", "--clip", "-inf", "inf",
        "--attacks", "fgsm, square(queries=20)", "--corruptions", "none", "--sequences", "none",
        "--measures", "parameters, l2, jacobian, sensitivity-ibp", "--json", "-",
        *files.kind.options,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    (model,) = json.loads(done.stdout)["models"]
    classified = model["clean"][0]["classified"]
    accuracy = classified["accuracy"]
    assert accuracy["count"] == accuracy["samples"] == SAMPLES
    attacks = {row["attack"] for row in model["attacks"]}
    missing = {each["key"]: each["reason"] for each in model["missing"]}
    if not files.kind.unknown:
        assert attacks == {"fgsm", "square(queries=20)"}
        assert [row["method"] for row in model["certified"]] == ["crown"]
        assert not missing
        assert model["model"]["unproven_because"] is None
        return
    assert attacks == {"square(queries=20)"}
    assert not model["certified"]
    assert not model["measures"]
    assert f"operator {files.kind.unknown} " in model["model"]["unproven_because"]
    assert files.kind.unknown in missing["certified/crown/0.01"]
    assert "gradients" in missing["attack/fgsm/0.01"]
    assert "--surrogate" in missing["attack/fgsm/0.01"]
    assert missing.keys() == {
        "attack/fgsm/0.01", "certified/crown/0.01", "measure/parameters", "measure/l2",
        "measure/jacobian", "measure/sensitivity-ibp",
    }  # fmt: skip


def test_the_confidence_of_a_forest_is_its_own_probability(run: Run, tmp_path: Path) -> None:
    save(tmp_path / "net.onnx", [FOREST], ["n", 4], (NUMBER, "scores"))
    x = np.array([[-1, -1, 0, 0], [1, 1, 0, 0]], np.float32)
    np.savez(tmp_path / "data.npz", x=x, y=np.array([0, 2]))
    done = run(
        "evaluate", tmp_path / "net.onnx", "--data", tmp_path / "data.npz", "--output", "scores",
        "--attacks", "none", "--certify", "none", "--corruptions", "none", "--sequences", "none",
        "--measures", "none", "--json", "-",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    (model,) = json.loads(done.stdout)["models"]
    # 0.6 for class 0 where both trees go left, 0.3 + 0.4 for class 2 where both go right.
    assert model["clean"][0]["classified"]["confidence"] == pytest.approx((0.6 + 0.7) / 2)


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--output", "nowhere", "no value 'nowhere'"),
        ("--input", "nowhere", "no value 'nowhere'"),
        ("--input-shape", "5", "--input-shape"),
        ("--input-shape", "4,x", "--input-shape"),
        ("--input-shape", "0", "--input-shape"),
    ],
)
def test_a_part_that_there_is_not_is_refused(
    run: Run, tmp_path: Path, option: str, value: str, words: str
) -> None:
    save(tmp_path / "net.onnx", LINEAR, ["n", 4], w=W, b=B)
    np.savez(tmp_path / "data.npz", x=np.zeros((2, 4), np.float32), y=np.array([0, 1]))
    done = run(
        "evaluate", tmp_path / "net.onnx", "--data", tmp_path / "data.npz", option, value
    )  # fmt: skip
    assert done.exit_code == 2
    assert words in done.stderr
