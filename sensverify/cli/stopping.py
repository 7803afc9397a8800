"""Stopping of commands that take long."""

from __future__ import annotations

from contextlib import AbstractContextManager

import click

from sensverify.runs.watch import Watch


def stopping_on_signals(watch: Watch) -> AbstractContextManager[Watch]:
    """Within, Ctrl-C and SIGTERM stop what the watch watches over, and one line says so."""
    return watch.stopping_on_signals(lambda text: click.echo(text, err=True))
