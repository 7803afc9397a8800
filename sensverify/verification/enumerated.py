"""Integers that choose rows of a table, one after the other: exact where there are few of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from math import ceil, floor, prod

import numpy as np

from sensverify.core.box import Box
from sensverify.formats.vnnlib import Case, Property
from sensverify.network.signature import Signature

MOST = 4096
"""Most choices of all integers of a case that are looked at one by one."""


def enumerated(asked: Property, signature: Signature | None) -> Property:
    """The property with a case for every choice of integers, where these are few.

    A case with more choices than `MOST` stays whole: between integers the network interpolates
    between rows, so that "no" to it is "no" to all of them.
    """
    if signature is None or not signature.enumerable:
        return asked
    cases = tuple(part for case in asked.cases for part in _parts(case, signature))
    return replace(asked, cases=cases)


def _parts(case: Case, signature: Signature) -> Iterator[Case]:
    choices: dict[int, range] = {}
    for port in signature.inputs:
        if port.values is None:
            continue
        low, high = port.values
        for place in range(port.start, port.start + port.size):
            first = max(low, ceil(case.lower[place]))
            last = min(high, floor(case.upper[place]))
            choices[place] = range(first, last + 1)
    if prod(map(len, choices.values())) > MOST:
        yield case
        return
    places = list(choices)
    for chosen in product(*choices.values()):
        values = np.array(chosen, dtype=np.float64)
        lower, upper = case.lower.copy(), case.upper.copy()
        ends = case.query.box.lower.copy(), case.query.box.upper.copy()
        for flat in (lower, upper):
            flat[places] = values
        for whole in ends:
            whole.reshape(-1)[places] = values
        query = replace(case.query, box=Box(*ends))
        yield replace(case, query=query, lower=lower, upper=upper)
