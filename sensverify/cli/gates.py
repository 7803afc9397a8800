"""Options of the gates that a result has to pass, and what is told of their verdicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click import option

from sensverify.cli.options import PATH, Decorator

if TYPE_CHECKING:
    from sensverify.core.gates import Gate

_HELP = {
    "min_certified": "The share of labels that are proven is at least this",
    "min_accuracy": "The share of samples whose label is the prediction is at least this",
    "min_robust": "The accuracy under all attacks together is at least this",
    "min_corrupted": "The mean accuracy under the corruptions is at least this",
    "min_shifted": "The mean accuracy on the other data sets (--shift) is at least this",
    "max_changed": "The share of samples with an input in their box that has another label is at "
    "most this",
    "min_agreement": "The share of samples on whose box both networks provably decide alike is at "
    "least this",
    "max_disagreement": "The share of samples with an input on which the two decide otherwise is "
    "at most this",
    "max_difference": "Each output of one is proven to be at most this far from that of the other",
    "max_width": "Each interval of each output is proven to be at most this wide",
    "max_log_volume": "The log-volume of each sample's box is proven to be at most this",
}


def gate_choices(*names: str, baseline: bool = True) -> list[Decorator]:
    """An option for the limit of each of these figures, and those that say what they are held to.

    Parameters
    ----------
    *names : str
        Keys of the help above.
    baseline : bool
        Whether limits may be relative to an earlier result.
    """
    limits = [
        option(f"--{name.replace('_', '-')}", metavar="LIMIT", help=f"{_HELP[name]}.")
        for name in names
    ]
    if baseline:
        limits.append(
            option(
                "--baseline",
                type=PATH,
                metavar="FILE.json",
                help="An earlier result of this command about the same samples, maybe of another "
                "model. A LIMIT is a number (0.9, 90%), or relative to its figure: baseline, "
                "'baseline-1%', 'baseline*1.1'.",
            )
        )
    return [
        *limits,
        option(
            "--junit",
            "junit_target",
            type=PATH,
            metavar="FILE.xml",
            help="Write the gates as test cases in JUnit's XML, which build servers show.",
        ),
        option(
            "--annotations",
            type=click.Choice(["github"]),
            help="After the report, print a line for each gate that did not pass, which GitHub's "
            "workflows show; on standard error with '--json -'.",
        ),
    ]


def gate_options(*names: str, baseline: bool = True) -> Decorator:
    """The options of `gate_choices`, on a command."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for each in reversed(gate_choices(*names, baseline=baseline)):
            command = each(command)
        return command

    return decorate


@dataclass(frozen=True)
class GateOutputs:
    """Where verdicts go beside the report: ``junit`` is a file, ``annotations`` a form of lines."""

    junit: Path | None
    annotations: str | None

    def check(self, given: Mapping[str, Any], names: Sequence[str]) -> None:
        """Refuse to tell of gates where there are none: nothing judged looks like all passed.

        Raises
        ------
        click.UsageError
        """
        asked = {"--junit": self.junit, "--annotations": self.annotations}
        for name, value in asked.items():
            if value is not None and all(given.get(each) is None for each in names):
                limit = f"--{names[0].replace('_', '-')}"
                raise click.UsageError(f"{name} tells of gates: give one, such as {limit}")

    def tell(self, gates: Sequence[Gate], *, suite: str, error: bool) -> None:
        """Print the annotations that are asked for; on standard error if ``error``."""
        if self.annotations is not None:
            from sensverify.report.gates import github_annotations

            click.echo(github_annotations(gates, suite=suite), nl=False, err=error)
