"""Questions that the outputs of a file answer: how many there are, and what its end leaves open."""

from __future__ import annotations

from fractions import Fraction
from math import prod
from pathlib import Path

from sensverify.errors import BadProperty, BadSetting
from sensverify.formats.onnx import Ends
from sensverify.formats.vnnlib import Property
from sensverify.models.loading import LoadedModel
from sensverify.verification.one_output import has_probability
from sensverify.verification.request import LIMITS, VerifyRequest


def check_samples(request: VerifyRequest, model: LoadedModel) -> None:
    """Refuse a question about samples that logits do not answer, or only one of two ways.

    Raises
    ------
    BadSetting
    """
    if request.probabilities and prod(model.network.output_shape) < 2:
        raise BadSetting(
            f"'{model.name}' has one output, which has no probabilities",
            "leave `probabilities` out",
        )
    if request.rigorous and (model.ends != Ends(head="peel") or model.batch > 1 or model.integers):
        raise BadSetting(
            f"certificates are about whole files, and '{model.name}' is read in part",
            "leave `input`, `output` and `input_shape` out, or export the part as a file",
        )
    _check_outputs(request, model)
    if model.head is None:
        return
    ends = f"'{model.name}' ends in {model.head}"
    asked = [f"`{name}`" for name in LIMITS if getattr(request, name) is not None]
    if asked and not request.probabilities:
        raise BadSetting(
            f"{ends}: is {asked[0]} about its probabilities, or about the logits behind them?",
            "add `probabilities`, or name the logits with `output`",
        )


def _check_outputs(request: VerifyRequest, model: LoadedModel) -> None:
    """Refuse what is asked of another number of outputs than the model has."""
    outputs = prod(model.network.output_shape)
    low, high = request.ranges or (None, None)
    for name, limits in (
        ("max_deviation", request.deviations),
        ("output_range", low),
        ("output_range", high),
    ):
        if limits is not None and len(limits) not in (1, outputs):
            raise BadSetting(
                f"`{name}` has {len(limits)} numbers, and '{model.name}' has {outputs} outputs",
                "give one number, or one for each output",
            )
    if request.threshold is None:
        return
    if has_probability(model):
        if not 0 < request.threshold < 1:
            raise BadSetting(
                f"'{model.name}' ends in {model.head}: `threshold` is one of a probability, got "
                f"{request.threshold:g}",
                "give a number between 0 and 1",
            )
    elif outputs != 1:
        raise BadSetting(
            f"'{model.name}' has {outputs} outputs, and `threshold` makes two classes of one",
            "leave it out: the largest output is the class",
        )
    if request.rigorous:
        raise BadSetting(
            "certificates are about the file's own output, and `threshold` about classes",
            "ask without it, and compare the certified range with the threshold",
        )


def check_comparisons(asked: Property, model: LoadedModel, path: Path) -> None:
    """Refuse a property that says more of the outputs than which of two is the larger one.

    Raises
    ------
    BadProperty
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
