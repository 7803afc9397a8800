"""A model file, loaded: its network, its card, its digest, and the facts that reports state."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path

from sensverify.errors import BadModelFile
from sensverify.models.cards import Card
from sensverify.models.registry import resolve
from sensverify.network import Network


@dataclass(frozen=True)
class ModelFacts:
    """The facts about a model that reports state.

    ``output_names`` is empty where nobody named them.
    ``softmax``: the file ends in that operator; what is said of outputs is said of what enters it.
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
    softmax: str | None = None


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model file and its contents."""

    name: str
    path: Path
    sha256: str
    network: Network
    card: Card | None
    sample: Path | None
    runtime_check: bool = True
    softmax: str | None = None

    def facts(self, *, unstable: float | None = None) -> ModelFacts:
        """The facts that reports state, with the mean number of unstable neurons where known."""
        return ModelFacts(
            name=self.name,
            output_names=() if self.card is None else tuple(self.card.labels),
            path=str(self.path),
            sha256=self.sha256,
            inputs=self.network.input_shape,
            outputs=self.network.output_shape,
            parameters=self.network.parameters,
            unstable=unstable,
            softmax=self.softmax,
        )


def load_model(
    name_or_path: str, *, runtime_check: bool = True, order_only: bool = False
) -> LoadedModel:
    """The shipped model of that name, or the ONNX file at that path.

    ``runtime_check``: compare it with onnxruntime, here and whenever its file is read again.
    ``order_only``: leave out a softmax at its end, which keeps the order of the outputs.

    Raises
    ------
    SensverifyError
        There is no such model, or its file cannot be used.
    """
    from sensverify.formats.onnx import read_onnx

    found = resolve(name_or_path)
    model = read_onnx(found.path, runtime_check=runtime_check, order_only=order_only)
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
        softmax=model.softmax,
    )
