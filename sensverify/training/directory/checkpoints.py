"""Checkpoints: safetensors files that are whole or not there, and whose damage is seen.

A file holds tensors by name and, in its header's metadata, ``schema``, ``facts`` (everything else
as JSON) and ``sha256`` over both. It is written beside its place under another name, brought to
the disk, and then renamed, so that a process killed at any moment leaves the files before it as
they were.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sensverify.core.digests import sha256_of_all
from sensverify.errors import BadCheckpoint, InputError
from sensverify.runs.files import replace_file

SCHEMA = "sensverify.checkpoint/1"

KEPT = 2
"""The newest checkpoints that stay."""

_NAME = re.compile(r"step-(\d{6,})\.safetensors")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The state of a training between two steps.

    Parameters
    ----------
    step : int
        Steps done.
    tensors : dict from str to Tensor
        On the CPU.
    facts : dict
        Plain JSON values; floats keep every bit.
    """

    step: int
    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any] = field(default_factory=dict)


def checkpoint_files(folder: Path) -> list[Path]:
    """The checkpoints of a folder, the newest one last."""
    if not folder.is_dir():
        return []
    found = {p: _NAME.fullmatch(p.name) for p in folder.iterdir()}
    return sorted((p for p, m in found.items() if m), key=lambda p: int(_NAME.sub(r"\1", p.name)))


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write ``step-000123.safetensors`` and remove all but the last two checkpoints.

    Parameters
    ----------
    folder : Path
        Made where it is missing.
    checkpoint : Checkpoint

    Raises
    ------
    InputError
        The system refuses: no room, no permission. Checkpoints that were there stay good.
    """
    from safetensors.torch import save

    # Tensors that share memory, as tied weights do, are written once for each name.
    tensors = {name: t.detach().cpu().clone() for name, t in checkpoint.tensors.items()}
    tensors = {name: t.contiguous() for name, t in tensors.items()}
    facts = json.dumps({"step": checkpoint.step, **checkpoint.facts})
    metadata = {"schema": SCHEMA, "facts": facts, "sha256": digest(tensors, facts)}
    path = folder / f"step-{checkpoint.step:06d}.safetensors"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(path, save(tensors, metadata))
        for old in checkpoint_files(folder)[:-KEPT]:
            old.unlink()
    except OSError as error:
        good = checkpoint_files(folder)
        rest = f"'{good[-1].name}' before it is good" if good else "there is none before it"
        raise InputError(
            f"cannot write the checkpoint '{path}': {error.strerror or error}; {rest}",
            "make room for it, or let it be written to, and resume",
        ) from None
    return path


def read_checkpoint(path: Path) -> Checkpoint:
    """A checkpoint, every bit of it as it was written.

    Raises
    ------
    BadCheckpoint
        The file is damaged or of another kind; the message says what to do.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as stream:
            metadata = stream.metadata() or {}
            if metadata.get("schema") != SCHEMA:
                raise _damaged(path, f"its schema is {metadata.get('schema')!r}, not '{SCHEMA}'")
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
        text = metadata["facts"]
        if digest(tensors, text) != metadata["sha256"]:
            raise _damaged(path, "its contents do not match its own SHA-256")
        facts = json.loads(text)
        return Checkpoint(facts.pop("step"), tensors, facts)
    except (SafetensorError, OSError, KeyError, ValueError, AttributeError) as error:
        if isinstance(error, BadCheckpoint):
            raise
        words = str(error).split("\n")[0] or type(error).__name__
        raise _damaged(path, words) from None


def newest_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest checkpoint of a folder, or None where it has none.

    Raises
    ------
    BadCheckpoint
        It is damaged.
    """
    files = checkpoint_files(folder)
    return read_checkpoint(files[-1]) if files else None


def resumed_after(checkpoint: Checkpoint) -> tuple[int, ...]:
    """Steps after which a later run went on with the training, as a checkpoint keeps them."""
    return tuple(int(step) for step in checkpoint.facts.get("resumed", ()))


def is_checkpoint(name: str) -> bool:
    """True for the name of a checkpoint."""
    return _NAME.fullmatch(name) is not None


def digest(tensors: Mapping[str, Tensor], text: str = "") -> str:
    """SHA-256 over names, dtypes, shapes and bytes of tensors, in the order of their names."""

    def parts() -> Iterator[bytes | str]:
        yield text
        for name in sorted(tensors):
            values = tensors[name].detach().cpu().contiguous()
            yield f"{name}\n{values.dtype}\n{tuple(values.shape)}\n"
            yield values.reshape(-1).view(torch.uint8).numpy().tobytes()

    return sha256_of_all(parts())


def _damaged(path: Path, why: str) -> BadCheckpoint:
    before = [other for other in checkpoint_files(path.parent) if other != path]
    remedy = f"to go on from '{before[-1].name}'" if before else "to start again"
    return BadCheckpoint(
        f"the checkpoint '{path}' cannot be used: {why}", f"delete it {remedy}, and resume"
    )
