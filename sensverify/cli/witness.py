"""``sensverify verify --witness``: files for the inputs that change a sample's class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sensverify.cli.targets import STDOUT, Targets, say_note


def witness_paths(text: str | None, *, of_samples: bool) -> tuple[Path | None, Path | None]:
    """The file and the folder that ``--witness`` names; at most one of them.

    Parameters
    ----------
    text : str or None
        What was given: a folder ends in a slash, is there already, or has no suffix.
    of_samples : bool
        False: a property has one witness, and it goes into a file.

    Raises
    ------
    click.BadParameter
        It is neither an ``.npz`` file nor a folder.
    """
    if text is None:
        return None, None
    path = Path(text)
    if not of_samples or path == STDOUT:
        return path, None
    if text and (text.endswith("/") or path.is_dir() or not path.suffix):
        return None, path
    if path.suffix != ".npz":
        raise click.BadParameter(
            f"'{text}' is neither an .npz file nor a folder; give FILE.npz or DIR/",
            param_hint="'--witness'",
        )
    return path, None


def say_none(report: Any, targets: Targets) -> None:
    """Tell, on standard error, of what ``--witness`` has nothing to write.

    Parameters
    ----------
    report : VerifyReport
    targets : Targets
    """
    from sensverify.data.dataset import image_kind

    file, folder = targets.witness, targets.witnesses
    if file is None and folder is None:
        return
    found = [each.counterexample for each in report.samples if each.counterexample is not None]
    if found:
        if folder is not None and report.pixels is None and image_kind(found[0].input.shape):
            say_note(
                f"there are no pictures in '{folder}': which values are black and white is not "
                "known; --clip LO HI says so"
            )
        return
    why = "no counterexample was found"
    if all(each.judged_class is None for each in report.samples):
        why = "nothing was asked of classes, so there is no counterexample"
    say_note(f"{why}: " + (f"'{file}' holds none" if file else f"nothing is in '{folder}'"))
