"""The independent checker: no torch, no solver, none of the code that finds bounds."""
