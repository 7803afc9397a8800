"""Tables of networks x shifts of the data, from any files, and what follows from them.

`read_scores` makes `Scores` of results of evaluations, folders, CSV files and published tables.
Imports numpy, never torch.
"""

from sensverify.scores.csv_file import write_csv
from sensverify.scores.join import join
from sensverify.scores.read import read_scores
from sensverify.scores.table import CLEAN, Network, Scores, Shift, Source

__all__ = [
    "CLEAN",
    "Network",
    "Scores",
    "Shift",
    "Source",
    "join",
    "read_scores",
    "write_csv",
]
