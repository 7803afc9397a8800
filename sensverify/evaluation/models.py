"""A model under evaluation: its classifier, its samples, its weights before training."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sensverify.bounds.forward import forward_pass
from sensverify.classification.preparation import prepare
from sensverify.classification.samples import Samples
from sensverify.core.digests import array_parts, sha256, sha256_of_all
from sensverify.errors import BadModelFile, BadSetting, BadShape
from sensverify.evaluation.radii import Radii
from sensverify.evaluation.request import EvaluateRequest
from sensverify.formats.modules.opaque import from_any_module
from sensverify.formats.onnx import Ends
from sensverify.measures.measure import MeasuredClassifier
from sensverify.models.loading import LoadedModel, ModelFacts, load_model
from sensverify.network import Network

PEEL = Ends(head="peel")
"""Classifiers are asked for their logits, of which probabilities and labels are made."""

INITIAL = "initial.onnx"
"""The file in the folder of a training run that holds the network before its first step."""


Asked = str | nn.Module | Network
"""A model by its name or path, or as an object."""

_POINTS = 4
"""Inputs whose outputs are part of a module's digest."""


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
    asked: Sequence[Asked],
    *,
    runtime_check: bool = True,
    ends: Ends = PEEL,
    shape: tuple[int, ...] = (),
    device: str = "cpu",
) -> list[LoadedModel]:
    """The networks of some names or objects, each with a name of its own.

    Of those that have operators without a counterpart here only values are known, and of modules
    gradients: nothing is proven of them, and all else is found out.

    Parameters
    ----------
    asked : sequence of str, torch.nn.Module or Network
    runtime_check : bool
    ends : Ends
        The part of every file that its network is.
    shape, device
        Of a sample of modules, and where they are run.

    Raises
    ------
    BadSetting
        Two of them are the same file.
    SensverifyError
        One cannot be used.
    """
    models = [
        load_model(each, runtime_check=runtime_check, ends=ends, opaque=True)
        if isinstance(each, str)
        else _of_network(each)
        if isinstance(each, Network)
        else _of_module(each, shape, device)
        for each in asked
    ]
    files = [p for p, each in enumerate(asked) if isinstance(each, str)]
    for place in files:
        for other in (models[p] for p in files if p < place):
            if models[place].file.resolve() == other.file.resolve():
                raise BadSetting(f"'{asked[place]}' is the file '{other.path}' a second time")
    known = [model.name for model in models]
    return [
        replace(model, name=each if isinstance(each, str) else f"{model.name} {place}")
        if known.count(model.name) > 1
        else model
        for place, (model, each) in enumerate(zip(models, asked, strict=True), start=1)
    ]


def _of_network(network: Network) -> LoadedModel:
    """A network as it is now; what happens to its parameters later changes nothing."""
    kept = network.map_arrays(_copied)
    return LoadedModel("network", None, kept.digest, kept, None, None)


def _copied(values: Any) -> Any:
    return values.detach().clone() if isinstance(values, Tensor) else np.array(values)


def _of_module(module: nn.Module, shape: tuple[int, ...], device: str) -> LoadedModel:
    """A module as it is now; what happens to it later changes nothing."""
    module, name = copy.deepcopy(module).eval().to(device), type(module).__name__
    network = from_any_module(module, shape)
    points = torch.rand((_POINTS, *shape), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        outputs = forward_pass(network, points)
    # What it does with its weights is nowhere written down: its values tell two forms apart.
    values = [*module.state_dict().values(), outputs]
    parts = [part for each in values for part in array_parts(each.detach().cpu().numpy())]
    return LoadedModel(name, None, sha256_of_all([name, *parts]), network, None, None)


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
        beside = None if model.path is None else model.path.with_name(INITIAL)
        if model.card is None or beside is None or not beside.is_file():
            return None, ""
        given = str(beside)
    elif Path(given).is_dir() and (Path(given) / INITIAL).is_file():
        given = str(Path(given) / INITIAL)
    found = load_model(given, runtime_check=request.runtime_check, ends=request.ends, opaque=True)
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
