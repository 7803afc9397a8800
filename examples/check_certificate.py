"""Check a certificate of a fully connected ReLU network with numpy and fractions alone.

    sensverify verify iris --samples 0:5 --certificate iris.cert
    python examples/check_certificate.py iris.cert models/iris.onnx

This shares no line with sensverify: it reads the ONNX file and the certificate by itself, and
re-derives every bound in rational arithmetic, after the theorem in
sensverify/certificates/CERTIFICATES.md. It knows chains of Gemm and Relu, and certificates whose
cells are not split (of lp-dual, crown, alpha-crown and lp).
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


def fields(data):
    """The fields of a protobuf message, as (number, value)."""

    def varint(at):
        value = shift = 0
        while True:
            value, shift, at = value | (data[at] & 127) << shift, shift + 7, at + 1
            if data[at - 1] < 128:
                return value, at

    at = 0
    while at < len(data):
        key, at = varint(at)
        if key & 7 == 0:
            value, at = varint(at)
        else:
            size, at = varint(at) if key & 7 == 2 else ({1: 8, 5: 4}[key & 7], at)
            value, at = data[at : at + size], at + size
        yield key >> 3, value


def require(holds, what):
    if not holds:
        sys.exit(f"not checked: {what}")


def read_onnx(data):
    """Weights and biases [(W, b), ...] of Gemm, Relu, Gemm, ..., Gemm, as fractions."""
    (graph,) = (value for number, value in fields(data) if number == 7)
    weights, kinds, layers = {}, [], []
    for number, value in fields(graph):
        parts = list(fields(value)) if number in (1, 5) else []
        if number == 5:  # an initializer: 1 dims, 2 type (1 is float32), 8 name, 9 raw data
            found = {n: v for n, v in parts if n != 1}
            require(found[2] == 1, "weights are not float32")
            shape = [v for n, v in parts if n == 1]
            weights[found[8]] = exact(np.frombuffer(found[9], "<f4").reshape(shape))
        elif number == 1:  # a node: 1 inputs, 4 operator, 5 attributes (1 name, 2 real, 3 integer)
            kinds += [v for n, v in parts if n == 4]
            layers.append([v for n, v in parts if n == 1])
            settings = [dict(fields(v)) for n, v in parts if n == 5]
            ones = [np.frombuffer(s[2], "<f4") == 1 if 2 in s else s[3] == 1 for s in settings]
            names = [s[1] for s in settings]
            require(all(ones) and (kinds[-1] == b"Relu" or b"transB" in names), kinds[-1])
    require(kinds == [b"Gemm", b"Relu"] * (len(kinds) // 2) + [b"Gemm"], "another kind of network")
    return [(weights[names[1]], weights[names[2]]) for names in layers[::2]]


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


def main(certificate, model):
    with zipfile.ZipFile(certificate) as archive:
        header = json.loads(archive.read("header.json"))
        a = {n: np.load(io.BytesIO(archive.read(f"{n}.npy"))) for n in header["arrays"]}
    data = Path(model).read_bytes()
    require(hashlib.sha256(data).hexdigest() == header["model"]["sha256"], "another model")
    require(header["claim"] == "bounds" and (a["cells.split"] == -1).all(), "cells are split")
    layers = read_onnx(data)
    cuts = np.cumsum([0, *(len(bias) for _, bias in layers[:-1])])

    def facts(number, lines, problem):
        """Bounds, slopes (above: of the line through both ends) and box, as fractions."""
        require(min(number, lines, problem) >= 0, "slopes by rule, or hidden bounds left out")
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
    limits = a["claims.limits"]
    rows = np.broadcast_to(a["claims.rows"], (len(limits), *a["claims.rows"].shape[1:]))
    missing = np.isfinite(limits)
    for cell, problem in enumerate(a["cells.problem"]):
        number, group = a["cells.hidden"][cell], a["cells.group"][cell]
        known = facts(number, a["cells.lines"][cell], problem)
        require(a["hidden.problem"][number] == problem, "hidden bounds of another problem")
        for r in range(limits.shape[1]) if group < 0 else [group]:
            value = least(layers, exact(rows[problem, r]), *known)
            missing[problem, r] &= not value >= Fraction(limits[problem, r])
    require(not missing.any(), f"claims that do not follow: {np.argwhere(missing).tolist()}")
    print(f"{np.isfinite(limits).sum()} bounds on {len(limits)} boxes hold")


if __name__ == "__main__":
    main(*sys.argv[1:])
