"""One query for Marabou, answered in a process of its own; run as a script, never imported.

Marabou prints, keeps its options in global state, does not give standard output back after some
answers, holds Python's lock while it works, and can end its process. None of this reaches the
process that asks: it writes the query to standard input, and reads the answer from what was
standard output, both as pickles. Nothing but maraboupy's compiled core is imported.
"""

import os
import pickle
import sys
from typing import Any


def solve(query: dict[str, Any]) -> tuple[str, list[float]]:
    """Marabou's word for the answer, and the values of the inputs where it is ``sat``."""
    from maraboupy import MarabouCore as core

    program = core.InputQuery()
    program.setNumberOfVariables(query["variables"])
    for place, variable in enumerate(query["inputs"]):
        program.markInputVariable(variable, place)
    for variable, lower, upper in query["bounds"]:
        program.setLowerBound(variable, lower)
        program.setUpperBound(variable, upper)
    for kind, terms, scalar in query["equations"]:
        equation = core.Equation(getattr(core.Equation.EquationType, kind))
        for factor, variable in terms:
            equation.addAddend(factor, variable)
        equation.setScalar(scalar)
        program.addEquation(equation)
    for before, after in query["relu"]:
        core.addReluConstraint(program, before, after)
    options = core.Options()
    options._verbosity = 0
    # Split and conquer has answered wrongly; one engine answers.
    options._snc = False
    options._timeoutInSeconds = query["seconds"]
    word, values, _ = core.solve(program, options, "")
    if word != "sat":
        return word, []
    units = zip(query["inputs"], query["factors"], query["middles"], strict=True)
    return word, [values[variable] * factor + middle for variable, factor, middle in units]


if __name__ == "__main__":
    answer = os.fdopen(os.dup(1), "wb")
    # What Marabou prints goes nowhere.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    result = solve(pickle.load(sys.stdin.buffer))
    pickle.dump(result, answer)
    answer.close()
    # Its destructors have nothing left to say.
    os._exit(0)
