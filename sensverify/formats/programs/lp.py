"""Programs as LP files, in the format of CPLEX that optimisers read and people can.

Numbers are written with all the digits that tell a float64 from its neighbours. Source: IBM ILOG
CPLEX, *LP file format*.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sensverify.formats.programs.mps import OBJECTIVE
from sensverify.formats.programs.program import Program

WIDTH = 8
"""Terms on a line: some readers take no line of more than 510 characters."""


def to_lp(program: Program, *, comments: tuple[str, ...] = ()) -> str:
    """The program as the text of an LP file.

    Parameters
    ----------
    program : Program
    comments : tuple of str
        Lines at its head.
    """
    printable = ("".join(c if c.isprintable() else " " for c in text) for text in comments)
    return "\n".join([*(f"\\ {text}" for text in printable), *_lines(program), ""])


def _lines(program: Program) -> Iterator[str]:
    names = program.names
    yield "Maximize" if program.maximise else "Minimize"
    costs = [(name, cost) for name, cost in zip(names, program.cost, strict=True) if cost != 0]
    yield from _sum(OBJECTIVE, costs or [(names[0], 0.0)], "")
    yield "Subject To"
    for each in program.relations():
        terms = [(names[c], f) for c, f in zip(each.columns, each.factors, strict=True)]
        # A constraint needs a term, even where a network's output is a number.
        yield from _sum(each.name, terms or [(names[0], 0.0)], f" {each.sense} {each.right!r}")
    yield "Bounds"
    for name, low, high in zip(names, program.lower, program.upper, strict=True):
        yield f" {float(low)!r} <= {name} <= {float(high)!r}"
    if program.integer.any():
        yield "Binaries"
        yield from (f" {name}" for name, kind in zip(names, program.integer, strict=True) if kind)
    yield "End"


def _sum(name: str, terms: Iterable[tuple[str, float]], end: str) -> Iterator[str]:
    words = [f"{'-' if factor < 0 else '+'} {abs(float(factor))!r} {n}" for n, factor in terms]
    lines = [" ".join(words[i : i + WIDTH]) for i in range(0, len(words), WIDTH)]
    lines[-1] += end
    yield f" {name}: {lines[0]}"
    yield from (f"   {line}" for line in lines[1:])
