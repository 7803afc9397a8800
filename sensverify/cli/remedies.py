"""Errors of the library in the words of the command line."""

from __future__ import annotations

import re
from collections.abc import Sequence

import click

_SETTING = re.compile(r"`(\w+)(?:=([^`]*))?`")


def with_options(text: str, command: click.Command) -> str:
    """A text with the options of a command for the settings that it names in backquotes.

    ```radius``` becomes ``--radius``, ```dtype=float64``` ``--dtype float64``, and
    ```runtime_check=False``` the option that switches it off. Other names stay as they are.
    """
    options = {each.name: each for each in command.params if isinstance(each, click.Option)}

    def spelled(match: re.Match[str]) -> str:
        option, value = options.get(match[1]), match[2]
        if option is None:
            return match[0]
        name = max(option.opts, key=len)
        if value is None or value == "True":
            return name
        if value == "False" and option.secondary_opts:
            return max(option.secondary_opts, key=len)
        return f"{name} {value}"

    return _SETTING.sub(spelled, text)


def command_of(group: click.Group, arguments: Sequence[str]) -> click.Command:
    """The command that arguments of a group call, as far as they name one."""
    found: click.Command = group
    for argument in arguments:
        if not isinstance(found, click.Group):
            break
        found = found.get_command(click.Context(found), argument) or found
    return found
