"""Results that show themselves: as JSON, as a page, as a table, as pictures.

What draws a result knows it, and not the other way round: a result says only that it can be shown,
and the package's front (``sensverify/__init__.py``), which stands above all parts, says by what.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sensverify.errors import BackendMissing, BadSetting

if TYPE_CHECKING:
    import pandas


class Picture(Protocol):
    """A picture as SVG, which a notebook shows by itself."""

    def save(self, path: str | Path) -> None:
        """Write it to a file."""


class Renderer(Protocol):
    """Forms that the results of one class are shown in."""

    def json(self, result: Any) -> str:
        """All of it, by its schema."""

    def page(self, result: Any) -> str:
        """The whole report, one HTML page."""

    def glance(self, result: Any) -> str:
        """The verdict and a small table, as a part of a page."""

    def tables(self, result: Any) -> Mapping[str, Any]:
        """Tidy tables by name, each with ``columns`` and ``rows``; the first is the usual one."""

    def picture(self, result: Any) -> Picture:
        """The picture that says most."""


_HOMES: dict[str, str] = {}


def shown_by(homes: Mapping[str, str]) -> None:
    """Name what shows results, by the names of their classes: ``module:object``.

    It is imported when a result is first shown.
    """
    _HOMES.update(homes)


class Shown:
    """A result that shows itself, by what `shown_by` names for its class."""

    def to_json(self) -> str:
        """The result as one JSON object, as the command line writes it."""
        return _renderer(self).json(self)

    def to_html(self, path: str | Path | None = None) -> str:
        """The whole report as one page that needs no other file; with a path, it is written there.

        Parameters
        ----------
        path : str or Path, optional
            A file; one that is there is replaced.
        """
        page = _renderer(self).page(self)
        if path is not None:
            Path(path).write_text(page, encoding="utf-8", errors="backslashreplace")
        return page

    def to_pandas(self, table: str | None = None) -> pandas.DataFrame:
        """One tidy table of the result as a data frame.

        Parameters
        ----------
        table : str, optional
            One of several; the message of an error lists them.

        Raises
        ------
        BackendMissing
            pandas is not installed.
        BadSetting
            There is no such table.
        """
        try:
            import pandas
        except ImportError:
            raise BackendMissing(
                "pandas is not installed, and a data frame is made with it", "pip install pandas"
            ) from None
        tables = _renderer(self).tables(self)
        name = next(iter(tables)) if table is None else table
        if name not in tables:
            raise BadSetting(
                f"this result has no table '{name}'", f"`table` is one of {', '.join(tables)}"
            )
        found = tables[name]
        return pandas.DataFrame(list(found.rows), columns=list(found.columns))

    def plot(self) -> Picture:
        """The picture that says most, as SVG: a notebook shows it, and ``save`` writes it.

        Raises
        ------
        NotMeasured
            There is nothing to draw.
        """
        return _renderer(self).picture(self)

    def _repr_html_(self) -> str:
        return _renderer(self).glance(self)


def _renderer(result: Shown) -> Renderer:
    home = next(_HOMES[kind.__name__] for kind in type(result).__mro__ if kind.__name__ in _HOMES)
    module, _, name = home.partition(":")
    found: Renderer = getattr(import_module(module), name)
    return found
