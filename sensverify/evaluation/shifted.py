"""Other data sets beside the samples: natural shifts, with the classes that they tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sensverify.classification.samples import Samples, spread
from sensverify.classification.sources import find_source
from sensverify.core.digests import sha256
from sensverify.data.dataset import check_fits
from sensverify.errors import BadData
from sensverify.evaluation.request import COUNT, EvaluateRequest
from sensverify.evaluation.shift import OtherData
from sensverify.models.loading import LoadedModel
from sensverify.runs.files import reading
from sensverify.runs.json_text import parse_json


@dataclass(frozen=True, eq=False)
class ShiftedSamples:
    """Samples of another data set.

    Parameters
    ----------
    samples : Samples
        Their labels are places in ``classes``, or, without these, the networks' own.
    classes : tuple of tuple of int, or None
        For each class of the data, the networks' outputs that stand for it.
    """

    samples: Samples
    classes: tuple[tuple[int, ...], ...] | None

    @property
    def digest(self) -> str:
        """SHA-256 of the samples, their labels, and the classes."""
        return sha256(self.samples.digest, repr(self.classes))

    @property
    def classes_digest(self) -> str | None:
        """SHA-256 of the classes; None without any."""
        return None if self.classes is None else sha256(repr(self.classes))

    def restricted(self, outputs: Tensor) -> Tensor:
        """The largest output of each class of the data, ``[samples, classes]``."""
        if self.classes is None:
            return outputs
        return torch.stack([outputs[:, list(each)].amax(dim=1) for each in self.classes], dim=1)


def load_shifts(
    request: EvaluateRequest, models: Sequence[LoadedModel]
) -> dict[str, ShiftedSamples]:
    """The other data sets of a request, by the names of the shifts.

    Raises
    ------
    SensverifyError
        There is no such data set, it does not fit a network, or the list of its classes is damaged
        or does not fit it; says which.
    """
    return {each.name: _load(each, request, models) for each in request.shifts}


def _load(
    asked: OtherData, request: EvaluateRequest, models: Sequence[LoadedModel]
) -> ShiftedSamples:
    what = f"the shift '{asked.name}'"
    # With classes of their own, the data keep their numbers.
    named = list(models) if asked.classes is None else []
    source = find_source(asked.data, named, data_dir=request.data_dir)
    data = source.data
    for model in models:
        check_fits(data, model.network.input_shape, f"the network '{model.name}'")
    outputs = prod(models[0].network.output_shape)
    classes = None
    if asked.classes is not None:
        classes = _read_classes(asked.classes, source.classes or data.classes, outputs)
    samples = Samples.of(
        data,
        outputs if classes is None else len(classes),
        needed_by=what,
        shape=models[0].network.input_shape,
    )
    wanted = COUNT if request.count is None else request.count
    if wanted < len(samples):
        samples = samples[spread(len(samples), wanted)]
    return ShiftedSamples(samples, classes)


def _read_classes(path: Path, names: Sequence[str], outputs: int) -> tuple[tuple[int, ...], ...]:
    """For each class of some data the networks' outputs, of a JSON list or mapping."""
    with reading(path, BadData):
        content = path.read_bytes()
    try:
        found = parse_json(content.decode("utf-8"), object_pairs_hook=_once)
    except _Twice as error:
        raise BadData(f"'{path}' has the class '{error}' twice") from None
    except ValueError:
        raise BadData(f"'{path}' holds no JSON") from None
    if isinstance(found, dict):
        if not names or set(found) != set(names):
            raise BadData(
                f"'{path}' has classes by name, and the data have "
                f"{', '.join(list(names)[:5]) or 'none with names'}",
                "give a list in the order of the class numbers, or every class by its name",
            )
        found = [found[name] for name in names]
    if not isinstance(found, list) or len(found) < 2:
        raise BadData(
            f"'{path}' lists fewer than two classes",
            "give for each class of the data the number of the network's output, or several",
        )
    if names and len(found) != len(names):
        raise BadData(
            f"'{path}' lists {len(found)} classes, and the data have {len(names)} by name",
            "give one entry for each class, in the order of their numbers",
        )
    classes = tuple(_members(each, path, outputs) for each in found)
    every = [number for members in classes for number in members]
    if len(set(every)) < len(every):
        twice = next(number for number in every if every.count(number) > 1)
        raise BadData(f"'{path}' lists the output {twice} twice")
    return classes


class _Twice(Exception):
    """A key that an object of JSON has twice, of which a reader would see one."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _Twice(next(name for name in names if names.count(name) > 1)[:60])
    return found


def _members(value: Any, path: Path, outputs: int) -> tuple[int, ...]:
    members = value if isinstance(value, list) else [value]
    whole = all(isinstance(each, int) and not isinstance(each, bool) for each in members)
    if not members or not whole or not all(0 <= each < outputs for each in members):
        raise BadData(
            f"'{path}': a class stands for outputs from 0 to {outputs - 1}, got {str(value)[:60]}"
        )
    return tuple(members)
