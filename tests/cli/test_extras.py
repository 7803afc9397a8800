"""Optional parts: what they are for, and what is said where their packages are missing."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata

import pytest
from click.testing import Result

from sensverify.cli.extras import USES, absent, packages

Run = Callable[..., Result]


@pytest.fixture
def gone(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """``gone(package)``: it is not installed."""
    real = metadata.version

    def leave(package: str) -> None:
        def version(name: str) -> str:
            if name == package:
                raise metadata.PackageNotFoundError(name)
            return real(name)

        monkeypatch.setattr(metadata, "version", version)

    return leave


def test_packages_are_those_that_are_declared() -> None:
    assert packages("data") == ["pillow", "scikit-learn"]
    assert "tensorboardX" in packages("train")
    assert packages("marabou") == ["maraboupy"]
    assert packages("nothing") == []


def test_a_missing_package_is_named_beside_the_commands_that_need_it(
    run: Run, gone: Callable[[str], None]
) -> None:
    assert "Needs" not in run("--help").stdout
    gone("tensorboardX")
    assert absent("train") == ["tensorboardX"]
    text = " ".join(run("--help").stdout.split())
    assert text.count("Needs tensorboardX: pip install 'sensverify[train]'") == 2
    assert "sensitivity. Needs" in text


def test_extras_are_listed_with_what_is_missing(run: Run, gone: Callable[[str], None]) -> None:
    gone("scikit-learn")
    rows = [line.split() for line in run("list", "extras").stdout.splitlines()]
    here = {row[0]: {"yes", "no"} & set(row) for row in rows if row and row[0] in USES}
    assert set(here) == set(USES)
    assert (here["data"], here["parquet"]) == ({"no"}, {"yes"})
