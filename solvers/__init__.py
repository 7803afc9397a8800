"""Exact methods: they answer with a solver, within its tolerances.

The core does not import this package; its methods are found by entry point.
"""

if __name__ != "sensverify.solvers":
    raise ImportError(
        f"the folder solvers/ was imported as '{__name__}'; install sensverify "
        "(pip install -e .) and import sensverify.solvers"
    )
