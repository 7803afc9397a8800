"""Settings of a search for minima and saddles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from sensverify.errors import BadSetting
from sensverify.landscape.basin_hopping import Hopping
from sensverify.landscape.database import Alike
from sensverify.landscape.minimise import Lbfgs
from sensverify.landscape.newton import Newton
from sensverify.landscape.paths import Descent
from sensverify.landscape.relu import Continuation
from sensverify.landscape.saddles import Climb
from sensverify.registry.settings import fit_settings, settings_of


@dataclass(frozen=True, kw_only=True)
class Search:
    """Amounts of searching.

    Parameters
    ----------
    starts : int
        Random points that are followed down.
    walks : int
        Basin-hopping walks, each from one of the lowest minima.
    rounds : int
        Rounds of saddle searches, at most.
    climbs : int
        Saddle searches of a round, from the least connected minima.
    batch : int
        Searches that are done at the same time, in one task.
    minima, saddles : int
        No further round is begun when there are as many of both; 0 and 0 for all rounds.
    seed : int
    """

    starts: int = 32
    walks: int = 0
    rounds: int = 2
    climbs: int = 16
    batch: int = 8
    minima: int = 0
    saddles: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("starts", "climbs", "batch"):
            if getattr(self, name) < 1:
                raise BadSetting(
                    f"`{name}` needs a number of at least 1, got {getattr(self, name)}"
                )
        for name in ("walks", "rounds", "minima", "saddles", "seed"):
            if getattr(self, name) < 0:
                raise BadSetting(
                    f"`{name}` needs a number of at least 0, got {getattr(self, name)}"
                )

    def enough(self, minima: int, saddles: int) -> bool:
        """Whether as many have been found as were asked for."""
        asked = self.minima or self.saddles
        return bool(asked) and minima >= self.minima and saddles >= self.saddles


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of a search; each part is a table of the file.

    Parameters
    ----------
    search : Search
    descent : Lbfgs
        Of the descents from starts and hops.
    newton : Newton
    hopping : Hopping
    climb : Climb
    path : Descent
    alike : Alike
    relu : Continuation
    """

    search: Search = field(default_factory=Search)
    descent: Lbfgs = field(default_factory=Lbfgs)
    newton: Newton = field(default_factory=Newton)
    hopping: Hopping = field(default_factory=Hopping)
    climb: Climb = field(default_factory=Climb)
    path: Descent = field(default_factory=Descent)
    alike: Alike = field(default_factory=Alike)
    relu: Continuation = field(default_factory=Continuation)

    @classmethod
    def of(cls, tables: Mapping[str, Any]) -> Settings:
        """From tables of plain values, as `as_dict` gives them; what is missing has its default.

        Raises
        ------
        BadSetting
            There is no such table or entry, or a value does not fit.
        """
        made = {}
        defaults = cls()
        for name in TABLES:
            values = tables.get(name, {})
            if not isinstance(values, Mapping):
                raise BadSetting(f"[{name}] needs a table, got {values!r}")
            factory = type(getattr(defaults, name))
            made[name] = _made(factory, f"[{name}]", values)
        return cls(**made)

    def as_dict(self) -> dict[str, Any]:
        """Plain values by table."""
        return asdict(self)


def _made(factory: type, where: str, values: Mapping[str, Any]) -> Any:
    plain, inner = dict(values), {}
    for each in fields(factory):
        # The descent at the end of a path is a table of its own.
        if each.name == "last" and isinstance(plain.get("last"), Mapping):
            inner["last"] = _made(Lbfgs, f"{where} last", plain.pop("last"))
    known = {k: v for k, v in settings_of(factory).items() if k not in inner}
    try:
        return factory(**fit_settings(where, known, plain), **inner)
    except BadSetting as error:
        raise (error if where in error.problem else error.about(where)) from None


TABLES = tuple(each.name for each in fields(Settings))
