"""Attacks by name: what they are called, what they take, and what is said of a wrong word."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest

from sensverify.attacks import (
    ATTACKS,
    ApgdCe,
    Attack,
    CarliniWagner,
    Fgsm,
    MiFgsm,
    Pgd,
    Square,
    Worst,
    make_attack,
)
from sensverify.errors import BadSetting, UnknownName
from sensverify.registry.settings import call_of

NAMES = [
    *("fgsm", "ll-fgsm", "pgd", "ll-pgd", "mi-fgsm"),
    *("apgd-ce", "apgd-dlr", "square", "cw", "worst"),
]


def test_the_names() -> None:
    assert list(ATTACKS) == NAMES
    assert [name for name, attack in ATTACKS.items() if attack.nearest] == ["cw"]
    assert [name for name, attack in ATTACKS.items() if not attack.gradients] == ["square"]


@pytest.mark.parametrize("name", NAMES)
def test_everything_that_a_list_shows_is_there(name) -> None:
    attack = make_attack(name)
    assert isinstance(attack, Attack)
    assert attack.name == name
    assert attack == make_attack(name)
    settings = {field.name: getattr(attack, field.name) for field in fields(attack)}
    assert make_attack(name, **settings) == attack
    assert make_attack(str(call_of(attack))) == attack
    # One sentence for people, and who it is from.
    sentence = ATTACKS.entry(name).summary
    assert 30 < len(sentence) < 160
    assert ". " not in sentence
    assert not sentence.endswith(".")
    assert "20" in attack.source
    for field in fields(attack):
        assert field.name in (type(attack).__doc__ or "")
        with pytest.raises(FrozenInstanceError):
            setattr(attack, field.name, 1)


def test_settings_reach_the_attack() -> None:
    assert make_attack("pgd", steps=7, loss="margin") == Pgd(steps=7, loss="margin")
    several = make_attack("worst", attacks=("fgsm", Square(queries=9)))
    assert several == Worst(attacks=(Fgsm(), Square(queries=9)))
    assert make_attack("worst", attacks="fgsm+apgd-ce") == Worst(attacks=(Fgsm(), ApgdCe()))
    call = "worst(attacks=fgsm + mi-fgsm(steps=3))"
    assert make_attack(call) == Worst(attacks=(Fgsm(), MiFgsm(steps=3)))
    assert str(call_of(make_attack(call))) == call


def test_a_wrong_name_gets_a_hint() -> None:
    with pytest.raises(UnknownName, match=r"'apgd-cee'.*'apgd-ce'"):
        make_attack("apgd-cee")
    with pytest.raises(UnknownName, match=r"fgsm, ll-fgsm, .*, worst"):
        make_attack("zzz")
    with pytest.raises(UnknownName, match="no attack 'fgsn'"):
        make_attack("worst", attacks="fgsn")


def test_a_wrong_setting_gets_the_list() -> None:
    with pytest.raises(BadSetting, match=r"'pgd'.*'step'.*steps, step_"):
        make_attack("pgd", step=3)
    with pytest.raises(BadSetting, match=r"'ll-fgsm'.*'steps'.*none"):
        make_attack("ll-fgsm", steps=3)


@pytest.mark.parametrize(
    ("name", "settings", "complaint"),
    [
        ("pgd", {"steps": 0}, "'pgd': steps .*1.* 0"),
        ("pgd", {"steps": 2.0}, r"steps .* 2\.0"),
        ("pgd", {"steps": True}, "steps .*true"),
        ("pgd", {"steps": "10"}, "steps .*10"),
        ("pgd", {"step_size": float("nan")}, "step_size .*nan"),
        ("pgd", {"step_size": 0.0}, r"step_size .* 0\.0"),
        ("pgd", {"loss": "kl"}, "loss .*cross-entropy, margin.*'kl'"),
        ("pgd", {"random_start": 1}, "random_start .* 1"),
        ("pgd", {"restarts": 2, "random_start": False}, "restarts without random_start"),
        ("ll-pgd", {"restarts": 0}, "'ll-pgd': restarts"),
        ("fgsm", {"loss": "hinge"}, "'fgsm': loss .*'hinge'"),
        ("fgsm", {"random_start": None}, "random_start "),
        ("mi-fgsm", {"decay": -1.0}, r"decay .*-1\.0"),
        ("mi-fgsm", {"step_size": float("inf")}, "step_size"),
        ("apgd-ce", {"restarts": 0}, "'apgd-ce': restarts"),
        ("square", {"p_init": 1.5}, r"p_init .* 1\.5"),
        ("square", {"queries": -5}, "'square': queries"),
        ("cw", {"confidence": -1}, "'cw': confidence .*-1"),
        ("cw", {"initial_weight": 0}, "initial_weight .* 0"),
    ],
)
def test_a_wrong_value_fails_where_it_is_written(name, settings, complaint) -> None:
    with pytest.raises(BadSetting, match=complaint):
        make_attack(name, **settings)


def test_defaults_are_those_of_their_sources() -> None:
    assert (Pgd().steps, MiFgsm().steps, MiFgsm().decay) == (40, 10, 1.0)
    assert (ApgdCe().steps, Square().queries, Square().p_init) == (100, 5000, 0.8)
    assert CarliniWagner().confidence == 0
