"""Witnesses of a property as text. Imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sensverify.verification.witness import Witness


def witness_text(witness: Witness) -> str:
    """A witness in VNN-COMP's form, one variable a line.

    The numbers are decimal and give back the same float64 when they are read.
    """
    lines = [
        f"({letter}_{index} {value!r})"
        for letter, values in (("X", witness.inputs), ("Y", witness.outputs))
        for index, value in enumerate(values.tolist())
    ]
    return "(" + "\n ".join(lines) + ")\n"
