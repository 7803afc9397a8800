"""Losses: weighted sums of terms by name."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from sensverify.bounds.method import make_method, method_names
from sensverify.errors import BackendMissing, BadSetting, UnknownName
from sensverify.formats.modules import from_module
from sensverify.training.losses.cross_entropy import cross_entropy, l2
from sensverify.training.losses.loss import Loss
from sensverify.training.losses.recipes import RECIPES, Recipe, Stage, resolve_loss
from sensverify.training.losses.step import Step


def test_weights_and_values(make_step) -> None:
    step = make_step()
    total, values = Loss.parse("0.5*cross-entropy + 0.1*l2")(step)
    torch.testing.assert_close(total, 0.5 * cross_entropy(step) + 0.1 * l2(step))
    assert list(values) == ["cross-entropy", "l2"]
    torch.testing.assert_close(values["l2"], l2(step).detach())
    assert total.requires_grad
    assert not any(value.requires_grad for value in values.values())


def test_terms_that_come_again_are_counted(make_step) -> None:
    text = "sensitivity + cross-entropy + 0.1*sensitivity(form=log) + 2*sensitivity"
    _, values = Loss.parse(text)(make_step())
    assert list(values) == ["sensitivity", "cross-entropy", "sensitivity 2", "sensitivity 3"]
    assert values["sensitivity"] == values["sensitivity 3"] != values["sensitivity 2"]


@pytest.mark.parametrize(
    "text",
    [
        "cross-entropy",
        "0.5*cross-entropy + 1e-06*sensitivity(form=log, bounds=crown(intermediate=ibp))",
    ],
)
def test_text_is_what_was_read(text: str) -> None:
    loss = Loss.parse(text)
    assert str(loss) == text
    assert Loss.parse(str(loss)) == loss


def test_what_terms_want() -> None:
    assert not Loss.parse("cross-entropy + l2 + mixup + jacobian + spectral").perturbs
    assert Loss.parse("cross-entropy + trades").perturbs
    assert Loss.parse("cross-entropy + trades").asks == frozenset()
    assert Loss.parse("robust + sensitivity").asks == {"margins", "outputs"}


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("sensitivty", UnknownName, "'sensitivty'.*'sensitivity'"),
        ("zzz", UnknownName, "'zzz'.*adversarial, certified"),
        ("l2(weight=1)", BadSetting, "'l2'.*'weight'.*none"),
        ("sensitivity(shape=1)", BadSetting, "'shape'.*form, bounds"),
        ("sensitivity(form=1)", BadSetting, "form .*product, .*1"),
        ("sensitivity(form=log(a=1))", BadSetting, "form .*product"),
        ("sensitivity(target=wide)", BadSetting, "target .*wide"),
        ("sensitivity(target=none)", BadSetting, "target .*none"),
        ("sensitivity(per-output=1)", BadSetting, "per_output .*true"),
        ("sensitivity(bounds=1)", BadSetting, "bounds .*crown"),
        ("sensitivity(bounds=ipb)", UnknownName, "bounds: .*ipb"),
        ("sensitivity(bounds=crown(slope=1))", BadSetting, "bounds: .*slope"),
        ("trades(steps=2.5)", BadSetting, "steps takes a whole number .*, got 2.5"),
        ("trades(steps=true)", BadSetting, "steps takes a whole number"),
        ("mixup(alpha=x)", BadSetting, "alpha takes a number"),
        ("mixup(alpha=0)", BadSetting, "alpha takes a number above 0"),
        ("sensitivity(target=-1)", BadSetting, "target takes a number from 1e-30"),
        ("sensitivity(target=1e40)", BadSetting, "target takes a number from 1e-30 to 1e"),
        ("certified(kappa=3)", BadSetting, "kappa takes a number from 0 to 1, got 3"),
        ("certified(beta=-0.1)", BadSetting, "beta takes a number from 0 to 1"),
        ("adversarial(steps=0)", BadSetting, "steps takes a whole number from 1"),
        ("trades(steps=0)", BadSetting, "steps takes a whole number from 1"),
        ("jacobian(estimator=projections, projections=0)", BadSetting, "projections takes"),
        ("spectral(iterations=0)", BadSetting, "iterations takes a whole number from 1"),
        ("cross-entropy(smoothing=2)", BadSetting, "smoothing takes a number from 0 to 1"),
        ("1e31*l2", BadSetting, "the weight of 'l2' is a number from -1e"),
        ("inf*l2", BadSetting, "expected the end"),
    ],
)
def test_what_cannot_be_is_refused_by_name(text: str, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        Loss.parse(text)


@pytest.mark.parametrize("name", method_names())
def test_methods_without_gradients_are_refused_before_the_first_step(make_step, name: str) -> None:
    """Refused exactly where bounds of a small network, which is trained, have none."""
    step = make_step(samples=1, asked=frozenset({"outputs"}))
    try:
        gives = step.output_box(make_method(name)).lower.requires_grad
    except BackendMissing:
        pytest.skip(f"{name} is not installed")
    except BadSetting:
        gives = False
    if gives:
        Loss.parse(f"robust(bounds={name})")
        return
    with pytest.raises(BadSetting, match=rf"bounds: .*\b{name}\b"):
        Loss.parse(f"robust(bounds={name})")


def test_a_loss_that_nothing_changes(make_step) -> None:
    module = torch.nn.Sequential(torch.nn.BatchNorm1d(3))
    x = torch.rand(5, 3)
    network = from_module(module, (3,))
    step = Step(module, network, x, torch.zeros(5, dtype=torch.int64))
    with pytest.raises(BadSetting, match="'spectral'"):
        Loss.parse("spectral")(step)
    with torch.no_grad():
        assert float(Loss.parse("spectral")(step)[0]) == 0


def test_names_and_texts_resolve_to_recipes() -> None:
    assert resolve_loss("base") is RECIPES["base"]
    own = resolve_loss("cross-entropy + 0.1*l2")
    assert own.stage(0.99).loss == Loss.parse("cross-entropy + 0.1*l2")
    assert not own.perturbs
    with pytest.raises(UnknownName, match=r"'bsae'.*'base'"):
        resolve_loss("bsae")


def test_every_recipe_reads_and_says_what_it_is() -> None:
    for name, recipe in RECIPES.items():
        assert recipe.summary, name
        for stage in recipe.stages:
            assert Loss.parse(str(stage.loss)) == stage.loss


def test_stages_begin_in_order() -> None:
    losses = [Loss.parse(text) for text in ("cross-entropy", "l2", "mixup")]
    recipe = Recipe(tuple(Stage(at, loss) for at, loss in zip((0, 0.4, 0.6), losses, strict=True)))
    found = [losses.index(recipe.stage(at).loss) for at in (0, 0.39, 0.4, 0.59, 0.6, 1)]
    assert found == [0, 0, 1, 1, 2, 2]
    for starts in ([], [0.1], [0, 0.5, 0.4], [0, 0.4, 0.4], [0, 1]):
        with pytest.raises(BadSetting, match="begin at 0"):
            Recipe(tuple(Stage(at, losses[0]) for at in starts))


def test_a_recipe_in_a_sum_is_written_out() -> None:
    with pytest.raises(BadSetting, match=r"'base' is a recipe.*'cross-entropy \+ 1e-05\*l2'"):
        resolve_loss("base + 0.1*sensitivity")


def test_a_recipe_in_capitals_is_hinted_at() -> None:
    with pytest.raises(UnknownName, match="did you mean 'sm'"):
        resolve_loss("SM")


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_goodfellows_mixture_is_the_weighted_sum(make_step, alpha: float) -> None:
    """alpha J(x) + (1 - alpha) J(x + eps sign grad J(x)), by hand."""
    text = str(RECIPES["goodfellow"]).replace("0.5*cross", f"{alpha}*cross")
    text = text.replace("0.5*adversarial", f"{1 - alpha}*adversarial").replace("1e-05*l2", "0*l2")
    step = make_step(radius=0.05)
    value, _ = Loss.parse(text)(step)
    x = step.x.clone().requires_grad_()
    clean = functional.cross_entropy(step.module(x), step.y)
    (gradient,) = torch.autograd.grad(clean, x)
    attacked = functional.cross_entropy(step.module(x + 0.05 * gradient.sign()), step.y)
    torch.testing.assert_close(value, alpha * clean + (1 - alpha) * attacked)


@pytest.mark.parametrize("name", ["fgsm-ls", "goodfellow", "iat", "m-tlat", "tlat"])
def test_recipes_of_mixtures_train(make_step, name: str) -> None:
    step = make_step(samples=6, clip=(0.0, 1.0))
    value, parts = RECIPES[name].stages[0].loss(step)
    value.backward()
    assert value.isfinite()
    assert "adversarial" in parts
    assert RECIPES[name].perturbs
    assert not RECIPES[name].operators
    assert all(w.grad is not None for w in step.module.parameters())
