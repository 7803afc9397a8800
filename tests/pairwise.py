"""Tests over several choices at once: every pair of values meets, not every combination."""

from collections.abc import Sequence
from typing import Any

import pytest
from allpairspy import AllPairs


def pairwise(**choices: Sequence[Any]) -> pytest.MarkDecorator:
    """Parametrises a test by a few combinations in which any two values occur together.

    A fault that needs one value, or two at once, is found as by the whole grid, in about as many
    cases as the two longest lists have pairs. The combinations are the same ones in every run.
    """
    rows = [tuple(row) for row in AllPairs(list(choices.values()))]
    return pytest.mark.parametrize(tuple(choices), rows)
