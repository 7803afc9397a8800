"""``sensverify calibrate``: the temperature that makes a classifier's confidence fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from click import option

from sensverify.cli.options import data_dir_option, data_option, quiet_option, runtime_option
from sensverify.cli.printing import show
from sensverify.cli.types import share

if TYPE_CHECKING:
    from sensverify.evaluation.temperature import Calibration
    from sensverify.report.document import Document


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
@quiet_option()
def calibrate(model: str, **options: Any) -> None:
    """Fit a temperature that MODEL's logits are to be divided by (Guo et al. 2017).

    It is fitted on one part of held-out samples, and calibration errors and cross-entropy before
    and after are those of the other part. Labels stay as they are, and so does the file of MODEL.

    \b
    Examples:
      sensverify calibrate digits --data digits
      sensverify calibrate net.onnx --data held-out.npz --fit-share 30%
    """
    from sensverify.evaluation.temperature import calibrate_temperature

    given = {name: value for name, value in options.items() if value is not None}
    show(_document(calibrate_temperature(model, **given)))


def _document(found: Calibration) -> Document:
    from sensverify.report.document import Document, Section, Table, Text, columns, row
    from sensverify.report.formatting import percent

    rows = [
        row("accuracy", *(percent(each.accuracy.share) for each in (found.before, found.after))),
        row("mean confidence", percent(found.before.confidence), percent(found.after.confidence)),
    ]
    errors = ("expected_calibration_error", "rms_calibration_error", "maximum_calibration_error")
    for name in errors:
        texts = [percent(getattr(each, name)) for each in (found.before, found.after)]
        rows.append(row(name.replace("_", " ").replace("rms", "RMS"), *texts))
    rows.append(row("cross-entropy", f"{found.loss_before:.4f}", f"{found.loss_after:.4f}"))
    text = (
        f"{found.model} on {found.data}: temperature {found.temperature:.4g}, fitted on "
        f"{found.fitted:,} samples and judged on {found.before.samples:,} others"
    )
    table = Table(columns("", "before", "after"), rows)
    return Document(sections=[Section("", "", [Text(text), table])])
