"""Import of an ONNX model as a network."""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import isnan, prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from sensverify.errors import BadModelFile, SensverifyError
from sensverify.formats.files import GIGABYTE

# Imported for the handlers they register.
from sensverify.formats.onnx import (  # noqa: F401
    activations,
    arithmetic,
    branches,
    constants,
    convolutions,
    matrices,
    padding,
    picking,
    pooling,
    resizing,
    sequences,
    shapes,
    softmax,
    sums,
)
from sensverify.formats.onnx.agreement import ImportRecord, LoweredNode, check_agreement
from sensverify.formats.onnx.call import (
    MAX_ELEMENTS,
    Budget,
    Call,
    Context,
    ValueSequence,
    Variable,
    without_batch_axis,
)
from sensverify.formats.onnx.functions import inlined
from sensverify.formats.onnx.reader import opset, read_file
from sensverify.formats.onnx.rewriting import check_rewritten
from sensverify.formats.onnx.softmax import final_softmax
from sensverify.formats.onnx.tensors import FLOATS, type_name
from sensverify.formats.onnx.walking import Scope, walk
from sensverify.network import Network, NetworkBuilder, simplify
from sensverify.network.operators import Clip, Operator, Pad


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
    softmax : str or None
        ``Softmax`` or ``LogSoftmax``: the file's outputs are that function of the network's, which
        are in the same order.
    """

    network: Network
    sha256: str
    external: tuple[tuple[str, str], ...]
    softmax: str | None = None


_AGREED: set[tuple[str, tuple[tuple[str, str], ...], bool]] = set()
"""Files that this process found to mean the same to onnxruntime, and whether simplified."""


def load_onnx(
    path: str | os.PathLike[str],
    *,
    limit: int = GIGABYTE,
    simplified: bool = True,
    runtime_check: bool = True,
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
        network, in the same order, on the same numbers.
    runtime_check : bool
        Compare the network with onnxruntime; see above.

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
        an axis other than the first has no fixed length; there is not one input and one output.
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
    return read_onnx(path, limit=limit, simplified=simplified, runtime_check=runtime_check).network


def read_onnx(
    path: str | os.PathLike[str],
    *,
    limit: int = GIGABYTE,
    simplified: bool = True,
    runtime_check: bool = True,
    order_only: bool = False,
) -> OnnxModel:
    """`load_onnx`, with the digests of the very bytes that the network was made from.

    Parameters
    ----------
    path, limit, simplified, runtime_check
        See `load_onnx`.
    order_only : bool
        Leave out a softmax over all outputs that ends the file: the caller must use nothing but
        the order of the outputs, and say so.

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
        importer = _Importer(file.model, simplified=simplified, order_only=order_only)
        plain = network = importer.network()
        if simplified:
            network = simplify(plain)
            _check_finite(network, importer.dtype)
        if runtime_check:
            _compare(importer.record, plain, network, (file.sha256, file.external))
        return OnnxModel(network, file.sha256, file.external, importer.softmax)
    except SensverifyError as error:
        found = type(error)(*(" ".join(part.split()) for part in (error.problem, error.remedy)))
        raise found if name in str(found) else found.about(name) from None


def _compare(
    record: ImportRecord,
    plain: Network,
    network: Network,
    digests: tuple[str, tuple[tuple[str, str], ...]],
) -> None:
    """Compare the network with onnxruntime, and the simplified one with it, once a file."""
    if (*digests, False) not in _AGREED:
        check_agreement(record)
        _AGREED.add((*digests, False))
    if network is not plain and (*digests, True) not in _AGREED:
        check_rewritten(plain, network)
        _AGREED.add((*digests, True))


class _Importer:
    """A model on its way into a network."""

    def __init__(
        self, model: onnx.ModelProto, *, simplified: bool, order_only: bool = False
    ) -> None:
        self._file, self._model = model, inlined(model)
        graph = self._model.graph
        end = final_softmax(graph) if order_only else []
        self.softmax = end[0].op_type if end else None
        """Type of the softmax that was left out at the end, else None."""
        stored = {tensor.name for tensor in graph.initializer}
        inputs = [item for item in graph.input if item.name not in stored]
        if len(inputs) != 1 or len(graph.output) != 1:
            raise BadModelFile(
                f"the model has {len(inputs)} inputs and {len(graph.output)} outputs; "
                "expected one of each"
            )
        self._input = inputs[0].name
        self._shape, element = _declared(inputs[0])
        self._context = Context(
            opset=opset(model),
            builder=NetworkBuilder(without_batch_axis(self._shape), name=self._input),
            budget=Budget(),
            dtype=FLOATS[element],
            element=element,
            exact=not simplified,
            last={name: end[0].op_type for node in end for name in node.output if name},
        )
        self._steps: list[LoweredNode] = []

    @property
    def dtype(self) -> Any:
        """Numpy dtype that the file computes in."""
        return self._context.dtype

    def network(self) -> Network:
        """Lower every node and check what came out; nothing is simplified."""
        context, output = self._context, self._model.graph.output[0].name
        scope: Scope = {"": None, self._input: Variable(context.builder.input, self._shape)}
        (result,), self._steps = walk(self._model.graph, scope, context)
        if isinstance(result, ValueSequence):
            raise BadModelFile(f"the output '{output}' is a sequence; expected one array")
        if not isinstance(result, Variable):
            self.softmax = None  # of constants: computed, not left out
        node = onnx.NodeProto(name=output, op_type="output", output=[output])
        call = Call(**vars(context), node=node, inputs=[], attributes={})
        variable = call.as_variable(result)
        network = context.builder.build(call.node_of(variable, without_batch_axis(variable.shape)))
        _check_finite(network, self.dtype)
        return network

    @property
    def record(self) -> ImportRecord:
        """The file's nodes with the nodes they were lowered to; call `network` first."""
        return ImportRecord(
            file=self._file,
            model=self._model,
            input=self._input,
            shape=self._shape,
            element=self._context.element,
            nodes=self._context.builder.nodes,
            steps=tuple(self._steps),
        )


def _declared(item: onnx.ValueInfoProto) -> tuple[tuple[int, ...], int]:
    """Shape, with a batch axis of 1, and ONNX element type of the model's input."""
    kind = item.type.tensor_type
    if not item.type.HasField("tensor_type") or kind.elem_type not in FLOATS:
        raise BadModelFile(
            f"input '{item.name}' holds {type_name(kind.elem_type)}; expected real numbers"
        )
    if not kind.HasField("shape"):
        raise BadModelFile(f"input '{item.name}' has no declared shape", "export with fixed sizes")
    lengths = [int(d.dim_value) if d.HasField("dim_value") else -1 for d in kind.shape.dim]
    if lengths and lengths[0] < 0:
        lengths[0] = 1
    if any(n < 0 for n in lengths):
        raise BadModelFile(
            f"input '{item.name}' has the shape {_dimensions(kind)}",
            "only the first axis, the batch, may be dynamic: export with fixed sizes",
        )
    if not 0 < prod(lengths) <= MAX_ELEMENTS:
        raise BadModelFile(f"input '{item.name}' of shape {_dimensions(kind)} cannot be used")
    return tuple(lengths), kind.elem_type


def _dimensions(kind: TensorProto) -> str:
    texts = [
        d.dim_param or (str(d.dim_value) if d.HasField("dim_value") else "?")
        for d in kind.shape.dim
    ]
    return f"({', '.join(texts)})"


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
