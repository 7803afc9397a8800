"""onnxruntime as this package starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# In these it is silent of itself.
AUTOMATED = ("ORT_DISABLE_TELEMETRY", "CI", "GITHUB_ACTIONS", "GITLAB_CI", "CIRCLECI", "TF_BUILD")


def files_left_by(code: str, folder: Path) -> list[Path]:
    environment = {key: value for key, value in os.environ.items() if key not in AUTOMATED}
    environment |= {"HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache")}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    return [path for path in folder.rglob("*") if path.is_file()]


def test_nothing_about_a_machine_is_stored_or_sent(tmp_path: Path) -> None:
    code = "from sensverify import models; models.load('iris')"
    assert files_left_by(code, tmp_path) == []
