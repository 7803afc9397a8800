"""Properties from VNN-LIB files. Imports no torch.

`reader` makes nested forms of the text, `terms` and `formula` make linear constraints and cases of
the forms, `cases` sorts the constraints by input box, and `loading` puts them together. `version2`
reads VNN-LIB 2.0 through an optional package.
"""

from sensverify.formats.vnnlib.formula import Constraint
from sensverify.formats.vnnlib.loading import load_property, parse_property
from sensverify.formats.vnnlib.property import Case, Property

__all__ = ["Case", "Constraint", "Property", "load_property", "parse_property"]
