"""Tasks of a landscape for workers: plain values in, plain values out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from time import process_time
from typing import Any

import torch

from sensverify.bounds.threads import torch_threads
from sensverify.data import Split
from sensverify.landscape.database import Database
from sensverify.landscape.network_energy import NetworkEnergy
from sensverify.landscape.relu import continue_to_relu
from sensverify.landscape.request import LandscapeRequest
from sensverify.landscape.rounds import Part, do_part, weights_of
from sensverify.landscape.rows import Found, packed, to_plain, unpacked
from sensverify.runs.watch import Watch
from sensverify.runs.workers import Report, Task


def task_of(
    request: LandscapeRequest, part: Part, database: Database, *, data_dir: Path | None
) -> Task:
    """A part of a landscape as a task."""
    data = {
        "request": json.dumps(request.as_dict()),
        "kind": part.kind,
        "number": part.number,
        "place": part.place,
        "count": part.count,
        "weights": {key: packed(each.numpy()) for key, each in weights_of(database, part).items()},
        "minima": list(part.minima),
        "partners": list(part.partners),
        "data_dir": None if data_dir is None else str(data_dir),
    }
    return Task(part.key, "sensverify.landscape.tasks:work", data)


def work(data: Mapping[str, Any], watch: Watch, report: Report) -> dict[str, Any] | None:
    """Do a task of `task_of`; None where the watch stopped it before its end.

    Raises
    ------
    InputError
        The energy cannot be made.
    """
    request, split, energy = _loaded(data["request"], data["data_dir"])
    names = ("kind", "number", "place", "count", "minima", "partners")
    values: dict[str, Any] = {name: data[name] for name in names}
    values |= {name: tuple(values[name]) for name in ("minima", "partners")}
    part = Part(**values)
    minima = {key: torch.tensor(unpacked(text)) for key, text in data["weights"].items()}
    # Sums in another order have other last bits: the database is the same for any number of jobs.
    with torch_threads(1):
        if part.kind == "relu":
            found = _ends(request, split, part, minima, watch)
        else:
            found = do_part(energy, part, minima, request.settings, watch)
    return None if watch.over else to_plain(found)


def _ends(
    request: LandscapeRequest,
    split: Split,
    part: Part,
    minima: Mapping[str, torch.Tensor],
    watch: Watch,
) -> Found:
    began = process_time()
    # Fewer ends than minima where the watch is over.
    ends = continue_to_relu(
        lambda beta: request.smooth_energy(split, beta),
        request.relu_energy(split),
        torch.stack([minima[key] for key in part.minima]),
        request.beta,
        request.settings.relu,
        part.generator(request.settings.search.seed),
        watch=watch,
    )
    named = dict(zip(part.minima, ends, strict=False))
    return Found(key=part.key, ends=named, seconds=process_time() - began)


@lru_cache(maxsize=2)
def _loaded(request: str, data_dir: str | None) -> tuple[LandscapeRequest, Split, NetworkEnergy]:
    asked = LandscapeRequest.of(json.loads(request))
    split = asked.split(data_dir=data_dir)
    return asked, split, asked.energy(split=split)
