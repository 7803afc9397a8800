"""A trained module as an ONNX file, with the card and the sample that `verify` reads."""

from __future__ import annotations

import copy
import json
import re
import tempfile
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sensverify.core.digests import sha256
from sensverify.data import Dataset, Split
from sensverify.errors import BackendFailure, BadShape, InputError
from sensverify.formats.arrays import npz_bytes
from sensverify.formats.onnx.runtime import load_onnxruntime
from sensverify.models import Card
from sensverify.models.cards import SCHEMA
from sensverify.runs.files import replace_file, writing
from sensverify.training.settings import TrainSettings

MODEL, CARD, SAMPLE = "model.onnx", "model.json", "sample.npz"
"""Names of the files that `write_model` writes."""

INITIAL = "initial.onnx"
"""Name of the file that holds the weights as they were before training."""

SAMPLE_SIZE = 100
"""Most test samples that are kept beside a model."""

SIGMA = 0.05
"""Radius on the card of a model that was trained without one, as a share of every range."""

_OPSET = 17
_BATCH = 1000
_TOLERANCE = 1e-4


def write_model(
    module: nn.Module,
    split: Split,
    directory: str | Path,
    *,
    settings: TrainSettings,
    recipe: str,
    description: str = "",
) -> Card:
    """Write ``model.onnx``, ``sample.npz`` and, last, the card ``model.json``.

    Each file is whole or not there; files of these names are replaced. ``sensverify verify
    DIRECTORY`` reads them.

    Parameters
    ----------
    module : torch.nn.Module
        Stays as it is; what is written is its evaluation mode on the CPU.
    split : Split
        The samples behind the accuracies on the card, all of them; up to 100 of the test samples
        are kept beside the model.
    directory : str or Path
    settings : TrainSettings
        The radius and the clip range of the training become those of the card. Trained without a
        radius, a model is verified with sigma 0.05 and the clip range of its data.
    recipe : str
        The command or the loss that made the model.
    description : str
        One line for people; default: the data set's name and the number of weights.

    Returns
    -------
    Card

    Raises
    ------
    BackendFailure
        ONNX cannot express the module, or onnxruntime computes something else from the file.
    BadShape
        The module does not give a number for each class.
    InputError
        A file cannot be written.
    """
    directory, test = Path(directory), split.test
    model, sample = directory / MODEL, directory / SAMPLE
    shape = tuple(int(n) for n in test.x.shape[1:])
    export_onnx(module, shape, model)
    accuracy = {
        name: _accuracy(model, part) for name, part in (("train", split.train), ("test", test))
    }
    outputs = replay(model, test.x[:1]).shape[1]
    # Names of other outputs than the classes would be false.
    labels = split.labels if len(split.labels) == outputs else tuple(map(str, range(outputs)))
    count = min(SAMPLE_SIZE, len(test))
    kept = {"x": test.x, "y": test.y}
    arrays: dict[str, Any] = {k: values[:count] for k, values in kept.items() if values is not None}
    if test.feature_range is not None:
        arrays["feature_range"] = test.feature_range
    _write(sample, npz_bytes(arrays))
    parameters = sum(p.numel() for p in module.parameters())
    perturbs = settings.sigma is not None or settings.radius is not None
    card = Card(
        name=_word(directory.resolve().name),
        description=description or f"{_short(test.name)}, {parameters:,} weights",
        data=_short(test.name),
        sample=sample.name,
        clip=settings.clip if perturbs or settings.clip is not None else test.clip,
        sigma=settings.sigma if perturbs else SIGMA,
        radius=settings.radius,
        input_shape=shape,
        outputs=outputs,
        labels=labels,
        parameters=parameters,
        accuracy=accuracy,
        recipe=recipe,
        sha256=_digest(model),
        sample_sha256=_digest(sample),
        data_licence=split.licence,
    )
    write_card(card, directory / CARD)
    return card


