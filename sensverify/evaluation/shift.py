"""Another data set that a request names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sensverify.errors import BadSetting


@dataclass(frozen=True, kw_only=True)
class OtherData:
    """Another data set of the same task, such as ImageNet-A beside ImageNet.

    Parameters
    ----------
    name : str
        Of the shift in reports.
    data : str, Path or object
        As `load_data` takes it; of data in parts the test part.
    classes : Path, optional
        A JSON file with, for each class of these data in the order of its number, the number of the
        networks' output that stands for it, or a list of several; or the same by the names of the
        classes. Predictions are then the largest of the listed outputs alone. Default: labels are
        the networks' own, and predictions of all classes count.

    Raises
    ------
    BadSetting
        There is no name.
    """

    name: str
    data: Any
    classes: Path | None = None

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise BadSetting("another data set needs a name")
        if isinstance(self.classes, str):
            object.__setattr__(self, "classes", Path(self.classes))


def parse_shift(text: str) -> OtherData:
    """Another data set of ``NAME=DATA`` or ``NAME=DATA:classes.json``.

    Raises
    ------
    BadSetting
    """
    name, sign, rest = (part.strip() for part in text.partition("="))
    if not name or not sign or not rest:
        raise BadSetting(
            f"'{text}' is no other data set", "give NAME=DATA or NAME=DATA:classes.json"
        )
    data, colon, classes = rest.rpartition(":")
    if not colon or not data or not classes.endswith(".json"):
        return OtherData(name=name, data=rest)
    return OtherData(name=name, data=data, classes=Path(classes))
