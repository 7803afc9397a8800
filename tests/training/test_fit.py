"""What a training does: it learns, it repeats, it is asked for well, and it says what it did."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import sensverify as sv
from sensverify.bounds.threads import torch_threads
from sensverify.core.box import Box
from sensverify.data.dataset import Dataset
from sensverify.data.split import Split
from sensverify.errors import BadSetting
from sensverify.training import (
    Loss,
    Progress,
    Recipe,
    Stage,
    Standardise,
    TrainResult,
    TrainSettings,
    fit,
)
from sensverify.training.losses import Term
from tests.training.trainings import blobs, iris, plain_model, quick, rich_model, rows, same_weights

SMALL = quick(epochs=2, checkpoint_seconds=60.0, metric_samples=12)


def test_it_learns() -> None:
    result = fit(plain_model(), blobs(), "base", quick(epochs=20))
    assert result.metrics_train is not None
    assert result.metrics_test is not None
    assert result.metrics_train.err <= 0.1
    assert result.epochs == 20
    assert result.directory is None
    assert not result.interrupted
    assert not result.module.training


@pytest.fixture(scope="module")
def trained() -> TrainResult:
    return fit(rich_model(), blobs(), "base", SMALL)


def test_the_network_holds_the_trained_parameters(trained: TrainResult) -> None:
    x = torch.as_tensor(blobs().test.x)
    with torch.no_grad():
        torch.testing.assert_close(sv.forward_pass(trained.network, x), trained.module(x))


def test_two_trainings_are_one_and_leave_random_states_and_threads(trained: TrainResult) -> None:
    torch.manual_seed(5)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    again = fit(rich_model(), blobs(), "base", SMALL)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    assert same_weights(trained.module, again.module)
    other = fit(rich_model(), blobs(), "base", TrainSettings.of(SMALL.as_dict() | {"seed": 1}))
    assert not same_weights(trained.module, other.module)


def test_metrics_at_the_end_use_the_threads_of_the_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module, seen = import_module("sensverify.training.loop.measuring"), []
    plain = module.measure

    def noting(*arguments: Any, **options: Any) -> Any:
        seen.append(torch.get_num_threads())
        return plain(*arguments, **options)

    monkeypatch.setattr(module, "measure", noting)
    before = torch.get_num_threads()
    with torch_threads(3):
        fit(rich_model(), blobs(), "base", quick(epochs=1, metric_samples=12, threads=2))
        assert torch.get_num_threads() == 3
    assert seen == [2] * 4
    assert torch.get_num_threads() == before


def test_metrics_do_not_change_a_training() -> None:
    settings = [quick(metric_samples=0), quick(metric_samples=30, metric_every=2)]
    first, second = (fit(rich_model(), blobs(), "base", each) for each in settings)
    assert same_weights(first.module, second.module)


class _Batches(nn.Module):
    """Notes what it was shown in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = plain_model()
        self.seen: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training and not torch.compiler.is_compiling():
            self.seen.append(x.detach().clone())
        return self.inner(x)


def test_losses_see_the_same_batches() -> None:
    seen = []
    for loss in ("base", "cross-entropy + 0.1*sensitivity(form=softplus)"):
        module = _Batches()
        fit(module, blobs(), loss, SMALL)
        seen.append(module.seen)
    assert len(seen[0]) == len(seen[1]) == 8
    assert all(torch.equal(a, b) for a, b in zip(*seen, strict=True))


def test_every_sample_is_seen_once_an_epoch() -> None:
    split, module = blobs(), _Batches()
    fit(module, split, "base", quick(epochs=1, batch_size=7))
    shown = torch.cat(module.seen).numpy()
    assert sorted(map(tuple, shown.tolist())) == sorted(map(tuple, split.train.x.tolist()))
    assert {len(batch) for batch in module.seen} == {6, 7}


def test_the_radius_is_taken_over_all_training_samples() -> None:
    """Two of the features are constant over those that are trained on."""
    x = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    x[:20, :2] = 0
    data = Dataset("x", x, np.arange(40) % 3)
    found = []

    def term(step: object) -> torch.Tensor:
        found.append(step.radius)  # type: ignore[attr-defined]
        return step.outputs.square().mean()  # type: ignore[attr-defined]

    loss = Loss.of((1, Term(term, "here", perturbs=True)))
    settings = quick(epochs=1, train_samples=20, metric_samples=0, sigma=0.5)
    fit(plain_model(), Split(data, data, 3), loss, settings)
    whole = x.astype(np.float64)
    expected = 0.5 * (whole.max(0) - whole.min(0))
    assert np.allclose(found[0], expected)
    assert (found[0] > 0).all()


