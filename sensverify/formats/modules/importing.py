"""`from_module`: a network whose parameters are a live module's own."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import Node

from sensverify.errors import BadShape, UnsupportedOperator

# Imported for the rules that they register.
from sensverify.formats.modules import arithmetic, layers, moves, pools  # noqa: F401
from sensverify.formats.modules.comparing import same_function
from sensverify.formats.modules.derived import Derived, current
from sensverify.formats.modules.emitting import BATCHES, RULES, Emitter, Flow, Shape
from sensverify.formats.modules.tracing import trace
from sensverify.network import Network, NetworkBuilder


def from_module(module: nn.Module, input_shape: tuple[int, ...]) -> Network:
    """The network that a module computes in evaluation mode, sharing the module's parameters.

    The operators hold the module's own parameters and buffers, neither copied nor detached. So
    bounds are differentiable in them, and follow optimiser steps and batch-norm statistics: one
    import serves a whole training run. Arithmetic that the module does on parameters alone (a
    transposed weight, weight normalisation, division by a buffer) is stored as an expression and
    computed anew for every bound.

    Parameters
    ----------
    module : torch.nn.Module
        Takes one tensor ``[batch, *input_shape]`` and returns one tensor ``[batch, *outputs]``,
        each sample by itself, for any batch size. Its ``training`` flags do not matter and stay
        as they are: batch normalisation uses its running statistics, dropout does nothing.
    input_shape : tuple of int
        Shape of one sample.

    Returns
    -------
    Network

    Raises
    ------
    UnsupportedOperator
        The module does something that no operator of a network expresses; the message names the
        operator and its place in the module.
    BadShape
        The input shape is not made of positive sizes.

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
    """
    if any(not isinstance(n, int) or n < 1 for n in input_shape):
        raise BadShape(f"input_shape needs positive sizes, got {tuple(input_shape)}")
    network, again = (_network(module, tuple(input_shape), batch) for batch in BATCHES)
    if not same_function(network, again):
        raise UnsupportedOperator(
            f"the module {type(module).__name__} computes something else for another number of "
            "samples in a batch; bounds are per sample, so nothing may depend on x.shape[0]"
        )
    return network


def _network(module: nn.Module, input_shape: Shape, batch: int) -> Network:
    return _Importer(module, trace(module, input_shape, batch), input_shape, batch).network()


class _Importer:
    """Walks a traced graph; values are flows, live arrays, numbers, or lists of these."""

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
                value = Flow(self._builder.input, input_shape)
            self._values[node] = value

    def network(self) -> Network:
        """The finished network."""
        for node in self._program.graph.nodes:
            if node.op == "call_function":
                self._values[node] = self._call(node)
            elif node.op not in ("placeholder", "output"):
                raise UnsupportedOperator(
                    f"the module's trace holds a '{node.op}' named '{node.name}' (control flow or "
                    "a submodule that cannot be traced); write it with plain tensor operators"
                )
        return self._builder.build(self._output().position)

    def _output(self) -> Flow:
        names = self._program.graph_signature.user_outputs
        nodes = {node.name: node for node in self._program.graph.nodes}
        values = [self._values.get(nodes[name]) if name in nodes else None for name in names]
        if len(values) != 1 or not isinstance(values[0], Flow):
            raise UnsupportedOperator(
                f"a network has one output tensor that depends on its input; the module returns "
                f"{len(values)} value{'s' if len(values) != 1 else ' that does not'}"
            )
        return values[0]

    def _call(self, node: Node) -> Any:
        values = [self._value(argument) for argument in node.args]
        settings = {name: self._value(argument) for name, argument in node.kwargs.items()}
        if node.target is operator.getitem:
            return self._item(node, *values)
        if not _contains_flow([*values, *settings.values()]):
            if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
                raise UnsupportedOperator(
                    f"the module draws random numbers in evaluation too, at node "
                    f"'{self._place(node)}'; bounds hold for one fixed function only"
                )
            return _constant(node.target, values, settings)
        target: Any = node.target
        schema = getattr(target, "_schema", None)
        full_name = str(target) if schema is None else str(schema.name)
        name = full_name.split("::")[-1]
        if name.startswith("_assert"):
            return None
        place = self._place(node)
        if schema is None or name not in RULES:
            raise UnsupportedOperator(
                f"operator {name} at node '{place}' of the module has no counterpart in a network; "
                "express it with supported layers (linear, convolution, batch normalisation, "
                "pooling, ReLU and its relatives, sigmoid, tanh, sums, reshapes)"
            )
        arguments = dict(zip((a.name for a in schema.arguments), values, strict=False)) | settings
        traced = node.meta.get("val")
        first = schema.arguments[0].name

        def call(samples: Tensor) -> Any:
            rest = {
                key: _two_samples(value, self._batch)
                for key, value in arguments.items()
                if key != first
            }
            return target(samples, **rest)

        emit = Emitter(self._builder, name, place, traced, self._batch, call)
        try:
            result = RULES[name](emit, **arguments)
        except (BadShape, TypeError) as error:
            emit.refuse(f"cannot be expressed: {error}")
        _check_shapes(emit, result, traced)
        return result

    def _value(self, argument: Any) -> Any:
        """A node's argument with the nodes in it replaced by their values."""
        if isinstance(argument, Node):
            return self._values[argument]
        if isinstance(argument, list | tuple):
            return [self._value(item) for item in argument]
        return argument

    def _item(self, node: Node, values: Any, index: int) -> Any:
        if values[index] is None and node.users:
            raise UnsupportedOperator(
                f"output {index} of '{self._place(node.args[0])}' (the positions of a maximum, or "
                "statistics) has no counterpart in a network; only its values are supported"
            )
        return values[index]

    def _place(self, node: Any) -> str:
        """The path of the module that made a node; the node's own name behind it where needed."""
        stack = node.meta.get("nn_module_stack") or {}
        path = str(list(stack.values())[-1][0]) if stack else ""
        name = path if path and path not in self._names else f"{path}/{node.name}".lstrip("/")
        self._names.add(name)
        return name


