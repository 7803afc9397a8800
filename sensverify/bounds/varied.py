"""Varied inputs for methods and deciders that know boxes alone: the parameters are the box."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from sensverify.bounds.forward import forward_pass
from sensverify.core.box import Array, Box, to_numpy
from sensverify.core.queries import Accept, Decision, Query
from sensverify.core.results import Bounds
from sensverify.core.sets import Varied
from sensverify.network import Network, Node
from sensverify.network.operators import Affine, Clip, Input, Reshape
from sensverify.runs.watch import Watch


def with_first_layer(network: Network, inside: Varied) -> Network:
    """The network of one sample's parameters: the corruption is its first layer.

    Parameters
    ----------
    network : Network
    inside : Varied
        Of one sample.
    """
    patterns = to_numpy(inside.patterns)[0].astype(np.float64)
    point = to_numpy(inside.point).astype(np.float64).reshape(-1)
    taken = {node.name for node in network.nodes}

    def named(name: str) -> str:
        while name in taken:
            name += "_"
        return name

    count = len(point)
    first = [
        Node(named("parameters"), Input((len(patterns),)), (), (len(patterns),)),
        Node(named("corruption"), Affine(patterns.T.copy(), point), (0,), (count,)),
    ]
    if inside.clip is not None:
        first.append(Node(named("range"), Clip(*inside.clip), (1,), (count,)))
    last = len(first)
    shape = network.input_shape
    first.append(Node(named("image"), Reshape(shape), (last - 1,), shape))
    rest = [
        replace(node, inputs=tuple(source + last for source in node.inputs))
        for node in network.nodes[1:]
    ]
    return Network((*first, *rest))


def over_parameters(
    network: Network,
    inside: Varied,
    objectives: Array | None,
    ask: Callable[..., Bounds],
    watch: Watch,
) -> Bounds:
    """Bounds over varied inputs by a method that knows boxes, sample by sample.

    Parameters
    ----------
    network : Network
    inside : Varied
    objectives : array, optional
        As of `compute_bounds`.
    ask : callable
        `compute_bounds` with everything but the network, the box, the objectives and the watch.
    watch : Watch
        The time that is left is shared out by the samples left.
    """
    parts = []
    for number in range(inside.batch):
        one: Any = inside[number : number + 1]
        rows = objectives
        if rows is not None and rows.ndim == 3 and len(rows) > 1:
            rows = rows[number : number + 1]
        least, most = (_like(end, inside.lower) for end in (one.least, one.most))
        share = watch
        if np.isfinite(watch.left):
            share = watch.within(watch.left / (inside.batch - number))
        found = ask(
            network=with_first_layer(network, one),
            box=Box(least, most),
            objectives=rows,
            watch=share,
        )
        parts.append(_as_inputs(found, one))
    return _joined(parts, network, inside)


def decide_over_parameters(
    network: Network, query: Query, accept: Accept | None, ask: Callable[..., Decision]
) -> Decision:
    """The answer to a query about varied inputs by a decider that knows boxes.

    Parameters
    ----------
    network : Network
    query : Query
        About `Varied` inputs.
    accept : callable or None
        As of `Decider.decide`: it sees inputs.
    ask : callable
        ``ask(network, query, accept=...)``: it sees parameters.

    Returns
    -------
    Decision
        Its witness is an input. Without a certificate: a proof would be about another network.
    """
    inside = query.box
    assert isinstance(inside, Varied)

    def image(parameters: np.ndarray) -> np.ndarray:
        return np.asarray(inside.at(parameters[None])[0])

    def held(parameters: np.ndarray) -> bool:
        # The first layer rounds otherwise than the images are made.
        with torch.no_grad():
            outputs = forward_pass(network, torch.from_numpy(image(parameters))[None]).numpy()
        met = bool(query.met_by(outputs)[0])
        return met and (accept is None or accept(image(parameters)))

    ends = (np.asarray(end, np.float64) for end in (inside.least, inside.most))
    asked = replace(query, box=Box(*ends))
    found = ask(with_first_layer(network, inside), asked, accept=held)
    witness = None if found.witness is None else image(found.witness)
    return replace(found, witness=witness, certificate=None)


def _like(values: Any, like: Any) -> Any:
    """Numbers of a set in the kind of the box around it, exactly: as float64."""
    return np.asarray(values, np.float64) if isinstance(like, np.ndarray) else values.double()


def _as_inputs(found: Bounds, inside: Varied) -> Bounds:
    """Witnesses as inputs, where they are parameters."""

    def images(parameters: Any) -> Any:
        if parameters is None:
            return None
        chosen = to_numpy(parameters).astype(np.float64)
        chosen = chosen.reshape(-1, to_numpy(inside.least).shape[1])
        rows = [inside.at(each[None]) for each in chosen]
        return parameters.new_tensor(np.stack(rows, axis=1))

    return replace(
        found,
        witness_lower=images(found.witness_lower),
        witness_upper=images(found.witness_upper),
    )


def _joined(parts: list[Bounds], network: Network, inside: Varied) -> Bounds:
    def cat(name: str) -> Any:
        values = [getattr(part, name) for part in parts]
        return None if any(value is None for value in values) else torch.cat(values)

    def box(name: str) -> Any:
        ends = [getattr(part, name) for part in parts]
        if any(end is None for end in ends):
            return None
        return Box(torch.cat([e.lower for e in ends]), torch.cat([e.upper for e in ends]))

    first = parts[0]
    seconds = sum(part.provenance.seconds for part in parts)
    return replace(
        first,
        outer=box("outer"),
        inner=box("inner"),
        guarantee=min(part.guarantee for part in parts),
        provenance=replace(first.provenance, network=network, box=inside, seconds=seconds),
        witness_lower=cat("witness_lower"),
        witness_upper=cat("witness_upper"),
        optimal=cat("optimal"),
        unstable=cat("unstable"),
        certificate=None,
        stopped=any(part.stopped for part in parts),
    )
