"""A model file, loaded: its network, its card, its digest, and the facts that reports state."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path

from sensverify.errors import BadModelFile, UnsupportedOperator
from sensverify.formats.onnx.ends import WHOLE, Ends
from sensverify.formats.onnx.heads import Head
from sensverify.models.cards import Card
from sensverify.models.registry import resolve
from sensverify.network import Network


@dataclass(frozen=True)
class ModelFacts:
    """The facts about a model that reports state.

    ``output_names`` is empty where nobody named them.
    ``head``: the file's last nodes, which make probabilities or a label; what is said of outputs is
    said of the logits that enter them. ``integers``: the integer type that the file's input has.
    ``batch``: the samples that the file takes at once. ``opaque``: why nothing can be proven of it,
    where operators of it are not known here.
    ``inputs`` and ``outputs`` are shapes without the batch axis; ``unstable`` is the mean, over
    the samples, of how many neurons are not linear on their input interval (None: not known).
    """

    name: str
    output_names: tuple[str, ...]
    path: str
    sha256: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    parameters: int
    unstable: float | None
    head: Head | None = None
    integers: str | None = None
    batch: int = 1
    opaque: str | None = None


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model file and its contents; ``ends`` says which part of it the network is."""

    name: str
    path: Path
    sha256: str
    network: Network
    card: Card | None
    sample: Path | None
    runtime_check: bool = True
    ends: Ends = WHOLE
    head: Head | None = None
    integers: str | None = None
    batch: int = 1

    def facts(self, *, unstable: float | None = None) -> ModelFacts:
        """The facts that reports state, with the mean number of unstable neurons where known."""
        return ModelFacts(
            name=self.name,
            output_names=self.class_names,
            path=str(self.path),
            sha256=self.sha256,
            inputs=self.network.input_shape,
            outputs=self.network.output_shape,
            parameters=self.network.parameters,
            unstable=unstable,
            head=self.head,
            integers=self.integers,
            batch=self.batch,
            opaque=None if self.network.opaque is None else self.network.opaque.reason,
        )

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the outputs by the card, else by the file; empty where neither has any."""
        if self.card is not None:
            return tuple(self.card.labels)
        return () if self.head is None else self.head.classes


def load_model(
    name_or_path: str, *, runtime_check: bool = True, ends: Ends = WHOLE, opaque: bool = False
) -> LoadedModel:
    """The shipped model of that name, or the ONNX file at that path.

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
    )
