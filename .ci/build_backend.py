"""setuptools on a copy of the sources: a clone that was installed from holds nothing new."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar, cast

from setuptools import build_meta

SOURCES = (".ci/build_backend.py", "LICENSE", "MANIFEST.in", "NOTICE", "README.md")
SOURCES += ("models", "pyproject.toml", "sensverify", "solvers")

Hook = TypeVar("Hook", bound=Callable[..., Any])

# An editable install is one of the clone itself.
build_editable = build_meta.build_editable


def _in_a_copy(hook: Hook) -> Hook:
    @wraps(hook)
    def run(*args: Any, **options: Any) -> Any:
        with _copied():
            return hook(*args, **options)

    return cast(Hook, run)


@contextmanager
def _copied() -> Iterator[None]:
    """A copy of the sources as working directory; frontends call hooks in the clone's root."""
    root = Path.cwd()
    with TemporaryDirectory() as folder:
        for name in SOURCES:
            source, copy = root / name, Path(folder, name)
            copy.parent.mkdir(exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, copy)
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(root)
            # Of this module, which frontends import from the clone.
            shutil.rmtree(root / ".ci" / "__pycache__", ignore_errors=True)


build_sdist = _in_a_copy(build_meta.build_sdist)
build_wheel = _in_a_copy(build_meta.build_wheel)
get_requires_for_build_editable = _in_a_copy(build_meta.get_requires_for_build_editable)
get_requires_for_build_sdist = _in_a_copy(build_meta.get_requires_for_build_sdist)
get_requires_for_build_wheel = _in_a_copy(build_meta.get_requires_for_build_wheel)
prepare_metadata_for_build_editable = _in_a_copy(build_meta.prepare_metadata_for_build_editable)
prepare_metadata_for_build_wheel = _in_a_copy(build_meta.prepare_metadata_for_build_wheel)
