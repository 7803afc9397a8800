"""`from_module`: a network whose parameters are a live module's own."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch._ops import OpOverload
from torch.export import ExportedProgram
from torch.export.graph_signature import OutputKind
from torch.fx import Graph, GraphModule, Node

from sensverify.errors import BadShape, SensverifyError, UnsupportedOperator

# Imported for the rules that they register.
from sensverify.formats.modules import (  # noqa: F401
    activations,
    arithmetic,
    choosing,
    composites,
    layers,
    matrices,
    moves,
    pools,
    recurrent,
    refusals,
)
from sensverify.formats.modules.comparing import same_function
from sensverify.formats.modules.emitting import (
    BATCHES,
    RULES,
    Call,
    Emitter,
    Shape,
    Variable,
    contains_variable,
)
from sensverify.formats.modules.expressions import Origin, current, origin
from sensverify.formats.modules.folding import SHAPED, folded
from sensverify.formats.modules.joining import (
    Shapes,
    are_shapes,
    is_shape,
    joined_module,
)
from sensverify.formats.modules.moves import IDENTITIES, MOVES
from sensverify.formats.modules.tracing import source_line, trace
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import Scale

ARITHMETIC = ("_operator", "math", "torch", "torch.fx.experimental.symbolic_shapes")
"""Modules whose functions traces hold for sizes and other plain numbers."""


class SeveralOutputs(UnsupportedOperator):
    """A module returns something else than one tensor that depends on its input."""


def from_module(module: nn.Module, input_shape: Shapes) -> Network:
    """The network that a module computes in evaluation mode, sharing the module's parameters.

    The operators hold the module's own parameters and buffers, neither copied nor detached. So
    bounds are differentiable in them, and follow optimiser steps and batch-norm statistics: one
    import serves a whole training run. Arithmetic that the module does on parameters alone (a
    transposed weight, weight normalisation, division by a buffer) is stored as an expression and
    computed anew for every bound. What chooses entries (positions, masks) is read once, at the
    import; parameters may not choose. On values computed from the input, ``detach`` and ``no_grad``
    do nothing: gradients are those of the function.

    Parameters
    ----------
    module : torch.nn.Module
        Takes one tensor ``[batch, *input_shape]`` and returns one tensor ``[batch, *outputs]``,
        each sample by itself, for any batch size. Its ``training`` flags do not matter and stay
        as they are: batch normalisation uses its running statistics, dropout does nothing.
    input_shape : tuple of int; or sequence or mapping of them
        Shape of one sample. Of a module with several inputs the shape of each, in the order of its
        parameters or by their names: the network then takes the numbers of all of them, one after
        the other. Of several outputs (a tuple, a mapping, a dataclass) it gives all numbers, too.

    Returns
    -------
    Network

    Raises
    ------
    UnsupportedOperator
        The module does something that no operator of a network expresses; the message names the
        operator, its place in the module and the line of source.
    BadShape
        The input shape is not made of positive sizes, or there is no module.

    Notes
    -----
    The module is traced by ``torch.export`` on fake tensors: a functional style, shape
    arithmetic, parametrised layers and in-place operators come out as one set of ATen operators,
    where ``torch.fx`` would need rules for modules, functions and methods alike and stops at
    ``if x.shape[1] > 3``. It costs about 2 s for the first module of a process and 0.1 s for the
    next ones. What depends on values is not part of a trace; what depends on the batch size shows
    in a second one with another batch size, and is refused.

    ``Module.to`` and its relatives put new tensors in the place of buffers: import again after
    them. ``load_state_dict`` (without ``assign``) and optimisers change tensors in place.

    Examples
    --------
    >>> import torch
    >>> import sensverify as sv
    >>> network = sv.from_module(torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU()), (2,))
    >>> [type(node.operator).__name__ for node in network.nodes]
    ['Input', 'Affine', 'Relu']
    """
    return import_module(module, input_shape)[1]


def import_module(module: nn.Module, input_shape: Shapes) -> tuple[nn.Module, Network]:
    """`from_module`, with the module that takes the numbers that the network takes.

    That is a `Joined` one, where the module has several inputs or outputs.
    """
    if not isinstance(module, nn.Module):
        raise BadShape(f"from_module takes a torch.nn.Module, got {type(module).__name__}")
    if are_shapes(input_shape):
        joined = joined_module(module, input_shape)
        return joined, _imported(joined, (joined.signature.numbers,))
    if not is_shape(input_shape) or any(n < 1 for n in input_shape):
        raise BadShape(
            f"input_shape needs positive sizes, one for every axis of a sample, such as (16,) or "
            f"(3, 32, 32); got {input_shape!r}"
        )
    try:
        return module, _imported(module, tuple(input_shape))
    except SeveralOutputs as error:
        joined = joined_module(module, input_shape)
        if len(joined.signature.outputs) < 2:
            raise error
        return joined, _imported(joined, tuple(input_shape))


def _imported(module: nn.Module, input_shape: Shape) -> Network:
    network, again = (_network(module, input_shape, batch) for batch in BATCHES)
    if not same_function(network, again):
        raise UnsupportedOperator(
            f"the module {type(module).__name__} computes something else for another number of "
            "samples in a batch; bounds are per sample, so nothing may depend on x.shape[0]"
        )
    return network


def _network(module: nn.Module, input_shape: Shape, batch: int) -> Network:
    program = trace(module, input_shape, batch, frozenset(RULES))
    return _Importer(module, program, input_shape, batch).network()


def _refuse_infinite(network: Network) -> None:
    """Refuse NaN, and infinite numbers that no softmax has taken for a mask."""
    for node in network.nodes:
        shift = node.operator.shift if isinstance(node.operator, Scale) else None
        fixed = shift is not None and origin(shift) is not Origin.PARAMETER
        if fixed and not bool(current(shift).detach().isfinite().all()):
            raise UnsupportedOperator(
                f"node '{node.name}' of the module writes infinite numbers or NaN, and bounds are "
                "finite",
                "write a large number, or hide by it what a softmax reads",
            )


class _Importer:
    """Walks a traced graph; values are variables, live arrays, numbers, or lists of these."""

    def __init__(
        self, module: nn.Module, program: ExportedProgram, input_shape: Shape, batch: int
    ) -> None:
        self._program = program
        self._batch = batch
        self._builder = NetworkBuilder(input_shape)
        self._values: dict[Node, Any] = {}
        self._names: set[str] = set()
        self._place_inputs(module, input_shape)

    def _place_inputs(self, module: nn.Module, input_shape: Shape) -> None:
        signature = self._program.graph_signature
        for node in self._program.graph.nodes:
            if node.op != "placeholder":
                continue
            if node.name in signature.inputs_to_parameters:
                value: Any = module.get_parameter(signature.inputs_to_parameters[node.name])
            elif node.name in signature.inputs_to_buffers:
                value = module.get_buffer(signature.inputs_to_buffers[node.name])
            elif node.name in signature.inputs_to_lifted_tensor_constants:
                name = signature.inputs_to_lifted_tensor_constants[node.name]
                value = self._program.constants[name]
            else:
                value = Variable(self._builder.input, input_shape)
            self._values[node] = value

    def network(self) -> Network:
        """The finished network."""
        specs = self._program.graph_signature.output_specs
        values = [
            value
            for spec, value in zip(specs, self._walk(self._program.graph), strict=True)
            # A module that writes over its input returns that too.
            if spec.kind is OutputKind.USER_OUTPUT
        ]
        if len(values) != 1 or not isinstance(values[0], Variable):
            raise SeveralOutputs(
                f"a network has one output tensor that depends on its input; the module returns "
                f"{len(values)} value{'s' if len(values) != 1 else ' that does not'}"
            )
        if values[0].unset:
            raise UnsupportedOperator("the module returns numbers that it never sets")
        network = self._builder.build(values[0].position)
        _refuse_infinite(network)
        return network

    def _walk(self, graph: Graph) -> Sequence[Any]:
        """Values that a graph returns; its placeholders have theirs already."""
        for node in graph.nodes:
            if node.op == "call_function":
                self._values[node] = self._called(node)
            elif node.op == "get_attr":
                self._values[node] = getattr(graph.owning_module, str(node.target))
            elif node.op == "output":
                return self._value(node.args[0])
        raise UnsupportedOperator("the module's trace has no output")

    def _called(self, node: Node) -> Any:
        values = [self._value(argument) for argument in node.args]
        settings = {name: self._value(argument) for name, argument in node.kwargs.items()}
        if node.target is operator.getitem:
            return self._item(node, *values)
        if parts := [value for value in values if isinstance(value, GraphModule)]:
            return self._region(node, parts, values)
        target: Any = node.target
        call = self._call(node, values, settings)
        if not isinstance(target, OpOverload) and target.__module__ not in ARITHMETIC:
            call.refuse("is none of torch's tensor operators", "write the module with those alone")
        if not contains_variable([*values, *settings.values()]):
            return folded(call, values, settings)
        if call.operator.startswith("_assert"):
            return None
        if call.operator not in RULES:
            call.refuse(
                "has no counterpart in a network",
                "express it with layers that have one (linear, convolution, batch normalisation, "
                "pooling, ReLU and its relatives, sigmoid, tanh, sums, maxima, reshapes, slices); "
                "'sensverify list operators' shows all of them",
            )
        if call.operator not in SHAPED:
            _check_batch(call, call.traced)
        if call.operator not in {*MOVES, *IDENTITIES}:
            _check_set(call, [*values, *settings.values()])
        emit = Emitter(self._builder, call)
        try:
            result = RULES[call.operator](emit, **call.arguments)
        except SensverifyError as error:
            if isinstance(error, UnsupportedOperator):
                raise
            emit.refuse(f"cannot be expressed: {error.problem}", error.remedy)
        except Exception as error:  # A rule that a torch of another version calls otherwise.
            emit.refuse(f"cannot be expressed: {type(error).__name__}: {error}")
        _check_shapes(call, result, call.traced)
        return result

    def _call(self, node: Node, values: list[Any], settings: dict[str, Any]) -> Call:
        target: Any = node.target
        schema = getattr(target, "_schema", None)
        name = str(schema.name) if schema is not None else getattr(target, "__name__", str(target))
        names = [] if schema is None else [argument.name for argument in schema.arguments]
        return Call(
            operator=name.split("::")[-1],
            place=self._place(node),
            line=source_line(node),
            target=target,
            arguments=dict(zip(names, values, strict=False)) | settings,
            traced=node.meta.get("val"),
            batch=self._batch,
        )

    def _region(self, node: Node, parts: list[GraphModule], values: list[Any]) -> Any:
        """Values of a region under ``no_grad`` or ``autocast``: those of the region without it."""
        if len(parts) != 1 or not str(node.target).startswith("wrap_with_"):
            raise UnsupportedOperator(
                f"the module has control flow on values ({node.target}, {source_line(node)}), "
                "and a network has none",
                "write it with plain tensor operators",
            )
        graph = parts[0].graph
        inputs = values[values.index(parts[0]) + 1 :]
        places = [inner for inner in graph.nodes if inner.op == "placeholder"]
        self._values.update(zip(places, inputs, strict=True))
        return list(self._walk(graph))

    def _value(self, argument: Any) -> Any:
        """A node's argument with the nodes in it replaced by their values."""
        if isinstance(argument, Node):
            return self._values[argument]
        if isinstance(argument, list | tuple):
            return [self._value(item) for item in argument]
        return argument

    def _item(self, node: Node, values: Any, index: int) -> Any:
        whole: Any = node.args[0]
        if values[index] is None and node.users:
            raise UnsupportedOperator(
                f"output {index} of '{self._place(whole)}' (the positions of a maximum, or "
                f"statistics; {source_line(whole)}) has no counterpart in a network; only "
                "its values are supported"
            )
        return values[index]

    def _place(self, node: Any) -> str:
        """The path of the module that made a node; the node's own name behind it where needed."""
        stack = node.meta.get("nn_module_stack") or {}
        path = str(list(stack.values())[-1][0]) if stack else ""
        name = path if path and path not in self._names else f"{path}/{node.name}".lstrip("/")
        self._names.add(name)
        return name


