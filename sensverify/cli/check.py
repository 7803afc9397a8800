"""``sensverify check``: a certificate against the model it is about, without any solver."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sensverify.cli.options import (
    PATH,
    force_option,
    json_option,
    quiet_option,
    report_option,
    runtime_option,
)
from sensverify.cli.printing import show
from sensverify.cli.progress import showing
from sensverify.cli.targets import Targets

if TYPE_CHECKING:
    from sensverify.report.certificates.results import CheckReport

REJECTED = 1
"""Exit status where a certificate does not prove what it claims."""


@click.command("check")
@click.argument("certificate", type=PATH)
@click.argument("model")
@click.argument("new", required=False)
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
    type=PATH,
    metavar="FILE.vnnlib",
    help="Also check that the certificate answers this VNN-LIB property with unsat.",
)
@json_option("the result")
@report_option("Write one page with the verdict, every claim, and what may be relied on.")
@runtime_option()
@force_option("Overwrite the files of --json and --report; never what is checked.")
@quiet_option()
def check(
    certificate: Path,
    model: str,
    new: str | None,
    arithmetic: str,
    property_file: Path | None,
    json_target: Path | None,
    report_target: Path | None,
    force: bool,
    runtime_check: bool,
) -> int:
    """Check every claim of CERTIFICATE against MODEL, which it must be about.

    A certificate of 'sensverify diff' is about two models: NEW is then the second one. Each is a
    name from 'sensverify list models', or the path of an .onnx or .onnx.gz file. Every claimed
    bound is derived again from the file's weights and the numbers in the certificate, without the
    methods that found them. The exit status is 0 if every claim holds, 1 if the certificate is
    rejected, 2 if a file cannot be read.

    \b
    Examples:
      sensverify check iris.cert iris
      sensverify check net.cert net.onnx --arithmetic exact --report net.html
      sensverify check net.cert net.onnx --property prop.vnnlib
      sensverify check diff.cert old.onnx new.onnx
    """
    from sensverify.models import resolve
    from sensverify.report.certificates.document import check_document
    from sensverify.report.certificates.json import check_to_json
    from sensverify.report.html import document_to_html

    targets = Targets(json=json_target, report=report_target, force=force)
    paths = [Path(resolve(name).path) for name in (model, new) if name is not None]
    inputs = [certificate, *paths, *([] if property_file is None else [property_file])]
    targets.check(inputs)
    with showing("checking") as display:

        def progress(done: int, total: int) -> None:
            display.update("leaves", done=done, total=total)

        report = _checked(certificate, paths, arithmetic, property_file, runtime_check, progress)
    document = check_document(report)
    targets.write(json=lambda: check_to_json(report), report=lambda: document_to_html(document))
    rejected = report.checked is None
    show(document, aside=targets.to_stdout, error=rejected)
    return REJECTED if rejected else 0


def _checked(
    certificate: Path,
    models: list[Path],
    arithmetic: str,
    property_file: Path | None,
    runtime_check: bool,
    progress: Callable[[int, int], None],
) -> CheckReport:
    from sensverify.certificates import StoredModel, StoredPair, read_about, read_certificate
    from sensverify.certificates import check_certificate as run
    from sensverify.core.digests import sha256_of_file
    from sensverify.errors import CertificateRejected
    from sensverify.formats.vnnlib import load_property
    from sensverify.report.certificates.results import CheckReport

    found, checked, reason, new = None, None, None, None
    asked = None if property_file is None else load_property(property_file)
    ending, stated = read_about(certificate)
    stored: StoredModel | StoredPair
    stored = old = StoredModel.read_for(ending, models[0], runtime_check=runtime_check)
    try:
        if stated is not None or len(models) > 1:
            second = models[1] if len(models) > 1 else None
            stored = StoredPair.read_for(stated, old, second, runtime_check=runtime_check)
            new = stored.new
        found = read_certificate(certificate, model=stored)
        checked = run(found, old, new, arithmetic=arithmetic, property=asked, progress=progress)
    except CertificateRejected as error:
        reason = str(error)
    return CheckReport(
        path=str(certificate),
        size=certificate.stat().st_size,
        model=str(models[0]),
        certificate=found,
        arithmetic=arithmetic,
        property=None if property_file is None else str(property_file),
        checked=checked,
        reason=reason,
        certificate_sha256=sha256_of_file(certificate),
        model_sha256=old.sha256,
        runtime_check=runtime_check,
        signature=old.signature,
        new_model=None if new is None else str(models[1]),
    )
