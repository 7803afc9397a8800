"""Settings that errors name, as options of the command that met them."""

from __future__ import annotations

import click
import pytest

from sensverify.cli.main import main
from sensverify.cli.remedies import command_of, with_options

VERIFY = command_of(main, ["verify", "iris", "--radius", "1"])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("give `radius` or `sigma`", "give --radius or --sigma"),
        ("use `dtype=float64`", "use --dtype float64"),
        ("`runtime_check=False` trusts the file", "--no-runtime-check trusts the file"),
        ("`runtime_check=True`", "--runtime-check"),
        ("`epochs` and a `file with blanks`", "`epochs` and a `file with blanks`"),
        ("a lone ` stays", "a lone ` stays"),
    ],
)
def test_settings_become_the_options_of_the_command(text: str, shown: str) -> None:
    assert with_options(text, VERIFY) == shown


def test_commands_of_groups_are_found() -> None:
    assert command_of(main, ["study", "run", "file.toml"]).name == "run"
    assert command_of(main, ["nothing"]) is main
    assert isinstance(VERIFY, click.Command)
