"""Data sets by name or from a file. Imports numpy, and scikit-learn only for its own sets."""

from sensverify.data.catalog import DATA_SETS, load_data
from sensverify.data.dataset import Dataset
from sensverify.data.files import read_dataset
from sensverify.data.places import search_places

__all__ = ["DATA_SETS", "Dataset", "load_data", "read_dataset", "search_places"]
