"""Evaluations of samples in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import sensverify as sv
from sensverify.errors import BadSetting, BadShape
from sensverify.models import resolve

QUICK = {"sigmas": None, "corruptions": (), "sequences": (), "measures": (), "attacks": ("fgsm",)}
DATA = sv.load_data("iris")


def test_arrays_are_evaluated_as_a_request_is() -> None:
    asked = {**QUICK, "radii": (0.1,), "certify": ("crown",)}
    found = sv.evaluate("iris", DATA.x, DATA.y, **asked)
    data = sv.Dataset("own", DATA.x, DATA.y)
    whole = sv.evaluate(sv.EvaluateRequest(models=("iris",), data=data, **asked))
    one, other = found.models[0], whole.models[0]
    assert one.clean[0].wrong == other.clean[0].wrong
    assert one.certified[0].certified == other.certified[0].certified
    assert found.samples == len(DATA.x)


def test_samples_are_given_once() -> None:
    with pytest.raises(BadSetting):
        sv.evaluate("iris", DATA.x, DATA.y, data="iris", **QUICK)
    with pytest.raises(BadSetting):
        sv.evaluate("iris", None, DATA.y, **QUICK)
    with pytest.raises(BadSetting):
        sv.evaluate(sv.EvaluateRequest(models=("iris",)), np.zeros((1, 4)), [0])


def test_networks_are_evaluated_as_their_files_are() -> None:
    asked = {**QUICK, "radii": (0.1,), "certify": ("crown",)}
    networks = [sv.load("iris"), sv.load("iris").map_arrays(torch.as_tensor)]
    rows = [sv.evaluate(each, DATA.x, DATA.y, **asked).models[0] for each in ("iris", *networks)]
    assert len({each.clean[0].wrong for each in rows}) == 1
    assert len({each.certified[0].certified for each in rows}) == 1
    assert len({each.attacks[0].broken for each in rows}) == 1
    both = sv.evaluate([*networks, "iris"], DATA.x, DATA.y, **asked)
    assert [each.model.name for each in both.models] == ["network 1", "network 2", "iris"]
    assert [each.model.path is None for each in both.models] == [True, True, False]
    assert "without a file" in both.to_html()


def test_live_networks_are_evaluated_as_they_were() -> None:
    module = torch.nn.Linear(4, 3)
    network = sv.from_module(module, (4,))
    expected = module(torch.tensor(DATA.x)).argmax(dim=1) != torch.tensor(DATA.y)

    def changing(state: object) -> None:
        with torch.no_grad():
            module.weight.zero_(), module.bias.zero_()

    asked = {**QUICK, "attacks": (), "certify": ()}
    found = sv.evaluate(network, DATA.x, DATA.y, progress=changing, **asked)
    assert found.models[0].clean[0].wrong == tuple(expected.nonzero().flatten().tolist())
    assert module.weight.requires_grad


def test_one_network_is_named_once() -> None:
    network = sv.load("iris")
    with pytest.raises(BadSetting, match="named twice"):
        sv.evaluate([network, network], DATA.x, DATA.y, **QUICK)
    with pytest.raises(BadShape):
        sv.evaluate(network, DATA.x[:, :3], DATA.y, **QUICK)


def test_modules_beside_files() -> None:
    torch.manual_seed(0)
    module = torch.nn.Linear(4, 3)
    loader = DataLoader(TensorDataset(torch.tensor(DATA.x), torch.tensor(DATA.y)), batch_size=40)
    found = sv.evaluate([module, Path(resolve("iris").path)], loader, radii=(0.1,), **QUICK)
    assert [each.model.path is None for each in found.models] == [True, False]
    wrong = module(torch.tensor(DATA.x)).argmax(dim=1) != torch.tensor(DATA.y)
    assert found.models[0].clean[0].wrong == tuple(wrong.nonzero().flatten().tolist())
    assert "without a file" in found.to_html()


def test_paths_may_be_text(tmp_path: Path) -> None:
    folder = str(tmp_path / "kept")
    first = sv.evaluate("iris", radii=(0.1,), out=folder, data_dir=str(tmp_path), **QUICK)
    again = sv.evaluate("iris", radii=(0.1,), out=folder, resume=True, **QUICK)
    assert first.models[0].attacks[0].broken == again.models[0].attacks[0].broken
