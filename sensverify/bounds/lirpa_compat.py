"""auto_LiRPA as this process can run it: 0.3 from the package index, 0.7 from its repository.

auto_LiRPA 0.3 was made for torch 1.12. Four names that it uses have vanished since. They come back
only where it needs them, and only for as long:

====================================== ============================ =========================
vanished                               put back as                  for how long
====================================== ============================ =========================
``numpy.lib.arraysetops.isin``         a module of that name        its import
``symbolic_helper._set_opset_version`` a function of that name      its import
indexing of ``torch._C.Node``          ``Node.__getitem__``         the parsing of one graph
``remove_duplicate`` in                a wrapper around             for good, in auto_LiRPA's own
``Module._named_members``              ``BoundedModule``'s override class
====================================== ============================ =========================

Both versions also change what does not belong to them: the root logger's handlers, the warning
filters, options of torch's ONNX exporter, standard output. `quiet` puts these back.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import io
import logging
import sys
import types
import warnings
from collections.abc import Iterator
from threading import RLock
from typing import Any

import numpy as np
import torch

from sensverify.errors import BackendFailure, BackendMissing, install

INSTALL = f"{install('lirpa')} && pip install --no-deps auto-LiRPA==0.3"
"""The remedy: its own requirements exclude the torch that this package is tested with."""

LOCK = RLock()
"""Held while anything global is changed; auto_LiRPA itself is not safe for threads either."""


def import_auto_lirpa() -> types.ModuleType:
    """The package ``auto_LiRPA``, made to work with the installed torch.

    Raises
    ------
    BackendMissing
        It, or a small package it needs, is not installed; the message says how to install both.
    BackendFailure
        It is there, and cannot be imported.
    """
    present = sys.modules.get("auto_LiRPA")
    if present is not None:
        return present
    with LOCK, quiet(), _vanished_imports():
        try:
            package = importlib.import_module("auto_LiRPA")
        except ModuleNotFoundError as error:
            _forget_half_imported()
            raise BackendMissing(
                f"method lirpa needs auto_LiRPA, and the module '{error.name}' is not installed",
                INSTALL,
            ) from error
        except Exception as error:
            _forget_half_imported()
            raise BackendFailure(
                f"auto_LiRPA cannot be imported with torch {torch.__version__}: "
                f"{type(error).__name__}: {error}"
            ) from error
    _accept_remove_duplicate(package.BoundedModule)
    return package


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep auto_LiRPA's prints to itself and put back the global settings it changes."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    logger = logging.getLogger("auto_LiRPA")
    disabled = logging.root.manager.disable
    exporter = _exporter_options()
    saved = dict(vars(exporter)) if exporter is not None else {}
    silence = contextlib.redirect_stdout(io.StringIO())
    # Recorded, not filtered: it sets the filters itself.
    with LOCK, warnings.catch_warnings(record=True), silence:
        try:
            # The children are not there before the import; it logs no higher than errors.
            logging.disable(max(disabled, logging.ERROR))
            yield
        finally:
            logging.disable(disabled)
            root.handlers[:] = handlers
            root.setLevel(level)
            logger.propagate = False
            if exporter is not None:
                vars(exporter).update(saved)


@contextlib.contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """torch's default dtype for a while: auto_LiRPA 0.3 makes its slopes in it."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextlib.contextmanager
def graph_indexing() -> Iterator[None]:
    """Let ``node[name]`` read an attribute of a traced graph's node, as torch 1.12 did."""
    node: Any = torch._C.Node
    if hasattr(node, "__getitem__"):
        yield
        return

    def attribute(self: Any, name: str) -> Any:
        # The kind of an attribute names the method that reads it.
        return getattr(self, self.kindOf(name))(name)

    with LOCK:
        node.__getitem__ = attribute
        try:
            yield
        finally:
            del node.__getitem__


@contextlib.contextmanager
def _vanished_imports() -> Iterator[None]:
    """The two names that auto_LiRPA 0.3 imports and that are gone."""
    helper: Any = importlib.import_module("torch.onnx.symbolic_helper")
    name = "numpy.lib.arraysetops"
    missing_module = name not in sys.modules and importlib.util.find_spec(name) is None
    missing_function = not hasattr(helper, "_set_opset_version")
    if missing_module:
        stand_in = types.ModuleType(name)
        stand_in.isin = np.isin  # type: ignore[attr-defined]
        sys.modules[name] = stand_in
    if missing_function:
        helper._set_opset_version = _set_opset_version
    try:
        yield
    finally:
        if missing_module:
            del sys.modules[name]
        if missing_function:
            del helper._set_opset_version


def _set_opset_version(version: int) -> None:
    exporter = _exporter_options()
    if exporter is not None:
        exporter.export_onnx_opset_version = version


def _exporter_options() -> Any:
    """The options of torch's graph exporter, which has moved within torch."""
    for place in ("torch.onnx._internal.torchscript_exporter._globals", "torch.onnx._globals"):
        try:
            return importlib.import_module(place).GLOBALS
        except ImportError:
            continue
    return None


def _accept_remove_duplicate(cls: type) -> None:
    """Let an override of ``_named_members`` from torch 1.12 be called as torch 2 calls it."""
    original = cls._named_members  # type: ignore[attr-defined]
    if "remove_duplicate" in inspect.signature(original).parameters:
        return

    def named_members(
        self: Any,
        get_members_fn: Any,
        prefix: str = "",
        recurse: bool = True,
        remove_duplicate: bool = True,
    ) -> Any:
        # The original always removes duplicates.
        return original(self, get_members_fn, prefix, recurse)

    cls._named_members = named_members  # type: ignore[attr-defined]


def _forget_half_imported() -> None:
    for name in [n for n in sys.modules if n == "auto_LiRPA" or n.startswith("auto_LiRPA.")]:
        del sys.modules[name]
