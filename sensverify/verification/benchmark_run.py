"""A run over a benchmark folder: instances to processes, answers to a file."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sensverify.errors import BadData, BadSetting
from sensverify.runs.watch import Watch
from sensverify.verification.benchmark import (
    BenchmarkSummary,
    Instance,
    InstanceResult,
)
from sensverify.verification.benchmark_files import read_instances
from sensverify.verification.benchmark_journal import Journal
from sensverify.verification.benchmark_pool import answers, cores
from sensverify.verification.property import DEFAULT, PropertyRequest, decider_of

Progress = Callable[[int, int, InstanceResult | None], None]
"""Called with the instances done, those in all, and the one that was just done."""


@dataclass(frozen=True)
class BenchmarkRequest:
    """A benchmark folder and how to go through it.

    Parameters
    ----------
    folder : Path
        With ``instances.csv`` (model, property, seconds), and maybe ``verdicts.csv`` to compare
        with.
    out : Path
        CSV file that the results go to. Instances that it has already are not run again.
    jobs : int, optional
        Processes at a time; default: as many as there are cores.
    timeout : float, optional
        Most seconds for an instance, where its own limit is longer.
    method : str
        What answers; as for `PropertyRequest`.
    settings : mapping of str to str
    only : str
        Take only instances whose model or property has this in its name.
    runtime_check : bool
        Compare the models with onnxruntime when they are read; see ``load_onnx``.

    Raises
    ------
    BadSetting
        A number that cannot be one.
    """

    folder: Path
    out: Path
    jobs: int | None = None
    timeout: float | None = None
    method: str = DEFAULT
    settings: Mapping[str, str] = field(default_factory=dict)
    only: str = ""
    runtime_check: bool = True

    def __post_init__(self) -> None:
        if self.timeout is not None and not 0 < self.timeout < math.inf:
            raise BadSetting(f"--timeout must be a number of seconds above 0, got {self.timeout:g}")
        if self.jobs is not None and not self.jobs >= 1:
            raise BadSetting(f"--jobs must be at least 1, got {self.jobs}")


def run_benchmark(
    request: BenchmarkRequest, *, progress: Progress | None = None, watch: Watch | None = None
) -> BenchmarkSummary:
    """Answer the instances of a folder, in several processes, and keep every answer at once.

    Parameters
    ----------
    request : BenchmarkRequest
    progress : callable, optional
        Called before the first and after every instance.
    watch : Watch, optional
        Ends the run; what is done by then is in the file.

    Returns
    -------
    BenchmarkSummary
        Of all instances that were asked for, those of earlier runs included.

    Raises
    ------
    InputError
        The folder, or the file of results, is not what it should be.
    BackendFailure
        No process could be started.
    """
    watch = watch or Watch()
    everything = read_instances(request.folder)
    asked = [item for item in everything if any(request.only in part for part in item.key)]
    if not asked:
        raise BadData(f"no instance of '{request.folder}' has '{request.only}' in its name")
    # A wrong name or setting is said before any process starts.
    decider_of(_request(request, asked[0]))
    journal = Journal(request.out, everything, _described(request))
    left = journal.missing(asked)
    total = len(asked)
    if progress is not None:
        progress(total - len(left), total, None)
    with journal:
        requests = [_request(request, instance) for instance in left]
        jobs = request.jobs or cores()
        for done, (number, outcome) in enumerate(answers(requests, jobs=jobs, watch=watch), 1):
            result = InstanceResult(
                instance=left[number],
                verdict=outcome.verdict,
                seconds=outcome.seconds,
                timeout=requests[number].timeout or math.inf,
                explored=outcome.explored,
                method=_described(request),
                note=outcome.note,
            )
            journal.add(result)
            if progress is not None:
                progress(total - len(left) + done, total, result)
    keys = {instance.key for instance in asked}
    results = [result for result in journal.results if result.instance.key in keys]
    return BenchmarkSummary.of(asked, results)


def _request(request: BenchmarkRequest, instance: Instance) -> PropertyRequest:
    return PropertyRequest(
        model=str(_present(request.folder, instance.onnx)),
        property=_present(request.folder, instance.vnnlib),
        method=request.method,
        settings=request.settings,
        timeout=min(instance.timeout, request.timeout or math.inf),
        runtime_check=request.runtime_check,
    )


def _present(folder: Path, name: str) -> Path:
    """The file, or its gzipped form where only that is there."""
    path = folder / name
    packed = path.with_name(path.name + ".gz")
    return packed if packed.exists() and not path.exists() else path


def _described(request: BenchmarkRequest) -> str:
    settings = ", ".join(f"{key}={value}" for key, value in sorted(request.settings.items()))
    return f"{request.method} ({settings})" if settings else request.method
