"""Every measure by its name, and the groups that can be asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sensverify.errors import BadSetting
from sensverify.measures.complexity.norms import MEASURES as _NORMS
from sensverify.measures.complexity.path_norm import MEASURES as _PATH_NORM
from sensverify.measures.complexity.size import MEASURES as _SIZE
from sensverify.measures.complexity.spectral import MEASURES as _SPECTRAL
from sensverify.measures.curvature.average_sharpness import MEASURES as _SHARPNESS
from sensverify.measures.curvature.input_hessian import MEASURES as _INPUT_HESSIAN
from sensverify.measures.curvature.weight_hessian import MEASURES as _WEIGHT_HESSIAN
from sensverify.measures.margins import MEASURES as _MARGINS
from sensverify.measures.measure import Measure
from sensverify.measures.sensitivity.boundary import MEASURES as _BOUNDARY
from sensverify.measures.sensitivity.gradients import MEASURES as _GRADIENTS
from sensverify.measures.sensitivity.jacobian import MEASURES as _JACOBIAN
from sensverify.measures.sensitivity.volumes import MEASURES as _VOLUMES
from sensverify.registry.catalog import ALL, Catalog
from sensverify.registry.names import summary_of

_SPARSITY = ("sparsity",)


def _without(measures: dict[str, Measure], names: tuple[str, ...]) -> dict[str, Measure]:
    return {name: each for name, each in measures.items() if name not in names}


_OWN = {
    **_without(_SIZE, _SPARSITY),
    **_PATH_NORM,
    **_NORMS,
    **{name: _SIZE[name] for name in _SPARSITY},
    **_MARGINS,
    **_BOUNDARY,
    **_WEIGHT_HESSIAN,
    **_GRADIENTS,
    **_SHARPNESS,
    **_JACOBIAN,
    **_SPECTRAL,
    **_INPUT_HESSIAN,
    **_VOLUMES,
}

_OTHER_FORMS = ("parameters-printed", "log-path-norm", "log-frobenius-over-spectral")
"""Of measures that are there under another name."""

DEFAULT_MEASURES: tuple[str, ...] = tuple(name for name in _OWN if name not in _OTHER_FORMS)
"""One form of every measure: what is taken where nobody says otherwise."""

_TITLES = {"decision boundary": "boundary"}
"""Names of groups whose titles have several words."""


def _groups(measures: Mapping[str, Measure]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {"default": DEFAULT_MEASURES, ALL: tuple(measures)}
    for name, measure in measures.items():
        group = _TITLES.get(measure.group, measure.group)
        found[group] = (*found.get(group, ()), name)
    return found


def _adapt(name: str, found: Any) -> Measure | None:
    if isinstance(found, Measure):
        return found
    return Measure(summary_of(found), "", "others", found) if callable(found) else None


MEASURES: Catalog[Measure] = Catalog(
    "measure",
    _OWN,
    group="sensverify.measures",
    adapt=_adapt,
    takes="a function of a `MeasuredClassifier`, or a `Measure`",
    arguments=1,
    plain=True,
    grouping=_groups,
    remarks=lambda each: (f"needs: {', '.join(each.needs)}",) if each.needs else (),
)
"""By name: those of *Measuring and improving robustness of deep neural networks* in its order, then
other predictors of robustness, then sensitivity."""


def find_measures(names: str | Iterable[str]) -> tuple[str, ...]:
    """The names of measures that somebody asks for, once each, in the order of `MEASURES`.

    Parameters
    ----------
    names : str or iterable of str
        Names of measures and of their groups; a string has commas between them.

    Raises
    ------
    UnknownName
        There is no such measure or group.
    BadSetting
        Nothing is asked for.
    """
    asked = names.split(",") if isinstance(names, str) else list(names)
    found = MEASURES.select(filter(None, (name.strip() for name in asked)))
    if not found:
        raise BadSetting("no measure is named", f"groups are {', '.join(MEASURES.groups())}")
    return tuple(name for name in MEASURES if name in found)
