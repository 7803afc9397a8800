"""Models that ship: small ONNX files, each with its card and some samples of its data.

Importing this package imports no torch; the architectures in ``sensverify.models.architectures``
do.
"""

if __name__ != "sensverify.models":
    raise ImportError(
        f"the folder models/ was imported as '{__name__}'; install sensverify "
        "(pip install -e .) and import sensverify.models"
    )

from sensverify.models.cards import Card
from sensverify.models.registry import ModelFile, card, load, names, resolve

__all__ = ["Card", "ModelFile", "card", "load", "names", "resolve"]
