"""Random ONNX nodes of every operator that moves, windows, pads, reduces or multiplies.

Attributes, shapes and operator sets are drawn so that many combinations are unusual, and some not
valid: whatever is loaded must be what onnxruntime makes of it.
"""

import numpy as np
from onnx import helper

from tests.formats.onnx.conftest import build_model

OPSETS = (7, 8, 9, 10, 11, 12, 13, 14, 17, 18, 19, 21, 22)
AUTO_PADS = ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")


class Draw:
    """Draws from one generator of numbers."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def number(self, low, high):
        return int(self.rng.integers(low, high + 1))

    def numbers(self, count, low, high):
        return [self.number(low, high) for _ in range(count)]

    def one_of(self, *values):
        return values[self.number(0, len(values) - 1)]

    def chance(self, share=0.5):
        return self.rng.random() < share

    def floats(self, *shape):
        return self.rng.normal(size=shape).astype(np.float32)

    def opset(self, least=7, most=99):
        return self.one_of(*(n for n in OPSETS if least <= n <= most))

    def shape(self, least=1, most=4, longest=4):
        rank = self.number(least, most)
        return [self.one_of(1, 1, 1, 2), *self.numbers(rank - 1, 1, longest)]

    def axes(self, rank, count):
        """Different axes, some counted from the end."""
        chosen = self.rng.permutation(rank)[:count]
        return [int(axis) - (rank if self.chance(0.3) else 0) for axis in chosen]

    def smaller(self, shape):
        """A shape that mostly broadcasts to another."""
        found = [self.one_of(1, n, n) for n in shape]
        kind = self.number(0, 4)
        if kind == 1:
            found = found[self.number(1, len(found)) :]
        if kind == 2:
            found = [self.one_of(1, 2), *found]
        if found and self.chance(0.05):
            found[-1] += 1
        return found


def node(operator, inputs, outputs=("y",), **attributes):
    given = {name: value for name, value in attributes.items() if value is not None}
    return helper.make_node(operator, list(inputs), list(outputs), name="node", **given)


def placed(draw, count, *, dilated=True):
    """Attributes that say where windows lie."""
    found = {"strides": draw.numbers(count, 1, 5) if draw.chance(0.7) else None}
    if dilated and draw.chance(0.3):
        found["dilations"] = draw.numbers(count, 1, 3)
    if draw.chance(0.4):
        found["pads"] = draw.numbers(2 * count, 0, 3)
    if draw.chance():
        found["auto_pad"] = draw.one_of(*AUTO_PADS)
    return found


def image(draw):
    count = draw.one_of(1, 1, 2, 2, 3)
    return count, draw.numbers(count, 1, 7 if count < 3 else 4)


def convolution(draw):
    operator = draw.one_of("Conv", "ConvTranspose")
    count, spatial = image(draw)
    groups, channels, outputs = draw.one_of(1, 1, 2), draw.number(1, 2), draw.number(1, 2)
    kernel = draw.numbers(count, 1, 4)
    attributes = placed(draw, count) | {"group": groups}
    lead = (groups * outputs, channels) if operator == "Conv" else (groups * channels, outputs)
    if operator == "ConvTranspose" and draw.chance(0.3):
        attributes["output_padding"] = draw.numbers(count, 0, 2)
    if operator == "ConvTranspose" and draw.chance(0.3):
        attributes["output_shape"] = draw.numbers(count, 1, 12)
    constants = {"w": draw.floats(*lead, *kernel), "b": draw.floats(groups * outputs)}
    inputs = ["x", "w", "b"] if draw.chance() else ["x", "w"]
    shape = [draw.one_of(1, 1, 2), groups * channels, *spatial]
    return [node(operator, inputs, **attributes)], shape, constants, draw.opset()


def pool(draw):
    operator, opset = draw.one_of("MaxPool", "AveragePool"), draw.opset()
    count, spatial = image(draw)
    dilated = opset >= (10 if operator == "MaxPool" else 19)
    attributes = placed(draw, count, dilated=dilated)
    attributes["kernel_shape"] = draw.numbers(count, 1, 4)
    if opset >= 10 and draw.chance(0.4):
        attributes["ceil_mode"] = 1
    if operator == "AveragePool" and draw.chance():
        attributes["count_include_pad"] = 1
    shape = [draw.one_of(1, 1, 2), draw.number(1, 2), *spatial]
    return [node(operator, ["x"], **attributes)], shape, {}, opset


def reduction(draw):
    operator, opset = f"Reduce{draw.one_of('L1', 'Max', 'Mean', 'Min', 'Sum')}", draw.opset()
    shape = draw.shape()
    as_input = opset >= (13 if operator == "ReduceSum" else 18)
    axes = draw.axes(len(shape), draw.number(0, len(shape)))
    attributes = {"keepdims": draw.one_of(None, 0, 1)}
    if as_input:
        attributes["noop_with_empty_axes"] = draw.one_of(None, 0, 1)
        inputs = draw.one_of(["x", "a"], ["x", "a"], ["x"])
        constants = {"a": np.array(axes, np.int64)}
    else:
        attributes["axes"] = axes or None
        inputs, constants = ["x"], {}
    return [node(operator, inputs, **attributes)], shape, constants, opset


def product(draw):
    if draw.chance():
        rows, inner, columns = draw.number(1, 2), draw.number(1, 4), draw.number(1, 4)
        swap = draw.number(0, 1), draw.number(0, 1)
        sides = (
            [inner, rows] if swap[0] else [rows, inner],
            ([columns, inner] if swap[1] else [inner, columns]),
        )
        added = draw.one_of((rows, columns), (columns,), (1, columns), (rows, 1), (), (rows,))
        constants = {"c": draw.floats(*added)}
        numbers = {name: draw.one_of(None, 0.0, 0.5, -1.0) for name in ("alpha", "beta")}
        attributes = {"transA": swap[0], "transB": swap[1], **numbers}
        extra = ["c"] if draw.chance(0.7) else []
    else:
        inner = draw.number(1, 4)
        batches = ([draw.one_of(1, 1, 2) for _ in range(draw.number(0, 2))] for _ in range(2))
        sides = tuple(
            [*batch, *(ends if draw.chance(0.9) else [inner])]
            for batch, ends in zip(
                batches, ([draw.number(1, 3), inner], [inner, draw.number(1, 3)]), strict=True
            )
        )
        sides = tuple([inner] if side[-1:] == side[-2:-1] == [inner] else side for side in sides)
        constants, attributes, extra = {}, {}, []
    first = draw.chance()
    constants["w"] = draw.floats(*sides[1 if first else 0])
    operator = "Gemm" if attributes else "MatMul"
    inputs = ["x", "w", *extra] if first else ["w", "x", *extra]
    shape = sides[0 if first else 1]
    return [node(operator, inputs, **attributes)], shape, constants, draw.opset()


def axes_changed(draw):
    operator, opset = draw.one_of("Squeeze", "Squeeze", "Unsqueeze"), draw.opset()
    shape = [draw.one_of(1, 1, 2, 3) for _ in range(draw.number(1, 4))]
    if operator == "Squeeze":
        axes = [i for i, n in enumerate(shape) if n == 1 and draw.chance(0.6)]
        if draw.chance(0.1):
            axes.append(draw.number(-len(shape) - 1, len(shape)))
    else:
        count = draw.number(0, 2)
        axes = draw.axes(len(shape) + count, count)
    if opset < 13:
        return [node(operator, ["x"], axes=axes or None)], shape, {}, opset
    inputs = ["x", "a"] if draw.chance(0.9) else ["x"]
    return [node(operator, inputs)], shape, {"a": np.array(axes, np.int64)}, opset


def reshape(draw):
    opset, shape = draw.opset(), draw.shape()
    operator = draw.one_of("Reshape", "Reshape", "Flatten", "Transpose", "Expand", "Tile")
    rank = len(shape)
    if operator == "Flatten":
        return [node(operator, ["x"], axis=draw.number(-rank - 1, rank + 1))], shape, {}, opset
    if operator == "Transpose":
        perm = draw.one_of(None, [int(axis) for axis in draw.rng.permutation(rank)])
        return [node(operator, ["x"], perm=perm)], shape, {}, opset
    if operator == "Reshape":
        numbers = [draw.one_of(0, -1, 1, n, int(np.prod(shape))) for n in shape]
        numbers = numbers[: draw.number(1, rank)]
        attributes = {"allowzero": draw.number(0, 1)} if opset >= 14 and draw.chance(0.3) else {}
    else:
        least, attributes = 0 if operator == "Tile" and draw.chance(0.1) else 1, {}
        numbers = [draw.one_of(1, n if operator == "Expand" else 2, least) for n in shape]
        if operator == "Expand":
            opset, numbers = max(opset, 8), draw.one_of(numbers, numbers[1:], [2, *numbers])
    constants = {"s": np.array(numbers, np.int64)}
    return [node(operator, ["x", "s"], **attributes)], shape, constants, opset


def part(draw):
    opset, shape = draw.opset(), draw.shape(longest=6)
    axes = draw.axes(len(shape), draw.number(1, len(shape)))
    far = (2**31 - 1, 2**63 - 1, -(2**31), -(2**63), 10)
    ends = [
        [draw.one_of(near, near, draw.number(-7, 7), draw.one_of(*far)) for _ in axes]
        for near in (0, 6)
    ]
    if opset < 10:
        given = dict(zip(("starts", "ends"), ends, strict=True))
        return [node("Slice", ["x"], axes=axes, **given)], shape, {}, opset
    steps = [draw.one_of(1, 1, 2, 3, -1, -2) for _ in axes]
    lists = [*ends, axes, steps][: draw.one_of(2, 3, 4, 4)]
    constants = {f"c{i}": np.array(values, np.int64) for i, values in enumerate(lists)}
    return [node("Slice", ["x", *constants])], shape, constants, opset


def split(draw):
    opset, shape = draw.opset(), draw.shape(longest=6)
    axis, count = draw.number(-len(shape), len(shape) - 1), draw.number(1, 3)
    cuts = sorted(draw.numbers(count - 1, 0, shape[axis]))
    sizes = [b - a for a, b in zip([0, *cuts], [*cuts, shape[axis]], strict=True)]
    outputs = [f"o{i}" for i in range(count)]
    outputs[draw.number(0, count - 1)] = "y"
    attributes, constants = {"axis": axis}, {}
    if draw.chance():
        if opset < 13:
            attributes["split"] = sizes
        else:
            constants["s"] = np.array(sizes, np.int64)
    elif opset >= 18 and draw.chance(0.9):
        attributes["num_outputs"] = draw.one_of(count, count, count + 1)
    return [node("Split", ["x", *constants], outputs, **attributes)], shape, constants, opset


def gathered(draw):
    shape = draw.shape()
    operator, axis = draw.one_of("Gather", "GatherElements"), draw.number(-len(shape), 0)
    axis = min(axis, len(shape) - 1)
    length = shape[axis]
    if operator == "Gather":
        picked = draw.one_of((), (1,), (2,), (2, 2))
    else:
        picked = [draw.number(1, n) for n in shape]
        picked[axis] = draw.number(1, 3)
        if draw.chance(0.1):
            picked[draw.number(0, len(shape) - 1)] += 1
    indices = np.array(draw.rng.integers(-length, length + draw.chance(0.05), picked))
    return [node(operator, ["x", "i"], axis=axis)], shape, {"i": indices}, draw.opset(11)


def blocks(draw):
    size, operator = draw.number(1, 3), draw.one_of("DepthToSpace", "SpaceToDepth")
    opset, attributes = draw.opset(), {"blocksize": size}
    shape = [draw.one_of(1, 1, 2), *draw.numbers(3, 1, 2)]
    for axis in (1,) if operator == "DepthToSpace" else (2, 3):
        shape[axis] *= size**2 if axis == 1 else size
    if operator == "DepthToSpace" and opset >= 11:
        attributes["mode"] = draw.one_of(None, "DCR", "CRD")
    if draw.chance(0.1):
        shape[draw.number(1, 3)] += 1
    return [node(operator, ["x"], **attributes)], shape, {}, opset


def padding(draw):
    opset, shape = draw.opset(), draw.shape()
    modes = ["constant", "reflect", "edge", *(["wrap"] if opset >= 19 else [])]
    mode = draw.one_of(None, *modes)
    pads = [draw.one_of(0, 0, 1, 2, draw.number(-2, 5)) for _ in range(2 * len(shape))]
    if opset < 11:
        return [node("Pad", ["x"], mode=mode, pads=pads)], shape, {}, opset
    constants, inputs = {"p": np.array(pads, np.int64)}, ["x", "p"]
    if draw.chance(0.4):
        constants["v"] = np.array(1.5, np.float32)
        inputs.append("v")
    if opset >= 18 and draw.chance(0.3):
        axes = draw.axes(len(shape), draw.number(1, len(shape)))
        constants |= {"p": np.array(pads[: 2 * len(axes)]), "a": np.array(axes)}
        inputs = [*inputs, *[""] * (3 - len(inputs)), "a"]
    return [node("Pad", inputs, mode=mode)], shape, constants, opset


def resized(draw):
    opset, count = draw.opset(10), draw.one_of(1, 2, 2, 3)
    shape = [1, draw.number(1, 2), *draw.numbers(count, 1, 6)]
    scales = [1.0, 1.0, *(draw.one_of(1.0, 2.0, 3.0, 0.5, 1.5, 0.7) for _ in range(count))]
    attributes = {"mode": draw.one_of("nearest", "nearest", "linear")}
    values = np.array(scales, np.float32)
    if opset == 10:
        return [node("Resize", ["x", "s"], **attributes)], shape, {"s": values}, opset
    modes = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
    attributes["coordinate_transformation_mode"] = draw.one_of(None, *modes)
    attributes["nearest_mode"] = draw.one_of(
        None, "round_prefer_floor", "round_prefer_ceil", "floor", "ceil"
    )
    constants = {"r": np.zeros(0, np.float32), "s": values}
    if draw.chance():
        return [node("Resize", ["x", "r", "s"], **attributes)], shape, constants, opset
    constants["s"] = np.zeros(0, np.float32)
    lengths = [max(1, int(n * s)) for n, s in zip(shape, scales, strict=True)]
    constants["z"] = np.array(lengths, np.int64)
    inputs = ["x", "r", "s", "z"] if opset < 13 else ["x", "", "", "z"]
    return [node("Resize", inputs, **attributes)], shape, constants, opset


def arithmetic(draw):
    """With a constant, or with another value that depends on the input."""
    operator = draw.one_of("Add", "Sub", "Mul", "Div", "Sum", "Mean", "Min", "Max", "PRelu")
    shape, opset = draw.shape(), draw.opset(most=17)
    constants = {name: draw.floats(*draw.smaller(shape)) for name in "cd"}
    reduced = [axis for axis in range(len(shape)) if draw.chance()] or [0]
    first = helper.make_node("ReduceMax", ["x"], ["r"], axes=reduced)
    pairs = (["x", "c"], ["c", "x"], ["x", "x"], ["x", "r"], ["r", "x"])
    more = (["x"], ["x", "c", "d"], ["x", "r", "c"], ["x", "x", "r"])
    if operator == "PRelu":
        inputs = ["x", "c"]
    else:
        inputs = draw.one_of(*pairs, *(more if operator in ("Sum", "Mean", "Min", "Max") else ()))
    return [first, node(operator, inputs)], shape, constants, opset


def chosen(draw):
    opset, shape = draw.opset(9), draw.shape()
    operator = draw.one_of("Where", "Concat", "Clip", "BatchNormalization")
    if operator == "Where":
        mask = draw.rng.random(draw.smaller(shape)) < draw.one_of(0.5, 0, 1)
        constants = {"m": mask, "c": draw.floats(*draw.smaller(shape))}
        return [node("Where", draw.one_of("mxc", "mcx", "mxx"))], shape, constants, opset
    if operator == "Concat":
        axis = draw.number(-len(shape), len(shape) - 1)
        other = list(shape)
        other[axis] = draw.number(0, 3)
        if draw.chance(0.1):
            other[draw.number(0, len(shape) - 1)] += 1
        inputs = draw.one_of("xc", "cx", "xx", "xcx", "x")
        return [node("Concat", inputs, axis=axis)], shape, {"c": draw.floats(*other)}, opset
    if operator == "Clip":
        low, high = draw.one_of(-1.0, 0.5, 2.0), draw.one_of(1.0, -0.5, 6.0)
        if opset < 11:
            return [node("Clip", ["x"], min=low, max=high)], shape, {}, opset
        ends = {"a": np.array(low, np.float32), "b": np.array(high, np.float32)}
        return [node("Clip", ["x", *draw.one_of("ab", "a", ["", "b"])])], shape, ends, opset
    channels = draw.number(1, 3)
    constants = {name: abs(draw.floats(channels)) for name in "wbmv"}
    attributes = {"epsilon": draw.one_of(None, 1e-3, 0.1)}
    return [node(operator, "xwbmv", **attributes)], [1, channels, 2], constants, opset


KINDS = {
    function.__name__: function
    for function in (
        arithmetic,
        axes_changed,
        blocks,
        chosen,
        convolution,
        gathered,
        padding,
        part,
        pool,
        product,
        reduction,
        reshape,
        resized,
        split,
    )
}


def random_model(kind, seed):
    """A model of one node of a kind, and of what it reads."""
    nodes, shape, constants, opset = KINDS[kind](Draw(seed))
    read = {name for item in nodes for name in item.input}
    if "r" not in read or "r" in constants:
        nodes = nodes[-1:]
    kept = {name: values for name, values in constants.items() if name in read}
    return build_model(nodes, shape, kept, opset=opset)
