"""Complete verifiers, this one among them, each called once in a process of its own.

alpha-beta-CROWN and nnenum are run as their authors publish them, by the Python of an environment
of their own, from a checkout; nothing of them is part of this project. alpha-beta-CROWN gets the
configuration that it has for each benchmark of VNN-COMP, on the CPU; where that asks for CPLEX, or
for programs larger than Gurobi solves without a licence, its own branch and bound. nnenum gets one
process, and its list of linear operators is completed by those that its message says to add.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sensverify.verification.benchmark import DECIDED

TOLD = 5.0
"""The limit of wall time that a tool is told, beside the processor time that it has: others use the
machine."""

GUARD = 1.2
"""When a tool is ended that does not keep to that limit, as a share of it."""

SAID = (*DECIDED, "timeout", "unknown")
WORDS = {"holds": "unsat", "violated": "sat"}
"""Words of some tools for those of VNN-COMP."""

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Call:
    """One question.

    Parameters
    ----------
    python : str
        Of the tool's environment.
    checkout : Path
    name : str
        Benchmark, model and property.
    onnx, vnnlib : Path
    answer : Path
        Where the answer goes, of a tool that does not print it.
    limit : float
        Seconds of processor time.
    """

    python: str
    checkout: Path
    name: str
    onnx: Path
    vnnlib: Path
    answer: Path
    limit: float

    @property
    def told(self) -> float:
        """The limit that the tool is told, in seconds of wall time."""
        return TOLD * self.limit


@dataclass(frozen=True)
class Answer:
    """What came out of a `Call`.

    Parameters
    ----------
    verdict : str
        One of `SAID`; ``refused`` where the network was not read, ``error`` where the tool failed.
    seconds : float
        Of processor time, from the start of the process to its end.
    note : str
        The last line of the output of what is refused or failed.
    """

    verdict: str
    seconds: float
    note: str = ""


@dataclass(frozen=True)
class Tool:
    """A verifier.

    Parameters
    ----------
    command : callable
        The command line of a `Call`.
    source : str
        Where Python looks for its modules, below the checkout.
    refusal : str
        A pattern: what its output holds where it cannot read a network.
    """

    command: Callable[[Call], list[str]]
    source: str
    refusal: str

    def answer(self, call: Call) -> Answer:
        """Ask, and end the process where the limit is reached."""
        status, output, seconds = self._run(call)
        words = (call.answer.read_text() if call.answer.exists() else output).split()
        verdict = WORDS.get(words[0], words[0]) if words else ""
        if seconds >= call.limit or status in (-signal.SIGXCPU, -signal.SIGKILL):
            return Answer("timeout", seconds)
        if verdict in SAID:
            return Answer(verdict, seconds)
        verdict = "refused" if re.search(self.refusal, output) else "error"
        lines = output.strip().splitlines() or [f"exit status {status}"]
        return Answer(verdict, seconds, lines[-1][:200])

    def _run(self, call: Call) -> tuple[int, str, float]:
        """Exit status, output, and seconds of processor time of all its processes."""
        folder = call.checkout / self.source
        environment = {**os.environ, **dict.fromkeys(THREADS, "1"), "CUDA_VISIBLE_DEVICES": ""}
        before = _spent()
        with tempfile.TemporaryFile("w+", errors="replace") as output:
            process = subprocess.Popen(
                self.command(call),
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=environment | {"PYTHONPATH": str(folder)},
                preexec_fn=lambda: _limit(int(call.limit) + 1),
                start_new_session=True,
            )
            try:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(GUARD * call.told)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                status = process.wait()
            output.seek(0)
            return status, output.read(), _spent() - before


def _limit(seconds: int) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 2))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _spent() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


BAB = ("--complete_verifier", "bab")
CONFIGURATIONS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("test/.*prop", "vnncomp21/acasxu", ()),
    ("test/", "vnncomp21/test", ()),
    ("acasxu/", "vnncomp21/acasxu", ()),
    ("rl_benchmarks/.*cartpole", "vnncomp22/cartpole", ()),
    ("rl_benchmarks/", "vnncomp22/lunarlander", ()),
    ("reach_prob_density/", "vnncomp22/reach_probability", ()),
    ("tllverifybench/", "vnncomp23/tllVerifyBench", ()),
    ("safenlp/", "vnncomp24/safenlp", ("--mip_multi_proc", "1", "--mip_threads", "1")),
    ("collins_rul_cnn/", "vnncomp23/collins-rul-cnn", ()),
    ("mnist_fc/.*256x2", "vnncomp22/mnistfc_small", BAB),
    ("mnist_fc/", "vnncomp22/mnistfc", BAB),
    ("cora_mnist/", "vnncomp25/cora", ()),
    ("eran_sigmoid/", "vnncomp21/eran_mlp", BAB),
    ("verivital/", "vnncomp21/verivital", BAB),
    ("oval21/", "BICCOS/oval22/beta", ()),
    ("marabou_cifar10/", "vnncomp21/marabou_cifar10", ()),
    ("cifar10_resnet/", "vnncomp21/cifar10-resnet", ()),
)
"""alpha-beta-CROWN's configuration of what matches a pattern, and what is set besides."""


def _abcrown(call: Call) -> list[str]:
    name, more = next(row[1:] for row in CONFIGURATIONS if re.match(row[0], call.name))
    folder = call.checkout / "complete_verifier"
    return [
        *(call.python, str(folder / "abcrown.py"), "--device", "cpu"),
        *("--config", str(folder / "exp_configs" / f"{name}.yaml")),
        *("--onnx_path", str(call.onnx), "--vnnlib_path", str(call.vnnlib)),
        *("--results_file", str(call.answer), "--timeout", f"{call.told:g}", *more),
    ]


def _nnenum(call: Call) -> list[str]:
    start = (
        "from nnenum.settings import Settings; "
        "Settings.ONNX_WHITELIST += ['Div', 'Pad', 'Transpose']; "
        "from nnenum.nnenum import main; main()"
    )
    files = (str(call.onnx), str(call.vnnlib))
    return [call.python, "-c", start, *files, f"{call.told:g}", str(call.answer), "1"]


def _sensverify(call: Call) -> list[str]:
    return [
        *(call.python, "-m", "sensverify", "verify", str(call.onnx)),
        *("--property", str(call.vnnlib), "--timeout", f"{call.told:g}"),
        *("--threads", "1", "--quiet"),
    ]


TOOLS: Mapping[str, Tool] = {
    "sensverify": Tool(_sensverify, ".", r"(?m)^Error: "),
    "abcrown": Tool(_abcrown, "complete_verifier", r"in (load_model_onnx|unzip_and_optimize_onnx)"),
    "nnenum": Tool(_nnenum, "src", r'onnx_network\.py", line \d+, in load_'),
}