def test_held_out_samples_are_measured_and_not_trained_on(tmp_path: Path) -> None:
    module, split = _Batches(), blobs()
    fit(module, split, "base", quick(epochs=1, hold_out=10), out=tmp_path)
    shown = {tuple(row) for row in torch.cat(module.seen).tolist()}
    assert not shown & {tuple(row) for row in split.train.x[-10:].tolist()}
    columns = rows(tmp_path / "metrics.csv")[0]
    assert "held-out CE" in columns
    assert "test CE" not in columns


def test_a_penalty_on_the_sensitivity_makes_it_smaller() -> None:
    plain, penalised = (
        fit(plain_model(), iris(), loss, quick(epochs=15, metric_samples=0)).metrics_test
        for loss in ("base", "cross-entropy + 0.05*sensitivity(form=softplus)")
    )
    assert plain is not None
    assert penalised is not None
    assert penalised.log_volume is not None
    assert plain.log_volume is not None
    assert penalised.log_volume < plain.log_volume - 1


def test_stages_and_dropout() -> None:
    """From the start of a stage on its loss is in force, and dropout is."""
    base = Loss.parse("cross-entropy")
    plain = Recipe((Stage(0.0, base),))
    dropped = Recipe((Stage(0.0, base), Stage(0.5, base, dropout=0.5)))
    half = quick(epochs=4, metric_samples=0, optimiser="sgd(lr=0.1)")
    states: list[list[torch.Tensor]] = []
    for recipe in (plain, dropped):
        module, seen = plain_model(), []

        def note(now: Progress, module: nn.Module = module, seen: list = seen) -> None:  # type: ignore[type-arg]
            seen.append(module[0].weight.detach().clone())  # type: ignore[index]

        fit(module, blobs(), recipe, half, progress=note)
        states.append(seen)
    equal = [torch.equal(a, b) for a, b in zip(*states, strict=True)]
    assert equal == [True] * 8 + [False] * 8


def test_pairs_of_samples_and_names_are_data() -> None:
    split = iris()
    words = np.array(["u", "v", "w"])[split.train.y]
    modules = plain_model(), plain_model()
    settings = quick(epochs=1, metric_samples=0)
    sv.train(modules[0], (split.train.x, words), "base", settings)
    sv.train(modules[1], sv.load_split((split.train.x, split.train.y)), "base", settings)
    assert same_weights(*modules)


def test_progress_is_told() -> None:
    told: list[Progress] = []
    fit(plain_model(), blobs(), "base", quick(epochs=3, metric_every=2), progress=told.append)
    assert [now.step for now in told if now.metrics is None] == list(range(1, 9))
    assert told[-1].step == told[-1].steps == 12
    assert told[-1].epoch == told[-1].epochs == 3
    assert set(told[0].losses) == {"loss", "cross-entropy", "l2"}
    assert told[-1].metrics is not None
    assert "test ERR" in told[-1].metrics


def test_a_module_of_one_s_own_with_a_residual() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.norm = nn.Linear(4, 8), nn.BatchNorm1d(8)
            self.middle, self.last = nn.Linear(8, 8), nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            hidden = torch.relu(self.norm(self.first(x)))
            return self.last(hidden + torch.relu(self.middle(hidden)))

    loss = "cross-entropy + 1e-3*sensitivity(form=softplus, bounds=crown(intermediate=ibp))"
    result = fit(Residual(), blobs(), loss, quick(epochs=8))
    assert result.metrics_train is not None
    assert result.metrics_train.err < 0.5


def test_standardised_inputs_keep_the_units_of_the_data(tmp_path: Path) -> None:
    split = blobs()
    standardise = Standardise.of(split.train.x)
    x = torch.as_tensor(split.train.x)
    torch.testing.assert_close(standardise(x).mean(0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(standardise(x).std(0, correction=0), torch.ones(4))
    model = nn.Sequential(standardise, *plain_model())
    result = fit(model, split, "base", SMALL, out=tmp_path)
    box = Box.around(split.test.x[:3], np.full(4, 0.1, np.float32))
    bounds = sv.compute_bounds(result.network, box, sv.Crown())
    inside = torch.as_tensor(split.test.x[:3])
    with torch.no_grad():
        outputs = model(inside)
    assert bounds.outer.contains(outputs).all()
    assert not any("deviation" in name for name, _ in model.named_parameters())


@pytest.mark.parametrize("values", [[1.0, 0.0], [1.0, float("nan")], [1.0, -1.0]])
def test_a_deviation_that_cannot_be_divided_by(values: list[float]) -> None:
    with pytest.raises(BadSetting, match="above 0"):
        Standardise([0.0, 0.0], values)


def test_mixed_precision_on_the_cpu_learns_and_keeps_float32_weights() -> None:
    settings = quick(epochs=20, precision="bf16-mixed")
    result = fit(plain_model(), blobs(), "base", settings)
    assert result.metrics_train is not None
    assert result.metrics_train.err <= 0.2
    assert all(p.dtype == torch.float32 for p in result.module.parameters())