def export_onnx(module: nn.Module, input_shape: tuple[int, ...], path: str | Path) -> None:
    """Write a module's evaluation mode as one ONNX file with a free batch axis, and check it.

    The file holds no trace of the machine it was written on.

    Parameters
    ----------
    module : torch.nn.Module
        Stays as it is, on its device and in its mode.
    input_shape : tuple of int
        Shape of one sample.
    path : str or Path
        Replaced where it is there.

    Raises
    ------
    BackendFailure
        ONNX cannot express the module, or onnxruntime computes something else from the file.
    InputError
        The file cannot be written.
    """
    import onnx

    plain = copy.deepcopy(module).to("cpu").eval()
    try:
        with writing(Path(path)):
            stored = _exported(plain, input_shape)
        onnx.checker.check_model(stored, full_check=True)
    except InputError:
        raise
    except Exception as error:
        first = str(error).strip().split("\n")[0]
        raise BackendFailure(f"the model cannot be written as ONNX: {first}") from None
    _compare(plain, input_shape, stored)
    _write(Path(path), stored)


def _exported(module: nn.Module, input_shape: tuple[int, ...]) -> bytes:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # This exporter is deprecated; it writes no source paths of this machine into the file. Its
        # warnings about tracing are answered by a comparison of outputs.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        file = Path(folder) / MODEL
        torch.onnx.export(
            module,
            (torch.zeros(1, *input_shape),),
            str(file),
            input_names=["input"],
            output_names=["output"],
            dynamic_axes={"input": {0: "batch"}, "output": {0: "batch"}},
            opset_version=_OPSET,
            dynamo=False,
        )
        return file.read_bytes()


def write_card(card: Card, path: Path) -> None:
    """Write a card as JSON; one that has no radius does not mention it."""
    values: dict[str, Any] = {"schema": SCHEMA, **asdict(card)}
    if card.radius is None:
        del values["radius"]
    _write(path, (json.dumps(values, indent=2) + "\n").encode())


def replay(model: str | Path | bytes, x: np.ndarray) -> np.ndarray:
    """Outputs of an ONNX file, or of its bytes, in onnxruntime: ``[samples, outputs]`` float32."""
    onnxruntime = load_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    providers = ["CPUExecutionProvider"]
    stored = model if isinstance(model, bytes) else str(model)
    session = onnxruntime.InferenceSession(stored, options, providers=providers)
    name = session.get_inputs()[0].name
    parts = [
        session.run(None, {name: x[first : first + _BATCH].astype(np.float32)})[0]
        for first in range(0, len(x), _BATCH)
    ]
    return np.concatenate(parts).reshape(len(x), -1)


def _compare(module: nn.Module, input_shape: tuple[int, ...], model: bytes) -> None:
    """Refuse a model on which onnxruntime and torch disagree, in the unit box or around it."""
    draw = torch.Generator().manual_seed(0)
    x = 3 * torch.rand((16, *input_shape), generator=draw) - 1
    with torch.no_grad():
        expected = module(x).reshape(len(x), -1).numpy()
    found = replay(model, x.numpy())
    allowed = _TOLERANCE * (1 + np.abs(expected).max(initial=0))
    # NaN agrees with nothing: a module that gives NaN is not written.
    if found.shape != expected.shape or not (np.abs(found - expected) <= allowed).all():
        raise BackendFailure(
            "the model cannot be written as ONNX: onnxruntime and torch disagree about what the "
            "file computes, or its weights are not finite"
        )


def _accuracy(path: Path, part: Dataset) -> float:
    outputs = replay(path, part.x)
    if part.y is None:
        raise InputError(f"data '{part.name}' has no labels")
    if outputs.shape[1] <= int(part.y.max()):
        raise BadShape(
            f"the model has {outputs.shape[1]} outputs, but data '{part.name}' has labels up to "
            f"{int(part.y.max())}"
        )
    return round(float((outputs.argmax(1) == part.y).mean()), 6)


def _digest(path: Path) -> str:
    return sha256(path.read_bytes())


def _word(text: str) -> str:
    """A file-name-like word of a folder's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).lstrip("._-") or "model"


def _short(name: str) -> str:
    """A data set's name; of a path, its last part: where it was is nobody's business."""
    return Path(name).name or name


def _write(path: Path, content: bytes) -> None:
    with writing(path):
        replace_file(path, content)
