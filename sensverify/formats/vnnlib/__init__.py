"""Properties from VNN-LIB files. Imports no torch.

`parser` makes nested forms of the text, and `script` runs them one after the other: `names` reads
declarations, `semantics` and `terms` make formulas of linear constraints, and `formula` makes
cases of these. `cases` sorts the constraints by input box, once `relations` has decided the
constraints that relate fixed inputs; `loading` puts it all together. `version2` reads VNN-LIB 2.0
through an optional package.
"""

from sensverify.formats.vnnlib.formula import Constraint
from sensverify.formats.vnnlib.loading import load_property, parse_property
from sensverify.formats.vnnlib.property import Case, Property

__all__ = ["Case", "Constraint", "Property", "load_property", "parse_property"]
