"""Numbers as JSON holds them."""

from __future__ import annotations

import json
import math

from sensverify.core.plain import finite, finite_ends


def test_what_json_lacks_is_none() -> None:
    assert [finite(value) for value in (0.0, -1.5, math.inf, -math.inf, math.nan, None)] == [
        *(0.0, -1.5),
        *(None, None, None, None),
    ]
    assert finite_ends((-math.inf, 1.0)) == [None, 1.0]
    assert finite_ends(None) is None
    assert json.dumps(finite_ends((0.0, math.nan)), allow_nan=False) == "[0.0, null]"
