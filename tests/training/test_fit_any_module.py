"""Modules that cannot be verified are trained by losses that only run them, which is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from sensverify.errors import UnsupportedOperator
from sensverify.evaluation import EvaluateRequest, evaluate
from sensverify.training import TrainSettings, fit
from tests.odd import Tangent
from tests.training.trainings import blobs, plain_model, quick, same_weights


class Sorting(nn.Module):
    """The features beside themselves in order, and a layer of them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(8, 12), nn.Linear(12, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.first(torch.cat([x, x.sort(dim=1).values], 1)).relu())


def odd() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 12), Tangent(), nn.Dropout(0.1), nn.Linear(12, 3))


def sorting() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Sorting()


def settings(**changes: object) -> TrainSettings:
    return quick(**({"sigma": None, "radius": 0.1, "metric_samples": 12} | changes))


@pytest.mark.parametrize("module", [odd, sorting])
def test_base_trains_what_cannot_be_verified(module: object) -> None:
    made = settings(epochs=20, optimiser="adam(lr=0.02)", metric_samples=0)
    result = fit(module(), blobs(), "base", made)
    assert result.metrics_test is not None
    assert result.metrics_test.err <= 0.2
    assert result.unverifiable
    assert result.network.opaque is not None


def test_the_metrics_are_those_that_need_no_bounds() -> None:
    found = fit(odd(), blobs(), "base", settings()).metrics_test
    assert found is not None
    known = {name for name, value in found.row().items() if value is not None}
    assert known == {"CE", "ERR", "JACOB", "PGD_ERR"}
    assert found.pgd_err >= found.err


@pytest.mark.parametrize(
    "loss",
    ["cross-entropy + 0.1*sensitivity", "certified", "robust", "cross-entropy + 0.1*spectral"],
)
def test_losses_that_look_inside_are_refused_before_anything_is_done(
    loss: str, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedOperator, match="operator tan "):
        fit(odd(), blobs(), loss, settings(), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("loss", ["pgd", "trades", "cross-entropy + 0.1*jacobian"])
def test_losses_that_only_run_the_module_train_it(loss: str) -> None:
    result = fit(odd(), blobs(), loss, settings())
    assert result.metrics_test is not None


def test_the_run_directory_says_it_and_its_model_is_evaluated(tmp_path: Path) -> None:
    result = fit(odd(), blobs(), "base", settings(), out=tmp_path / "run")
    kept = json.loads((tmp_path / "run" / "result.json").read_text())
    assert kept["unverifiable"] == result.unverifiable
    request = EvaluateRequest(
        models=(str(tmp_path / "run"),),
        attacks=("square(queries=5)",),
        corruptions=(),
        sequences=(),
        measures=(),
    )
    (model,) = evaluate(request).models
    assert model.attacks
    assert {each.key.split("/")[0] for each in model.missing} == {"certified"}
    again = fit(odd(), blobs(), "base", settings(), out=tmp_path / "run", resume=True)
    assert same_weights(again.module, result.module)
    assert again.unverifiable == result.unverifiable


def test_others_are_verifiable(tmp_path: Path) -> None:
    result = fit(plain_model(), blobs(), "base", quick(), out=tmp_path / "run")
    assert result.unverifiable is None
    assert "unverifiable" not in json.loads((tmp_path / "run" / "result.json").read_text())