def _check_set(call: Call, value: Any) -> None:
    """Refuse an argument of which entries were never written to."""
    if isinstance(value, list | tuple):
        for item in value:
            _check_set(call, item)
    elif isinstance(value, Variable) and value.unset:
        call.refuse("reads numbers that were never set")


def _check_batch(call: Call, traced: Any) -> None:
    """Refuse where axis 0 of an operator's outcome is not the batch."""
    # Of several outcomes the first; behind it there are statistics that nothing reads.
    first = traced[0] if isinstance(traced, list | tuple) and traced else traced
    if isinstance(first, torch.Tensor):
        sizes = list(first.shape)
        if not sizes or not isinstance(sizes[0], int) or sizes[0] != call.batch:
            call.refuse_mixing()


def _check_shapes(call: Call, result: Any, traced: Any) -> None:
    """Refuse where the outcome does not have the traced shape behind the batch axis."""
    if isinstance(result, list):
        for variable, fake in zip(result, traced, strict=False):
            _check_shapes(call, variable, fake)
    elif isinstance(result, Variable):
        shape = (call.batch, *result.shape)
        if len(shape) != len(traced.shape) or any(
            isinstance(want, int) and got != want
            for got, want in zip(shape, traced.shape, strict=True)
        ):
            call.refuse(
                f"gives {result.shape} for one sample here and {tuple(traced.shape)} for "
                f"{call.batch} samples in the module; this use of it is not supported"
            )
