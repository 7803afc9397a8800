"""Of a model in several files, a rejected certificate says which one has changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from sensverify.certificates import Certificate, StoredModel, check_certificate
from sensverify.errors import CertificateRejected, RuntimeDisagrees
from tests.certificates.test_example import certificate_of


def save(folder: Path) -> Path:
    """A model of two layers, whose weights lie in two files beside it."""
    rng = np.random.default_rng(0)
    weights = {name: rng.normal(size=(4, 4)).astype(np.float32) for name in "ab"}
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "a"], ["h"]),
            helper.make_node("Relu", ["h"], ["r"]),
            helper.make_node("MatMul", ["r", "b"], ["y"]),
        ],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    for tensor in model.graph.initializer:
        (folder / f"{tensor.name}.bin").write_bytes(tensor.raw_data)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=f"{tensor.name}.bin")
    onnx.save(model, folder / "net.onnx")
    return folder / "net.onnx"


def about(stored: StoredModel) -> Certificate:
    """A certificate that names a model's files; what it claims is looked at later."""
    return replace(
        certificate_of("crown"), model_sha256=stored.sha256, external=dict(stored.external)
    )


@pytest.mark.parametrize("name", ["a.bin", "b.bin"])
def test_external_data_that_have_changed_are_named(name: str, tmp_path: Path) -> None:
    path = save(tmp_path)
    stored = StoredModel.read(path)
    data = bytearray((tmp_path / name).read_bytes())
    data[0] ^= 1
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CertificateRejected) as caught:
        check_certificate(about(stored), path)
    message = str(caught.value)
    assert f"'{name}'" in message
    assert stored.external[name] in message
    assert StoredModel.read(path).external[name] in message
    assert stored.sha256 not in message


def test_a_changed_model_file_is_named(tmp_path: Path) -> None:
    path = save(tmp_path)
    certificate = about(StoredModel.read(path))
    model = onnx.load(path, load_external_data=False)
    model.producer_name = "somebody else"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(CertificateRejected, match="another model file") as caught:
        check_certificate(certificate, path)
    assert "external" not in str(caught.value)


def test_a_certificate_about_other_files_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path)
    certificate = about(StoredModel.read(path))
    with pytest.raises(CertificateRejected, match=r"about nothing in 'a.bin'"):
        check_certificate(replace(certificate, external={}), path)
    more = {**certificate.external, "c.bin": "00"}
    with pytest.raises(CertificateRejected, match=r"in 'c.bin', the model now reads nothing"):
        check_certificate(replace(certificate, external=more), path)


def test_a_file_that_onnxruntime_does_not_run_is_not_certified(tmp_path: Path) -> None:
    path = save(tmp_path)
    model = onnx.load(path)
    for node in model.graph.node:
        node.name = "one name"
    path.write_bytes(model.SerializeToString())
    certificate = about(StoredModel.read(path, runtime_check=False))
    with pytest.raises(RuntimeDisagrees, match="two nodes with same node name"):
        check_certificate(certificate, path)
