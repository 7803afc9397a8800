"""VNN-LIB 2.0 through the package ``vnnlib``, which knows its grammar and its types."""

from __future__ import annotations

import json
from importlib import import_module
from math import prod
from typing import Any

from sensverify.errors import BadProperty, missing
from sensverify.formats.vnnlib.formula import Atom, Cases
from sensverify.formats.vnnlib.names import Shape, variable_of
from sensverify.formats.vnnlib.parser import Form, Source, read_forms
from sensverify.formats.vnnlib.semantics import Scope, assertion_cases
from sensverify.formats.vnnlib.terms import Variable

_COMPARISONS = {
    "LessEqual": "<=",
    "GreaterEqual": ">=",
    "LessThan": "<",
    "GreaterThan": ">",
    "Equal": "=",
    "NotEqual": "!=",
}


def read_version2(source: Source) -> tuple[tuple[Shape, ...], list[Atom], list[Cases]]:
    """The shapes of input and output, the constraints of all cases, and the branches.

    One network with one input and one output. Numbers are taken from the text, exactly.

    Raises
    ------
    BackendMissing
        The package is not installed.
    BadProperty
        The package does not accept the text, or it asks about more than one network.
    """
    try:
        # By its name: the package is optional, and may be absent where types are checked.
        vnnlib = import_module("vnnlib")
    except ImportError:
        user, hint = f"'{source.name}', in VNN-LIB 2.0,", "; or write it in VNN-LIB 1.0"
        raise missing("vnnlib", "vnnlib", user, hint) from None
    # The package's own reader has no limit on the depth.
    for _ in read_forms(source):
        pass
    try:
        query = vnnlib.parse_query_string(source.text)
    except Exception as error:  # Its exception, and what its C++ code raises.
        raise BadProperty(f"'{source.name}' is no valid VNN-LIB 2.0: {_complaint(error)}") from None
    if len(query.networks) != 1:
        raise BadProperty(
            f"'{source.name}' asks about {len(query.networks)} networks; one can be verified"
        )
    (network,) = query.networks
    if len(network.inputs) != 1 or len(network.outputs) != 1 or network.hidden:
        raise BadProperty(
            f"'{source.name}' declares {len(network.inputs)} inputs, {len(network.outputs)} "
            f"outputs and {len(network.hidden)} hidden nodes; one input and one output can be "
            "verified"
        )
    return _read(query, network, source)


def _read(
    query: Any, network: Any, source: Source
) -> tuple[tuple[Shape, ...], list[Atom], list[Cases]]:
    (inputs,), (outputs,) = network.inputs, network.outputs
    shapes = tuple(tuple(int(n) for n in tensor.shape) for tensor in (inputs, outputs))
    names = {inputs.name: "X", outputs.name: "Y"}
    variables = {
        f"{kind}_{place}": Variable(kind, place)
        for kind, shape in zip("XY", shapes, strict=True)
        for place in range(prod(shape))
    }
    scope = Scope(source, variables)
    shared: list[Atom] = []
    branched: list[Cases] = []
    starts = _line_starts(source.text)
    for assertion in query.assertions:
        cases = assertion_cases(_form(assertion.expr, names, starts), scope, 0)
        if len(cases) == 1:
            shared.extend(cases[0])
        else:
            branched.append(cases)
    return shapes, shared, branched


def _complaint(error: Exception) -> str:
    """First complaint of the package, which gives JSON, or a line of text."""
    try:
        first = json.loads(str(error))["errors"][0]
        return f"line {first['line']}: {first['message']}. {first['hint']}"
    except (ValueError, LookupError, TypeError):
        return " ".join(str(error).split())[:400]


def _form(node: Any, names: dict[str, str], starts: list[int]) -> Form | str:
    """A node of the package's syntax tree, as VNN-LIB 1.0 would write it."""
    kind = type(node).__name__
    if kind == "Var":
        kind, place = variable_of(names[node.name], tuple(node.indices), tuple(node.shape))
        return f"{kind}_{place}"
    if hasattr(node, "lexeme"):
        return str(node.lexeme)
    if kind in _COMPARISONS:
        parts: tuple[Any, ...] = (node.lhs, node.rhs)
        head = _COMPARISONS[kind]
    elif kind == "Negate":
        head, parts = "-", (node.expr,)
    elif kind == "Minus":
        head, parts = "-", (node.head, *node.rest)
    elif kind in ("And", "Or", "Plus", "Multiply"):
        head = {"And": "and", "Or": "or", "Plus": "+", "Multiply": "*"}[kind]
        parts = tuple(node.args)
    else:
        raise BadProperty(f"VNN-LIB 2.0: {kind} is not read")
    position = starts[min(_line(node), len(starts)) - 1]
    return Form((head, *(_form(part, names, starts) for part in parts)), position=position)


def _line(node: Any) -> int:
    """The line of the first name or number below a node."""
    while not hasattr(node, "line"):
        below = node.children()
        if not below:
            return 1
        node = below[0]
    return max(1, int(node.line))


def _line_starts(text: str) -> list[int]:
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    return starts
