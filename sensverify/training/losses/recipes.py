"""Losses that have a name, and how they change in the course of a training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sensverify.errors import BadSetting, UnknownName
from sensverify.registry.calls import parse_sum
from sensverify.registry.catalog import Catalog
from sensverify.registry.names import did_you_mean
from sensverify.training.losses import TERMS
from sensverify.training.losses.loss import Loss


@dataclass(frozen=True)
class Stage:
    """A part of a training.

    Parameters
    ----------
    start : float
        Share of the whole training after which it begins.
    loss : Loss
    dropout : float
        Rate at which what enters the model's fully connected layers is dropped.
    """

    start: float
    loss: Loss
    dropout: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """A loss by stages.

    Parameters
    ----------
    stages : tuple of Stage
        In order; the first begins at 0.
    summary, source : str
    ramp : float
        Share of the training over which the radius grows from 0, unless the settings say
        otherwise.

    Raises
    ------
    BadSetting
        The stages are not in order.
    """

    stages: tuple[Stage, ...]
    summary: str = ""
    source: str = ""
    ramp: float = 0.0

    def __post_init__(self) -> None:
        starts = [stage.start for stage in self.stages]
        if not starts or starts[0] != 0 or starts != sorted(set(starts)) or starts[-1] >= 1:
            raise BadSetting(
                f"the stages of a training begin at 0 and then later and later, got {starts}"
            )

    def stage(self, progress: float) -> Stage:
        """The stage in force after this share of the training."""
        return [stage for stage in self.stages if stage.start <= progress][-1]

    @property
    def perturbs(self) -> bool:
        """Whether a stage needs a radius."""
        return any(stage.loss.perturbs for stage in self.stages)

    @property
    def operators(self) -> bool:
        """Whether a stage needs bounds, or looks at the operators of the network otherwise."""
        return any(stage.loss.operators for stage in self.stages)

    def __str__(self) -> str:
        return "; ".join(
            f"{f'from {s.start:g}: ' if s.start else ''}{s.loss}"
            + (f" with dropout {s.dropout:g}" if s.dropout else "")
            for s in self.stages
        )


_WANG = "Wang et al., Section 6"
_BASE = "cross-entropy + 1e-5*l2"
_TARGETED = "adversarial(attack=fgsm, target=random, amount=uniform"


def _one(loss: str, summary: str = "", source: str = "", *, ramp: float = 0.0) -> Recipe:
    return Recipe((Stage(0.0, Loss.parse(loss)),), summary, source, ramp)


def _jacobian_by_stages() -> Recipe:
    """The stages of Wang et al., appendix A.1, as shares of their 100 epochs."""
    base = Loss.parse(_BASE)
    penalised = Loss.parse(f"{_BASE} + 0.1*jacobian")
    stages = (Stage(0.0, base), Stage(0.4, base, dropout=0.5), Stage(0.6, penalised))
    summary = "base, then base with dropout, then base with the norm of the Jacobian"
    return Recipe(stages, summary, "Jakubovitz and Giryes 2018")


def _overlap() -> Recipe:
    """Cheap bounds first; the seed's own, which are tighter, for the last fifth."""

    def stage(start: float, bounds: str) -> Stage:
        loss = (
            f"0.5*cross-entropy + 0.5*sensitivity(form=overlap, bounds={bounds})"
            f" + 0.004*sensitivity(form=softplus, bounds={bounds}) + 1e-5*l2"
        )
        return Stage(start, Loss.parse(loss))

    return Recipe(
        (stage(0.0, "lp-dual(intermediate=ibp)"), stage(0.8, "lp-dual")),
        "base with how far the outputs' intervals overlap the label's, and a softened log-volume",
        "sensverify",
        ramp=0.3,
    )


