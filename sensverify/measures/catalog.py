"""Every measure by its name, and the groups that can be asked for."""

from __future__ import annotations

from collections.abc import Iterable

from sensverify.errors import BadSetting, UnknownName
from sensverify.measures.average_sharpness import MEASURES as _SHARPNESS
from sensverify.measures.boundary import MEASURES as _BOUNDARY
from sensverify.measures.curvature import MEASURES as _CURVATURE
from sensverify.measures.gradients import MEASURES as _GRADIENTS
from sensverify.measures.norms import MEASURES as _NORMS
from sensverify.measures.path_norm import MEASURES as _PATH_NORM
from sensverify.measures.predictors import MEASURES as _PREDICTORS
from sensverify.measures.size import MEASURES as _SIZE
from sensverify.measures.subject import Measure
from sensverify.measures.volumes import MEASURES as _VOLUMES
from sensverify.registry.names import did_you_mean

_AMONG_PREDICTORS = ("input-hessian-largest", "input-hessian-largest-init")
_SPARSITY = ("sparsity",)


def _without(measures: dict[str, Measure], names: tuple[str, ...]) -> dict[str, Measure]:
    return {name: each for name, each in measures.items() if name not in names}


MEASURES: dict[str, Measure] = {
    **_without(_SIZE, _SPARSITY),
    **_PATH_NORM,
    **_NORMS,
    **{name: _SIZE[name] for name in _SPARSITY},
    **_BOUNDARY,
    **_without(_CURVATURE, _AMONG_PREDICTORS),
    **_GRADIENTS,
    **_SHARPNESS,
    **_PREDICTORS,
    **{name: _CURVATURE[name] for name in _AMONG_PREDICTORS},
    **_VOLUMES,
}
"""By name: those of *Measuring and improving robustness of deep neural networks* in its order, then
other predictors of robustness, then sensitivity."""

_OTHER_FORMS = ("parameters-printed", "log-path-norm", "log-frobenius-over-spectral")
"""Of measures that are there under another name."""

DEFAULT_MEASURES: tuple[str, ...] = tuple(name for name in MEASURES if name not in _OTHER_FORMS)
"""One form of every measure: what is taken where nobody says otherwise."""


def _group(name: str) -> tuple[str, ...]:
    return tuple(key for key, measure in MEASURES.items() if measure.group == name)


MEASURE_GROUPS: dict[str, tuple[str, ...]] = {
    "default": DEFAULT_MEASURES,
    "all": tuple(MEASURES),
    "complexity": _group("complexity"),
    "boundary": _group("decision boundary"),
    "sharpness": _group("sharpness"),
    "gradient": _group("gradient"),
    "sensitivity": _group("sensitivity"),
}
"""Names of measures by what they can be asked for together."""


def find_measures(names: str | Iterable[str]) -> tuple[str, ...]:
    """The names of measures that somebody asks for, once each, in the order of `MEASURES`.

    Parameters
    ----------
    names : str or iterable of str
        Names of measures and of `MEASURE_GROUPS`; a string has commas between them.

    Raises
    ------
    UnknownName
        There is no such measure or group.
    BadSetting
        Nothing is asked for.
    """
    asked = names.split(",") if isinstance(names, str) else list(names)
    asked = [name.strip() for name in asked]
    found: set[str] = set()
    for name in filter(None, asked):
        if name in MEASURES:
            found.add(name)
        elif name in MEASURE_GROUPS:
            found.update(MEASURE_GROUPS[name])
        else:
            raise UnknownName(_unknown(name))
    if not found:
        raise BadSetting(f"no measure is named; groups are {', '.join(MEASURE_GROUPS)}")
    return tuple(name for name in MEASURES if name in found)


def _unknown(name: str) -> str:
    hint = did_you_mean(name, [*MEASURES, *MEASURE_GROUPS])
    return (
        f"there is no measure '{name}'{hint}; there are {', '.join(MEASURES)}, and the groups "
        f"{', '.join(MEASURE_GROUPS)}"
    )
