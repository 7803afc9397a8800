"""Operators of the domain ``ai.onnx.ml``, which exporters of scikit-learn write."""

from __future__ import annotations

import numpy as np

from sensverify.formats.onnx.call import Call, Value, Variable, handles
from sensverify.formats.onnx.lowering import multiplied, scaled


@handles("ai.onnx.ml.Scaler")
def scaler(call: Call) -> Value:
    """``(x - offset) * scale``, for every feature or with one number for all."""
    offset, scale = (_floats(call, name) for name in ("offset", "scale"))
    variable = call.variable(0)
    features = variable.shape[-1:]
    if any(values.shape not in ((1,), features) for values in (offset, scale)):
        raise call.invalid(
            f"offset and scale of {offset.size} and {scale.size} numbers do not fit {features}"
        )
    return scaled(call, scaled(call, variable, shift=-offset), scale)


@handles("ai.onnx.ml.LinearRegressor")
def linear_regressor(call: Call) -> Value:
    """``x @ coefficients.T + intercepts``."""
    if call.attribute("post_transform", b"NONE") != b"NONE":
        raise call.refusal("only a linear regression without a transformation is supported")
    targets = int(call.attribute("targets", 1))
    variable = call.variable(0)
    weight = _floats(call, "coefficients")
    if len(variable.shape) != 2 or weight.size != targets * variable.shape[1]:
        raise call.invalid(f"{weight.size} coefficients do not fit {variable.shape}")
    product: Variable = multiplied(call, variable, weight.reshape(targets, -1))
    intercepts = call.attribute("intercepts")
    if intercepts is None:
        return product
    return scaled(call, product, shift=np.asarray(intercepts, np.float32))


def _floats(call: Call, name: str) -> np.ndarray:
    values = call.attribute(name)
    if values is None:
        raise call.invalid(f"attribute '{name}' is missing")
    return np.asarray(values, np.float32)
