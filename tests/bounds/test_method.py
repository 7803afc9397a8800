"""Methods by name."""

import pytest

from sensverify.bounds import AlphaCrown, Crown, Ibp, LpDual, Method, make_method, method_names
from sensverify.errors import BadSetting, UnknownName
from tests.contracts.methods import METHODS


def test_every_method_has_a_name_and_comes_back_by_it() -> None:
    names = method_names()
    assert {"alpha-crown", "crown", "ibp", "lp-dual"} <= set(names)
    assert list(names) == sorted(names)
    for kind in (AlphaCrown, Crown, Ibp, LpDual):
        assert make_method(kind.name) == kind()


def test_settings_reach_the_method() -> None:
    assert make_method("alpha-crown", steps=3, seconds=1.5) == AlphaCrown(steps=3, seconds=1.5)
    assert make_method("crown", intermediate="ibp") == Crown(intermediate=Ibp())
    assert make_method("crown", intermediate=LpDual()) == Crown(intermediate=LpDual())


def test_what_there_is_not_is_named() -> None:
    with pytest.raises(UnknownName, match=r"'crwon'.*crown.*ibp"):
        make_method("crwon")
    with pytest.raises(BadSetting, match=r"no setting 'slope'.*intermediate"):
        make_method("crown", slope=1)
    with pytest.raises(BadSetting, match="it has none"):
        make_method("ibp", steps=1)
    with pytest.raises(UnknownName, match="'nothing'"):
        make_method("crown", intermediate="nothing")


@pytest.mark.parametrize(
    "settings",
    [
        {"steps": -1},
        {"steps": 1.5},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"learning_rate": float("inf")},
        {"seconds": -1.0},
        {"seconds": float("nan")},
    ],
    ids=str,
)
def test_alpha_crown_refuses_bad_settings(settings: dict) -> None:
    with pytest.raises(BadSetting, match=f"{next(iter(settings))}"):
        AlphaCrown(**settings)


@pytest.mark.parametrize("kind", [AlphaCrown, Crown, LpDual])
@pytest.mark.parametrize("wrong", ["ibp", AlphaCrown, 1], ids=repr)
def test_only_methods_that_bound_layers_are_intermediate(kind: type, wrong: object) -> None:
    with pytest.raises(BadSetting, match=r"intermediate.*Ibp\(\)"):
        kind(intermediate=wrong)


def test_methods_follow_the_protocol_and_compare_by_their_settings() -> None:
    for method in METHODS:
        assert isinstance(method, Method)
    assert len(set(METHODS)) == len(METHODS)
    assert Crown(intermediate=Ibp()) == Crown(intermediate=Ibp())
    assert repr(Crown(intermediate=Ibp())) == "Crown(intermediate=Ibp())"
