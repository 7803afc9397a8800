"""The files that frozen scenarios are about: arrays, properties, instances, a study, bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.contracts.frozen_networks import identity

IRIS = (5.0, 3.6, 1.4, 0.2)


def _property(asserted: str, inputs: list[tuple[float, float]], outputs: int) -> str:
    lines = [f"(declare-const X_{i} Real)" for i in range(len(inputs))]
    lines += [f"(declare-const Y_{i} Real)" for i in range(outputs)]
    for i, (low, high) in enumerate(inputs):
        lines += [f"(assert (>= X_{i} {low}))", f"(assert (<= X_{i} {high}))"]
    return "\n".join([*lines, f"(assert {asserted})", ""])


def write_properties(folder: Path) -> None:
    near = [(v - 0.1, v + 0.1) for v in IRIS]
    far = [(v - 0.5, v + 0.5) for v in IRIS]
    for name, asserted, inputs in (
        ("unsat", "(<= Y_0 Y_1)", near),
        ("either", "(or (and (<= Y_0 Y_1)) (and (<= Y_0 Y_2)))", near),
        ("sat", "(>= Y_0 6.0)", near),
        # Between what CROWN proves, 4.096, and the minimum, 4.2446.
        ("hard", "(<= Y_0 4.2)", far),
        ("loose", "(>= Y_2 100.0)", far),
    ):
        (folder / f"{name}.vnnlib").write_text(_property(asserted, inputs, 3))


def write_arrays(folder: Path) -> None:
    x = np.array([IRIS, (6.1, 2.9, 4.7, 1.4), (6.3, 3.3, 6.0, 2.5)], dtype=np.float32)
    spread = np.array([3.6, 2.4, 5.9, 2.4], dtype=np.float32)
    np.savez(folder / "mine.npz", x=x, y=np.array([0, 1, 1]), feature_range=spread)
    np.savez(folder / "bare.npz", x=x)
    np.savez(folder / "box.npz", lower=x - 0.1, upper=x + 0.05, y=np.array([0, 1, 2]))
    np.save(folder / "radius.npy", np.array([0.1, 0.0, 0.2, 0.05]))


def write_instances(folder: Path) -> None:
    bench = folder / "bench"
    bench.mkdir()
    identity(bench / "identity.onnx")
    box = [(0.0, 1.0), (-1.0, 1.0)]
    for name, asserted in (("sat", "(<= Y_0 Y_1)"), ("unsat", "(>= Y_0 2.0)")):
        (bench / f"{name}.vnnlib").write_text(_property(asserted, box, 2))
    lines = [f"identity.onnx,{name}.vnnlib,60\n" for name in ("sat", "unsat")]
    (bench / "instances.csv").write_text("".join(lines))
    (bench / "verdicts.csv").write_text(
        "onnx,vnnlib,verdict,ce_replayed\n"
        "identity.onnx,sat.vnnlib,sat,strict\nidentity.onnx,unsat.vnnlib,unsat,\n"
    )


def write_bad_input(folder: Path) -> None:
    write_arrays(folder)
    write_properties(folder)
    (folder / "taken.json").write_text("{}\n")
    (folder / "text.cert").write_text("not a certificate\n")
    (folder / "wrong.toml").write_text("[study]\ntitle = 'x'\ndata = 'iris'\n")


STUDY = """
[study]
title = "Tiny"
data = "iris"
model = "mlp-6"
seeds = [0, 1]
[settings]
epochs = 2
sigma = 0.1
metric_samples = 10
final_samples = 30
pgd_steps = 1
[[runs]]
name = "base"
loss = "base"
[[runs]]
name = "smooth"
loss = "label-smoothing"
settings = { batch_size = 40 }
[variants.one]
seeds = [2]
settings = { epochs = 1 }
"""


def write_study(folder: Path) -> None:
    (folder / "tiny.toml").write_text(STUDY)
