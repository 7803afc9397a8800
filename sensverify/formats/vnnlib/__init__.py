"""Properties from VNN-LIB files. Imports no torch.

`parser` makes nested forms of the text, and `script` runs them one after the other: `names` reads
declarations, `semantics` and `terms` make formulas of linear constraints, and `formula` makes
cases of these. `cases` sorts the constraints by input box, once `relations` has decided the
constraints that relate fixed inputs; `loading` puts it all together. Of version 2, `declarations`
reads networks, `version2` assertions with `monomials`, and `query` makes one property of all.
"""

from sensverify.formats.vnnlib.formula import Constraint
from sensverify.formats.vnnlib.loading import load_property, load_query, parse_property, parse_query
from sensverify.formats.vnnlib.property import Case, Property
from sensverify.formats.vnnlib.query import NetworkQuery

__all__ = [
    "Case",
    "Constraint",
    "NetworkQuery",
    "Property",
    "load_property",
    "load_query",
    "parse_property",
    "parse_query",
]
