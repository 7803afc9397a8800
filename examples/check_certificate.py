"""Check a certificate of a fully connected ReLU network with numpy and fractions alone.

    sensverify verify iris --samples 0:5 --certificate iris.cert
    python examples/check_certificate.py iris.cert models/iris.onnx

This shares no line with sensverify: it reads the ONNX file and the certificate by itself, and
re-derives every bound in rational arithmetic, after the theorem in
sensverify/certificates/CERTIFICATES.md. It knows chains of Gemm and Relu, and certificates whose
cells are not split (of lp-dual, crown, alpha-crown and lp). Whatever it does not know, in either
file, it refuses.
"""

import hashlib
import io
import json
import sys
import zipfile
from fractions import Fraction
from pathlib import Path

import numpy as np

exact = np.vectorize(lambda value: Fraction(float(value)), otypes=[object])


def require(holds, what):
    if not holds:
        sys.exit(f"not checked: {what}")


def fields(data, known):
    """A protobuf message: the values of every field; ``known``: "number:wire type" of each."""
    kinds = {int(k.split(":")[0]): int(k.split(":")[1]) for k in known.split()}
    found, at = {number: [] for number in kinds}, 0

    def varint():
        nonlocal at
        for length in range(1, 11):
            if data[at + length - 1] < 128:
                at += length
                parts = enumerate(data[at - length : at])
                return sum((byte & 127) << 7 * place for place, byte in parts)
        require(False, "a number of the model has more than ten bytes")

    while at < len(data):
        key = varint()
        number, kind = key >> 3, key & 7
        require(kinds.get(number) == kind, f"field {number} of a message of the model")
        size = varint() if kind != 5 else 4
        if kind:
            require(at + size <= len(data), "the model is cut off")
            at += size
        found[number].append(data[at - size : at] if kind else size)
    return found


def only(values, *default):
    """The one value that there is, or the default."""
    require(len(values) == 1 or (default and not values), "a field of the model is not there once")
    return values[0] if values else default[0]


def read_value(data):
    """Name and size of an input or output, which must be ``[batch, size]`` of float32."""
    value = fields(data, "1:2 2:2 3:2")  # name, type
    tensor = fields(only(fields(only(value[2]), "1:2")[1]), "1:0 2:2")  # data type, shape
    require(only(tensor[1]) == 1, "an input or output is not float32")
    axes = [fields(axis, "1:0 2:2") for axis in fields(only(tensor[2]), "1:2")[1]]
    require(len(axes) == 2, "an input or output has not two axes")
    return only(value[1]), only(axes[1][1])


def read_weights(data):
    """Name and numbers of an initializer; NaN and infinity are no fractions."""
    tensor = fields(data, "1:0 2:0 8:2 9:2 12:2")  # dimensions, data type, name, raw data
    require(only(tensor[2]) == 1, "weights are not float32")
    values = np.frombuffer(only(tensor[9]), "<f4")
    return only(tensor[8]), exact(values.reshape([int(n) for n in tensor[1]]))


def read_attribute(data):
    """Name, type and value of a number: real (type 1) or integer (type 2)."""
    one = fields(data, "1:2 2:5 3:0 13:2 20:0")
    kind = only(one[20])
    require((kind, len(one[4 - kind])) in ((1, 0), (2, 0)), "an attribute is no number")
    value = np.frombuffer(only(one[2], bytes(4)), "<f4")[0] if kind == 1 else only(one[3], 0)
    return only(one[1]), kind, float(value)


GEMM = {b"alpha": (1, 1.0), b"beta": (1, 1.0), b"transA": (2, 0.0), b"transB": (2, 1.0)}


