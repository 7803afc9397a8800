"""Models by name or by path."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sensverify.errors import BadModelFile, UnknownName
from sensverify.models.cards import Card, read_card

if TYPE_CHECKING:
    from sensverify.network import Network

FOLDER = Path(__file__).parent
"""Where the models that ship are: ``NAME.onnx``, ``NAME.json`` (card), ``DATA.npz`` (sample)."""

_SUFFIXES = (".onnx", ".onnx.gz")


@dataclass(frozen=True)
class ModelFile:
    """A model's file, and its card when it is one that ships.

    Parameters
    ----------
    path : Path
    card : Card or None
        None for a file of the user's.
    """

    path: Path
    card: Card | None = None

    @property
    def sample_path(self) -> Path | None:
        """The ``.npz`` file with test samples of a shipped model, else None."""
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
            f"there is no model '{name}'; there are {', '.join(names())}, or give the path of a "
            f"file that ends in {' or '.join(_SUFFIXES)}"
        )
    return read_card(FOLDER / f"{name}.json")


def resolve(name_or_path: str | Path) -> ModelFile:
    """The file of a model that ships, or of the user's.

    Parameters
    ----------
    name_or_path : str or Path
        A Path, or text that ends in ``.onnx`` or ``.onnx.gz`` or holds a slash, is taken as a
        path; other text is the name of a shipped model. Files of the user's are not opened here.

    Raises
    ------
    UnknownName
        No shipped model has the name.
    BadModelFile
        A shipped model or its sample is not the one on its card.
    """
    if isinstance(name_or_path, Path) or _looks_like_path(name_or_path):
        return ModelFile(Path(name_or_path))
    found = card(name_or_path)
    model = FOLDER / f"{found.name}.onnx"
    _verify(model, found.sha256)
    _verify(FOLDER / found.sample, found.sample_sha256)
    return ModelFile(model, found)


def load(name_or_path: str | Path) -> Network:
    """The network of a shipped model or of an ONNX file.

    Parameters
    ----------
    name_or_path : str or Path
        As for `resolve`: ``"iris"``, ``"net.onnx"``, ``"folder/net.onnx.gz"``.

    Raises
    ------
    UnknownName
        No shipped model has the name.
    BadModelFile, BadShape, UnsupportedOperator
        The file cannot be read as a network.
    """
    from sensverify.formats.onnx import load_onnx

    return load_onnx(resolve(name_or_path).path)


def _looks_like_path(text: str) -> bool:
    return text.endswith(_SUFFIXES) or "/" in text or "\\" in text


def _verify(path: Path, digest: str) -> None:
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise BadModelFile(
            f"cannot read '{path}', which ships with sensverify: {error.strerror or error}; "
            "install sensverify again"
        ) from None
    if found != digest:
        raise BadModelFile(
            f"'{path}' is not the file on its card: expected SHA-256 {digest}, got {found}; "
            "install sensverify again"
        )
