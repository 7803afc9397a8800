"""Catalogs: everything of one kind that has a name, ours and that of other packages."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from sensverify.errors import BackendFailure, BadSetting, SensverifyError, UnknownName
from sensverify.registry.calls import Call, parse_call
from sensverify.registry.hints import MAKERS, fit_text
from sensverify.registry.names import did_you_mean, name_of, summary_of
from sensverify.registry.settings import Setting, call_of, fit_settings, settings_of

Item = TypeVar("Item")
Groups = dict[str, tuple[str, ...]]

ALL = "all"
"""The group of everything, in catalogs that have groups."""


@dataclass(frozen=True)
class Entry:
    """Something that has a name.

    Parameters
    ----------
    name : str
    factory : class or function
        What makes it or does it.
    summary : str
        One sentence without a full stop.
    source : str
        Who defined it, as ``Who 2020, Title``; empty where nobody says.
    group : str
        What it can be asked for together with others; empty where it is alone.
    """

    name: str
    factory: Any
    summary: str
    source: str
    group: str


@dataclass(eq=False, repr=False)
class Catalog(Mapping[str, Item]):
    """Everything of one kind by its name: our own, then what other packages announce.

    Another package adds to a catalog by an entry point in its group. Entry points are looked up
    when a name is asked for that is not our own, and loaded when that name is used.

    Parameters
    ----------
    kind : str
        A noun for one of them, such as ``attack``.
    own : mapping
        Ours, by name, in the order that lists have.
    group : str
        Entry-point group, such as ``sensverify.attacks``; without one nobody adds to it.
    types : tuple of type
        Types of what is made: a setting with such a type hint takes a name of this catalog.
    adapt : callable, optional
        Makes an item of what an entry point or a caller gives; takes the name and the object, and
        gives None where it is no such thing.
    takes : str
        A noun phrase for what ``adapt`` takes.
    arguments : int
        Number of parameters of an item that come before its settings: what it works on.
    plain : bool
        Whether a name alone is asked for, without settings.
    example : str
        A call for messages, such as ``crown(intermediate=ibp)``.
    grouping : callable, optional
        Names by what they can be asked for together, from the items by name. Default: by the
        items' own ``group``, and ``all``.
    columns : mapping, optional
        What lists say of each item beside its summary, by the column's header.
    remarks : callable, optional
        Further lines that lists have for an item.
    """

    kind: str
    own: Mapping[str, Item]
    _: KW_ONLY
    group: str = ""
    types: tuple[Any, ...] = ()
    adapt: Callable[[str, Any], Item | None] | None = None
    takes: str = ""
    arguments: int = 0
    plain: bool = False
    example: str = ""
    grouping: Callable[[Mapping[str, Item]], Groups] | None = None
    columns: Mapping[str, Callable[[Item], str]] = field(default_factory=dict)
    remarks: Callable[[Item], Iterable[str]] | None = None
    _loaded: dict[EntryPoint, Item] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        MAKERS.update(dict.fromkeys(self.types, self))

    def __getitem__(self, name: str) -> Item:
        """The item of a name.

        Raises
        ------
        UnknownName
            There is none.
        BackendFailure
            The package that announces it does not work.
        BadSetting
            Two packages announce it.
        """
        if name in self.own:
            return self.own[name]
        points = {point.value: point for point in self._points if point.name == name}
        if not points:
            raise self.unknown(name)
        if len(points) > 1:
            raise BadSetting(
                f"several packages announce the {self.kind} '{name}': {', '.join(points)}",
                "uninstall all but one of them",
            )
        return self._load(*points.values())

    def __contains__(self, name: object) -> bool:
        return name in self.own or any(point.name == name for point in self._points)

    def __iter__(self) -> Iterator[str]:
        yield from self.own
        yield from sorted({point.name for point in self._points} - self.own.keys())

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def get(self, name: str, default: Any = None) -> Any:
        """The item of a name, or the default where there is no such name."""
        if name not in self:
            return default
        return self[name]

    @property
    def offer(self) -> str:
        """A noun phrase for one of them in messages, with an example."""
        article = "an" if self.kind[0] in "aeiou" else "a"
        return f"{article} {self.kind} such as {self.example or next(iter(self), 'none')}"

    def unused(self) -> dict[str, str]:
        """Entry points, by name, that announce a name of our own, which stays ours."""
        return {point.name: point.value for point in self._points if point.name in self.own}

    def working(self) -> dict[str, Item]:
        """The items by name, without those that cannot be loaded."""
        found: dict[str, Item] = {}
        for name in self:
            try:
                found[name] = self[name]
            except SensverifyError:
                continue
        return found

    def groups(self) -> Groups:
        """Names by what they can be asked for together."""
        return (self.grouping or by_group)(self.working())

    def select(self, asked: Iterable[str], also: Iterable[str] = ()) -> tuple[str, ...]:
        """The names behind names and groups, once each, in their order.

        Parameters
        ----------
        asked : iterable of str
        also : iterable of str
            Names that count as this catalog's.

        Raises
        ------
        UnknownName
            Something is neither a name nor a group.
        """
        also, groups = tuple(also), {ALL: tuple(self)}
        found: dict[str, None] = {}
        for name in asked:
            if name in self or name in also:
                found[name] = None
                continue
            # Whose groups are asked for is loaded; a name alone loads nothing.
            groups |= self.groups()
            if name not in groups:
                raise self.unknown(name, also, groups)
            found |= dict.fromkeys((*groups[name], *(also if name == ALL else ())))
        return tuple(found)

    def entry(self, name: str) -> Entry:
        """The facts about an item; errors as of ``catalog[name]``."""
        item = self[name]
        summary = getattr(item, "summary", None)
        return Entry(
            name=name,
            factory=getattr(item, "function", item),
            summary=summary if isinstance(summary, str) else summary_of(item),
            source=str(getattr(item, "source", "")),
            group=str(getattr(item, "group", "")),
        )

    def find(self, named: Any) -> Item:
        """The item of a name, or an object of the caller's as an item.

        Raises
        ------
        UnknownName, BackendFailure, BadSetting
            There is no such name; or the object is no such thing.
        """
        if isinstance(named, str):
            return self[named]
        return self._adapted(name_of(named), named)

    def own_objects(self, asked: Iterable[Any]) -> dict[str, Item]:
        """The caller's objects among names and objects, as items by name; errors as of `find`."""
        return {name_of(each): self.find(each) for each in asked if not isinstance(each, str)}

    def make(self, call: str | Call, /, *arguments: Any, **settings: Any) -> Any:
        """The object that a call stands for: the item of its name, called with its settings.

        Parameters
        ----------
        call : str or Call
            A name, or a name with settings: ``crown(intermediate=ibp)``.
        *arguments
            What the item takes before its settings.
        **settings
            More settings; names where a setting is itself of a catalog.

        Raises
        ------
        UnknownName
            There is no such name.
        BadSetting
            There is no such setting, or a value does not fit.
        BackendFailure
            The package that announces it does not work.
        """
        if isinstance(call, str):
            call = parse_call(call)
        for name in settings:
            if name in call.settings:
                raise BadSetting(f"'{call}': {name} is given twice")
        factory: Any = self[call.name]
        values = self.fitted(Call(call.name, {**call.settings, **settings}))
        try:
            return factory(*arguments, **values)
        except SensverifyError:
            raise
        except (TypeError, ValueError) as error:
            raise BadSetting(f"'{call}' is refused: {error}") from error

    def fitted(self, call: Call, item: Item | None = None) -> dict[str, Any]:
        """The settings of a call as an item takes them: that of its name, unless one is given.

        Raises
        ------
        UnknownName, BadSetting, BackendFailure
            As of `make`.
        """
        known = self.settings(self[call.name] if item is None else item)
        return fit_settings(f"{self.kind} '{call.name}'", known, call.settings)

    def settings(self, item: Item) -> Mapping[str, Setting]:
        """The settings of an item, by name, with their type hints and defaults.

        Those of its ``function`` where it has one.
        """
        return settings_of(getattr(item, "function", item), self.arguments)

    def read(self, call: str | Call, settings: Mapping[str, Any]) -> Call:
        """A call with further settings: text of ``--setting KEY=VALUE``, or values as they are.

        Raises
        ------
        UnknownName, BackendFailure, BadSetting
            There is no such name, a setting comes twice, or a text is no value.
        """
        found = parse_call(call) if isinstance(call, str) else call
        known = self.settings(self[found.name])
        values = dict(found.settings)
        for name, text in settings.items():
            if name in values:
                raise BadSetting(f"{self.kind} '{call}': {name} is given twice")
            plain = isinstance(text, str) and name in known
            values[name] = fit_text(known[name].hint, text) if plain else text
        return Call(found.name, values)

    def resolve(self, asked: Any, settings: Mapping[str, Any] | None = None) -> tuple[Call, Any]:
        """The object of a call, or one of the caller's own, and the call that makes it.

        Parameters
        ----------
        asked : str, Call or object
        settings : mapping, optional
            Further settings of a call, as `read` takes them.

        Raises
        ------
        UnknownName, BackendFailure, BadSetting
            As of `make` and `read`; or an object is no such thing, or has settings beside it.
        """
        if isinstance(asked, str | Call):
            call = self.read(asked, settings or {})
            return call, self.make(call)
        if isinstance(asked, type) or not isinstance(asked, self.types or object):
            raise BadSetting(f"{self.offer} is needed, got {asked!r}")
        if settings:
            raise BadSetting(
                f"{asked!r} has its settings, and `settings` has others", "give them to the object"
            )
        return call_of(asked), asked

    def unknown(
        self, name: object, also: Iterable[str] = (), groups: Iterable[str] = ()
    ) -> UnknownName:
        """The error for a name that is not there; other names, and groups, would do as well."""
        names, groups = list(dict.fromkeys([*self, *also])), tuple(groups)
        ending = f", and the groups {', '.join(groups)}" if groups else ""
        return UnknownName(
            f"there is no {self.kind} '{name}'{did_you_mean(name, [*names, *groups])}",
            f"there are {', '.join(names)}{ending}",
        )

    @property
    def _points(self) -> tuple[EntryPoint, ...]:
        return _entry_points(self.group, tuple(sys.path))

    def _adapted(self, name: str, found: Any) -> Item:
        item: Item | None = found if self.adapt is None else self.adapt(name, found)
        if item is None:
            raise BadSetting(f"the {self.kind} '{name}' is {found!r}", f"give {self.takes}")
        return item

    def _load(self, point: EntryPoint) -> Item:
        if point in self._loaded:
            return self._loaded[point]
        try:
            found = point.load()
            item = self._adapted(point.name, found)
        except Exception as error:
            package = point.dist.name if point.dist is not None else point.module
            raise BackendFailure(
                f"the {self.kind} '{point.name}' of the package '{package}' cannot be loaded: "
                f"{type(error).__name__}: {error}",
                f"mend or uninstall '{package}'",
            ) from error
        self._loaded[point] = item
        return item


def by_group(items: Mapping[str, Any]) -> Groups:
    """Names by the group of the items, and all of them."""
    found: dict[str, tuple[str, ...]] = {}
    for name, item in items.items():
        group = getattr(item, "group", "")
        if group:
            found[group] = (*found.get(group, ()), name)
    return {**found, ALL: tuple(items)} if found else {}


@lru_cache(maxsize=256)
def _entry_points(group: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """The entry points of a group; looking at every package on the path takes milliseconds."""
    return tuple(entry_points(group=group))
