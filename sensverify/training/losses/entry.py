"""Terms of losses: functions of a step, and the facts that a training needs about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from sensverify.bounds.method import Method
from sensverify.errors import BadSetting
from sensverify.registry.names import summary_of


@dataclass(frozen=True)
class Term:
    """One term of a loss.

    Parameters
    ----------
    function : callable
        Takes a `Step` and settings by keyword, which it declares by type hints and defaults, and
        returns a scalar Tensor with gradients.
    source : str
        Who defined it.
    asks : frozenset of str
        Bounds that it asks for; see `Step`.
    perturbs : bool
        Whether it needs a radius.
    operators : bool
        Whether it looks at the operators of the network, as what asks for bounds does; others only
        run the module.
    """

    function: Callable[..., Tensor]
    source: str = ""
    asks: frozenset[str] = frozenset()
    perturbs: bool = False
    operators: bool = False

    @property
    def summary(self) -> str:
        """The first sentence of the function's docstring."""
        return summary_of(self.function)


def as_term(name: str, found: Any) -> Term | None:
    """A function of a step as a term; a `Term` as it is; None of anything else."""
    if isinstance(found, Term):
        return found
    return Term(found) if callable(found) else None


def check_differentiable(owner: str, settings: Mapping[str, Any]) -> None:
    """Refuse, with `BadSetting`, methods among the settings whose bounds have no gradients."""
    for key, value in settings.items():
        # Where a method that says nothing gives bounds without gradients, the first step says so.
        if isinstance(value, Method) and not value.differentiable:
            raise BadSetting(
                f"{owner}: {key}: method {value.name} gives bounds without gradients, so nothing "
                "can be trained with it",
                "use lp-dual, crown, alpha-crown or ibp",
            )
