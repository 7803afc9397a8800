"""A set of corrupted samples that is asked for, and what has been made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from sensverify.errors import BadSetting


@dataclass(frozen=True, kw_only=True)
class CorruptRequest:
    """A set of corrupted samples to be made.

    Parameters
    ----------
    data : str, Path or object
        As an evaluation takes it; of data in parts, the whole test part is corrupted.
    out : Path
        The folder, which is made; or, with ``resume`` or ``force``, one that holds such a set.
    corruptions : tuple of str
        Names and groups of `CORRUPTIONS`, also with strengths.
    severities : tuple of int, optional
        In ascending order; default: all that a corruption has. Files number what they hold from 1.
    seed : int
        As of an evaluation: the same images come of the same seed.
    clip : (low, high), optional
        Values of black and white. Default: the range of the data by their nature, else 0 and 1.
    data_dir : Path, optional
    resume : bool
        Go on with what is in the folder.
    force : bool
        Replace the set in the folder.

    Raises
    ------
    BadSetting
    """

    data: Any
    out: Path
    corruptions: tuple[str, ...] = ("imagenet-c",)
    severities: tuple[int, ...] | None = None
    seed: int = 0
    clip: tuple[float, float] | None = None
    data_dir: Path | None = None
    resume: bool = False
    force: bool = False

    def __post_init__(self) -> None:
        if not self.corruptions:
            raise BadSetting("there is nothing to make without `corruptions`", "name some")
        asked = self.severities
        if asked is not None:
            whole = all(isinstance(each, int) and not isinstance(each, bool) for each in asked)
            if not asked or not whole or min(asked) < 1 or list(asked) != sorted(set(asked)):
                raise BadSetting(
                    f"`severities` are whole numbers from 1 in ascending order, got {asked}"
                )
        if self.clip is not None:
            low, high = self.clip
            if not (isfinite(low) and isfinite(high) and low < high):
                raise BadSetting(
                    f"`clip` is the value of black and that of white, got {low} {high}"
                )
        if self.resume and self.force:
            raise BadSetting(
                "`resume` keeps what is there, and `force` replaces it", "give one of the two"
            )


@dataclass(frozen=True, kw_only=True)
class PremadeFile:
    """A corruption's file.

    Parameters
    ----------
    corruption, file : str
        Its name in `CORRUPTIONS`, and that of the file.
    severities : tuple of int
        Those of `CORRUPTIONS` that stand one after the other; a reader counts them from 1.
    parameters : tuple of str
        Meaning of each severity, as text.
    """

    corruption: str
    file: str
    severities: tuple[int, ...]
    parameters: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class PremadeSet:
    """A set of corrupted samples in its folder.

    Parameters
    ----------
    folder : Path
    data : str
    samples : int
        In each severity.
    seed : int
    files : tuple of PremadeFile
        All that were asked for.
    finished : tuple of str
        Corruptions whose files are whole.
    made : tuple of str
        Those among them that this run has made.
    left_out : mapping from str to str
        Corruptions of a group that these samples cannot have, with the reason.
    note : str or None
        What was guessed of the data.
    """

    folder: Path
    data: str
    samples: int
    seed: int
    files: tuple[PremadeFile, ...]
    finished: tuple[str, ...]
    made: tuple[str, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)
    note: str | None = None

    @property
    def interrupted(self) -> bool:
        """Whether something is still to be made; the set cannot be read before."""
        return len(self.finished) < len(self.files)
