"""Import of an ONNX model as a network."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from math import isnan, prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from sensverify.errors import BadModelFile, SensverifyError
from sensverify.formats.files import GIGABYTE

# Imported for the handlers they register.
from sensverify.formats.onnx import (  # noqa: F401
    activations,
    arithmetic,
    attention,
    branches,
    comparing,
    constants,
    convolutions,
    matrices,
    normalising,
    padding,
    picking,
    pooling,
    quantised,
    recurrent,
    resizing,
    sequences,
    shapes,
    softmax,
    sums,
    traditional,
)
from sensverify.formats.onnx.agreement import ImportRecord, LoweredNode, check_agreement
from sensverify.formats.onnx.call import (
    Budget,
    Call,
    Context,
    ValueSequence,
    Variable,
    without_batch_axis,
)
from sensverify.formats.onnx.declaring import declared
from sensverify.formats.onnx.ends import WHOLE, Ends, InputShape, inputs_of
from sensverify.formats.onnx.heads import Head
from sensverify.formats.onnx.part import Part
from sensverify.formats.onnx.reader import opset, read_file
from sensverify.formats.onnx.rewriting import check_rewritten
from sensverify.formats.onnx.tensors import FLOATS
from sensverify.formats.onnx.walking import Scope, walk
from sensverify.network import Network, NetworkBuilder, simplify
from sensverify.network.operators import Affine, Clip, Operator, Pad
from sensverify.network.signature import Signature


@dataclass(frozen=True, eq=False)
class OnnxModel:
    """A network, and which bytes define it.

    Parameters
    ----------
    network : Network
    sha256 : str
        Digest of the file as it is on disk, packed or not.
    external : tuple of (str, str)
        Every location of external data, with the SHA-256 of what was read from it: the bytes of
        its tensors, one after the other in the model's order.
    head : Head or None
        The nodes at the end that were cut off: the network's outputs are the logits.
    integers : str or None
        Type of the file's input where that is an integer type; the network takes real numbers.
    batch : int
        Samples that the file takes at once; the network takes one.
    output : str
        Name of the file's value that the network ends in.
    signature : Signature or None
        The file's inputs and outputs, where there are several of either, or its input chooses rows
        of a table; the network has the numbers of all of them one after the other.
    """

    network: Network
    sha256: str
    external: tuple[tuple[str, str], ...]
    head: Head | None = None
    integers: str | None = None
    batch: int = 1
    output: str = ""
    signature: Signature | None = None


HALVES = np.array([[-0.5], [0.5]])
"""What makes two logits of one: exact in every type."""

_AGREED: set[tuple[Any, ...]] = set()
"""Parts of files that this process found to mean the same to onnxruntime; whether simplified."""


def load_onnx(
    path: str | os.PathLike[str],
    *,
    limit: int = GIGABYTE,
    simplified: bool = True,
    runtime_check: bool = True,
    input: str | None = None,
    output: str | None = None,
    input_shape: InputShape | None = None,
) -> Network:
    """Read an ONNX file as a network.

    The file is not trusted: nothing in it is unpickled, sizes are checked before memory is taken,
    and external data is read from the file's own folder alone. What a node computes from constants
    alone is computed here, by numpy where that fixes every digit, else by onnxruntime. Functions of
    the file are put in the place of their calls; of an ``If`` with a constant condition, the branch
    that is taken counts and the other may hold anything. What was read is compared with what
    onnxruntime computes from the nodes that the output needs, at a few inputs: every node on its
    own, on onnxruntime's numbers.

    Parameters
    ----------
    path : path
        ``.onnx`` or ``.onnx.gz``, operator sets 7 to the newest that the installed onnx knows.
    limit : int
        Most bytes to hold: of the file after unpacking, and of its external data.
    simplified : bool
        False: the function that the stored numbers define, with nothing rounded. No rewrite is
        made, so that every parameter is a number of the file, one that it computes with a rounding
        that is everywhere the same, or an integer; its nonlinear nodes are those of the simplified
        network, in the same order, on the same numbers, but for functions that the file writes as
        several operators: these stay in their parts.
    runtime_check : bool
        Compare the network with onnxruntime; see above.
    input, output : str, optional
        Values of the file, inner ones included, at which the network begins and ends; default: all
        its inputs, all its outputs. Several are joined: the network's one input holds the numbers
        of all inputs, one after the other, and so does its one output.
    input_shape : tuple of int, or mapping of str to it, optional
        Shape of one sample, without a batch axis, where the file leaves lengths open; of several
        inputs by their names.

    Returns
    -------
    Network
        Simplified, with numpy parameters: those of the file in its precision (16-bit floats
        widened to float32), those that several were folded into in float64. What the file
        computes from constants alone is computed in the file's types (on 16-bit floats, in
        float32). An end of a `Clip` at the largest float32 stands for none. ``input_shape`` and
        ``output_shape`` are those in the file with the batch axis set to 1, and without it where
        there are two axes or more.

    Raises
    ------
    BadModelFile
        The file is missing, damaged, hostile or fails the ONNX checker; a weight is not finite;
        an axis other than the first has no fixed length; there is no input or no output.
    RuntimeDisagrees
        onnxruntime computes something else from a node than rounding explains, or does not run the
        file.
    UnsupportedOperator
        A node has no counterpart here. The message names its operator type and its name. Where
        ``simplified`` is False, also: a node computes from real constants what runtimes do not
        agree on to the last digit (``Exp``, ``Softmax``, norms, matrix products, and sums of more
        than two numbers, among others), casts one beyond its integer type, or interpolates with
        weights that are no fractions of numbers that float64 holds.

    Examples
    --------
    >>> import sensverify as sv
    >>> from sensverify.models import resolve
    >>> sv.load_onnx(resolve("iris").path).output_shape
    (3,)
    """
    ends = Ends.asked(input, output, input_shape)
    return read_onnx(
        path, limit=limit, simplified=simplified, runtime_check=runtime_check, ends=ends
    ).network


def read_onnx(
    path: str | os.PathLike[str],
    *,
    limit: int = GIGABYTE,
    simplified: bool = True,
    runtime_check: bool = True,
    ends: Ends = WHOLE,
) -> OnnxModel:
    """`load_onnx`, with the digests of the very bytes that the network was made from.

    Parameters
    ----------
    path, limit, simplified, runtime_check
        See `load_onnx`.
    ends : Ends
        The part of the file that is read. Where a head is cut off, the caller says so of whatever
        it says of outputs.

    Returns
    -------
    OnnxModel

    Raises
    ------
    BadModelFile, RuntimeDisagrees, UnsupportedOperator
        See `load_onnx`.
    """
    name = Path(path).name
    try:
        file = read_file(path, limit=limit)
        part = Part.of(file.model, ends)
        importer = _Importer(part, simplified=simplified)
        plain = network = importer.network()
        if part.head is not None and part.head.elementwise and not importer.single:
            # Several numbers between 0 and 1, which need not be classes: an operator as others.
            part = Part.of(file.model, replace(ends, head="label"))
            importer = _Importer(part, simplified=simplified)
            plain = network = importer.network()
        if simplified:
            network = simplify(plain)
            _check_finite(network, importer.dtype)
        if runtime_check:
            _compare(importer, plain, network, (file.sha256, file.external, ends))
        digests = file.sha256, file.external
        head = part.head
        if head is not None:
            head = replace(head, logits=prod(plain.output_shape), single=importer.single)
            if importer.single:
                head = replace(head, function="softmax")
        signature = part.signature(importer.outputs, single=importer.single)
        return OnnxModel(
            network,
            *digests,
            head=head,
            integers=part.integers,
            batch=part.batch,
            output=part.output,
            signature=signature,
        )
    except SensverifyError as error:
        found = type(error)(*(" ".join(part.split()) for part in (error.problem, error.remedy)))
        raise found if name in str(found) else found.about(name) from None


def _compare(importer: _Importer, plain: Network, network: Network, part: tuple[Any, ...]) -> None:
    """Compare the network with onnxruntime, and the simplified one with it, once a part."""
    if (*part, False) not in _AGREED:
        check_agreement(importer.record)
        _AGREED.add((*part, False))
    if network is not plain and (*part, True) not in _AGREED:
        check_rewritten(plain, network)
        _AGREED.add((*part, True))


class _Importer:
    """A model on its way into a network."""

    def __init__(self, part: Part, *, simplified: bool) -> None:
        self._part, self._model = part, part.model
        (item,) = inputs_of(part.model.graph)
        self._input = item.name
        self._shape, element = declared(item)
        self._context = Context(
            opset=opset(part.model),
            builder=NetworkBuilder(without_batch_axis(self._shape), name=self._input),
            budget=Budget(),
            dtype=FLOATS[element],
            element=element,
            exact=not simplified,
            four_bits=quantised.has_four_bits(part.model.graph),
        )
        self._steps: list[LoweredNode] = []
        self._scope: Scope = {}
        self.single = False
        """Whether one logit was found where a head was cut off."""

    @property
    def dtype(self) -> Any:
        """Numpy dtype that the file computes in."""
        return self._context.dtype

    def network(self) -> Network:
        """Lower every node and check what came out; nothing is simplified."""
        context, output = self._context, self._model.graph.output[0].name
        scope: Scope = {"": None, self._input: Variable(context.builder.input, self._shape)}
        (result,), self._steps = walk(self._model.graph, scope, context)
        self._scope = scope
        if isinstance(result, ValueSequence):
            raise BadModelFile(f"the output '{output}' is a sequence; expected one array")
        node = onnx.NodeProto(name=output, op_type="output", output=[output])
        call = Call(**vars(context), node=node, inputs=[], attributes={})
        variable = call.as_variable(result)
        if self._part.peeled is not None:
            self._part.peeled.check_axis(variable.shape, context.opset)
            if variable.size == 1:
                halves = call.emit(Affine(HALVES, None), call.node_of(variable, (1,)))
                variable, self.single = Variable(halves, (1, 2)), True
        network = context.builder.build(call.node_of(variable, without_batch_axis(variable.shape)))
        _check_finite(network, self.dtype)
        return network

    def outputs(self, name: str) -> tuple[int, ...]:
        """Shape of a value of the file; call `network` first."""
        value = self._scope[name]
        assert isinstance(value, np.ndarray | Variable)
        return tuple(value.shape)

    @property
    def record(self) -> ImportRecord:
        """The file's nodes with the nodes they were lowered to; call `network` first."""
        return ImportRecord(
            part=self._part,
            input=self._input,
            shape=self._shape,
            element=self._context.element,
            nodes=self._context.builder.nodes,
            steps=tuple(self._steps),
        )


_NUMBERS: dict[type[Operator], tuple[str, ...]] = {Clip: ("low", "high"), Pad: ("value",)}
"""Fields of operators that hold a number of the file, not an array."""


def _check_finite(network: Network, dtype: Any) -> None:
    for name, values in network.arrays():
        # What overflows in the network's own type would overflow in bounds computed in it.
        with np.errstate(over="ignore"):
            finite = np.isfinite(values.astype(dtype)).all()
        if not finite:
            raise BadModelFile(f"parameter '{name}' holds NaN or infinity; weights must be finite")
    for node in network.nodes:
        if any(
            isnan(getattr(node.operator, name)) for name in _NUMBERS.get(type(node.operator), ())
        ):
            raise BadModelFile(f"node '{node.name}' holds NaN; weights must be finite")
