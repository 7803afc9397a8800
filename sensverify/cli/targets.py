"""Files and streams that the results of a command go to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from sensverify.cli.printing import printable, quiet

STDOUT = Path("-")


def input_files(
    models: Iterable[str | None], *others: Path | str | None, data: str | None = None
) -> list[Path]:
    """The files that a run reads: those of models with their samples, those of data, and others."""
    from sensverify.data.catalog import find_file
    from sensverify.models import resolve

    found = find_file(data)
    files = [*others, *([] if found is None else found.files)]
    for name in models:
        if name is not None:
            model = resolve(name)
            files += [model.path, model.sample_path]
    return [Path(file) for file in files if file is not None]


def say_note(note: str | None) -> None:
    """Tell, on standard error, what was guessed of the data; of ``-q`` the report alone says it."""
    if note and not quiet():
        click.echo(f"note: {printable(note)}", err=True)


@dataclass(frozen=True)
class Targets:
    """The files that a person names for the results of a run.

    Parameters
    ----------
    json : Path or None
        ``-`` is standard output, which then holds nothing else.
    report, witness, certificate, junit : Path or None
        Files.
    witnesses : Path or None
        A folder for one file and maybe a picture of every sample that changes.
    force : bool
        Whether files that are there may be overwritten; never those that the run reads.
    """

    json: Path | None = None
    report: Path | None = None
    witness: Path | None = None
    certificate: Path | None = None
    junit: Path | None = None
    witnesses: Path | None = None
    force: bool = False

    @property
    def to_stdout(self) -> bool:
        return self.json == STDOUT

    def check(self, inputs: Sequence[Path]) -> None:
        """Refuse, before any work is done, what could not or must not be written.

        Raises
        ------
        click.BadParameter, InputError
            Says which.
        """
        from sensverify.runs.outputs import check_folder, check_targets

        for name in ("report", "witness", "certificate", "junit"):
            if getattr(self, name) == STDOUT:
                raise click.BadParameter(f"a {name} goes into a file", param_hint=f"'--{name}'")
        named = (self.json, self.report, self.witness, self.certificate, self.junit)
        files = [path for path in named if path is not None and path != STDOUT]
        check_targets(files, inputs=inputs, force=self.force)
        if self.witnesses is not None:
            from sensverify.report.verification.counterexample import FILES

            check_folder(self.witnesses, FILES, others=[*inputs, *files], force=self.force)

    def write(
        self,
        *,
        witnesses: Callable[[], Mapping[str, bytes]] | None = None,
        **made: Callable[[], str | bytes] | None,
    ) -> None:
        """Make all results that are asked for, then write them; standard output comes last.

        Parameters
        ----------
        witnesses : callable, optional
            What makes the files of the folder, by their names.
        **made
            By the name of the target: what makes its contents; None where there are none.
        """
        from sensverify.runs.outputs import write_files, write_folder

        contents: dict[Path, str | bytes] = {}
        for name, make in made.items():
            path = getattr(self, name)
            if path is not None and make is not None:
                contents[path] = make()
        printed = contents.pop(STDOUT, None)
        names = {} if self.witnesses is None or witnesses is None else witnesses()
        write_files(contents, force=self.force)
        if self.witnesses is not None:
            from sensverify.report.verification.counterexample import FILES

            write_folder(self.witnesses, names, FILES, force=self.force)
        if printed is not None:
            click.echo(printed, nl=False)
