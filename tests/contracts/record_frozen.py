"""Records anew what `test_frozen_json` compares with: ``python -m tests.contracts.record_frozen``.

Run it in the folder above ``tests``, only where an answer is meant to change, and read what
``git diff`` says of the references. Names of groups record these alone::

    python -m tests.contracts.record_frozen verify train
"""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.contracts.frozen_run import observe
from tests.contracts.frozen_scenarios import GROUPS

FOLDER = Path(__file__).with_name("frozen")


def reference(group: str) -> dict[str, Any]:
    """What was recorded of every scenario of a group."""
    loaded: dict[str, Any] = json.loads(gzip.decompress((FOLDER / f"{group}.json.gz").read_bytes()))
    return loaded


def record(group: str) -> None:
    found = {}
    for scenario in GROUPS[group]:
        began = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            found[scenario.name] = observe(scenario, Path(folder).resolve())
        print(f"{group}: {scenario.name}, {time.process_time() - began:.1f} s")
    FOLDER.mkdir(exist_ok=True)
    text = json.dumps(found, indent=1, ensure_ascii=False).encode()
    # Without the time, so that equal answers give equal files.
    (FOLDER / f"{group}.json.gz").write_bytes(gzip.compress(text, mtime=0))


if __name__ == "__main__":
    for name in sys.argv[1:] or GROUPS:
        record(name)
