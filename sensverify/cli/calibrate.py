"""``sensverify calibrate``: the temperature that makes a classifier's confidence fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click import option

from sensverify.cli.options import (
    data_dir_option,
    data_option,
    force_option,
    json_option,
    quiet_option,
    report_option,
    runtime_option,
)
from sensverify.cli.printing import show
from sensverify.cli.targets import Targets, input_files
from sensverify.cli.types import share


@click.command("calibrate")
@click.argument("model", metavar="MODEL")
@data_option("Of data in two parts the test part. Default: the samples that ship with the model.")
@option(
    "--fit-share",
    type=share,
    default="50%",
    show_default=True,
    metavar="SHARE",
    help="Share of the samples that the temperature is fitted on, evenly spread; the others judge.",
)
@option("--bins", type=click.IntRange(1), help="Bins of confidence. Default: 15.")
@data_dir_option()
@runtime_option()
@json_option("the result")
@report_option("Write one self-contained page with both reliability diagrams.")
@force_option("Overwrite the files of --json and --report.")
@quiet_option()
def calibrate(
    model: str,
    json_target: Path | None,
    report_target: Path | None,
    force: bool,
    **options: Any,
) -> None:
    """Fit a temperature that MODEL's logits are to be divided by (Guo et al. 2017).

    It is fitted on one part of held-out samples, and calibration errors and cross-entropy before
    and after are those of the other part. Labels stay as they are, and so does the file of MODEL.

    \b
    Examples:
      sensverify calibrate digits --data digits
      sensverify calibrate net.onnx --data held-out.npz --fit-share 30% --report net.html
    """
    from sensverify.evaluation.temperature import calibrate_temperature
    from sensverify.report.calibration.document import calibration_document
    from sensverify.report.calibration.json import calibration_to_json
    from sensverify.report.html import document_to_html

    given = {name: value for name, value in options.items() if value is not None}
    targets = Targets(json_target, report_target, force=force)
    targets.check(input_files([model], data=given.get("data")))
    found = calibrate_temperature(model, **given)
    document = calibration_document(found)
    targets.write(
        json=lambda: calibration_to_json(found), report=lambda: document_to_html(document)
    )
    show(document, aside=targets.to_stdout)
