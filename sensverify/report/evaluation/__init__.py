"""The document of an evaluation, with a section for every kind of finding, and its JSON."""
