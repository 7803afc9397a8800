"""A model under evaluation: its classifier, its samples, its weights before training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sensverify.classification.preparation import prepare
from sensverify.classification.samples import Samples
from sensverify.core.digests import sha256
from sensverify.errors import BadModelFile, BadSetting, BadShape
from sensverify.evaluation.radii import Radii
from sensverify.evaluation.request import EvaluateRequest
from sensverify.formats.onnx import Ends
from sensverify.measures.measure import MeasuredClassifier
from sensverify.models.loading import LoadedModel, ModelFacts, load_model
from sensverify.network import Network

PEEL = Ends(head="peel")
"""Classifiers are asked for their logits, of which probabilities and labels are made."""

INITIAL = "initial.onnx"
"""The file in the folder of a training run that holds the network before its first step."""


@dataclass(frozen=True, eq=False, kw_only=True)
class EvaluatedModel(MeasuredClassifier):
    """A model under evaluation: a classifier with the samples in its shape and on its device.

    Parameters
    ----------
    facts : ModelFacts
    initial_sha256 : str
        Of the file with the weights before training; empty without one.
    """

    facts: ModelFacts
    initial_sha256: str

    @cached_property
    def clean_outputs(self) -> Tensor:
        """The outputs at the test samples as they are, ``[samples, classes]``."""
        return self.classifier.predict(self.x)


def load_models(
    names: tuple[str, ...], *, runtime_check: bool = True, ends: Ends = PEEL
) -> list[LoadedModel]:
    """The networks of some names, each with a name of its own.

    Parameters
    ----------
    names : tuple of str
    runtime_check : bool
    ends : Ends
        The part of every file that its network is.

    Raises
    ------
    BadSetting
        Two of them are the same file.
    SensverifyError
        One cannot be used.
    """
    models = [load_model(name, runtime_check=runtime_check, ends=ends) for name in names]
    for place, model in enumerate(models):
        for other in models[:place]:
            if model.path.resolve() == other.path.resolve():
                raise BadSetting(f"'{names[place]}' is the file '{other.path}' a second time")
    known = [model.name for model in models]
    return [
        replace(model, name=given) if known.count(model.name) > 1 else model
        for model, given in zip(models, names, strict=True)
    ]


def prepare_model(
    model: LoadedModel, request: EvaluateRequest, samples: Samples, radii: Radii
) -> EvaluatedModel:
    """A model ready to be evaluated.

    Raises
    ------
    BadShape, BadModelFile
        What it is said to have been before training is no such network.
    Unbounded
        Its weights are not finite.
    """
    device = torch.device(request.device)
    shape = model.network.input_shape
    initial, digest = _initial(model, request)

    (x, y), train, radius = samples.tensors(device, shape), samples.train, None
    train_x, train_y = (None, None) if train is None else train.tensors(device, shape)
    if radii.usual is not None:
        # In double precision: float32 would round it down.
        wide = radii.perturbation.radius(radii.usual).reshape(shape)
        radius = torch.from_numpy(np.ascontiguousarray(wide)).to(device)
    return EvaluatedModel(
        facts=model.facts(),
        network=prepare(model.network, device),
        x=x,
        y=y,
        train_x=train_x,
        train_y=train_y,
        train_size=None if train is None else train.available,
        initial=None if initial is None else prepare(initial, device),
        initial_sha256=digest,
        radius=radius,
        clip=radii.perturbation.clip,
        seed=request.seed,
        memory_budget=request.memory,
    )


def _initial(model: LoadedModel, request: EvaluateRequest) -> tuple[Network | None, str]:
    """The network before training and the digest of its file, where there is one."""
    given = request.initial
    if given is None:
        # Beside a model of a training run only, not beside any file of any folder.
        beside = model.path.with_name(INITIAL)
        if model.card is None or not beside.is_file():
            return None, ""
        given = str(beside)
    elif Path(given).is_dir() and (Path(given) / INITIAL).is_file():
        given = str(Path(given) / INITIAL)
    found = load_model(given, runtime_check=request.runtime_check, ends=request.ends)
    ours, its = _layout(model.network), _layout(found.network)
    if ours != its:
        raise BadShape(
            f"'{given}' has other layers than the network '{model.name}'",
            "the weights before training are those of the same architecture",
        )
    if found.sha256 == model.sha256:
        raise BadModelFile(
            f"'{given}' is the network '{model.name}' itself", "give its weights before training"
        )
    return found.network, found.sha256


def _layout(network: Network) -> list[Any]:
    """The operators in their order, with the shapes of their parameters."""
    operators = [(type(node.operator).__name__, node.shape) for node in network.nodes]
    return [*operators, *(tuple(np.shape(values)) for _, values in network.arrays())]


def digest_of(*parts: str) -> str:
    """One digest of several texts."""
    return sha256("\0".join(parts))
