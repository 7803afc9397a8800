"""The terminal as rich sees it."""

from __future__ import annotations

import errno
import os

from rich.console import Console


class PlainConsole(Console):
    """A console that leaves numbers uncoloured and a closed pipe to its caller."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False)

    def on_broken_pipe(self) -> None:
        """Raise, where rich would end the process with the status of an exceeded threshold."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
