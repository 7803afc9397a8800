"""Random ReLU networks whose products cancel, and what they are in exact arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import inf, nextafter
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from sensverify.core.box import Box
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import Affine, Relu

Layers = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, eq=False)
class Cancelling:
    """A network of `Affine` and `Relu` alone, its weights float32, and points of a box for it."""

    layers: Layers
    lower: np.ndarray
    upper: np.ndarray
    points: np.ndarray

    @property
    def network(self) -> Network:
        builder = NetworkBuilder((self.layers[0][0].shape[1],))
        last = builder.input
        for place, (weight, bias) in enumerate(self.layers):
            last = builder.add(Affine(weight, bias), last)
            if place < len(self.layers) - 1:
                last = builder.add(Relu(), last)
        return builder.build(last)

    @property
    def box(self) -> Box:
        return Box(self.lower[None], self.upper[None])

    def exact(self, point: np.ndarray) -> list[Fraction]:
        """The outputs at a point, in fractions."""
        return exact_outputs(self.layers, point)

    def save(self, path: Path) -> Path:
        """The same as an ONNX file."""
        nodes, arrays, last = [], [], "x"
        for place, (weight, bias) in enumerate(self.layers):
            arrays += [numpy_helper.from_array(weight, f"w{place}")]
            arrays += [numpy_helper.from_array(bias, f"b{place}")]
            pair = [f"w{place}", f"b{place}"]
            nodes.append(helper.make_node("Gemm", [last, *pair], [f"p{place}"], transB=1))
            last = f"p{place}"
            if place < len(self.layers) - 1:
                nodes.append(helper.make_node("Relu", [last], [f"r{place}"]))
                last = f"r{place}"
        sizes = (self.layers[0][0].shape[1], self.layers[-1][0].shape[0])
        ends = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, size))
            for name, size in zip(("x", last), sizes, strict=True)
        ]
        graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], arrays)
        opset = [helper.make_opsetid("", 17)]
        onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
        return path


def exact_outputs(layers: Layers, point: np.ndarray) -> list[Fraction]:
    """A network of ReLUs between affine layers, in fractions."""
    values = [Fraction(float(x)) for x in point]
    for place, (weight, bias) in enumerate(layers):
        if place:
            values = [max(value, Fraction(0)) for value in values]
        values = [
            sum(
                (Fraction(float(w)) * v for w, v in zip(row, values, strict=True)),
                Fraction(float(b)),
            )
            for row, b in zip(weight, bias, strict=True)
        ]
    return values


def rounded_up(value: Fraction) -> float:
    """The least float64 number that is no less."""
    near = float(value)
    return near if Fraction(near) >= value else nextafter(near, inf)


def cancelling(seed: int, outputs: int = 2) -> Cancelling:
    """Weights of up to 1e5, and a last layer whose sums nearly cancel somewhere in the box."""
    rng = np.random.default_rng(seed)
    features = int(rng.integers(1, 3))
    hidden = [int(n) for n in rng.integers(1, 5, size=rng.integers(1, 5))]
    sizes = [features, *hidden, outputs]
    scale = 10 ** rng.uniform(-1, 4)
    layers: Layers = []
    for inputs, count in pairwise(sizes):
        weight = rng.normal(size=(count, inputs)) * scale * 10 ** rng.uniform(-1, 1)
        bias = rng.normal(size=count) * scale * rng.integers(0, 2)
        layers.append((weight.astype(np.float32), bias.astype(np.float32)))
    center = rng.uniform(-1, 1, features).astype(np.float32)
    entering = [max(v, Fraction(0)) for v in exact_outputs(layers[:-1], center)]
    weight, bias = layers[-1]
    largest = max(range(len(entering)), key=lambda j: entering[j])
    if entering[largest]:
        for row, constant in zip(weight, bias, strict=True):
            rest = (
                sum(
                    (Fraction(float(w)) * v for w, v in zip(row, entering, strict=True)),
                    Fraction(float(constant)),
                )
                - Fraction(float(row[largest])) * entering[largest]
            )
            row[largest] = np.float32(float(-rest / entering[largest]))
    radius = np.float32(rng.choice([0, 1e-6, 1e-3, 0.3])) * rng.random(features)
    lower, upper = ((center + sign * radius).astype(np.float32) for sign in (-1, 1))
    inside = [lower + (upper - lower) * share for share in rng.random((2, features))]
    points = np.stack([lower, upper, center, *inside]).astype(np.float32)
    return Cancelling(layers, lower, upper, np.clip(points, lower, upper))