_OWN = {
    "base": _one(_BASE, "cross-entropy with an L2 penalty", _WANG),
    "crown-ibp": _one(
        "certified(bounds=ibp, kappa=0.5, beta=1) + 1e-5*l2",
        "bounds on the cross-entropy by CROWN with interval bounds on layers, then by intervals",
        "Zhang et al. 2020",
        ramp=0.5,
    ),
    "fgsm": _one(
        "adversarial(attack=fgsm) + 1e-5*l2",
        "cross-entropy one gradient step away",
        "Goodfellow et al. 2015",
    ),
    "fgsm-ls": _one(
        f"cross-entropy + {_TARGETED}, labels=smoothed, normalised=false) + 1e-5*l2",
        "base, and cross-entropy a step towards a drawn class, with labels smoothed by its length",
        "Laugros, Section 3.3.4.3",
    ),
    "goodfellow": _one(
        "0.5*cross-entropy + 0.5*adversarial(attack=fgsm) + 1e-5*l2",
        "the mean of the cross-entropy at samples and one gradient step away",
        "Goodfellow et al. 2015",
    ),
    "iat": _one(
        "0.5*mixup + 0.5*adversarial(attack=pgd, steps=7, mixup=1, order=attack-first) + 1e-5*l2",
        "the mean of mixup of samples and of mixup of attacked samples",
        "Lamb et al. 2019",
    ),
    "ibp": _one(
        "certified(bounds=ibp, kappa=0.5) + 1e-5*l2",
        "a bound on the cross-entropy by interval arithmetic",
        "Gowal et al. 2018",
        ramp=0.5,
    ),
    "jacob-m": _jacobian_by_stages(),
    "k&w": _one(
        "robust(bounds=lp-dual) + 1e-5*l2",
        "a bound on the cross-entropy by LP-dual",
        "Wong and Kolter 2018",
        ramp=0.3,
    ),
    "label-smoothing": _one(
        "cross-entropy(smoothing=0.1) + 1e-5*l2",
        "base with smoothed labels",
        "Szegedy et al. 2016",
    ),
    "m-tlat": _one(
        f"mixup(alpha=0.4, per=sample) + {_TARGETED}, labels=target, mixup=0.4) + 1e-5*l2",
        "mixup, and mixup with a step towards a drawn class, which gets a share of the label",
        "Laugros, Algorithm 1",
    ),
    "mixup": _one("mixup + 1e-5*l2", "cross-entropy between samples", "Zhang et al. 2018"),
    "overlap": _overlap(),
    "pgd": _one(
        "adversarial(attack=pgd, steps=7) + 1e-5*l2",
        "cross-entropy at inputs that an attack found",
        "Madry et al. 2018",
    ),
    "sm": _one(
        f"{_BASE} + 1e-6*sensitivity(form=product, bounds=lp-dual)",
        "base with the sensitivity: the volume of the box that holds every output",
        _WANG,
    ),
    "sm-softplus": _one(
        f"{_BASE} + 0.02*sensitivity(form=softplus, bounds=crown(intermediate=ibp))",
        "base with a softened logarithm of the sensitivity, by cheaper bounds",
        "sensverify",
    ),
    "spec-m": _one(
        f"{_BASE} + 0.01*spectral",
        "base with the spectral norm of every layer",
        "Yoshida and Miyato 2017",
    ),
    "tlat": _one(
        f"cross-entropy + {_TARGETED}, labels=target) + 1e-5*l2",
        "base, and cross-entropy a step towards a drawn class, which gets a share of the label",
        "Laugros, Section 3.3.2.2",
    ),
    "trades": _one(
        "cross-entropy + 6*trades(steps=10) + 1e-5*l2",
        "base with how far an attack moves the class probabilities",
        "Zhang et al. 2019",
    ),
}


def _adapt(name: str, found: Any) -> Recipe | None:
    if isinstance(found, Loss):
        return Recipe((Stage(0.0, found),))
    if isinstance(found, str):
        return _one(found)
    return found if isinstance(found, Recipe) else None


RECIPES: Catalog[Recipe] = Catalog(
    "recipe",
    _OWN,
    group="sensverify.recipes",
    adapt=_adapt,
    takes="a `Recipe`, a `Loss`, or the text of a loss",
    plain=True,
    remarks=lambda each: (str(each),),
)
"""Every recipe by name. The weights of ours are for images of some hundred pixels and ten classes.
"""


def resolve_loss(text: str) -> Recipe:
    """The recipe of that name, or the loss that the text writes out.

    Raises
    ------
    UnknownName, BadSetting
        The text is neither.
    """
    if text in RECIPES:
        return RECIPES[text]
    if any(sign in text for sign in "+*(") or text in TERMS:
        for _, call in parse_sum(text):
            if call.name in RECIPES and call.name not in TERMS:
                raise BadSetting(
                    f"'{call.name}' is a recipe, not a term of a sum",
                    f"written out it is '{RECIPES[call.name]}'",
                )
        return _one(text)
    raise UnknownName(
        f"there is no loss '{text}'{did_you_mean(text, [*RECIPES, *TERMS])}",
        f"there are {', '.join(RECIPES)}, or give a sum such as 'cross-entropy + 1e-5*l2' of the "
        "terms in 'sensverify list losses'",
    )
