"""Techniques that a search can do without, by the names that the field has for them."""

from __future__ import annotations

from typing import Literal

Technique = Literal[
    "attack",
    "refinement",
    "alpha",
    "beta",
    "lookahead",
    "probing",
    "mixed-precision",
    "pruning",
    "leaf-programs",
    "clipping",
    "portfolio",
]

Left = tuple[Technique, ...]
"""Techniques that are left out."""

TECHNIQUES: dict[Technique, str] = {
    "attack": "gradients are followed to inputs of least value, before the search and in it",
    "refinement": "hidden layers are bounded again with slopes of their own, before neurons split",
    "alpha": "slopes of each sub-problem are chosen by gradient steps (alpha-CROWN)",
    "beta": "constraints of splits have multipliers in bounds (beta-CROWN)",
    "lookahead": "several neurons are tried before one is split (filtered smart branching)",
    "probing": "neurons of a single hidden layer are fixed where a side is closed at once",
    "mixed-precision": "gradient steps in float32 where products take the time, bounds in float64",
    "pruning": "neurons that are dead on the whole box are left out of its sub-problems",
    "leaf-programs": "linear programs where no neuron is left to split",
    "clipping": "parts of a sub-box that a line has decided are cut off (Clip-and-Verify)",
    "portfolio": "inputs and neurons are both split, by turns or one after the other",
}
"""What each of them does. Without any, bounds are sound and the search ends as before: later."""
