"""Type hints of attacks' settings; `check_settings` refuses values that do not fit them."""

from __future__ import annotations

from typing import Annotated, Literal

from sensverify.registry.ranges import Range

Count = Annotated[int, Range(1)]
Above0 = Annotated[float, Range(0, above=True)]
AtLeast0 = Annotated[float, Range(0)]
LossName = Literal["cross-entropy", "margin"]
"""Keys of `LOSSES`."""
