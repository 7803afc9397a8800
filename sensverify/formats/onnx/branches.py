"""ONNX nodes that hold graphs: branches, one of which is taken, and what is done to each value."""

from __future__ import annotations

from collections.abc import Sequence

from onnx import GraphProto, NodeProto, helper

from sensverify.formats.onnx.call import Call, Result, Value, ValueSequence, handles

BRANCHES = ("else_branch", "then_branch")


@handles("If", folds=True)
def branch(call: Call) -> Sequence[Result]:
    """The branch that a constant condition chooses; the other one is not looked at."""
    condition = call.constant(0, "the condition")
    if condition.size != 1:
        raise call.invalid(f"the condition has shape {condition.shape}, expected one value")
    graphs = [call.attribute(name) for name in BRANCHES]
    assert call.walk is not None, "only the output itself has no way into graphs"
    results, reduced = call.walk(graphs[int(condition.reshape(()).astype(bool))])
    if len(results) != call.outputs:
        raise call.invalid(f"the branch has {len(results)} outputs, not {call.outputs}")
    _record_taken(call, dict.fromkeys(BRANCHES, reduced))
    return results


@handles("SequenceMap", folds=True)
def mapped(call: Call) -> Sequence[Result]:
    """A graph applied to every value of a sequence."""
    values, body = call.sequence(0), call.attribute("body")
    others = [call.inputs[i] for i in range(1, len(call.inputs))]
    assert call.walk is not None, "only the output itself has no way into graphs"
    columns: list[list[Value]] = [[] for _ in range(call.outputs)]
    for place, value in enumerate(values):
        arguments = [
            other.values[place] if isinstance(other, ValueSequence) else other for other in others
        ]
        results, reduced = call.walk(body, [value, *arguments])
        for column, result in zip(columns, results, strict=True):
            if isinstance(result, ValueSequence):
                raise call.invalid("the graph makes a sequence; expected arrays")
            column.append(result)
        _record_taken(call, {"body": reduced})
    return [ValueSequence(tuple(column)) for column in columns]


def _record_taken(call: Call, graphs: dict[str, GraphProto]) -> None:
    """Note what is taken of the graphs that a node holds."""
    call.reduced = NodeProto()
    call.reduced.CopyFrom(call.node)
    del call.reduced.attribute[:]
    call.reduced.attribute.extend(
        helper.make_attribute(name, graph) for name, graph in graphs.items()
    )
