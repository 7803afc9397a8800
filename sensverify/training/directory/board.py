"""TensorBoard's event files, written by the thread that trains.

tensorboardX's own writer passes events to a thread of its own. Where that one ends, as it does on
a full disk, its queue fills up, and whoever adds to it then waits for ever.
"""

from __future__ import annotations

import re
import socket
from pathlib import Path
from time import time
from types import TracebackType

from sensverify.errors import InputError
from sensverify.runs.files import writing
from sensverify.runs.journal import STAYS

_FILE_VERSION = "brain.Event:2"

_NAME = re.compile(r"events\.out\.tfevents\.(\d{10,})\..*")


class Board:
    """One more event file in a folder, which TensorBoard reads after those that are there.

    Parameters
    ----------
    folder : Path
        Made where it is missing.
    first_step : int
        Of this step and later ones, what earlier files say is no longer shown.

    Raises
    ------
    InputError
        The system refuses; as all methods do.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.record_writer import RecordWriter

        self._folder = folder
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._writer = RecordWriter(str((folder / _next_name(folder)).absolute()))
        # The version stands first, in an event of its own, and is what makes START hide events.
        self._write(Event(wall_time=time(), file_version=_FILE_VERSION))
        start = SessionLog(status=SessionLog.START)
        self._write(Event(wall_time=time(), step=first_step, session_log=start))
        self.sync()

    def add(self, tag: str, value: float, step: int) -> None:
        """Add a number to the curve of that name; it reaches the disk with `sync`, or before."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        tag = re.sub(r"[^-/\w.]", "_", tag)
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
        self._write(Event(wall_time=time(), step=step, summary=summary))

    def sync(self) -> None:
        """Bring everything to the disk."""
        with writing(self._folder, remedy=STAYS):
            self._writer.flush()

    def __enter__(self) -> Board:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            with writing(self._folder, remedy=STAYS):
                self._writer.close()
        except InputError:
            # What whoever wrote the numbers met comes first.
            if error is None:
                raise

    def _write(self, event: object) -> None:
        with writing(self._folder, remedy=STAYS):
            self._writer.write(event.SerializeToString())  # type: ignore[attr-defined]


def _next_name(folder: Path) -> str:
    """A name that sorts behind those of all event files there, also within one second."""
    found = [_NAME.fullmatch(path.name) for path in folder.iterdir()]
    stamps = [int(match[1]) + 1 for match in found if match]
    return f"events.out.tfevents.{max([int(time()), *stamps]):010d}.{socket.gethostname()}"
