"""A model, loaded: its network, its card, its digest, and the facts that reports state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from sensverify.core.digests import sha256
from sensverify.errors import BadModelFile, BadSetting, UnsupportedOperator
from sensverify.formats.onnx.ends import WHOLE, Ends
from sensverify.formats.onnx.heads import Head
from sensverify.models.cards import Card
from sensverify.models.registry import resolve
from sensverify.network import Network
from sensverify.network.signature import Signature


@dataclass(frozen=True)
class ModelFacts:
    """The facts about a model that reports state.

    ``output_names`` is empty where nobody named them. ``path`` is None where there is no file:
    ``sha256`` is then that of the network, of its operators and their numbers.
    ``head``: the file's last nodes, which make probabilities or a label; what is said of outputs is
    said of the logits that enter them. ``integers``: the integer type that the file's input has.
    ``batch``: the samples that the file takes at once. ``opaque``: why nothing can be proven of it,
    where operators of it are not known here.
    ``external``: every location of external data, with the SHA-256 of what was read from it.
    ``signature``: the names of inputs and outputs, where there are several of either, or integers
    that choose rows of a table. ``inputs`` and ``outputs`` are shapes without the batch axis;
    ``unstable`` is the mean, over the samples, of how many neurons are not linear on their input
    interval (None: not known).
    """

    name: str
    output_names: tuple[str, ...]
    path: str | None
    sha256: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    parameters: int
    unstable: float | None
    head: Head | None = None
    integers: str | None = None
    batch: int = 1
    opaque: str | None = None
    external: tuple[tuple[str, str], ...] = ()
    signature: Signature | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of the file and of its external data; that of the file where it has none."""
        parts = [part for location in self.external for part in location]
        return sha256(self.sha256, *parts) if parts else self.sha256


@dataclass(frozen=True, eq=False)
class GivenModel:
    """A model without a file, of the caller's own; see `given_model`.

    Parameters
    ----------
    name : str
    network : Network
    original : Network or torch.nn.Module
        That computes the same.
    signature : Signature or None
        Its inputs and outputs, where there are several of either.
    """

    name: str
    network: Network
    original: Any
    signature: Signature | None = None


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model and its contents; ``ends`` says which part of its file the network is.

    ``path`` is None where there is no file; ``original`` is then the object that was given.
    """

    name: str
    path: Path | None
    sha256: str
    network: Network
    card: Card | None
    sample: Path | None
    runtime_check: bool = True
    ends: Ends = WHOLE
    head: Head | None = None
    integers: str | None = None
    batch: int = 1
    original: Any = None
    external: tuple[tuple[str, str], ...] = ()
    signature: Signature | None = None

    @property
    def file(self) -> Path:
        """The file of a model that has one.

        Raises
        ------
        BadSetting
            It has none.
        """
        if self.path is None:
            raise BadSetting(
                f"'{self.name}' is an object without a file, and this is about a file",
                "write it with torch.onnx.export, and give that file",
            )
        return self.path

    def facts(self, *, unstable: float | None = None) -> ModelFacts:
        """The facts that reports state, with the mean number of unstable neurons where known."""
        own = () if self.signature is None else self.signature.output_names
        return ModelFacts(
            name=self.name,
            output_names=self.class_names or own,
            path=None if self.path is None else str(self.path),
            sha256=self.sha256,
            inputs=self.network.input_shape,
            outputs=self.network.output_shape,
            parameters=self.network.parameters,
            unstable=unstable,
            head=self.head,
            integers=self.integers,
            batch=self.batch,
            opaque=None if self.network.opaque is None else self.network.opaque.reason,
            external=self.external,
            signature=self.signature,
        )

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the outputs by the card, else by the file; empty where neither has any."""
        if self.card is not None:
            return tuple(self.card.labels)
        return () if self.head is None else self.head.classes


def given_model(model: Any, input_shape: Callable[[], Any], *, name: str = "") -> str | GivenModel:
    """A model as `load_model` takes it: a name or a path as text, anything else under a name.

    Parameters
    ----------
    model : str, Path, Network, torch.nn.Module or GivenModel
    input_shape : callable
        Gives the shape of one sample, which a module does not know; of several inputs a sequence or
        mapping of the shapes of all.
    name : str
        Default: the name of the module's class.

    Raises
    ------
    BadModelFile
        It is no model.
    UnsupportedOperator
        A module does something that no operator of a network expresses.
    """
    if isinstance(model, str | Path):
        return str(model)
    if isinstance(model, GivenModel):
        return model
    if isinstance(model, Network):
        return GivenModel(name or "network", model, model)
    from torch import nn

    if not isinstance(model, nn.Module):
        raise BadModelFile(
            f"a model is a name, a path, a torch.nn.Module or a Network, got {type(model).__name__}"
        )
    from sensverify.formats.modules.importing import import_module
    from sensverify.formats.modules.joining import Joined

    whole, network = import_module(model, input_shape())
    signature = whole.signature if isinstance(whole, Joined) else None
    # What is asked of a model is asked of its numbers as they are, without their history.
    numbers = network.map_arrays(_detached)
    return GivenModel(name or type(model).__name__, numbers, whole, signature)


def _detached(values: Any) -> Any:
    return values.detach() if hasattr(values, "detach") else values


def load_model(
    name_or_path: str | GivenModel,
    *,
    runtime_check: bool = True,
    ends: Ends = WHOLE,
    opaque: bool = False,
) -> LoadedModel:
    """The shipped model of that name, the ONNX file at that path, or a model without a file.

    ``runtime_check``: compare it with onnxruntime, here and whenever its file is read again.
    ``ends``: the part of the file that is the network. ``opaque``: where operators of the file have
    no counterpart, onnxruntime runs it, as a network that nothing can be proven of.

    Raises
    ------
    SensverifyError
        There is no such model, or its file cannot be used.
    """
    from sensverify.formats.onnx import read_onnx
    from sensverify.formats.onnx.opaque import read_opaque

    if isinstance(name_or_path, GivenModel):
        return _without_file(name_or_path, ends)
    found = resolve(name_or_path)
    try:
        model = read_onnx(found.path, runtime_check=runtime_check, ends=ends)
    except UnsupportedOperator as error:
        if not opaque:
            raise
        model = read_opaque(found.path, ends=ends, reason=error.problem)
    name = found.card.name if found.card is not None else Path(found.path).name
    outputs = prod(model.network.output_shape)
    if found.card is not None and found.card.outputs != outputs:
        raise BadModelFile(
            f"the card of '{name}' is about {found.card.outputs} outputs, and '{found.path}' has "
            f"{outputs}",
            "train again, or remove the card to use the file without it",
        )
    return LoadedModel(
        name=name,
        path=Path(found.path),
        sha256=model.sha256,
        network=model.network,
        card=found.card,
        sample=found.sample_path,
        runtime_check=runtime_check,
        ends=ends,
        head=model.head,
        integers=model.integers,
        batch=model.batch,
        external=model.external,
        signature=model.signature,
    )


def _without_file(given: GivenModel, ends: Ends) -> LoadedModel:
    if ends.input is not None or ends.output is not None:
        raise BadSetting(
            f"'{given.name}' is an object without a file, which has no values with names",
            "leave `input` and `output` out",
        )
    digest = given.network.digest
    return LoadedModel(
        given.name,
        None,
        digest,
        given.network,
        None,
        None,
        original=given.original,
        signature=given.signature,
    )
