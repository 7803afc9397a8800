"""Everything that has a name is listed, and nothing is cut off."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from click.testing import Result

from sensverify.cli.list import WHAT
from sensverify.data import DATA_SETS
from sensverify.models.architectures import ARCHITECTURES, FAMILIES
from sensverify.training.recipes import RECIPES
from sensverify.training.terms import TERMS

Run = Callable[..., Result]


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("losses", [*RECIPES, *TERMS]),
        ("architectures", [*ARCHITECTURES, *FAMILIES]),
        ("data", list(DATA_SETS)),
    ],
)
def test_every_name_begins_a_row(run: Run, what: str, names: list[str]) -> None:
    done = run("list", what)
    assert done.exit_code == 0
    first = {line.split(" ")[0] for line in done.stdout.splitlines()}
    assert first.issuperset(names)


@pytest.mark.parametrize("what", WHAT)
def test_nothing_is_cut_off(run: Run, what: str) -> None:
    assert "…" not in run("list", what).stdout


def test_losses_are_written_as_they_can_be_asked_for(run: Run) -> None:
    text = "".join(run("list", "losses").stdout.split())
    for name, recipe in RECIPES.items():
        assert "".join(str(recipe).split()) in text, name
    for name, term in TERMS.items():
        for option in term.defaults:
            assert f"{option}=" in text, (name, option)
