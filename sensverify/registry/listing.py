"""Catalogs as tables of text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import UnionType
from typing import Any, Union, get_args, get_origin

from sensverify.errors import SensverifyError
from sensverify.registry.calls import Call
from sensverify.registry.catalog import ALL, Catalog
from sensverify.registry.hints import expected, words_of
from sensverify.registry.settings import REQUIRED, written

Rows = list[tuple[str, ...]]
Listing = tuple[tuple[str, ...], Rows]
Columns = Mapping[str, Callable[[Any], str]]

_DOES = "what it is, and who defined it"
_SHORT = 30
"""Titles of at most so many characters stand beside their authors."""


def list_tables(catalogs: Sequence[Catalog[Any]], columns: Columns | None = None) -> list[Listing]:
    """Tables, each of a header and one row for each name.

    Every catalog has a table, and one of its groups where it has any; the titles of the sources of
    all of them stand once, in the last table.

    Parameters
    ----------
    catalogs : sequence of Catalog
    columns : mapping, optional
        Further columns of every catalog, by header.
    """
    items = [(catalog, name) for catalog in catalogs for name in catalog.working()]
    cited = Cited(catalog.entry(name).source for catalog, name in items)
    found: list[Listing] = []
    for catalog in catalogs:
        shown = {**catalog.columns, **(columns or {})}
        found.append(((catalog.kind, *shown, _DOES), list(_rows(catalog, shown, cited))))
        groups: Rows = [
            (name, "all of them" if name == ALL else ", ".join(names))
            for name, names in catalog.groups().items()
        ]
        if groups:
            found.append((("group", f"{catalog.kind}s"), groups))
    return [*found, (("source", "title"), cited.rows)] if cited.rows else found


def _rows(catalog: Catalog[Any], columns: Columns, cited: Cited) -> Iterator[tuple[str, ...]]:
    for name in catalog:
        try:
            item, entry = catalog[name], catalog.entry(name)
        except SensverifyError as error:
            yield (name, *["-"] * len(columns), f"not usable: {error}")
            continue
        source, summary = cited.short(entry.source), entry.summary.replace("`", "")
        lines = [f"{summary} ({source})" if source else summary]
        lines += [] if catalog.plain else _settings(catalog, name)
        lines += [] if catalog.remarks is None else catalog.remarks(item)
        yield (name, *(column(item) for column in columns.values()), "\n".join(lines))
    for name, value in catalog.unused().items():
        yield (name, *["-"] * len(columns), f"not used: '{value}' has the name of one of ours")


def _settings(catalog: Catalog[Any], name: str) -> list[str]:
    """The call with all its defaults, and the words that settings take."""
    try:
        settings = catalog.settings(catalog[name])
    except SensverifyError as error:
        return [f"not usable: {error}"]
    if not settings:
        return []
    needed = [f"{each.name}=..." for each in settings.values() if each.default is REQUIRED]
    given = {
        key: written(each.default) for key, each in settings.items() if each.default is not REQUIRED
    }
    call = str(Call(name, given))
    if needed:
        call = f"{name}({', '.join([*needed, *filter(None, [call[len(name) + 1 : -1]])])})"
    words = [(key, _words(each.hint)) for key, each in settings.items()]
    return [call, *(f"{key}: {', '.join(each)}" for key, each in words if each)]


def _words(hint: Any) -> list[str]:
    """The words that a setting takes, among others where it does."""
    if get_origin(hint) is tuple and get_args(hint)[1:] == (Ellipsis,):
        return _words(get_args(hint)[0])
    several = get_origin(hint) in (Union, UnionType)
    members = get_args(hint) if several else (hint,)
    words = [word for each in members for word in words_of(each)]
    others = [expected(each) for each in members if not words_of(each)]
    return [*words, *others] if words else []


class Cited:
    """Sources by author and year in the rows, and by title once, in a table of their own.

    Parameters
    ----------
    sources : iterable of str
        ``Who 2020, Title``, ``Who, Title`` or a title alone, and after a semicolon a remark.
    """

    def __init__(self, sources: Iterable[str]) -> None:
        titles: dict[str, list[str]] = {}
        for source in sources:
            who, title, _ = _cut(source)
            if title and title not in titles.setdefault(who, []):
                titles[who].append(title)
        # Two papers of one year are told apart by a letter, as usual.
        self._keys = {
            (who, title): f"{who}{letter if len(each) > 1 else ''}"
            for who, each in titles.items()
            for letter, title in zip("abcdefghij", each, strict=False)
        }

    def short(self, source: str) -> str:
        """A source without its title, where it has an author."""
        who, title, remark = _cut(source)
        return self._keys.get((who, title), who) + remark

    @property
    def rows(self) -> Rows:
        """Authors and titles, in alphabetical order."""
        return sorted((key, title) for (_, title), key in self._keys.items())


_AUTHORS = re.compile(r"(.+? \d{4}|\S+(?: et al\.)?), (.+)")


def _cut(source: str) -> tuple[str, str, str]:
    """Authors and year, title, and a remark with its semicolon; a title alone stands first."""
    work, semicolon, remark = source.partition("; ")
    found = _AUTHORS.fullmatch(work)
    who, title = found.groups() if found is not None else (work, "")
    if len(title) <= _SHORT:
        who, title = work, ""
    return who, title, semicolon + remark
