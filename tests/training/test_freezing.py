"""What a user froze stays as it was, and a training leaves a module as it found it."""

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from sensverify.bounds import forward_pass
from sensverify.runs.watch import Watch
from sensverify.training import Loss, fit
from sensverify.training.losses import Term
from sensverify.training.losses.step import Step
from tests.training.trainings import blobs, iris, quick, rich_model, same_weights, weights


def frozen_norm() -> nn.Sequential:
    """With running statistics of an earlier life, that stay."""
    module = rich_model()
    with torch.no_grad():
        module[1].running_mean.copy_(torch.linspace(-1, 1, 12))
        module[1].running_var.copy_(torch.linspace(0.5, 2, 12))
    module[1].eval()
    return module


def frozen_layer() -> nn.Sequential:
    module = frozen_norm()
    module[0].requires_grad_(False)
    # Of an earlier life: neither used nor removed.
    module[0].weight.grad = torch.full_like(module[0].weight, 100.0)
    return module


def no_momentum() -> nn.Sequential:
    module = frozen_norm()
    module[1].train()
    module[1].momentum = 0.0
    return module


SHORT = {"epochs": 1, "metric_samples": 6}
LOSSES = {
    "bounds": ("cross-entropy + 0.01*sensitivity(form=softplus)", quick(**SHORT)),
    "attack": ("adversarial(attack=pgd, steps=2)", quick(**SHORT, sharpness="sam(rho=0.05)")),
    "asam": ("base", quick(**SHORT, sharpness="asam")),
}
FROZEN: dict[str, tuple[Callable[[], nn.Sequential], tuple[str, ...]]] = {
    "norm": (frozen_norm, ("1.running_mean", "1.running_var", "1.num_batches_tracked")),
    "layer": (frozen_layer, ("0.weight", "0.bias", "1.running_mean", "1.num_batches_tracked")),
    "momentum": (no_momentum, ("1.running_mean", "1.running_var")),
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", FROZEN)
def test_what_is_frozen_keeps_every_bit(name: str, loss: str) -> None:
    make, kept = FROZEN[name]
    module, (recipe, settings) = make(), LOSSES[loss]
    before, mode = weights(module), module[1].training
    asked = [p.requires_grad for p in module.parameters()]
    seen: list[bool] = []
    module[1].register_forward_hook(lambda part, *_: seen.append(part.training))
    fit(module, blobs(), recipe, settings)
    after = weights(module)
    assert all(torch.equal(before[key], after[key]) for key in kept)
    assert not torch.equal(before["4.weight"], after["4.weight"])
    # Traced for its network, every part is in evaluation mode.
    assert set(seen) == {mode, False}
    assert not any(part.training for part in module.modules())
    assert [p.requires_grad for p in module.parameters()] == asked


def test_a_frozen_norm_is_that_of_the_network() -> None:
    """Outputs in the training are those of the network that bounds are taken of."""
    module = frozen_norm()
    module[3].eval()
    differences = []

    def difference(step: Step) -> torch.Tensor:
        differences.append(step.outputs.detach() - forward_pass(step.network, step.x).detach())
        return step.outputs.square().mean()

    loss = Loss.of((1, Term(difference, "here")))
    fit(module, blobs(), loss, quick(epochs=1, metric_samples=0))
    assert max(float(each.abs().max()) for each in differences) < 1e-5


def test_resuming_keeps_what_is_frozen(tmp_path: Path) -> None:
    whole = fit(frozen_layer(), iris(), "base", quick())

    class Stops(Watch):
        calls = 0

        @property
        def over(self) -> bool:
            self.calls += 1
            return self.calls > 12

    stopped = fit(frozen_layer(), iris(), "base", quick(), out=tmp_path, watch=Stops())
    assert stopped.interrupted
    module = frozen_layer()
    resumed = fit(module, iris(), "base", quick(), out=tmp_path, resume=True)
    assert same_weights(whole.module, resumed.module)
    again = fit(frozen_layer(), iris(), "base", quick(), out=tmp_path, resume=True)
    assert same_weights(again.module, resumed.module)


def test_another_freezing_is_another_training(tmp_path: Path) -> None:
    fit(frozen_norm(), blobs(), "base", quick(**SHORT), out=tmp_path)
    thawed = frozen_norm()
    thawed[1].train()
    with pytest.raises(ValueError, match="parts_in_evaluation_mode"):
        fit(thawed, blobs(), "base", quick(**SHORT), out=tmp_path, resume=True)


def test_a_module_in_evaluation_mode_is_trained_as_a_whole() -> None:
    module, other = frozen_norm().eval(), frozen_norm().train()
    with pytest.warns(UserWarning, match="put in training mode as a whole") as told:
        fit(module, blobs(), "base", quick(**SHORT))
    assert [Path(each.filename).name for each in told] == [Path(__file__).name]
    fit(other, blobs(), "base", quick(**SHORT))
    assert same_weights(module, other)


@pytest.mark.parametrize("make", [frozen_norm, lambda: rich_model().eval()])
def test_a_training_that_does_not_begin_changes_no_mode(make: Callable[[], nn.Module]) -> None:
    module = make()
    modes = [part.training for part in module.modules()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match="nothing says how far"):
            fit(module, blobs(), "adversarial(attack=pgd)", quick(sigma=None))
    assert [part.training for part in module.modules()] == modes


def test_one_sample_a_batch_is_no_fault_of_a_frozen_norm() -> None:
    fit(frozen_norm(), blobs(samples=15), "base", quick(epochs=1, batch_size=1))


def test_no_gradients_are_left() -> None:
    module = frozen_layer()
    hook = module[4].register_forward_hook(lambda *_: None)
    hooks = [len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules()]
    fit(module, blobs(), "base", quick(**SHORT))
    assert bool((module[0].weight.grad == 100).all())
    assert all(p.grad is None for p in module.parameters() if p.requires_grad)
    assert hooks == [
        len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules()
    ]
    hook.remove()
