"""What one measure computed, for the next one that needs it too."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, ref

from sensverify.measures.subject import Subject
from sensverify.network import Network

Found = TypeVar("Found")


def kept(*fields: str) -> Callable[[Callable[[Subject], Found]], Callable[[Subject], Found]]:
    """Let a function of a subject be computed once as long as what it looks at is the same.

    Ten measures are made of the same spectral norms, and three of the same bounds. The last result
    is kept for every network, and is dropped with the network.

    Parameters
    ----------
    *fields : str
        The fields of a `Subject`, beside its network, that the result depends on. Objects count as
        the same when they are one object, whatever subject they are in; the watch may change.

    Notes
    -----
    A function that raises is called again the next time.
    """

    def decorate(function: Callable[[Subject], Found]) -> Callable[[Subject], Found]:
        results: WeakKeyDictionary[Network, tuple[tuple[Any, ...], Found]]
        results = WeakKeyDictionary()

        @wraps(function)
        def once(subject: Subject) -> Found:
            values = [getattr(subject, field) for field in fields]
            before = results.get(subject.network)
            if before is not None and all(map(_is_same, before[0], values)):
                return before[1]
            found = function(subject)
            results[subject.network] = tuple(map(_reference, values)), found
            return found

        return once

    return decorate


def _reference(value: Any) -> Any:
    """A weak reference where there can be one: what is kept must not keep the samples alive."""
    try:
        return ref(value)
    except TypeError:
        return value


def _is_same(reference: Any, value: Any) -> bool:
    return bool(reference() is value if isinstance(reference, ref) else reference == value)
