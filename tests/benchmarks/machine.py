"""What a machine can do, and how long something takes on it while others use it too."""

from __future__ import annotations

import os
import platform
import re
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, perf_counter, process_time, sleep

import torch

QUIET = 0.1
"""Share of the machine that others may use during a run that counts."""


@dataclass(frozen=True)
class Timing:
    """How long one call takes.

    Parameters
    ----------
    seconds : float
        Median over the runs that count.
    runs : int
        How many counted.
    disturbed : bool
        No run was quiet; the fastest stands in for the median.
    """

    seconds: float
    runs: int
    disturbed: bool = False


def measure(
    run: Callable[[], object],
    *,
    repeats: int = 5,
    limit: float = 60.0,
    device: str = "cpu",
    warm_up: bool = True,
) -> Timing:
    """Time calls until enough of them had the machine to themselves.

    Where the kernel counts processor time (Linux), runs during which other processes took more
    than `QUIET` of the machine do not count. With one thread on the CPU, it is this process's
    processor time that is measured, which others hardly change, and every run counts.

    Parameters
    ----------
    run : callable
    repeats : int
        Quiet runs wanted.
    limit : float
        Seconds after which no further run starts, however many were quiet.
    warm_up : bool
        Run once beforehand: plans, pages and thread pools are then there.
    """
    # Processor time is counted in steps of 10 ms: short calls are timed in bundles.
    calls = 1
    if warm_up:
        first = _seconds(run, 1, device)
        calls = max(1, round(0.2 / max(first, 1e-4))) if first < 0.2 else 1
    alone = one_thread(device)
    quiet, every = [], []
    start = monotonic()
    while len(quiet) < repeats and (not every or monotonic() - start < limit):
        before = _others()
        seconds = _seconds(run, calls, device)
        share = (_others() - before) / max(seconds * calls * (os.cpu_count() or 1), 1e-9)
        every.append(seconds)
        if alone or share <= QUIET:
            quiet.append(seconds)
        else:
            sleep(min(1.0, seconds))
    if quiet:
        return Timing(statistics.median(quiet), len(quiet))
    return Timing(min(every), 1, disturbed=True)


def one_thread(device: str) -> bool:
    """Whether times are processor times of one thread rather than wall times."""
    return torch.get_num_threads() == 1 and device == "cpu"


def now(device: str = "cpu") -> float:
    """Seconds on the clock that times are measured with."""
    return process_time() if one_thread(device) else perf_counter()


def _seconds(run: Callable[[], object], calls: int, device: str) -> float:
    start = now(device)
    for _ in range(calls):
        run()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return (now(device) - start) / calls


def _others() -> float:
    """Processor seconds that other processes have used since the machine started; 0 if unknown."""
    try:
        fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    except OSError:
        return 0.0
    user, nice, system, _, _, irq, soft, steal = (int(field) for field in fields[:8])
    own = os.times()
    busy = (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")
    return busy - own.user - own.system


def product_rate(rows: int, inner: int, columns: int, device: str = "cpu") -> float:
    """float32 operations a second in matrix products of one size; a multiply-add counts two."""
    a, b = torch.rand(rows, inner, device=device), torch.rand(inner, columns, device=device)
    out = torch.empty(rows, columns, device=device)
    timing = measure(lambda: torch.mm(a, b, out=out), limit=20.0, device=device)
    return 2 * rows * inner * columns / timing.seconds


def peak_memory(run: Callable[[], object], device: str = "cpu") -> int:
    """Bytes that one call takes on top of what the process holds; call it in a fresh process.

    On Linux the kernel's high-water mark is reset before the call; elsewhere the mark since the
    start of the process is taken.
    """
    if device.startswith("cuda"):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        before = high_water()
        run()
        return high_water() - before
    before = _status("VmRSS")
    run()
    return _status("VmHWM") - before


def high_water() -> int:
    """The most memory, in bytes, that this process has held since it started."""
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _status(name: str) -> int:
    text = Path("/proc/self/status").read_text()
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"/proc/self/status has no {name}")
    return int(found[1]) * 1024


def in_fresh_process(
    script: Path, *arguments: str, threads: int = 2, timeout: float = 900.0
) -> str:
    """Standard output of a script run by itself, on so many threads."""
    done = subprocess.run(
        [sys.executable, str(script), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
    )
    if done.returncode:
        raise RuntimeError(f"{script.name} {' '.join(arguments)} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def description(device: str) -> str:
    """The machine and the versions that a table was made with, in one line."""
    processor = platform.processor() or platform.machine()
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
        processor = found[1] if found else processor
    except OSError:
        pass
    clock = "1 thread, processor time"
    if not one_thread(device):
        clock = f"{torch.get_num_threads()} threads, wall time"
    parts = [f"{processor}, {os.cpu_count()} cores; {clock}"]
    if device.startswith("cuda"):
        parts.append(torch.cuda.get_device_name())
    parts += [f"Python {platform.python_version()}", f"torch {torch.__version__}"]
    return "; ".join(parts)
