"""Models by name or by path."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sensverify.errors import BadModelFile, UnknownName
from sensverify.formats.files import GZIP_MAGIC
from sensverify.models.cards import SCHEMA, Card, read_card
from sensverify.registry.names import did_you_mean

if TYPE_CHECKING:
    from sensverify.network import Network

FOLDER = Path(__file__).parent
"""Folder of the models that ship: ``NAME.onnx``, ``NAME.json`` (card), ``DATA.npz`` (sample)."""

RUN_MODEL = "model.onnx"
"""The model in the folder of a training run."""

_SUFFIXES = (".onnx", ".onnx.gz")
_LARGEST_CARD = 1 << 20
"""A file beside a model with more bytes than this is no card of ours."""


@dataclass(frozen=True)
class ModelFile:
    """A model's file, and its card when it has one.

    Parameters
    ----------
    path : Path
    card : Card or None
        Models that ship and models that were trained here have one.
    """

    path: Path
    card: Card | None = None

    @property
    def sample_path(self) -> Path | None:
        """The ``.npz`` file with test samples that the card names, else None."""
        return None if self.card is None else self.path.parent / self.card.sample


def names() -> tuple[str, ...]:
    """Names of the models that ship, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.json")))


def card(name: str) -> Card:
    """The card of a shipped model.

    Raises
    ------
    UnknownName
        No shipped model has the name.
    BadModelFile
        The card is damaged.
    """
    if name not in names():
        raise UnknownName(
            f"there is no model '{name}'{did_you_mean(name, names())}",
            f"there are {', '.join(names())}, or give the path of a file that ends in "
            f"{' or '.join(_SUFFIXES)}, or of the folder of a training run",
        )
    return read_card(FOLDER / f"{name}.json")


def resolve(name_or_path: str | Path) -> ModelFile:
    """The file of a model that ships, or of the user's.

    Parameters
    ----------
    name_or_path : str or Path
        The name of a shipped model; or a path: of a file, or of a folder that holds
        ``model.onnx``, as a training run leaves it. A Path, text that ends in ``.onnx`` or
        ``.onnx.gz``, holds a slash or names a folder is taken as a path; names of shipped models
        come first.

    Returns
    -------
    ModelFile
        A file of the user's has a card where one of our schema lies beside it: ``net.json``
        beside ``net.onnx`` or ``net.onnx.gz``. The model itself is opened only to compare it with
        its card.

    Raises
    ------
    UnknownName
        No shipped model has the name.
    BadModelFile
        A model or its sample is not the one on its card, the card cannot be right, or the folder
        holds no model.
    """
    if not isinstance(name_or_path, str | Path):
        raise BadModelFile(
            "a model is the name of one that ships, or the path of an ONNX file, got "
            f"{type(name_or_path).__name__}",
            "from_module takes a torch.nn.Module",
        )
    if isinstance(name_or_path, Path) or _looks_like_path(name_or_path):
        return _user_model(Path(name_or_path))
    if name_or_path not in names() and os.path.isdir(name_or_path):
        return _user_model(Path(name_or_path))
    found = card(name_or_path)
    model = FOLDER / f"{found.name}.onnx"
    again = "install sensverify again"
    _verify(model, found.sha256, again)
    _verify(FOLDER / found.sample, found.sample_sha256, again)
    return ModelFile(model, found)


def load(name_or_path: str | Path, *, runtime_check: bool = True) -> Network:
    """The network of a shipped model or of an ONNX file.

    Parameters
    ----------
    name_or_path : str or Path
        As for `resolve`: ``"iris"``, ``"net.onnx"``, ``"folder/net.onnx.gz"``.
    runtime_check : bool
        Compare the model with onnxruntime when it is read; see ``load_onnx``.

    Raises
    ------
    UnknownName
        No shipped model has the name.
    BadModelFile, BadShape, UnsupportedOperator
        The file cannot be read as a network.
    RuntimeDisagrees
        onnxruntime reads it as another one, or does not run it.

    Examples
    --------
    >>> import sensverify as sv
    >>> network = sv.load("iris")
    >>> network.input_shape, network.output_shape, network.parameters
    ((4,), (3,), 1503)
    """
    from sensverify.formats.onnx import load_onnx

    return load_onnx(resolve(name_or_path).path, runtime_check=runtime_check)


def _looks_like_path(text: str) -> bool:
    return text.endswith(_SUFFIXES) or "/" in text or "\\" in text


def _user_model(path: Path) -> ModelFile:
    # os.path, not Path: it says no where a name is too long or must not be looked at.
    if os.path.isdir(path):
        if not os.path.isfile(path / RUN_MODEL):
            raise BadModelFile(
                f"the folder '{path}' holds no {RUN_MODEL}",
                "a training run writes it when it is done",
            )
        path = path / RUN_MODEL
    beside = path.with_name(path.name.removesuffix(".gz").removesuffix(".onnx") + ".json")
    if not (str(path).endswith(_SUFFIXES) and os.path.isfile(path) and _is_card(beside)):
        return ModelFile(path)
    found = read_card(beside)
    remedy = f"train again, or remove the card '{beside}' to use the file without it"
    _verify(path, found.sha256, remedy)
    sample = path.parent / found.sample
    if os.path.isfile(sample):
        # Without it the model can still be verified on data that are named.
        _verify(sample, found.sample_sha256, remedy)
    return ModelFile(path, found)


def _is_card(path: Path) -> bool:
    """True where a file is JSON of the card's schema, whatever else is in it."""
    try:
        if not os.path.isfile(path) or path.stat().st_size > _LARGEST_CARD:
            return False
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(values, dict) and values.get("schema") == SCHEMA


def _verify(path: Path, digest: str, remedy: str) -> None:
    try:
        found = _digest(path)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadModelFile(f"cannot read '{path}', which has a card: {reason}", remedy) from None
    if found != digest:
        raise BadModelFile(
            f"'{path}' is not the file on its card: expected SHA-256 {digest}, got {found}", remedy
        )


def _digest(path: Path) -> str:
    """SHA-256 of a file's contents after unpacking: gzip does not make a model another one."""
    with path.open("rb") as stream:
        packed = stream.read(2) == GZIP_MAGIC
    with gzip.open(path) if packed else path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
