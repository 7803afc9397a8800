"""The least change of a sample's features, in sum, that makes another class win: MILP with HiGHS.

    python examples/least_change.py --model iris --sample 23 --target 2 --sigma 0.1

The network is one part of the program; the distance and the wish are constraints of our own.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import highspy
import numpy as np

import sensverify as sv

LEAD = 1e-3
"""How far the wished class has to be ahead: more than the optimiser's tolerances."""


def least_change(model: str, sample: int, target: int, sigma: float) -> tuple[float, np.ndarray]:
    """The sum of absolute changes, and the input ``[features]``; infinite where there is none."""
    export = sv.export_milp(model, samples=(sample, sample + 1), sigma=sigma)
    with tempfile.TemporaryDirectory() as folder:
        path, *_ = export.write(Path(folder) / "network.mps")
        solver = highspy.Highs()
        solver.setOptionValue("output_flag", False)
        solver.setOptionValue("small_matrix_value", 1e-12)
        solver.readModel(str(path))
    column = {name: i for i, name in enumerate(solver.getLp().col_names_)}
    inputs = [column[export.program.names[i]] for i in export.program.of_role("input")]
    outputs = [column[export.program.names[i]] for i in export.program.of_role("output")]
    inner = export.program.lower[: len(inputs)], export.program.upper[: len(inputs)]
    center = sum(inner) / 2
    for entry, place in enumerate(inputs):
        solver.addCol(1.0, 0.0, highspy.kHighsInf, 0, [], [])
        change = solver.getNumCol() - 1
        for sign in (1.0, -1.0):
            # change >= sign * (input - center)
            row = np.array([change, place], dtype=np.int32), np.array([1.0, -sign])
            solver.addRow(-sign * center[entry], highspy.kHighsInf, 2, *row)
    for place in outputs:
        if place != outputs[target]:
            row = np.array([outputs[target], place], dtype=np.int32), np.array([1.0, -1.0])
            solver.addRow(LEAD, highspy.kHighsInf, 2, *row)
    solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return float("inf"), center
    values = np.array(solver.getSolution().col_value)
    return float(solver.getInfo().objective_function_value), values[inputs]


def main() -> None:
    """Print the change, and what the network makes of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="iris")
    parser.add_argument("--sample", type=int, default=23)
    parser.add_argument("--target", type=int, default=2)
    parser.add_argument("--sigma", type=float, default=0.1)
    options = parser.parse_args()
    change, found = least_change(options.model, options.sample, options.target, options.sigma)
    if change == float("inf"):
        print(f"class {options.target} wins nowhere in the box")
        return
    print(f"changes sum to {change:.4f}, at {found.round(4).tolist()}")


if __name__ == "__main__":
    main()
