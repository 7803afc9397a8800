"""ATen operators without a counterpart in a network that are refused with a remedy of their own."""

from __future__ import annotations

from typing import Any

from sensverify.formats.modules.emitting import Emitter, rule


@rule("searchsorted", "bucketize", "trunc", "frac", "one_hot")
def _lookup(emit: Emitter, **_: Any) -> Any:
    emit.refuse(
        "turns values computed from the input into positions or whole numbers, which makes jumps "
        "that no network has",
        "write a piecewise linear function as a sum of relus",
    )


@rule("argmax", "argmin", "argsort", "sort", "topk", "kthvalue", "median")
def _order(emit: Emitter, **_: Any) -> Any:
    emit.refuse(
        "orders values computed from the input; only their maximum and minimum (max, min, amax, "
        "amin) have a counterpart in a network"
    )


@rule("_fused_rms_norm", "var_mean", "std_mean", "cosine_similarity", "local_response_norm")
def _statistics(emit: Emitter, **_: Any) -> Any:
    emit.refuse(
        "has no counterpart in a network: it divides by statistics of its own input",
        "layer_norm, group_norm, instance_norm, rms_norm, var and std are supported",
    )


@rule("rand_like", "randn_like", "randint_like", "bernoulli", "normal_functional", "rand", "randn")
def _random(emit: Emitter, **_: Any) -> Any:
    emit.refuse("draws random numbers in evaluation too; bounds hold for one fixed function")
