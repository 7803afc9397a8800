"""A request with everything that it names: loaded, and checked before any work is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

from sensverify.bounds.tensors import find_device
from sensverify.classification.perturbation import Perturbation
from sensverify.classification.samples import Samples
from sensverify.core.digests import sha256_of_arrays
from sensverify.data.dataset import check_order
from sensverify.errors import BadShape
from sensverify.evaluation.corrupted import CorruptedSamples, corrupted_samples
from sensverify.evaluation.models import (
    PEEL,
    Asked,
    EvaluatedModel,
    digest_of,
    load_models,
    prepare_model,
)
from sensverify.evaluation.plan import Plan, make_plan
from sensverify.evaluation.radii import Radii, find_radii
from sensverify.evaluation.request import EvaluateRequest
from sensverify.evaluation.samples import load_samples, module_shape
from sensverify.evaluation.shifted import ShiftedSamples, load_shifts
from sensverify.evaluation.task import EvaluationTask
from sensverify.models.loading import LoadedModel


@dataclass(frozen=True, eq=False)
class Prepared:
    """A request with everything that it names loaded and checked."""

    request: EvaluateRequest
    samples: Samples
    radii: Radii
    corrupted: CorruptedSamples
    shifts: Mapping[str, ShiftedSamples]
    plan: Plan
    models: list[EvaluatedModel]
    surrogate: EvaluatedModel | None

    @property
    def perturbation(self) -> Perturbation:
        """The unit of a radius in every feature, and the clip range."""
        return self.radii.perturbation

    @property
    def digest(self) -> str:
        """SHA-256 of the samples, of their labels, and of the unit of radii of each feature."""
        samples, unit = self.samples, self.perturbation.unit
        return sha256_of_arrays(samples.x, samples.y, unit if unit.ndim else None)

    @property
    def deciding(self) -> dict[str, Any]:
        """Plain values that decide every task, but for its network and its own key."""
        request, corrupted, samples = self.request, self.corrupted, self.samples
        return {
            "data": {
                "name": Path(samples.name).name,
                "samples": len(samples),
                "test_sha256": samples.digest,
                "places_sha256": sha256_of_arrays(samples.places),
                "train_sha256": None if samples.train is None else samples.train.digest,
                "train_size": None if samples.train is None else samples.train.available,
            },
            "perturbation": self.radii.plain,
            "seed": request.seed,
            "bins": request.bins,
            "device": request.device,
            "corrupted": None
            if corrupted.premade is None
            else str(corrupted.premade.folder.resolve()),
        }

    def key(self, model: EvaluatedModel, task: EvaluationTask) -> str:
        """Of a task in the journal: its network, and what else matters for it."""
        parts = [model.facts.digest, task.key]
        if self.request.ends != PEEL:
            # Another part of a file is another network.
            parts.append(repr(self.request.ends))
        if task.kind == "attack":
            # With the settings that nobody gave, which another version may have changed.
            parts.append(repr(self.plan.attacks[task.name]))
            if task.name in self.plan.transferred and self.surrogate is not None:
                parts.append(self.surrogate.facts.digest)
        if task.kind == "certified":
            parts.append(repr(self.plan.methods[task.name]))
        if task.kind == "corruption":
            parts.append(self.corrupted.version(task))
        if task.kind == "shift":
            parts.append(self.shifts[task.name].digest)
        if task.kind == "measure":
            parts += [model.initial_sha256, repr(self.radii.usual)]
        return digest_of(*parts)


def prepare_evaluation(request: EvaluateRequest) -> Prepared:
    """Load and check everything that a request names, before any work is done.

    Raises
    ------
    SensverifyError
        Something is not there, or does not fit the rest; says which.
    """
    find_device(request.device)
    models = _load(request, request.models)
    if request.reference is not None:
        request, models = _with_reference(request, models)
    samples = load_samples(request, models)
    radii = find_radii(request, models, samples)
    corrupted = corrupted_samples(request, samples, radii.perturbation)
    other = None
    if request.surrogate is not None:
        (other,) = load_models((request.surrogate,), runtime_check=request.runtime_check)
    if other is not None:
        _check_surrogate(other, models[0])
    name = None if other is None else other.name
    plan = make_plan(request, samples, radii, corrupted, surrogate=name)
    unknown = replace(request, initial=None)
    return Prepared(
        request=request,
        samples=samples,
        radii=radii,
        corrupted=corrupted,
        shifts=load_shifts(request, models),
        plan=plan,
        models=[prepare_model(model, request, samples, radii) for model in models],
        surrogate=None if other is None else prepare_model(other, unknown, samples, radii),
    )


def _load(request: EvaluateRequest, asked: Sequence[Asked]) -> list[LoadedModel]:
    """Networks as a request reads them."""
    return load_models(
        asked,
        runtime_check=request.runtime_check,
        ends=request.ends,
        shape=module_shape(request),
        device=request.device,
    )


def _with_reference(
    request: EvaluateRequest, models: list[LoadedModel]
) -> tuple[EvaluateRequest, list[LoadedModel]]:
    """The request with the reference's own name, and the reference among the models."""
    given = request.reference
    assert given is not None
    known: dict[Any, LoadedModel] = {model.name: model for model in models}
    known |= dict(zip(request.models, models, strict=True))
    if given not in known:
        models = _load(request, (*request.models, given))
        known = {given: models[-1]}
    return replace(request, reference=known[given].name), models


def _check_surrogate(other: LoadedModel, model: LoadedModel) -> None:
    for what in ("input_shape", "output_shape"):
        its, ours = (prod(getattr(each.network, what)) for each in (other, model))
        if its != ours:
            kind = "inputs" if what == "input_shape" else "outputs"
            raise BadShape(
                f"the surrogate '{other.name}' has {its} {kind}, and the network '{model.name}' "
                f"has {ours}",
                "give one that tells the same classes apart",
            )
    takes, given = other.network.input_shape, model.network.input_shape
    check_order(takes, given, f"the surrogate '{other.name}'", f"the network '{model.name}'")