def read_onnx(data):
    """Weights and biases [(W, b), ...] of Gemm, Relu, Gemm, ..., Gemm, as fractions."""
    model = fields(data, "1:0 2:2 3:2 4:2 5:0 6:2 7:2 8:2 14:2")  # 7 graph, 8 operator sets
    require(only(model[1]) >= 4, "in such an old file, initializers are inputs")
    sets = [fields(part, "1:2 2:0") for part in model[8]]  # domain, version
    versions = [only(s[2]) for s in sets if only(s[1], b"") in (b"", b"ai.onnx")]
    require(7 <= only(versions) <= 26, "Gemm and Relu may mean something else")
    graph = fields(only(model[7]), "1:2 2:2 5:2 10:2 11:2 12:2 13:2 16:2")
    weights = [read_weights(part) for part in graph[5]]
    (value, size), end = read_value(only(graph[11])), read_value(only(graph[12]))
    names, weights, layers = [value, *(name for name, _ in weights)], dict(weights), []
    nodes = [fields(part, "1:2 2:2 3:2 4:2 5:2 6:2 7:2 9:2") for part in graph[1]]
    for place, node in enumerate(nodes):  # inputs, outputs, name, operator, attributes, domain
        require(only(node[7], b"") in (b"", b"ai.onnx"), "an operator of another domain")
        require(only(node[4]) == (b"Relu" if place % 2 else b"Gemm"), "another kind of network")
        settings = [read_attribute(part) for part in node[5]]
        attributes = {name: (kind, number) for name, kind, number in settings}
        require(len(attributes) == len(settings), "an attribute is there twice")
        if place % 2:
            require(node[1] == [value] and not attributes, "a Relu is not of what precedes it")
        else:
            require(attributes.items() <= GEMM.items() and b"transB" in attributes, "another Gemm")
            require(node[1][:1] == [value], "a Gemm is not of what precedes it")
            _, weight, bias = node[1]
            layers.append((weights[weight], weights[bias]))
            shape = (len(weights[bias]), size)
            require(0 not in shape and weights[weight].shape == shape, "weights do not fit")
            require(weights[bias].shape == shape[:1], "biases do not fit")
            size = shape[0]
        value = only(node[2])
        names.append(value)
    require(len(nodes) % 2 == 1 and end == (value, size), "the output is not that of the last Gemm")
    require(len({*names} - {b""}) == len(names), "a name stands for two things")
    return layers


ARRAYS = "claims.lower:Pn claims.upper:Pn claims.rows:QRm claims.limits:PR cells.problem:C "
ARRAYS += (
    "cells.group:C cells.parent:C cells.split:C cells.hidden:C cells.lines:C hidden.problem:H "
)
ARRAYS += "hidden.lines:H hidden.lower:HE hidden.upper:HE lines.lower:LE lines.upper:LE"
"""Names of the arrays that matter here, with their axes; arrays of one axis hold integers."""
PLACES = "cells.problem:P cells.hidden:H cells.lines:L hidden.problem:P hidden.lines:L"
"""Numbers of what is counted along an axis."""


def read_certificate(path):
    """Header and arrays of a certificate, each with one reading."""

    def unique(pairs):
        require(len(dict(pairs)) == len(pairs), "a key of the header is there twice")
        return dict(pairs)

    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
        require(len(members) == len(archive.namelist()), "a member is there twice")
    header, arrays = members.pop("header.json"), {}
    # Deep nesting can end the process where Python's recursion limit was raised.
    require(header.count(b"[") + header.count(b"{") < 200, "a header of too many parts")
    header = json.loads(header, object_pairs_hook=unique)
    require(header["schema"] == "sensverify.certificate/1", "another schema")
    require(sorted(members) == [f"{name}.npy" for name in header["arrays"]], "other arrays")
    require(header["claim"] == "bounds" and "claims.groups" not in header["arrays"], "no bounds")
    for name in header["arrays"]:
        arrays[name] = np.load(io.BytesIO(members[f"{name}.npy"]))
        np.save(written := io.BytesIO(), arrays[name])
        require(written.getvalue() == members[f"{name}.npy"], f"{name} is not as numpy writes it")
    return header, arrays


def check_arrays(a, sizes):
    """Refuse arrays that do not fit the network or each other: numpy would stretch them."""
    for name, axes in (part.split(":") for part in ARRAYS.split()):
        if name in a or name != "lines.upper":
            types = ("<i8",) if len(axes) == 1 else ("<f8", "<f4")
            require(a[name].dtype.str in types and a[name].ndim == len(axes), f"{name}: its type")
            for axis, size in zip(axes, a[name].shape, strict=True):
                require(sizes.setdefault(axis, size) == size, f"{name} does not fit")
    require(sizes["Q"] in (1, sizes["P"]), "rows do not fit the boxes")
    for name, axis in (part.split(":") for part in PLACES.split()):
        require((a[name] >= 0).all(), f"{name}: slopes by rule, or hidden bounds left out")
        require((a[name] < sizes[axis]).all(), f"{name} names what is not there")
    groups = a["cells.group"]
    require(
        ((groups >= -1) & (groups < sizes["R"])).all(), "a cell is about a row that is not there"
    )
    require(((a["cells.split"] == -1) & (a["cells.parent"] == -1)).all(), "cells are split")
    own = a["hidden.problem"][a["cells.hidden"]] == a["cells.problem"]
    require(own.all(), "a cell uses hidden bounds of another problem")
    require((a["claims.lower"] <= a["claims.upper"]).all(), "a box is empty")
    require((a["claims.limits"] < np.inf).all(), "a limit is infinite")


