"""A command whose many options stand in groups in its help."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from sensverify.cli.options import Decorator


class GroupedCommand(click.Command):
    """Prints its options under the headings of their groups, in the order they are written."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        others: list[tuple[str, str]] = []
        for parameter in self.get_params(ctx):
            # Since click 8.5 arguments have a line too; the text above says what they are.
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is not None:
                group = getattr(parameter, "group", "")
                (groups.setdefault(group, []) if group else others).append(record)
        for name, records in [*groups.items(), ("Other options", others)]:
            with formatter.section(name):
                formatter.write_dl(records)


def grouped(name: str, *options: Decorator) -> Decorator:
    """Put options under one heading."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        before = len(getattr(command, "__click_params__", ()))
        for decorate in reversed(options):
            command = decorate(command)
        for made in command.__click_params__[before:]:  # type: ignore[attr-defined]
            made.group = name
        return command

    return add
