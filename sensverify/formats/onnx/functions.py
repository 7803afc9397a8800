"""Functions that a model defines itself, put in the place of their calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx
from onnx import AttributeProto, inliner

from sensverify.errors import BadModelFile, UnsupportedOperator

MAX_NODES = 2**20
"""Most nodes that a model may have once its functions are in place."""

Key = tuple[str, str, str]


def inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without functions of its own.

    Raises
    ------
    BadModelFile
        A function calls itself, or the calls come to too many nodes.
    UnsupportedOperator
        A function has the name of a standard operator, or is written for another operator set.
    """
    if not model.functions:
        return model
    _check_size(model)
    try:
        result = inliner.inline_local_functions(model)
    except (RuntimeError, ValueError) as error:
        raise BadModelFile(f"the model's functions cannot be put in place: {error}") from None
    if result.functions:
        raise UnsupportedOperator(
            f"the model's function '{result.functions[0].name}' is written for another version of "
            "the operator set than the model",
            "export with one version",
        )
    return result


def _check_size(model: onnx.ModelProto) -> None:
    """Count the nodes there will be, without recursion: a file may nest functions deeply."""
    functions = {(f.domain, f.name, f.overload): f for f in model.functions}
    for domain, name, _ in functions:
        if domain in ("", "ai.onnx"):
            raise UnsupportedOperator(
                f"the model's function '{name}' has the name of a standard operator, and runtimes "
                "disagree on which of the two is meant",
                "rename it",
            )
    counts: dict[Key, int] = {}
    calls = {key: list(_keys(function.node)) for key, function in functions.items()}
    for start in functions:
        path = {start: iter(calls[start])}
        while path:
            key = next(reversed(path))
            inner = next((k for k in path[key] if k in functions and k not in counts), None)
            if inner is None:
                counts[key] = sum(counts.get(k, 1) for k in calls[key])
                del path[key]
            elif inner in path:
                raise BadModelFile(f"the model's function '{inner[1]}' calls itself")
            else:
                path[inner] = iter(calls[inner])
    total = sum(counts.get(key, 1) for key in _keys(model.graph.node))
    if total > MAX_NODES:
        raise BadModelFile(
            f"the model's functions come to {total} nodes; at most {MAX_NODES} are read"
        )


def _keys(nodes: Iterable[onnx.NodeProto]) -> Iterator[Key]:
    """Function or operator that every node calls, those in branches included."""
    for node in nodes:
        yield node.domain, node.op_type, node.overload
        for item in node.attribute:
            if item.type == AttributeProto.GRAPH:
                yield from _keys(item.g.node)
