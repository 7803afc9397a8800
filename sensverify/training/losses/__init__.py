"""The terms that a loss is made of: plain functions of a `Step`, by name."""

from sensverify.registry.catalog import Catalog
from sensverify.training.losses.adversarial import adversarial, trades
from sensverify.training.losses.cross_entropy import cross_entropy, l2, mixup
from sensverify.training.losses.entry import Term, as_term
from sensverify.training.losses.jacobian import jacobian
from sensverify.training.losses.robust import certified, robust
from sensverify.training.losses.sensitivity import sensitivity
from sensverify.training.losses.spectral import spectral

_MARGINS, _OUTPUTS = frozenset({"margins"}), frozenset({"outputs"})

_OWN = {
    "adversarial": Term(adversarial, "Goodfellow et al. 2015; Madry et al. 2018", perturbs=True),
    "certified": Term(
        certified, "Gowal et al. 2018; Zhang et al. 2020", asks=_MARGINS, perturbs=True
    ),
    "cross-entropy": Term(cross_entropy, "label smoothing: Szegedy et al. 2016"),
    "jacobian": Term(jacobian, "Jakubovitz and Giryes 2018; Hoffman et al. 2019"),
    "l2": Term(l2, "Wang et al., Section 6"),
    "mixup": Term(mixup, "Zhang et al. 2018, mixup"),
    "robust": Term(robust, "Wong and Kolter 2018", asks=_MARGINS, perturbs=True),
    "sensitivity": Term(sensitivity, "Wang et al., Section 5", asks=_OUTPUTS, perturbs=True),
    "spectral": Term(spectral, "Yoshida and Miyato 2017", operators=True),
    "trades": Term(trades, "Zhang et al. 2019", perturbs=True),
}

TERMS: Catalog[Term] = Catalog(
    "loss term",
    _OWN,
    group="sensverify.losses",
    adapt=as_term,
    takes="a function of a `Step`, or a `Term`",
    arguments=1,
    example="cross-entropy(smoothing=0.1)",
)
"""Every term by the name that losses are written with."""

__all__ = ["TERMS", "Term"]
