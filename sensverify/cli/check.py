"""``sensverify check``: a certificate against the model it is about, without any solver."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sensverify.cli.options import force_option, runtime_option
from sensverify.cli.targets import Targets

REJECTED = 1
"""Exit status where a certificate does not prove what it claims."""

_PATH = click.Path(path_type=Path)


@click.command("check")
@click.argument("certificate", type=_PATH)
@click.argument("model")
@click.option(
    "--arithmetic",
    type=click.Choice(["rigorous", "exact"]),
    default="rigorous",
    show_default=True,
    help="rigorous: floating-point numbers with a bound on every rounding. exact: rational "
    "numbers, which takes far longer.",
)
@click.option(
    "--property",
    "property_file",
    type=_PATH,
    metavar="FILE.vnnlib",
    help="Also check that the certificate answers this VNN-LIB property with unsat.",
)
@click.option(
    "--json",
    "json_target",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE|-",
    help="Write the result as JSON; '-' prints it, and only it, on standard output.",
)
@runtime_option()
@force_option("Overwrite the file of --json; never what is checked.")
def check(
    certificate: Path,
    model: str,
    arithmetic: str,
    property_file: Path | None,
    json_target: Path | None,
    force: bool,
    runtime_check: bool,
) -> int:
    """Check every claim of CERTIFICATE against MODEL, which it must be about.

    MODEL is a name from 'sensverify list models', or the path of an .onnx or .onnx.gz file. Every
    claimed bound is derived again from the file's weights and the numbers in the certificate,
    without the methods that found them. The exit status is 0 if every claim holds, 1 if
    the certificate is rejected, 2 if a file cannot be read.

    \b
    Examples:
      sensverify check iris.cert iris
      sensverify check net.cert net.onnx --arithmetic exact
      sensverify check net.cert net.onnx --property prop.vnnlib
    """
    from sensverify.models import resolve

    targets = Targets(json=json_target, force=force)
    path = Path(resolve(model).path)
    inputs = [certificate, path, *([] if property_file is None else [property_file])]
    targets.check(inputs)
    report = _checked(certificate, path, arithmetic, property_file, runtime_check)
    from sensverify.report.check import check_to_json

    targets.write(json=lambda: check_to_json(report))
    return _say(report, errors_only=targets.to_stdout)


def _checked(
    certificate: Path,
    model: Path,
    arithmetic: str,
    property_file: Path | None,
    runtime_check: bool,
) -> Any:
    from sensverify.certificates import StoredModel, read_certificate
    from sensverify.certificates import check_certificate as run
    from sensverify.errors import CertificateRejected
    from sensverify.formats.vnnlib import load_property
    from sensverify.report.check import CheckReport

    found, checked, reason = None, None, None
    asked = None if property_file is None else load_property(property_file)
    stored = StoredModel.read(model, runtime_check=runtime_check)
    try:
        found = read_certificate(certificate, model=stored)
        checked = run(found, stored, arithmetic=arithmetic, property=asked)
    except CertificateRejected as error:
        reason = str(error)
    return CheckReport(
        path=str(certificate),
        size=certificate.stat().st_size,
        model=str(model),
        certificate=found,
        arithmetic=arithmetic,
        property=None if property_file is None else str(property_file),
        checked=checked,
        reason=reason,
    )


def _say(report: Any, *, errors_only: bool) -> int:
    """Print what was found; the exit status."""
    from sensverify.cli.main import printable
    from sensverify.report.check import check_lines, verdict_text

    if report.checked is None:
        click.echo(f"rejected: {printable(report.reason)}", err=True)
        return REJECTED
    for name, text in check_lines(report, report.checked):
        click.echo(f"{name:<11}  {printable(text)}", err=errors_only)
    click.echo(verdict_text(report), err=errors_only)
    return 0
