"""A run over a benchmark folder: instances go to workers, their answers to a file."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter

from sensverify.core.digests import sha256
from sensverify.errors import BadData, BadSetting, InputError
from sensverify.registry.ranges import Above0, Count
from sensverify.registry.settings import check_settings
from sensverify.runs.files import reading
from sensverify.runs.journal import Journal, RowType, read_journal
from sensverify.runs.machine import cores, machine_facts
from sensverify.runs.progress import Listener, Pace
from sensverify.runs.shards import Begun, Shard, Shards, left_text
from sensverify.runs.shards import digest as digest_of
from sensverify.runs.watch import TimeUp, Watch
from sensverify.runs.workers import Ended, Processes, Task, Workers
from sensverify.verification.benchmark import Instance, InstanceResult, result_rows
from sensverify.verification.benchmark_files import INSTANCES, KNOWN, read_instances
from sensverify.verification.benchmark_report import (
    BenchmarkReport,
    EarlierResults,
    check_failing,
    read_earlier,
)
from sensverify.verification.deciding import DEFAULT, decider_of
from sensverify.verification.property import PropertyRequest

_RESULTS = "results.csv"
"""In the folder of a shard."""

GRACE = 10.0
"""Seconds past its time limit after which the process of an instance is ended."""


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
    fail_on : sequence of str
        Verdicts that no instance should end with: ``sat``, ``timeout``, ``unknown``, ``error``.
    compare : sequence of Path
        Files of results of other runs over the same folder, which the report stands beside.
    shard : Shard, optional
        Answer only this part of the instances, while others may be at work on theirs; its results
        go to a folder of its own beside ``out``.

    Raises
    ------
    BadSetting
        A number that cannot be one, a word that is no such verdict, or a file that is named twice.
    """

    folder: Path
    out: Path
    jobs: Count | None = None
    timeout: Above0 | None = None
    method: str = DEFAULT
    settings: Mapping[str, str] = field(default_factory=dict)
    only: str = ""
    runtime_check: bool = True
    fail_on: tuple[str, ...] = ()
    compare: tuple[Path, ...] = ()
    shard: Shard | None = None

    def __post_init__(self) -> None:
        check_settings(self, only=("jobs", "timeout"))
        check_failing(self.fail_on)
        files = [os.path.realpath(path) for path in (self.out, *self.compare)]
        if len(set(files)) < len(files):
            raise BadSetting(
                "a file of results is compared with itself", "name each file once in `compare`"
            )

    @property
    def inputs(self) -> list[Path]:
        """Files that the run reads, and the one that it goes on with.

        Raises
        ------
        BadData
            The folder's tables are not what they should be.
        """
        tables = [self.folder / INSTANCES, self.folder / KNOWN, *self.compare, self.out]
        names = {name for each in read_instances(self.folder) for name in each.key}
        return [*tables, *(_present(self.folder, name) for name in sorted(names))]


