"""The directory of a training: its configuration, its result, and who works in it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import warnings
from collections.abc import Container, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from math import isfinite, isinf
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sensverify.core.provenance import versions
from sensverify.data.dataset import Dataset
from sensverify.errors import BadCheckpoint, InputError
from sensverify.runs.files import differences, replace_file
from sensverify.training.checkpoints import (
    checkpoint_files,
    digest,
    draft_of,
    is_checkpoint,
)
from sensverify.training.export import CARD, INITIAL, MODEL, SAMPLE
from sensverify.training.journal import METRICS, STEPS
from sensverify.training.plan import Plan

SCHEMA, RESULT_SCHEMA = "sensverify.train/1", "sensverify.train-result/1"

CONFIG, RESULT, CHECKPOINTS = "config.json", "result.json", "checkpoints"

MAY_CHANGE = ("settings.checkpoint_seconds", "model.name", "model.initial_weights")
"""What a resumed training may have another value of: it changes no figure."""

_COMPARED = ("data", "model", "loss", "ramp", "settings")

_FILES = (CONFIG, RESULT, METRICS, STEPS, INITIAL, MODEL, CARD, SAMPLE)
_BUFFERS = "non-persistent/"


@dataclass(frozen=True)
class RunDirectory:
    """The files of one training.

    Parameters
    ----------
    path : Path
    """

    path: Path

    @property
    def checkpoints(self) -> Path:
        return self.path / CHECKPOINTS

    @property
    def result(self) -> dict[str, Any] | None:
        """What a finished training found, or None while it is not finished."""
        path = self.path / RESULT
        remedy = "delete it and resume: it is made again from the last checkpoint"
        return _read_json(path, RESULT_SCHEMA, remedy) if path.exists() else None

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Say that the training is finished.

        JSON has no infinities: they become the texts ``inf`` and ``-inf``, which `float` reads.
        NaN becomes null.

        Raises
        ------
        InputError
            The system refuses.
        """
        _write_json(self.path / RESULT, {"schema": RESULT_SCHEMA, **_spelt(result)})


@contextmanager
def open_run(
    path: str | Path, config: Mapping[str, Any], *, resume: bool
) -> Iterator[RunDirectory]:
    """A run directory for this configuration, kept from other processes meanwhile.

    Parameters
    ----------
    path : str or Path
        Made where it is missing.
    config : mapping
        See `describe`.
    resume : bool
        Whether to go on with a training that is there; where there is none, it is begun.

    Raises
    ------
    InputError
        The directory holds something and ``resume`` is false, holds no training, is in use, or
        cannot be written to.
    BadCheckpoint
        It holds a training of another configuration; the message says what differs.
    """
    run = RunDirectory(Path(path))
    with ExitStack() as stack:
        try:
            run.path.mkdir(parents=True, exist_ok=True)
            # Before anything is looked at, and of what is never replaced: the directory itself.
            stack.enter_context(_locked(run.path))
            present = sorted(entry.name for entry in run.path.iterdir())
        except OSError as error:
            raise InputError(
                f"cannot use '{run.path}' for a training: {error.strerror or error}"
            ) from None
        _begin(run, [name for name in present if draft_of(name) not in _FILES], config, resume)
        _remove_drafts(run.path, _FILES)
        _remove_drafts(run.checkpoints)
        yield run


def _begin(run: RunDirectory, present: list[str], config: Mapping[str, Any], resume: bool) -> None:
    """Refuse a directory that is not for this training; in an empty one, say what it is for."""
    if not present:
        _write_json(run.path / CONFIG, {"schema": SCHEMA, **config})
        return
    if not resume:
        raise InputError(
            f"'{run.path}' is not empty ({present[0]}, ...) and nothing in it is overwritten; give "
            "another directory, or resume the training that is in it"
        )
    if CONFIG not in present:
        raise InputError(
            f"'{run.path}' holds no training to resume: it has no {CONFIG}, but {present[0]}"
        )
    there = _read_json(run.path / CONFIG, SCHEMA, "give another directory")
    _check_same(run.path, there, config)
    if not (run.path / RESULT).exists() and checkpoint_files(run.checkpoints):
        _compare_versions(run.path, there.get("versions"), config["versions"])


def _compare_versions(path: Path, there: Any, now: Mapping[str, str]) -> None:
    """Warn where a training goes on with other versions than it was begun with."""
    there = there if isinstance(there, Mapping) else {}
    others = [
        f"{name} {there.get(name, '(unknown)')} (now {version})"
        for name, version in now.items()
        if there.get(name) != version
    ]
    if others:
        warnings.warn(
            f"the training in '{path}' was begun with {', '.join(others)}: the last bits of its "
            "weights may differ from those of an unbroken training",
            # Whoever called fit: above are _begin, open_run, its context manager's __enter__.
            stacklevel=6,
        )


