"""Networks whose operators are not known, and modules, under evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sensverify.errors import BadSetting
from sensverify.evaluation import evaluate
from sensverify.training.directory.export import export_onnx
from tests.evaluation.networks import request, timeless
from tests.odd import Tangent


class Sorting(nn.Module):
    """The features in order, and a map of them."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(x.sort(dim=1).values)


def odd(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8), Tangent(), nn.Linear(8, 3))


def asked(files: Path, *models: Any, **changes: Any) -> Any:
    settings: dict[str, Any] = {
        "data": str(files / "data.npz"),
        "radii": (0.05,),
        "clip": (0.0, 1.0),
        "attacks": ("fgsm", "square(queries=10)"),
        "corruptions": (),
        "sequences": (),
        "measures": ("parameters", "jacobian", "input-gradient", "sensitivity-crown"),
    }
    made = request("placeholder", **(settings | changes))
    return type(made)(**{**vars(made), "models": models})


def reasons(model: Any) -> dict[str, str]:
    return {each.key: each.reason for each in model.missing}


def test_a_module_that_is_known_is_evaluated_as_its_file(files: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    export_onnx(module, (4,), tmp_path / "net.onnx")
    file, live = evaluate(asked(files, str(tmp_path / "net.onnx"), module)).models
    assert live.model.opaque is None
    assert live.model.name == "Sequential"
    for one, other in ((file.clean, live.clean), (file.certified, live.certified)):
        for first, second in zip(one, other, strict=True):
            assert getattr(first, "classified", None) == pytest.approx(
                getattr(second, "classified", None)
            ) or getattr(first, "certified", 0) == getattr(second, "certified", 1)
    assert reasons(live) == reasons(file) == {}


@pytest.mark.parametrize("module", [odd(), Sorting()], ids=["odd", "sorting"])
def test_what_needs_no_operators_is_found_out_of_any_module(files: Path, module: Any) -> None:
    found = evaluate(asked(files, module, measures=("default",), certify=("crown", "ibp")))
    (model,) = found.models
    assert model.model.opaque
    assert {row.attack for row in model.attacks} == {"fgsm", "square(queries=10)"}
    assert not model.certified
    measured = {row.measure: row.value for row in model.measures}
    assert measured["jacobian"] > 0
    assert measured["input-gradient"] > 0
    left = reasons(model)
    for key in ("certified/crown/0.05", "certified/ibp/0.05", "measure/parameters", "measure/l2"):
        assert model.model.opaque in left[key], key
    assert not measured.keys() & {key.removeprefix("measure/") for key in left}
    # Nothing about weights is read off a function.
    assert not measured.keys() & {"parameters", "l2", "sparsity", "spectral-norms", "log-path-norm"}


def test_the_module_stays_as_it_is_and_changes_to_it_come_too_late(files: Path) -> None:
    module = odd().train()
    before = {name: values.clone() for name, values in module.state_dict().items()}
    first = evaluate(asked(files, module))
    assert module.training
    assert all(torch.equal(before[name], values) for name, values in module.state_dict().items())
    assert all(values.grad is None for values in module.parameters())
    with torch.no_grad():
        module[0].weight.mul_(-1)
    second = evaluate(asked(files, module))
    assert first.models[0].model.sha256 != second.models[0].model.sha256


def test_modules_of_one_class_have_names_of_their_own(files: Path) -> None:
    found = evaluate(asked(files, odd(0), odd(1)))
    assert [each.model.name for each in found.models] == ["Sequential 1", "Sequential 2"]


def test_an_evaluation_of_modules_goes_on_where_it_was(files: Path, tmp_path: Path) -> None:
    whole = asked(files, odd(), out=tmp_path / "out")
    first = evaluate(whole)
    again = evaluate(type(whole)(**{**vars(whole), "resume": True}))
    assert timeless(again) == timeless(first)


def test_a_module_needs_data_that_are_named() -> None:
    from sensverify.evaluation import EvaluateRequest

    with pytest.raises(BadSetting, match="data"):
        evaluate(EvaluateRequest(models=(odd(),)))


def test_a_file_without_gradients_is_attacked_through_a_surrogate(
    files: Path, tmp_path: Path
) -> None:
    export_onnx(odd(), (4,), tmp_path / "odd.onnx")
    found = evaluate(
        asked(files, str(tmp_path / "odd.onnx"), surrogate=str(files / "a.onnx"), measures=())
    )
    (model,) = found.models
    assert {row.attack for row in model.attacks} == {
        "fgsm through a.onnx",
        "square(queries=10)",
    }
    assert "gradients" in reasons(model)["attack/fgsm/0.05"]


def test_a_part_of_a_file_is_another_network(files: Path, tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3))
    export_onnx(module, (4,), tmp_path / "net.onnx")
    import onnx

    inner = onnx.load(tmp_path / "net.onnx").graph.node[0].output[0]
    whole = asked(files, str(tmp_path / "net.onnx"), out=tmp_path / "out")
    first = evaluate(whole)
    second = evaluate(type(whole)(**{**vars(whole), "output": inner, "resume": True}))
    assert second.models[0].clean != first.models[0].clean
    x = np.load(files / "data.npz")["x_test"]
    assert second.models[0].clean[0].classified.samples <= len(x)
