"""Results that several measures of one network share, computed once."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, ref

from sensverify.measures.measure import MeasuredClassifier
from sensverify.network import Network

Found = TypeVar("Found")


def once_per_network(
    *fields: str,
) -> Callable[[Callable[[MeasuredClassifier], Found]], Callable[[MeasuredClassifier], Found]]:
    """Let a function of a classifier be computed once as long as what it looks at is the same.

    Ten measures are made of the same spectral norms, and three of the same bounds. The last result
    is cached for every network, and is dropped with the network.

    Parameters
    ----------
    *fields : str
        The fields of a `MeasuredClassifier`, beside its network, that the result depends on.
        Objects count as the same when they are one object; the watch may change.

    Notes
    -----
    A function that raises is called again the next time.
    """

    def decorate(
        function: Callable[[MeasuredClassifier], Found],
    ) -> Callable[[MeasuredClassifier], Found]:
        results: WeakKeyDictionary[Network, tuple[tuple[Any, ...], Found]]
        results = WeakKeyDictionary()

        @wraps(function)
        def once(measured: MeasuredClassifier) -> Found:
            values = [getattr(measured, field) for field in fields]
            before = results.get(measured.network)
            if before is not None and all(map(_is_same, before[0], values)):
                return before[1]
            found = function(measured)
            results[measured.network] = tuple(map(_reference, values)), found
            return found

        return once

    return decorate


def _reference(value: Any) -> Any:
    """A weak reference where there can be one: a cached result must not keep the samples alive."""
    try:
        return ref(value)
    except TypeError:
        return value


def _is_same(reference: Any, value: Any) -> bool:
    return bool(reference() is value if isinstance(reference, ref) else reference == value)
