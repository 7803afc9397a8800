"""The answer to one instance of a benchmark, in the process of a worker."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from sensverify.errors import SensverifyError
from sensverify.formats.onnx import Ends
from sensverify.models.loading import LoadedModel, load_model
from sensverify.runs.watch import Watch
from sensverify.runs.workers import Report
from sensverify.verification.property import PropertyRequest, check_property

_PARAMETERS = 1 << 25
"""Most parameters, in numbers, of the models that a process keeps."""


def answer(data: Mapping[str, Any], watch: Watch, report: Report) -> dict[str, Any]:
    """A verdict of VNN-COMP, or ``error``, and the other figures of an `InstanceResult`.

    Parameters
    ----------
    data : mapping
        Fields of a `PropertyRequest`.
    watch : Watch
    report : callable
        Not called.
    """
    began, used = time.perf_counter(), time.process_time()
    verdict, known = "error", dict[str, Any](explored=0)
    try:
        request = PropertyRequest(**data)
        # The time to read a model counts, though only the first instance of it pays.
        part = watch.within(request.timeout)
        found = check_property(request, watch=part, model=_MODELS.loaded(request))
        verdict = found.verdict.value
        known = {n: getattr(found, n) for n in ("explored", "shortfall", "phases")}
        note = "; ".join(found.warnings)
    except MemoryError:
        note = "out of memory"
    except SensverifyError as error:
        note = str(error)
    except Exception as error:  # Whatever it is, it is this instance's own.
        note = f"{type(error).__name__}: {error}"
    return {
        "verdict": verdict,
        "seconds": time.perf_counter() - began,
        "processor": time.process_time() - used,
        **known,
        "note": note,
    }


class _Models:
    """The models a process has used last, as many as fit a budget."""

    def __init__(self) -> None:
        self._loaded: OrderedDict[str, LoadedModel] = OrderedDict()

    def loaded(self, request: PropertyRequest) -> LoadedModel:
        """The model of a request."""
        path = request.model
        if path not in self._loaded:
            self._loaded[path] = load_model(
                path, runtime_check=request.runtime_check, ends=Ends(head="order")
            )
        self._loaded.move_to_end(path)
        while len(self._loaded) > 1 and self._parameters() > _PARAMETERS:
            self._loaded.popitem(last=False)
        return self._loaded[path]

    def _parameters(self) -> int:
        return sum(model.network.parameters for model in self._loaded.values())


_MODELS = _Models()
