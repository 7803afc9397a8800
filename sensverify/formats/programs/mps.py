"""Programs as MPS files, in the free format that every optimiser reads.

Numbers are written with all the digits that tell a float64 from its neighbours, so that what is
read is what was proven. Source: IBM ILOG CPLEX, *MPS file format*; Gurobi, *MPS format*.
"""

from __future__ import annotations

from collections.abc import Iterator

from sensverify.formats.programs.program import Program

OBJECTIVE = "objective"

_SENSES = {"<=": "L", ">=": "G", "=": "E"}


def to_mps(program: Program, *, comments: tuple[str, ...] = ()) -> str:
    """The program as the text of an MPS file.

    Parameters
    ----------
    program : Program
    comments : tuple of str
        Lines at its head.
    """
    return "\n".join([*(f"* {_line(text)}" for text in comments), *_lines(program), ""])


def _line(text: str) -> str:
    """The text without what would end a line of a comment."""
    return "".join(c if c.isprintable() else " " for c in text)


def _lines(program: Program) -> Iterator[str]:
    relations = list(program.relations())
    yield "NAME network"
    # Gurobi, CPLEX, HiGHS and SCIP read this; without the section an objective is minimised.
    if program.maximise:
        yield from ("OBJSENSE", "    MAX")
    yield from ("ROWS", f" N {OBJECTIVE}")
    yield from (f" {_SENSES[each.sense]} {each.name}" for each in relations)
    yield "COLUMNS"
    entries: list[list[str]] = [[] for _ in program.columns]
    for relation in relations:
        for column, factor in zip(relation.columns, relation.factors, strict=True):
            entries[column].append(f"{relation.name} {float(factor)!r}")
    inside = False
    for position, column in enumerate(program.columns):
        if program.integer[position] != inside:
            inside = not inside
            kind = "INTORG" if inside else "INTEND"
            yield f" MARKER{position} 'MARKER' '{kind}'"
        # Named in the objective, even with a factor of zero: a column is there by its entries.
        cost = f"{OBJECTIVE} {float(program.cost[position])!r}"
        yield from (f" {column.name} {entry}" for entry in [cost, *entries[position]])
    if inside:
        yield " MARKEREND 'MARKER' 'INTEND'"
    yield "RHS"
    yield from (f" RHS {each.name} {each.right!r}" for each in relations if each.right != 0)
    yield "BOUNDS"
    for column, low, high in zip(program.names, program.lower, program.upper, strict=True):
        yield f" LO BOUND {column} {float(low)!r}"
        yield f" UP BOUND {column} {float(high)!r}"
    yield "ENDATA"
