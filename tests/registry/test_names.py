"""A name that is not there is answered with the one that was meant."""

from __future__ import annotations

import pytest

from sensverify.registry.names import closest, did_you_mean

KNOWN = ("crown", "alpha-crown", "lp-dual", "TV")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("crwon", "crown"),
        ("CROWN", "crown"),
        ("tv", "TV"),
        ("lp_dual", "lp-dual"),
        ("zebra", None),
        ("", None),
        (print, None),
        (None, None),
        (3, None),
    ],
)
def test_the_closest_name(given: object, meant: str | None) -> None:
    assert closest(given, KNOWN) == meant
    assert did_you_mean(given, KNOWN) == (f" (did you mean '{meant}'?)" if meant else "")


def test_nothing_is_close_to_nothing() -> None:
    assert closest("crown", ()) is None
