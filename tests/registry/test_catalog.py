"""One catalog of every kind: what all of them promise."""

from __future__ import annotations

from pkgutil import resolve_name
from typing import Any

import pytest

from sensverify.bounds.method import DECIDERS, METHODS
from sensverify.cli.list import CATALOGS
from sensverify.errors import BadSetting, UnknownName
from sensverify.registry.catalog import Catalog
from sensverify.registry.settings import REQUIRED, call_of

ALL = {name: resolve_name(name) for names in CATALOGS.values() for name in names}
EVERY = pytest.mark.parametrize("catalog", ALL.values(), ids=[name.split(":")[1] for name in ALL])


@EVERY
def test_a_catalog_is_a_mapping_of_its_names(catalog: Catalog[Any]) -> None:
    names = list(catalog)
    assert names
    assert len(set(names)) == len(names) == len(catalog)
    for name in names:
        assert name in catalog
        assert catalog[name] is catalog[name] is catalog.get(name)
    assert "nothing like it" not in catalog
    assert catalog.get("nothing like it") is None
    assert catalog.working() == dict(catalog)


@EVERY
def test_everything_has_a_summary(catalog: Catalog[Any]) -> None:
    for name in catalog:
        entry = catalog.entry(name)
        assert entry.summary, name
        assert not entry.summary.endswith("."), name
        assert "\n" not in entry.summary, name
        assert callable(entry.factory) or catalog.plain, name


@EVERY
def test_a_name_that_is_not_there(catalog: Catalog[Any]) -> None:
    first = next(iter(catalog))
    with pytest.raises(UnknownName) as caught:
        catalog[f"{first}x"]
    assert caught.value.problem.startswith(f"there is no {catalog.kind} '{first}x'")
    assert f"did you mean '{first}'" in caught.value.problem
    assert all(name in caught.value.remedy for name in catalog)


@EVERY
def test_groups_hold_names(catalog: Catalog[Any]) -> None:
    for name, members in catalog.groups().items():
        assert members, name
        assert set(members) <= set(catalog)
        assert catalog.select([name, *members]) == members
    assert catalog.select(["all"]) == tuple(catalog)
    with pytest.raises(UnknownName):
        catalog.select(["nothing like it"])


@EVERY
def test_defaults_fit_their_hints_and_can_be_written(catalog: Catalog[Any]) -> None:
    if catalog.plain:
        return
    for name in catalog:
        settings = catalog.settings(catalog[name])
        for setting in settings.values():
            assert setting.default is not REQUIRED, (name, setting.name)
        defaults = {key: each.default for key, each in settings.items()}
        assert catalog.fitted(_call(name, defaults)) == defaults


def _call(name: str, values: dict[str, Any]) -> Any:
    from sensverify.registry.calls import Call, parse_call
    from sensverify.registry.settings import written

    return parse_call(str(Call(name, {key: written(each) for key, each in values.items()})))


@pytest.mark.parametrize("catalog", [METHODS, DECIDERS], ids=["methods", "deciders"])
def test_objects_are_made_again_by_their_calls(catalog: Catalog[Any]) -> None:
    for name in catalog:
        made = catalog.make(name)
        again = call_of(made)
        assert not again.settings
        if again.name in catalog:
            assert catalog.make(again) == made


def test_settings_beside_a_call() -> None:
    call = METHODS.read("crown", {"intermediate": "crown(intermediate=ibp)"})
    assert str(call) == "crown(intermediate=crown(intermediate=ibp))"
    assert METHODS.make(call) == METHODS.make("crown", intermediate="crown(intermediate=ibp)")
    with pytest.raises(BadSetting, match="given twice"):
        METHODS.make("crown(intermediate=ibp)", intermediate="ibp")
    with pytest.raises(BadSetting, match="given twice"):
        METHODS.read("crown(intermediate=ibp)", {"intermediate": "ibp"})


def test_groups_are_made_for_whoever_asks_for_one() -> None:
    """As it takes every item, those of other packages too."""

    def grouping(items: Any) -> dict[str, tuple[str, ...]]:
        asked.append(tuple(items))
        return {"both": tuple(items)}

    asked: list[tuple[str, ...]] = []
    catalog = Catalog("thing", {"a": 1, "b": 2}, grouping=grouping)
    assert catalog.select(["b"]) == ("b",)
    assert not asked
    assert catalog.select(["b", "both"]) == ("b", "a")
    assert asked
