"""``sensverify``: the commands, loaded when they are called, and what every error looks like."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any, NoReturn

import click

from sensverify.cli.options import quiet_option
from sensverify.cli.printing import printable
from sensverify.cli.remedies import command_of, with_options

_COMMANDS = {
    "benchmark": "Answer a folder of VNN-LIB properties and compare with known verdicts.",
    "calibrate": "Fit the temperature at which a classifier's confidence fits its accuracy.",
    "check": "Check a certificate against the model it is about.",
    "corrupt": "Make corrupted images of a data set, for evaluations to read.",
    "diff": "Bound how far two networks differ, and where they decide alike.",
    "evaluate": "Attack, corrupt, certify and measure classifiers, side by side.",
    "export-milp": "Write a network over a box as a program for optimisers.",
    "index": "Write one page that leads to all reports below a folder.",
    "landscape": "Find minima and saddles of a training loss, and how they are linked.",
    "list": "List the methods, models, data sets, losses, ... there are.",
    "schema": "Print the JSON Schema of a result.",
    "specification": "Check requirements on robustness before anything is measured.",
    "study": "Train several losses on equal terms, and compare them.",
    "train": "Train a model, with or without a penalty on its sensitivity.",
    "verify": "Bound how far a model's outputs can move, or answer a VNN-LIB property.",
    "vnnlib": "Answer queries in VNN-LIB 2, by the standard's command line.",
}
"""Short help of each command, whose module is imported only when it is called."""

_COMPLETION = "_SENSVERIFY_COMPLETE"
"""Set by the shell when it asks click for completions."""

BAD_INPUT = 2
INTERRUPTED = 130
TERMINATED = 143
READER_GONE = 141
"""As a shell reports it, in `sensverify ... | head`."""
_NO_MEMORY = "out of memory; give a smaller --memory or fewer samples"
DEFECT = 70
"""Exit status of an error that is nobody's input: never to be mistaken for a threshold (1)."""


class _Terminated(KeyboardInterrupt):
    """SIGTERM: ends a command as Ctrl-C does, with everything closed on the way out."""


@contextlib.contextmanager
def _sigterm_raises() -> Iterator[None]:
    def terminate(number: int, frame: FrameType | None) -> NoReturn:
        raise _Terminated

    # Python handles signals in the main thread alone.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _known_as(command: str) -> Iterator[None]:
    """Let results say by which command they were made."""
    from sensverify.core.record import COMMAND

    token = COMMAND.set(command)
    try:
        yield
    finally:
        COMMAND.reset(token)


class _Commands(click.Group):
    """A group that imports a command only when it runs, and turns errors into one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        own = cmd_name.replace("-", "_")
        module = importlib.import_module(f"sensverify.cli.{own}")
        command: click.Command = getattr(module, {"list": "list_names"}.get(own, own))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from sensverify.cli.extras import short_help

        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, short_help(name, text)) for name, text in sorted(_COMMANDS.items())]
            )

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command; in standalone mode the process ends with the exit status."""
        if not standalone_mode or _COMPLETION in os.environ:
            return super().main(args, prog_name, complete_var, standalone_mode, **extra)
        given = sys.argv[1:] if args is None else args
        sys.exit(self._status(list(given), prog_name or "sensverify", extra))

    def _status(self, args: list[str], prog_name: str, extra: dict[str, Any]) -> int:
        # Not through click's own main: it prints a line of its own on Ctrl-C, and ends with 1, our
        # status of an exceeded threshold, when the reader of a pipe goes away.
        _accept_any_text()
        _wait_asleep()
        try:
            with (
                _sigterm_raises(),
                _known_as(shlex.join(["sensverify", *args])),
                self.make_context(prog_name, list(args), **extra) as context,
            ):
                status = self.invoke(context)
            return _flushed(status if isinstance(status, int) else 0)
        except click.exceptions.Exit as end:
            return _flushed(end.exit_code)
        except click.ClickException as error:
            return _fail(error.format_message() + _hint(error), BAD_INPUT)
        except _Terminated:
            return _fail("stopped by SIGTERM", TERMINATED)
        except (click.Abort, KeyboardInterrupt):
            return _fail("stopped by Ctrl-C", INTERRUPTED)
        except MemoryError:
            return _fail(_NO_MEMORY, BAD_INPUT)
        except Exception as error:
            from sensverify.errors import SensverifyError

            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                _silence()
                return READER_GONE
            if isinstance(error, SensverifyError):
                return _fail(with_options(str(error), command_of(self, args)), BAD_INPUT)
            if _is_memory(error):
                return _fail(_NO_MEMORY, BAD_INPUT)
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                _silence()
                return _fail("no space left to write the result", BAD_INPUT)
            traceback.print_exc()
            return DEFECT


def _accept_any_text() -> None:
    """Let a terminal show a replacement for a character that its encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _wait_asleep() -> None:
    """Let threads that wait for others leave their processor, unless the user says otherwise.

    Where other programs take the processors, too, threads that wait awake keep out those that they
    wait for. OpenMP reads this when torch is loaded.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def _flushed(status: int) -> int:
    """The status, or that of a reader that went away before the last of the text."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        _silence()
        return READER_GONE
    return status


def _silence() -> None:
    """Keep Python from complaining at its end about text that nobody will read."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _is_memory(error: Exception) -> bool:
    # torch raises its own class for a GPU, and a plain RuntimeError for the CPU.
    return type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)


def _hint(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f" (see '{context.command_path} --help')" if context is not None else ""


def _fail(message: str, status: int) -> int:
    click.echo(f"error: {printable(message)}", err=True)
    return status


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(
    None, "-V", "--version", package_name="sensverify", message="sensverify %(version)s"
)
@quiet_option()
@click.pass_context
def main(context: click.Context) -> None:
    """Prove how far a neural network's outputs can move when its inputs move a little.

    \b
    Start here:
      sensverify verify iris
      sensverify verify MODEL.onnx --data mnist --samples 0:20 --radius 0.05
      sensverify verify MODEL.onnx --property PROPERTY.vnnlib
      sensverify check CERTIFICATE MODEL.onnx
      sensverify diff OLD.onnx NEW.onnx --data mnist --samples 0:20 --radius 0.01
      sensverify train --data digits --model mlp-48-24 --out runs/digits
      sensverify evaluate mnist-conv2 --data mnist --report conv2.html
      sensverify list models

    \b
    Exit status:
      0  done, and every threshold, gate or property holds
      1  a threshold or gate is not kept, the property is violated, or a certificate is rejected
      2  bad input or usage; one line on standard error says what
      3  undecided in the time given, or stopped
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


if __name__ == "__main__":
    main(prog_name="sensverify")