def run_benchmark(
    request: BenchmarkRequest,
    *,
    progress: Listener | None = None,
    watch: Watch | None = None,
    workers: Workers | None = None,
) -> BenchmarkReport:
    """Answer the instances of a folder, in several processes, and keep every answer at once.

    Parameters
    ----------
    request : BenchmarkRequest
    progress : callable, optional
        Called before the first and after every instance; the row is an `InstanceResult`.
    watch : Watch, optional
        Ends the run; what is done by then is in the file.
    workers : Workers, optional
        Who answers; default: processes on this machine, which share its cores.

    Returns
    -------
    BenchmarkReport
        Of all instances that were asked for, those of earlier runs included.

    Raises
    ------
    InputError
        The folder, or a file of results, is not what it should be.
    BackendFailure
        No process could be started.
    """
    watch, began = watch or Watch(), perf_counter()
    question = _Question.of(request)
    asked, jobs = question.asked, question.jobs
    if workers is None:
        threads = max(1, cores() // jobs)
        workers = Processes(jobs, threads=threads, reuse=True, patience=0.0, grace=GRACE)
    tell = progress if progress is not None else lambda state: None
    with question.journal() as journal:
        left = _missing(asked, question.counted(journal.rows))
        pace = Pace({str(number): () for number in range(len(asked))}, at_once=jobs)
        for number in range(len(left), len(asked)):
            pace.end(str(number), None)
        tell(pace.state())
        tasks = [_task(request, number, asked[place]) for number, place in enumerate(left)]
        with closing(workers.run(tasks, watch, lambda task, share: None)) as ends:
            for ended in ends:
                if watch.over:
                    break
                result = _result(request, asked[left[int(ended.task.key)]], ended)
                journal.add(result)
                tell(pace.end(ended.task.key, result.seconds, result))
        seconds = perf_counter() - began
        return question.report(
            question.counted(journal.rows), seconds=seconds, interrupted=watch.over
        )


def read_benchmark(request: BenchmarkRequest) -> BenchmarkReport:
    """The report of what the file of results holds by now; nothing is run.

    Raises
    ------
    InputError
        The folder, or a file of results, is not what it should be, or is not there.
    """
    question = _Question.of(request)
    begun = question.shards.check(question.plan)
    if not request.out.is_file() and not begun:
        raise InputError(
            f"there are no results in '{request.out}' to report", "run the benchmark first"
        )
    rows = question.counted(read_journal(request.out, question.rows))
    # What shards have not done yet was asked for, and is no result.
    left = _left_text(question, begun) if begun else ()
    return replace(question.report(rows, interrupted=bool(left)), left=left)


@dataclass(frozen=True)
class _Question:
    """Everything that is read before the first instance is run."""

    request: BenchmarkRequest
    digest: str
    asked: tuple[Instance, ...]
    compared: tuple[EarlierResults, ...]
    rows: RowType[InstanceResult]
    shards: Shards
    plan: str

    @classmethod
    def of(cls, request: BenchmarkRequest) -> _Question:
        everything = read_instances(request.folder)
        asked = tuple(item for item in everything if any(request.only in part for part in item.key))
        if not asked:
            raise BadData(f"no instance of '{request.folder}' has '{request.only}' in its name")
        # A wrong name or setting is said before any process starts.
        decider_of(_request(request, asked[0]))
        with reading(request.folder / INSTANCES):
            digest = sha256((request.folder / INSTANCES).read_bytes())
        compared = tuple(read_earlier(path, everything, asked) for path in request.compare)
        rows = result_rows(request.out, everything, _described(request))
        shards = Shards(request.out.with_name(f"{request.out.name}.shards"), "benchmark")
        deciding = [digest, request.only, request.timeout, _described(request)]
        plan = digest_of([*deciding, request.runtime_check])
        question = cls(request, digest, asked, compared, rows, shards, plan)
        return question if request.shard is None else question._of_shard(request.shard)

    def _of_shard(self, shard: Shard) -> _Question:
        """The same about the instances of a shard that nobody has answered without."""
        whole = read_journal(self.request.out, self.rows)
        places = set(_missing(self.asked, whole)) & set(shard.of(range(len(self.asked))))
        return replace(self, asked=tuple(self.asked[place] for place in sorted(places)))

    @contextmanager
    def journal(self) -> Iterator[Journal[InstanceResult]]:
        """Where results go."""
        shard = self.request.shard
        if shard is None:
            self.shards.check(self.plan)
            with Journal(self.request.out, self.rows) as journal:
                yield journal
            return
        # As of the file without shards: what is there is gone on with.
        with (
            self.shards.open(shard, self.plan, resume=True) as place,
            Journal(place / _RESULTS, self.rows) as journal,
        ):
            yield journal

    def counted(self, rows: Sequence[InstanceResult]) -> list[InstanceResult]:
        """Rows of the journal with those of shards, where none is asked about."""
        if self.request.shard is not None:
            return list(rows)
        files = self.shards.journals(_RESULTS)
        return [*rows, *(row for path in files for row in read_journal(path, self.rows))]

    @property
    def jobs(self) -> int:
        return self.request.jobs or cores()

    def report(
        self, rows: Sequence[InstanceResult], *, seconds: float = 0.0, interrupted: bool = False
    ) -> BenchmarkReport:
        request, keys = self.request, {instance.key for instance in self.asked}
        return BenchmarkReport(
            folder=request.folder,
            out=request.out,
            instances_sha256=self.digest,
            instances=self.asked,
            results=tuple(row for row in rows if row.instance.key in keys),
            method=_described(request),
            timeout=request.timeout,
            only=request.only,
            jobs=self.jobs,
            fail_on=request.fail_on,
            compared=self.compared,
            interrupted=interrupted,
            seconds=seconds,
            machine=machine_facts(),
        )


def _missing(asked: Sequence[Instance], results: Sequence[InstanceResult]) -> list[int]:
    """Places of the instances that have no result yet; one that is listed twice has two."""
    done = Counter(result.instance.key for result in results)
    left = []
    for place, instance in enumerate(asked):
        if done[instance.key]:
            done[instance.key] -= 1
        else:
            left.append(place)
    return left


def _left_text(question: _Question, begun: Sequence[Begun]) -> tuple[str, ...]:
    """Sentences on the instances that nobody has answered yet, shard by shard."""
    asked = question.asked
    open_ = set(_missing(asked, read_journal(question.request.out, question.rows)))
    for each in begun:
        mine = [place for place in each.shard.of(range(len(asked))) if place in open_]
        rows = read_journal(each.folder / _RESULTS, question.rows)
        left = {mine[place] for place in _missing([asked[place] for place in mine], rows)}
        open_ -= set(mine) - left
    names = [f"instance {place + 1} ({each.vnnlib})" for place, each in enumerate(asked)]
    done = [name for place, name in enumerate(names) if place not in open_]
    return tuple(left_text(names, done, begun, "instances"))


def _task(request: BenchmarkRequest, number: int, instance: Instance) -> Task:
    asked = _request(request, instance)
    assert asked.timeout is not None
    data = {
        "model": asked.model,
        "property": str(asked.property),
        "method": asked.method,
        "settings": dict(asked.settings),
        "timeout": asked.timeout,
        "runtime_check": asked.runtime_check,
    }
    work = "sensverify.verification.benchmark_answer:answer"
    return Task(str(number), work, data, seconds=asked.timeout)


def _result(request: BenchmarkRequest, instance: Instance, ended: Ended) -> InstanceResult:
    row = dict(ended.row or {})
    if ended.error is not None:
        verdict = "timeout" if isinstance(ended.error, TimeUp) else "error"
        row = {"verdict": verdict, "note": str(ended.error.args[0])}
    return InstanceResult(
        instance=instance,
        verdict=row["verdict"],
        seconds=row.get("seconds", ended.seconds),
        timeout=min(instance.timeout, request.timeout or math.inf),
        explored=row.get("explored", 0),
        method=_described(request),
        note=row["note"],
        processor=row.get("processor", 0.0),
        shortfall=row.get("shortfall"),
        phases=row.get("phases", {}),
    )


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