def least(layers, row, cuts, low, high, below, above, box):
    """At most row · (W z + b) of the last layer given: one backward pass."""
    total = Fraction(0)
    for k in range(len(layers) - 1, -1, -1):
        weight, bias = layers[k]
        total, row = total + row @ bias, row @ weight
        if k > 0:
            start, end, s, t = (v[cuts[k - 1] : cuts[k]] for v in (low, high, below, above))
            # relu(x) - s x on [start, end] is extreme at the ends, and at 0 where that is inside.
            points = [start, end, np.clip(Fraction(0), start, end)]
            under = np.min([np.maximum(x, 0) - s * x for x in points], axis=0)
            over = np.max([np.maximum(x, 0) - t * x for x in points], axis=0)
            total += np.where(row > 0, row * under, row * over).sum()
            row = np.where(row > 0, row * s, row * t)
    return total + np.minimum(row * box[0], row * box[1]).sum()


def interval(layers, cuts, low, high, below, above, box):
    """Ends of the last layer's numbers by interval arithmetic."""
    weight, bias = layers[-1]
    if len(layers) > 1:
        before = slice(cuts[len(layers) - 2], cuts[len(layers) - 1])
        box = np.maximum(low[before], 0), np.maximum(high[before], 0)
    return [f(weight * box[0], weight * box[1]).sum(1) + bias for f in (np.minimum, np.maximum)]


def check(certificate, model):
    header, a = read_certificate(certificate)
    data = Path(model).read_bytes()
    require(hashlib.sha256(data).hexdigest() == header["model"]["sha256"], "another model")
    layers = read_onnx(data)
    inputs, outputs = layers[0][0].shape[1], len(layers[-1][1])
    shapes = [header["model"][end] for end in ("inputs", "outputs")]
    require(shapes == [[inputs], [outputs]], "another model's shapes")
    hidden = sum(len(bias) for _, bias in layers[:-1])
    check_arrays(a, {"n": inputs, "m": outputs, "E": hidden})
    cuts = np.cumsum([0, *(len(bias) for _, bias in layers[:-1])])

    def facts(number, lines, problem):
        """Bounds, slopes (above: of the line through both ends) and box, as fractions."""
        low, high = a["hidden.lower"][number], a["hidden.upper"][number]
        chord = (np.maximum(high, 0) - np.maximum(low, 0)) / np.where(high > low, high - low, 1)
        above = a["lines.upper"][lines] if "lines.upper" in a else chord
        box = [exact(a["claims.lower"][problem]), exact(a["claims.upper"][problem])]
        return [cuts, *map(exact, (low, high, a["lines.lower"][lines], above)), box]

    for number, problem in enumerate(a["hidden.problem"]):
        known = facts(number, a["hidden.lines"][number], problem)
        for k in range(len(layers) - 1):
            # Each by the better of the two.
            spans = interval(layers[: k + 1], *known)
            for j, unit in enumerate(exact(np.eye(cuts[k + 1] - cuts[k]))):
                low, high = spans[0][j], spans[1][j]
                low = max(low, least(layers[: k + 1], unit, *known))
                high = min(high, -least(layers[: k + 1], -unit, *known))
                holds = low >= known[1][cuts[k] + j] and high <= known[2][cuts[k] + j]
                require(holds, f"bound {cuts[k] + j} of hidden set {number} does not follow")
    limits, rows = a["claims.limits"], a["claims.rows"]
    rows = np.broadcast_to(rows, (len(limits), *rows.shape[1:]))
    claimed = np.isfinite(limits)
    require(claimed.any(), "nothing is claimed")
    missing = claimed.copy()
    for cell, problem in enumerate(a["cells.problem"]):
        known = facts(a["cells.hidden"][cell], a["cells.lines"][cell], problem)
        group = a["cells.group"][cell]
        for r in range(limits.shape[1]) if group < 0 else [group]:
            value = least(layers, exact(rows[problem, r]), *known)
            missing[problem, r] &= not value >= float(limits[problem, r])
    require(not missing.any(), f"claims that do not follow: {np.argwhere(missing).tolist()}")
    return f"{claimed.sum()} bounds on {len(limits)} boxes hold"


def main(certificate, model):
    try:
        print(check(certificate, model))
    except Exception as error:
        # What breaks a reader is no certificate.
        require(False, f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
