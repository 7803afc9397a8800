"""Many queries at once: those that bounds on their whole boxes refute."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from sensverify.bounds.layerwise import LayerBounds
from sensverify.bounds.relaxation import Slope
from sensverify.bounds.rounding import row_slack
from sensverify.bounds.tensors import tensor_box
from sensverify.core.box import Box
from sensverify.core.queries import Decision, Query, Verdict
from sensverify.errors import SensverifyError
from sensverify.network import Network
from sensverify.runs.watch import Watch
from sensverify.solvers.branch_and_bound.assembling import assembled
from sensverify.solvers.branch_and_bound.query_goal import asked_by, term_sizes, thresholds
from sensverify.solvers.branch_and_bound.sub_boxes import root_bounds


def refuted_on_whole_boxes(
    network: Network,
    live: Network,
    queries: Sequence[Query],
    *,
    device: torch.device,
    batch: int,
    watch: Watch,
) -> list[Decision | None]:
    """UNSAT, with its proof and clearance, for every query that CROWN refutes; None for the others.

    Parameters
    ----------
    network : Network
        As it was read.
    live : Network
        With tensors of float64 as parameters, on the device.
    queries : sequence of Query
        Those that ask the same of outputs are bounded together, `batch` at a time.
    device : torch.device
    batch : int
    watch : Watch
        When it is over, what is left has no answer.
    """
    found: list[Decision | None] = [None] * len(queries)
    for part in _alike(queries, batch):
        if watch.over:
            break
        watch.say(f"bounds on {len(queries)} whole boxes")
        try:
            answers = _refuted(network, live, [queries[place] for place in part], device, watch)
        except SensverifyError:
            # One box may have no bounds: each is then asked for by itself.
            continue
        for place, answer in zip(part, answers, strict=True):
            found[place] = answer
    return found


def _alike(queries: Sequence[Query], batch: int) -> Iterator[list[int]]:
    """Places of queries over plain boxes with the same rows and alternatives."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for place, query in enumerate(queries):
        if type(query.box) is Box and query.alternatives and all(query.alternatives):
            key = (query.rows.shape, query.rows.tobytes(), query.alternatives)
            groups.setdefault(key, []).append(place)
    for places in groups.values():
        for begin in range(0, len(places), batch):
            yield places[begin : begin + batch]


def _refuted(
    network: Network, live: Network, queries: list[Query], device: torch.device, watch: Watch
) -> list[Decision | None]:
    ends = (
        np.concatenate([np.asarray(getattr(query.box, end)) for query in queries])
        for end in ("lower", "upper")
    )
    box = tensor_box(Box(*ends), dtype=torch.float64, device=device)
    rows = torch.as_tensor(queries[0].rows).to(box.lower)
    limits = torch.as_tensor(np.stack([query.limits for query in queries])).to(box.lower)
    layers = LayerBounds(live, box, Slope.ADAPTIVE, watch).fill()
    bounds = root_bounds(layers, rows[None])
    allowed = row_slack(network, box, rows[None], limits, list(layers.pre_activations.values()))
    # A NaN is above nothing.
    above = bounds > thresholds(limits, allowed, limits.abs().maximum(_sizes(live, box, rows)))
    refuted = torch.stack(
        [above[:, list(part)].any(dim=1) for part in queries[0].alternatives]
    ).all(dim=0)
    clear = (bounds - limits).cpu().numpy()
    return [
        Decision(Verdict.UNSAT, None, 1, _proof(layers, place, query), clearance=clear[place])
        if bool(refuted[place])
        else None
        for place, query in enumerate(queries)
    ]


def _sizes(live: Network, box: Box, rows: Tensor) -> Tensor:
    """Magnitudes of the rows' terms at the centre and two corners, ``[batch, rows]``."""
    places = box.center, box.lower, box.upper
    return torch.stack([term_sizes(live, points, rows) for points in places]).amax(dim=0)


def _proof(layers: LayerBounds, place: int, query: Query) -> object:
    """The proof of one of the boxes: a cell, the whole box, with CROWN's own lines."""
    one = slice(place, place + 1)
    alone = LayerBounds(
        layers.network,
        layers.box[one],
        layers.slope,
        pre_activations={
            position: (lower[one], upper[one])
            for position, (lower, upper) in layers.pre_activations.items()
        },
    )
    return assembled(alone, asked_by(query), None, [], torch.zeros(1, dtype=torch.bool))