def _contains_flow(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(_contains_flow(item) for item in value)
    return isinstance(value, Flow)


def _contains_array(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(_contains_array(item) for item in value)
    return isinstance(value, Tensor | Derived)


def _constant(target: Any, values: list[Any], settings: dict[str, Any]) -> Any:
    """What an operator gives on constants: an expression where live arrays take part."""
    live = _contains_array([*values, *settings.values()])

    def compute() -> Any:
        present = {name: current(value) for name, value in settings.items()}
        return target(*current(values), **present)

    with torch.no_grad():
        now = compute()
    if not live:
        return now
    if isinstance(now, Tensor):
        return Derived(compute, now.shape, now.dtype)
    if isinstance(now, list | tuple):
        return [
            Derived(partial(_item_of, compute, i), part.shape, part.dtype)
            for i, part in enumerate(now)
        ]
    return now


def _item_of(compute: Callable[[], Any], index: int) -> Tensor:
    return compute()[index]


def _two_samples(value: Any, batch: int) -> Any:
    """An argument as it would be in a batch of two."""
    if isinstance(value, Flow):
        return torch.zeros((2, *value.shape), dtype=torch.float64)
    if isinstance(value, list | tuple):
        sizes = [_two_samples(item, batch) for item in value]
        return [2, *sizes[1:]] if sizes and type(sizes[0]) is int and sizes[0] == batch else sizes
    value = current(value)
    return value.detach().cpu() if isinstance(value, Tensor) else value


def _check_shapes(emit: Emitter, result: Any, traced: Any) -> None:
    """Refuse where the outcome does not have the traced shape behind the batch axis."""
    if isinstance(result, list):
        for flow, fake in zip(result, traced, strict=False):
            _check_shapes(emit, flow, fake)
    elif isinstance(result, Flow) and (emit.batch, *result.shape) != tuple(traced.shape):
        emit.refuse("works across the samples of a batch, and bounds are per sample")
