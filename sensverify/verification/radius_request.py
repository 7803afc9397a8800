"""The request of a search for critical radii."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from sensverify.errors import BadSetting
from sensverify.registry.ranges import Above0, Count, Range
from sensverify.registry.settings import check_settings
from sensverify.verification.request import VerifyRequest, check_used

USED = (
    *("model", "data", "part", "samples", "radius", "sigma", "clip", "method", "settings"),
    *("timeout", "objective_timeout", "gap", "threads", "device", "dtype", "seed", "memory"),
    *("data_dir", "input", "output", "input_shape", "threshold", "runtime_check"),
    *("top_k", "targets", "costs"),
)
"""Fields of a `VerifyRequest` that mean something here."""

SEARCH = ("accuracy", "steps", "max_radius", "out", "resume")
"""Fields of a `CriticalRadiusRequest` that a `VerifyRequest` has not."""


@dataclass(frozen=True)
class CriticalRadiusRequest(VerifyRequest):
    """A `VerifyRequest` about how far the inputs may move before a label changes.

    ``radius`` or ``sigma`` gives the unit and the radius that is looked at first; ``timeout`` is
    that of everything. The fields of a `VerifyRequest` that say something else are refused.

    Parameters
    ----------
    accuracy : float
        Relative width of a bracket at which an end is near enough, below 1.
    steps : int
        Most radii of a sample that are looked at for each of its two ends.
    max_radius : float, optional
        The largest radius looked at, in the unit of ``radius`` or ``sigma``. Default: 100 times the
        first one; no more than what fills the clip range, where that is finite.
    out : Path, optional
        A folder that keeps every finished batch. Without it nothing is kept of a search that is
        killed.
    resume : bool
        Whether the folder may hold batches of this search already.

    Raises
    ------
    BadSetting, BadBox
        A number that cannot be one, or a field that is not looked at.
    """

    accuracy: Annotated[float, Range(0, 1, above=True, below=True)] = 0.01
    steps: Count = 40
    max_radius: Above0 | None = None
    out: Path | None = None
    resume: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.out, str):
            object.__setattr__(self, "out", Path(self.out))
        check_used(self, (*USED, *SEARCH), "a search for critical radii")
        check_settings(self, only=("accuracy", "steps", "max_radius"))
        for name in ("radius", "sigma"):
            if np.ndim(getattr(self, name)) == 0 and getattr(self, name) == 0:
                raise BadSetting(
                    f"`{name}` is the radius that is looked at first: it must be above 0"
                )
        if self.resume and self.out is None:
            raise BadSetting("`resume` goes on with what is in a folder", "give `out`")
