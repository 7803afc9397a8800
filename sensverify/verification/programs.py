"""A network over one box, written down for optimisers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sensverify.bounds.limits import with_limits
from sensverify.bounds.method import METHODS, ProgramMethod, Tighten
from sensverify.bounds.tensors import tensor_box, tensor_network
from sensverify.core.provenance import settings_of
from sensverify.core.record import RunRecord
from sensverify.errors import BadBox, BadSetting
from sensverify.formats.programs import (
    Program,
    neurons_to_json,
    neurons_to_npz,
    to_lp,
    to_mps,
)
from sensverify.models.loading import ModelFacts
from sensverify.network import Network, simplify
from sensverify.registry.ranges import Count
from sensverify.registry.settings import check_settings
from sensverify.runs.outputs import write_files
from sensverify.runs.watch import Watch
from sensverify.verification.asking import asked_model, whole_request
from sensverify.verification.question import make_question
from sensverify.verification.request import VerifyRequest, check_used
from sensverify.verification.results import InputFacts

_USED = (
    *("model", "data", "part", "samples", "radius", "sigma", "clip", "box", "method", "settings"),
    *("timeout", "threads", "data_dir", "input", "output", "input_shape", "runtime_check"),
)
"""Fields of a `VerifyRequest` that mean something here."""

_OWN = ("bounds", "tighten", "segments", "relaxed", "minimise", "maximise")

_WRITERS = {".mps": to_mps, ".lp": to_lp}


@dataclass(frozen=True)
class ProgramRequest(VerifyRequest):
    """A `VerifyRequest` about the program of one network over one box.

    The fields of a `VerifyRequest` that say something else are refused.

    Parameters
    ----------
    method : str or ProgramMethod
        What writes programs.
    bounds : str, optional
        The method that bounds neurons, such as ``crown``. Default: for every neuron the best of
        CROWN, LP-dual and interval arithmetic.
    tighten : {"none", "lp", "milp"}
        What improves the bounds of neurons with a kink inside, layer by layer: linear programs,
        which prove theirs, or then small mixed-integer ones, within the solver's tolerances.
    segments : int, optional
        Into how many the interval of what enters a curve, and of one factor of a product, is cut;
        each cut is a binary. Default: the method's, 4.
    relaxed : bool
        The linear relaxation, without binaries.
    minimise, maximise : int, optional
        The output that is the objective, counted from 0. Default: none.
    timeout : float, optional
        Seconds for the bounds; what is not reached keeps those it has.

    Raises
    ------
    BadSetting, BadBox
        A field that cannot be, or that is not looked at.
    """

    method: Any = "milp"
    bounds: str | None = None
    tighten: Tighten = "none"
    segments: Count | None = None
    relaxed: bool = False
    minimise: int | None = None
    maximise: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_used(self, (*_USED, *_OWN), "a program for optimisers")
        check_settings(self, only=_OWN)
        if self.minimise is not None and self.maximise is not None:
            raise BadSetting("`minimise` and `maximise` are two objectives", "give one of them")

    @property
    def target(self) -> int | None:
        """The output that is the objective."""
        return self.maximise if self.minimise is None else self.minimise


@dataclass(frozen=True, eq=False)
class ProgramExport:
    """A program, and what it was made from.

    Parameters
    ----------
    program : Program
    model : ModelFacts
    perturbation : InputFacts
    sample : int
        Position of the sample in the data, or of the box in its file.
    method : str
    settings : dict
    tighten : {"none", "lp", "milp"}
    relaxed : bool
    record : RunRecord
    """

    program: Program
    model: ModelFacts
    perturbation: InputFacts
    sample: int
    method: str
    settings: dict[str, Any]
    tighten: Tighten
    relaxed: bool
    record: RunRecord

    @property
    def about(self) -> dict[str, Any]:
        """The origin of the program, as JSON values."""
        return {
            "schema": "sensverify.program/1",
            **asdict(self.record),
            "model": self.model.name,
            "model_sha256": self.model.sha256,
            "input": {**self.perturbation.as_dict(), "sample": self.sample},
            "method": {"name": self.method, "settings": self.settings},
            "tighten": self.tighten,
            "relaxed": self.relaxed,
            "guarantee": self.program.guarantee.name,
        }

    def files(self, out: Path) -> dict[Path, str | bytes]:
        """The contents of all files, by their paths: see `files_of`."""
        program, neurons, arrays = files_of(out)
        exact = "linear relaxation" if self.relaxed else "mixed-integer program"
        comments = (
            f"{exact} of '{self.model.name}' over one input box, by sensverify",
            f"sha256 of the model: {self.model.sha256}",
            f"bounds on neurons: {self.program.guarantee.name}; names: {neurons.name}",
        )
        return {
            program: _WRITERS[out.suffix](self.program, comments=comments),
            neurons: neurons_to_json(self.program, self.about),
            arrays: neurons_to_npz(self.program),
        }

    def write(self, out: Path | str, *, force: bool = False) -> tuple[Path, ...]:
        """Write the program, and beside it what its names stand for and the bounds on neurons.

        Parameters
        ----------
        out : Path or str
            Ends in ``.mps`` or ``.lp``.
        force : bool
            Whether files that are there are overwritten.

        Returns
        -------
        The files: see `files_of`.

        Raises
        ------
        BadSetting, InputError
            Another ending; or a file is there, or cannot be written.
        """
        files = self.files(Path(out))
        write_files(files, force=force)
        return tuple(files)


def files_of(out: Path) -> tuple[Path, Path, Path]:
    """The files of an export: ``OUT``, ``OUT.neurons.json`` and ``OUT.neurons.npz``.

    Raises
    ------
    BadSetting
        The ending is no format that there is.
    """
    if out.suffix not in _WRITERS:
        raise BadSetting(
            f"no program is written as '{out.name}'", f"end `out` in {' or '.join(_WRITERS)}"
        )
    beside = f"{out.name}.neurons"
    return out, out.with_name(f"{beside}.json"), out.with_name(f"{beside}.npz")


def export_milp(
    request: VerifyRequest | str | Path | Network | nn.Module,
    x: Any = None,
    *,
    watch: Watch | None = None,
    **settings: Any,
) -> ProgramExport:
    """The mixed-integer program of a network over one input box, for any optimiser.

    Parameters
    ----------
    request : str, Path, torch.nn.Module, Network or ProgramRequest
        A model, by its name, by the path of its file, or as an object; or a whole request.
    x : array, tensor, table, str or Dataset, optional
        The sample that the box is around, ``[1, *features]``.
    watch : Watch, optional
        Stops the bounding; the program is then written with the bounds there are.
    **settings
        Fields of a `ProgramRequest`, where only its model was given.

    Returns
    -------
    ProgramExport
        Its program holds every input of the box with the network's output, and, unless it is
        relaxed or has envelopes of curves or products, nothing else; exact up to
        rounding. `ProgramExport.write` writes it.

    Raises
    ------
    MissingRule
        An operator has no program; names it and its node.
    SensverifyError
        The request cannot be met; the message says why.

    Examples
    --------
    >>> import sensverify as sv
    >>> export = sv.export_milp("iris", samples=(22, 23), sigma=0.1, maximise=2)
    >>> int(export.program.integer.sum())  # binaries, one for each kink inside of its bounds
    14
    """
    request = whole_request(ProgramRequest, request, x, None, settings)
    own = {"intermediate": request.bounds, "segments": request.segments}
    inner = {name: value for name, value in own.items() if value is not None}
    call, named = METHODS.resolve(request.method, {**request.settings, **inner})
    method = with_limits(named, seconds=request.timeout, threads=request.threads)
    if not isinstance(method, ProgramMethod):
        raise BadSetting(f"method '{call.name}' writes no program", "use `method=milp`")
    model = asked_model(request)
    model.network.require_operators()
    outputs = prod(model.network.output_shape)
    if request.target is not None and not 0 <= request.target < outputs:
        name = "maximise" if request.minimise is None else "minimise"
        raise BadSetting(
            f"there is no output {request.target}", f"give `{name}` from 0 to {outputs - 1}"
        )
    question = make_question(request, model)
    if len(question) != 1:
        raise BadBox(
            f"a program is about one input box, and there are {len(question)}",
            "choose one by `samples=0:1`",
        )
    wide, cpu = torch.float64, torch.device("cpu")
    program = method.program(
        tensor_network(simplify(model.network), dtype=wide, device=cpu),
        tensor_box(question.box(slice(0, 1)), dtype=wide, device=cpu),
        tighten=request.tighten,
        relaxed=request.relaxed,
        watch=watch,
    )
    return ProgramExport(
        program=_aimed(program, request),
        model=model.facts(),
        perturbation=question.facts,
        sample=int(question.samples.places[0]),
        method=call.name,
        settings=settings_of(method),
        tighten=request.tighten,
        relaxed=request.relaxed,
        record=RunRecord.now(),
    )


def _aimed(program: Program, request: ProgramRequest) -> Program:
    """The program with an output as its objective, where one is asked for."""
    if request.target is None:
        return program
    cost = np.zeros(len(program.columns))
    cost[program.of_role("output")[request.target]] = 1.0
    return replace(program, cost=cost, maximise=request.maximise is not None)
