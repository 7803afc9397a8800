"""Settings with which data are read, as far as they do not say it themselves."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Any

from sensverify.errors import BadSetting
from sensverify.registry.names import did_you_mean

LAST = "last"
"""The ``label`` that is the last column, whatever it is called."""

LABELS = ("label", "labels", "target", "targets", "class", "y")
"""Names of columns, in any case, that hold the labels unless somebody says otherwise."""

LARGEST = 10_000
"""Rows and columns that an image may be brought to."""

_TRUTH = {"yes": True, "no": False, "true": True, "false": False}


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Settings with which a file or an object is read, as far as it does not tell.

    Parameters
    ----------
    label : str, optional
        The column or the array that holds the labels; ``last`` is the last column. Default: the
        column that is called label, target, class or y; of an ``.npz`` file see `read_dataset`.
    x : str, optional
        The array of an ``.npz`` file that holds the samples.
    header : bool, optional
        Whether the first line of a ``.csv`` file names the columns. Default: where it holds no
        numbers.
    nhwc : bool
        Whether images come as ``[rows, columns, channels]``, and are to be turned around.
    size : int, optional
        Rows and columns that the images of a folder are brought to, whatever their own are; grey
        ones among coloured ones become RGB.
    """

    label: str | None = None
    x: str | None = None
    header: bool | None = None
    nhwc: bool = False
    size: int | None = None

    @classmethod
    def parse(cls, text: str, what: str) -> Reading:
        """The settings of a text such as ``label=species, nhwc``.

        Raises
        ------
        BadSetting
            It names none of them, or one twice, or a value cannot be.
        """
        values: dict[str, Any] = {}
        names = [each.name for each in fields(cls)]
        for part in text.split(","):
            key, sign, value = (each.strip() for each in part.partition("="))
            if key not in names:
                raise BadSetting(
                    f"'{what}': there is no setting '{key}'{did_you_mean(key, names)}",
                    f"the settings of a file are {', '.join(names)}, as in "
                    "FILE.csv(label=species), FILE.npz(nhwc) and FOLDER(size=64)",
                )
            if key in values:
                raise BadSetting(f"'{what}' gives {key} twice")
            if key in ("header", "nhwc"):
                if (value.lower() or "yes") not in _TRUTH:
                    raise BadSetting(f"'{what}': {key} is yes or no, got '{value}'")
                values[key] = _TRUTH[value.lower() or "yes"]
            elif key == "size":
                if not value.isdecimal() or not 2 <= int(value) <= LARGEST:
                    raise BadSetting(
                        f"'{what}': size needs a whole number of pixels from 2 to {LARGEST:,}, "
                        f"got '{value}'"
                    )
                values[key] = int(value)
            elif not (sign and value.strip("'\"")):
                raise BadSetting(f"'{what}': {key} needs a name, as in {key}=NAME")
            else:
                values[key] = value.strip("'\"")
        return cls(**values)

    @property
    def given(self) -> dict[str, Any]:
        """The settings that are not the defaults, by name."""
        plain = Reading()
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in values.items() if value != getattr(plain, name)}

    def check(self, takes: Collection[str], what: str) -> None:
        """Refuse settings that say nothing about something.

        Raises
        ------
        BadSetting
        """
        for name in self.given:
            if name not in takes:
                raise BadSetting(f"`{name}` says nothing about {what}", "leave it out")
