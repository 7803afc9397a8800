"""The short checker of the examples, called in this process."""

from __future__ import annotations

import contextlib
import importlib.util
import io
from functools import cache
from pathlib import Path
from typing import Any

EXAMPLE = Path(__file__).parents[2] / "examples" / "check_certificate.py"


@cache
def example() -> Any:
    spec = importlib.util.spec_from_file_location("check_certificate", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def asked(certificate: bytes, model: bytes, folder: Path) -> tuple[str | None, str]:
    """Why it refuses, or None; and what it prints."""
    paths = folder / "some.cert", folder / "some.onnx"
    for path, data in zip(paths, (certificate, model), strict=True):
        path.write_bytes(data)
    printed, stopped = io.StringIO(), []
    try:
        with contextlib.redirect_stdout(printed):
            example().main(*paths)
    except SystemExit as stop:
        stopped.append(stop.code)
    if stopped:
        (why,) = stopped
        # With a status that says so, and without a word that it holds.
        assert why
        assert not printed.getvalue()
        return str(why), ""
    assert printed.getvalue().endswith(" hold\n")
    return None, printed.getvalue()
