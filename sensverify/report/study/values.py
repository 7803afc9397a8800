"""Numbers of a study as text, and its tables as data."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

from sensverify.measures import SHARES
from sensverify.report.document import Data
from sensverify.report.document import Value as Cell
from sensverify.report.formatting import DASH, pretty_number, times_power
from sensverify.report.study.contents import VOLUMES, StudyTable, Value


def unit(column: str) -> str:
    """Unit behind a column's name: ``%`` for shares."""
    return " (%)" if column in SHARES else ""


def value_text(column: str, value: Value | None) -> str:
    """A value for people: ``2.26 ± 0.12``, ``5.53 × 10³ ×÷ 1.3``; a dash for None."""
    centre, spread = value_parts(column, value)
    return f"{centre} {spread}" if spread else centre


def value_parts(column: str, value: Value | None) -> tuple[str, str]:
    """A value, and its spread with the sign before it (empty where there is none)."""
    if value is None:
        return DASH, ""
    if value.geometric:
        factor = value.factor
        return _power(value.centre), "" if factor is None else f"×÷ {_factor(factor)}"
    scale = 100.0 if column in SHARES else 1.0
    centre, deviation = scale * value.centre, value.spread
    places = 2 if column in SHARES else _places(centre)
    if deviation is None:
        return _decimals(centre, places), ""
    if column not in SHARES:
        # No more digits than the spread leaves any meaning.
        places = max(min(places, _places(scale * deviation) - 1), 0)
    return _decimals(centre, places), f"± {_decimals(scale * deviation, places)}"


def table_data(table: StudyTable) -> Data:
    """A table with every digit: mean and standard deviation in columns of their own.

    Of SENSE, the geometric mean and the factor exp(standard deviation of the logarithms), then the
    arithmetic mean and standard deviation.
    """
    columns = ["loss", "source", "seeds"]
    for column in table.columns:
        if column in VOLUMES:
            columns += [f"{column}_geometric_mean", f"{column}_factor"]
        columns += [f"{column}_mean", f"{column}_std"]
    return Data(f"table_{table.part}", columns, partial(_data_rows, table))


def _data_rows(table: StudyTable) -> Iterator[list[Cell]]:
    for row in table.rows:
        cells: list[Cell] = [row.name, row.published or "this study", row.seeds or None]
        for column in table.columns:
            value, plain = row.values.get(column), column
            if column in VOLUMES:
                cells += [None, None] if value is None else [value.number, value.factor]
                plain = f"{column}_ARITHMETIC"
            value = row.values.get(plain)
            cells += [None, None] if value is None else [value.centre, value.spread]
        yield cells


def _places(value: float) -> int:
    """Decimals that show three significant digits."""
    if value == 0 or not math.isfinite(value):
        return 3
    return max(0, 2 - math.floor(math.log10(abs(value))))


def _decimals(value: float, places: int) -> str:
    if not math.isfinite(value):
        return str(value).replace("-", "\N{MINUS SIGN}").replace("inf", "∞")
    if abs(value) >= 1e6 or places > 6:
        return pretty_number(float(f"{value:.3g}"))
    return f"{value:.{places}f}".replace("-", "\N{MINUS SIGN}")


def _power(log: float) -> str:
    """The number with this natural logarithm, three digits, also where no double holds it."""
    if log == -math.inf:
        return "0"
    tens = log / math.log(10)
    if -3 <= tens < 3:
        number = math.exp(log)
        return _decimals(number, _places(number))
    power = math.floor(tens)
    digits = f"{10 ** (tens - power):.2f}"
    if digits == "10.00":
        digits, power = "1.00", power + 1
    return times_power(digits, power)


def _factor(factor: float) -> str:
    return f"{factor:.2f}" if factor < 10 else pretty_number(float(f"{factor:.2g}"))
