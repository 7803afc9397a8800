"""Search path for data sets."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from sensverify.errors import BadData

ENVIRONMENT = "SENSVERIFY_DATA"


def search_places(data_dir: str | Path | None = None) -> tuple[Path, ...]:
    """Folders searched for data, in order: ``data_dir``, ``$SENSVERIFY_DATA``, the user's cache."""
    places = [Path(data_dir)] if data_dir is not None else []
    if os.environ.get(ENVIRONMENT):
        places.append(Path(os.environ[ENVIRONMENT]))
    return (*places, _user_cache() / "sensverify")


def find_folders(folders: Sequence[str], data_dir: str | Path | None) -> list[Path]:
    """The folders of these names that exist in the search places."""
    candidates = [place / folder for place in search_places(data_dir) for folder in folders]
    return [folder for folder in candidates if folder.is_dir()]


def not_found(
    name: str,
    wanted: str,
    data_dir: str | Path | None,
    lacking: Mapping[Path, Sequence[str]] | None = None,
) -> BadData:
    """The error for a data set that is in none of the search places.

    ``lacking``: the files that folders of its name do not hold.
    """
    searched = ", ".join(f"'{place}'" for place in search_places(data_dir))
    half = "".join(
        f"; '{folder}' lacks {', '.join(files)}" for folder, files in (lacking or {}).items()
    )
    return BadData(
        f"data set '{name}' was not found: looked for {wanted} in {searched}{half}",
        f"put the files there, or name their folder with `data_dir` or ${ENVIRONMENT}",
    )


def _user_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", str(Path.home() / "AppData" / "Local")))
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
