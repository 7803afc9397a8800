"""Questions to a file that ends in a softmax: about the order of its outputs, nothing else."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from sensverify.errors import BadProperty, BadSetting
from sensverify.formats.vnnlib import Property
from sensverify.models.loading import LoadedModel
from sensverify.verification.question import Question
from sensverify.verification.request import VerifyRequest


def check_samples(request: VerifyRequest, model: LoadedModel, question: Question) -> None:
    """Refuse a question about samples that the order of the outputs does not answer.

    Raises
    ------
    BadSetting
    """
    if model.head is None:
        return
    asked = next(
        (
            f"`{name}` is a threshold of the outputs' box"
            for name in ("max_width", "max_log_volume")
            if getattr(request, name) is not None
        ),
        None,
    )
    if request.rigorous:
        asked = "`rigorous` and `certificate` are about the file's own outputs"
    elif question.labels is None:
        asked = "without labels (y in the data) the outputs' box is all there is to ask for"
    if asked is not None:
        raise BadSetting(
            f"'{model.name}' ends in {model.head}, whose outputs have no bounds here, only the "
            f"order of what enters it: {asked}",
            f"export the model without its {model.head}",
        )


def check_comparisons(
    asked: Property, model: LoadedModel, path: Path, *, rigorous: bool = False
) -> None:
    """Refuse a property that says more of the outputs than which of two is the larger one.

    Raises
    ------
    BadProperty, BadSetting
    """
    if model.head is None:
        return
    export = f"export the model without its {model.head}"
    for number, case in enumerate(asked.cases):
        for constraint in case.constraints:
            factors = [factor for _, factor in constraint.factors]
            if len(factors) != 2 or sum(factors, Fraction(0)) != 0 or constraint.limit != 0:
                raise BadProperty(
                    f"'{path}' asks more of the outputs (input box {number + 1} of "
                    f"{len(asked.cases)}) than which of two is the larger one, and '{model.name}' "
                    f"ends in {model.head}, whose outputs have no bounds here",
                    export,
                )
    if rigorous:
        raise BadSetting(
            f"'{model.name}' ends in {model.head}, and a certificate is about the file's own "
            "outputs",
            export,
        )
