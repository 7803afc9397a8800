"""Data by name, from files and folders, or of objects. Imports numpy; others when they are used."""

from sensverify.data.catalog import DATA_SETS, load_data, load_split
from sensverify.data.dataset import Dataset
from sensverify.data.files import read_dataset, read_split
from sensverify.data.places import search_places
from sensverify.data.split import Split

__all__ = [
    "DATA_SETS",
    "Dataset",
    "Split",
    "load_data",
    "load_split",
    "read_dataset",
    "read_split",
    "search_places",
]
