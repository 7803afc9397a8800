"""Cards: the facts about a model that ships, or that was trained here."""

from __future__ import annotations

import json
import re
from dataclasses import MISSING, dataclass, fields
from math import isfinite, prod
from pathlib import Path
from typing import Any

from sensverify.errors import BadModelFile

SCHEMA = "sensverify.card/1"

_SHA256 = re.compile(r"[0-9a-f]{64}")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Card:
    """Everything needed to verify a model without further settings, and its provenance.

    Parameters
    ----------
    name, description : str
    data : str
        The data set it was trained on, as ``sensverify list data`` names it.
    sample : str
        File beside the model with some test samples: ``x``, ``y`` and ``feature_range``.
    clip : (low, high) or None
        The range that inputs have by their nature; the perturbed inputs stay in it.
    sigma : float or None
        Radius of the perturbation by default, as a share of every feature's range.
    input_shape : tuple of int
        Shape of one input sample.
    outputs : int
    labels : tuple of str
        Names of the classes that the outputs stand for, in order.
    parameters : int
        Number of weights and biases.
    accuracy : dict
        Share of the ``train`` and of the ``test`` part that the ONNX file classifies right.
    recipe : str
        The command or the loss that trained it.
    sha256, sample_sha256 : str
        Digests of the model and of the sample, in lower-case hexadecimal.
    data_licence : str
        Authors and licence of the data set that the sample is taken from.
    radius : float or None
        The same as sigma in the units of the features; a card has one of the two.

    Raises
    ------
    BadModelFile
        A value has the wrong type or cannot be right.
    """

    name: str
    description: str
    data: str
    sample: str
    clip: tuple[float, float] | None
    sigma: float | None
    input_shape: tuple[int, ...]
    outputs: int
    labels: tuple[str, ...]
    parameters: int
    accuracy: dict[str, float]
    recipe: str
    sha256: str
    sample_sha256: str
    data_licence: str
    radius: float | None = None

    def __post_init__(self) -> None:
        for field, rule, expected in _RULES:
            value = getattr(self, field)
            if not rule(value):
                raise BadModelFile(f"card '{self.name}': {field} is {value!r}; expected {expected}")
        if (self.sigma is None) == (self.radius is None):
            raise BadModelFile(f"card '{self.name}': expected a sigma or a radius, one of the two")
        if len(self.labels) != self.outputs:
            raise BadModelFile(
                f"card '{self.name}': {len(self.labels)} labels for {self.outputs} outputs"
            )


def read_card(path: Path) -> Card:
    """The card in a JSON file.

    Raises
    ------
    BadModelFile
        The file cannot be read, is not a card of this schema, or a value cannot be right.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadModelFile(f"cannot read the card '{path}': {error}") from None
    if not isinstance(values, dict) or values.pop("schema", None) != SCHEMA:
        raise BadModelFile(f"'{path}' is not a card: expected an object of schema '{SCHEMA}'")
    known = {field.name for field in fields(Card)}
    needed = {field.name for field in fields(Card) if field.default is MISSING}
    wrong = ", ".join(sorted((values.keys() - known) | (needed - values.keys())))
    if wrong:
        raise BadModelFile(f"card '{path}': missing or unknown fields: {wrong}")
    return Card(**{name: _frozen(value) for name, value in values.items()})


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)


def _is_radius(value: Any) -> bool:
    return value is None or (_is_number(value) and value >= 0)


def _is_clip(value: Any) -> bool:
    if value is None:
        return True
    pair = isinstance(value, tuple) and len(value) == 2 and all(map(_is_number, value))
    return pair and value[0] < value[1]


def _is_shape(value: Any) -> bool:
    return isinstance(value, tuple) and all(map(_is_count, value)) and prod(value) > 0


def _is_accuracy(value: Any) -> bool:
    shares = isinstance(value, dict) and value.keys() == {"train", "test"}
    return shares and all(_is_number(share) and 0 <= share <= 1 for share in value.values())


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and bool(_SHA256.fullmatch(value))


def _is_file_name(value: Any) -> bool:
    return isinstance(value, str) and bool(_FILE_NAME.fullmatch(value))


_RULES = (
    ("name", _is_file_name, "a name of letters, digits, '.', '_' and '-'"),
    ("description", _is_text, "text"),
    ("data", _is_text, "the name of a data set"),
    ("sample", _is_file_name, "the name of a file beside the card, without a folder"),
    ("clip", _is_clip, "null or two finite numbers, low < high"),
    ("sigma", _is_radius, "null or a finite number of at least 0"),
    ("radius", _is_radius, "null or a finite number of at least 0"),
    ("input_shape", _is_shape, "positive integers"),
    ("outputs", _is_count, "a positive integer"),
    ("labels", lambda value: isinstance(value, tuple) and all(map(_is_text, value)), "texts"),
    ("parameters", _is_count, "a positive integer"),
    ("accuracy", _is_accuracy, "train and test, each a share from 0 to 1"),
    ("recipe", _is_text, "the command or the loss that trained the model"),
    ("sha256", _is_digest, "64 lower-case hexadecimal digits"),
    ("sample_sha256", _is_digest, "64 lower-case hexadecimal digits"),
    ("data_licence", _is_text, "authors and licence of the data"),
)