def describe(module: nn.Module, plan: Plan, notes: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that decides a training, as plain values for ``config.json``.

    Parameters
    ----------
    module : torch.nn.Module
        Before its first step.
    plan : Plan
    notes : mapping
        Further values to keep; ``model`` is the model's name.
    """
    state = module_state(module)
    split = plan.split
    return {
        **{key: value for key, value in notes.items() if key != "model"},
        "data": {
            "name": Path(split.train.name).name,
            "train_samples": len(split.train),
            "test_samples": len(split.test),
            "train_sha256": _data_digest(split.train),
            "test_sha256": _data_digest(split.test),
        },
        "model": {
            "name": notes.get("model") or type(module).__name__,
            # Objects that have no text of their own show where they lie in memory.
            "text": re.sub(r" at 0x[0-9a-fA-F]+", "", repr(module)),
            "tensors": {k: f"{v.dtype} {list(v.shape)}" for k, v in state.items()},
            "parameters": sum(p.numel() for p in module.parameters()),
            "initial_weights": digest(state),
            **_frozen(module),
        },
        "loss": str(plan.recipe),
        "ramp": plan.ramp,
        "settings": plan.settings.as_dict(),
        "versions": versions(),
    }


def _frozen(module: nn.Module) -> dict[str, Any]:
    """The parameters and parts that a training leaves as they are, where there are any."""
    still = [name for name, p in module.named_parameters() if not p.requires_grad]
    parts = [name or "(all)" for name, part in module.named_modules() if not part.training]
    kinds = {"frozen_parameters": still, "parts_in_evaluation_mode": parts}
    return {kind: names for kind, names in kinds.items() if names}


def module_state(module: nn.Module) -> dict[str, torch.Tensor]:
    """Every parameter and buffer by name, those too that the module's own state leaves out.

    The names of these begin with ``non-persistent/``.

    Raises
    ------
    InputError
        The module keeps something else than tensors.
    """
    state = module.state_dict()
    for name, value in state.items():
        if not isinstance(value, torch.Tensor):
            raise InputError(
                f"the model keeps '{name}' of type {type(value).__name__} in its state; "
                "checkpoints hold tensors only"
            )
    return {**state, **_left_out(module, state)}


def load_module_state(module: nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Give a module what `module_state` took from it, in place.

    Raises
    ------
    RuntimeError
        Names or shapes are others.
    """
    module.load_state_dict({k: v for k, v in state.items() if not k.startswith(_BUFFERS)})
    kept = {k: v for k, v in state.items() if k.startswith(_BUFFERS)}
    there = _left_out(module, module.state_dict())
    if kept.keys() != there.keys():
        raise RuntimeError(f"other buffers: {', '.join(sorted(kept.keys() ^ there.keys()))}")
    for name, buffer in there.items():
        values = kept[name].to(buffer.device)
        # What never changes may be a view that cannot be written to.
        if buffer.shape != values.shape or not torch.equal(buffer, values):
            with torch.no_grad():
                buffer.copy_(values)


def _left_out(module: nn.Module, state: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The buffers that a module's own state leaves out."""
    return {f"{_BUFFERS}{k}": v for k, v in module.named_buffers() if k not in state}


def last_good(run: RunDirectory) -> str:
    """Which checkpoint is there, in words."""
    files = checkpoint_files(run.checkpoints)
    return f"the last checkpoint is '{files[-1]}'" if files else "there is no checkpoint yet"


def plain(value: Any) -> Any:
    """A value as JSON holds it: tuples as lists, non-finite numbers as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def _spelt(value: Any) -> Any:
    """Infinities as text."""
    if isinstance(value, Mapping):
        return {key: _spelt(item) for key, item in value.items()}
    return str(value) if isinstance(value, float) and isinf(value) else value


def _check_same(path: Path, there: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    now = plain(now)
    changed = []
    for part in _COMPARED:
        for keys, before, here in differences(there.get(part), now[part], part):
            name = ".".join(keys)
            if name not in MAY_CHANGE:
                changed.append(f"{name} is {_short(before)} there and {_short(here)} now")
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise BadCheckpoint(
            f"'{path}' holds another training: {'; '.join(changed[:3])}{more}; resume with "
            "what it was begun with, or give another directory"
        )


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


def _data_digest(data: Dataset) -> str:
    state = hashlib.sha256()
    for values in (data.x, data.y):
        if values is not None:
            state.update(f"{values.dtype}{values.shape}".encode())
            state.update(values.tobytes())
    return state.hexdigest()


def _read_json(path: Path, schema: str, remedy: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadCheckpoint(f"cannot read '{path}': {error}; {remedy}") from None
    if not isinstance(found, dict) or found.get("schema") != schema:
        raise BadCheckpoint(f"'{path}' is no {schema} file; {remedy}")
    return found


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    text = json.dumps(plain(values), indent=2, allow_nan=False) + "\n"
    try:
        replace_file(path, text.encode())
    except OSError as error:
        raise InputError(f"cannot write '{path}': {error.strerror or error}") from None


def _remove_drafts(folder: Path, names: Container[str] | None = None) -> None:
    """Remove what was left by a process that was killed while it wrote one of these files.

    Without names, while it wrote a checkpoint. Only for who holds the directory's lock.
    """
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        name = draft_of(path.name)
        ours = is_checkpoint(name or "") if names is None else name in names
        if name and ours:
            with suppress(OSError):
                path.unlink()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Alone with a folder, where the system knows such locks; they end with their process.

    Raises
    ------
    InputError
        Another process has it.
    OSError
        It cannot be opened.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"another process is training in '{folder}'; wait for it, or give another directory"
            ) from None
        except OSError:
            # File systems of networks may know no locks.
            pass
        yield
    finally:
        os.close(handle)
