"""Corruptions: images made worse in the ways that cameras, weather and storage do.

A table gives each its strengths; what is random follows from a seed and from the image's place in
its data set, so that every image is corrupted in the same way wherever it is met.
"""

from sensverify.corruptions.apply import corrupt
from sensverify.corruptions.calibrate import SeverityRange, calibrate
from sensverify.corruptions.corruption import Corruption, Table
from sensverify.corruptions.registry import CORRUPTIONS
from sensverify.corruptions.sequences import SEQUENCES, Sequence, sequence

__all__ = [
    "CORRUPTIONS",
    "SEQUENCES",
    "Corruption",
    "Sequence",
    "SeverityRange",
    "Table",
    "calibrate",
    "corrupt",
    "sequence",
]
