"""Names that every reader of programs takes, made of the names of nodes."""

from __future__ import annotations

import re
from collections.abc import Iterable

LONGEST = 60
"""Characters of a node's name that are kept; CPLEX reads names of up to 255."""

TAKEN = ("input", "output", "objective")


def prefixes(names: Iterable[str]) -> tuple[str, ...]:
    """For every node a word of its own, of letters, digits and single underscores.

    A word begins with a letter other than e, which readers of LP files take for an exponent, and
    ends in no underscore: what stands behind two underscores in the name of a column is its own.
    """
    taken = set(TAKEN)
    found = []
    for name in names:
        word = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")[:LONGEST].rstrip("_") or "node"
        if not word[0].isalpha() or word[0] in "eE":
            word = f"n_{word}"
        base, number = word, 2
        while word.lower() in taken:
            word, number = f"{base}_{number}", number + 1
        taken.add(word.lower())
        found.append(word)
    return tuple(found)
